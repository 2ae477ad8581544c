"""Promises of a release whatever the clock says, and of the heads that it notes outside of the database."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from reco.audit.chain import chain_head
from reco.audit.trail import Event, events
from reco.errors import LakeError
from reco.model.tables import make_cooccurrence, make_item_stats, make_similar
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.orders import make_orders
from reco.orders.profiles import load_profile
from reco.settings import load_settings
from reco.snapshot import order_book
from reco.snapshot.order_book import SERVED_ORDERS
from reco.snapshot.release import release, roll_back, served_state, unpublished
from reco.snapshot.store import SnapshotStore
from reco_pipeline.proving import prove_home
from reco_pipeline_tests.servers import port_of, running_valkey

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
AHEAD, BEHIND = dt.timedelta(days=400), dt.timedelta(days=-400)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path, valkey: redis.Redis) -> Home:
    """A home with a namespace of its own and a gate that lets everything pass."""
    valkey.flushall()
    url = f"redis://127.0.0.1:{port_of(valkey)}/0"
    return open_home(
        load_settings(
            home=tmp_path / "home", redis_url=url, gate_max_item_loss=1, gate_max_order_loss=1, gate_min_overlap=0
        )
    )


def publish(home: Home, client: redis.Redis, name: str, at: dt.datetime) -> str:
    """Reads one more file and publishes everything, under a clock that says `at`."""
    path = home.settings.home.parent / name
    path.write_text(
        "order_id,item_name\n" + "".join(f"{name}-{n},{item}\n" for n in range(3) for item in ("PID", name))
    )
    (one,) = home.ledger.register([(path, load_profile("auto"))], now=NOON)
    assert one.drop_key is not None
    ingest(home.ledger, [one.drop_key], now=NOON, run_id=name)
    assert unpublished(home) is not None
    make_orders(home.ledger, home.lake, now=NOON, run_id=name)
    make_item_stats(home.ledger, home.lake)
    make_cooccurrence(home.lake)
    make_similar(home.lake)
    return release(home, client, run_id=name, now=at).snapshot_id


@pytest.mark.parametrize("wrong", [AHEAD, BEHIND])
def test_a_wrong_clock_makes_no_publish_look_newer_or_older(
    home: Home, valkey: redis.Redis, wrong: dt.timedelta
) -> None:
    """After each publish nothing waits, whether its clock was ahead or behind; a rollback is told as one."""
    first = publish(home, valkey, "a.csv", NOON + wrong)
    assert unpublished(home) is None
    second = publish(home, valkey, "b.csv", NOON)
    assert unpublished(home) is None
    assert served_state(home, valkey).current
    third = publish(home, valkey, "c.csv", NOON + wrong)
    assert unpublished(home) is None
    assert first < second < third  # ids keep the order of publishing
    store = SnapshotStore(valkey, home.settings.namespace)
    roll_back(home.ledger.engine, store, None, now=NOON + BEHIND)
    state = served_state(home, valkey)
    assert (state.current, state.rolled_back) == (False, True)
    assert unpublished(home) is None
    release(home, valkey, run_id="again", now=NOON + BEHIND, force=True)
    assert not served_state(home, valkey).rolled_back


@pytest.mark.sqlite("it takes SQLite's triggers away")
def test_a_cut_end_of_the_trail_shows_against_the_snapshots(home: Home, valkey: redis.Redis) -> None:
    """Each manifest has the head of the trail before its publish; the proof looks for all of them."""
    publish(home, valkey, "a.csv", NOON)
    before = chain_head(home.ledger.engine)
    sid = publish(home, valkey, "b.csv", NOON + dt.timedelta(hours=1))
    heads = SnapshotStore(valkey, home.settings.namespace).audit_heads()
    assert (len(heads), before in heads.values()) == (2, False)  # the second was noted after reading b.csv
    found = prove_home(home)
    assert (found.problems, found.heads, found.unasked) == ([], 2, ())
    last = events(home.ledger.engine, event=Event.LINES_VALIDATED, limit=1)[0]
    assert heads[sid] == last.hash
    with home.ledger.engine.begin() as connection:
        for trigger in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars():
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        connection.exec_driver_sql(f"DELETE FROM audit_events WHERE id >= {last.id}")
    (problem, *_) = prove_home(home).problems
    assert f"the head that snapshot {sid} noted" in problem


def test_where_redis_is_away_the_proof_says_so(home: Home, valkey: redis.Redis) -> None:
    """What could not be asked is no proof, and no failure either."""
    publish(home, valkey, "a.csv", NOON)
    away = load_settings(home=home.settings.home, redis_url="redis://127.0.0.1:1/0")
    found = prove_home(open_home(away))
    assert found.problems == []
    assert "the snapshots in Redis" in found.unasked[0]


def test_orders_that_cannot_be_kept_stop_the_publish(
    home: Home, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was served stays served, and it is published and recorded next time; a missing file is told and mended."""

    def full(*_args: object) -> None:
        raise LakeError("The disk is full.", hint="Free some.")

    first = publish(home, valkey, "a.csv", NOON)
    store = SnapshotStore(valkey, home.settings.namespace)
    with monkeypatch.context() as patch:
        patch.setattr(order_book, "_write", full)
        with pytest.raises(LakeError, match="full"):
            publish(home, valkey, "b.csv", NOON)
    assert store.current_id() == first
    assert unpublished(home) is not None
    second = release(home, valkey, run_id="again", now=NOON)
    assert second.changed
    assert [one.snapshot_id for one in events(home.ledger.engine, event=Event.SNAPSHOT_PUBLISHED)] == [
        second.snapshot_id,
        first,
    ]
    assert served_state(home, valkey).current
    file = home.lake.path(SERVED_ORDERS, second.snapshot_id)
    file.unlink()
    state = served_state(home, valkey)
    assert (state.current, state.rolled_back) == (False, False)
    assert release(home, valkey, run_id="unchanged", now=NOON).changed is False
    assert file.is_file()
    assert served_state(home, valkey).current
