"""Promises of a killed replay: it leaves nothing of itself that counts, and the next one ends as if none had died."""

import datetime as dt
import os
import signal
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from reco.audit.trail import Event, events
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import inputs_digest
from reco.orders.mending import export_open
from reco.orders.orders import ORDERS, make_orders
from reco.orders.profiles import load_profile
from reco.orders.quarantine import Selection
from reco.orders.replay import replay_file
from reco.orders.retention import expire
from reco.settings import Settings
from reco.storage.sql import open_database
from reco_pipeline_tests.killed_lake import KilledLake, home_of, run_until_killed

pytestmark = pytest.mark.sqlite("a process of its own is killed on the file of the home")
NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
TEXT = "order_id,item_id,quantity\n1,PID,1\n1,Hose,x\n2,PID,y\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with two drops of two quarantined lines each, and their mended export beside it."""
    home = open_home(Settings(home=tmp_path / "home"))
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(TEXT.replace("PID", f"PID {name}"))
        home.ledger.register([(tmp_path / name, load_profile("auto"))], now=NOON)
    ingest(home.ledger, [drop.key for drop in home.ledger.drops()], now=NOON, run_id=None)
    export_open(home, Selection(), tmp_path / "mend.csv", now=NOON)
    mended = (tmp_path / "mend.csv").read_bytes().replace(b'"x"\r\n', b'"2"\r\n').replace(b'"y"\r\n', b'"3"\r\n')
    (tmp_path / "mend.csv").write_bytes(mended)
    return home


def _killed(home: Path, file: Path, at: int, *, after: bool) -> None:
    """A replay in a process of its own that dies: at a table of the lake, or (0) when its record is committed."""
    engine = open_database(f"sqlite:///{home / 'reco.sqlite'}")
    lake = KilledLake(home / "lake", at, after=after)
    if at == 0:
        sa.event.listen(engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
    replay_file(home_of(home, engine, lake), file, now=NOON, actor="a test")


def state(home: Home) -> tuple[str, list[int], list[tuple[str, str, int]]]:
    """What counts: inputs of the model, open lines of each drop, and the orders."""
    make_orders(home.ledger, home.lake, now=NOON, run_id=None)
    rows = pl.read_parquet(home.lake.path(ORDERS)).select("order_id", "item_id", "quantity").rows()
    drops = home.ledger.drops()
    return inputs_digest(drops), [drop.lines_open for drop in drops], rows


# Each drop has two parts: order_lines is opened first and renamed last.
@pytest.mark.parametrize(("at", "after"), [(1, False), (2, True), (3, False), (4, True), (0, False)])
def test_a_kill_leaves_the_whole_replay_or_none(home: Home, tmp_path: Path, at: int, *, after: bool) -> None:
    """Before its one commit nothing has changed; the next replay takes every line, once, and sweeps what was left."""
    before = state(home)
    run_until_killed(_killed, home.settings.home, tmp_path / "mend.csv", at, after=after)
    assert state(home) == before
    assert home.ledger.imbalances() == []
    assert events(home.ledger.engine, event=Event.LINES_REPLAYED) == []
    report = replay_file(home, tmp_path / "mend.csv", now=NOON, actor="a test")
    assert (report.total("lines_accepted"), report.known, report.refused) == (4, 0, [])
    assert home.ledger.imbalances() == []
    assert state(home)[1] == [0, 0]
    home.lake.sweep()
    parts = sorted(path.name for path in (home.lake.root / "order_lines").iterdir())
    assert parts == sorted(f"{key}{r}.parquet" for key in (d.key for d in home.ledger.drops()) for r in ("", ".r1"))


def test_a_kill_while_text_expires_leaves_whole_parts(home: Home, tmp_path: Path) -> None:
    """Each part has its old text or none; the next time finishes."""
    lake = home.lake
    run_until_killed(_killed_expiry, home.settings.home)
    texts = [pl.read_parquet(lake.path("quarantined_lines", d.key))["raw"].null_count() for d in home.ledger.drops()]
    assert texts == [2, 0]
    assert home.ledger.imbalances() == []
    assert [one.lines for one in expire(home, days=1, now=NOON + dt.timedelta(days=2))] == [2]
    assert home.ledger.imbalances() == []


def _killed_expiry(home: Path) -> None:
    engine = open_database(f"sqlite:///{home / 'reco.sqlite'}")
    lake = KilledLake(home / "lake", 2, after=False)
    expire(home_of(home, engine, lake), days=1, now=NOON + dt.timedelta(days=2))
