"""The `orders` table as arrays: which items stand together, when, and how much each order weighs.

Belongs here: reading entries of orders and their weights. Does not belong here: counting pairs (`cooccurrence`), or
scoring them (`scores`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reco.errors import LakeError
from reco.model.scores import ScoreSettings
from reco.storage.columns import NULL, Ints, Texts, places_by_code
from reco.storage.reading import Columns

UNIT = 2**30
"""An order of weight 1. Weights are integers in this unit: their sums are exact, whatever the order of adding."""

DAY = 86_400_000_000
"""Microseconds, the unit of `ordered_at`."""

NEVER = -(2**62)
"""Stands for an order without a time."""

_PORTION = 2**22
_ENTRIES = ("source", "order_id", "item_id")


@dataclass(frozen=True, slots=True)
class Baskets:
    """The entries (order, item) of all orders, sorted by both.

    items: code, by entry; starts, sizes: each order's run of entries; ordered_at: microseconds since 1970, by order
    (`NEVER` without a time; None: not read); customers: one code a customer, by order (`NULL` without one; None: not
    read). Customers of two sources are two.
    """

    items: Texts
    starts: Ints
    sizes: Ints
    ordered_at: Ints | None = None
    customers: Ints | None = None

    @classmethod
    def read(cls, orders: Path, *, times: bool = False, customers: bool = False) -> "Baskets":
        """Reads the `orders` table.

        Raises:
            LakeError: it is not sorted by order and item, repeats a row, or lacks a column.
        """
        more = [*(["ordered_at"] if times else []), *(["customer_id"] if customers else [])]
        table = Columns.of([orders], [*_ENTRIES, *more])
        items = table.texts("item_id")
        starts = order_starts(table, items, orders)
        sizes = np.diff(np.append(starts, len(table)))
        ordered_at = table.times("ordered_at", null=NEVER)[starts] if times else None
        return cls(items, starts, sizes, ordered_at, _customers(table)[starts] if customers else None)

    def take(self, chosen: NDArray[np.bool_]) -> "Baskets":
        """Some of the orders, by a flag for each; codes stay."""
        sizes = self.sizes[chosen]
        return Baskets(
            Texts(self.items.values, self.items.codes[np.repeat(chosen, self.sizes)]),
            _starts(sizes),
            sizes,
            None if self.ordered_at is None else self.ordered_at[chosen],
            None if self.customers is None else self.customers[chosen],
        )

    def only(self, items: NDArray[np.bool_]) -> "Baskets":
        """The orders without some of the items, by a flag for each item; orders of which nothing is left go."""
        kept = items[self.items.codes]
        left = np.add.reduceat(kept, self.starts, dtype=np.int64) if len(self.starts) else self.sizes
        sizes = left[left > 0]
        return Baskets(
            Texts(self.items.values, self.items.codes[kept]),
            _starts(sizes),
            sizes,
            None if self.ordered_at is None else self.ordered_at[left > 0],
            None if self.customers is None else self.customers[left > 0],
        )

    def newest(self, lines: int) -> "Baskets":
        """The newest orders with at most so many entries in all (the first ones where none has a time)."""
        if len(self.items.codes) <= lines:
            return self
        times = np.zeros(len(self.starts)) if self.ordered_at is None else -self.ordered_at
        by_age = np.argsort(times, kind="stable")
        chosen = np.zeros(len(self.starts), bool)
        chosen[by_age[np.cumsum(self.sizes[by_age]) <= lines]] = True
        return self.take(chosen)

    def weights(self, settings: ScoreSettings) -> Ints | None:
        """What each order adds to its pairs, in `UNIT`: see `ScoreSettings`. None: all weigh one."""
        decay = self.decay(settings)
        if settings.score not in ("powers", "regression") or not settings.order_size_power:
            return decay
        others = np.maximum(self.sizes - 1, 1)
        share = others ** -float(settings.order_size_power) * (1 if decay is None else decay / UNIT)
        return _fixed(share)

    def decay(self, settings: ScoreSettings) -> Ints | None:
        """What each order adds to the count of its items, in `UNIT`; None: all weigh one.

        An order weighs 2^(-age / half-life), its age counted in days from the newest order; one without a time weighs
        as the oldest.
        """
        if not settings.half_life_days or self.ordered_at is None or not len(self.starts):
            return None
        known = self.ordered_at[self.ordered_at != NEVER]
        if not len(known):
            return None
        at = np.where(self.ordered_at == NEVER, known.min(), self.ordered_at)
        return _fixed(np.exp2((at - known.max()) / (DAY * settings.half_life_days)))

    def item_totals(self, weights: Ints | None) -> Ints:
        """The orders of each item, or the sum of their weights."""
        if weights is None:
            totals = np.zeros(len(self.items), np.int64)
            for low in range(0, len(self.items.codes), _PORTION):  # it counts a copy of eight bytes each
                totals += np.bincount(self.items.codes[low : low + _PORTION], minlength=len(self.items))
            return totals
        by_item = places_by_code(self.items.codes, len(self.items))
        sums = np.concatenate([[0], np.cumsum(np.repeat(weights, self.sizes)[by_item])])
        ends = np.cumsum(np.bincount(self.items.codes, minlength=len(self.items)))
        found: Ints = np.diff(sums[np.concatenate([[0], ends])])
        return found


def order_starts(table: Columns, items: Texts, path: Path) -> Ints:
    """Where each order begins among the rows of an `orders` table.

    Raises:
        LakeError: the rows are not sorted by order and item, or one is repeated.
    """
    if not len(table):
        return np.empty(0, np.int64)
    source, order = table.texts("source").codes, table.texts("order_id").codes
    same_source = source[1:] == source[:-1]
    same = same_source & (order[1:] == order[:-1])
    later = (source[1:] > source[:-1]) | (same_source & (order[1:] > order[:-1]))
    if not (later | (same & (items.codes[1:] > items.codes[:-1]))).all():
        raise LakeError(
            f"{path} is not sorted by order and item, or repeats a row.",
            hint="Materialize orders again: its file is damaged.",
            path=str(path),
        )
    starts: Ints = np.flatnonzero(np.concatenate([[True], ~same]))
    return starts


def _starts(sizes: Ints) -> Ints:
    found: Ints = np.cumsum(sizes) - sizes
    return found


def _customers(table: Columns) -> Ints:
    customer, source = table.texts("customer_id").codes.astype(np.int64), table.texts("source")
    found: Ints = np.where(customer == NULL, NULL, customer * max(1, len(source)) + source.codes)
    return found


def _fixed(weights: Any) -> Ints:
    # At least one unit: an order, however old, stays one, and a score above zero.
    found: Ints = np.maximum(np.rint(weights * UNIT), 1).astype(np.int64)
    return found
