"""The accepted lines of all drops as columns of numbers, and which of them are in effect.

Belongs here: reading them, and merging ids that mean one item. Does not belong here: what a later batch or a return
does to earlier lines (`reco.orders.effect`), and the rows of the orders view (`reco.orders.view`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.orders.effect import InEffect, find_in_effect
from reco.orders.merging import MergedItem, merge, rules_of_sources
from reco.storage.columns import (
    COUNT,
    MONEY,
    NULL,
    TEXT,
    TIME,
    Arrow,
    Ints,
    Texts,
    money,
    number_column,
    numbers,
    read_columns,
    text_array,
    texts,
)

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


@dataclass(frozen=True, slots=True)
class OrderPart:
    """The accepted lines of one drop.

    path: a part of `order_lines`. drop_key: its partition key. batch: number of the run that brought it; a higher one
    is later. name: what people call the drop. merge: what its profile lets differ in the ids of one item; what counts
    for all lines of a source says `reco.orders.merging`.
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
        coded = ("source", "order_id", "item_id", "customer_id")
        tables = [read_columns(part.path, _SCHEMA, coded=coded) for part in parts]
        table = pa.concat_tables(tables) if tables else pa.Table.from_batches([], _SCHEMA)
        sources, order_ids, items, customers = (
            texts(table[name]) for name in ("source", "order_id", "item_id", "customer_id")
        )
        part = np.repeat(np.arange(len(parts), dtype=np.int32), [one.num_rows for one in tables])
        items, merged = merge(items, _rules(parts, part, sources), sources)
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
        """Which lines count: see `reco.orders.effect`."""
        return find_in_effect(self.order, self.batches[self.part], self.quantity > 0, self._contents)

    def _contents(self, places: Ints) -> tuple[Ints, ...]:
        """What makes lines of an order the same: item, units, total, customer and time."""
        chosen = self.amounts.take(number_column(places))
        amount, known = money(chosen["line_total"])
        times = numbers(chosen["ordered_at"], null=NULL)
        items, customers = (texts.codes[places].astype(np.int64) for texts in (self.items, self.customers))
        return items, self.quantity[places], amount, known.astype(np.int64), customers, times

    def name(self, order: Ints, before: Ints, after: Ints) -> tuple[ReplacedOrder, ...]:
        """Orders that were replaced, by the names people know."""
        source, order_id = np.divmod(order, max(1, len(self.order_ids)))
        found = zip(source.tolist(), order_id.tolist(), before.tolist(), after.tolist(), strict=True)
        return tuple(ReplacedOrder(str(self.sources[s]), str(self.order_ids[o]), old, new) for s, o, old, new in found)


def _rules(parts: Sequence[OrderPart], part: NDArray[np.int32], sources: Texts) -> dict[str, tuple[str, ...]]:
    """What each source lets differ in the ids of one item."""
    if not any(one.merge for one in parts):
        return {}
    has = np.zeros((len(parts), len(sources)), bool)
    has[part, sources.codes] = True
    found = zip(*(places.tolist() for places in np.nonzero(has)), strict=True)
    return rules_of_sources((str(sources.values[s]), parts[p].batch, parts[p].merge) for p, s in found)
