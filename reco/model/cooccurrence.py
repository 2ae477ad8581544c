"""Co-occurrence: in how many orders two items stand together, exactly.

Belongs here: counting pairs. Does not belong here: judging them (similar items do), or leaving any out.
"""

from dataclasses import dataclass
from pathlib import Path

from reco.storage.engine import Limits, fetch_row, open_engine, parquet, require_files, write_parquet


@dataclass(frozen=True, slots=True)
class CooccurrenceReport:
    """Figures of the co-occurrence.

    orders: all orders; baskets_with_pairs: those with two items or more; pairs: distinct unordered pairs (the table has
    twice as many rows); pair_occurrences: the sum of their counts; items_with_neighbour: items in at least one pair.
    """

    orders: int
    baskets_with_pairs: int
    pairs: int
    pair_occurrences: int
    items_with_neighbour: int


def build_cooccurrence(orders: Path, out: Path, *, limits: Limits | None = None) -> CooccurrenceReport:
    """Writes the `item_cooccurrence` table: every pair of items that share an order, in both directions.

    pair_orders(a, b) is the number of distinct (source, order_id) with a and b, a <> b. Inside, items are an ENUM whose
    codes follow the order of their ids, so that joining, counting and sorting work on integers: on text the same count
    takes three times the work and more memory.

    Args:
        orders: the `orders` table (source, order_id, item_id; repeats of a row do not matter).
        out: Parquet file to write: item_id, other_id, pair_orders BIGINT; sorted by item_id, other_id.
        limits: memory and threads; the result does not depend on them.

    Raises:
        LakeError: the input is missing or damaged, or the file could not be written.
    """
    require_files("item_cooccurrence", [orders])
    with open_engine("item_cooccurrence", out, limits) as con:
        con.execute(f"CREATE TYPE item AS ENUM (SELECT DISTINCT item_id FROM {parquet(orders)} ORDER BY item_id)")
        con.execute(
            f"""
            CREATE TEMP TABLE baskets AS
            SELECT row_number() OVER () AS basket, items
            FROM (SELECT list(DISTINCT item_id::item) AS items FROM {parquet(orders)} GROUP BY source, order_id)
            """
        )
        con.execute(
            "CREATE TEMP TABLE entries AS SELECT basket, unnest(items) AS item FROM baskets WHERE len(items) > 1"
        )
        con.execute(
            """
            CREATE TEMP TABLE pairs AS
            SELECT a.item AS item, b.item AS other, count(*) AS pair_orders
            FROM entries a JOIN entries b ON a.basket = b.basket AND a.item < b.item GROUP BY a.item, b.item
            """
        )
        write_parquet(
            con,
            """
            SELECT item::VARCHAR AS item_id, other::VARCHAR AS other_id, pair_orders
            FROM (
                FROM pairs UNION ALL SELECT other, item, pair_orders FROM pairs ORDER BY 1, 2
            )
            """,
            out,
        )
        all_orders, with_pairs = fetch_row(con, "SELECT count(*), count(*) FILTER (len(items) > 1) FROM baskets")
        pairs, occurrences = fetch_row(con, "SELECT count(*), coalesce(sum(pair_orders), 0)::BIGINT FROM pairs")
        (items,) = fetch_row(con, "SELECT count(DISTINCT item) FROM entries")
        return CooccurrenceReport(
            orders=all_orders,
            baskets_with_pairs=with_pairs,
            pairs=pairs,
            pair_occurrences=occurrences,
            items_with_neighbour=items,
        )
