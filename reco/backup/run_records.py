"""Dagster's records of runs in a Postgres, as files of a backup.

Belongs here: writing them from one moment, and reading what such files hold. Does not belong here: putting them back
(`reco.backup.run_tables`), and Dagster's SQLite files (`reco.backup.contents`).

    tables.json          version, and of each table its columns, rows, and the next number of each sequence
    {table}/{n}.copy     rows as Postgres copies them out, one a line, in order of their ids

A file holds the rows of a fixed range of ids. Events are added and not changed, so that earlier ranges are the very
files of the backup before, and are not sent again.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reco.errors import BackupDamaged
from reco.settings import Settings
from reco.storage.records_database import records_connection

if TYPE_CHECKING:
    import psycopg

FORMAT = 1
TABLES = "tables.json"
VERSION_TABLE = "alembic_version"
_IDS = 20_000
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}", re.ASCII)
SESSION = "SET client_encoding TO 'UTF8'; SET datestyle TO ISO; SET intervalstyle TO iso_8601; SET bytea_output TO hex"
"""What rows look like as text must not follow from how a server is set up."""


def dump_records(settings: Settings, folder: Path) -> dict[str, Any] | None:
    """Writes the tables of Dagster's schema as they are at one moment; None where Dagster has made none yet.

    Returns what the manifest says of them.

    Raises:
        ConfigError, DatabaseUnavailable: see `records_connection`.
    """
    with records_connection(settings) as connection:
        connection.execute(SESSION)
        connection.commit()
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        names = _tables(connection)
        if VERSION_TABLE not in names:
            return None
        folder.mkdir(parents=True)
        told = {name: _dump_table(connection, name, folder / name) for name in names}
        revision = revision_in(connection, current_schema(connection))
        text = json.dumps({"format": FORMAT, "revision": revision, "tables": told}, sort_keys=True)
        (folder / TABLES).write_text(text, encoding="utf-8")
        connection.rollback()
    return record_facts(folder)


def record_facts(folder: Path) -> dict[str, Any] | None:
    """What the files of a backup hold, counted: the version of the tables and the rows of each; None: no such files.

    Raises:
        BackupDamaged: they are none of ours, or a row has other columns than its table.
    """
    if not folder.exists():
        return None
    told = read_tables(folder)
    rows = {}
    for name, table in told["tables"].items():
        rows[name] = 0
        for path in table_files(folder, name):
            with path.open("rb") as file:
                for line in file:
                    if line.count(b"\t") + 1 != len(table["columns"]) or not line.endswith(b"\n"):
                        raise _unreadable(f"a row of {name} has not the columns of its table")
                    rows[name] += 1
        if rows[name] != table["rows"]:
            raise _unreadable(f"{name} has {rows[name]:,} rows of {table['rows']:,}")
    return {"revision": told["revision"], "rows": rows}


def read_tables(folder: Path) -> dict[str, Any]:
    """What stands in `tables.json`.

    Raises:
        BackupDamaged: it is none of ours.
    """
    try:
        told: dict[str, Any] = json.loads((folder / TABLES).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(str(error)) from error
    if told.get("format") != FORMAT:
        raise _unreadable("their format is unknown to this version")
    return told


def table_files(folder: Path, table: str) -> list[Path]:
    """The files of a table, in order of their ids; none where it is empty."""
    return sorted((folder / table).glob("*.copy"))


def columns_of(connection: "psycopg.Connection[Any]", schema: str, table: str) -> list[str]:
    """The columns of a table that can be written."""
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = format('%%I.%%I', %s::text, %s::text)::regclass "
        "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        (schema, table),
    )
    return [name for (name,) in rows]


def current_schema(connection: "psycopg.Connection[Any]") -> str:
    """The schema that Dagster makes its tables in, by this address."""
    row = connection.execute("SELECT current_schema()").fetchone()
    return str(row[0]) if row and row[0] else "public"


def revision_in(connection: "psycopg.Connection[Any]", schema: str) -> str:
    """The version of Dagster's tables in a schema."""
    from psycopg import sql  # noqa: PLC0415 - of an extra

    query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(schema, VERSION_TABLE))
    return ",".join(sorted(str(one) for (one,) in connection.execute(query)))


def _tables(connection: "psycopg.Connection[Any]") -> list[str]:
    """Those of Dagster's schema that its user may read: all that Dagster made. Our own stand in another schema."""
    rows = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' "
        "AND n.nspname = current_schema() AND has_table_privilege(c.oid, 'SELECT') ORDER BY c.relname"
    )
    return [name for (name,) in rows if _NAME.fullmatch(name)]


def _dump_table(connection: "psycopg.Connection[Any]", table: str, folder: Path) -> dict[str, Any]:
    from psycopg import sql  # noqa: PLC0415 - of an extra

    schema = current_schema(connection)
    columns = columns_of(connection, schema, table)
    names = {"table": sql.Identifier(schema, table), "columns": sql.SQL(", ").join(map(sql.Identifier, columns))}
    rows = 0
    for number, condition in _ranges(connection, schema, table):
        query = sql.SQL("COPY (SELECT {columns} FROM {table} {which}) TO STDOUT").format(**names, which=condition)
        folder.mkdir(exist_ok=True)
        path = folder / f"{number:09d}.copy"
        with path.open("wb") as file, connection.cursor() as cursor, cursor.copy(query) as copied:
            for block in copied:
                rows += bytes(block).count(b"\n")  # within a row it is written as \n
                file.write(block)
    return {"columns": columns, "rows": rows, "next": _sequences(connection, schema, table, columns)}


def _ranges(connection: "psycopg.Connection[Any]", schema: str, table: str) -> "Iterator[tuple[int, Any]]":
    """Which rows go into which file: by ranges of a key that is one number, else all into one."""
    from psycopg import sql  # noqa: PLC0415 - of an extra

    keys = connection.execute(
        "SELECT a.attname, a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype) FROM pg_index i "
        "JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) "
        "WHERE i.indisprimary AND i.indrelid = format('%%I.%%I', %s::text, %s::text)::regclass ORDER BY a.attnum",
        (schema, table),
    ).fetchall()
    place = sql.Identifier(schema, table)
    if len(keys) != 1 or not keys[0][1]:
        order = sql.SQL(", ").join(sql.Identifier(name) for name, _ in keys)
        if connection.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(place)).fetchone() == (True,):
            yield 0, sql.SQL("ORDER BY {}").format(order) if keys else sql.SQL("")
        return
    key = sql.Identifier(keys[0][0])
    query = sql.SQL("SELECT DISTINCT floor({}::numeric / {})::bigint FROM {} ORDER BY 1").format(key, _IDS, place)
    for (number,) in connection.execute(query).fetchall():
        which = sql.SQL("WHERE {0} >= {1} AND {0} < {2} ORDER BY {0}")
        yield number, which.format(key, number * _IDS, (number + 1) * _IDS)


def _sequences(connection: "psycopg.Connection[Any]", schema: str, table: str, columns: list[str]) -> dict[str, int]:
    """The next number of each column that counts by itself: cursors of sensors rely on ids that never come again."""
    from psycopg import sql  # noqa: PLC0415 - of an extra

    found = {}
    for column in columns:
        row = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = "
            "pg_get_serial_sequence(format('%%I.%%I', %s::text, %s::text), %s)::regclass",
            (schema, table, column),
        ).fetchone()
        if row is not None:
            query = sql.SQL("SELECT last_value + is_called::int FROM {}").format(sql.Identifier(*row))
            found[column] = int(connection.execute(query).fetchone()[0])  # type: ignore[index]  # always one row
    return found


def _unreadable(reason: str) -> BackupDamaged:
    return BackupDamaged(
        f"The tables of Dagster in the backup are refused: {reason}.",
        hint="Take another backup (`reco backup list`), or the replica (`--replica`).",
        entry="Dagster's tables",
        reason=reason,
    )
