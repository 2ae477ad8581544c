"""What became different when the served snapshot took the place of the one before it.

Belongs here: comparing two published snapshots. Does not belong here: keeping a poor one out, which the gate does
before it is served (`reco.snapshot.gate`).
"""

from dataclasses import dataclass
from typing import Any

import redis

from reco.errors import SnapshotDamaged, SnapshotNotFound
from reco.snapshot.gate import DEPTH, SAMPLE, mean_overlap
from reco.snapshot.manifest import sold_items
from reco.snapshot.store import SnapshotStore


@dataclass(frozen=True, slots=True)
class SnapshotChange:
    """The served snapshot against the one it replaced; what had no predecessor to compare with is None.

    loss shares are in 0..1, and 0 where it grew; overlap: the mean share of the first 10 neighbours of the 200 most
    popular items before that are still among their first 10; least: the items that kept least, worst first.
    """

    snapshot_id: str
    previous_id: str | None
    items: int
    orders: int
    items_before: int | None = None
    orders_before: int | None = None
    overlap: float | None = None
    least: tuple[dict[str, Any], ...] = ()

    @property
    def item_loss(self) -> float | None:
        """The share of items that are gone."""
        return _loss(self.items_before, self.items)

    @property
    def order_loss(self) -> float | None:
        """The share of orders that are gone."""
        return _loss(self.orders_before, self.orders)


def served_change(client: redis.Redis, namespace: str, *, shown: int = 20) -> SnapshotChange:
    """Compares the current snapshot with the one that its manifest names as previous, if that is still kept.

    Raises:
        SnapshotNotFound: nothing is published.
        SnapshotDamaged: the current snapshot cannot be read.
    """
    store = SnapshotStore(client, namespace)
    sid = store.current_id()
    if sid is None:
        raise SnapshotNotFound("No snapshot is published.", hint="Materialize redis_snapshot first.")
    current = store.get(sid)
    now = current.manifest["counts"]
    previous_id = current.manifest.get("previous_id")
    alone = SnapshotChange(sid, previous_id, sold_items(now), now["orders"])
    if previous_id is None:
        return alone
    try:
        previous = store.get(previous_id)
        lists = previous.top_lists(SAMPLE, DEPTH)
    except (SnapshotNotFound, SnapshotDamaged):  # it was retired: there is nothing to compare with, which is no fault
        return alone
    fresh = current.lists_of(list(lists), DEPTH)
    shares = {item: len(set(old) & set(fresh.get(item, ()))) / len(set(old)) for item, old in lists.items()}
    least = sorted((one for one in shares.items() if one[1] < 1), key=lambda one: (one[1], one[0]))[:shown]
    before = previous.manifest["counts"]
    return SnapshotChange(
        sid,
        previous_id,
        sold_items(now),
        now["orders"],
        sold_items(before),
        before["orders"],
        mean_overlap(lists, fresh),
        tuple(
            {
                "item_id": item,
                "overlap": share,
                "gone": ", ".join(other for other in lists[item] if other not in fresh.get(item, ())),
            }
            for item, share in least
        ),
    )


def _loss(before: int | None, after: int) -> float | None:
    return max(0, before - after) / before if before else None
