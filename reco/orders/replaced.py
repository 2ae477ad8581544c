"""Every order whose lines gave way to those of a later batch, as a table a piece of news.

Belongs here: finding those that new drops replaced, storing all of them, and their mark in the trail. Does not belong
here: which lines are in effect (`reco.orders.view`).

The trail itself names no order: an order id may be made of a customer's. It has the counts and the sha256 of the file.
"""

import datetime as dt
from collections.abc import Collection, Sequence

import duckdb

from reco.audit.trail import Event, append, events, record_drops, recorded_drops, recording
from reco.orders.accepted import OrderPart
from reco.orders.drops import ORDER_LINES
from reco.orders.ledger import Drop, DropLedger
from reco.storage.engine import fetch_row, literal, open_engine, parquet, write_parquet
from reco.storage.lake import Lake, file_digest

REPLACED_ORDERS = "replaced_orders"
"""Lake table: source, order_id, from_batch, to_batch (the last two), lines_before, lines_after (lines that
buy; what is taken back replaces nothing). A file an event."""


def mark_replaced(
    ledger: DropLedger,
    lake: Lake,
    drops: Sequence[Drop],
    parts: Sequence[OrderPart],
    *,
    now: dt.datetime,
    run_id: str | None,
) -> int:
    """Stores the orders that drops and replays since the last event replaced or were replaced in; returns how many.

    A replay brings lines into the batch of its drop, so it can replace an order of an earlier batch, or bring one that
    a later batch has replaced. Each rebuild finds the orders of earlier drops replaced again: only what is new is news.
    Killed between file and event, the next run writes the same file and then the event.

    Raises:
        LakeError: lines of a drop cannot be read, or the file not be written.
    """
    last = events(ledger.engine, event=Event.ORDERS_REPLACED, limit=1)
    told = recorded_drops(ledger.engine, last[0].details.get("drops", "")) if last else {}
    # A replay under the digest of its drop, not of its lines: forgetting a customer changes those, and is no news.
    current = {key: (drop.sha256, drop.batch) for drop in drops for key in (drop.key, *(r.key for r in drop.replays))}
    new = {key for key, value in current.items() if told.get(key) != value}
    if not new:
        return 0
    name = f"batch-{max(current[key][1] for key in new)}-{run_id or now.strftime('%Y%m%dT%H%M%S')}"
    with open_engine(REPLACED_ORDERS, lake.path(ORDER_LINES, drops[0].key)) as con:
        _define_replaced(con, parts, new)
        count, before, after = fetch_row(
            con,
            "SELECT count(*), coalesce(sum(lines_before), 0)::BIGINT, coalesce(sum(lines_after), 0)::BIGINT "
            "FROM replaced",
        )
        if not count:
            return 0
        with lake.replace(REPLACED_ORDERS, name) as path:
            write_parquet(con, "FROM replaced ORDER BY source, order_id", path)
    with recording(ledger.engine) as connection:
        append(
            connection,
            Event.ORDERS_REPLACED,
            at=now,
            run_id=run_id,
            orders=count,
            lines_before=before,
            lines_after=after,
            drops=record_drops(connection, current),
            part=name,
            sha256=file_digest(lake.path(REPLACED_ORDERS, name)),
        )
    return int(count)


def _define_replaced(con: duckdb.DuckDBPyConnection, parts: Sequence[OrderPart], new: Collection[str]) -> None:
    """The table `replaced`: orders of several batches that new drops have lines of."""
    con.execute("CREATE TEMP TABLE parts (filename VARCHAR, batch BIGINT, fresh BOOLEAN)")
    rows = ", ".join(f"({literal(str(p.path))}, {p.batch:d}, {p.drop_key in new})" for p in parts)
    con.execute(f"INSERT INTO parts VALUES {rows}")
    con.execute(
        f"""
        CREATE TEMP TABLE replaced AS
        WITH batches AS (
            SELECT source, order_id, batch, count(*) AS lines, bool_or(fresh) AS fresh
            FROM {parquet(*(p.path for p in parts), filename=True)} JOIN parts USING (filename)
            WHERE quantity > 0  -- what is taken back replaces nothing
            GROUP BY source, order_id, batch
        )
        SELECT source, order_id, max(batch) FILTER (NOT is_latest) AS from_batch, max(batch) AS to_batch,
               sum(lines) FILTER (NOT is_latest)::BIGINT AS lines_before,
               sum(lines) FILTER (is_latest)::BIGINT AS lines_after
        FROM (SELECT *, batch = max(batch) OVER (PARTITION BY source, order_id) AS is_latest FROM batches)
        GROUP BY source, order_id HAVING count(*) > 1 AND bool_or(fresh)
        """
    )
