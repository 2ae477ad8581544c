"""Promises of the audit trail: every step leaves a mark, no mark can be changed, and a changed one is found."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from reco.audit.chain import FIRST, verify_chain
from reco.audit.stored import compare_files
from reco.audit.trail import Event, append, events, record_drops, recorded_drops, recording
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.orders import make_orders
from reco.orders.profiles import load_profile
from reco.orders.replaced import REPLACED_ORDERS
from reco.settings import Settings
from reco.storage import sql
from reco.storage.lake import file_digest
from reco_pipeline_tests.at_once import at_once
from reco_pipeline_tests.model_tables import rows
from reco_pipeline_tests.versions import version_before

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    """An empty database."""
    return sql.open_database(f"sqlite:///{tmp_path / 'reco.sqlite'}")


def write_some(engine: sa.Engine, count: int = 5) -> None:
    """A few events in one transaction each."""
    for i in range(count):
        with recording(engine) as connection:
            append(connection, Event.DROP_SEEN, at=NOON, drop_key=f"d{i}", name=f"Bestellung-{i}-ä.csv", size=i / 3)


def tamper(engine: sa.Engine, *statements: str) -> None:
    """What somebody with the file can do: take the triggers off first."""
    with engine.begin() as connection:
        for trigger in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars():
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_the_chain_of_an_untouched_trail_is_whole(engine: sa.Engine) -> None:
    """Each event follows the one before; the head is that of the newest."""
    assert verify_chain(engine).head == FIRST
    write_some(engine)
    found = verify_chain(engine)
    assert (found.whole, found.events, found.broken_id) == (True, 5, None)
    assert found.head == events(engine)[0].hash


@pytest.mark.parametrize(
    ("change", "broken", "words"),
    [
        ("UPDATE audit_events SET drop_key = 'other' WHERE id = 3", 3, "altered"),
        ("UPDATE audit_events SET at = '2024-06-02 12:00:00.000000' WHERE id = 1", 1, "altered"),
        ("UPDATE audit_events SET details = '{}' WHERE id = 5", 5, "altered"),
        ("DELETE FROM audit_events WHERE id = 2", 3, "missing"),
        ("DELETE FROM audit_events WHERE id = 1", 2, "missing"),
        ("UPDATE audit_events SET id = 9 WHERE id = 2", 3, "missing"),
        ("UPDATE audit_events SET previous_hash = hash WHERE id = 4", 4, "altered"),
    ],
)
def test_the_first_wrong_event_is_named(engine: sa.Engine, change: str, broken: int, words: str) -> None:
    """An altered, removed or moved row is found, and the first one is named."""
    write_some(engine)
    tamper(engine, change)
    found = verify_chain(engine)
    assert found.broken_id == broken
    assert words in found.problem


def test_a_noted_head_shows_that_the_end_was_cut_off(engine: sa.Engine) -> None:
    """A shortened chain is whole in itself; only who noted its head can tell."""
    write_some(engine)
    head = verify_chain(engine).head
    tamper(engine, "DELETE FROM audit_events WHERE id = 5")
    assert verify_chain(engine).whole
    problem = verify_chain(engine, noted={"the mail of June": head, "nobody": FIRST}).problem
    assert "the head that the mail of June noted" in problem
    assert "newest events were taken off" in problem
    with recording(engine) as connection:
        append(connection, Event.DROP_SEEN, at=NOON)
    assert not verify_chain(engine, noted={"a mail": head}).whole
    assert verify_chain(engine, noted={"a mail": verify_chain(engine).head}).whole


@pytest.mark.parametrize("table", ["audit_events", "drop_sets"])
@pytest.mark.parametrize("migrated", [False, True])
def test_the_database_refuses_to_change_the_trail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, migrated: bool
) -> None:
    """UPDATE, DELETE and INSERT OR REPLACE fail in a database made at once and in a migrated one."""
    if migrated:
        monkeypatch.setattr(sql, "_create", lambda _engine: False)
    engine = sql.open_database(f"sqlite:///{tmp_path / 'reco.sqlite'}")
    with recording(engine) as connection:
        append(connection, Event.DROP_SEEN, at=NOON, drops=record_drops(connection, {"d": ("ab", 1)}))
    replace = f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"  # which fires no trigger of DELETE
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET drop_key = 'x'", replace):
        with pytest.raises(sa.exc.IntegrityError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    assert verify_chain(engine).events == 1


def test_events_of_an_older_database_get_their_chain(tmp_path: Path) -> None:
    """The migration keeps every event with its id and time, and joins new ones to them.

    What older versions quoted of files is not sealed into the chain, which nobody could mend: order ids and messages.
    """
    url = f"sqlite:///{tmp_path / 'reco.sqlite'}"
    old = sql.open_database(url)
    _back_before_the_chain(old)
    old.dispose()
    engine = sql.open_database(url)
    assert [(e.id, e.at, e.event, e.details) for e in events(engine)] == [
        (7, NOON, Event.DROP_RETRACTED, {"reason": "häßlich"}),
        (5, NOON, Event.DROP_FAILED, {"removed": "error"}),
        (4, NOON, Event.ORDERS_REPLACED, {"orders": 1, "removed": "first"}),
        (3, NOON, Event.DROP_SEEN, {"n": [1, 0.1]}),
    ]
    with recording(engine) as connection:
        append(connection, Event.DROP_SEEN, at=NOON)
    found = verify_chain(engine)
    assert (found.whole, found.events) == (True, 5)


def _back_before_the_chain(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        for statement in (
            "DROP TABLE audit_events",
            "DROP TABLE drop_sets",
            "DROP TABLE api_keys",
            "DROP TABLE item_rules",
            "DROP TABLE search_failures",
            """CREATE TABLE audit_events (
            id INTEGER NOT NULL, at DATETIME NOT NULL, event TEXT NOT NULL, run_id TEXT, drop_key TEXT,
            snapshot_id TEXT, details JSON NOT NULL, CONSTRAINT pk_audit_events PRIMARY KEY (id))""",
            f"UPDATE {sql.VERSION_TABLE} SET version_num = '{version_before('audit_chain')}'",
            """INSERT INTO audit_events (id, at, event, details) VALUES
            (3, '2024-06-01 12:00:00.000000', 'drop_seen', '{"n": [1, 0.1]}'),
            (4, '2024-06-01 12:00:00.000000', 'orders_replaced', '{"orders": 1, "first": [["till", "mon|anna"]]}'),
            (5, '2024-06-01 12:00:00.000000', 'drop_failed', '{"error": "a.csv: found ''4711'', ''anna''."}'),
            (7, '2024-06-01 12:00:00.000000', 'drop_retracted', '{"reason": "h\\u00e4\\u00dflich"}')""",
        ):
            connection.exec_driver_sql(statement)


def test_writers_at_once_keep_one_chain(tmp_path: Path) -> None:
    """Several processes write together: every event is there, and the chain is whole."""
    url = f"sqlite:///{tmp_path / 'reco.sqlite'}"
    engine = sql.open_database(url)
    at_once(_write_ten, url)
    found = verify_chain(engine)
    assert (found.whole, found.events) == (True, 30)


def _write_ten(url: str) -> None:
    write_some(sql.open_database(url), 10)


def test_an_altered_set_of_drops_is_found(engine: sa.Engine) -> None:
    """The drops behind a snapshot are named after their content, which the chain holds."""
    with recording(engine) as connection:
        digest = record_drops(connection, {"d1": ("ab", 1), "d2": ("cd", 2)})
        assert record_drops(connection, {"d2": ("cd", 2), "d1": ("ab", 1)}) == digest
    assert recorded_drops(engine, digest) == {"d1": ("ab", 1), "d2": ("cd", 2)}
    tamper(engine, "UPDATE drop_sets SET batch = 3 WHERE drop_key = 'd2'")
    assert digest[:12] in verify_chain(engine).problem


def test_a_removed_set_of_drops_is_found(engine: sa.Engine) -> None:
    """Taking the rows away as a whole breaks no name, but an event of the chain names them; an empty set has none."""
    with recording(engine) as connection:
        digest = record_drops(connection, {"d1": ("ab", 1)})
        append(connection, Event.SNAPSHOT_PUBLISHED, at=NOON, drops=record_drops(connection, {}))
        append(connection, Event.SNAPSHOT_PUBLISHED, at=NOON, drops=digest)
        append(connection, Event.SNAPSHOT_PUBLISHED, at=NOON, drops=["d1"])  # as older versions wrote it
    assert verify_chain(engine).whole
    tamper(engine, "DELETE FROM drop_sets")
    assert verify_chain(engine).problem == f"the set of drops {digest[:12]} was removed: event 2 names it"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that has never seen a drop."""
    return open_home(Settings(home=tmp_path / "home"))


def give(home: Home, folder: Path, name: str, text: str, run_id: str) -> Any:
    """Reads one file as a batch of its own and makes the orders."""
    path = folder / name
    path.write_text("order_id,item_name\n" + text)
    (one,) = home.ledger.register([(path, load_profile("prototype"))], now=NOON)
    assert one.drop is not None
    ingest(home.ledger, [one.drop.key], now=NOON, run_id=run_id)
    make_orders(home.ledger, home.lake, now=NOON, run_id=run_id)
    return one.drop


def test_reading_leaves_the_counts_and_the_hashes(home: Home, tmp_path: Path) -> None:
    """Seen and read: the sha256 of the file and of what was made of it, the counts, and the state before."""
    drop = give(home, tmp_path, "a.csv", "1,PID\n1,\n", "r1")
    read, seen = events(home.ledger.engine)
    assert (seen.event, seen.details["sha256"], seen.details["before"]) == (Event.DROP_SEEN, drop.sha256, None)
    assert (read.event, read.run_id, read.details["before"]) == (Event.DROP_INGESTED, "r1", "pending")
    assert {k: read.details[k] for k in ("lines_read", "lines_accepted", "lines_quarantined", "reasons")} == {
        "lines_read": 2,
        "lines_accepted": 1,
        "lines_quarantined": 1,
        "reasons": {"missing_item": 1},
    }
    parts = read.details["files"]
    assert parts == {name: file_digest(home.lake.path(name, drop.key)) for name in parts}
    assert len(parts) == 2


def test_every_replaced_order_is_stored_once(home: Home, tmp_path: Path) -> None:
    """All of them, not the first twenty, in a file whose sha256 the event has; a rebuild says nothing again."""
    many = "".join(f"{i},PID\n{i},Kit\n" for i in range(30))
    give(home, tmp_path, "a.csv", many, "r1")
    give(home, tmp_path, "b.csv", "".join(f"{i},PID\n" for i in range(5, 30)), "r2")
    give(home, tmp_path, "c.csv", "99,Hose\n", "r3")
    make_orders(home.ledger, home.lake, now=NOON, run_id="r4")
    give(home, tmp_path, "d.csv", "7,Pump\n", "r5")
    last, first = events(home.ledger.engine, event=Event.ORDERS_REPLACED)
    assert [first.details[k] for k in ("orders", "lines_before", "lines_after")] == [25, 50, 25]
    path = home.lake.path(REPLACED_ORDERS, first.details["part"])
    assert file_digest(path) == first.details["sha256"]
    assert len(rows(path)) == 25
    assert rows(home.lake.path(REPLACED_ORDERS, last.details["part"])) == [("prototype", "7", 2, 4, 3, 1)]


def test_every_file_is_the_one_the_trail_names(home: Home, tmp_path: Path) -> None:
    """What reading and replacing made is compared by sha256: an altered or a removed file is named with its event."""
    drop = give(home, tmp_path, "a.csv", "1,PID\n1,\n", "r1")
    give(home, tmp_path, "b.csv", "1,Kit\n", "r2")
    found = compare_files(home.ledger.engine, home.lake)
    assert (found.checked, found.problems) == (5, ())
    path = home.lake.path("order_lines", drop.key)
    path.write_bytes(path.read_bytes() + b"x")
    next(home.lake.path(REPLACED_ORDERS).parent.glob("*.parquet")).unlink()
    altered, gone = compare_files(home.ledger.engine, home.lake).problems
    assert altered == f"order_lines/{drop.key}.parquet is not the file that event 2 (drop_ingested) names"
    assert "is gone (event 5, orders_replaced, names its sha256)" in gone
    ingest(home.ledger, [drop.key], now=NOON, run_id="r3")
    assert len(compare_files(home.ledger.engine, home.lake).problems) == 1


def test_neither_ledger_nor_trail_quotes_a_file(home: Home, tmp_path: Path) -> None:
    """A file without a header fails, and its first line, which is somebody's order, stands in no error and no event."""
    path = tmp_path / "bare.csv"
    path.write_text("4711,customer-0815\n4712,customer-0816\n")
    (one,) = home.ledger.register([(path, load_profile("auto"))], now=NOON)
    assert one.drop is not None
    ingest(home.ledger, [one.drop.key], now=NOON, run_id="r1")
    assert "its first line has 2 fields" in str(home.ledger.drops()[0].error)
    assert "customer-0815" not in str(home.ledger.drops()[0].error)
    assert "customer-0815" not in str(events(home.ledger.engine))
    assert events(home.ledger.engine)[0].details["error_code"] == "drop_unmapped"
