"""The drill: a backup restored into scratch servers, and everything compared with what was backed up.

Belongs here: what is compared, and the figures. Does not belong here: restoring (`reco.backup.restore`), or when.

The strongest of the comparisons is the last: the model made anew from the restored orders must give the very snapshot
that the backup of Redis holds. Two ways that share no byte lead to one digest, or one of them lies.
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reco import __version__
from reco.audit.chain import FIRST, verify_chain
from reco.audit.trail import Event, events
from reco.backup.contents import comparable, served_facts
from reco.backup.hold import Hold
from reco.backup.manifest import Manifest
from reco.backup.marks import Checked
from reco.backup.rebuild import rebuild
from reco.backup.redis_dump import live_facts
from reco.backup.restore import make_plan, restore
from reco.backup.vault import Vault
from reco.errors import BackupDamaged, DrillFailed
from reco.model.scores import ScoreSettings
from reco.orders.home import Home, open_home
from reco.progress import stage
from reco.settings import Settings
from reco.snapshot.keys import Keys
from reco.storage.lake import Lake
from reco.storage.redis import open_redis
from reco.storage.sql import close_database

REBUILT = "rebuilt from orders equals restored"


@dataclass(frozen=True)
class Comparison:
    """One comparison of a drill."""

    name: str
    passed: bool
    found: str
    expected: str


@dataclass(frozen=True)
class Drill:
    """What a drill found. rto_seconds: reading, opening, checking, loading and switching; rebuild_seconds: the rest."""

    backup_id: str
    comparisons: tuple[Comparison, ...]
    rto_seconds: float
    rebuild_seconds: float
    size_bytes: int

    @property
    def passed(self) -> bool:
        """Whether everything was as it was backed up."""
        return all(one.passed for one in self.comparisons)


def drill(vault: Vault, settings: Settings, manifest: Manifest, *, now: dt.datetime) -> Drill:
    """Restores a backup into a scratch home with servers of its own, compares, and enters what it found.

    Raises:
        BackupNotFound: it was removed meanwhile.
        DrillFailed: something is not as it was backed up; it is entered too.
        BackupDamaged, BackupKeyWrong: it cannot be restored at all; the former is entered too.
    """
    with Hold(vault, manifest.backup_id, "A drill"), Lake(settings.home).scratch() as folder:
        # Of its own, in production too; Dagster's records are read and checked, and go nowhere.
        servers = {"redis_url": None, "database_url": None, "dagster_database_url": None, "profile": "local"}
        scratch = settings.model_copy(update={"home": folder / "home"} | servers)
        try:
            found = _drill(vault, scratch, manifest, now)
        except BackupDamaged as error:
            found_bad = (str(error.details["object"]),) if "object" in error.details else ()
            vault.enter(
                Checked(manifest.backup_id, "drill", now, passed=False, problem=error.message, damaged=found_bad)
            )
            raise
        finally:
            close_database(scratch.sql_url)
    problem = "; ".join(
        f"{one.name}: {one.found}, expected {one.expected}" for one in found.comparisons if not one.passed
    )
    figures = {
        "rto_seconds": found.rto_seconds,
        "rebuild_seconds": found.rebuild_seconds,
        "size_bytes": float(found.size_bytes),
        "age_seconds": (now - manifest.created_at).total_seconds(),
    }
    vault.enter(Checked(manifest.backup_id, "drill", now, found.passed, problem[:1000], figures=figures))
    if not found.passed:
        raise DrillFailed(
            f"The drill of backup {manifest.backup_id} failed: {problem}.",
            hint="Do not count on this backup: make another one, drill that, and see docs/runbook.md.",
            checks=[vars(one) for one in found.comparisons],
        )
    return found


def _drill(vault: Vault, scratch: Settings, manifest: Manifest, now: dt.datetime) -> Drill:
    scratch.home.mkdir(parents=True)
    with open_redis(scratch) as client:  # held, so that the server stays up from the restore to the comparisons
        plan = make_plan(vault, scratch, backup_id=manifest.backup_id)
        done = restore(vault, scratch, plan, now=now)
        compared = _compare(scratch, manifest, client, done.redis.as_dict())
        started = time.monotonic()
        with stage("rebuild"):
            compared.append(_rebuilt(open_home(scratch), manifest, now))
    return Drill(
        manifest.backup_id,
        tuple(compared),
        done.seconds,
        round(time.monotonic() - started, 3),
        plan.size_bytes,
    )


def _compare(scratch: Settings, manifest: Manifest, client: Any, expected: Mapping[str, Any]) -> list[Comparison]:
    facts = manifest.facts
    home = open_home(scratch)
    redis_facts = live_facts(client, Keys(scratch.namespace)).as_dict()
    chain = verify_chain(home.ledger.engine, noted={"the backup": facts["sql"]["audit_head"] or FIRST})
    states = home.ledger.drops()
    looks: Sequence[tuple[str, Callable[[], Any], Any]] = (
        ("keys in Redis", lambda: redis_facts["types"], expected["types"]),
        ("digest of Redis", lambda: redis_facts["digest"], expected["digest"]),
        (
            "served answers",
            lambda: comparable(served_facts(client, scratch.namespace), facts["code_version"]),
            comparable(facts["served"], facts["code_version"]),
        ),
        (
            "drops",
            lambda: {name: sum(one.status.value == name for one in states) for name in facts["drops"]},
            facts["drops"],
        ),
        ("lines of every drop add up", home.ledger.imbalances, []),
        ("chain of the audit trail", lambda: chain.problem, ""),
    )
    return [
        Comparison(name, (found := look()) == wanted, str(found)[:200], str(wanted)[:200])
        for name, look, wanted in looks
    ]


def _rebuilt(home: Home, manifest: Manifest, now: dt.datetime) -> Comparison:
    """The model made anew against the one served; while drops wait to be published there is none to equal."""
    served = manifest.facts["served"]
    if served is None:
        return Comparison(REBUILT, passed=True, found="nothing is served", expected="nothing is served")
    if manifest.facts["code_version"] != __version__:  # which may make another model of the same orders
        why = f"made by version {manifest.facts['code_version']}"
        return Comparison(REBUILT, passed=True, found=why, expected="not comparable")
    published = (Event.SNAPSHOT_PUBLISHED, Event.SNAPSHOT_UNCHANGED)
    made = [one for event in published for one in events(home.ledger.engine, event=event, limit=1)]
    newest = max(made, key=lambda one: one.id, default=None)
    comparable = newest is not None and newest.snapshot_id == served["snapshot_id"]
    if newest is None or not comparable or newest.details.get("inputs") != manifest.facts["inputs"]:
        why = "drops wait to be published, or an earlier snapshot is served"
        return Comparison(REBUILT, passed=True, found=why, expected="not comparable")
    scores = served.get("score_settings")
    build = rebuild(home, now=now, scores=ScoreSettings.from_dict(scores) if scores else None)
    digest = build.digest if build is not None else "none"
    return Comparison(REBUILT, digest == served["digest"], digest, served["digest"])
