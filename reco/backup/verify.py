"""Checking backups where they lie: that every object is there with the bytes that were put.

Belongs here: checks without restoring anything, whole or a rotating part. Does not belong here: proving that a backup
can be restored, which is a drill (`reco.backup.drill`).

An object is named after the sha256 of its bytes, so this needs no key that opens anything.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reco.backup.hold import Hold
from reco.backup.manifest import Manifest
from reco.backup.marks import Checked, in_part
from reco.backup.vault import Vault
from reco.errors import BackupDamaged
from reco.progress import report
from reco.storage.lake import Lake


@dataclass(frozen=True)
class Verified:
    """What a check of one backup read and found: `problems` names each object that is missing or altered."""

    backup_id: str
    part: str
    objects: int
    bytes_read: int
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.problems


def verify(vault: Vault, manifest: Manifest, home: Path, *, part: tuple[int, int], now: dt.datetime) -> Verified:
    """Looks at every object of a backup, reads the n-th of t parts of their bytes, and enters what it found.

    Args:
        vault: where it lies.
        manifest: of which backup.
        home: where a scratch file may lie.
        part: n and t; (1, 1) reads everything.
        now: zone-aware.

    Raises:
        BackupNotFound: it was removed meanwhile.
    """
    objects = {entry.object: entry for entry in manifest.entries}
    reasons: dict[str, str] = {}
    read = 0
    with Hold(vault, manifest.backup_id, "A check") as hold, Lake(home).scratch() as folder:
        there = {one.key: one.size_bytes for one in vault.objects()}
        for name, entry in objects.items():
            size = there.get(vault.object_key(name))
            if size != entry.object_bytes:
                reasons[name] = "is missing" if size is None else f"has {size:,} of {entry.object_bytes:,} bytes"
        chosen = [entry for name, entry in objects.items() if in_part(name, part) and vault.object_key(name) in there]
        for number, entry in enumerate(chosen):
            report("read_objects", number, len(chosen))
            hold.keep()
            try:
                vault.fetch(entry, folder / "object")
            except BackupDamaged as error:
                reasons.setdefault(entry.object, str(error.details["reason"]))
            read += entry.object_bytes
    problems = sorted(f"{objects[name].name}: object {name[:16]}... {why}" for name, why in reasons.items())
    found = Verified(manifest.backup_id, f"{part[0]}/{part[1]}", len(objects), read, tuple(problems))
    figures = {"objects": float(found.objects), "bytes_read": float(read)}
    problem = "; ".join(found.problems)[:1000]
    damaged = tuple(sorted(reasons))
    vault.enter(Checked(manifest.backup_id, "verify", now, found.passed, problem, found.part, figures, damaged=damaged))
    return found


def next_part(checks: Sequence[Checked], parts: int) -> tuple[int, int]:
    """The part after the last one that was read in as many parts."""
    mine = [one for one in checks if one.kind == "verify" and not one.copied]
    done = [one.part.split("/") for one in mine if one.part.endswith(f"/{parts}")]
    return (int(done[-1][0]) % parts + 1 if done else 1, parts)
