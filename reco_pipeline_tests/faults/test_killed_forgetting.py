"""Faults of forgetting: killed at any step, the same command ends it as if nothing had been."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from reco.audit.chain import verify_chain
from reco.audit.stored import compare_files
from reco.audit.trail import Event, events
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.orders import ORDERS, make_orders
from reco.orders.profiles import SourceProfile
from reco.settings import Settings
from reco.snapshot.order_book import keep_orders
from reco_pipeline.forgetting import forget
from reco_pipeline_tests.model_tables import rows

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
WHO = "anna@shop.test"
HEADER = "order_id,item_name,quantity,customer_id\n"
TILL = SourceProfile.model_validate(
    {
        "name": "till",
        "columns": {
            "order_id": ["order_id", "customer_id"],
            "item_name": "item_name",
            "quantity": "quantity",
            "customer_id": "customer_id",
        },
    }
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours catches it."""


@contextmanager
def killed_at(engine: sa.Engine, mark: int) -> Iterator[None]:
    """The process ends where the trail is to get its `mark`-th event (counted from 1): the work is done, unmarked."""
    seen = 0

    def look(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        nonlocal seen
        seen += statement.startswith("INSERT INTO main.audit_events")
        if seen == mark:
            raise Killed

    sa.event.listen(engine, "before_cursor_execute", look)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", look)


def a_home(folder: Path) -> Home:
    """Two drops of composite orders, the second replacing one of the first, each with a quarantined line of hers."""
    home = open_home(Settings(home=folder / "home"))
    texts = (f"mon,PID,1,{WHO}\nmon,Kit,1,bob\nmon,Kit,x,{WHO}\n", f"mon,PID,2,{WHO}\ntue,Kit,x,{WHO}\n")
    for name, text in zip(("a.csv", "b.csv"), texts, strict=True):
        (folder / name).write_text(HEADER + text)
        (one,) = home.ledger.register([(folder / name, TILL)], now=NOON)
        assert one.drop is not None
        ingest(home.ledger, [one.drop.key], now=NOON, run_id="r")
        make_orders(home.ledger, home.lake, now=NOON, run_id="r")
    sid = "20240601T120000Z-00000001"
    keep_orders(home.lake, home.lake.existing(ORDERS), sid)
    return home


def try_it(home: Home, *, raw: bool) -> Any:
    """As the command does it."""
    return forget(home, WHO, source=None, remove_raw=raw, now=NOON, agreed=lambda _plan, _left: True)


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("mark", [1, 2, 3, 4, 5, 6])
def test_killed_before_any_mark_it_ends_the_same(tmp_path: Path, mark: int, again: bool) -> None:
    """Six marks: a list of replaced orders, two drops with their files, the customer. Each stands once in the end.

    The files go also where the command that ends it does not ask for that again.
    """
    home = a_home(tmp_path)
    engine = home.ledger.engine
    with pytest.raises(Killed), killed_at(engine, mark):
        try_it(home, raw=True)
    plan, _, done = try_it(home, raw=again)
    assert done
    counted = dict.fromkeys((Event.REPLACED_REDACTED, Event.DROP_REDACTED, Event.RAW_REMOVED), 0)
    for one in events(engine, limit=None):
        if one.event in counted:
            counted[one.event] += 1
            assert one.details["operation"] == plan.operation
    assert list(counted.values()) == [1, 2, 2]
    assert len(events(engine, event=Event.CUSTOMER_FORGOTTEN)) == 1
    assert [home.ledger.bytes_removed(key) for key in plan.keys] == [True, True]
    tables = home.lake.root.glob("*/*.parquet")
    assert WHO not in "".join(repr(rows(path)) for path in tables) + repr(events(engine, limit=None))
    assert verify_chain(engine).whole
    assert compare_files(engine, home.lake).problems == ()
    assert not list((home.settings.home / "keys").glob("forgetting*"))


def test_killed_where_only_the_orders_of_a_snapshot_were_left(tmp_path: Path) -> None:
    """Lines forgotten by an earlier version, then killed at the last mark: it is ended, the journal goes."""
    home = a_home(tmp_path)
    (kept,) = home.lake.root.glob("redis_snapshot/*.parquet")
    content = kept.read_bytes()
    assert try_it(home, raw=False)[2]
    kept.write_bytes(content)
    with pytest.raises(Killed), killed_at(home.ledger.engine, 1):
        try_it(home, raw=False)
    assert list((home.settings.home / "keys").glob("forgetting*"))
    assert try_it(home, raw=False)[2]
    assert WHO not in repr(rows(kept))
    assert not list((home.settings.home / "keys").glob("forgetting*"))
