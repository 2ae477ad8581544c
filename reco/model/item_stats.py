"""Item stats: what each item sold, to how many, when, and where it stands among all items.

Belongs here: the figures of one item. Does not belong here: what it is called (`reco.model.names`), and anything about
two items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco.errors import UsageError
from reco.model.names import Lines, find_names
from reco.storage.columns import (
    COUNT,
    MONEY_SUM,
    NULL,
    REAL,
    TEXT,
    TIME,
    Arrow,
    Ints,
    Texts,
    flags,
    is_one_value,
    lake_errors,
    nothing,
    number_column,
    numbers,
    pair_codes,
    places_by_code,
    sum_column,
    sum_sums,
    write_table,
)
from reco.storage.engine import require_files
from reco.storage.reading import Columns

_COLUMNS = ("source", "order_id", "item_id", "quantity", "revenue", "customer_id", "ordered_at")
ITEM_STATS_SCHEMA = pa.schema(
    [
        ("item_id", TEXT),
        ("item_name", TEXT),
        ("category", TEXT),
        ("orders", COUNT),
        ("units", COUNT),
        ("revenue", MONEY_SUM),
        ("customers", COUNT),
        ("first_sold_at", TIME),
        ("last_sold_at", TIME),
        ("rank", COUNT),
        ("share", REAL),
    ]
)
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class ItemStatsReport:
    """Figures of the item stats.

    items: rows written; orders: distinct orders; units; named: items whose name is not just their id;
    named_by_catalogue: those named by the catalogue; categorised: items with a category; first_sold_at, last_sold_at:
    UTC, over all items.
    """

    items: int
    orders: int
    units: int
    named: int
    named_by_catalogue: int
    categorised: int
    first_sold_at: datetime | None
    last_sold_at: datetime | None


def build_item_stats(
    orders: Path,
    lines: Sequence[Path],
    names: Path | None,
    out: Path,
    *,
    batches: Sequence[int] | None = None,
    merged: Path | None = None,
    rules: Mapping[str, tuple[str, ...]] | None = None,
) -> ItemStatsReport:
    """Writes the `item_stats` table: one row per item that is in an order.

    orders counts the orders with the item, units adds quantities, revenue adds what has a price (null if nothing has),
    customers counts distinct (source, customer_id) (null if no order of the item has a customer). rank is 1.. by orders
    descending, item_id ascending; share is orders / all orders.

    The name is the catalogue's, else the most frequent one in the lines (ties: the smallest), else the id; the category
    likewise, else null. Blank text is no name. Customers are told apart by source, as orders are:
    two systems number theirs independently.

    Args:
        orders: the `orders` table.
        lines: parts of `order_lines`, for names and categories.
        names: the shop's catalogue as Parquet with item_id, item_name, category; None: it has none.
        out: Parquet file to write; columns as in the lake's contract, sorted by rank.
        batches: the batch of each of `lines`. With it only lines that are in effect name an item: those of the latest
            batch of their order. Without it all lines do, replaced ones too.
        merged: the `merged_items` table: lines of an id that stands under another one name that one.
        rules: what each source lets differ in the ids of one item (`reco.orders.merging`): a catalogue that lists an
            item under another of its ids names it too, unless it lists the item's own.

    Raises:
        UsageError: `batches` has not one number for each of `lines`.
        LakeError: an input is missing or damaged, or the file could not be written.
    """
    if batches is not None and len(batches) != len(lines):
        raise UsageError(
            f"item_stats got {len(batches)} batch numbers for {len(lines)} parts.", hint="Give one batch for each part."
        )
    require_files("item_stats", [orders, *lines, *([names] if names else [])])
    with lake_errors("item_stats"):
        sold = _Sold.read(orders)
        items = sold.items.values.take(number_column(sold.ranked))
        called = find_names(items, Lines(lines, batches, merged), names, orders, rules or {})
        name = pc.coalesce(called.item_name, items)
        columns = sold.columns()
        with write_table(out, ITEM_STATS_SCHEMA) as writer:
            if len(items):
                writer.write(items, name, called.category, *columns)
    return ItemStatsReport(
        items=len(items),
        orders=sold.all_orders,
        units=int(numbers(pa.chunked_array([columns[1]])).sum()),
        named=int(np.count_nonzero(flags(pc.not_equal(name, items)))),
        named_by_catalogue=called.catalogued,
        categorised=len(items) - called.category.null_count,
        first_sold_at=pc.min(columns[4]).as_py(),
        last_sold_at=pc.max(columns[5]).as_py(),
    )


@dataclass(frozen=True)
class _Sold:
    """The orders, an entry each order and item.

    items: the item of each entry; starts: where each item that was sold begins, item by item; ranked: the codes of
    these items by rank; order: their places among `starts`; all_orders: how many orders there are.
    """

    table: Columns
    items: Texts
    starts: Ints
    ranked: Ints
    order: Ints
    all_orders: int

    @classmethod
    def read(cls, orders: Path) -> "_Sold":
        table = Columns.of([orders], _COLUMNS)
        items = table.texts("item_id")
        counts = np.bincount(items.codes, minlength=len(items))
        sold = np.flatnonzero(counts)
        starts = np.cumsum(counts[sold]) - counts[sold]
        by_rank = np.argsort(-counts[sold], kind="stable")
        return cls(table, items, starts, sold[by_rank], by_rank, _orders(table))

    @cached_property
    def entries(self) -> Ints:
        """The places of the entries, item by item; many a table has nothing that needs them."""
        return places_by_code(self.items.codes, len(self.items))

    def columns(self) -> tuple[Arrow, ...]:
        """The figures of each item, by rank, from `orders` on."""
        orders = np.diff(np.append(self.starts, len(self.items.codes)))[self.order]
        customers = self._customers()
        first, last = (self._time(of, none) for of, none in ((np.minimum, _NEVER), (np.maximum, -_NEVER)))
        return (
            number_column(orders),
            number_column(self._quantity(orders)),
            self._revenue(),
            number_column(customers, known=customers > 0),
            first,
            last,
            number_column(np.arange(1, len(orders) + 1)),
            number_column(orders / max(1, self.all_orders), REAL),
        )

    def _quantity(self, orders: Ints) -> Ints:
        units = self.table.numbers("quantity")
        return orders * units[0] if is_one_value(units) else self._each(units, np.add)

    def _each(self, values: NDArray[Any], of: np.ufunc) -> NDArray[Any]:
        """The values of each item, taken together, by rank."""
        if not len(self.starts):
            return values[:0]
        found: NDArray[Any] = of.reduceat(values[self.entries], self.starts)
        return found[self.order]

    def _revenue(self) -> Arrow:
        halves, known = self.table.sums("revenue")
        if not known.any():
            return nothing(len(self.starts), MONEY_SUM)
        found = sum_sums(halves[self.entries], self.starts)[self.order]
        return sum_column(found, self._each(known, np.logical_or))

    def _customers(self) -> Ints:
        """How many customers each item has, told apart by source; 0 where none is known."""
        found = np.zeros(len(self.items), np.int64)
        customers = self.table.texts("customer_id")
        known = customers.codes != NULL
        if known.any():
            sources = self.table.texts("source")
            who = pair_codes(sources, customers)[known]
            who = np.unique(who, return_inverse=True)[1]
            pairs = np.unique(self.items.codes[known].astype(np.int64) * (int(who.max()) + 1) + who)
            found = np.bincount(pairs // (int(who.max()) + 1), minlength=len(self.items))
        return found[self.ranked]

    def _time(self, of: np.ufunc, none: int) -> Arrow:
        if not self.table.has_values("ordered_at"):
            return nothing(len(self.starts), TIME)
        found = self._each(self.table.times("ordered_at", null=none), of)
        return number_column(found, TIME, known=found != none)


def _orders(table: Columns) -> int:
    """How many orders a table has, whether or not it is sorted by them."""
    source, order_id = table.texts("source"), table.texts("order_id")
    order = order_id.codes if len(source) == 1 else pair_codes(source, order_id)
    if not len(order):
        return 0
    if (order[1:] >= order[:-1]).all():
        return 1 + int(np.count_nonzero(order[1:] != order[:-1]))
    return len(np.unique(order))
