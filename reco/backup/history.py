"""The past of the embedded Redis server in backups, so that it can be cut at a second without the machine it was on.

Belongs here: its way into a backup and out again. Does not belong here: which files it is of (`reco.local.history`), or
cutting it (`reco.local.rewind`).

A file that the server has closed is the same in every backup, so it is sent once; the open one is sent as it is then.
They stay for as long as a backup that names them: old backups reach further back than the folder of the home.
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from reco.backup.hold import Hold
from reco.backup.manifest import HISTORY, Manifest
from reco.backup.prepare import fetch_entry
from reco.backup.vault import Vault
from reco.errors import HistoryDamaged, HistoryMissing
from reco.local import history
from reco.local.rewind import reach
from reco.local.valkey import HISTORY as FOLDER
from reco.settings import Settings
from reco.storage.lake import Lake

log = structlog.get_logger(__name__)

Span = tuple[dt.datetime, dt.datetime]


def take_history(settings: Settings, folder: Path) -> list[list[str]]:
    """Copies what is kept of the embedded server into a folder; returns the spans of time it reaches over.

    A past that cannot be read is told and left out: it must not keep the present from being backed up.
    """
    place = settings.home / "redis" / FOLDER
    if settings.redis_url is not None or not settings.redis_history_days or not place.is_dir():
        return []
    try:
        history.keep(settings.home / "redis" / "data", place, dt.datetime.now(dt.UTC))
        history.copy(place, folder)
        return [[first.isoformat(), last.isoformat()] for first, last, _ in reach(folder)]
    except (HistoryDamaged, FileNotFoundError) as error:
        log.warning("redis_history_not_backed_up", folder=str(place), reason=str(error))
        return []


def spans_of(manifest: Manifest) -> list[Span]:
    """From when until when (both included) the Redis of a backup can be cut."""
    found = manifest.facts.get("redis_history", [])
    return [(dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last)) for first, last in found]


def backup_with(vault: Vault, at: dt.datetime) -> Manifest:
    """The oldest good backup whose history reaches a second: the fewer were written since, the less must be read.

    One that a check or a drill found bad is used only where no other reaches it, and that is told.

    Raises:
        HistoryMissing: there is none.
    """
    listed = vault.list()
    bad = vault.standing(listed).backups
    good = [one.manifest for one in listed if one.manifest is not None and one.manifest.good]
    for manifest in sorted(good, key=lambda one: one.backup_id in bad):
        if any(first <= at < last + dt.timedelta(seconds=1) for first, last in spans_of(manifest)):
            if manifest.backup_id in bad:
                log.warning("backup_known_bad_used", backup_id=manifest.backup_id, next_step="no other reaches it")
            return manifest
    spans = [span for manifest in good for span in spans_of(manifest)]
    told = "they have none"
    if spans:
        told = f"they reach from {min(spans)[0].isoformat()} to {max(last for _, last in spans).isoformat()}, with gaps"
    raise HistoryMissing(
        f"No backup has the Redis server of {at.astimezone(dt.UTC).isoformat(timespec='seconds')}: {told}.",
        hint="See `reco redis history --backups`; `reco backup restore --at TIME` reaches any publish without it.",
    )


@contextmanager
def fetched_history(vault: Vault, manifest: Manifest, home: Path) -> Iterator[Path]:
    """The history that a backup has, in a folder for the length of the block.

    Raises:
        BackupKeyWrong: the identity is missing or another one.
        BackupDamaged: an object is missing or altered.
    """
    identities = vault.keys.require_identities()
    with Hold(vault, manifest.backup_id, "A cut of Redis") as hold, Lake(home).scratch() as scratch:
        for entry in manifest.entries:
            if entry.name.startswith(HISTORY):
                hold.keep()
                fetch_entry(vault, entry, scratch / ".sealed", scratch / entry.name, identities)
        yield scratch / HISTORY
