"""Promises of trends: windows that end at the newest order, least support, and growth against the whole shop."""

import datetime as dt
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from reco.errors import LakeError
from reco.model.growth import growth
from reco.model.trends import GrowingItems, growing_items

NEWEST = dt.datetime(2026, 3, 1, 10)  # noqa: DTZ001 - the lake has UTC without a zone


def orders(folder: Path, *bought: tuple[str, float, int]) -> Path:
    """An `orders` table: of each item, so many days before the newest order, so many orders of it alone."""
    rows = [
        {
            "source": "s",
            "order_id": f"{item}-{days}-{n}",
            "item_id": item,
            "ordered_at": NEWEST - dt.timedelta(days=days),
        }
        for item, days, count in bought
        for n in range(count)
    ]
    path = folder / "orders.parquet"
    schema: dict[str, Any] = {
        "source": pl.String,
        "order_id": pl.String,
        "item_id": pl.String,
        "ordered_at": pl.Datetime("us"),
    }
    pl.DataFrame(rows, schema=schema).write_parquet(path)
    return path


def counted(path: Path) -> tuple[GrowingItems, list[tuple[str, int, int]]]:
    """The trends, and the items with their counts."""
    found = growing_items(path)
    assert found is not None
    return found, found.items.rows()


def test_both_windows_end_at_the_newest_order(tmp_path: Path) -> None:
    """28 days before the newest order are the older window's; what is older than both counts in neither."""
    path = orders(tmp_path, ("new", 0, 4), ("new", 27.9, 4), ("new", 28, 2), ("old", 40, 6), ("long ago", 90, 50))
    found, rows = counted(path)
    assert (found.days, found.newest_at, found.recent, found.before) == (28, NEWEST, 8, 8)
    assert rows == [("new", 8, 2)]


@pytest.mark.parametrize(("days", "length"), [(60, 28), (57, 28), (7, 3), (3, 1)])
def test_both_windows_have_as_many_days(tmp_path: Path, days: int, length: int) -> None:
    """Of orders that have a day and no time: ten a day are as many in either window, and nothing grows."""
    found, rows = counted(orders(tmp_path, *(("daily", day, 10) for day in range(days))))
    assert (found.days, found.recent, found.before, rows) == (length, 10 * length, 10 * length, [])


def test_a_shop_that_sells_more_is_no_trend(tmp_path: Path) -> None:
    """Every item twice as often: nothing grows. One that grows more than the shop does stands out."""
    same = orders(tmp_path, ("a", 1, 20), ("b", 1, 40), ("a", 30, 10), ("b", 30, 20), ("x", 60, 1))
    assert counted(same)[1] == []
    one = orders(tmp_path, ("a", 1, 40), ("b", 1, 40), ("a", 30, 10), ("b", 30, 40), ("x", 60, 1))
    assert counted(one)[1] == [("a", 40, 10)]


def test_a_handful_of_orders_is_no_trend(tmp_path: Path) -> None:
    """Four recent orders after none are left out; five are listed, but behind fifty after ten."""
    path = orders(
        tmp_path, ("four", 1, 4), ("five", 1, 5), ("many", 1, 50), ("many", 30, 10), ("x", 30, 60), ("x", 60, 1)
    )
    assert [row[0] for row in counted(path)[1]] == ["many", "five"]


def test_short_histories_have_short_windows(tmp_path: Path) -> None:
    """Half of the days there are, in whole days; less than two days, or no times at all, give no trends."""
    found, rows = counted(orders(tmp_path, ("a", 0, 6), ("b", 5, 6), ("b", 6, 6)))
    assert (found.days, rows) == (3, [("a", 6, 0)])
    assert growing_items(orders(tmp_path, ("a", 0, 6), ("b", 1, 6))) is None
    path = orders(tmp_path, ("a", 0, 6))
    pl.read_parquet(path).with_columns(ordered_at=pl.lit(None, pl.Datetime("us"))).write_parquet(path)
    assert growing_items(path) is None
    assert growing_items(orders(tmp_path)) is None


def test_growth_is_measured_against_what_was_to_be_expected() -> None:
    """Twice the orders in a shop with twice the orders is no growth; five orders are added to both sides."""
    assert growth(20, 10, 200, 100) == 1
    assert growth(15, 0, 100, 100) == 4


def test_a_table_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """With its path and the next step."""
    (tmp_path / "orders.parquet").write_bytes(b"nonsense")
    with pytest.raises(LakeError, match=r"orders\.parquet"):
        growing_items(tmp_path / "orders.parquet")
