"""Builders of small lake tables for tests of the orders view and the model.

Belongs here: writing rows as Parquet in the lake's schemas and reading them back. Does not belong here: any
expectation.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from reco.model.cooccurrence import CooccurrenceReport, build_cooccurrence
from reco.model.item_stats import ItemStatsReport, build_item_stats
from reco.model.scores import ScoreSettings
from reco.model.similar import SimilarReport, build_similar
from reco.orders.accepted import OrderPart
from reco.orders.view import OrdersReport, build_orders

LINE_SCHEMA: Mapping[str, Any] = {
    "line": pl.Int64,
    "order_id": pl.String,
    "item_id": pl.String,
    "item_name": pl.String,
    "quantity": pl.Int64,
    "unit_price": pl.Decimal(18, 4),
    "line_total": pl.Decimal(18, 4),
    "customer_id": pl.String,
    "category": pl.String,
    "ordered_at": pl.Datetime("us"),
    "source": pl.String,
}


def line(order_id: str, item_id: str, **fields: Any) -> dict[str, Any]:
    """One accepted line: quantity 1, source "shop", everything optional null."""
    total = fields.pop("total", None)
    return {
        **dict.fromkeys(LINE_SCHEMA),
        "quantity": 1,
        "source": "shop",
        "order_id": order_id,
        "item_id": item_id,
        "line_total": None if total is None else Decimal(total),
        **fields,
    }


def write_lines(path: Path, lines: Iterable[dict[str, Any]]) -> Path:
    """A part of `order_lines`."""
    rows = [{**one, "line": number} for number, one in enumerate(lines, start=2)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=dict(LINE_SCHEMA)).write_parquet(path)
    return path


def part(folder: Path, key: str, lines: Iterable[dict[str, Any]], batch: int = 1) -> OrderPart:
    """A drop of these lines."""
    return OrderPart(write_lines(folder / f"{key}.parquet", lines), key, batch, f"{key}.csv")


def baskets(orders: Sequence[Iterable[str]]) -> list[dict[str, Any]]:
    """The lines of orders o0, o1, ... with these items."""
    return [line(f"o{number}", item) for number, items in enumerate(orders) for item in items]


def rows(path: Path) -> list[tuple[Any, ...]]:
    """The rows of a Parquet file in file order."""
    return pl.read_parquet(path, glob=False).rows()


def types(path: Path) -> dict[str, str]:
    """Column names and SQL types of a Parquet file, in order."""
    with duckdb.connect() as con:
        described = con.sql(f"DESCRIBE SELECT * FROM read_parquet('{path}')").fetchall()
    return {row[0]: row[1] for row in described}


@dataclass(frozen=True)
class Built:
    """All tables of the model made from some parts, and their reports."""

    orders: Path
    stats: Path
    pairs: Path
    similar: Path
    orders_report: OrdersReport
    stats_report: ItemStatsReport
    pairs_report: CooccurrenceReport
    similar_report: SimilarReport

    def contents(self) -> list[bytes]:
        """The bytes of every table."""
        return [path.read_bytes() for path in (self.orders, self.stats, self.pairs, self.similar)]


def build(folder: Path, parts: Sequence[OrderPart], *, scores: ScoreSettings | None = None) -> Built:
    """Makes every table from these parts in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    orders, stats, pairs, similar = (folder / f"{name}.parquet" for name in ("orders", "stats", "pairs", "similar"))
    return Built(
        orders,
        stats,
        pairs,
        similar,
        build_orders(parts, orders),
        build_item_stats(orders, [p.path for p in parts], None, stats, batches=[p.batch for p in parts]),
        build_cooccurrence(orders, pairs, scores),
        build_similar(stats, pairs, similar, scores, orders=orders),
    )
