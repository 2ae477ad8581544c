"""What is different between two published snapshots, item by item.

Belongs here: comparing any two that are kept, whole. Does not belong here: the sample that guards a publish (`gate`) or
warns after one (`change`).
"""

from dataclasses import asdict, dataclass
from typing import Any

from reco.errors import SnapshotDamaged, SnapshotNotFound
from reco.snapshot.gate import DEPTH, mean_overlap
from reco.snapshot.manifest import sold_items
from reco.snapshot.read import PublishedSnapshot
from reco.snapshot.store import SnapshotStore
from reco.snapshot.wire import batches


@dataclass(frozen=True, slots=True)
class ListChange:
    """The first neighbours of one item: the share of those before that stayed (0..1), ids that went and that came."""

    item_id: str
    overlap: float
    lost: tuple[str, ...]
    gained: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    """The snapshot `after` against `before`.

    items_gained, items_lost: ids, most popular first. lists_compared: items of both that had neighbours before;
    lists_changed: those of them whose first `depth` neighbours are others or in another order; overlap: over the lists
    compared, the mean share of the first neighbours before that are still among them (None: there was none). changes:
    the lists that kept least, worst first. equal: both hold the same data.
    """

    before: str
    after: str
    equal: bool
    depth: int
    items_before: int
    items_after: int
    orders_before: int
    orders_after: int
    items_gained: tuple[str, ...]
    items_lost: tuple[str, ...]
    lists_compared: int
    lists_changed: int
    overlap: float | None
    changes: tuple[ListChange, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def diff(before: PublishedSnapshot, after: PublishedSnapshot, *, depth: int = DEPTH, shown: int = 20) -> SnapshotDiff:
    """Compares two snapshots whole; `changes` holds the first `shown`.

    Raises:
        SnapshotNotFound: one was removed meanwhile.
        SnapshotDamaged: an item of one cannot be read.
        RedisUnavailable: Redis does not answer.
    """
    old, new = before.item_ids(), after.item_ids()
    there, kept = set(new), set(old)
    common = [item for item in old if item in there]
    lists: dict[str, list[str]] = {}
    fresh: dict[str, list[str]] = {}
    for some in batches(common):
        lists |= before.lists_of(some, depth)
        fresh |= after.lists_of(some, depth)
    changed = [_change(item, ids, fresh.get(item, [])) for item, ids in lists.items() if fresh.get(item) != ids]
    changed.sort(key=lambda one: (one.overlap, one.item_id))
    counts = before.manifest["counts"], after.manifest["counts"]
    return SnapshotDiff(
        before=before.snapshot_id,
        after=after.snapshot_id,
        equal=before.manifest["digest"] == after.manifest["digest"],
        depth=depth,
        items_before=sold_items(counts[0]),
        items_after=sold_items(counts[1]),
        orders_before=counts[0]["orders"],
        orders_after=counts[1]["orders"],
        items_gained=tuple(item for item in new if item not in kept),
        items_lost=tuple(item for item in old if item not in there),
        lists_compared=len(lists),
        lists_changed=len(changed),
        overlap=mean_overlap(lists, fresh),
        changes=tuple(changed[:shown]),
    )


def pair(store: SnapshotStore, one: str | None, other: str | None) -> tuple[PublishedSnapshot, PublishedSnapshot]:
    """The two to compare: without `other` the later is the served one; without `one` the earlier is what it replaced.

    Raises:
        SnapshotNotFound: one of them is not kept, or nothing is published.
    """
    after = store.get(other) if other is not None else store.current()
    if one is not None:
        return store.get(one), after
    previous = after.manifest.get("previous_id")
    if previous is None:
        raise SnapshotNotFound(
            f"Snapshot {after.snapshot_id} was the first: there is none before it to compare with.",
            hint="Name two of those that `reco snapshot list` shows.",
            snapshot_id=after.snapshot_id,
        )
    try:
        return store.get(str(previous)), after
    except (SnapshotNotFound, SnapshotDamaged) as error:
        raise SnapshotNotFound(
            f"Snapshot {previous}, which {after.snapshot_id} replaced, is not kept any more.",
            hint="Name one of those that `reco snapshot list` shows, or raise RECO_KEEP_SNAPSHOTS.",
            snapshot_id=str(previous),
        ) from error


def _change(item: str, old: list[str], new: list[str]) -> ListChange:
    lost = tuple(one for one in old if one not in new)
    return ListChange(item, 1 - len(lost) / len(old), lost, tuple(one for one in new if one not in old))
