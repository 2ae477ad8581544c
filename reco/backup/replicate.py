"""The second bucket: every backup copied there and checked there.

Belongs here: the copying and what is behind. Does not belong here: removing from either (`reco.backup.prune`).

Objects first, each read back and compared with its name, then the manifest: as in the first bucket, a backup is there
when its manifest is. The copies are the sealed bytes: no key that opens anything is needed.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from reco.backup.lease import BackupLease
from reco.backup.manifest import Manifest
from reco.backup.vault import Vault
from reco.progress import report
from reco.storage.lake import Lake


@dataclass(frozen=True)
class Replicated:
    """What was copied: ids of backups, objects and bytes. lag_seconds: how long the oldest of them had waited."""

    backups: tuple[str, ...]
    objects: int
    bytes_sent: int
    lag_seconds: float


def behind(source: Vault, target: Vault) -> list[Manifest]:
    """The readable backups that the second bucket does not have, oldest first."""
    there = set(target.ids())
    return [one.manifest for one in source.list() if one.manifest is not None and one.backup_id not in there]


def replicate(source: Vault, target: Vault, home: Path, *, now: dt.datetime) -> Replicated:
    """Copies every backup that the second bucket lacks.

    Raises:
        BackupDamaged: an object of the first bucket is missing or altered, or one does not read back from the second.
        Busy: another replication is at work.
        ObjectStoreUnavailable, ObjectStoreRefused: one of the two does not answer, or says no.
    """
    objects = sent = 0
    with BackupLease(target.store, target.namespace, "A replication") as lease, Lake(home).scratch() as folder:
        waiting = behind(source, target)
        there = {one.key for one in target.objects()}
        for number, manifest in enumerate(waiting):
            report("replicate", number, len(waiting))
            for entry in {entry.object: entry for entry in manifest.entries}.values():
                if target.object_key(entry.object) in there:
                    continue
                lease.keep()
                source.fetch(entry, folder / "object")
                target.put_object(folder / "object", entry.object)
                target.fetch(entry, folder / "back")
                there.add(target.object_key(entry.object))
                objects, sent = objects + 1, sent + entry.object_bytes
            lease.renew()
            raw = source.store.get_bytes(source.manifest_key(manifest.backup_id))
            target.store.put_bytes(raw, target.manifest_key(manifest.backup_id), only_new=True)
            target.read(manifest.backup_id)
    lag = max(((now - one.created_at).total_seconds() for one in waiting), default=0.0)
    return Replicated(tuple(one.backup_id for one in waiting), objects, sent, lag)
