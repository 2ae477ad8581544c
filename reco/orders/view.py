"""The orders view: the lines of all drops as one table in which every order stands once.

Belongs here: what happens when an order comes in several lines, several drops or several batches. Does not belong here:
which lines are accepted (the reader), and anything counted over orders (the model).
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import duckdb

from reco.errors import UsageError
from reco.storage.engine import Limits, fetch_row, literal, open_engine, parquet, require_files, write_parquet

REPLACED_SHOWN = 20

_LINES_SCHEMA = (
    "NULL::VARCHAR AS source, NULL::VARCHAR AS order_id, NULL::VARCHAR AS item_id, NULL::BIGINT AS quantity, "
    "NULL::DECIMAL(18,4) AS line_total, NULL::VARCHAR AS customer_id, NULL::TIMESTAMP AS ordered_at, "
    "NULL::VARCHAR AS drop_key, NULL::BIGINT AS batch"
)


@dataclass(frozen=True, slots=True)
class OrderPart:
    """The accepted lines of one drop.

    path: a part of `order_lines`. drop_key: its partition key. batch: number of the run that brought it; a higher one
    is later. name: what people call the drop.
    """

    path: Path
    drop_key: str
    batch: int
    name: str


class ReplacedOrder(NamedTuple):
    """An order whose lines of one batch gave way to those of a later one."""

    source: str
    order_id: str
    from_batch: int
    to_batch: int


@dataclass(frozen=True, slots=True)
class OrdersReport:
    """Figures of the orders view.

    lines: lines of all parts; lines_replaced: those of them that a later batch replaced; rows: rows written, one per
    order and item; orders, items: distinct ones in effect; replaced_orders: orders that came in more than one batch;
    replaced: the first 20 of them by source and order id, with the last two batches.
    """

    lines: int
    lines_replaced: int
    rows: int
    orders: int
    items: int
    replaced_orders: int
    replaced: tuple[ReplacedOrder, ...]


def build_orders(parts: Sequence[OrderPart], out: Path, *, limits: Limits | None = None) -> OrdersReport:
    """Writes the `orders` table of these parts.

    An order is (source, order_id). Within a batch its lines are united, whichever drops they came in; the latest batch
    that has the order gives all of its lines. Repeats of an item in an order are one row: quantities and line totals
    add up (revenue is null only if no line has a total; lines without one add nothing). customer_id (the smallest) and
    ordered_at (the earliest) belong to the order and are equal on all its rows; drop_key is the smallest one that
    brought the row. Neither the order of `parts` nor that of their lines matters, and no parts make an empty table.

    Args:
        parts: Parquet files shaped as `order_lines`; each path and drop key once.
        out: Parquet file to write: source, order_id, item_id, quantity BIGINT, revenue DECIMAL(18,4), customer_id,
            ordered_at TIMESTAMP (UTC), drop_key; sorted by source, order_id, item_id.
        limits: memory and threads; the result does not depend on them.

    Raises:
        UsageError: a path or drop key is given twice: its lines would count twice.
        LakeError: a part is missing or damaged, or the file could not be written.
    """
    _require_distinct("path", [str(part.path) for part in parts])
    _require_distinct("drop_key", [part.drop_key for part in parts])
    require_files("orders", [part.path for part in parts])
    with open_engine("orders", out, limits) as con:
        _define_lines(con, parts)
        _define_batches(con)
        write_parquet(
            con,
            """
            SELECT l.source, l.order_id, l.item_id, sum(l.quantity)::BIGINT AS quantity,
                   sum(l.line_total)::DECIMAL(18,4) AS revenue, any_value(b.customer_id) AS customer_id,
                   any_value(b.ordered_at) AS ordered_at, min(l.drop_key) AS drop_key
            FROM lines l JOIN batches b USING (source, order_id, batch)
            WHERE b.is_latest
            GROUP BY l.source, l.order_id, l.item_id
            ORDER BY l.source, l.order_id, l.item_id
            """,
            out,
        )
        return _report(con, out)


def _require_distinct(field: str, values: list[str]) -> None:
    repeated = [value for value, times in Counter(values).items() if times > 1]
    if repeated:
        raise UsageError(
            f"orders cannot be computed: the {field} {repeated[0]} is given twice, so its lines would count twice.",
            hint="Give each drop's part once.",
        )


def _define_lines(con: duckdb.DuckDBPyConnection, parts: Sequence[OrderPart]) -> None:
    """The view `lines`: all parts in one scan, each line with its drop and batch."""
    if not parts:
        con.execute(f"CREATE TEMP VIEW lines AS SELECT {_LINES_SCHEMA} WHERE false")
        return
    con.execute("CREATE TEMP TABLE parts (filename VARCHAR, drop_key VARCHAR, batch BIGINT)")
    rows = ", ".join(f"({literal(str(p.path))}, {literal(p.drop_key)}, {p.batch:d})" for p in parts)
    con.execute(f"INSERT INTO parts VALUES {rows}")
    con.execute(
        f"""
        CREATE TEMP VIEW lines AS
        SELECT source, order_id, item_id, quantity, line_total, customer_id, ordered_at, parts.drop_key, parts.batch
        FROM {parquet(*(p.path for p in parts), filename=True)} JOIN parts USING (filename)
        """
    )


def _define_batches(con: duckdb.DuckDBPyConnection) -> None:
    """The table `batches`: each order in each batch it came in, with what belongs to the whole order."""
    con.execute(
        """
        CREATE TEMP TABLE batches AS
        SELECT *, batch = max(batch) OVER (PARTITION BY source, order_id) AS is_latest
        FROM (
            SELECT source, order_id, batch, count(*) AS lines, min(customer_id) AS customer_id,
                   min(ordered_at) AS ordered_at
            FROM lines GROUP BY source, order_id, batch
        )
        """
    )


def _report(con: duckdb.DuckDBPyConnection, out: Path) -> OrdersReport:
    lines, replaced_lines, orders = fetch_row(
        con,
        """
        SELECT coalesce(sum(lines), 0)::BIGINT, coalesce(sum(lines) FILTER (NOT is_latest), 0)::BIGINT,
               count(*) FILTER (is_latest)
        FROM batches
        """,
    )
    rows, items = fetch_row(con, f"SELECT count(*), count(DISTINCT item_id) FROM {parquet(out)}")
    replaced = """
        SELECT source, order_id, max(batch) FILTER (NOT is_latest) AS from_batch, max(batch) AS to_batch
        FROM batches GROUP BY source, order_id HAVING count(*) > 1
    """
    (replaced_orders,) = fetch_row(con, f"SELECT count(*) FROM ({replaced})")
    shown = con.sql(f"{replaced} ORDER BY source, order_id LIMIT {REPLACED_SHOWN}").fetchall()
    return OrdersReport(
        lines=lines,
        lines_replaced=replaced_lines,
        rows=rows,
        orders=orders,
        items=items,
        replaced_orders=replaced_orders,
        replaced=tuple(ReplacedOrder(*row) for row in shown),
    )
