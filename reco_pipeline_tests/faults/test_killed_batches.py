"""Promises of a run killed between drops or batches: the next one ends as if none had died."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus
from reco.orders.orders import ORDERS, make_orders
from reco.orders.profiles import SourceProfile
from reco.settings import Settings
from reco.storage.sql import open_database
from reco_pipeline_tests.killed_lake import KilledLake, home_of, run_until_killed

pytestmark = pytest.mark.sqlite("a process of its own is killed on the file of the home")
NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
HEAD = "order_id,item_id,quantity,status\n"
RULES = {
    "duplicates": "exclude",
    "returns": "net",
    "merge_items": ["case"],
    "max_lines_per_order": 2,
    "excluded_status": {"column": "status", "values": ["void"], "whole_order": True},
}
BATCHES = (
    # a return before its order; one line in two files; an order left out by the other file; one too large in both
    ("1,pid,-1,\n2,PID,1,\n3,cal,1,\n9,a,1,\n9,b,1,\n", "2,PID,1,\n3,hose,1,void\n9,c,1,\n4,pid,2,\n"),
    # the order, a return again, and an order as it was
    ("1,pid,3,\n", "1,pid,-1,\n4,pid,-1,\n2,PID,1,\n"),
)


def _home(folder: Path) -> Home:
    home = open_home(Settings(home=folder / "home"))
    profile = SourceProfile.checked({"name": "shop", "rules": RULES}, "a test")
    for n, texts in enumerate(BATCHES):
        paths = [folder / f"{n}-{i}.csv" for i in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(HEAD + text)
        home.ledger.register([(path, profile) for path in paths], now=NOON)
    return home


def _run(home: Home) -> None:
    """What a run does with its waiting drops."""
    waiting = [drop.key for drop in home.ledger.drops(status=DropStatus.PENDING)]
    ingest(home.ledger, waiting, now=NOON, run_id=None)
    make_orders(home.ledger, home.lake, now=NOON, run_id=None)


def _killed(folder: Path, at: int, *, after: bool) -> None:
    engine = open_database(f"sqlite:///{folder / 'home' / 'reco.sqlite'}")
    _run(home_of(folder / "home", engine, KilledLake(folder / "home" / "lake", at, after=after)))


def state(home: Home) -> tuple[bytes, list[tuple[object, ...]], list[bytes]]:
    """The orders, what the ledger says of each drop, and the lines of each."""
    drops = home.ledger.drops()
    counts: list[tuple[object, ...]] = [
        (d.key, d.status, d.lines_accepted, d.lines_excluded, d.lines_duplicate, d.reasons) for d in drops
    ]
    lines = [home.lake.path("order_lines", drop.key).read_bytes() for drop in drops]
    return home.lake.path(ORDERS).read_bytes(), counts, lines


# Each drop has two tables, order_lines and quarantined_lines; then come orders and merged_items.
@pytest.mark.parametrize(("at", "after"), [(2, True), (4, False), (6, True), (9, True)])
def test_a_killed_run_changes_nothing_of_the_next(tmp_path: Path, at: int, *, after: bool) -> None:
    """Between two drops of a batch, between two batches, or before the orders are whole: every byte is the same."""
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    undisturbed = _home(tmp_path / "undisturbed")
    _run(undisturbed)
    home = _home(tmp_path / "killed")
    run_until_killed(_killed, tmp_path / "killed", at, after=after)
    _run(home)
    assert state(home) == state(undisturbed)
    assert home.ledger.imbalances() == []
    rows = pl.read_parquet(home.lake.path(ORDERS)).select("order_id", "item_id", "quantity").rows()
    assert rows == [("1", "pid", 2), ("2", "pid", 1), ("4", "pid", 1)]
