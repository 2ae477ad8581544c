"""Counting pairs by sorting: exact, in plain numpy, for small tables and for whoever needs every pair.

Belongs here: pairs as arrays, and counting all of them. Does not belong here: the compiled way for large tables
(`kernel`), judging pairs (`ranking`), or the table of those that are kept (`cooccurrence`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reco.model.baskets import UNIT, Baskets
from reco.storage.columns import Ints

PORTION = 2**18
"""Pair occurrences counted at once, which bounds the memory and stays in the caches; one item's are never divided."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of items, both directions, sorted by item and other.

    item, other: codes; orders: in how many orders both stand; weight: what these orders weigh together (None: one
    each).
    """

    item: Ints
    other: Ints
    orders: Ints
    weight: NDArray[np.float64] | None = None

    def where(self, kept: NDArray[np.bool_]) -> "Pairs":
        """Some of them."""
        weight = None if self.weight is None else self.weight[kept]
        return Pairs(self.item[kept], self.other[kept], self.orders[kept], weight)

    @classmethod
    def joined(cls, parts: "Sequence[Pairs]") -> "Pairs":
        """All of them, in this order; all have weights, or none."""
        if not parts:
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64))
        weights = [one.weight for one in parts if one.weight is not None]
        return cls(
            np.concatenate([one.item for one in parts]),
            np.concatenate([one.other for one in parts]),
            np.concatenate([one.orders for one in parts]),
            np.concatenate(weights) if weights else None,
        )


def count_pairs(baskets: Baskets, weights: Ints | None = None) -> Iterator[Pairs]:
    """All pairs of items that share an order, a portion of the items at a time, all pairs of an item in one portion.

    Args:
        baskets: the entries of the orders.
        weights: what each order weighs, in `baskets.UNIT`; None: one each.
    """
    item, width = baskets.items.codes.astype(np.int64), len(baskets.items)
    size = np.repeat(baskets.sizes, baskets.sizes)
    start = np.repeat(baskets.starts, baskets.sizes)
    heavy = None if weights is None else np.repeat(weights, baskets.sizes)
    small = item.astype(np.uint16) if width < 2**16 else item  # sorted by radix
    by_item = np.argsort(small, kind="stable")
    by_item = by_item[size[by_item] > 1]
    work = np.cumsum(np.bincount(item[by_item], weights=size[by_item], minlength=width))
    entries = np.searchsorted(item[by_item], np.arange(width + 1))
    low = 0
    while low < width:
        done = work[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(work, done + PORTION, side="right")))
        mine = by_item[entries[low] : entries[high]]
        if len(mine):
            others = item[_partners(start[mine], size[mine])]
            each = None if heavy is None else np.repeat(heavy[mine], size[mine])
            yield _count(np.repeat(item[mine], size[mine]), others, each, low, (high - low, width))
        low = high


def _partners(start: Ints, size: Ints) -> Ints:
    """The places start, start + 1, ... of each run of this size, one run after the other."""
    ends = np.cumsum(size)
    return np.repeat(start - ends + size, size) + np.arange(ends[-1])


def _count(one: Ints, other: Ints, weight: Ints | None, low: int, shape: tuple[int, int]) -> Pairs:
    """The distinct pairs of two equally long arrays, without those of an item with itself, and how often each is there.

    `low` is the first item, and `shape` bounds both from there.
    """
    pair = (one - low) * shape[1] + other
    pair = pair.astype(np.int32) if shape[0] * shape[1] < 2**31 else pair  # half the bytes to sort
    if weight is None:
        pair = np.sort(pair)
    else:
        by_pair = np.argsort(pair, kind="stable")
        pair, weight = pair[by_pair], weight[by_pair]
    first = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]]))
    one, other = np.divmod(pair[first].astype(np.int64), shape[1])
    one += low
    apart = one != other
    count = np.diff(np.append(first, len(pair)))
    total = None if weight is None else np.add.reduceat(weight, first)[apart] / UNIT
    return Pairs(one[apart], other[apart], count[apart], total)
