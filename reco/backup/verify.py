"""Checking backups where they lie: that every object is there with the bytes that were put.

Belongs here: checks without restoring anything, whole or a rotating part. Does not belong here: proving that a backup
can be restored, which is a drill (`reco.backup.drill`).

An object is named after the sha256 of its bytes, so this needs no key that opens anything.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reco.backup.manifest import Entry, Manifest
from reco.backup.vault import Checked, Vault
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
    """
    there = {one.key: one.size_bytes for one in vault.objects()}
    problems: list[str] = []
    objects = {entry.object: entry for entry in manifest.entries}
    for entry in objects.values():
        size = there.get(vault.object_key(entry.object))
        if size != entry.object_bytes:
            what = "is missing" if size is None else f"has {size:,} of {entry.object_bytes:,} bytes"
            problems.append(f"{entry.name}: object {entry.object[:16]}... {what}")
    chosen = [entry for entry in objects.values() if belongs(entry, part) and vault.object_key(entry.object) in there]
    read = 0
    with Lake(home).scratch() as folder:
        for number, entry in enumerate(chosen):
            report("read_objects", number, len(chosen))
            try:
                vault.fetch(entry, folder / "object")
            except BackupDamaged as error:
                if not any(one.startswith(f"{entry.name}: ") for one in problems):
                    problems.append(f"{entry.name}: object {entry.object[:16]}... {error.details['reason']}")
            read += entry.object_bytes
    found = Verified(manifest.backup_id, f"{part[0]}/{part[1]}", len(objects), read, tuple(sorted(problems)))
    figures = {"objects": float(found.objects), "bytes_read": float(read)}
    problem = "; ".join(found.problems)[:1000]
    vault.mark_checked(Checked(manifest.backup_id, "verify", now, found.passed, problem, found.part, figures))
    return found


def belongs(entry: Entry, part: tuple[int, int]) -> bool:
    """Whether an object is in the n-th of t parts: by its name, so that t checks in turn read all of it."""
    n, t = part
    return int(entry.object[:8], 16) % t == n % t


def next_part(checks: Sequence[Checked], parts: int) -> tuple[int, int]:
    """The part after the last one that was read in as many parts."""
    done = [one.part.split("/") for one in checks if one.kind == "verify" and one.part.endswith(f"/{parts}")]
    return (int(done[-1][0]) % parts + 1 if done else 1, parts)
