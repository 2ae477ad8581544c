"""Making the `orders` table of the lake from the ingested drops.

Belongs here: which parts take part, the table's stamp and the audit of replaced orders. Does not belong here: the SQL
of the view (`reco.orders.view`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reco.orders.accepted import OrderPart
from reco.orders.drops import ORDER_LINES
from reco.orders.ledger import Drop, DropLedger, DropStatus, inputs_digest
from reco.orders.merging import MERGED_ITEMS, rules_of_sources, write_merged
from reco.orders.replaced import mark_replaced
from reco.orders.view import OrdersReport, build_orders
from reco.progress import stage
from reco.storage.engine import fetch_row, open_engine, parquet
from reco.storage.lake import Lake

ORDERS = "orders"
INPUT = "drops"


@dataclass(frozen=True)
class OrdersMade:
    """The figures of the made table and its digest; `replayed` counts the lines that replays brought, by drop key."""

    report: OrdersReport
    digest: str
    replayed: dict[str, int]


def order_parts(lake: Lake, drops: Sequence[Drop]) -> list[OrderPart]:
    """The accepted lines of drops: a part each, and one for each replay, which belongs to the batch of its drop.

    Raises:
        LakeError: the lines of a drop or of a replay are not in the lake.
    """
    return [
        OrderPart(lake.existing(ORDER_LINES, key), key, drop.batch, drop.name, drop.merge_items)
        for drop in drops
        for key in (drop.key, *(replay.key for replay in drop.replays if replay.lines_accepted))
    ]


def merging_rules(drops: Sequence[Drop]) -> dict[str, tuple[str, ...]]:
    """What each source lets differ in the ids of one item: as `make_orders` merges the lines of these drops."""
    having_lines = (drop for drop in drops if drop.lines_accepted or drop.replays)
    return rules_of_sources((drop.source, drop.batch, drop.merge_items) for drop in having_lines)


def make_orders(ledger: DropLedger, lake: Lake, *, now: dt.datetime, run_id: str | None) -> OrdersMade:
    """Builds `orders` from the ingested drops and their replays; tells the trail what a later batch replaced.

    Raises:
        LakeError: the lines of a drop are not in the lake.
    """
    drops = ledger.drops(status=DropStatus.INGESTED)
    parts = order_parts(lake, drops)
    with stage(ORDERS), lake.replace(ORDERS) as path:
        report = build_orders(parts, path)
    with lake.replace(MERGED_ITEMS) as path:
        write_merged(report.merged, path)
    stamp = lake.stamp(ORDERS, {INPUT: inputs_digest(drops)})
    if report.replaced_orders:
        mark_replaced(ledger, lake, drops, parts, now=now, run_id=run_id)
    replayed = {drop.key: sum(replay.lines_accepted for replay in drop.replays) for drop in drops if drop.replays}
    return OrdersMade(report, stamp.digest, replayed)


@dataclass(frozen=True)
class OrdersExtent:
    """How many orders there are, and from when to when (UTC, without a zone; None where no line has a time)."""

    orders: int
    first_ordered_at: dt.datetime | None
    last_ordered_at: dt.datetime | None


def orders_extent(path: Path) -> OrdersExtent:
    """The extent of an `orders` table."""
    with open_engine(ORDERS, path) as con:
        query = f"SELECT count(DISTINCT (source, order_id)), min(ordered_at), max(ordered_at) FROM {parquet(path)}"
        return OrdersExtent(*fetch_row(con, query))
