"""Promises of restoring: what comes back is what was backed up, and nothing is replaced before all of it is checked."""

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import redis
import sqlalchemy as sa
from pydantic import SecretStr

from reco.api.keybook import open_book
from reco.audit.chain import verify_chain
from reco.audit.trail import Event, append, events, recording
from reco.backup.contents import served_facts
from reco.backup.journal import Journal
from reco.backup.keys import Keyring
from reco.backup.manifest import SQL
from reco.backup.prepare import EVERYTHING, prepare
from reco.backup.redis_dump import RedisFacts, live_facts, load
from reco.backup.restore import Restored, make_plan, restore
from reco.backup.switch import Switched, switch
from reco.backup.vault import Vault
from reco.errors import (
    BackupDamaged,
    BackupError,
    BackupKeyWrong,
    BackupNotFound,
    Busy,
    DatabaseUnavailable,
    RestoreRefused,
)
from reco.orders.home import open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus
from reco.orders.profiles import SourceProfile, load_profile
from reco.settings import Settings
from reco.snapshot.keys import Keys
from reco.snapshot.pointer import Outcome, set_pointer
from reco.snapshot.release import release
from reco.snapshot.store import SnapshotStore
from reco.storage.homelock import RESTORING, dev_lock
from reco.storage.sql import open_database
from reco_pipeline.cli.restore import _served
from reco_pipeline.forgetting import forget
from reco_pipeline_tests.backup_shop import NOON, OTHER, BackupShop
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.postgres import running_postgres
from reco_pipeline_tests.servers import port_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]


def elsewhere(shop: BackupShop, other: redis.Redis, **changes: Any) -> Settings:
    """An empty machine: another home and Redis for the same namespace."""
    values: dict[str, Any] = {
        "home": shop.folder / "elsewhere",
        "redis_url": url(other),
        "namespace": shop.settings.namespace,
    }
    return Settings(**(values | changes))


def url(client: redis.Redis) -> str:
    return f"redis://127.0.0.1:{port_of(client)}/0"


def bring_back(vault: Vault, settings: Settings, *, force: bool = False, **wanted: Any) -> Restored:
    plan = make_plan(vault, settings, **wanted)
    return restore(vault, settings, plan, now=NOON + dt.timedelta(days=1), force=force)


def test_an_empty_machine_becomes_the_shop(shop: BackupShop, other: redis.Redis) -> None:
    """From the bucket and the key alone: the same answers, drops, trail and tables; and the shop goes on from there."""
    manifest = shop.back_up().manifest
    settings = elsewhere(shop, other)
    done = bring_back(shop.vault(), settings)
    assert done.answers_equal is True
    assert served_facts(other, settings.namespace) == manifest.facts["served"]
    keys = Keys(settings.namespace)
    assert live_facts(other, keys).as_dict() == live_facts(shop.client, keys).as_dict()
    home = open_home(settings)
    assert [one.sha256 for one in home.ledger.drops()] == [one.sha256 for one in shop.home.ledger.drops()]
    assert home.ledger.imbalances() == []
    assert verify_chain(home.ledger.engine, noted={"it": manifest.facts["sql"]["audit_head"]}).whole
    (mark,) = events(home.ledger.engine, event=Event.HOME_RESTORED)
    assert mark.details["backup_id"] == manifest.backup_id
    assert not (settings.home / RESTORING).exists()
    assert release(home, other, run_id=None, now=shop.now).changed is False


@pytest.mark.sqlite("what was replaced lies beside it as a file; on Postgres as a schema")
def test_a_target_that_lives_is_not_overwritten(shop: BackupShop) -> None:
    """Without force nothing is touched; with it what was there is moved aside, whole."""
    manifest = shop.back_up().manifest
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    shop.publish()
    newer = SnapshotStore(shop.client, shop.settings.namespace).current_id()
    with pytest.raises(RestoreRefused, match="2 drops") as refused:
        bring_back(shop.vault(), shop.settings)
    assert "--force" in refused.value.hint
    assert SnapshotStore(shop.client, shop.settings.namespace).current_id() == newer
    with dev_lock(shop.settings.home), pytest.raises(RestoreRefused, match="are up"):
        bring_back(shop.vault(), shop.settings, force=True)
    done = bring_back(shop.vault(), shop.settings, force=True)
    assert served_facts(shop.client, shop.settings.namespace) == manifest.facts["served"]
    assert len(shop.home.ledger.drops()) == 1
    assert done.switched.aside is not None
    old = open_home(shop.settings.model_copy(update={"home": done.switched.aside}))
    assert len(old.ledger.drops()) == 2
    assert old.ledger.imbalances() == []


def test_another_redis_gets_the_keys_alone(shop: BackupShop, other: redis.Redis) -> None:
    """`--into` loads what is served into a Redis of its own and leaves the home as it is."""
    shop.back_up()
    before = events(shop.home.ledger.engine)
    done = bring_back(shop.vault(), shop.settings, into=url(other))
    assert done.answers_equal
    assert done.switched.aside is None
    assert events(shop.home.ledger.engine) == before
    with pytest.raises(RestoreRefused, match="holds"):
        bring_back(shop.vault(), shop.settings, into=url(other))
    other.set(f"{shop.settings.namespace}:20200101T000000Z-00000000:popular:all", "stale")
    assert bring_back(shop.vault(), shop.settings, into=url(other), force=True).switched.keys_removed == 1


Damage = Callable[[Vault, dict[str, str]], None]


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _change(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def spoil(vault: Vault, objects: dict[str, str]) -> None:
        key = vault.object_key(objects[name])
        vault.store.put_bytes(change(vault.store.get_bytes(key)), key)

    return spoil


def _swap(vault: Vault, objects: dict[str, str]) -> None:
    first, second = (vault.object_key(objects[name]) for name in ("redis.resp", SQL))
    vault.store.put_bytes(vault.store.get_bytes(second), first)


def _remove(vault: Vault, objects: dict[str, str]) -> None:
    vault.store.remove(vault.object_key(objects[SQL]))


def _manifest(change: Callable[[bytes], bytes]) -> Damage:
    def spoil(vault: Vault, _: dict[str, str]) -> None:
        key = vault.manifest_key(vault.ids()[-1])
        vault.store.put_bytes(change(vault.store.get_bytes(key)), key)

    return spoil


DAMAGES: dict[str, Damage] = {
    "first byte": _change("redis.resp", lambda data: _flip(data, 0)),
    "middle byte": _change(SQL, lambda data: _flip(data, len(data) // 2)),
    "last byte": _change("redis.resp", lambda data: _flip(data, len(data) - 1)),
    "cut": _change(SQL, lambda data: data[:-100]),
    "empty": _change(SQL, lambda _: b""),
    "longer": _change("redis.resp", lambda data: data + b"x"),
    "another object": _swap,
    "missing": _remove,
    "manifest: a count": _manifest(lambda data: data.replace(b'\\"orders\\": 4', b'\\"orders\\": 5')),
    "manifest: a path": _manifest(lambda data: data.replace(b"lake/orders/", b"lake/../../")),
    "manifest: cut": _manifest(lambda data: data[:-10]),
    "manifest: empty": _manifest(lambda _: b""),
    "manifest: no tag": _manifest(lambda data: data.rpartition(b'"tags"')[0] + b'"tags": []}'),
    "manifest: twice": _manifest(lambda data: data[:-1] + b', "tags": []}'),
}


@pytest.fixture(scope="module")
def backed_up(
    tmp_path_factory: pytest.TempPathFactory, client: redis.Redis, server: S3Server
) -> tuple[BackupShop, dict[str, bytes]]:
    """A shop with one backup, and every object of it."""
    shop = BackupShop(tmp_path_factory.mktemp("damaged"), client, server)
    shop.give()
    shop.publish()
    shop.back_up()
    vault = shop.vault()
    return shop, {one.key: vault.store.get_bytes(one.key) for one in vault.store.list(f"{vault.namespace}/")}


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_is_found_before_anything_is_replaced(
    backed_up: tuple[BackupShop, dict[str, bytes]], damage: str, other: redis.Redis, tmp_path: Path
) -> None:
    """Whatever is flipped, cut, swapped or missing: the restore stops, and the target is as it was."""
    shop, objects = backed_up
    vault = shop.vault()
    names = {entry.name: entry.object for entry in vault.newest_good().entries}
    settings = elsewhere(shop, other, home=tmp_path / "home")
    try:
        DAMAGES[damage](vault, names)
        left = {one.key: vault.store.get_bytes(one.key) for one in vault.store.list(f"{vault.namespace}/")}
        assert left != objects
        with pytest.raises((BackupDamaged, BackupNotFound)):
            bring_back(vault, settings, backup_id=vault.ids()[-1])
    finally:
        for key, data in objects.items():
            vault.store.put_bytes(data, key)
    assert [path for path in settings.home.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
    assert not other.keys(f"{settings.namespace}:*")


def test_a_wrong_key_is_told_from_damage(backed_up: tuple[BackupShop, dict[str, bytes]], other: redis.Redis) -> None:
    """Another's identity, or none, is a matter of settings: exit code 2, not 1."""
    shop, _ = backed_up
    settings = elsewhere(shop, other)
    ours = shop.vault().keys.recipients
    others = (str(OTHER.to_public()),)
    for keys, words in (
        (Keyring(ours, (str(OTHER),)), "does not open"),
        (Keyring(ours, ()), "not here"),
        (Keyring(others, (str(OTHER),)), "can be read"),
        (Keyring((), ()), "can be read"),  # as on a new machine that was given nothing
    ):
        with pytest.raises(BackupKeyWrong, match=words) as caught:
            bring_back(shop.vault(keys=keys), settings)
        assert caught.value.exit_code == 2
    with pytest.raises(BackupNotFound):
        bring_back(shop.vault(), settings, backup_id="00000009-20260304T120000Z-00000000")


def test_a_restore_cut_short_is_not_worked_on(shop: BackupShop) -> None:
    """Until it is done again, a home of two times is refused to everybody."""
    shop.back_up()
    (shop.settings.home / RESTORING).write_text("{}")
    with pytest.raises(BackupError, match="cut short"):
        open_home(shop.settings)
    bring_back(shop.vault(), shop.settings, force=True)
    assert shop.home.ledger.imbalances() == []


def test_a_restore_that_lost_its_lease_moves_no_pointer(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paused until a publish took over, it finds that out in the very step that would switch."""
    made = shop.back_up().manifest
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    shop.publish()
    keys = Keys(shop.namespace)
    served = shop.client.get(keys.current)

    def paused(client: redis.Redis, *_: object) -> Outcome:
        client.set(keys.lease, "another publish")
        client.incr(keys.generation)
        return set_pointer(client, *_)  # type: ignore[arg-type]

    monkeypatch.setattr("reco.backup.switch.set_pointer", paused)
    vault = shop.vault()
    plan = make_plan(vault, shop.settings, backup_id=made.backup_id, parts={"redis"})
    with pytest.raises(Busy, match="lost its lease"):
        restore(vault, shop.settings, plan, now=shop.now, force=True)
    assert shop.client.get(keys.current) == served
    shop.client.delete(keys.lease)


def test_keys_whose_time_is_over_hide_no_damage(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot with such a key is read back like any other: a value that Redis does not hold is told."""
    sid = SnapshotStore(shop.client, shop.namespace).current_id()
    over, kept = (f"{shop.namespace}:{sid}:{name}" for name in ("over", "kept"))
    shop.client.set(over, "x", ex=3600)
    shop.client.set(kept, "x")
    made = shop.back_up().manifest
    vault, later = shop.vault(), dt.datetime.now(dt.UTC) + dt.timedelta(days=2)
    plan = make_plan(vault, shop.settings, backup_id=made.backup_id, parts={"redis"})
    shop.client.delete(over)
    assert restore(vault, shop.settings, plan, now=later, force=True).switched.keys_over == 1
    assert shop.client.get(over) is None

    def evicted(client: redis.Redis, found: Any, now_ms: int) -> int:
        done = load(client, found, now_ms)
        client.delete(kept)
        return done

    monkeypatch.setattr("reco.backup.switch.load", evicted)
    with pytest.raises(BackupDamaged, match="does not hold what was loaded"):
        restore(vault, shop.settings, plan, now=later, force=True)


def test_the_command_of_a_plan_names_the_second_bucket(shop: BackupShop) -> None:
    """What finishes a restore that was cut short reads from where that one did; and nothing served is told as such."""
    made = shop.back_up().manifest
    plan = make_plan(shop.vault(), shop.settings, replica=True)
    assert plan.command == f"reco backup restore --id {made.backup_id} --replica --force"
    assert "--replica" not in make_plan(shop.vault(), shop.settings).command
    done = Restored(plan, Switched(1, 0, 0, None), None, "a-1", True, 1.0, RedisFacts())
    assert _served(done) == "snapshot a-1 is served, with the answers of then"
    assert "answers" not in _served(replace(done, answers_equal=None))
    assert _served(replace(done, answers_equal=None, snapshot_id=None)) == "nothing is served, as then"


def test_a_database_that_does_not_take_the_rows_leaves_a_home_to_work_on(shop: BackupShop, tmp_path: Path) -> None:
    """The rows are loaded beside those in use before anything is replaced: failing there, nothing was cut short."""
    manifest, settings = shop.back_up().manifest, shop.settings
    prepared = prepare(shop.vault(), manifest, tmp_path / "parts", EVERYTHING)
    away = settings.model_copy(update={"database_url": SecretStr("postgresql+psycopg://nobody@127.0.0.1:1/none")})
    journal = Journal("reco backup restore --force", manifest.backup_id, shop.now.isoformat(), None)
    with pytest.raises(DatabaseUnavailable):
        switch(prepared, away, shop.client, journal, now=shop.now)
    assert not list(settings.home.glob("replaced-*"))
    assert len(open_home(settings).ledger.drops()) == 1
    assert not (settings.home / RESTORING).exists()


def test_the_state_of_any_moment_comes_back(shop: BackupShop, other: redis.Redis) -> None:
    """Between two backups: each publish, retraction, reading by another rule and replaced drop, from the second one."""
    namespace = shop.settings.namespace
    shop.back_up()
    states: dict[dt.datetime, tuple[dict[str, str], str]] = {}

    def note() -> None:
        ledger = {one.name: one.status.value for one in shop.home.ledger.drops() if one.status is DropStatus.INGESTED}
        states[NOON + dt.timedelta(minutes=shop.minute, seconds=30)] = (ledger, _digest(shop.client, namespace))

    tuesday = shop.give("tuesday", {"9": ["Kit", "Lamp"], "10": ["Kit", "Lamp"]})
    note()
    shop.publish()
    note()
    shop.home.ledger.retract(tuesday, now=shop.now, reason="wrong file")
    shop.publish()
    note()
    (monday, *_) = shop.home.ledger.drops()
    shop.home.ledger.retract(monday.key, now=shop.now, reason="rules")
    shop.give("monday", profile="prototype")
    shop.give("wednesday", {"11": ["Hose", "Lamp"]})
    shop.publish()
    note()
    shop.back_up()
    for number, (at, (ledger, digest)) in enumerate(states.items()):
        settings = elsewhere(shop, other, home=shop.folder / f"then-{number}")
        done = bring_back(shop.vault(), settings, at=at, force=True)
        home = open_home(settings)
        found = {one.name: one.status.value for one in home.ledger.drops() if one.status is DropStatus.INGESTED}
        assert found == ledger, number
        assert _digest(other, namespace) == digest, number
        assert done.plan.moment is not None
        assert verify_chain(home.ledger.engine).whole
        assert home.ledger.imbalances() == []
        profile = next(one.source for one in home.ledger.drops() if one.name == "monday.csv")
        assert profile == ("prototype" if number == 3 else "auto")
    with pytest.raises(BackupNotFound, match="No backup was made after"):
        make_plan(shop.vault(), shop.settings, at=NOON + dt.timedelta(days=2))
    with pytest.raises(BackupNotFound, match="Nothing had happened"):
        make_plan(shop.vault(), shop.settings, at=NOON - dt.timedelta(days=2))


@pytest.mark.sqlite("what was replaced lies beside it as a file; on Postgres as a schema")
def test_a_moment_comes_back_over_the_home_that_lives(shop: BackupShop) -> None:
    """The state of then is made beside the home: what there was is moved aside as it was, and no row of it changes."""
    settings = shop.settings
    shop.back_up()  # already of that state: it alone would forget what came since
    at = NOON + dt.timedelta(minutes=shop.minute, seconds=30)
    digest = _digest(shop.client, settings.namespace)
    shop.give("tuesday", {"9": ["Kit", "Lamp"], "10": ["Kit", "Lamp"]})
    shop.publish()
    shop.back_up()
    assert settings.sql_url == shop.settings.sql_url  # asked for before, as by every command
    before = open_home(settings).ledger.drops()
    done = bring_back(shop.vault(), settings, at=at, force=True)
    assert _digest(shop.client, settings.namespace) == digest
    states = {one.name: one.status for one in open_home(settings).ledger.drops()}
    assert states == {"monday.csv": DropStatus.INGESTED, "tuesday.csv": DropStatus.RETRACTED}
    assert done.switched.aside is not None
    old = open_home(settings.model_copy(update={"home": done.switched.aside}))
    assert old.ledger.drops() == before


def test_the_keys_of_a_moment_replace_keys_alone(shop: BackupShop) -> None:
    """Asked for Redis at a time between two backups, everything is read, and the home stays as it is."""
    namespace = shop.settings.namespace
    shop.back_up()
    at = NOON + dt.timedelta(minutes=shop.minute, seconds=30)
    digest = _digest(shop.client, namespace)
    shop.give("tuesday", {"9": ["Kit", "Lamp"], "10": ["Kit", "Lamp"]})
    shop.publish()
    assert _digest(shop.client, namespace) != digest
    shop.back_up()
    before = [one.name for one in shop.home.ledger.drops()]
    bring_back(shop.vault(), shop.settings, at=at, parts={"redis"}, force=True)
    assert _digest(shop.client, namespace) == digest
    assert [one.name for one in shop.home.ledger.drops()] == before
    assert not list(shop.settings.home.glob("replaced-*"))


def test_a_moment_is_not_taken_from_before_a_forgetting(shop: BackupShop) -> None:
    """A backup from before someone was forgotten is not what `--at` restores, though nothing else changed since."""
    at = NOON + dt.timedelta(minutes=shop.minute, seconds=30)
    first = shop.back_up().manifest
    shop.back_up()
    assert make_plan(shop.vault(), shop.settings, at=at).manifest == first
    with recording(shop.home.ledger.engine) as connection:
        append(connection, Event.CUSTOMER_FORGOTTEN, at=shop.now)
    with pytest.raises(BackupNotFound, match="somebody was forgotten since"):  # as the database in use knows
        make_plan(shop.vault(), shop.settings, at=at)
    new = shop.settings.model_copy(update={"home": shop.folder / "new"})
    assert make_plan(shop.vault(), new, at=at).manifest == first, "no backup can know of it yet"
    last = shop.back_up().manifest
    assert make_plan(shop.vault(), shop.settings, at=at).manifest == last


def test_a_moment_that_a_restore_put_an_end_to_is_refused(shop: BackupShop) -> None:
    """After `--id` of an older backup no trail leads on from the newer ones: they are named, none is passed over."""
    first = shop.back_up().manifest
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    within = NOON + dt.timedelta(minutes=shop.minute, seconds=30)
    left = shop.back_up().manifest
    at = NOON + dt.timedelta(minutes=shop.minute, seconds=30)
    bring_back(shop.vault(), shop.settings, backup_id=first.backup_id, force=True)
    shop.minute += 24 * 60
    last = shop.back_up().manifest
    with pytest.raises(BackupNotFound, match=left.backup_id):
        make_plan(shop.vault(), shop.settings, at=at)
    assert make_plan(shop.vault(), shop.settings, at=within).manifest == left
    after = NOON + dt.timedelta(minutes=shop.minute, seconds=-30)
    assert make_plan(shop.vault(), shop.settings, at=after).manifest == last


def test_a_moment_does_not_name_who_was_forgotten_since(shop: BackupShop, other: redis.Redis) -> None:
    """A drop that is read anew from its bytes on the way to a moment is read without them, with the digest of then."""
    path = shop.folder / "customers.csv"
    path.write_text(
        "order_id,item_name,quantity,customer_id\n7,Kit,1,anna\n7,Lamp,1,anna\n8,Lamp,x,anna\n9,Kit,1,bob\n"
    )
    home, plain = shop.home, SourceProfile.checked({"name": "plain"}, "a test")
    moments: list[dt.datetime] = []
    for profile in (plain, load_profile("auto")):
        (given,) = home.ledger.register([(path, profile)], now=shop.now)
        assert given.drop is not None
        ingest(home.ledger, [given.drop.key], now=shop.now, run_id=None)
        shop.publish()
        moments.append(NOON + dt.timedelta(minutes=shop.minute, seconds=30))
        if profile is plain:
            home.ledger.retract(given.drop.key, now=shop.now, reason="pseudonyms")
    forget(home, "anna", source=None, remove_raw=False, now=shop.now, agreed=lambda _plan, _left: True)
    shop.back_up()
    settings = elsewhere(shop, other, home=shop.folder / "then")
    bring_back(shop.vault(), settings, at=moments[0], force=True)
    then = open_home(settings)
    (drop,) = (one for one in then.ledger.drops() if one.name == path.name)
    assert drop.source == "plain", "it was read again, as it was then"
    lines = pl.read_parquet(then.lake.path("order_lines", drop.key))
    assert lines["customer_id"].to_list()[2] == "bob"
    assert len(set(lines["customer_id"])) == 2
    others = pl.read_parquet(then.lake.path("quarantined_lines", drop.key))
    assert b"anna" not in repr((lines.rows(), others.rows())).encode()
    assert others["raw"][0].startswith(b"8,Lamp,x,forgotten_")


def test_a_backup_dated_ahead_leads_to_no_moment(shop: BackupShop) -> None:
    """After a clock that was a year ahead, a moment is reached from a backup made after it, not before."""
    shop.minute += 525_600
    ahead = shop.back_up().manifest
    shop.minute -= 525_600
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    shop.publish()
    at = NOON + dt.timedelta(minutes=shop.minute, seconds=30)
    later = shop.back_up().manifest
    assert ahead.created_at > later.created_at
    assert make_plan(shop.vault(), shop.settings, at=at).manifest == later


def _digest(client: redis.Redis, namespace: str) -> str:
    return str(SnapshotStore(client, namespace).current().manifest["digest"])


@pytest.mark.slow
def test_a_postgres_is_backed_up_and_restored(tmp_path: Path, client: redis.Redis, server: S3Server) -> None:
    """From SQLite into Postgres and back: the rows, their chain and the triggers; the old schema stays beside.

    What was done to an API key there holds over the next restore.
    """
    shop = BackupShop(tmp_path, client, server)
    shop.give()
    shop.publish()
    key = open_book(shop.settings).create("shop", ["read"], now=shop.now, actor="anna").key_id
    shop.back_up()
    with running_postgres() as postgres:
        settings = Settings(
            home=tmp_path / "pg", redis_url=url(client), namespace=shop.settings.namespace, database_url=postgres
        )
        for round_ in range(2):
            done = bring_back(shop.vault(), settings, force=True)
            assert done.api_keys is not None
            assert (done.api_keys.suspended, done.api_keys.ended) == (((key,), ()), ((), (key,)))[round_]
            home = open_home(settings)
            book = open_book(settings)
            assert book.confirm(None, now=shop.now, actor="anna") == ((key,), ())[round_]
            assert book.revoke(key, now=shop.now, actor="anna") is (round_ == 0)
            assert len(home.ledger.drops()) == 1, round_
            assert verify_chain(home.ledger.engine).whole
            home.ledger.retract("monday.csv", now=shop.now, reason="so that the trail goes on")
            home.ledger.engine.dispose()
        engine = open_database(postgres)
        schemas = [one for one in sa.inspect(engine).get_schema_names() if one.startswith("reco")]
        engine.dispose()
    assert len(schemas) == 2
    assert "reco" in schemas
