"""The second bucket: every backup copied there and checked there.

Belongs here: the copying and what is behind. Does not belong here: removing from either (`reco.backup.prune`).

Objects first, each read back and compared with its name, then the manifest: as in the first bucket, a backup is there
when its manifest is. The copies are the sealed bytes: no key that opens anything is needed. An object that is there
with other bytes, or was found damaged there, is put anew, and so is a manifest that cannot be read: their bytes are
known.

What is said of backups goes with them, each time: pins, dates that were put right, and what checks and drills found of
their content; not what they found of how objects lie in the first bucket. So retention decides alike on both.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import structlog

from reco.backup.hold import Hold
from reco.backup.lease import BackupLease
from reco.backup.manifest import Manifest
from reco.backup.vault import Vault
from reco.errors import BackupDamaged, BackupError, BackupNotFound, ObjectNotFound
from reco.progress import report
from reco.storage.lake import Lake

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Replicated:
    """What was copied: ids of backups, objects, bytes and marks. lag_seconds: how long the oldest backup had waited."""

    backups: tuple[str, ...]
    objects: int
    bytes_sent: int
    lag_seconds: float
    marks: int = 0


def behind(source: Vault, target: Vault) -> list[Manifest]:
    """The readable backups that the second bucket does not have, or not readable, oldest first."""
    there = {one.backup_id for one in target.list() if one.manifest is not None}
    return [one.manifest for one in source.list() if one.manifest is not None and one.backup_id not in there]


def replicate(source: Vault, target: Vault, home: Path, *, now: dt.datetime, back: bool = False) -> Replicated:
    """Copies every backup that the second bucket lacks; a damaged one is passed over, and told after all others.

    Args:
        source: where they are.
        target: where they are to be, too.
        home: where a scratch file may lie.
        now: zone-aware.
        back: the source is the second bucket, and the first one is filled again after it was lost.

    Raises:
        BackupDamaged: an object of the first bucket is missing or altered, or one does not read back from the second;
            every backup that is whole was copied.
        BackupError: the second bucket has newer ids, and none in common with the first one; nothing was copied.
        Busy: another replication is at work.
        ObjectStoreUnavailable, ObjectStoreRefused: one of the two does not answer, or says no.
    """
    objects = sent = 0
    done: list[str] = []
    damaged: dict[str, BackupDamaged] = {}
    with BackupLease(target.store, target.namespace, "A replication") as lease, Lake(home).scratch() as folder:
        _require_order(*((target, source) if back else (source, target)))
        waiting = behind(source, target)
        sound, known = _sound(target), {*target.ids()}
        for number, manifest in enumerate(waiting):
            report("replicate", number, len(waiting))
            try:
                with Hold(source, manifest.backup_id, "A replication") as hold:
                    for entry in {entry.object: entry for entry in manifest.entries}.values():
                        if sound.get(entry.object) == entry.object_bytes:
                            continue
                        lease.keep()
                        hold.keep()
                        source.fetch(entry, folder / "object")
                        target.put_object(folder / "object", entry.object, over=True)
                        target.fetch(entry, folder / "back")
                        sound[entry.object] = entry.object_bytes
                        objects, sent = objects + 1, sent + entry.object_bytes
                    lease.renew()
                    raw = source.store.get_bytes(source.manifest_key(manifest.backup_id))
                anew = manifest.backup_id in known  # one that cannot be read; its bytes are known
                target.store.put_bytes(raw, target.manifest_key(manifest.backup_id), only_new=not anew)
                target.read(manifest.backup_id)
                lease.newest = max(lease.newest, manifest.backup_id)
                done.append(manifest.backup_id)
            except BackupDamaged as error:
                damaged[manifest.backup_id] = error
            except (BackupNotFound, ObjectNotFound):  # a prune of the first bucket was faster
                log.info("backup_removed_meanwhile", backup_id=manifest.backup_id)
        lease.renew()
        marks = _carry_marks(source, target)
    if damaged:
        raise _passed_over(damaged, len(done))
    lag = max(((now - one.created_at).total_seconds() for one in waiting), default=0.0)
    return Replicated(tuple(done), objects, sent, lag, marks)


def _require_order(first: Vault, second: Vault) -> None:
    """Refuses the backups of another bucket than those there are of: by their ids, old ones would count as newer."""
    here, there = first.ids(), second.ids()
    if here and there and not {*here} & {*there} and max(here) < max(there):
        raise BackupError(
            f"Nothing is copied: the first bucket begins anew with {here[0]}, and the second one is at {there[-1]}, "
            "which would count as newer.",
            hint="Make a backup now (`reco backup create`): it counts on from the second bucket, and is copied with "
            "the others.",
        )


def _sound(target: Vault) -> dict[str, int]:
    """The sizes of the objects there, by name, without those that a check there found damaged."""
    bad = target.standing(target.list()).objects
    names = {PurePosixPath(one.key).name: one.size_bytes for one in target.objects()}
    return {name: size_bytes for name, size_bytes in names.items() if name not in bad}


def _carry_marks(source: Vault, target: Vault) -> int:
    """Copies what is said of the backups that both have, as far as the second bucket lacks it; returns how much."""
    both = {*target.ids()} & {*source.ids()}
    there = {target.mark_key(one) for one in target.checks()}
    found = [one for one in source.checks() if one.backup_id in both and one.of_content]
    copies = [one for one in found if target.mark_key(one) not in there]
    for one in copies:
        target.mark_checked(replace(one, copied=True))
    return len(copies) + target.take_marks(source, both)


def _passed_over(damaged: Mapping[str, BackupDamaged], copied: int) -> BackupDamaged:
    told = " ".join(f"{backup_id}: {error.message}" for backup_id, error in damaged.items())
    return BackupDamaged(
        f"{len(damaged)} of {len(damaged) + copied} backups could not be copied to the second bucket. {told}",
        hint=next(iter(damaged.values())).hint,
        backups=list(damaged),
        copied=copied,
    )
