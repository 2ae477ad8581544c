"""Books of the database that are of today, whatever the backup says: of the database in use, and of the newest backup.

Belongs here: finding these rows. Does not belong here: what follows from them (`api_keys`, `hides`).
"""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reco.backup.manifest import SQL, Manifest
from reco.backup.prepare import DATABASE, fetch_entry
from reco.backup.sql_dump import plain_row, rows_of
from reco.backup.vault import Vault
from reco.errors import BackupDamaged, DatabaseUnavailable
from reco.settings import Settings
from reco.storage.sql import SCHEMA, database_errors, open_empty

Book = list[dict[str, Any]]
"""Rows of a table, times as ISO 8601 in UTC."""


def present_book(settings: Settings, table: sa.Table) -> Book | None:
    """The rows of the database in use; none where there is no database, None where it cannot be read.

    Raises:
        DatabaseUnavailable: a database given by URL does not answer.
    """
    if settings.database_url is None and not (settings.home / DATABASE).exists():
        return []
    engine = open_empty(settings.sql_url)
    try:
        with database_errors(engine.url), engine.connect() as connection:
            schema = None if engine.dialect.name == "sqlite" else SCHEMA
            if not sa.inspect(connection).has_table(table.name, schema=schema):
                return []
            found = sa.Table(table.name, sa.MetaData(), schema=schema, autoload_with=connection)
            return [plain_row(row._asdict()) for row in connection.execute(sa.select(found))]
    except DatabaseUnavailable:
        if settings.database_url is not None:
            raise
        return None
    finally:
        engine.dispose()


def newest_dump(vault: Vault, chosen: Manifest, folder: Path) -> tuple[Path | None, list[str]]:
    """The dump of the newest backup that can be read, and the ids of newer ones that cannot.

    None where none is newer than the chosen one. A damaged one must not keep an older one from coming back.

    Raises:
        BackupKeyWrong: the identity is missing or another one.
        ObjectStoreUnavailable: the store does not answer.
    """
    identities = vault.keys.require_identities()
    unread: list[str] = []
    for one in sorted(vault.list(), key=lambda one: one.backup_id, reverse=True):  # as made, whatever clocks said
        if one.backup_id <= chosen.backup_id:
            break
        try:
            manifest = one.manifest or vault.read(one.backup_id)
            fetch_entry(vault, manifest.entry(SQL), folder / "sealed", folder / SQL, identities)
            return folder / SQL, unread
        except BackupDamaged:
            unread.append(one.backup_id)
    return None, unread


def rows_in(dump: Path | None, table: sa.Table) -> Book:
    """The rows of a table in such a dump; none where there is no dump."""
    return [] if dump is None else list(rows_of(dump, table.name))
