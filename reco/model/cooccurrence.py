"""Co-occurrence: in how many orders two items stand together, exactly.

Belongs here: counting pairs. Does not belong here: judging them (similar items do), or leaving any out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from reco.errors import LakeError
from reco.storage.columns import (
    COUNT,
    TEXT,
    Ints,
    Texts,
    lake_errors,
    number_column,
    read_columns,
    text_column,
    texts,
    write_table,
)
from reco.storage.engine import require_files

PORTION = 2**18
"""Pair occurrences counted at once, which bounds the memory and stays in the caches; one item's are never divided."""

_ENTRIES_SCHEMA = pa.schema([("source", TEXT), ("order_id", TEXT), ("item_id", TEXT)])
COOCCURRENCE_SCHEMA = pa.schema([("item_id", TEXT), ("other_id", TEXT), ("pair_orders", COUNT)])


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


@dataclass(frozen=True, slots=True)
class _Baskets:
    """The entries (order, item) of all orders. item: code, by entry; starts, sizes: each order's run of entries."""

    items: Texts
    starts: Ints
    sizes: Ints

    @classmethod
    def read(cls, orders: Path) -> "_Baskets":
        table = read_columns(orders, _ENTRIES_SCHEMA, coded=("source", "order_id", "item_id"))
        items = texts(table["item_id"])
        if not table.num_rows:
            return cls(items, np.empty(0, np.int64), np.empty(0, np.int64))
        source, order = texts(table["source"]).codes, texts(table["order_id"]).codes
        same_source = source[1:] == source[:-1]
        same = same_source & (order[1:] == order[:-1])
        later = (source[1:] > source[:-1]) | (same_source & (order[1:] > order[:-1]))
        if not (later | (same & (items.codes[1:] > items.codes[:-1]))).all():
            raise LakeError(
                f"{orders} is not sorted by order and item, or repeats a row.",
                hint="Materialize orders again: its file is damaged.",
                path=str(orders),
            )
        starts = np.flatnonzero(np.concatenate([[True], ~same]))
        return cls(items, starts, np.diff(np.append(starts, table.num_rows)))


def build_cooccurrence(orders: Path, out: Path) -> CooccurrenceReport:
    """Writes the `item_cooccurrence` table: every pair of items that share an order, in both directions.

    pair_orders(a, b) is the number of distinct (source, order_id) with a and b, a <> b. For one portion of the items
    after another, each entry of an item is joined with all entries of its order, and the pairs are sorted and counted
    as single integers: the work is that of sorting the pair occurrences, and the memory does not grow with the pairs.

    Args:
        orders: the `orders` table; its order and that no row repeats are relied on and checked.
        out: Parquet file to write: item_id, other_id, pair_orders BIGINT; sorted by item_id, other_id.

    Raises:
        LakeError: the input is missing or damaged, or the file could not be written.
    """
    require_files("item_cooccurrence", [orders])
    rows = occurrences = with_neighbour = 0
    with lake_errors("item_cooccurrence"):
        baskets = _Baskets.read(orders)
        names = baskets.items.values
        with write_table(out, COOCCURRENCE_SCHEMA) as writer:
            for item, other, count in _portions(baskets):
                writer.write(text_column(names, item), text_column(names, other), number_column(count))
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


def _portions(baskets: _Baskets) -> Iterator[tuple[Ints, Ints, Ints]]:
    """The pairs as item, other and count, sorted by item and other, all pairs of an item in one portion."""
    item, width = baskets.items.codes.astype(np.int64), len(baskets.items)
    size = np.repeat(baskets.sizes, baskets.sizes)
    start = np.repeat(baskets.starts, baskets.sizes)
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
            partners = _partners(start[mine], size[mine])
            one, other, count = _count(np.repeat(item[mine] - low, size[mine]), item[partners], (high - low, width))
            apart = one + low != other
            yield one[apart] + low, other[apart], count[apart]
        low = high


def _partners(start: Ints, size: Ints) -> Ints:
    """The places start, start + 1, ... of each run of this size, one run after the other."""
    ends = np.cumsum(size)
    return np.repeat(start - ends + size, size) + np.arange(ends[-1])


def _count(one: Ints, other: Ints, shape: tuple[int, int]) -> tuple[Ints, Ints, Ints]:
    """The distinct pairs of two equally long arrays, sorted, and how often each stands there; `shape` bounds both."""
    pair = one * shape[1] + other
    pair = np.sort(pair.astype(np.int32) if shape[0] * shape[1] < 2**31 else pair)  # half the bytes to sort
    first = np.flatnonzero(np.concatenate([[True], pair[1:] != pair[:-1]]))
    one, other = np.divmod(pair[first].astype(np.int64), shape[1])
    return one, other, np.diff(np.append(first, len(pair)))
