"""Promises of the SQL tables: made once, equal to their definition, UTC in and out, append-only trail."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from reco.audit.trail import Event, append, events
from reco.errors import ConfigError, DatabaseUnavailable
from reco.storage import sql
from reco_pipeline_tests.at_once import at_once

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


def url(folder: Path) -> str:
    """A database file below a folder that does not exist yet."""
    return f"sqlite:///{folder / 'new home' / 'reco.sqlite'}"


def test_migrations_make_the_tables_the_code_defines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made at once or by all migrations, a database has the same columns, constraints and version."""
    at_once = _tables(sql.open_database(url(tmp_path / "at once")))
    monkeypatch.setattr(sql, "_create", lambda _engine: False)
    assert _tables(sql.open_database(url(tmp_path / "migrated"))) == at_once
    defined = {table.name: {column.name for column in table.columns} for table in sql.metadata.tables.values()}
    found = {name: set(columns) for name, (columns, *_) in at_once.items()}
    assert found.pop(sql.VERSION_TABLE) == {"version_num"}
    assert found == defined


def _tables(engine: sa.Engine) -> dict[str, Any]:
    inspected = sa.inspect(engine)
    with engine.connect() as connection:
        assert connection.exec_driver_sql(f"SELECT version_num FROM {sql.VERSION_TABLE}").all() == [(sql.HEAD,)]
    return {
        name: (
            {c["name"]: (str(c["type"]), c["nullable"]) for c in inspected.get_columns(name)},
            inspected.get_pk_constraint(name),
            inspected.get_unique_constraints(name),
            inspected.get_indexes(name),
        )
        for name in inspected.get_table_names()
    }


def test_head_is_the_newest_migration() -> None:
    """The version that spares us Alembic's import is the last script's."""
    config = Config()
    config.set_main_option("script_location", str(sql.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == sql.HEAD


def test_opening_twice_keeps_the_rows(tmp_path: Path) -> None:
    """The second opening migrates nothing and loses nothing."""
    with sql.open_database(url(tmp_path)).begin() as connection:
        append(connection, Event.DROP_SEEN, at=NOON, drop_key="a")
    assert [e.drop_key for e in events(sql.open_database(url(tmp_path)))] == ["a"]


def test_two_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    """Both find the tables; neither fails on the other's migration."""
    tables = sorted([*(table.name for table in sql.metadata.tables.values()), sql.VERSION_TABLE])
    assert at_once(_open, url(tmp_path)) == [tables] * 3


def _open(address: str) -> list[str]:
    return sorted(sa.inspect(sql.open_database(address)).get_table_names())


def test_times_come_back_as_utc(tmp_path: Path) -> None:
    """A time of another zone is the same moment in UTC when read; a naive one is refused."""
    engine = sql.open_database(url(tmp_path))
    berlin = NOON.astimezone(dt.timezone(dt.timedelta(hours=2)))
    with engine.begin() as connection:
        append(connection, Event.DROP_SEEN, at=berlin)
    assert events(engine)[0].at == NOON
    assert events(engine)[0].at.tzinfo is dt.UTC
    with pytest.raises(sa.exc.StatementError, match="naive"), engine.begin() as connection:
        append(connection, Event.DROP_SEEN, at=NOON.replace(tzinfo=None))


def test_an_event_falls_with_its_transaction(tmp_path: Path) -> None:
    """A step that is rolled back leaves no mark."""
    engine = sql.open_database(url(tmp_path))
    connection = engine.connect()
    append(connection, Event.DROP_SEEN, at=NOON)
    connection.rollback()
    connection.close()
    assert events(engine) == []


def test_events_are_found_newest_first_and_by_kind(tmp_path: Path) -> None:
    """The trail can be asked by kind, drop and run."""
    engine = sql.open_database(url(tmp_path))
    with engine.begin() as connection:
        append(connection, Event.DROP_SEEN, at=NOON, drop_key="a", run_id="r1", size=3)
        append(connection, Event.DROP_INGESTED, at=NOON, drop_key="a", run_id="r2")
        append(connection, Event.DROP_SEEN, at=NOON, drop_key="b", run_id="r2")
    assert [e.drop_key for e in events(engine, event=Event.DROP_SEEN)] == ["b", "a"]
    assert [e.event for e in events(engine, drop_key="a")] == [Event.DROP_INGESTED, Event.DROP_SEEN]
    assert [e.event for e in events(engine, run_id="r1")] == [Event.DROP_SEEN]
    assert events(engine, run_id="r1")[0].details == {"size": 3}
    assert len(events(engine, limit=2)) == 2


@pytest.mark.parametrize("bad", ["nonsense", "mysql+nodriver://h/d", "unknown://h"])
def test_a_url_that_is_none_is_a_config_error(bad: str) -> None:
    """A wrong RECO_DATABASE_URL is named, whatever is wrong with it."""
    with pytest.raises(ConfigError, match="RECO_DATABASE_URL"):
        sql.open_database(bad)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    """A damaged file is a dependency that is not there (exit 4), with its path and a next step."""
    path = tmp_path / "reco.sqlite"
    path.write_bytes(b"not a database, certainly not" * 100)
    with pytest.raises(DatabaseUnavailable, match=r"reco\.sqlite") as caught:
        sql.open_database(f"sqlite:///{path}")
    assert caught.value.exit_code == 4
    assert caught.value.hint
