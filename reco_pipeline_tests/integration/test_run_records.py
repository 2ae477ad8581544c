"""Promises about Dagster's records in a Postgres: a backup holds them, and a restore puts them back or says why not."""

import datetime as dt
import os
import signal
import tracemalloc
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
import redis
import sqlalchemy as sa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.scheduler.instigation import TickData, TickStatus
from dagster._core.test_utils import create_run_for_test
from pydantic import SecretStr
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner

from reco.backup import run_records, run_tables, switch
from reco.backup.drill import drill
from reco.backup.restore import Restored, make_plan, restore
from reco.backup.run_records import dump_records, record_facts
from reco.errors import BackupDamaged, ConfigError, DatabaseUnavailable, RestoreRefused
from reco.orders.home import open_home
from reco.settings import Settings
from reco.storage import sql
from reco.storage.homelock import RESTORING
from reco_pipeline.backups import RestoreConfig, What, target_of
from reco_pipeline.cli.app import app
from reco_pipeline.instance import open_instance
from reco_pipeline.pending import LAUNCHER, fail_dead_runs
from reco_pipeline.run_tables import DagsterTables
from reco_pipeline_tests.backup_shop import IDENTITY, NOON, BackupShop
from reco_pipeline_tests.postgres import PASSWORD, Postgres, postgres_server
from reco_pipeline_tests.servers import port_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]
STRANGE = "a\tb\\c\nd \\N é ☃"
LATER = NOON + dt.timedelta(days=1)


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A real Postgres."""
    with postgres_server() as found:
        yield found


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database of it that Dagster keeps its records in."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))  # so that the old value comes back afterwards
    with new_database(postgres) as url:
        monkeypatch.setenv("RECO_DAGSTER_DATABASE_URL", url)
        yield url


@contextmanager
def new_database(postgres: Postgres) -> Iterator[str]:
    """A database for the block, of a user who owns it and nothing else, as `docker/postgres/init.sh` makes one."""
    name = f"runs_{uuid.uuid4().hex[:12]}"
    url = sa.make_url(postgres.url)
    asked(postgres.url, f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    asked(postgres.url, f"CREATE DATABASE {name} OWNER {name}")
    asked(postgres.url, f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    yield url.set(database=name, username=name).render_as_string(hide_password=False)
    asked(postgres.url, f"DROP DATABASE {name} WITH (FORCE)")  # also where a failed test left a client
    asked(postgres.url, f"DROP ROLE {name}")


def asked(url: str, query: str, *values: Any) -> Any:
    """The first column of the rows of a query."""
    engine = sa.create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        found = connection.exec_driver_sql(query, values or None)
        return [row[0] for row in found] if found.returns_rows else None


@dg.asset
def made(context: dg.AssetExecutionContext) -> None:
    """A real step of a real run."""
    context.log.info(STRANGE)
    context.add_output_metadata({"words": STRANGE})


def work(home: Path) -> str:
    """Leaves records of every kind; returns the id of a finished run. One run of a command line never ended."""
    with open_instance(home) as instance:
        done = dg.materialize([made], instance=instance, tags={"strange": STRANGE})
        create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED, tags=LAUNCHER)
        instance.add_dynamic_partitions("drops", ["a", STRANGE])
        instance.create_tick(tick())
        instance.run_storage.set_cursor_values({"cursor": STRANGE})
        instance.report_runless_asset_event(dg.AssetMaterialization("raw", partition="a"))
    return done.run_id


def tick() -> TickData:
    return TickData(
        instigator_origin_id="origin",
        instigator_name="inbox",
        instigator_type=InstigatorType.SENSOR,
        status=TickStatus.SUCCESS,
        timestamp=NOON.timestamp(),
        selector_id="selector",
        run_ids=[],
    )


def records(home: Path) -> dict[str, Any]:
    """What Dagster itself says of its records."""
    with open_instance(home) as instance:
        runs = instance.get_runs()
        return {
            "runs": [(run.run_id, run.status.value, run.tags) for run in runs],
            "events": {run.run_id: [event.to_json() for event in instance.all_logs(run.run_id)] for run in runs},
            "partitions": instance.get_dynamic_partitions("drops"),
            "ticks": [one.tick_data for one in instance.get_ticks("origin", "selector")],
            "cursors": instance.run_storage.get_cursor_values({"cursor"}),
            "assets": sorted(key.to_user_string() for key in instance.all_asset_keys()),
            "pool": [(one.name, one.limit) for one in instance.event_log_storage.get_pool_limits()],
            "id": cast("Any", instance.run_storage).get_run_storage_id(),
        }


def bring_back(shop: BackupShop, settings: Settings, *, force: bool = False) -> Restored:
    vault = shop.vault()
    plan = make_plan(vault, settings, tables=DagsterTables())
    return restore(vault, settings, plan, now=LATER, force=force)


def elsewhere(shop: BackupShop, other: redis.Redis) -> Settings:
    """An empty machine: another home and Redis for the same namespace."""
    home = shop.folder / f"elsewhere-{uuid.uuid4().hex[:6]}"
    url = f"redis://127.0.0.1:{port_of(other)}/0"
    return Settings(home=home, redis_url=SecretStr(url), namespace=shop.namespace)


@pytest.mark.slow
def test_records_come_back_into_an_empty_postgres(
    shop: BackupShop, other: redis.Redis, database: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs, events, partitions, ticks, cursors and pools are those of then, ids go on from there, dead runs close."""
    work(shop.settings.home)
    then = records(shop.settings.home)
    top = asked(database, "SELECT last_value FROM event_logs_id_seq")[0]
    asked(database, "DELETE FROM event_logs WHERE id = %s", top)  # as retention does: its number must not come again
    facts = shop.back_up().manifest.facts["dagster"]
    assert (facts["databases"], facts["elsewhere"]) == (0, False)
    assert facts["postgres"]["revision"] == DagsterTables().revision()
    assert facts["postgres"]["rows"]["runs"] == 2
    assert drill(shop.vault(), shop.settings, shop.vault().newest_good(), now=LATER).passed
    with new_database(postgres) as url:
        monkeypatch.setenv("RECO_DAGSTER_DATABASE_URL", url)
        settings = elsewhere(shop, other)
        done = bring_back(shop, settings)
        assert (done.answers_equal, done.switched.note, done.plan.notes) == (True, "", ())
        assert records(settings.home) == then
        assert list((settings.home / "dagster").rglob("*.db")) == []
        assert asked(url, "SELECT nspname FROM pg_namespace WHERE nspname ~ '^dagster'") == []
        with open_instance(settings.home) as instance:
            instance.report_runless_asset_event(dg.AssetMaterialization("raw", partition="b"))
            assert asked(url, "SELECT max(id) FROM event_logs")[0] > top
            fail_dead_runs(instance)
            assert {run.status for run in instance.get_runs()} == {
                dg.DagsterRunStatus.SUCCESS,
                dg.DagsterRunStatus.FAILURE,
            }


def test_records_in_use_are_replaced_by_force_alone_and_stay_beside(shop: BackupShop, database: str) -> None:
    """Also where our own tables lie in the same database: those are neither copied twice nor touched."""
    settings = shop.settings.model_copy(update={"database_url": shop.settings.dagster_database_url})
    home = open_home(settings)
    home.ledger.drops()
    work(settings.home)
    then = records(settings.home)
    made = run_records.dump_records(settings, shop.folder / "dumped")
    assert made is not None
    assert not made["rows"].keys() & (sql.metadata.tables.keys() | {sql.VERSION_TABLE, "drops", "audit_events"})
    shop.back_up()
    later = work(settings.home)
    asked(database, "CREATE TABLE mine (a int)")
    with pytest.raises(RestoreRefused, match="Dagster's database knows 4 runs"):
        bring_back(shop, settings)
    assert later in {run_id for run_id, _, _ in records(settings.home)["runs"]}
    done = bring_back(shop, settings, force=True)
    assert done.switched.note == ""
    assert records(settings.home) == then
    (old,) = asked(database, "SELECT nspname FROM pg_namespace WHERE nspname ~ '^dagster'")
    assert old.startswith("dagster_before_20260305_120000_")
    assert asked(database, f"SELECT count(*) FROM {old}.runs") == [4]
    assert asked(database, "SELECT count(*) FROM mine") == [0]
    assert asked(database, "SELECT count(*) FROM reco.drops") == [1]
    sql.close_database(settings.sql_url)


def test_a_load_that_fails_leaves_the_old_records(
    shop: BackupShop, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of it: no trace of it is left, and the next attempt succeeds."""
    work(shop.settings.home)
    then = records(shop.settings.home)
    shop.back_up()
    work(shop.settings.home)
    before = records(shop.settings.home)
    with monkeypatch.context() as patch:
        patch.setattr(run_tables, "_load", after("event_logs", raises))
        with pytest.raises(OSError, match="no room"):
            bring_back(shop, shop.settings, force=True)
    assert not (shop.settings.home / RESTORING).exists()
    assert asked(database, "SELECT nspname FROM pg_namespace WHERE nspname ~ '^dagster'") == []
    assert records(shop.settings.home) == before
    bring_back(shop, shop.settings, force=True)
    assert records(shop.settings.home) == then


@pytest.mark.slow
def test_tables_that_somebody_holds_are_not_replaced(
    shop: BackupShop, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Dagster that was not stopped and is at work: told before anything is replaced, nothing is half done."""
    work(shop.settings.home)
    shop.back_up()
    before = records(shop.settings.home)
    monkeypatch.setattr(run_tables, "LOCK_SECONDS", 1)
    engine = sa.create_engine(database, poolclass=NullPool)
    with engine.connect() as held:
        held.exec_driver_sql("LOCK TABLE runs IN ACCESS SHARE MODE")
        with pytest.raises(DatabaseUnavailable, match="lock timeout"):
            bring_back(shop, shop.settings, force=True)
    assert not (shop.settings.home / RESTORING).exists()
    assert records(shop.settings.home) == before


@pytest.mark.slow
@pytest.mark.parametrize("when", ["load", "change"])
def test_a_server_or_a_process_that_dies_keeps_the_old_records(
    shop: BackupShop, database: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """While records are loaded, and after the tables were changed for each other and before that is committed."""
    settings, folder = shop.settings, shop.folder / "dumped"
    work(settings.home)
    dump_records(settings, folder)
    work(settings.home)
    before = asked(database, "SELECT run_id FROM runs ORDER BY id")
    for dies in (die, postgres.kill):
        with monkeypatch.context() as patch:
            if when == "load":
                patch.setattr(run_tables, "_load", after("event_logs", dies))
            if dies is die:
                assert killed(lambda: put_back(folder, settings, die))
            else:
                with pytest.raises(DatabaseUnavailable):
                    put_back(folder, settings, postgres.kill)
                postgres.start()
        assert asked(database, "SELECT run_id FROM runs ORDER BY id") == before
    put_back(folder, settings)
    assert asked(database, "SELECT run_id FROM runs ORDER BY id") == before[:2]


@pytest.mark.slow
def test_a_restore_killed_after_the_records_were_replaced_is_finished_by_the_next(
    shop: BackupShop, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The home is refused meanwhile; then the records are those of the backup, once."""
    work(shop.settings.home)
    then = records(shop.settings.home)
    shop.back_up()
    work(shop.settings.home)
    with monkeypatch.context() as patch:
        patch.setattr(switch, "_replace_files", die)
        assert killed(lambda: bring_back(shop, shop.settings, force=True))
    assert (shop.settings.home / RESTORING).exists()
    assert asked(database, "SELECT count(*) FROM runs") == [2]
    bring_back(shop, shop.settings, force=True)
    assert not (shop.settings.home / RESTORING).exists()
    assert records(shop.settings.home) == then


def put_back(folder: Path, settings: Settings, happens: Callable[[], None] = lambda: None) -> None:
    """Loads and replaces the records; what happens does so before the commit."""
    assert run_tables.load_records(folder, settings, DagsterTables()).ready
    with run_tables.replaced_records(settings, LATER) as commit:
        happens()
        commit()


def killed(work: Callable[[], object]) -> bool:
    """Does it in a child process; returns whether that was killed."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(table: str, happens: Callable[[], None]) -> Callable[..., None]:
    """The load of a table, and what happens then."""
    load = run_tables._load

    def loaded(connection: Any, folder: Path, name: str, told: dict[str, Any]) -> None:
        load(connection, folder, name, told)
        if name == table:
            happens()

    return loaded


def raises() -> None:
    raise OSError("no room")


@pytest.mark.slow
def test_records_of_another_kind_are_left_out_and_all_else_comes_back(
    shop: BackupShop, other: redis.Redis, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From files into a Postgres and the other way: the plan says so, orders and snapshots are there."""
    monkeypatch.setenv("DAGSTER_HOME", "set by open_instance")
    work(shop.settings.home)
    shop.back_up()
    with new_database(postgres) as url:
        monkeypatch.setenv("RECO_DAGSTER_DATABASE_URL", url)
        settings = elsewhere(shop, other)
        done = bring_back(shop, settings)
        assert "has them from files of a home" in done.plan.notes[-1]
        assert (done.answers_equal, "dagster" in done.plan.replaced) == (True, False)
        assert records(settings.home)["runs"] == []
        work(settings.home)
        shop.back_up()
        assert [len(one) for one in (records(shop.settings.home)["runs"],)] == [2]
    monkeypatch.delenv("RECO_DAGSTER_DATABASE_URL")
    settings = elsewhere(shop, other)
    work(settings.home)
    here = records(settings.home)
    done = bring_back(shop, settings, force=True)
    assert "has them from a Postgres" in done.plan.notes[-1]
    assert (done.answers_equal, "dagster" in done.plan.replaced) == (True, False)
    assert records(settings.home) == here


@pytest.mark.parametrize("how", ["version", "column"])
@pytest.mark.slow
def test_records_of_other_tables_are_left_out(shop: BackupShop, database: str, how: str) -> None:
    """Another version is said in the plan, tables that differ all the same after it; the records in use stay."""
    work(shop.settings.home)
    if how == "version":
        asked(database, "UPDATE alembic_version SET version_num = 'of_then'")
    else:
        asked(database, "ALTER TABLE kvs ADD COLUMN later text")
    asked(database, "CREATE TABLE mine (a int)")
    shop.back_up()
    work(shop.settings.home)
    before = records(shop.settings.home)
    done = bring_back(shop, shop.settings, force=True)
    told = done.plan.notes[-1] if how == "version" else done.switched.note
    assert ("(tables of_then, here " if how == "version" else "have no kvs.later here") in told
    assert done.answers_equal
    assert records(shop.settings.home) == before
    assert asked(database, "SELECT nspname FROM pg_namespace WHERE nspname ~ '^dagster'") == []


@pytest.mark.slow
def test_a_table_of_somebody_else_stays_where_it_is(shop: BackupShop, database: str) -> None:
    """One in Dagster's schema is in the backup, and the restore, which can put back Dagster's only, names it."""
    work(shop.settings.home)
    asked(database, "CREATE TABLE mine (a int)")
    asked(database, "INSERT INTO mine VALUES (1)")
    assert shop.back_up().manifest.facts["dagster"]["postgres"]["rows"]["mine"] == 1
    asked(database, "UPDATE mine SET a = 2")
    done = bring_back(shop, shop.settings, force=True)
    assert done.switched.note == "Tables that are not Dagster's stay in the backup: mine."
    assert asked(database, "SELECT a FROM mine") == [2]


@pytest.mark.slow
def test_without_records_there_is_nothing_to_restore(shop: BackupShop, database: str) -> None:
    """Where Dagster has made no tables yet: no failure, and the tables of the target stay."""
    assert shop.back_up().manifest.facts["dagster"] == {"databases": 0, "elsewhere": False, "postgres": None}
    work(shop.settings.home)
    before = records(shop.settings.home)
    bring_back(shop, shop.settings, force=True)
    assert records(shop.settings.home) == before
    assert asked(database, "SELECT count(*) FROM runs") == [2]


@pytest.mark.slow
def test_only_new_events_are_sent_again(shop: BackupShop, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file holds a range of ids, and what does not change is one object of both backups."""
    monkeypatch.setattr(run_records, "_IDS", 4)
    work(shop.settings.home)
    (top,) = asked(database, "SELECT max(id) FROM event_logs")
    first = {one.name: one.object for one in shop.back_up().manifest.entries if "event_logs/" in one.name}
    work(shop.settings.home)
    second = {one.name: one.object for one in shop.back_up().manifest.entries if "event_logs/" in one.name}
    full = [f"dagster_tables/event_logs/{number:09d}.copy" for number in range(top // 4)]
    assert len(full) > 1
    assert [first[name] for name in full] == [second[name] for name in full]
    assert len(second) > len(first)


def test_a_row_that_is_missing_is_found(shop: BackupShop, database: str) -> None:
    """Before anything is replaced, and by a drill: what the files hold is counted."""
    work(shop.settings.home)
    folder = shop.folder / "dumped"
    facts = dump_records(shop.settings, folder)
    assert record_facts(folder) == facts
    (path,) = (folder / "runs").glob("*.copy")
    whole = path.read_bytes()
    for damaged in (whole.partition(b"\n")[2], whole[:-1], whole.replace(b"\t", b"", 1)):
        path.write_bytes(damaged)
        with pytest.raises(BackupDamaged, match="runs"):
            record_facts(folder)
    (folder / "tables.json").unlink()
    with pytest.raises(BackupDamaged):
        record_facts(folder)
    assert database


def test_all_tables_are_of_one_moment(shop: BackupShop, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written while they are taken is in none of them."""
    work(shop.settings.home)
    taken = run_records._dump_table

    def interrupted(connection: Any, table: str, folder: Path) -> dict[str, Any]:
        if table == "alembic_version":
            work(shop.settings.home)
        return taken(connection, table, folder)

    monkeypatch.setattr(run_records, "_dump_table", interrupted)
    facts = dump_records(shop.settings, shop.folder / "dumped")
    assert facts is not None
    assert facts["rows"]["runs"] == 2
    assert asked(database, "SELECT count(*) FROM runs") == [4]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_records(shop: BackupShop, database: str) -> None:
    """Thirty megabytes of events are taken and loaded within eight."""
    with open_instance(shop.settings.home):
        pass
    asked(
        database,
        "INSERT INTO event_logs (run_id, event) SELECT 'r', repeat('x', 1000) FROM generate_series(1, 30000)",
    )
    folder = shop.folder / "dumped"
    DagsterTables().revision()  # imports, which are not counted
    tracemalloc.start()
    try:
        dump_records(shop.settings, folder)
        run_tables.load_records(folder, shop.settings, DagsterTables())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(path.stat().st_size for path in folder.rglob("*.copy")) > 30_000_000
    assert peak < 8_000_000
    assert asked(database, "SELECT count(*) FROM dagster_restoring.event_logs") == [30_000]


def test_a_password_is_never_shown(shop: BackupShop, database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where the database refuses it, and not where the setting is no URL of Postgres."""
    work(shop.settings.home)
    manifest = shop.back_up().manifest
    assert PASSWORD not in str(manifest)
    wrong = database.replace(PASSWORD, "planted-wrong")
    monkeypatch.setenv("RECO_DAGSTER_DATABASE_URL", wrong)
    for fails in (shop.back_up, lambda: bring_back(shop, shop.settings)):
        with pytest.raises(DatabaseUnavailable, match="password authentication failed") as error:
            fails()
        assert "RECO_DAGSTER_DATABASE_URL" in error.value.hint
        assert "planted" not in f"{error.value} {error.value.hint} {error.value.details}"
    monkeypatch.setenv("RECO_DAGSTER_DATABASE_URL", "mysql://shop:planted@db.example/runs")
    with pytest.raises(ConfigError, match="no URL of Postgres") as refused:
        shop.back_up()
    assert "planted" not in f"{refused.value} {refused.value.hint}"


def test_dagster_that_cannot_make_its_tables_shows_no_password(
    shop: BackupShop, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Dagster says of it is told as an error of ours."""
    refuse = "dagster_postgres.run_storage.run_storage.retry_pg_connection_fn"  # which else takes its time
    monkeypatch.setattr(refuse, lambda connect: connect())
    monkeypatch.setenv("RECO_DAGSTER_DATABASE_URL", database.replace(PASSWORD, "planted-wrong"))
    with pytest.raises(DatabaseUnavailable, match="password authentication failed") as error:
        DagsterTables().make(shop.settings, "any")
    assert "planted" not in f"{error.value} {error.value.hint} {error.value.details}"


def test_the_command_restores_them_and_says_what_it_leaves_out(
    shop: BackupShop, server: Any, other: redis.Redis, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`reco backup restore` with the setting: runs of then; without it: a warning, and all else."""
    work(shop.settings.home)
    then = records(shop.settings.home)
    shop.back_up()
    asked(database, "DELETE FROM runs")
    identity = shop.folder / "identity"
    identity.write_text(str(IDENTITY))
    identity.chmod(0o600)
    for name, value in {
        "RECO_NAMESPACE": shop.namespace,
        "RECO_REDIS_URL": f"redis://127.0.0.1:{port_of(other)}/0",
        "RECO_S3_BUCKET": server.bucket,
        "RECO_S3_ENDPOINT_URL": server.url,
        "RECO_BACKUP_IDENTITY_FILE": str(identity),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RECO_HOME", str(shop.folder / "one"))
    done = CliRunner().invoke(app, ["backup", "restore"])
    assert done.exit_code == 0, done.output
    assert "left out" not in done.output
    assert records(shop.folder / "one") == then
    monkeypatch.delenv("RECO_DAGSTER_DATABASE_URL")
    monkeypatch.setenv("RECO_HOME", str(shop.folder / "two"))
    done = CliRunner().invoke(app, ["backup", "restore", "--force"])
    assert done.exit_code == 0, done.output
    assert "The records of Dagster's runs are left out" in done.output


def test_another_home_from_dagster_leaves_the_records_of_this_one(shop: BackupShop, database: str) -> None:
    """`restore_job` with `home`, and a drill, have no way to the database of the Dagster that runs them."""
    config = RestoreConfig(what=What.EVERYTHING, home=str(shop.folder / "another"))
    settings, _ = target_of(shop.settings, config)
    assert shop.settings.dagster_database_url is not None
    assert (settings.database_url, settings.dagster_database_url) == (None, None)
    assert database
