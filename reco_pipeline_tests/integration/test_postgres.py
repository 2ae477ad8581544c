"""Promises of the SQL side on Postgres: a schema of our own, the same ledger, no password in a message."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from reco.audit.chain import verify_chain
from reco.audit.trail import Event, append, recording
from reco.errors import DatabaseUnavailable
from reco.storage import sql
from reco_pipeline_tests.at_once import at_once
from reco_pipeline_tests.postgres import PASSWORD, running_postgres
from reco_pipeline_tests.shop import new_shop
from reco_pipeline_tests.versions import version_before


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a real, empty Postgres."""
    with running_postgres() as url:
        yield url


def test_several_processes_may_open_a_new_database_at_once(server: str) -> None:
    """All find the tables in the schema `reco`; none fails on another's migration."""
    tables = sorted([*(table.name for table in sql.metadata.tables.values()), sql.VERSION_TABLE])
    assert at_once(_open, server) == [tables] * 3


def _open(url: str) -> list[str]:
    return sorted(sa.inspect(sql.open_database(url)).get_table_names(schema=sql.SCHEMA))


def test_the_trail_of_an_older_database_becomes_a_chain(server: str) -> None:
    """Every event stays with its id, new ones follow, writers at once keep one chain, and no row can be changed."""
    engine = sql.open_database(server)
    with engine.begin() as connection:
        for statement in (
            "TRUNCATE reco.inbox_files",
            "DROP TABLE reco.audit_events, reco.drop_sets, reco.api_keys, reco.item_rules, reco.search_failures",
            """CREATE TABLE reco.audit_events (
            id BIGSERIAL CONSTRAINT pk_audit_events PRIMARY KEY, at TIMESTAMPTZ NOT NULL, event TEXT NOT NULL,
            run_id TEXT, drop_key TEXT, snapshot_id TEXT, details JSON NOT NULL)""",
            f"UPDATE reco.{sql.VERSION_TABLE} SET version_num = '{version_before('audit_chain')}'",
            """INSERT INTO reco.audit_events (at, event, details)
            SELECT now(), 'drop_seen', '{"n": 0.1}' FROM generate_series(1, 3)""",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    engine = sql.open_database(server)
    at_once(_write, server)
    found = verify_chain(engine)
    assert (found.problem, found.events) == ("", 33)
    for statement in ("DELETE FROM reco.audit_events", "UPDATE reco.audit_events SET at = now()"):
        with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
            connection.exec_driver_sql(statement)
    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql("TRUNCATE reco.audit_events")
    engine.dispose()  # the server waits for its clients when it is asked to end


def _write(url: str) -> None:
    engine = sql.open_database(url)
    for _ in range(10):
        with recording(engine) as connection:
            append(connection, Event.DROP_SEEN, at=dt.datetime.now(dt.UTC), name="a")


def test_a_shop_keeps_its_ledger_in_postgres(server: str, tmp_path: Path) -> None:
    """Run, second run, retract, rollback and status work as on SQLite, and no message shows the password."""
    shop = new_shop(tmp_path, RECO_DATABASE_URL=server)
    orders = shop.orders("monday.csv", {"1": ["PID", "Kit"], "2": ["PID"], "4": ["Hose"], "5": ["Hose"]})
    first = shop.reco("run", "--orders", orders, "--json")
    assert first.code == 0, first.err
    assert first.json["lines_accepted"] == 5
    assert shop.reco("run", "--orders", orders, "--json").json["run_id"] is None
    assert shop.reco("run", "--orders", shop.orders("tuesday.csv", {"3": ["Kit"]}), "--json").json["orders"] == 5
    assert shop.reco("drops", "retract", "tuesday.csv").code == 0
    assert shop.reco("run", "--json").json["orders"] == 4
    assert not (shop.home / "reco.sqlite").exists()
    doctor = shop.reco("doctor")
    assert doctor.code == 0, doctor.out
    assert PASSWORD not in doctor.out + doctor.err


def test_a_wrong_password_is_a_clear_error(server: str) -> None:
    """Exit 4 with the address, the reason and the next step, without either password."""
    with pytest.raises(DatabaseUnavailable, match=r"127\.0\.0\.1") as caught:
        sql.open_database(server.replace(PASSWORD, "wrong-secret"))
    assert "password authentication failed" in str(caught.value)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_dagster_may_keep_its_runs_in_the_same_database(server: str, tmp_path: Path) -> None:
    """Our tables and version stand in a schema of their own, so that neither takes the other's for its own."""
    ours = sql.open_database(server)
    before = set(sa.inspect(ours).get_table_names(schema=sql.SCHEMA))
    url = server.replace("+psycopg:", "+psycopg2:")  # Dagster's driver
    storage = {"storage": {"postgres": {"postgres_url": url}}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=storage) as instance:
        assert dg.materialize([_kept], instance=instance).success
        assert [run.status.value for run in instance.get_runs()] == ["SUCCESS"]
        look = sa.inspect(ours)
        assert {"runs", "event_logs", "alembic_version"} <= set(look.get_table_names(schema="public"))
        assert set(look.get_table_names(schema=sql.SCHEMA)) == before
        assert sql.current_version(ours) == sql.HEAD
    ours.dispose()


@dg.asset
def _kept() -> None:
    """Something to run."""
