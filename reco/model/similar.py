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

from reco.errors import LakeError, UsageError
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
    text_column,
    texts,
    write_table,
)
from reco.storage.engine import require_files

TOP = 100
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


def build_similar(item_stats: Path, cooccurrence: Path, out: Path, top: int = TOP) -> SimilarReport:
    """Writes the `similar_items` table: at most `top` neighbours of each item by cosine.

    With n_i the orders that hold item i, n_ij those that hold both and N all orders:

    - score = n_ij / sqrt(n_i n_j): the cosine of the items' 0/1 order vectors, also called Ochiai coefficient
      (A. Ochiai 1957; for item-to-item recommendation B. Sarwar et al., WWW 2001, section 3.1.1);
    - confidence = n_ij / n_i: the share of orders with i that hold j (R. Agrawal et al., SIGMOD 1993);
    - lift = n_ij N / (n_i n_j): how much more often than if they were independent (S. Brin et al., SIGMOD 1997, there
      called interest). It is evidence only: ranking by it favours pairs of rare items.

    rank orders by score descending, pair_orders descending, other_id ascending. Scores are IEEE doubles computed row by
    row in one fixed order of operations, so the file is the same on every run. Pairs are read a row group at a time.

    Args:
        item_stats: the `item_stats` table; N is read from it as orders / share.
        cooccurrence: the `item_cooccurrence` table, both directions, in its order.
        out: Parquet file to write: item_id, other_id, rank BIGINT (1..top), score DOUBLE (0..1], pair_orders BIGINT,
            confidence DOUBLE (0..1], lift DOUBLE (> 0); sorted by item_id, rank.
        top: neighbours kept for an item, at least 1.

    Raises:
        UsageError: `top` is below 1.
        LakeError: an input is missing or damaged, co-occurrence has items the stats do not know, or the file could not
            be written.
    """
    if top < 1:
        raise UsageError(f"similar_items cannot keep {top} neighbours.", hint="Give a top of at least 1.")
    require_files("similar_items", [item_stats, cooccurrence])
    best: list[NDArray[np.float64]] = []
    rows = full = 0
    with lake_errors("similar_items"):
        items = _Items.read(item_stats)
        with write_table(out, SIMILAR_SCHEMA) as writer:
            for item, other, pair_orders in _by_item(cooccurrence, items):
                ranked = _rank(items, item, other, pair_orders, top)
                writer.write(
                    text_column(items.names, ranked.item), text_column(items.names, ranked.other), *ranked.evidence
                )
                rows += len(ranked.item)
                full += int(np.count_nonzero(ranked.rank == top))
                best.append(ranked.score[ranked.rank == 1])
    scores = np.concatenate(best) if best else np.empty(0)
    return SimilarReport(
        items=len(scores),
        items_without=len(items.names) - len(scores),
        rows=rows,
        full=full,
        orders=items.all_orders,
        mean_neighbours=rows / len(scores) if len(scores) else 0.0,
        median_best_score=float(np.median(scores)) if len(scores) else None,
    )


@dataclass(frozen=True, slots=True)
class _Items:
    """What the stats say. names: item ids, ascending; orders: n_i of each, by its place; all_orders: N."""

    names: Arrow
    orders: NDArray[np.float64]
    all_orders: int

    @classmethod
    def read(cls, item_stats: Path) -> "_Items":
        table = read_columns(item_stats, _STATS_SCHEMA)
        ids, counts = texts(table["item_id"]), numbers(table["orders"])
        orders = np.zeros(len(ids))
        orders[ids.codes] = counts
        everything = round(int(counts[0]) / table["share"][0].as_py()) if len(counts) else 0
        return cls(ids.values, orders, everything)

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
            raise LakeError(
                f"similar_items cannot be computed: {path} has items that item_stats does not know.",
                hint="Materialize item_stats and item_cooccurrence again, from the same orders.",
                cooccurrence=str(path),
            )
        return known


def _by_item(cooccurrence: Path, items: _Items) -> Iterator[tuple[Ints, Ints, Ints]]:
    """The pairs as item, other and pair_orders, in the order of the file, all pairs of an item at once."""
    waiting: list[Ints] = [np.empty(0, np.int64)] * 3
    with pq.ParquetFile(cooccurrence, read_dictionary=["item_id", "other_id"]) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["item_id", "other_id", "pair_orders"], use_threads=False)
            read = [items.places(table[name], cooccurrence) for name in ("item_id", "other_id")]
            columns = [np.concatenate(two) for two in zip(waiting, [*read, numbers(table["pair_orders"])], strict=True)]
            whole = int(np.searchsorted(columns[0], columns[0][-1]))  # the last item may go on in the next group
            waiting = [column[whole:] for column in columns]
            if whole:
                yield columns[0][:whole], columns[1][:whole], columns[2][:whole]
    if len(waiting[0]):
        yield waiting[0], waiting[1], waiting[2]


@dataclass(frozen=True, slots=True)
class _Ranked:
    """The neighbours kept of some items, best first."""

    item: Ints
    other: Ints
    rank: Ints
    score: NDArray[np.float64]
    evidence: tuple[Arrow, ...]


def _rank(items: _Items, item: Ints, other: Ints, pair_orders: Ints, top: int) -> _Ranked:
    """The first `top` neighbours of each item; the pairs come sorted by item and other."""
    n_item, n_other = items.orders[item], items.orders[other]
    score = pair_orders / np.sqrt(n_item * n_other)
    confidence = pair_orders / n_item
    lift = (pair_orders * float(items.all_orders)) / (n_item * n_other)
    best = np.lexsort((-pair_orders, -score, item))  # stable: equal ones stay in the order of other
    starts = np.flatnonzero(np.concatenate([[True], item[1:] != item[:-1]]))
    sizes = np.diff(np.append(starts, len(item)))
    rank = np.arange(1, len(item) + 1) - np.repeat(starts, sizes)
    best, rank = best[rank <= top], rank[rank <= top]
    evidence = (
        number_column(rank),
        number_column(score[best], REAL),
        number_column(pair_orders[best]),
        number_column(confidence[best], REAL),
        number_column(lift[best], REAL),
    )
    return _Ranked(item[best], other[best], rank, score[best], evidence)
