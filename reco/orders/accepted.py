"""The accepted lines of all drops as columns of numbers, and which of them are in effect.

Belongs here: reading them, and merging ids that mean one item. Does not belong here: what a later batch or a return
does to earlier lines (`reco.orders.effect`), and the rows of the orders view (`reco.orders.view`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reco.orders.effect import InEffect, find_in_effect
from reco.orders.merging import MergedItem, merge, rules_of_sources
from reco.storage.columns import Arrow, Ints, Texts, pair_codes, repeated, split_codes, text_array
from reco.storage.reading import Columns

NEVER = np.iinfo(np.int64).max
"""Stands for a missing time where the earliest is looked for."""

_COLUMNS = ("source", "order_id", "item_id", "quantity", "line_total", "customer_id", "ordered_at")


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

    quantity: below zero where the line takes units back; total: the line's in ten-thousandths, 0 where not
    `has_total`; ordered_at: microseconds, `NEVER` without a time; order: the code of (source, order_id), in their
    order; part: the place of the line's drop among `drop_keys`, which ascend.
    """

    quantity: Ints
    total: Ints
    has_total: NDArray[np.bool_]
    ordered_at: Ints
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
        table = Columns.of([part.path for part in parts], _COLUMNS)
        sources, order_ids, items = (table.texts(name) for name in ("source", "order_id", "item_id"))
        part = repeated(np.arange(len(parts), dtype=np.int32), table.rows)
        items, merged = merge(items, _rules(parts, part, sources), sources)
        return cls(
            table.numbers("quantity"),
            *table.money("line_total"),
            table.times("ordered_at", null=NEVER),
            text_array([part.drop_key for part in parts]),
            np.array([part.batch for part in parts], np.int64),
            part,
            sources.values,
            order_ids.values,
            items,
            merged,
            table.texts("customer_id"),
            pair_codes(sources, order_ids),
        )

    def in_effect(self) -> InEffect:
        """Which lines count: see `reco.orders.effect`."""
        several = len(set(self.batches.tolist())) > 1
        batch = self.batches[self.part] if several else np.broadcast_to(self.batches[:1], len(self.order))
        return find_in_effect(self.order, batch, self.quantity > 0, self._contents)

    def _contents(self, places: Ints) -> tuple[Ints, ...]:
        """What makes lines of an order the same: item, units, total, customer and time."""
        items, customers = (texts.codes[places].astype(np.int64) for texts in (self.items, self.customers))
        known = self.has_total[places].astype(np.int64)
        return items, self.quantity[places], self.total[places], known, customers, self.ordered_at[places]

    def name(self, order: Ints, before: Ints, after: Ints) -> tuple[ReplacedOrder, ...]:
        """Orders that were replaced, by the names people know."""
        source, order_id = split_codes(order, len(self.order_ids))
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
