"""Similar items: for each item the ones most worth showing beside it, with the evidence.

Belongs here: scoring and ranking pairs. Does not belong here: counting them, or what a page does with them.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from reco.errors import LakeError, UsageError
from reco.storage.engine import Limits, fetch_row, open_engine, parquet, require_files, write_parquet

TOP = 100


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
    item_stats: Path, cooccurrence: Path, out: Path, top: int = TOP, *, limits: Limits | None = None
) -> SimilarReport:
    """Writes the `similar_items` table: at most `top` neighbours of each item by cosine.

    With n_i the orders that hold item i, n_ij those that hold both and N all orders:

    - score = n_ij / sqrt(n_i n_j): the cosine of the items' 0/1 order vectors, also called Ochiai coefficient
      (A. Ochiai 1957; for item-to-item recommendation B. Sarwar et al., WWW 2001, section 3.1.1);
    - confidence = n_ij / n_i: the share of orders with i that hold j (R. Agrawal et al., SIGMOD 1993);
    - lift = n_ij N / (n_i n_j): how much more often than if they were independent (S. Brin et al., SIGMOD 1997, there
      called interest). It is evidence only: ranking by it favours pairs of rare items.

    rank orders by score descending, pair_orders descending, other_id ascending. Scores are IEEE doubles computed row by
    row in one fixed order of operations, so the file is the same on every run and with any number of threads.

    Args:
        item_stats: the `item_stats` table; N is read from it as orders / share.
        cooccurrence: the `item_cooccurrence` table, both directions.
        out: Parquet file to write: item_id, other_id, rank BIGINT (1..top), score DOUBLE (0..1], pair_orders BIGINT,
            confidence DOUBLE (0..1], lift DOUBLE (> 0); sorted by item_id, rank.
        top: neighbours kept for an item, at least 1.
        limits: memory and threads; the result does not depend on them.

    Raises:
        UsageError: `top` is below 1.
        LakeError: an input is missing or damaged, co-occurrence has items the stats do not know, or the file could not
            be written.
    """
    if top < 1:
        raise UsageError(f"similar_items cannot keep {top} neighbours.", hint="Give a top of at least 1.")
    require_files("similar_items", [item_stats, cooccurrence])
    with open_engine("similar_items", out, limits) as con:
        con.execute(f"CREATE TYPE item AS ENUM (SELECT item_id FROM {parquet(item_stats)} ORDER BY item_id)")
        con.execute(
            f"""
            CREATE TEMP TABLE counts AS
            SELECT item_id::item AS item, orders::DOUBLE AS n, round(orders / share) AS n_all FROM {parquet(item_stats)}
            """
        )
        _rank(con, cooccurrence, top)
        write_parquet(
            con,
            """
            SELECT item::VARCHAR AS item_id, other::VARCHAR AS other_id, rank, score, pair_orders, confidence, lift
            FROM (FROM ranked ORDER BY item, rank)
            """,
            out,
        )
        items, rows, full, median = fetch_row(
            con,
            f"""
            SELECT count(*), coalesce(sum(n), 0)::BIGINT, count(*) FILTER (n = {top:d}), median(best)
            FROM (SELECT count(*) AS n, max(score) AS best FROM ranked GROUP BY item)
            """,
        )
        known, orders = fetch_row(con, "SELECT count(*), coalesce(max(n_all), 0)::BIGINT FROM counts")
        return SimilarReport(
            items=items,
            items_without=known - items,
            rows=rows,
            full=full,
            orders=orders,
            mean_neighbours=rows / items if items else 0.0,
            median_best_score=median,
        )


def _rank(con: duckdb.DuckDBPyConnection, cooccurrence: Path, top: int) -> None:
    """The table `ranked`: the first neighbours of each item, with their evidence."""
    try:
        con.execute(
            f"""
            CREATE TEMP TABLE ranked AS
            SELECT *, row_number() OVER (PARTITION BY item ORDER BY score DESC, pair_orders DESC, other) AS rank
            FROM (
                SELECT i.item, j.item AS other, c.pair_orders, c.pair_orders / sqrt(i.n * j.n) AS score,
                       c.pair_orders / i.n AS confidence, (c.pair_orders * i.n_all) / (i.n * j.n) AS lift
                FROM {parquet(cooccurrence)} c JOIN counts i ON i.item = c.item_id::item
                JOIN counts j ON j.item = c.other_id::item
            )
            QUALIFY rank <= {top:d}
            """
        )
    except duckdb.ConversionException as error:
        raise LakeError(
            f"similar_items cannot be computed: {cooccurrence} has items that item_stats does not know.",
            hint="Materialize item_stats and item_cooccurrence again, from the same orders.",
            cooccurrence=str(cooccurrence),
        ) from error
