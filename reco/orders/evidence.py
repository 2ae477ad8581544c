"""The orders and lines behind a count of the model.

Belongs here: finding, for an item or a pair, the orders that hold it and the lines of the drops they came in. Does not
belong here: which drops a snapshot was made of (`reco.snapshot.trace`), or making orders (`reco.orders.view`).
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import duckdb

from reco.orders.ledger import Drop, inputs_digest
from reco.orders.orders import INPUT, ORDERS, order_parts
from reco.orders.view import OrderPart, build_orders
from reco.storage.engine import fetch_row, literal, open_engine, parquet
from reco.storage.lake import Lake


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One accepted line: the file it stands in and its first physical line there (the header counts)."""

    drop_key: str
    file: str
    line: int
    item_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class EvidenceOrder:
    """One order that holds what was asked for, with its lines of just these items."""

    source: str
    order_id: str
    lines: tuple[EvidenceLine, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was counted again from the lines.

    purchases: orders with the item; other_purchases, pair_orders: orders with the other item, and with both, None where
    none was asked for; lines: lines of these items in the orders that count; lines_by_drop: the same by drop key;
    shown: the first orders by source and order id.
    """

    purchases: int
    other_purchases: int | None
    pair_orders: int | None
    lines: int
    lines_by_drop: dict[str, int]
    shown: tuple[EvidenceOrder, ...]


def find_evidence(lake: Lake, drops: Sequence[Drop], item: str, other: str | None, *, limit: int) -> Evidence:
    """Counts the orders with an item, or with both of two items, anew, and finds their lines.

    The orders are those of the lake where that table was made of exactly these drops; else they are made again from
    their lines, by the same code that made them for the model, and thrown away afterwards.

    Args:
        lake: holds the lines of each drop.
        drops: what a snapshot was made of, with the batches they had then.
        item: an item id.
        other: the id of the other item of a pair.
        limit: how many orders are shown.

    Raises:
        LakeError: the lines of a drop are missing or damaged.
    """
    parts = order_parts(lake, drops)
    with ExitStack() as stack:
        stamp = lake.read_stamp(ORDERS)
        orders = lake.path(ORDERS)
        if stamp is None or stamp.inputs.get(INPUT) != inputs_digest(drops):
            orders = stack.enter_context(lake.scratch()) / "orders.parquet"
            build_orders(parts, orders)
        con = stack.enter_context(open_engine("the evidence", orders))
        wanted = [item] if other is None else [item, other]
        listed = ", ".join(literal(one) for one in wanted)
        # An order of a source that has the item counts once, however many lines it has of it.
        con.execute(
            f"""
            CREATE TEMP TABLE holding AS
            SELECT source, order_id, bool_or(item_id = {literal(item)}) AS has_item,
                   bool_or(item_id <> {literal(item)}) AS has_other
            FROM {parquet(orders)} WHERE item_id IN ({listed}) GROUP BY source, order_id
            """
        )
        both = "has_item" if other is None else "has_item AND has_other"
        _define_lines(con, parts, listed, both)
        purchases, others, pairs = fetch_row(
            con,
            "SELECT count(*) FILTER (has_item), count(*) FILTER (has_other), count(*) FILTER (has_item AND has_other) "
            "FROM holding",
        )
        by_drop = con.sql("SELECT drop_key, count(*) FROM evidence GROUP BY drop_key ORDER BY drop_key").fetchall()
        return Evidence(
            purchases=purchases,
            other_purchases=None if other is None else others,
            pair_orders=None if other is None else pairs,
            lines=sum(count for _, count in by_drop),
            lines_by_drop=dict(by_drop),
            shown=_shown(con, {drop.key: drop.name for drop in drops}, limit),
        )


def _define_lines(con: duckdb.DuckDBPyConnection, parts: Sequence[OrderPart], listed: str, both: str) -> None:
    """The table `evidence`: the lines of the wanted items in the orders that count, of the batch that is in effect."""
    con.execute("CREATE TEMP TABLE parts (filename VARCHAR, drop_key VARCHAR, batch BIGINT)")
    rows = ", ".join(f"({literal(str(p.path))}, {literal(p.drop_key)}, {p.batch:d})" for p in parts)
    con.execute(f"INSERT INTO parts VALUES {rows}")
    con.execute(
        f"""
        CREATE TEMP TABLE evidence AS
        SELECT source, order_id, drop_key, line, item_id, quantity
        FROM (
            SELECT l.source, l.order_id, l.line, l.item_id, l.quantity, parts.drop_key, parts.batch,
                   max(parts.batch) OVER (PARTITION BY l.source, l.order_id) AS latest
            FROM {parquet(*(p.path for p in parts), filename=True)} l JOIN parts USING (filename)
            SEMI JOIN (SELECT source, order_id FROM holding WHERE {both}) h
                   ON l.source = h.source AND l.order_id = h.order_id
        )
        WHERE batch = latest AND item_id IN ({listed})
        """
    )


def _shown(con: duckdb.DuckDBPyConnection, names: dict[str, str], limit: int) -> tuple[EvidenceOrder, ...]:
    rows: list[Any] = con.sql(
        f"""
        SELECT source, order_id, drop_key, line, item_id, quantity FROM evidence
        SEMI JOIN (SELECT DISTINCT source, order_id FROM evidence ORDER BY source, order_id LIMIT {limit:d}) s
               USING (source, order_id)
        ORDER BY source, order_id, drop_key, line
        """
    ).fetchall()
    found: dict[tuple[str, str], list[EvidenceLine]] = {}
    for source, order_id, key, line, item_id, quantity in rows:
        found.setdefault((source, order_id), []).append(EvidenceLine(key, names[key], line, item_id, quantity))
    return tuple(EvidenceOrder(source, order_id, tuple(lines)) for (source, order_id), lines in found.items())
