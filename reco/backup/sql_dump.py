"""The SQL part of a backup: every row of our tables, from one moment, as lines of JSON.

Belongs here: writing these lines from SQLite or Postgres, and making a database of them. Does not belong here: what a
row means, and Dagster's own tables (`reco.backup.contents`).

One format for both, so that a backup of a Postgres can be examined, and restored, where there is none.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reco.errors import BackupDamaged
from reco.storage.append_only import append_only
from reco.storage.sql import (
    APPEND_ONLY,
    HEAD,
    SCHEMA,
    VERSION_TABLE,
    audit_events,
    database_errors,
    item_rules,
    metadata,
    migrate,
    open_database,
    open_empty,
)

FORMAT = 1
_AT_ONCE = 1000


@dataclass(frozen=True)
class SqlFacts:
    """What a database holds: version of its tables, rows by table, and the newest hash of the audit trail."""

    revision: str
    rows: dict[str, int] = field(default_factory=dict)
    audit_head: str = ""

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {"revision": self.revision, "rows": self.rows, "audit_head": self.audit_head}


def dump_sql(engine: sa.Engine, path: Path) -> SqlFacts:
    """Writes all rows as they are at one moment.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    with engine.connect() as connection, path.open("w", encoding="utf-8") as file:
        schema = _one_moment(connection)
        inspector = sa.inspect(connection)
        found = sa.MetaData()
        names = sorted(inspector.get_table_names(schema=schema))
        tables = {name: sa.Table(name, found, schema=schema, autoload_with=connection) for name in names}
        revision = str(connection.scalar(sa.select(tables.pop(VERSION_TABLE).c.version_num)))
        file.write(json.dumps({"format": FORMAT, "revision": revision}) + "\n")
        rows: dict[str, int] = {}
        for name, table in tables.items():
            columns = [column.name for column in table.columns]
            file.write(json.dumps({"table": name, "columns": columns}) + "\n")
            rows[name] = 0
            order = sorted(column.name for column in table.primary_key) or columns
            query = sa.select(table).order_by(*(table.c[one] for one in order))
            for row in connection.execution_options(yield_per=_AT_ONCE).execute(query):
                file.write(json.dumps([_plain(value) for value in row], ensure_ascii=False) + "\n")
                rows[name] += 1
        file.write(json.dumps({"end": rows}) + "\n")
        audit = tables["audit_events"]
        head = connection.scalar(sa.select(audit.c.hash).order_by(audit.c.id.desc()).limit(1))
        connection.rollback()
    return SqlFacts(revision, rows, head or "")


def rows_of(dump: Path, table: str) -> Iterator[dict[str, Any]]:
    """The rows of one table of a dump, times as text, without loading it anywhere.

    Raises:
        BackupDamaged: it is no dump.
    """
    columns: list[str] | None = None
    for line in _lines(dump):
        if isinstance(line, dict):
            columns = line.get("columns") if line.get("table") == table else None
        elif columns is not None:
            yield dict(zip(columns, line, strict=True))


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as `rows_of` gives it."""
    return {name: _plain(value) for name, value in row.items()}


def load_sqlite(dump: Path, database: Path) -> None:
    """Makes a SQLite file of a dump, brought up to the newest version of the tables.

    Raises:
        BackupDamaged: the dump is not whole, or was made by a newer version of the tables.
    """
    url = f"sqlite:///{database}"
    revision = _head(dump)["revision"]
    if revision > HEAD:
        raise _unreadable(dump, f"it was made by a newer reco (tables {revision}, here {HEAD})")
    if revision == HEAD:
        engine = open_database(url)
    else:
        engine = open_empty(url)
        migrate(engine, revision)
    try:
        with engine.begin() as connection:
            _insert(connection, dump, None)
        if revision != HEAD:
            migrate(engine)
        with engine.connect() as connection:  # one file, no log beside it: it is going to be moved
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
    finally:
        engine.dispose()


def load_postgres(dump: Path, url: str, schema: str) -> None:
    """Makes a schema of its own of a dump of the newest version, in one transaction; one of that name is replaced.

    Raises:
        BackupDamaged: the dump is not whole.
        DatabaseUnavailable: the database does not answer.
    """
    engine = open_empty(url).execution_options(schema_translate_map={SCHEMA: schema})
    version = sa.Table(
        VERSION_TABLE, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True), schema=schema
    )
    version.primary_key.name = f"{VERSION_TABLE}_pkc"
    try:
        with database_errors(sa.make_url(url)), engine.begin() as connection:
            connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
            metadata.create_all(connection)
            version.create(connection)
            connection.execute(version.insert().values(version_num=HEAD))
            _insert(connection, dump, schema)
            for table in APPEND_ONLY:
                append_only(connection, table.name, schema, [column.name for column in table.primary_key])
            for number in (audit_events.c.id, item_rules.c.rule_id):
                place = sa.func.pg_get_serial_sequence(f"{schema}.{number.table.name}", number.name)
                newest = connection.scalar(sa.select(sa.func.max(number))) or 0
                connection.execute(sa.select(sa.func.setval(place, newest + 1, sa.false())))
    finally:
        engine.dispose()


def _insert(connection: sa.Connection, dump: Path, schema: str | None) -> None:
    """Enters all rows of a dump into tables that are there, empty, with the columns of its version."""
    found = sa.MetaData()
    table: sa.Table | None = None
    columns: list[str] = []
    rows: list[dict[str, Any]] = []
    counted: dict[str, int] = {}
    ended = None

    def flush() -> None:
        if rows and table is not None:
            connection.execute(sa.insert(table), rows)
            counted[table.name] += len(rows)
            rows.clear()

    for line in _lines(dump):
        if isinstance(line, list):
            if table is None or len(line) != len(columns):
                raise _unreadable(dump, "a row has no table")
            rows.append({name: _typed(table.c[name], value) for name, value in zip(columns, line, strict=True)})
            if len(rows) >= _AT_ONCE:
                flush()
        elif "table" in line:
            flush()
            table = sa.Table(line["table"], found, schema=schema, autoload_with=connection)
            columns = line["columns"]
            counted[table.name] = 0
        elif "end" in line:
            flush()
            ended = line["end"]
    if ended != counted:
        raise _unreadable(dump, "it does not end where it should")


def _one_moment(connection: sa.Connection) -> str | None:
    """Begins a transaction that sees one state; returns the schema of our tables."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")
        return None
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    return SCHEMA


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        aware = value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
        return aware.isoformat()
    return value


def _typed(column: sa.Column[Any], value: Any) -> Any:
    if value is not None and isinstance(column.type, sa.DateTime):
        return dt.datetime.fromisoformat(value)
    return value


def _head(dump: Path) -> dict[str, Any]:
    head = next(_lines(dump), None)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise _unreadable(dump, "its format is unknown to this version")
    return head


def _lines(dump: Path) -> Iterator[Any]:
    with dump.open(encoding="utf-8") as file:
        try:
            for line in file:
                yield json.loads(line)
        except ValueError as error:
            raise _unreadable(dump, str(error)) from error


def _unreadable(dump: Path, reason: str) -> BackupDamaged:
    return BackupDamaged(
        f"{dump.name} is not a dump of our tables: {reason}.",
        hint="Take another backup (`reco backup list`).",
        entry=dump.name,
        reason=reason,
    )
