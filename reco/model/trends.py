"""Which items grow: orders of a recent window against those of the window before it.

Belongs here: counting both windows over `orders`. Does not belong here: the measure (`reco.model.growth`), and what is
answered.

Both windows have the same length and end at the newest `ordered_at`, never at the clock: equal orders give equal
trends, whenever they are counted. Neither holds the moment it begins at, which is the end of the window before: of
orders with a day only, each has as many days.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from reco.errors import LakeError
from reco.model.growth import growth

WINDOW_DAYS = 28
"""Whole weeks, so that each window has the same weekdays."""

LEAST_ORDERS = 5
"""An item in fewer recent orders has no trend: two orders instead of one are chance."""

TOP = 1000


@dataclass(frozen=True, slots=True)
class GrowingItems:
    """The items that grow, most first, and the two windows.

    items: item_id, recent, before (orders that hold it in either window); recent, before: all orders in either.
    """

    days: int
    newest_at: dt.datetime
    recent: int
    before: int
    items: pl.DataFrame


def growing_items(orders: Path) -> GrowingItems | None:
    """Counts both windows of an `orders` table; None where no two days of orders with a time can be compared.

    A window is 28 days, or half of the time there is where that is less, in whole days.

    Raises:
        LakeError: the table cannot be read.
    """
    try:
        table = pl.scan_parquet(orders, glob=False).select("source", "order_id", "item_id", "ordered_at")
        extent = table.select(oldest=pl.col("ordered_at").min(), newest=pl.col("ordered_at").max()).collect()
        oldest, newest = extent.row(0)
        if newest is None:
            return None
        days = min(WINDOW_DAYS, (newest - oldest).days // 2)
        if days < 1:
            return None
        middle, start = newest - dt.timedelta(days=days), newest - dt.timedelta(days=2 * days)
        at = pl.col("ordered_at")
        both = table.filter(at > start).with_columns(late=at > middle)
        order = pl.struct("source", "order_id")
        totals = both.select(
            recent=order.filter(pl.col("late")).n_unique(), before=order.filter(~pl.col("late")).n_unique()
        ).collect()
        counts = (
            both.group_by("item_id")
            .agg(recent=pl.col("late").sum().cast(pl.Int64), before=(~pl.col("late")).sum().cast(pl.Int64))
            .filter(pl.col("recent") >= LEAST_ORDERS)
            .collect()
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LakeError(
            f"{orders} cannot be read: {str(error).splitlines()[0]}.",
            hint="Materialize orders again, then publish.",
            path=str(orders),
        ) from error
    recent, before = totals.row(0)
    if not before:
        return None
    rows = [(item, late, early, growth(late, early, recent, before)) for item, late, early in counts.iter_rows()]
    rows = sorted((row for row in rows if row[3] > 1), key=lambda row: (-row[3], -row[1], row[0]))[:TOP]
    items = pl.DataFrame(
        [row[:3] for row in rows], schema={"item_id": pl.String, "recent": pl.Int64, "before": pl.Int64}, orient="row"
    )
    return GrowingItems(days, newest, recent, before, items)
