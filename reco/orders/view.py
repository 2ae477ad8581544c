"""The orders view: the lines of all drops as one table in which every order stands once.

Belongs here: what happens when an order comes in several lines, several drops or several batches. Does not belong here:
which lines are accepted (the reader), and anything counted over orders (the model).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.errors import UsageError
from reco.orders.accepted import NEVER, AcceptedLines, OrderPart, ReplacedOrder
from reco.orders.merging import MergedItem
from reco.storage.columns import (
    COUNT,
    MONEY_SUM,
    NULL,
    TEXT,
    TIME,
    Arrow,
    Ints,
    TableWriter,
    is_one_value,
    lake_errors,
    nothing,
    number_column,
    split_codes,
    sum_column,
    sum_money,
    sum_runs,
    text_column,
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
        ("revenue", MONEY_SUM),
        ("customer_id", TEXT),
        ("ordered_at", TIME),
        ("drop_key", TEXT),
    ]
)


@dataclass(frozen=True, slots=True)
class OrdersReport:
    """Figures of the orders view.

    lines: lines of all parts; lines_replaced: those of them that a later batch replaced; rows: rows written, one per
    order and item; orders, items: distinct ones in effect; replaced_orders: orders that came in more than one batch;
    replaced: the first 20 of them by source and order id, with the last two batches.

    lines_taken_back: lines in effect that take units of their order back; lines_repeated: lines that take back what a
    line of another batch takes back already, and count for nothing; lines_unmatched: lines that would take back what
    was not bought, which count for nothing; rows_netted_out: items of orders of which nothing was left;
    rows_overreturned: those of them of which more was taken back than bought, by `units_overreturned`; merged: the ids
    that stand under another one.
    """

    lines: int
    lines_replaced: int
    rows: int
    orders: int
    items: int
    replaced_orders: int
    replaced: tuple[ReplacedOrder, ...]
    lines_taken_back: int = 0
    lines_repeated: int = 0
    lines_unmatched: int = 0
    rows_netted_out: int = 0
    rows_overreturned: int = 0
    units_overreturned: int = 0
    merged: tuple[MergedItem, ...] = ()


def build_orders(parts: Sequence[OrderPart], out: Path) -> OrdersReport:
    """Writes the `orders` table of these parts.

    An order is (source, order_id). Within a batch its lines are united, whichever drops they came in; the latest batch
    that has the order gives all of its lines. Repeats of an item in an order are one row: quantities and line totals
    add up (revenue is null only if no line has a total; lines without one add nothing). customer_id (the smallest) and
    ordered_at (the earliest) belong to the order and are equal on all its rows; drop_key is the smallest one that
    brought the row. Neither the order of `parts` nor that of their lines matters, and no parts make an empty table.

    A line with a quantity below zero takes units back: it nets with the lines of its order and item, whichever batch
    came first (`reco.orders.effect`), and an item of which nothing is left is no part of the order. Ids that a source's
    rule calls the same are one item.

    Lines are sorted by one number made of the codes of source, order and item, one range of orders after another.

    Args:
        parts: Parquet files shaped as `order_lines`; each path and drop key once.
        out: Parquet file to write: source, order_id, item_id, quantity BIGINT, revenue DECIMAL(38,4), customer_id,
            ordered_at TIMESTAMP (UTC), drop_key; sorted by source, order_id, item_id (bytes of their text).

    Raises:
        UsageError: a path or drop key is given twice: its lines would count twice.
        LakeError: a part is missing or damaged, or the file could not be written.
    """
    _require_distinct("path", [str(part.path) for part in parts])
    _require_distinct("drop_key", [part.drop_key for part in parts])
    require_files("orders", [part.path for part in parts])
    with lake_errors("orders"):
        lines = AcceptedLines.read(sorted(parts, key=lambda part: part.drop_key))
        effect = lines.in_effect()
        with write_table(out, ORDERS_SCHEMA) as writer:
            written = _write(lines, effect.lines, writer)
    return OrdersReport(
        lines=len(lines.order),
        lines_replaced=effect.replaced,
        rows=written["rows"],
        orders=written["orders"],
        items=written["items"],
        replaced_orders=len(effect.orders[0]),
        replaced=lines.name(*(column[:REPLACED_SHOWN] for column in effect.orders)),
        lines_taken_back=written["taken_back"],
        lines_repeated=effect.repeated,
        lines_unmatched=written["unmatched"] + effect.unmatched,
        rows_netted_out=written["netted_out"],
        rows_overreturned=written["overreturned"],
        units_overreturned=written["units_overreturned"],
        merged=lines.merged,
    )


def _require_distinct(field: str, values: list[str]) -> None:
    repeated = [value for value, times in Counter(values).items() if times > 1]
    if repeated:
        raise UsageError(
            f"orders cannot be computed: the {field} {repeated[0]} is given twice, so its lines would count twice.",
            hint="Give each drop's part once.",
        )


def _write(lines: AcceptedLines, in_effect: NDArray[np.bool_], writer: TableWriter) -> Counter[str]:
    """Writes one row an order and item of which something is left, and counts."""
    counts: Counter[str] = Counter()
    seen = np.zeros(len(lines.items), bool)
    for used in _ranges(lines.order, in_effect):
        group = _Grouped.of(lines, used)
        mine, starts = group.lines, group.starts
        units = sum_runs(lines.quantity, mine, starts)
        kept = units > 0
        item, order = group.item[kept], group.order[kept]
        source, order_id = split_codes(order, len(lines.order_ids))
        customer = group.of_order(lines.customers.codes, null=NULL)[kept]
        first = group.of_order(lines.ordered_at)[kept]
        has_total = group.of_row(lines.has_total, np.logical_or)[kept]
        writer.write(
            text_column(lines.sources, source),
            text_column(lines.order_ids, order_id),
            text_column(lines.items.values, item),
            number_column(units[kept]),
            _revenue(lines.total[mine], starts, kept, has_total),
            text_column(lines.customers.values, np.where(customer == NEVER, NULL, customer)),
            number_column(first, TIME, known=first != NEVER),
            text_column(lines.drop_keys, group.of_row(lines.part, np.minimum)[kept]),
        )
        seen[item] = True
        counts.update(rows=len(item), orders=int(np.count_nonzero(np.diff(order))) + min(1, len(order)))
        if not kept.all() or (lines.quantity[mine] < 0).any():
            counts.update(_taken_back(lines.quantity[mine], starts, units))
    counts["items"] = int(np.count_nonzero(seen))
    return counts


def _revenue(amounts: Ints, starts: Ints, kept: NDArray[np.bool_], has_total: NDArray[np.bool_]) -> Arrow:
    if not has_total.any():  # a shop's export may hold no prices at all
        return nothing(len(has_total), MONEY_SUM)
    return sum_column(sum_money(amounts, starts)[kept], has_total)


def _taken_back(quantity: Ints, starts: Ints, units: Ints) -> dict[str, int]:
    """How many lines took units back, how many had nothing to take back, and which rows are gone."""
    back = np.add.reduceat(quantity < 0, starts, dtype=np.int64)
    bought = np.logical_or.reduceat(quantity > 0, starts)
    beyond = units[bought & (units < 0)]
    return {
        "taken_back": int(back[bought].sum()),
        "unmatched": int(back[~bought].sum()),
        "netted_out": int(np.count_nonzero(bought & (units <= 0))),
        "overreturned": len(beyond),
        "units_overreturned": -int(beyond.sum()),
    }


def _ranges(order: Ints, in_effect: NDArray[np.bool_]) -> Iterator[Ints]:
    """The places of the lines in effect, one range of order codes after another, about `PORTION` lines each."""
    if len(order) <= PORTION:
        whole = np.flatnonzero(in_effect)
        if len(whole):
            yield whole
        return
    sample = np.sort(order[:: max(1, PORTION // 1024)])
    bounds = np.unique(sample[:: max(1, len(sample) * PORTION // len(order))])
    bounds[0] = order.min()
    ascending = _ascend(order)
    for low, high in zip(bounds, [*bounds[1:], np.iinfo(np.int64).max], strict=True):
        if ascending:  # as in a file that a shop exports order by order
            start, stop = np.searchsorted(order, [low, high])
            used = np.flatnonzero(in_effect[start:stop]) + start
        else:
            used = np.flatnonzero(in_effect & (order >= low) & (order < high))
        if len(used):
            yield used


def _ascend(values: Ints) -> bool:
    portions = (values[start : start + PORTION + 1] for start in range(0, len(values), PORTION))
    return all(bool((portion[1:] >= portion[:-1]).all()) for portion in portions)


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
    def of(cls, lines: AcceptedLines, used: Ints) -> "_Grouped":
        key = lines.order[used] * len(lines.items) + lines.items.codes[used]
        by_key = np.argsort(key, kind="stable")
        key = key[by_key]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
        order, item = split_codes(key[starts], len(lines.items))
        order_starts = np.flatnonzero(np.concatenate([[True], order[1:] != order[:-1]]))
        return cls(used[by_key], starts, order, item, order_starts)

    def of_row(self, values: NDArray[Any], united: np.ufunc) -> NDArray[Any]:
        """What becomes of the values of all lines of each row, taken two and two."""
        if is_one_value(values):
            return np.broadcast_to(values[0], len(self.starts))
        found: NDArray[Any] = united.reduceat(values[self.lines], self.starts)
        return found

    def of_order(self, values: NDArray[np.integer[Any]], *, null: int = NEVER) -> Ints:
        """The smallest value of each order, on all its rows; `NEVER` where all are `null`."""
        if is_one_value(values):
            return np.broadcast_to(np.int64(NEVER if values[0] == null else values[0]), len(self.order))
        mine = values[self.lines].astype(np.int64)
        smallest = np.minimum.reduceat(np.where(mine == null, NEVER, mine), self.starts[self.order_starts])
        found: Ints = np.repeat(smallest, np.diff(np.append(self.order_starts, len(self.order))))
        return found
