"""The audit checks that failed when they last ran, for `reco status`.

Belongs here: asking the Dagster instance of a home. Does not belong here: what a check is (`reco.audit.catalogue`), or
asking for it (`assets.checks.standing`). A home that no run has used has no instance, and nothing of Dagster is loaded.
"""

import json
import os
from dataclasses import asdict
from pathlib import Path

from reco.audit.standing import FailingCheck
from reco.settings import load_settings


def failing_checks(home: Path) -> list[FailingCheck]:
    """The failing checks of a home, in the order of the catalogue.

    Importing Dagster takes about a second, reading a tenth of one. So the answer is kept beside the event log, and
    given again while the log has not changed.
    """
    if not (home / "dagster" / "dagster.yaml").is_file():
        return []
    state, kept = _log_state(home), home / "dagster" / "failing-checks.json"
    if state:
        try:
            known = json.loads(kept.read_text(encoding="utf-8"))
            if known["state"] == state:
                return [FailingCheck(**one) for one in known["failing"]]
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not there, or of another version: it is written anew below
    found = _ask(home)
    if state:
        temporary = kept.with_name(f".{kept.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps({"state": state, "failing": [asdict(one) for one in found]}), encoding="utf-8")
        temporary.replace(kept)
    return found


def _log_state(home: Path) -> list[list[int]]:
    """Size and time of change of the event log on disk; empty where it is kept elsewhere, such as in Postgres."""
    index = home / "dagster" / "history" / "runs" / "index.db"
    if load_settings(home=home).dagster_database_url is not None or not index.is_file():
        return []
    stats = [path.stat() for path in (index, index.with_name("index.db-wal")) if path.is_file()]
    return [[one.st_size, one.st_mtime_ns] for one in stats if one.st_size]


def _ask(home: Path) -> list[FailingCheck]:
    from assets.checks.standing import failing_now
    from reco_pipeline.instance import open_instance

    with open_instance(home) as instance:
        return failing_now(instance)
