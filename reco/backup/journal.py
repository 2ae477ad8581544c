"""The journal of a restore: it stands in the home from the first part that is replaced to the last.

Belongs here: what the next attempt needs to know, written before anything is replaced. Does not belong here: refusing
the home meanwhile (`reco.storage.homelock.require_whole`).
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reco.storage.homelock import RESTORING
from reco.storage.lake import fsync_folder


@dataclass(frozen=True)
class Journal:
    """One restore. command: finishes it; api_keys, hides: those there were before it, None where they were not read."""

    command: str
    backup_id: str
    since: str
    api_keys: list[dict[str, Any]] | None
    hides: list[dict[str, Any]] | None = None


def write_journal(home: Path, journal: Journal) -> None:
    """Writes it whole or not at all; only its owner may read it."""
    path = home / RESTORING
    temporary = path.with_name(f".{RESTORING}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, json.dumps(asdict(journal)).encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    temporary.replace(path)
    fsync_folder(home)


def read_journal(home: Path) -> Journal | None:
    """The journal of a restore that was cut short; None where there is none. One that cannot be read tells nothing."""
    try:
        text = (home / RESTORING).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        return Journal(**json.loads(text))
    except (ValueError, TypeError):
        return Journal("", "", "", None)


def end_journal(home: Path) -> None:
    """The restore is done."""
    (home / RESTORING).unlink(missing_ok=True)
    fsync_folder(home)
