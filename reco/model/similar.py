"""Similar items: for each item the ones most worth showing beside it, with the evidence.

Belongs here: scoring and ranking pairs. Does not belong here: counting them, or what a page does with them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco.errors import LakeError
from reco.model.baskets import UNIT, Baskets
from reco.model.cooccurrence import Pairs
from reco.model.scores import ScoreSettings, score_pairs
from reco.storage.columns import (
    COUNT,
    NULL,
    REAL,
    TEXT,
    Arrow,
    Ints,
    lake_errors,
    number_column,
    numbers,
    read_columns,
    reals,
    text_column,
    texts,
    write_table,
)
from reco.storage.engine import require_files

_STATS_SCHEMA = pa.schema([("item_id", TEXT), ("orders", COUNT), ("share", REAL)])
SIMILAR_SCHEMA = pa.schema(
    [
        ("item_id", TEXT),
        ("other_id", TEXT),
        ("rank", COUNT),
        ("score", REAL),
        ("pair_orders", COUNT),
        ("confidence", REAL),
        ("lift", REAL),
    ]
)


@dataclass(frozen=True, slots=True)
class SimilarReport:
    """Figures of the similar items.

    items: items with a neighbour; items_without: items with none; rows: rows written; full: items with all `top` rows;
    orders: all orders (N of the lift); mean_neighbours: rows / items (0 without items); median_best_score: the median
    over items of the score of their first neighbour (None without items).
    """

    items: int
    items_without: int
    rows: int
    full: int
    orders: int
    mean_neighbours: float
    median_best_score: float | None


def build_similar(
    item_stats: Path,
    cooccurrence: Path,
    out: Path,
    settings: ScoreSettings | None = None,
    *,
    orders: Path | None = None,
) -> SimilarReport:
    """Writes the `similar_items` table: the best neighbours of each item by the chosen score.

    The scores and their sources are in `reco.model.scores`. What stands beside the score is evidence, from exact counts
    whatever the score weighs; with n_i the orders that hold item i, n_ij those that hold both and N all orders:

    - confidence = n_ij / n_i: the share of orders with i that hold j (R. Agrawal et al., SIGMOD 1993);
    - lift = n_ij N / (n_i n_j): how much more often than if they were independent (S. Brin et al., SIGMOD 1997, there
      called interest). It is evidence only: ranking by it favours pairs of rare items.

    rank orders by score descending, pair_orders descending, other_id ascending. Scores are IEEE doubles computed row by
    row in one fixed order of operations, so the file is the same on every run. Pairs are read a row group at a time.

    Args:
        item_stats: the `item_stats` table; N is read from it as orders / share.
        cooccurrence: the `item_cooccurrence` table, both directions, in its order, made with the same settings.
        out: Parquet file to write: item_id, other_id, rank BIGINT (1..top), score DOUBLE (0..1], pair_orders BIGINT,
            confidence DOUBLE (0..1], lift DOUBLE (> 0); sorted by item_id, rank.
        settings: which score, and what is kept; None: cosine of all pairs.
        orders: the `orders` table; needed where orders weigh by their age.

    Raises:
        LakeError: an input is missing or damaged, co-occurrence has items the stats do not know or was made with other
            settings, or the file could not be written.
    """
    settings = settings or ScoreSettings()
    decays = bool(settings.half_life_days)
    require_files("similar_items", [item_stats, cooccurrence, *([orders] if decays and orders else [])])
    best: list[NDArray[np.float64]] = []
    rows = full = 0
    with lake_errors("similar_items"):
        items = Items.read(item_stats)
        totals = items.decayed(orders, settings) if decays and orders else items
        with write_table(out, SIMILAR_SCHEMA) as writer:
            for pairs in _by_item(cooccurrence, items, settings):
                ranked = rank_pairs(settings, totals, pairs)
                if not len(ranked.item):
                    continue
                writer.write(
                    text_column(items.names, ranked.item),
                    text_column(items.names, ranked.other),
                    *_evidence(items, ranked),
                )
                rows += len(ranked.item)
                full += int(np.count_nonzero(ranked.rank == settings.top))
                best.append(ranked.score[ranked.rank == 1])
    scores = np.concatenate(best) if best else np.empty(0)
    return SimilarReport(
        items=len(scores),
        items_without=len(items.names) - len(scores),
        rows=rows,
        full=full,
        orders=round(items.total),
        mean_neighbours=rows / len(scores) if len(scores) else 0.0,
        median_best_score=float(np.median(scores)) if len(scores) else None,
    )


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
        weights = baskets.decay(settings)
        if weights is None:
            return self
        if len(baskets.items) != len(self.names) or not baskets.items.values.equals(self.names):
            raise _other_items(orders)
        return Items(self.names, baskets.item_totals(weights) / UNIT, float(weights.sum()) / UNIT)

    def places(self, column: Any, path: Path) -> Ints:
        """The place of each item of a column.

        Raises:
            LakeError: the stats do not know one.
        """
        found = texts(column)
        places: Arrow = pc.index_in(found.values, value_set=self.names).cast(COUNT)
        places = numbers(pa.chunked_array([places]), null=NULL)
        known: Ints = places[found.codes]
        if (known == NULL).any():
            raise _other_items(path)
        return known


def _other_items(path: Path) -> LakeError:
    return LakeError(
        f"similar_items cannot be computed: {path} has items that item_stats does not know.",
        hint="Materialize item_stats and item_cooccurrence again, from the same orders.",
        path=str(path),
    )


def _by_item(cooccurrence: Path, items: Items, settings: ScoreSettings) -> Iterator[Pairs]:
    """The pairs in the order of the file, all pairs of an item at once."""
    names = ["item_id", "other_id", "pair_orders", *(["pair_weight"] if settings.weighs_orders else [])]
    waiting: list[NDArray[Any]] = [np.empty(0, np.int64)] * len(names)
    with pq.ParquetFile(cooccurrence, read_dictionary=["item_id", "other_id"]) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=names, use_threads=False)
            read: list[NDArray[Any]] = [items.places(table[name], cooccurrence) for name in names[:2]]
            read.append(numbers(table["pair_orders"]))
            if settings.weighs_orders:
                read.append(_weights(table["pair_weight"], read[2], cooccurrence))
            columns = [np.concatenate(two) for two in zip(waiting, read, strict=True)]
            whole = int(np.searchsorted(columns[0], columns[0][-1]))  # the last item may go on in the next group
            waiting = [column[whole:] for column in columns]
            if whole:
                yield Pairs(*(column[:whole] for column in columns))
    if len(waiting[0]):
        yield Pairs(*waiting)


def _weights(column: Arrow, pair_orders: Ints, path: Path) -> NDArray[np.float64]:
    """The weights of pairs; their orders where none of the shop has a time and so none weighs less than one."""
    found = reals(column)
    if np.isnan(found).all():
        return pair_orders.astype(np.float64)
    if np.isnan(found).any() or (found > pair_orders).any():
        raise LakeError(
            f"{path} was made with other score settings: it has pairs without a weight, or with one above their count.",
            hint="Materialize item_cooccurrence and similar_items again, in one run.",
            path=str(path),
        )
    return found


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
        pairs: all pairs of some items.
    """
    if settings.min_pair_orders > 1:
        pairs = pairs.where(pairs.orders >= settings.min_pair_orders)
    both = pairs.orders if pairs.weight is None else pairs.weight
    score = score_pairs(
        settings,
        both,
        items.orders[pairs.item],
        items.orders[pairs.other],
        total=items.total,
        pair_orders=pairs.orders,
    )
    if not (score > 0).all():
        pairs, score = pairs.where(score > 0), score[score > 0]
    return rank_scored(pairs, score, settings.top)


def rank_scored(pairs: Pairs, score: NDArray[np.float64], top: int) -> Ranked:
    """The first `top` neighbours of each item by score, pair_orders and code of the other."""
    item, other, pair_orders = pairs.item, pairs.other, pairs.orders
    best = np.lexsort((-pair_orders, -score, item))  # stable: equal ones stay in the order of other
    starts = np.flatnonzero(np.concatenate([[True], item[1:] != item[:-1]])) if len(item) else item
    sizes = np.diff(np.append(starts, len(item)))
    rank = np.arange(1, len(item) + 1) - np.repeat(starts, sizes)
    best, rank = best[rank <= top], rank[rank <= top]
    return Ranked(item[best], other[best], rank, score[best], pair_orders[best])


def _evidence(items: Items, ranked: Ranked) -> tuple[Arrow, ...]:
    """The columns from rank to lift; `items` with exact orders."""
    n_item, n_other = items.orders[ranked.item], items.orders[ranked.other]
    confidence = ranked.pair_orders / n_item
    lift = (ranked.pair_orders * float(items.total)) / (n_item * n_other)
    return (
        number_column(ranked.rank),
        number_column(ranked.score, REAL),
        number_column(ranked.pair_orders),
        number_column(confidence, REAL),
        number_column(lift, REAL),
    )
