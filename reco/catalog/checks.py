"""What is wrong with the shop's catalogues: lines that do not add up, gaps, price jumps, and orphans both ways.

Belongs here: counting it over the stored lines. Does not belong here: when a count warns (`assets.checks.catalogue`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from reco.catalog.aliases import define_aliases
from reco.catalog.ledger import CatalogueDrop
from reco.catalog.reader import CATALOGUE_LINES, QUARANTINED_CATALOGUE_LINES
from reco.catalog.rules import REPEATED
from reco.catalog.table import CATALOGUE
from reco.storage.engine import fetch_row, open_engine, parquet, row_count
from reco.storage.lake import Lake

SHOWN = 20
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CatalogueFindings:
    """Counts over the newest catalogue of each source.

    listed: items; unnamed, uncategorised: of them, without; read, duplicates, quarantined: their lines, lines whose
    item comes again below, and lines that something else is wrong with, whose reasons are in `worst_quarantine`;
    priced: items with a price in two catalogues in succession; jumped: of them, by more than asked; sold: items in the
    orders, None where there are none yet; unlisted: of them, in no newest catalogue, with the orders that hold one in
    `unlisted_orders`; unsold: listed items in no order.
    """

    listed: int = 0
    unnamed: int = 0
    uncategorised: int = 0
    read: int = 0
    duplicates: int = 0
    quarantined: int = 0
    priced: int = 0
    jumped: int = 0
    sold: int | None = None
    unlisted: int = 0
    unlisted_orders: int = 0
    unsold: int = 0
    worst_quarantine: tuple[Row, ...] = field(default=())
    worst_prices: tuple[Row, ...] = field(default=())
    worst_unlisted: tuple[Row, ...] = field(default=())
    worst_unsold: tuple[Row, ...] = field(default=())


def catalogue_imbalances(drops: Sequence[CatalogueDrop], lake: Lake) -> list[Row]:
    """The ingested catalogues whose stored lines are not the lines counted in their bytes."""
    wrong = []
    for drop in drops:
        good, others = (_rows(lake.path(table, drop.key)) for table in (CATALOGUE_LINES, QUARANTINED_CATALOGUE_LINES))
        if min(good, others) < 0 or good + others != drop.lines_read:
            wrong.append({"drop": drop.name, "lines_read": drop.lines_read, "accepted": good, "quarantined": others})
    return wrong


def _rows(path: Path) -> int:
    return row_count(path) if path.is_file() else -1


def check_catalogue(
    drops: Sequence[CatalogueDrop],
    lake: Lake,
    orders: Path,
    *,
    price_change: float,
    rules: Mapping[str, tuple[str, ...]] | None = None,
) -> CatalogueFindings:
    """Looks at the newest catalogues, those before them, and the items in the orders.

    Args:
        drops: the ingested catalogues, oldest first.
        lake: has the table `catalogue` made of them.
        orders: the `orders` table; it need not be there.
        price_change: the rise of a price, as a share, that is a jump; so is a fall by the reverse.
        rules: what each source lets differ in the ids of one item, which may be listed under any of them.

    Raises:
        LakeError: a table is missing or damaged.
    """
    newest = {drop.source: drop for drop in drops}
    if not newest:
        return CatalogueFindings()
    table = parquet(lake.existing(CATALOGUE))
    with open_engine("catalogue checks", lake.path(CATALOGUE).with_name("catalogue.checks")) as con:
        listed, unnamed, uncategorised = fetch_row(
            con,
            "SELECT count(*), count(*) FILTER (item_name IS NULL), count(*) FILTER (category IS NULL) "
            f"FROM {table} WHERE listed",
        )
        con.execute("CREATE TEMP TABLE prices (item_id VARCHAR, name VARCHAR, before DECIMAL(18,4), now DECIMAL(18,4))")
        for drop in newest.values():
            _add_prices(con, [one for one in drops if one.source == drop.source], lake)
        priced, jumped = fetch_row(con, f"SELECT count(*), count(*) FILTER ({_jump(price_change)}) FROM prices")
        prices = con.sql(
            f"""SELECT item_id, name, before, now FROM prices WHERE {_jump(price_change)}
            ORDER BY abs(ln(now) - ln(before)) DESC, item_id LIMIT {SHOWN}"""
        ).fetchall()
        sold = _sold(con, table, orders, rules or {}) if orders.is_file() else {}
    faults: list[Row] = [
        {"drop": drop.name, "reason": reason, "lines": lines}
        for drop in newest.values()
        for reason, lines in (drop.reasons or {}).items()
        if reason != REPEATED
    ]
    faults.sort(key=lambda one: (-one["lines"], one["drop"], one["reason"]))
    return CatalogueFindings(
        listed=listed,
        unnamed=unnamed,
        uncategorised=uncategorised,
        read=sum(drop.lines_read or 0 for drop in newest.values()),
        duplicates=sum((drop.reasons or {}).get(REPEATED, 0) for drop in newest.values()),
        quarantined=sum(one["lines"] for one in faults),
        worst_quarantine=tuple(faults[:SHOWN]),
        priced=priced,
        jumped=jumped,
        worst_prices=tuple(
            {"item_id": r[0], "item_name": r[1] or "", "price_before": float(r[2]), "price_now": float(r[3])}
            for r in prices
        ),
        **sold,
    )


def _jump(change: float) -> str:
    return f"abs(ln(now) - ln(before)) > ln(1 + {change!r}) + 1e-9"


def _add_prices(con: duckdb.DuckDBPyConnection, drops: Sequence[CatalogueDrop], lake: Lake) -> None:
    """The prices above 0 of the newest catalogue of a source beside those of the one before it."""
    if len(drops) < 2:
        return
    before, now = (parquet(lake.existing(CATALOGUE_LINES, drop.key)) for drop in drops[-2:])
    con.execute(
        f"""INSERT INTO prices SELECT item_id, n.item_name, b.price, n.price FROM {now} n JOIN {before} b
        USING (item_id) WHERE n.price > 0 AND b.price > 0"""
    )


def _sold(con: duckdb.DuckDBPyConnection, table: str, orders: Path, rules: Mapping[str, tuple[str, ...]]) -> Row:
    define_aliases(con, f"SELECT item_id FROM {table} WHERE listed", orders, rules)
    con.execute(
        f"""CREATE TEMP TABLE matched AS
        WITH sold AS (SELECT item_id, count(*) AS orders FROM {parquet(orders)} GROUP BY item_id),
        listed AS (SELECT item_id, item_name FROM {table} WHERE listed)
        SELECT item_id, orders, NULL AS item_name,
               item_id IN (SELECT item_id FROM listed UNION ALL SELECT item_id FROM aliases) AS listed
        FROM sold
        UNION ALL
        SELECT item_id, NULL, item_name, true FROM listed
        WHERE item_id NOT IN (SELECT item_id FROM sold UNION ALL SELECT listed_id FROM aliases)"""
    )
    sold, unlisted, lines, unsold = fetch_row(
        con,
        "SELECT count(orders), count(*) FILTER (NOT listed), coalesce(sum(orders) FILTER (NOT listed), 0)::BIGINT, "
        "count(*) FILTER (orders IS NULL) FROM matched",
    )
    orphans = con.sql(
        f"SELECT item_id, orders FROM matched WHERE NOT listed ORDER BY orders DESC, item_id LIMIT {SHOWN}"
    ).fetchall()
    never = con.sql(f"SELECT item_id, item_name FROM matched WHERE orders IS NULL ORDER BY item_id LIMIT {SHOWN}")
    return {
        "sold": sold,
        "unlisted": unlisted,
        "unlisted_orders": lines,
        "unsold": unsold,
        "worst_unlisted": tuple({"item_id": r[0], "orders": r[1]} for r in orphans),
        "worst_unsold": tuple({"item_id": r[0], "item_name": r[1] or ""} for r in never.fetchall()),
    }
