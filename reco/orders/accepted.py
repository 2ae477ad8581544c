"""The accepted lines of all drops as columns of numbers, and which of them are in effect.

Belongs here: reading them, merging ids that mean one item, and what a later batch or a return does to earlier lines.
Does not belong here: the rows of the orders view (`reco.orders.view`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.orders.merging import MergedItem, merge
from reco.storage.columns import COUNT, MONEY, TEXT, TIME, Arrow, Ints, Texts, numbers, read_columns, text_array, texts

_SCHEMA = pa.schema(
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
_NOT_BOUGHT = -1


@dataclass(frozen=True, slots=True)
class OrderPart:
    """The accepted lines of one drop.

    path: a part of `order_lines`. drop_key: its partition key. batch: number of the run that brought it; a higher one
    is later. name: what people call the drop. merge: what its source lets differ in the ids of one item
    (`reco.orders.merging`).
    """

    path: Path
    drop_key: str
    batch: int
    name: str
    merge: tuple[str, ...] = ()


class ReplacedOrder(NamedTuple):
    """An order whose lines of one batch gave way to those of a later one."""

    source: str
    order_id: str
    from_batch: int
    to_batch: int


@dataclass(frozen=True, slots=True)
class InEffect:
    """Which lines count.

    lines: one flag a line; replaced: how many gave way to a later batch; unmatched: how many take back units of an
    order that is not there; orders: of each order in several batches its code and the last two batches.
    """

    lines: NDArray[np.bool_]
    replaced: int
    unmatched: int
    orders: tuple[Ints, Ints, Ints]


@dataclass(frozen=True, slots=True)
class AcceptedLines:
    """All lines of the parts, one place a line in every array.

    amounts: line_total and ordered_at as they came; quantity: below zero where the line takes units back; order: the
    code of (source, order_id), in their order; part: the place of the line's drop among `drop_keys`, which ascend.
    """

    amounts: pa.Table
    quantity: Ints
    drop_keys: Arrow
    batches: Ints
    part: NDArray[np.int32]
    sources: Arrow
    order_ids: Arrow
    items: Texts
    merged: tuple[MergedItem, ...]
    customers: Texts
    order: Ints

    @classmethod
    def read(cls, parts: Sequence[OrderPart]) -> "AcceptedLines":
        """The lines of these parts, which come in the order of their keys."""
        coded = ("source", "item_id", "customer_id")
        tables = [read_columns(part.path, _SCHEMA, coded=coded) for part in parts]
        table = pa.concat_tables(tables) if tables else pa.Table.from_batches([], _SCHEMA)
        sources, order_ids, items, customers = (
            texts(table[name]) for name in ("source", "order_id", "item_id", "customer_id")
        )
        part = np.repeat(np.arange(len(parts), dtype=np.int32), [one.num_rows for one in tables])
        items, merged = merge(items, [one.merge for one in parts], part, sources)
        return cls(
            table.select(["line_total", "ordered_at"]),
            numbers(table["quantity"]),
            text_array([part.drop_key for part in parts]),
            np.array([part.batch for part in parts], np.int64),
            part,
            sources.values,
            order_ids.values,
            items,
            merged,
            customers,
            sources.codes.astype(np.int64) * len(order_ids) + order_ids.codes,
        )

    def in_effect(self) -> InEffect:
        """Which lines count: those of the latest batch in which an order was bought, and what was taken back since.

        A line that takes units back replaces no order: a return that is exported alone leaves the order as it was.
        """
        batch, bought = self.batches[self.part], self.quantity > 0
        nothing = np.empty(0, np.int64)
        if bought.all() and (not len(batch) or (batch == batch[0]).all()):
            return InEffect(bought, 0, 0, (nothing, nothing, nothing))
        by_order = np.lexsort((batch[bought], self.order[bought]))
        order, batch_of = self.order[bought][by_order], batch[bought][by_order]
        first = np.concatenate([[True], (order[1:] != order[:-1]) | (batch_of[1:] != batch_of[:-1])])[: len(order)]
        order, batch_of = order[first], batch_of[first]  # each order in each of its batches, ascending
        last = np.concatenate([order[1:] != order[:-1], [True]])[: len(order)]
        latest = self._look_up(order[last], batch_of[last])
        lines = np.where(bought, batch == latest, (latest != _NOT_BOUGHT) & (batch >= latest))
        again = np.flatnonzero(last[1:] & (order[1:] == order[:-1])) + 1
        return InEffect(
            lines,
            int(np.count_nonzero(~lines & (latest != _NOT_BOUGHT))),
            int(np.count_nonzero(latest == _NOT_BOUGHT)),
            (order[again], batch_of[again - 1], batch_of[again]),
        )

    def _look_up(self, order: Ints, value: Ints) -> Ints:
        """The value of each line's order, `_NOT_BOUGHT` where it has none; `order` ascends."""
        if not len(order):
            return np.full(len(self.order), _NOT_BOUGHT)
        place = np.minimum(np.searchsorted(order, self.order), len(order) - 1)
        return np.where(order[place] == self.order, value[place], _NOT_BOUGHT)

    def name(self, order: Ints, before: Ints, after: Ints) -> tuple[ReplacedOrder, ...]:
        """Orders that were replaced, by the names people know."""
        source, order_id = np.divmod(order, max(1, len(self.order_ids)))
        found = zip(source.tolist(), order_id.tolist(), before.tolist(), after.tolist(), strict=True)
        return tuple(ReplacedOrder(str(self.sources[s]), str(self.order_ids[o]), old, new) for s, o, old, new in found)
