"""The orders view: the lines of all drops as one table in which every order stands once.

Belongs here: what happens when an order comes in several lines, several drops or several batches. Does not belong here:
which lines are accepted (the reader), and anything counted over orders (the model).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.errors import UsageError
from reco.storage.columns import (
    COUNT,
    MONEY,
    NULL,
    TEXT,
    TIME,
    Arrow,
    Ints,
    TableWriter,
    Texts,
    lake_errors,
    money,
    money_column,
    number_column,
    numbers,
    read_columns,
    sum_money,
    text_array,
    text_column,
    texts,
    write_table,
)
from reco.storage.engine import require_files

REPLACED_SHOWN = 20
PORTION = 2**21
"""Lines sorted at once, as near as orders can be divided."""

ORDERS_SCHEMA = pa.schema(
    [
        ("source", TEXT),
        ("order_id", TEXT),
        ("item_id", TEXT),
        ("quantity", COUNT),
        ("revenue", MONEY),
        ("customer_id", TEXT),
        ("ordered_at", TIME),
        ("drop_key", TEXT),
    ]
)
_LINES_SCHEMA = pa.schema(
    [
        ("source", TEXT),
        ("order_id", TEXT),
        ("item_id", TEXT),
        ("quantity", COUNT),
        ("line_total", MONEY),
        ("customer_id", TEXT),
        ("ordered_at", TIME),
    ]
)
_NEVER = np.iinfo(np.int64).max
"""Stands for what is missing where the smallest is looked for."""


@dataclass(frozen=True, slots=True)
class OrderPart:
    """The accepted lines of one drop.

    path: a part of `order_lines`. drop_key: its partition key. batch: number of the run that brought it; a higher one
    is later. name: what people call the drop.
    """

    path: Path
    drop_key: str
    batch: int
    name: str


class ReplacedOrder(NamedTuple):
    """An order whose lines of one batch gave way to those of a later one."""

    source: str
    order_id: str
    from_batch: int
    to_batch: int


@dataclass(frozen=True, slots=True)
class OrdersReport:
    """Figures of the orders view.

    lines: lines of all parts; lines_replaced: those of them that a later batch replaced; rows: rows written, one per
    order and item; orders, items: distinct ones in effect; replaced_orders: orders that came in more than one batch;
    replaced: the first 20 of them by source and order id, with the last two batches.
    """

    lines: int
    lines_replaced: int
    rows: int
    orders: int
    items: int
    replaced_orders: int
    replaced: tuple[ReplacedOrder, ...]


def build_orders(parts: Sequence[OrderPart], out: Path) -> OrdersReport:
    """Writes the `orders` table of these parts.

    An order is (source, order_id). Within a batch its lines are united, whichever drops they came in; the latest batch
    that has the order gives all of its lines. Repeats of an item in an order are one row: quantities and line totals
    add up (revenue is null only if no line has a total; lines without one add nothing). customer_id (the smallest) and
    ordered_at (the earliest) belong to the order and are equal on all its rows; drop_key is the smallest one that
    brought the row. Neither the order of `parts` nor that of their lines matters, and no parts make an empty table.

    Lines are sorted by one number made of the codes of source, order and item, one range of orders after another.

    Args:
        parts: Parquet files shaped as `order_lines`; each path and drop key once.
        out: Parquet file to write: source, order_id, item_id, quantity BIGINT, revenue DECIMAL(18,4), customer_id,
            ordered_at TIMESTAMP (UTC), drop_key; sorted by source, order_id, item_id (bytes of their text).

    Raises:
        UsageError: a path or drop key is given twice: its lines would count twice.
        LakeError: a part is missing or damaged, or the file could not be written.
    """
    _require_distinct("path", [str(part.path) for part in parts])
    _require_distinct("drop_key", [part.drop_key for part in parts])
    require_files("orders", [part.path for part in parts])
    with lake_errors("orders"):
        lines = _Lines.read(sorted(parts, key=lambda part: part.drop_key))
        in_effect, replaced = lines.latest()
        with write_table(out, ORDERS_SCHEMA, prefixed=["order_id"]) as writer:
            rows, orders, items = _write(lines, in_effect, writer)
    return OrdersReport(
        lines=len(in_effect),
        lines_replaced=len(in_effect) - int(np.count_nonzero(in_effect)),
        rows=rows,
        orders=orders,
        items=items,
        replaced_orders=len(replaced[0]),
        replaced=lines.name(*(column[:REPLACED_SHOWN] for column in replaced)),
    )


def _require_distinct(field: str, values: list[str]) -> None:
    repeated = [value for value, times in Counter(values).items() if times > 1]
    if repeated:
        raise UsageError(
            f"orders cannot be computed: the {field} {repeated[0]} is given twice, so its lines would count twice.",
            hint="Give each drop's part once.",
        )


@dataclass(frozen=True, slots=True)
class _Lines:
    """All lines of the parts, one place a line in every array.

    order: the code of (source, order_id), in their order; part: the place of the line's drop among `drop_keys`, which
    ascend; batch: by part. Amounts are in ten-thousandths.
    """

    table: pa.Table
    drop_keys: Arrow
    batches: Ints
    part: NDArray[np.int32]
    sources: Arrow
    order_ids: Arrow
    items: Texts
    customers: Texts
    order: Ints

    @classmethod
    def read(cls, parts: Sequence[OrderPart]) -> "_Lines":
        coded = ("source", "item_id", "customer_id")
        tables = [read_columns(part.path, _LINES_SCHEMA.names, coded=coded) for part in parts]
        table = pa.concat_tables(tables) if tables else _LINES_SCHEMA.empty_table()
        sources, order_ids, items, customers = (
            texts(table[name]) for name in ("source", "order_id", "item_id", "customer_id")
        )
        return cls(
            table.select(["quantity", "line_total", "ordered_at"]),
            text_array([part.drop_key for part in parts]),
            np.array([part.batch for part in parts], np.int64),
            np.repeat(np.arange(len(parts), dtype=np.int32), [one.num_rows for one in tables]),
            sources.values,
            order_ids.values,
            items,
            customers,
            sources.codes.astype(np.int64) * len(order_ids) + order_ids.codes,
        )

    def latest(self) -> tuple[NDArray[np.bool_], tuple[Ints, Ints, Ints]]:
        """Which lines are in effect; and of each order in several batches its code and its last two batches."""
        batch = self.batches[self.part]
        if not len(batch) or (batch == batch[0]).all():
            nothing = np.empty(0, np.int64)
            return np.ones(len(batch), bool), (nothing, nothing, nothing)
        by_order = np.lexsort((batch, self.order))
        order, batch_of = self.order[by_order], batch[by_order]
        first = np.concatenate([[True], (order[1:] != order[:-1]) | (batch_of[1:] != batch_of[:-1])])
        order, batch_of = order[first], batch_of[first]  # each order in each of its batches, ascending
        last = np.concatenate([order[1:] != order[:-1], [True]])
        in_effect = batch == batch_of[last][np.searchsorted(order[last], self.order)]
        again = np.flatnonzero(last[1:] & (order[1:] == order[:-1])) + 1
        return in_effect, (order[again], batch_of[again - 1], batch_of[again])

    def name(self, order: Ints, before: Ints, after: Ints) -> tuple[ReplacedOrder, ...]:
        """Orders that were replaced, by the names people know."""
        found = zip(order.tolist(), before.tolist(), after.tolist(), strict=True)
        return tuple(
            ReplacedOrder(str(self.sources[code // width]), str(self.order_ids[code % width]), old, new)
            for width in (len(self.order_ids),)
            for code, old, new in found
        )


def _write(lines: _Lines, in_effect: NDArray[np.bool_], writer: TableWriter) -> tuple[int, int, int]:
    """Writes one row an order and item of the lines in effect; returns how many rows, orders and items there are."""
    rows = orders = 0
    seen = np.zeros(len(lines.items), bool)
    amounts, known = money(lines.table["line_total"])
    quantity, ordered_at = numbers(lines.table["quantity"]), numbers(lines.table["ordered_at"], null=_NEVER)
    for used in _ranges(lines.order, in_effect):
        grouped = _Grouped.of(lines, used)
        item, starts = grouped.item, grouped.starts
        customer = grouped.of_order(lines.customers.codes.astype(np.int64), null=NULL)
        first = grouped.of_order(ordered_at)
        source, order_id = np.divmod(grouped.order, len(lines.order_ids))
        writer.write(
            text_column(lines.sources, source),
            lines.order_ids.take(number_column(order_id)),
            text_column(lines.items.values, item),
            number_column(np.add.reduceat(quantity[grouped.lines], starts)),
            money_column(
                sum_money(amounts[grouped.lines], starts), np.logical_or.reduceat(known[grouped.lines], starts)
            ),
            text_column(lines.customers.values, np.where(customer == _NEVER, NULL, customer)),
            number_column(first, TIME, known=first != _NEVER),
            text_column(lines.drop_keys, np.minimum.reduceat(lines.part[grouped.lines], starts)),
        )
        rows += len(starts)
        orders += len(grouped.order_starts)
        seen[item] = True
    return rows, orders, int(np.count_nonzero(seen))


def _ranges(order: Ints, in_effect: NDArray[np.bool_]) -> Iterator[Ints]:
    """The places of the lines in effect, one range of order codes after another, about `PORTION` lines each."""
    if len(order) <= PORTION:
        whole = np.flatnonzero(in_effect)
        if len(whole):
            yield whole
        return
    sample = np.sort(order[:: max(1, PORTION // 1024)])
    bounds = np.unique(sample[:: max(1, len(sample) * PORTION // len(order))])
    for low, high in zip([0, *bounds[1:]], [*bounds[1:], np.iinfo(np.int64).max], strict=True):
        used = np.flatnonzero(in_effect & (order >= low) & (order < high))
        if len(used):
            yield used


@dataclass(frozen=True, slots=True)
class _Grouped:
    """Some lines, sorted by order and item.

    lines: their places; starts: where each order and item begins among them; order, item: the codes of each;
    order_starts: where each order begins among `starts`.
    """

    lines: Ints
    starts: Ints
    order: Ints
    item: Ints
    order_starts: Ints

    @classmethod
    def of(cls, lines: _Lines, used: Ints) -> "_Grouped":
        key = lines.order[used] * len(lines.items) + lines.items.codes[used]
        by_key = np.argsort(key, kind="stable")
        key = key[by_key]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        order, item = np.divmod(key[starts], len(lines.items))
        order_starts = np.flatnonzero(np.concatenate([[True], order[1:] != order[:-1]]))
        return cls(used[by_key], starts, order, item, order_starts)

    def of_order(self, values: Ints, *, null: int = _NEVER) -> Ints:
        """The smallest value of each order, on all its rows; `_NEVER` where all are `null`."""
        mine = values[self.lines]
        smallest = np.minimum.reduceat(np.where(mine == null, _NEVER, mine), self.starts[self.order_starts])
        found: Ints = np.repeat(smallest, np.diff(np.append(self.order_starts, len(self.order))))
        return found
