"""Item stats: what each item sold, to how many, when, and where it stands among all items.

Belongs here: the figures and the display name of one item. Does not belong here: anything about two items.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb

from reco.catalog.aliases import define_aliases
from reco.errors import UsageError
from reco.storage.engine import (
    Limits,
    fetch_row,
    literal,
    open_engine,
    parquet,
    require_files,
    row_count,
    write_parquet,
)


@dataclass(frozen=True, slots=True)
class ItemStatsReport:
    """Figures of the item stats.

    items: rows written; orders: distinct orders; units; named: items whose name is not just their id;
    named_by_catalogue: those named by the catalogue; categorised: items with a category; first_sold_at, last_sold_at:
    UTC, over all items.
    """

    items: int
    orders: int
    units: int
    named: int
    named_by_catalogue: int
    categorised: int
    first_sold_at: datetime | None
    last_sold_at: datetime | None


def build_item_stats(  # noqa: PLR0913 - each argument is a table, or what a shop says of one
    orders: Path,
    lines: Sequence[Path],
    names: Path | None,
    out: Path,
    *,
    batches: Sequence[int] | None = None,
    merged: Path | None = None,
    rules: Mapping[str, tuple[str, ...]] | None = None,
    limits: Limits | None = None,
) -> ItemStatsReport:
    """Writes the `item_stats` table: one row per item that is in an order.

    orders counts the orders with the item, units adds quantities, revenue adds what has a price (null if nothing has),
    customers counts distinct (source, customer_id) (null if no order of the item has a customer). rank is 1.. by orders
    descending, item_id ascending; share is orders / all orders.

    The name is the catalogue's, else the most frequent one in the lines (ties: the smallest), else the id; the category
    likewise, else null. Blank text is no name. Customers are told apart by source, as orders are:
    two systems number theirs independently.

    Args:
        orders: the `orders` table.
        lines: parts of `order_lines`, for names and categories.
        names: the shop's catalogue as Parquet with item_id, item_name, category; None: it has none.
        out: Parquet file to write; columns as in the lake's contract, sorted by rank.
        batches: the batch of each of `lines`. With it only lines that are in effect name an item: those of the latest
            batch of their order. Without it all lines do, replaced ones too.
        merged: the `merged_items` table: lines of an id that stands under another one name that one.
        rules: what each source lets differ in the ids of one item (`reco.orders.merging`): a catalogue that lists an
            item under another of its ids names it too, unless it lists the item's own.
        limits: memory and threads; the result does not depend on them.

    Raises:
        UsageError: `batches` has not one number for each of `lines`.
        LakeError: an input is missing or damaged, or the file could not be written.
    """
    if batches is not None and len(batches) != len(lines):
        raise UsageError(
            f"item_stats got {len(batches)} batch numbers for {len(lines)} parts.", hint="Give one batch for each part."
        )
    require_files("item_stats", [orders, *lines, *([names] if names else [])])
    with open_engine("item_stats", out, limits) as con:
        con.execute(
            f"""
            CREATE TEMP TABLE stats AS
            SELECT item_id, count(*) AS orders, sum(quantity)::BIGINT AS units,
                   sum(revenue) AS revenue,
                   nullif(count(DISTINCT (source, customer_id)) FILTER (customer_id IS NOT NULL), 0) AS customers,
                   min(ordered_at) AS first_sold_at, max(ordered_at) AS last_sold_at
            FROM {parquet(orders)} GROUP BY item_id
            """
        )
        _define_line_texts(con, lines, batches, merged)
        _define_vote(con, "item_name")
        _define_vote(con, "category")
        _define_catalogue(con, names, orders, rules or {})
        (all_orders,) = fetch_row(
            con, f"SELECT count(*) FROM (SELECT DISTINCT source, order_id FROM {parquet(orders)})"
        )
        write_parquet(
            con,
            f"""
            SELECT s.item_id, coalesce(c.item_name, n.item_name, s.item_id) AS item_name,
                   coalesce(c.category, g.category) AS category, s.orders, s.units, s.revenue, s.customers,
                   s.first_sold_at, s.last_sold_at, row_number() OVER (ORDER BY s.orders DESC, s.item_id) AS rank,
                   s.orders / {all_orders}::DOUBLE AS share
            FROM stats s LEFT JOIN catalogue c USING (item_id) LEFT JOIN item_name_votes n USING (item_id)
            LEFT JOIN category_votes g USING (item_id)
            ORDER BY rank
            """,
            out,
        )
        return _report(con, out, all_orders)


def _define_line_texts(
    con: duckdb.DuckDBPyConnection, lines: Sequence[Path], batches: Sequence[int] | None, merged: Path | None
) -> None:
    """The table `line_texts`: how many lines give an item this name and category."""
    if not lines:
        con.execute("CREATE TEMP TABLE line_texts (item_id VARCHAR, item_name VARCHAR, category VARCHAR, lines BIGINT)")
        return
    source = parquet(*lines, filename=True)
    if batches is not None and len(set(batches)) > 1:  # one batch has nothing to be replaced by
        con.execute("CREATE TEMP TABLE parts (filename VARCHAR, batch BIGINT)")
        rows = ", ".join(f"({literal(str(path))}, {batch:d})" for path, batch in zip(lines, batches, strict=True))
        con.execute(f"INSERT INTO parts VALUES {rows}")
        con.execute(
            f"""
            CREATE TEMP TABLE latest AS
            SELECT source, order_id, max(batch) AS batch FROM {source} JOIN parts USING (filename)
            WHERE quantity > 0 GROUP BY source, order_id
            """
        )
        source += " JOIN parts USING (filename) JOIN latest USING (source, order_id, batch)"
    item = "item_id"
    if merged is not None and row_count(merged):
        item = "coalesce(merged_into, item_id) AS item_id"
        source += f" LEFT JOIN (SELECT source, item_id, merged_into FROM {parquet(merged)}) USING (source, item_id)"
    con.execute(
        f"""
        CREATE TEMP TABLE line_texts AS
        SELECT {item}, nullif(trim(item_name), '') AS item_name, nullif(trim(category), '') AS category,
               count(*) AS lines
        FROM {source} GROUP BY ALL
        """
    )


def _define_vote(con: duckdb.DuckDBPyConnection, column: str) -> None:
    """The table `{column}_votes`: the most frequent value of a column for each item; the smallest among equals."""
    con.execute(
        f"""
        CREATE TEMP TABLE {column}_votes AS
        SELECT item_id, {column}
        FROM (SELECT item_id, {column}, sum(lines) AS votes FROM line_texts WHERE {column} IS NOT NULL GROUP BY ALL)
        QUALIFY row_number() OVER (PARTITION BY item_id ORDER BY votes DESC, {column}) = 1
        """
    )


def _define_catalogue(
    con: duckdb.DuckDBPyConnection, names: Path | None, orders: Path, rules: Mapping[str, tuple[str, ...]]
) -> None:
    """The table `catalogue`: one row an item even if the file repeats one (the smallest text then)."""
    con.execute("CREATE TEMP TABLE catalogue (item_id VARCHAR, item_name VARCHAR, category VARCHAR)")
    if names is None:
        return
    define_aliases(con, f"SELECT DISTINCT item_id FROM {parquet(names)}", orders, rules)
    con.execute(
        f"""
        INSERT INTO catalogue
        WITH listed AS (
            SELECT item_id, nullif(trim(item_name), '') AS item_name, nullif(trim(category), '') AS category
            FROM {parquet(names)}
        ),
        said AS (
            SELECT item_id, true AS own, item_name, category FROM listed
            UNION ALL SELECT a.item_id, false, item_name, category FROM listed l JOIN aliases a ON l.item_id = listed_id
        )
        SELECT item_id, coalesce(min(item_name) FILTER (own), min(item_name)),
               coalesce(min(category) FILTER (own), min(category))
        FROM said GROUP BY item_id
        """
    )


def _report(con: duckdb.DuckDBPyConnection, out: Path, all_orders: int) -> ItemStatsReport:
    items, units, named, by_catalogue, categorised, first, last = fetch_row(
        con,
        f"""
        SELECT count(*), coalesce(sum(s.units), 0)::BIGINT, count(*) FILTER (s.item_name <> s.item_id),
               count(c.item_name), count(s.category), min(s.first_sold_at), max(s.last_sold_at)
        FROM {parquet(out)} s LEFT JOIN catalogue c USING (item_id)
        """,
    )
    return ItemStatsReport(
        items=items,
        orders=all_orders,
        units=units,
        named=named,
        named_by_catalogue=by_catalogue,
        categorised=categorised,
        first_sold_at=first,
        last_sold_at=last,
    )
