"""Co-occurrence: in how many orders two items stand together, exactly.

Belongs here: counting pairs. Does not belong here: judging them (similar items do), or leaving any out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.model.baskets import UNIT, Baskets
from reco.model.scores import ScoreSettings
from reco.storage.columns import COUNT, REAL, TEXT, Ints, lake_errors, number_column, text_column, write_table
from reco.storage.engine import require_files

PORTION = 2**18
"""Pair occurrences counted at once, which bounds the memory and stays in the caches; one item's are never divided."""

COOCCURRENCE_SCHEMA = pa.schema([("item_id", TEXT), ("other_id", TEXT), ("pair_orders", COUNT), ("pair_weight", REAL)])


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


@dataclass(frozen=True, slots=True)
class CooccurrenceReport:
    """Figures of the co-occurrence.

    orders: all orders; baskets_with_pairs: those with two items or more; pairs: distinct unordered pairs (the table has
    twice as many rows); pair_occurrences: the sum of their counts; items_with_neighbour: items in at least one pair.
    """

    orders: int
    baskets_with_pairs: int
    pairs: int
    pair_occurrences: int
    items_with_neighbour: int


def build_cooccurrence(orders: Path, out: Path, settings: ScoreSettings | None = None) -> CooccurrenceReport:
    """Writes the `item_cooccurrence` table: every pair of items that share an order, in both directions.

    pair_orders(a, b) is the number of distinct (source, order_id) with a and b, a <> b; pair_weight is the sum of these
    orders' weights where the score settings weigh orders (by size or age), else null. For one portion of the items
    after another, each entry of an item is joined with all entries of its order, and the pairs are sorted and counted
    as single integers: the work is that of sorting the pair occurrences, and the memory does not grow with the pairs.

    Args:
        orders: the `orders` table; its order and that no row repeats are relied on and checked.
        out: Parquet file to write: item_id, other_id, pair_orders BIGINT, pair_weight DOUBLE; sorted by item_id,
            other_id.
        settings: what an order weighs; None: one each.

    Raises:
        LakeError: the input is missing or damaged, or the file could not be written.
    """
    require_files("item_cooccurrence", [orders])
    rows = occurrences = with_neighbour = 0
    with lake_errors("item_cooccurrence"):
        settings = settings or ScoreSettings()
        baskets = Baskets.read(orders, times=bool(settings.half_life_days))
        names = baskets.items.values
        with write_table(out, COOCCURRENCE_SCHEMA) as writer:
            for pairs in count_pairs(baskets, baskets.weights(settings)):
                item, count = pairs.item, pairs.orders
                known = np.full(len(count), pairs.weight is not None)
                weight = np.zeros(len(count)) if pairs.weight is None else pairs.weight
                writer.write(
                    text_column(names, item),
                    text_column(names, pairs.other),
                    number_column(count),
                    number_column(weight, REAL, known=known),
                )
                rows += len(count)
                occurrences += int(count.sum())
                with_neighbour += 1 + int(np.count_nonzero(np.diff(item)))
    return CooccurrenceReport(
        orders=len(baskets.starts),
        baskets_with_pairs=int(np.count_nonzero(baskets.sizes > 1)),
        pairs=rows // 2,
        pair_occurrences=occurrences // 2,
        items_with_neighbour=with_neighbour,
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
