"""Promises of what checks and drills found: a failure stands until something that looked at the same passes."""

import datetime as dt
from typing import Any

import pytest

from reco.backup.manifest import Entry, Manifest, make_backup_id
from reco.backup.marks import Checked, Standing, standing

NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
# The first eight hex digits name the part of an object: 0 is in 3/3 (and 2/2), 1 in 1/3 (and 1/2), 2 in 2/3 (and 2/2).
OBJECTS = [f"{n:08x}".ljust(64, "0") for n in range(3)]


def backup(number: int, *objects: str, past: str = "") -> Manifest:
    names = [*(f"lake/{one[:8]}" for one in objects), *(["redis_history/1.aof"] if past else [])]
    entries = tuple(Entry(name, "0" * 64, 1, one, 1) for name, one in zip(names, [*objects, past], strict=False))
    at = NOON + dt.timedelta(minutes=number)
    values: dict[str, Any] = {"namespace": "shop", "reason": "", "code_version": "1", "recipients": "r", "facts": {}}
    return Manifest(
        make_backup_id(number, at, "0" * 8),
        number,
        created_at=at,
        generation=1,
        predecessors=(),
        entries=entries,
        **values,
    )


FIRST, SECOND = backup(1, *OBJECTS), backup(2, OBJECTS[0])


Finding = tuple[Manifest, str, bool, dict[str, Any]]


def after(*found: Finding) -> Standing:
    """What stands after these findings, in their order."""
    checks = [
        Checked(of.backup_id, "drill" if kind == "drill" else "verify", NOON, passed, **values)
        for of, kind, passed, values in found
    ]
    return standing({one.backup_id: one for one in (FIRST, SECOND)}, checks)


def damage(*objects: str, part: str = "1/1") -> dict[str, Any]:
    return {"part": part, "damaged": objects}


def test_a_damaged_object_speaks_against_every_backup_that_names_it() -> None:
    """Also against one that no check has looked at."""
    both = after((FIRST, "verify", False, damage(OBJECTS[0])))
    assert both == Standing(frozenset({FIRST.backup_id, SECOND.backup_id}), frozenset({OBJECTS[0]}))
    one = after((FIRST, "verify", False, damage(OBJECTS[1])))
    assert one == Standing(frozenset({FIRST.backup_id}), frozenset({OBJECTS[1]}))


@pytest.mark.parametrize(
    ("of", "kind", "part", "clears"),
    [
        (FIRST, "verify", "1/3", True),  # reads the damaged object
        (FIRST, "verify", "2/3", False),
        (FIRST, "verify", "1/1", True),
        (FIRST, "drill", "1/1", True),
        (SECOND, "verify", "1/1", False),  # does not name it
        (SECOND, "drill", "1/1", False),
    ],
)
def test_only_who_read_it_again_clears_an_object(of: Manifest, kind: str, part: str, clears: bool) -> None:
    """A check of other parts, or of a backup that does not name the object, says nothing of it."""
    found = after((FIRST, "verify", False, damage(OBJECTS[1], part="1/3")), (of, kind, True, {"part": part}))
    assert (FIRST.backup_id not in found.backups) is clears


def test_a_comparison_that_failed_stands_until_a_drill_passes() -> None:
    """Bytes that are right say nothing of what they mean."""
    failed: Finding = (FIRST, "drill", False, {})
    assert after(failed, (FIRST, "verify", True, {})).backups == {FIRST.backup_id}
    assert after(failed, (SECOND, "drill", True, {})).backups == {FIRST.backup_id}
    assert after(failed, (FIRST, "drill", True, {})) == Standing()


def test_a_drill_clears_no_object_that_it_does_not_restore() -> None:
    """The past of the embedded Redis is read by checks alone."""
    held = backup(3, OBJECTS[0], past=OBJECTS[2])
    found = [
        Checked(held.backup_id, "verify", NOON, False, damaged=(OBJECTS[0], OBJECTS[2])),
        Checked(held.backup_id, "drill", NOON, True),
    ]
    assert standing({held.backup_id: held}, found).objects == {OBJECTS[2]}


def test_damage_that_was_not_named_is_cleared_by_its_part_or_the_whole() -> None:
    """As earlier versions entered it: every object of the backup is suspected meanwhile."""
    failed = (FIRST, "verify", False, {"part": "2/7"})
    assert after(failed) == Standing(frozenset({FIRST.backup_id}), frozenset(OBJECTS))
    assert after(failed, (FIRST, "verify", True, {"part": "3/7"})).backups == {FIRST.backup_id}
    for part in ("2/7", "1/1"):
        assert after(failed, (FIRST, "verify", True, {"part": part})) == Standing()


def test_what_was_cleared_of_a_finding_is_no_damage() -> None:
    """The rest of it stands; and no finding is of a later time than the store took it."""
    found = after((FIRST, "verify", False, damage(OBJECTS[0], OBJECTS[1]) | {"cleared": (OBJECTS[0],)}))
    assert found == Standing(frozenset({FIRST.backup_id}), frozenset({OBJECTS[1]}))
    assert after((FIRST, "drill", False, damage(OBJECTS[0]) | {"cleared": (OBJECTS[0],)})) == Standing()
    late = Checked(FIRST.backup_id, "drill", NOON, passed=True, entered=NOON - dt.timedelta(days=1))
    assert late.made_at == late.entered
    assert Checked(FIRST.backup_id, "drill", NOON, passed=True).made_at == NOON


def test_what_was_found_in_another_bucket_clears_nothing_here() -> None:
    """It tells what the backup holds: a comparison, not how objects lie."""
    here = (FIRST, "verify", False, damage(OBJECTS[1]))
    for kind in ("verify", "drill"):
        assert after(here, (FIRST, kind, True, {"copied": True})).backups == {FIRST.backup_id}
    differs = (FIRST, "drill", False, {"copied": True})
    assert after(differs).backups == {FIRST.backup_id}
    assert after(differs, (FIRST, "drill", True, {"copied": True})) == Standing()
