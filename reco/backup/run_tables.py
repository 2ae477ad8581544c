"""Putting Dagster's records of runs back into a Postgres.

Belongs here: whether they fit, loading them into tables beside those in use, and changing the two. Does not belong
here: their files (`reco.backup.run_records`), or when it is done (`reco.backup.switch`).

The records are no data: where they do not fit they are left out, with the reason, and all else is restored.
"""

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from reco.backup.manifest import Manifest
from reco.backup.run_records import (
    SESSION,
    VERSION_TABLE,
    columns_of,
    current_schema,
    read_tables,
    revision_in,
    table_files,
)
from reco.errors import BackupDamaged, DatabaseUnavailable
from reco.progress import stage
from reco.settings import Settings
from reco.storage.records_database import records_connection

if TYPE_CHECKING:
    import psycopg

STAGING = "dagster_restoring"
LOCK_SECONDS = 30
_BLOCK = 1 << 20


class RunTables(Protocol):
    """Dagster's own tables: what only Dagster can say of them and do."""

    def revision(self) -> str:
        """The version of the tables that this Dagster makes."""

    def make(self, settings: Settings, schema: str) -> None:
        """Makes them in a schema of the Postgres of the settings."""


@dataclass(frozen=True)
class Loaded:
    """Whether records stand ready beside those in use, and what a person must know of what was left out."""

    ready: bool = False
    note: str = ""


def left_out(manifest: Manifest, settings: Settings, tables: RunTables | None) -> str:
    """Why a restore leaves out the records of runs that the backup has, in a sentence; empty: it does not."""
    facts = manifest.facts["dagster"]
    then, now = facts.get("postgres"), settings.dagster_database_url is not None
    if then is None and (not now or not facts["databases"]):
        return ""
    if not now:
        return _sentence("the backup has them from a Postgres, and Dagster keeps them in files of the home here")
    if then is None:
        return _sentence("the backup has them from files of a home, and Dagster keeps them in a Postgres here")
    if tables is None:
        return _sentence("nothing here can make Dagster's tables")
    return _other_version(then["revision"], tables.revision())


def records_there(settings: Settings) -> int:
    """How many runs the Postgres in use knows.

    Raises:
        ConfigError, DatabaseUnavailable: see `records_connection`.
    """
    with records_connection(settings) as connection:
        if connection.execute("SELECT to_regclass('runs')").fetchone() == (None,):
            return 0
        row = connection.execute("SELECT count(*) FROM runs").fetchone()
        return int(row[0]) if row else 0


def load_records(folder: Path, settings: Settings, tables: RunTables) -> Loaded:
    """Loads the records of a backup into tables that Dagster makes in a schema of its own; nothing in use is changed.

    Raises:
        BackupDamaged: not every row arrives.
        ConfigError, DatabaseUnavailable: see `records_connection`.
    """
    with stage("load_dagster"), records_connection(settings) as connection:
        connection.execute(SESSION)
        _drop(connection)
        connection.execute(f"CREATE SCHEMA {STAGING}")
        connection.commit()
        try:
            tables.make(settings, STAGING)
            found = _fill(connection, folder)
            if not found.ready:
                connection.rollback()
                _drop(connection)
            connection.commit()
        except BaseException:
            with suppress(DatabaseUnavailable), records_connection(settings) as another:  # the next restore does it too
                connection.close()
                _drop(another)
                another.commit()
            raise
    return found


@contextmanager
def replaced_records(settings: Settings, now: dt.datetime) -> "Iterator[Callable[[], None]]":
    """Changes the tables that were loaded for those in use, which stay in a schema beside; yields the commit.

    All of it is done when the block begins, and seen by nobody before the commit.

    Raises:
        ConfigError, DatabaseUnavailable: see `records_connection`; also where somebody holds these tables.
    """
    from psycopg import sql  # noqa: PLC0415 - of an extra

    old = f"dagster_before_{now.astimezone(dt.UTC):%Y%m%d_%H%M%S}_{os.urandom(2).hex()}"
    with records_connection(settings) as connection:
        schema = current_schema(connection)
        connection.execute(f"SET LOCAL lock_timeout TO '{LOCK_SECONDS}s'")
        made, here = _tables_in(connection, STAGING), _tables_in(connection, schema)
        move = sql.SQL("ALTER TABLE {} SET SCHEMA {}")
        if made & here:
            connection.execute(f"CREATE SCHEMA {old}")
        for name in sorted(made & here):
            connection.execute(move.format(sql.Identifier(schema, name), sql.Identifier(old)))
        for name in sorted(made):
            connection.execute(move.format(sql.Identifier(STAGING, name), sql.Identifier(schema)))
        _drop(connection)
        yield connection.commit


def _fill(connection: "psycopg.Connection[Any]", folder: Path) -> Loaded:
    told = read_tables(folder)
    made = {name: columns_of(connection, STAGING, name) for name in _tables_in(connection, STAGING)}
    if VERSION_TABLE not in made:
        return Loaded(note=_sentence("Dagster made its tables elsewhere than it was told: does a pooler drop options?"))
    other = _other_version(told["revision"], revision_in(connection, STAGING))
    if other:
        return Loaded(note=other)
    fitting = {name: table for name, table in told["tables"].items() if name in made}
    strange = [f"{name}.{column}" for name, table in fitting.items() for column in {*table["columns"]} - {*made[name]}]
    if strange:
        return Loaded(note=_sentence(f"Dagster's tables have no {', '.join(sorted(strange))} here"))
    _empty(connection, sorted(made))
    for name in _in_order(connection, sorted(fitting)):
        _load(connection, folder, name, fitting[name])
    others = sorted(told["tables"].keys() - made.keys())
    note = f"Tables that are not Dagster's stay in the backup: {', '.join(others)}." if others else ""
    return Loaded(ready=True, note=note)


def _load(connection: "psycopg.Connection[Any]", folder: Path, name: str, table: dict[str, Any]) -> None:
    from psycopg import sql  # noqa: PLC0415 - of an extra

    place = sql.Identifier(STAGING, name)
    columns = sql.SQL(", ").join(map(sql.Identifier, table["columns"]))
    for path in table_files(folder, name):
        query = sql.SQL("COPY {} ({}) FROM STDIN").format(place, columns)
        with path.open("rb") as file, connection.cursor() as cursor, cursor.copy(query) as copied:
            while block := file.read(_BLOCK):
                copied.write(block)
    rows = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(place)).fetchone()
    if rows != (table["rows"],):
        raise BackupDamaged(
            f"Dagster's table {name} does not hold what was loaded: {rows} rows, expected {table['rows']:,}.",
            hint="See whether something else writes to the schema dagster_restoring, then restore again.",
            entry=name,
            reason="it does not read back",
        )
    counted = sql.SQL("SELECT setval(pg_get_serial_sequence({}, {}), greatest({}, max({}) + 1), false) FROM {}")
    for column, following in table["next"].items():
        key = sql.Identifier(column)
        connection.execute(counted.format(f"{STAGING}.{name}", column, following, key, place))


def _empty(connection: "psycopg.Connection[Any]", names: list[str]) -> None:
    """Without what Dagster writes into new tables."""
    from psycopg import sql  # noqa: PLC0415 - of an extra

    places = sql.SQL(", ").join(sql.Identifier(STAGING, name) for name in names)
    connection.execute(sql.SQL("TRUNCATE {}").format(places))


def _in_order(connection: "psycopg.Connection[Any]", names: list[str]) -> list[str]:
    """Each table after those that its rows refer to."""
    references: dict[str, set[str]] = {name: set() for name in names}
    for name, other in connection.execute(
        "SELECT t.relname, o.relname FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid "
        "JOIN pg_class o ON o.oid = k.confrelid JOIN pg_namespace n ON n.oid = t.relnamespace "
        "WHERE k.contype = 'f' AND n.nspname = %s AND t.oid <> o.oid",
        (STAGING,),
    ):
        if name in references and other in references:
            references[name].add(other)
    return list(TopologicalSorter(references).static_order())


def _tables_in(connection: "psycopg.Connection[Any]", schema: str) -> set[str]:
    return {name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,))}


def _drop(connection: "psycopg.Connection[Any]") -> None:
    connection.execute(f"DROP SCHEMA IF EXISTS {STAGING} CASCADE")


def _other_version(then: str, now: str) -> str:
    if then == now:
        return ""
    return _sentence(f"they are of another version of Dagster (tables {then}, here {now})")


def _sentence(reason: str) -> str:
    return f"The records of Dagster's runs are left out: {reason}. Orders, snapshots and all else are restored."
