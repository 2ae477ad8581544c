"""Promises of increments: a new drop is read alone, and what comes of all drops is what one run from scratch gives."""

import csv
import datetime as dt
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reco.model.scores import ScoreSettings
from reco.model.tables import (
    ITEM_COOCCURRENCE,
    SIMILAR_ITEMS,
    broken_links,
    make_cooccurrence,
    make_item_stats,
    make_similar,
)
from reco.orders.drops import ORDER_LINES
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.orders import make_orders
from reco.orders.profiles import load_profile
from reco.settings import Settings

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
SCORES = ScoreSettings(score="powers", top=3, order_size_power=0.5, item_power=0.75, other_power=0.35)
Basket = dict[int, list[str]]
"""Items by order number."""


def give(home: Home, path: Path, orders: Basket) -> str:
    """Reads a file of these orders as a batch of its own; returns the drop's key."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["order_id", "item_id", "ordered_at"])
        writer.writerows(
            (f"o{n}", item, f"2025-01-{n + 1:02}") for n, items in sorted(orders.items()) for item in items
        )
    (one,) = home.ledger.register([(path, load_profile("auto"))], now=NOON)
    assert one.drop is not None
    ingest(home.ledger, [one.drop.key], now=NOON, run_id=None)
    return one.drop.key


def tables(home: Home) -> dict[str, bytes]:
    """The pairs and their ranking, made from all drops."""
    make_orders(home.ledger, home.lake, now=NOON, run_id=None)
    make_item_stats(home.ledger, home.lake)
    make_cooccurrence(home.lake, SCORES)
    make_similar(home.lake, SCORES)
    assert broken_links(home.ledger, home.lake, SCORES) == []
    return {name: home.lake.path(name).read_bytes() for name in (ITEM_COOCCURRENCE, SIMILAR_ITEMS)}


def written(home: Home) -> dict[str, tuple[int, int]]:
    """When each drop's lines were written, and where: a file that is written anew differs."""
    found = {path.name: path.stat() for path in (home.lake.root / ORDER_LINES).glob("*.parquet")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batches=st.lists(
        st.dictionaries(
            st.integers(0, 9), st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True), min_size=1
        ),
        min_size=1,
        max_size=3,
        unique_by=repr,
    ),
    retracted=st.integers(0, 4),
    kernel=st.booleans(),
)
def test_drop_by_drop_is_from_scratch(
    batches: list[Basket],
    retracted: int,
    kernel: bool,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """New orders, replaced and retracted ones leave the bytes that one file of the orders in effect gives.

    Lines of earlier drops are not read again.
    """
    monkeypatch.setattr("reco.model.cooccurrence.KERNEL_EVENTS", 0 if kernel else 2**60)
    root = tmp_path_factory.mktemp("increments")
    growing = open_home(Settings(home=root / "growing"))
    before: dict[str, tuple[int, int]] = {}
    for number, orders in enumerate(batches):
        give(growing, root / f"{number}.csv", orders)
        assert before.items() <= written(growing).items()
        before = written(growing)
        if not number:
            tables(growing)
    in_effect: Basket = {}
    for number, orders in enumerate(batches):
        in_effect |= {} if number == retracted else orders
    if retracted < len(batches):
        growing.ledger.retract(f"{retracted}.csv", now=NOON, reason="")
    scratch = open_home(Settings(home=root / "scratch"))
    if in_effect:
        give(scratch, root / "all.csv", in_effect)
    assert tables(scratch) == tables(growing)
