"""Similar items: for each item the ones most worth showing beside it, with the evidence.

Belongs here: the table, and the evidence beside a score. Does not belong here: counting pairs (`cooccurrence`),
choosing the best (`ranking`), or what a page does with them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco.errors import LakeError
from reco.model.cooccurrence import read_kept
from reco.model.pairs import Pairs
from reco.model.ranking import Items, Ranked, rank_pairs
from reco.model.regression import regress
from reco.model.scores import ScoreSettings
from reco.storage.columns import (
    COUNT,
    REAL,
    TEXT,
    Arrow,
    Ints,
    lake_errors,
    number_column,
    numbers,
    reals,
    text_column,
    write_table,
)
from reco.storage.engine import require_files

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
    compiled: Path | None = None,
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
        cooccurrence: the `item_cooccurrence` table, in its order, made with the same settings; `top` may be
            smaller now.
        out: Parquet file to write: item_id, other_id, rank BIGINT (1..top), score DOUBLE (0..1], pair_orders BIGINT,
            confidence DOUBLE (0..1], lift DOUBLE (> 0); sorted by item_id, rank.
        settings: which score, and what is kept; None: cosine of all pairs.
        orders: the `orders` table; needed where orders weigh by their age.
        compiled: a folder for compiled code where the environment has none.

    Raises:
        LakeError: an input is missing or damaged, co-occurrence has items the stats do not know or was made with other
            settings, or the file could not be written.
    """
    settings = settings or ScoreSettings()
    decays = bool(settings.half_life_days)
    require_files("similar_items", [item_stats, cooccurrence, *([orders] if decays and orders else [])])
    _require_settings(cooccurrence, settings)
    best: list[NDArray[np.float64]] = []
    rows = full = 0
    with lake_errors("similar_items"):
        items = Items.read(item_stats)
        totals = items.decayed(orders, settings) if decays and orders else items
        with write_table(out, SIMILAR_SCHEMA) as writer:
            for ranked in _ranked(_by_item(cooccurrence, items, settings), items, totals, settings, compiled):
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


def _ranked(
    pairs: Iterator[Pairs], items: Items, totals: Items, settings: ScoreSettings, compiled: Path | None
) -> Iterator[Ranked]:
    """The neighbours, some items at a time; a regression needs the pairs of all of them at once."""
    if settings.score == "regression":
        yield regress(settings, items.orders, Pairs.joined(list(pairs)), otherwise=compiled)
        return
    for one in pairs:
        yield rank_pairs(settings, totals, one)


def _require_settings(cooccurrence: Path, settings: ScoreSettings) -> None:
    kept = read_kept(cooccurrence).settings
    if kept.top < settings.top or replace(kept, top=settings.top) != settings:
        raise LakeError(
            f"{cooccurrence} was made with other score settings: {json.dumps(kept.as_dict())}.",
            hint="Materialize item_cooccurrence and similar_items again, in one run.",
            path=str(cooccurrence),
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
                read.append(_weights(table["pair_weight"], read[2]))
            columns = [np.concatenate(two) for two in zip(waiting, read, strict=True)]
            whole = int(np.searchsorted(columns[0], columns[0][-1]))  # the last item may go on in the next group
            waiting = [column[whole:] for column in columns]
            if whole:
                yield Pairs(*(column[:whole] for column in columns))
    if len(waiting[0]):
        yield Pairs(*waiting)


def _weights(column: Arrow, pair_orders: Ints) -> NDArray[np.float64]:
    """The weights of pairs; their orders where none of the shop has a time and so none weighs less than one."""
    found = reals(column)
    return np.where(np.isnan(found), pair_orders, found)


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
