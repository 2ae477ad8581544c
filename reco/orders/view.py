"""The orders view: the lines of all drops as one table in which every order stands once.

Belongs here: what happens when an order comes in several lines, several drops or several batches. Does not belong here:
which lines are accepted (the reader), and anything counted over orders (the model).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from reco.errors import UsageError
from reco.storage.columns import (
    COUNT,
    MONEY,
    NULL,
    TEXT,
    TIME,
    Arrow,
    Ints,
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

    Lines are sorted by one number made of the codes of source, order and item.

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
            rows, orders, items = _write(lines, np.flatnonzero(in_effect), writer.write)
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
    part: Ints
    sources: Texts
    order_ids: Texts
    items: Texts
    order: Ints

    @classmethod
    def read(cls, parts: Sequence[OrderPart]) -> "_Lines":
        coded = ("source", "item_id", "customer_id")
        tables = [read_columns(part.path, _LINES_SCHEMA.names, coded=coded) for part in parts]
        table = pa.concat_tables(tables) if tables else _LINES_SCHEMA.empty_table()
        sources, order_ids, items = (texts(table[name]) for name in ("source", "order_id", "item_id"))
        return cls(
            table,
            text_array([part.drop_key for part in parts]),
            np.array([part.batch for part in parts], np.int64),
            np.repeat(np.arange(len(parts)), [one.num_rows for one in tables]),
            sources,
            order_ids,
            items,
            sources.codes * len(order_ids) + order_ids.codes,
        )

    def latest(self) -> tuple[Any, tuple[Ints, Ints, Ints]]:
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
            ReplacedOrder(str(self.sources.values[code // width]), str(self.order_ids.values[code % width]), old, new)
            for width in (len(self.order_ids),)
            for code, old, new in found
        )


def _write(lines: _Lines, used: Ints, write: Any) -> tuple[int, int, int]:
    """Writes one row an order and item of the lines used; returns how many rows, orders and items there are."""
    if not len(used):
        return 0, 0, 0
    key = lines.order[used] * len(lines.items) + lines.items.codes[used]
    by_key = np.argsort(key, kind="stable")
    key, used = key[by_key], used[by_key]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    order, item = np.divmod(key[starts], len(lines.items))
    order_starts = np.flatnonzero(np.concatenate([[True], order[1:] != order[:-1]]))
    sizes = np.diff(np.append(order_starts, len(order)))

    def of_order(values: Ints) -> Ints:
        """The smallest value of each order, on all its rows."""
        found: Ints = np.repeat(np.minimum.reduceat(values, starts[order_starts]), sizes)
        return found

    customers = texts(lines.table["customer_id"])
    customer = of_order(np.where(customers.codes == NULL, _NEVER, customers.codes)[used])
    ordered_at = of_order(numbers(lines.table["ordered_at"], null=_NEVER)[used])
    amounts, known = money(lines.table["line_total"])
    source, order_id = np.divmod(order, len(lines.order_ids))
    write(
        text_column(lines.sources.values, source),
        lines.order_ids.values.take(number_column(order_id)),
        text_column(lines.items.values, item),
        number_column(np.add.reduceat(numbers(lines.table["quantity"])[used], starts)),
        money_column(sum_money(amounts[used], starts), np.logical_or.reduceat(known[used], starts)),
        text_column(customers.values, np.where(customer == _NEVER, NULL, customer)),
        number_column(ordered_at, TIME, known=ordered_at != _NEVER),
        text_column(lines.drop_keys, np.minimum.reduceat(lines.part[used], starts)),
    )
    return len(starts), len(order_starts), int(np.count_nonzero(np.bincount(item)))
