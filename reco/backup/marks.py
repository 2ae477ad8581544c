"""What checks and drills found, and which backups and objects are known to be bad by it.

Belongs here: one finding, and what follows from all of them. Does not belong here: looking (`verify`, `drill`), or
where findings are kept (`vault`).

A failure stands until something passes that looked at the same. Objects are shared by backups: one that was found
damaged speaks against every backup that names it, until a check or a drill of any of these has read it and passed. A
drill whose comparison failed stands until a drill of that backup passes. A finding that was copied from another bucket
says what a backup holds, and nothing of how its objects lie here.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from reco.backup.manifest import HISTORY, Manifest

WHOLE = "1/1"


@dataclass(frozen=True)
class Checked:
    """What a check of a backup found.

    part: which of how many parts were read; figures: such as seconds; damaged: the names of objects that are missing or
    altered; cleared: those of them that were read right since; copied: it was found in another bucket; entered: when
    the store took it, by its clock, which gives the order (None: not yet).
    """

    backup_id: str
    kind: Literal["verify", "drill"]
    at: dt.datetime
    passed: bool
    problem: str = ""
    part: str = WHOLE
    figures: dict[str, float] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()
    copied: bool = False
    cleared: tuple[str, ...] = ()
    entered: dt.datetime | None = None

    @property
    def made_at(self) -> dt.datetime:
        """When it was found: no later than the store had it, whatever our clock said then."""
        return min(self.at, self.entered or self.at)

    @property
    def proves(self) -> bool:
        """Whether all of the backup was looked at and found right."""
        return self.passed and (self.kind == "drill" or self.part == WHOLE)

    @property
    def of_content(self) -> bool:
        """Whether it holds for every copy of the backup: what passed, and a comparison of a drill that did not."""
        return self.passed or (self.kind == "drill" and not self.damaged)


@dataclass(frozen=True)
class Standing:
    """What is known to be bad: ids of backups; names of objects that were found damaged, or may have been."""

    backups: frozenset[str] = frozenset()
    objects: frozenset[str] = frozenset()


def standing(manifests: Mapping[str, Manifest], checks: Sequence[Checked]) -> Standing:
    """What the findings of a bucket say by now.

    Args:
        manifests: the backups that can be read, by id.
        checks: everything that was found there, oldest first by the store's clock.
    """
    differs: set[str] = set()  # backups of which a drill's comparison failed
    parts: set[tuple[str, str]] = set()  # backups, with the part in which damage was found and not named, as once
    damaged: set[str] = set()
    for one in checks:
        if not one.passed:
            damaged |= {*one.damaged} - {*one.cleared}
            if one.kind == "drill" and not one.damaged:
                differs.add(one.backup_id)
            elif not one.damaged:
                parts.add((one.backup_id, one.part))
            continue
        if one.kind == "drill":
            differs.discard(one.backup_id)
        if not one.copied:
            whole = one.proves
            parts -= {(i, part) for i, part in parts if i == one.backup_id and (whole or part == one.part)}
            damaged -= _read_by(one, manifests.get(one.backup_id)) if damaged else set()
    unnamed = {backup_id for backup_id, _ in parts}
    named = {i for i, manifest in manifests.items() if damaged and any(e.object in damaged for e in manifest.entries)}
    suspected = {e.object for i in unnamed if i in manifests for e in manifests[i].entries}
    return Standing(frozenset(differs | unnamed | named), frozenset(damaged | suspected))


def in_part(object_name: str, part: tuple[int, int]) -> bool:
    """Whether an object is in the n-th of t parts: by its name, so that t checks in turn read all of it."""
    n, t = part
    return int(object_name[:8], 16) % t == n % t


def _read_by(one: Checked, manifest: Manifest | None) -> set[str]:
    """The objects that a check or a drill has read; a drill leaves the past of the embedded Redis."""
    if manifest is None:
        return set()
    if one.kind == "drill":
        return {entry.object for entry in manifest.entries if not entry.name.startswith(HISTORY)}
    n, _, t = one.part.partition("/")
    return {entry.object for entry in manifest.entries if in_part(entry.object, (int(n), int(t)))}
