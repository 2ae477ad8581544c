"""The Postgres that Dagster keeps its records of runs in: its address, and a connection to it.

Belongs here: opening it, and its errors as ours. Does not belong here: our own tables (`reco.storage.sql`), or what is
read from it and written to it (`reco.backup`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from reco.errors import ConfigError, DatabaseUnavailable
from reco.settings import Settings
from reco.storage.sql import shown

if TYPE_CHECKING:
    import psycopg

SETTING = "RECO_DAGSTER_DATABASE_URL"


def records_url(settings: Settings) -> sa.URL | None:
    """Where Dagster's records lie; None: in SQLite files of the home.

    Raises:
        ConfigError: it is set, and no URL of Postgres.
    """
    if settings.dagster_database_url is None:
        return None
    try:
        url = sa.make_url(settings.dagster_database_url.get_secret_value())
    except ArgumentError:
        url = None
    if url is None or url.get_backend_name() != "postgresql":
        raise ConfigError(
            f"{SETTING} is no URL of Postgres, and Dagster is to keep its records there.",
            hint="Set it to postgresql://USER:PASSWORD@HOST/DATABASE, or unset it.",
            settings=[SETTING],
        )
    return url


@contextmanager
def records_connection(settings: Settings) -> "Iterator[psycopg.Connection[Any]]":
    """A connection to that Postgres for the block; what was not committed at its end was not done.

    Raises:
        ConfigError: the setting is not usable, or the driver is not installed.
        DatabaseUnavailable: the database does not answer, or does not let us do it.
    """
    url = records_url(settings)
    assert url is not None
    try:
        import psycopg  # noqa: PLC0415 - of an extra
    except ImportError as error:
        raise ConfigError(
            f"{SETTING} is set, and the driver of Postgres is not installed.",
            hint="Install `reco-pipeline[postgres]`, or unset it.",
            settings=[SETTING],
        ) from error
    try:
        engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), poolclass=NullPool)
        pooled = engine.raw_connection()
        try:
            yield pooled.driver_connection  # type: ignore[misc]  # psycopg's, as the URL says
        finally:
            pooled.close()
    except (SQLAlchemyError, psycopg.Error) as error:
        reason = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        raise DatabaseUnavailable(
            f"Dagster's database {shown(url)} cannot be used: {reason.strip()}.",
            hint=f"Check {SETTING}, that the server runs, and that its user may create schemas there; with the setting "
            "unset, backups and restores go without the records of runs.",
        ) from error
