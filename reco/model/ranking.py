"""Which neighbours of an item are kept, and in which order.

Belongs here: the items' totals that scores need, and choosing the best pairs. Does not belong here: formulas
(`scores`), counting (`pairs`, `kernel`), tables.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco.errors import LakeError
from reco.model.baskets import UNIT, Baskets
from reco.model.pairs import Pairs
from reco.model.scores import ScoreSettings, score_pairs
from reco.storage.columns import (
    COUNT,
    NULL,
    REAL,
    TEXT,
    Arrow,
    Ints,
    flags,
    number_column,
    numbers,
    read_columns,
    texts,
)

MANY_ITEMS = 2**16
_STATS_SCHEMA = pa.schema([("item_id", TEXT), ("orders", COUNT), ("share", REAL)])


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a model.

    names: their ids, ascending; orders: float64, by place: how many orders hold each (or what these weigh); total: all
    orders (or their weight).
    """

    names: Arrow
    orders: NDArray[np.float64]
    total: float

    @classmethod
    def of(cls, baskets: Baskets, settings: ScoreSettings) -> "Items":
        """The items of these orders, which weigh by their age where the settings say so."""
        weights = baskets.decay(settings)
        totals = baskets.item_totals(weights)
        if weights is None:
            return cls(baskets.items.values, totals.astype(np.float64), len(baskets.starts))
        return cls(baskets.items.values, totals / UNIT, float(weights.sum()) / UNIT)

    @classmethod
    def read(cls, item_stats: Path) -> "Items":
        """The items of an `item_stats` table."""
        table = read_columns(item_stats, _STATS_SCHEMA)
        ids, counts = texts(table["item_id"]), numbers(table["orders"])
        orders = np.zeros(len(ids))
        orders[ids.codes] = counts
        everything = round(int(counts[0]) / table["share"][0].as_py()) if len(counts) else 0
        return cls(ids.values, orders, everything)

    def decayed(self, orders: Path, settings: ScoreSettings) -> "Items":
        """The same items with their orders weighed by age.

        Raises:
            LakeError: the orders hold items that are not these.
        """
        baskets = Baskets.read(orders, times=True)
        if baskets.decay(settings) is None:
            return self
        if len(baskets.items) != len(self.names) or not baskets.items.values.equals(self.names):
            raise _other_items(orders)
        return Items.of(baskets, settings)

    def places(self, column: Any, path: Path) -> Ints:
        """The place of each item of a column.

        Raises:
            LakeError: the stats do not know one.
        """
        found = texts(column)
        places = self._searched(found.values) if len(self.names) > MANY_ITEMS else self._indexed(found.values)
        known: Ints = places[found.codes]
        if (known == NULL).any():
            raise _other_items(path)
        return known

    def _indexed(self, values: Arrow) -> Ints:
        places: Arrow = pc.index_in(values, value_set=self.names).cast(COUNT)
        return numbers(pa.chunked_array([places]), null=NULL)

    def _searched(self, values: Arrow) -> Ints:
        """The same without an index of all names, which takes longer to make than a few searches take."""
        import polars as pl  # noqa: PLC0415 - small shops need it here for nothing

        places = pl.Series(self.names).search_sorted(pl.Series(values), side="left").to_numpy().astype(np.int64)
        places = np.minimum(places, len(self.names) - 1)
        return np.where(flags(pc.equal(self.names.take(number_column(places)), values)), places, NULL)


def _other_items(path: Path) -> LakeError:
    return LakeError(
        f"similar_items cannot be computed: {path} has items that item_stats does not know.",
        hint="Materialize item_stats and item_cooccurrence again, from the same orders.",
        path=str(path),
    )


@dataclass(frozen=True, slots=True)
class Ranked:
    """The neighbours kept of some items, best first: codes of item and other, rank 1.., score, exact pair_orders."""

    item: Ints
    other: Ints
    rank: Ints
    score: NDArray[np.float64]
    pair_orders: Ints


def rank_pairs(settings: ScoreSettings, items: Items, pairs: Pairs) -> Ranked:
    """The best neighbours of each item.

    Args:
        settings: the score, its support threshold and how many are kept.
        items: their orders, or the weight of these where age weighs.
        pairs: all pairs of some items, or at least the best of each.
    """
    if settings.min_pair_orders > 1:
        pairs = pairs.where(pairs.orders >= settings.min_pair_orders)
    score = _score(settings, items, pairs)
    if not (score > 0).all():
        pairs, score = pairs.where(score > 0), score[score > 0]
    return rank_scored(pairs, score, settings.top)


def rank_scored(pairs: Pairs, score: NDArray[np.float64], top: int) -> Ranked:
    """The first `top` neighbours of each item by score, pair_orders and code of the other."""
    best, rank = _best(pairs, score, top)
    return Ranked(pairs.item[best], pairs.other[best], rank, score[best], pairs.orders[best])


def keep_best(settings: ScoreSettings, items: Items, pairs: Pairs) -> Pairs:
    """Of all pairs of some items those that `rank_pairs` ranks, in the order they came in."""
    if settings.min_pair_orders > 1:
        pairs = pairs.where(pairs.orders >= settings.min_pair_orders)
    sizes = _sizes(pairs.item)
    judged = np.repeat(sizes > settings.top, sizes)
    if settings.score == "llr":  # the only score that leaves pairs out by itself
        judged[:] = True
    if not judged.any():
        return pairs
    few = pairs.where(judged)
    score = _score(settings, items, few)
    positive = np.flatnonzero(score > 0)
    best, _ = _best(few.where(score > 0), score[positive], settings.top)
    kept = ~judged
    kept[np.flatnonzero(judged)[positive[best]]] = True
    return pairs.where(kept)


def _score(settings: ScoreSettings, items: Items, pairs: Pairs) -> NDArray[np.float64]:
    return score_pairs(
        settings,
        pairs.orders if pairs.weight is None else pairs.weight,
        items.orders[pairs.item],
        items.orders[pairs.other],
        total=items.total,
        pair_orders=pairs.orders,
    )


def _best(pairs: Pairs, score: NDArray[np.float64], top: int) -> tuple[Ints, Ints]:
    """The places of the first `top` neighbours of each item, best first, and their ranks."""
    bits = (score + 0.0).view(np.int64)  # ascending with numbers that are not below 0
    best = _sorted_by(-pairs.orders, -bits, pairs.item)  # stable: equal ones stay in the order of other
    sizes = _sizes(pairs.item)
    rank = np.arange(1, len(pairs.item) + 1) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = rank <= top
    return best[kept], rank[kept]


def _sorted_by(*keys: Ints) -> Ints:
    """What `np.lexsort` finds, by sixteen bits at a time, which numpy sorts in linear time."""
    places = np.arange(len(keys[0]))
    for key in keys if len(places) else ():
        low, high = int(key.min()), int(key.max())
        for shift in range(0, (high - low).bit_length(), 16):
            digit = ((key - low) >> shift).astype(np.uint16)
            places = places[np.argsort(digit[places], kind="stable")]
    return places


def _sizes(item: Ints) -> Ints:
    """The lengths of the runs of equal items."""
    starts = np.flatnonzero(np.concatenate([[True], item[1:] != item[:-1]])) if len(item) else item
    return np.diff(np.append(starts, len(item)))
