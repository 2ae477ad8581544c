"""Tables whose rows the database itself refuses to change.

Belongs here: the triggers that make a table append-only, on SQLite and on Postgres. Does not belong here: which tables
those are (`reco.storage.sql`), or telling whether somebody removed the triggers (`reco.audit.chain`).
"""

from collections.abc import Sequence

import sqlalchemy as sa

REFUSAL = "is append-only: its rows are never changed or removed"


def append_only(connection: sa.Connection, table: str, schema: str | None, key: Sequence[str]) -> None:
    """Makes UPDATE, DELETE and, where there is one, TRUNCATE of a table fail. Names are ours, never a person's.

    `key` has the columns of its primary key: SQLite's INSERT OR REPLACE removes a row without any trigger of DELETE.
    """
    for statement in _sqlite(table, key) if connection.dialect.name == "sqlite" else _postgres(table, schema):
        connection.exec_driver_sql(statement)


def _sqlite(table: str, key: Sequence[str]) -> list[str]:
    same = " AND ".join(f"{column} = NEW.{column}" for column in key)
    refuse = f"BEGIN SELECT RAISE(ABORT, '{table} {REFUSAL}'); END"
    replace = f"BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"
    triggers = {"replace": replace, **{verb.lower(): f"BEFORE {verb} ON {table}" for verb in ("UPDATE", "DELETE")}}
    return [f"CREATE TRIGGER {table}_no_{name} {when} {refuse}" for name, when in triggers.items()]


def _postgres(table: str, schema: str | None) -> list[str]:
    place = f"{schema}." if schema else ""
    refuse = f"{place}refuse_change"
    return [
        (
            f"CREATE OR REPLACE FUNCTION {refuse}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '%% {REFUSAL}', TG_TABLE_NAME; END $$"
        ),
        (
            f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {place}{table} "
            f"FOR EACH ROW EXECUTE FUNCTION {refuse}()"
        ),
        (
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {place}{table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {refuse}()"
        ),
    ]
