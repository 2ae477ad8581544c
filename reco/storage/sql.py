"""The SQL side: tables, engine and migrations.

Belongs here: the table definitions and how a database is opened and brought up to date. Does not belong here: what a
row means to the business (`reco.orders.ledger`, `reco.audit.trail`).

The tables stand in a file of their own (SQLite) or in the schema `reco` (Postgres), apart from Dagster's.
"""

import atexit
import datetime as dt
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from reco.errors import ConfigError, DatabaseUnavailable
from reco.storage.append_only import append_only

SCHEMA = "reco"
VERSION_TABLE = "reco_alembic_version"
HEAD = "0008"
MIGRATIONS = Path(__file__).with_name("migrations")


class UtcDateTime(sa.types.TypeDecorator[dt.datetime]):
    """An aware UTC datetime, also on databases that keep no time zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """To the database: the same moment in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime has no place in the database: give it a time zone")
        return value.astimezone(dt.UTC)

    def process_result_value(self, value: dt.datetime | None, dialect: sa.Dialect) -> dt.datetime | None:  # noqa: ARG002 - the signature is SQLAlchemy's
        """From the database: aware, in UTC."""
        return None if value is None else value.replace(tzinfo=value.tzinfo or dt.UTC).astimezone(dt.UTC)


metadata = sa.MetaData(
    schema=SCHEMA, naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s"}
)

LINE_COUNTS = (
    "lines_read",
    "lines_accepted",
    "lines_excluded",
    "lines_quarantined",
    "lines_header",
    "lines_blank",
    "lines_duplicate",
)


def _drop_columns(key: str, batch: str) -> "list[sa.Column[Any]]":
    """What is kept of any drop; the comments on its key and its batch are given."""
    return [
        sa.Column("key", sa.Text, primary_key=True, comment=key),
        sa.Column("sha256", sa.Text, nullable=False, unique=True, comment="Identity of the drop: its bytes."),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("profile", sa.JSON, nullable=False, comment="The whole source profile it is read with."),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("batch", sa.Integer, nullable=False, comment=batch),
        sa.Column("status", sa.Text, nullable=False, comment="pending, ingested, failed or retracted."),
        sa.Column("error_code", sa.Text),
        sa.Column("error", sa.Text),
        sa.Column("received_at", UtcDateTime, nullable=False),
        sa.Column("ingested_at", UtcDateTime),
        sa.Column("run_id", sa.Text),
        sa.Column("encoding", sa.Text),
        sa.Column("dialect", sa.JSON),
        sa.Column("header", sa.JSON),
        sa.Column("mapping", sa.JSON),
        *(sa.Column(name, sa.BigInteger) for name in LINE_COUNTS),
        sa.Column("reasons", sa.JSON, comment="Lines not accepted, by reason code."),
    ]


drops = sa.Table(
    "drops",
    metadata,
    *_drop_columns(
        "Partition key: normalised stem and start of the sha256.",
        "Drops given to one run; a later batch replaces orders.",
    ),
)

audit_events = sa.Table(
    "audit_events",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("drop_key", sa.Text),
    sa.Column("snapshot_id", sa.Text),
    sa.Column("details", sa.JSON, nullable=False),
    sa.Column("previous_hash", sa.Text, nullable=False, comment="`hash` of the event before; the first: 64 zeros."),
    sa.Column("hash", sa.Text, nullable=False, comment="sha256 over previous_hash and the content of this row."),
)

catalogue_drops = sa.Table(
    "catalogue_drops",
    metadata,
    *_drop_columns(
        "Normalised stem and start of the sha256.", "Grows with each giving; the latest line of an item counts."
    ),
)

drop_sets = sa.Table(
    "drop_sets",
    metadata,
    sa.Column("set_digest", sa.Text, primary_key=True, comment="sha256 over the rows of the set."),
    sa.Column("drop_key", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text, nullable=False),
    sa.Column("batch", sa.Integer, nullable=False),
)

APPEND_ONLY = (audit_events, drop_sets)

inbox_files = sa.Table(
    "inbox_files",
    metadata,
    sa.Column("place", sa.Text, primary_key=True, comment="Path or key of the file, relative to the inbox."),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Text, nullable=False, comment="Time of change or ETag: another one, another content."),
    sa.Column("drop_key", sa.Text, comment="The drop its content is; NULL where it was refused."),
    sa.Column("looked_at", UtcDateTime, nullable=False),
)

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("key", sa.Text, primary_key=True, comment="Key of the drop and a running number; its parts bear it."),
    sa.Column("drop_key", sa.Text, nullable=False, comment="The drop whose lines were read again."),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("actor", sa.Text, nullable=False, comment="Who asked for it."),
    sa.Column("kind", sa.Text, nullable=False, comment="file: mended lines; profile: the lines as they came."),
    sa.Column("name", sa.Text, nullable=False, comment="Name of the mended file, or of the profile."),
    sa.Column("digest", sa.Text, nullable=False, comment="sha256 of the mended file, or digest of the profile."),
    sa.Column("profile", sa.JSON, nullable=False, comment="The whole source profile the lines were read with."),
    sa.Column("lines_given", sa.BigInteger, nullable=False, comment="The sum of the next three."),
    sa.Column("lines_accepted", sa.BigInteger, nullable=False),
    sa.Column("lines_excluded", sa.BigInteger, nullable=False),
    sa.Column("lines_quarantined", sa.BigInteger, nullable=False, comment="Still wrong; they can be replayed again."),
    sa.Column("reasons", sa.JSON, nullable=False, comment="Lines not accepted, by reason code."),
    sa.Column("lines_digest", sa.Text, nullable=False, comment="sha256 of its part of order_lines."),
    sa.Column("voided_at", UtcDateTime, comment="Since when it no longer counts; NULL while it does."),
    sa.Column("voided_why", sa.Text),
)

replayed_lines = sa.Table(
    "replayed_lines",
    metadata,
    sa.Column("drop_key", sa.Text, primary_key=True),
    sa.Column("line", sa.BigInteger, primary_key=True, comment="First physical line in the drop: once, by this key."),
    sa.Column("replay_key", sa.Text, nullable=False),
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("snapshot_id", sa.Text, primary_key=True),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, comment="Content digest: equal data, equal digest."),
    sa.Column("inputs_digest", sa.Text, nullable=False, comment="Digest of the drops, settings and code behind it."),
    sa.Column("run_id", sa.Text),
    sa.Column("published_at", UtcDateTime, nullable=False),
    sa.Column("orders", sa.BigInteger, nullable=False),
    sa.Column("items", sa.BigInteger, nullable=False),
    sa.Column("pairs", sa.BigInteger, nullable=False),
    sa.Column("redis_keys", sa.BigInteger, nullable=False),
    sa.Column("redis_bytes", sa.BigInteger, nullable=False),
    sa.Column("forced", sa.Boolean, nullable=False),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("key_id", sa.Text, primary_key=True, comment="Public: names the key in lists and logs."),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("mac", sa.Text, nullable=False, comment="HMAC-SHA-256 of the key under a pepper; the key is not kept."),
    sa.Column("pepper", sa.Text, nullable=False, comment="Name of that pepper."),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
    sa.Column("replaces", sa.Text, comment="Id of the key it was made to replace."),
    sa.Column("last_used_at", UtcDateTime, comment="To the minute."),
    sa.Column("suspended_at", UtcDateTime, comment="Since a restore; NULL once a person has confirmed it."),
)

item_rules = sa.Table(
    "item_rules",
    metadata,
    sa.Column("rule_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("namespace", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False, comment="hide: taken out of every list."),
    sa.Column("kind", sa.Text, nullable=False, comment="item or category."),
    sa.Column("value", sa.Text, nullable=False, comment="An id of an item, or a category or part of one."),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("removed_at", UtcDateTime),
    sa.Column("removed_by", sa.Text),
)

search_failures = sa.Table(
    "search_failures",
    metadata,
    sa.Column("namespace", sa.Text, primary_key=True),
    sa.Column("item_id", sa.Text, primary_key=True, comment="An item that the search index could not take."),
    sa.Column("reason", sa.Text, nullable=False, comment="What went wrong, in words."),
    sa.Column("attempts", sa.BigInteger, nullable=False),
    sa.Column("first_failed_at", UtcDateTime, nullable=False),
    sa.Column("last_failed_at", UtcDateTime, nullable=False),
    sa.Column("next_attempt_at", UtcDateTime, nullable=False, comment="Twice as long after each failure, up to a day."),
)


def open_database(url: str) -> sa.Engine:
    """An engine on a database whose tables are up to date; SQLite files and their folder are made.

    Raises:
        ConfigError: the URL is not one SQLAlchemy understands, or its driver is not installed.
        DatabaseUnavailable: it does not answer.
    """
    engine = open_empty(url)
    with database_errors(engine.url):
        version = current_version(engine)
        if version is not None and version > HEAD:
            raise DatabaseUnavailable(
                f"The database {shown(engine.url)} was made by a newer reco ({version}).",
                hint="Update reco, or give RECO_DATABASE_URL another database.",
            )
        if not (version is None and _create(engine)) and version != HEAD:
            migrate(engine)
    return engine


def open_empty(url: str) -> sa.Engine:
    """An engine on a database as it is, with or without tables; SQLite files and their folder are made.

    Raises:
        ConfigError: the URL is not one SQLAlchemy understands, or its driver is not installed.
    """
    try:
        parsed = sa.make_url(url)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            _make_folder(Path(parsed.database).parent)
        engine = sa.create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise ConfigError(
            f"RECO_DATABASE_URL is not usable: {error}.",
            hint="Give an SQLAlchemy URL whose driver is installed, such as postgresql+psycopg://user@host/db.",
            settings=["RECO_DATABASE_URL"],
        ) from error
    event.listen(engine, "handle_error", _tell_unavailable)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        engine = engine.execution_options(schema_translate_map={SCHEMA: None})
    return engine


def shown(url: str | sa.URL) -> str:
    """A URL as it may be printed and logged: without a password, also where one stands among its options."""
    parsed = sa.make_url(url)
    hidden = {name: "***" for name in parsed.query if "pass" in name.lower() or "secret" in name.lower()}
    return parsed.update_query_dict(hidden).render_as_string(hide_password=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseUnavailable(
            f"The folder {folder} of the database cannot be made: {error.strerror}.",
            hint="Set RECO_HOME (or RECO_DATABASE_URL) to a place you can write to.",
        ) from error


@contextmanager
def database_errors(url: sa.URL) -> Iterator[None]:
    """Turns the errors of a driver into ours, without the password of the URL."""
    try:
        yield
    except SQLAlchemyError as error:
        reason = str(error.orig) if isinstance(error, DBAPIError) else str(error)
        raise DatabaseUnavailable(
            f"The database {shown(url)} cannot be used: {reason.strip()}.",
            hint="Check RECO_DATABASE_URL, that the server runs, and the rights of its user.",
        ) from error


def _tell_unavailable(context: sa.engine.ExceptionContext) -> None:
    """A full disk, a lost connection and the like reach every caller as an error of ours."""
    if isinstance(context.sqlalchemy_exception, OperationalError) and context.engine is not None:
        raise DatabaseUnavailable(
            f"The database {shown(context.engine.url)} failed: {str(context.original_exception).strip()}.",
            hint="Check that it runs and has room; what was not committed was not done, so run again.",
        ) from context.original_exception


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("busy_timeout = 30000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def schema_of(engine: sa.Engine | sa.Connection) -> str | None:
    """Where our tables stand: SQLite has no schemas."""
    return None if engine.dialect.name == "sqlite" else SCHEMA


def current_version(engine: sa.Engine) -> str | None:
    """The applied version, read without Alembic: importing it costs a third of a second and is rarely needed."""
    table = sa.table(VERSION_TABLE, sa.column("version_num"), schema=schema_of(engine))
    if not sa.inspect(engine).has_table(VERSION_TABLE, schema=schema_of(engine)):
        return None
    with engine.connect() as connection:
        return connection.scalar(sa.select(table.c.version_num))


@contextmanager
def changing_tables(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction in which nobody else changes the tables; on Postgres their schema exists."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            # The lock comes first: IF NOT EXISTS does not keep two sessions from creating the schema at once.
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(71346001)"))
            connection.execute(sa.text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        yield connection
        connection.commit()


def _create(engine: sa.Engine) -> bool:
    """Makes the tables of an empty database at once, as the migrations would; False where it has tables already."""
    schema = schema_of(engine)
    stamps = sa.Table(
        VERSION_TABLE,
        sa.MetaData(),
        sa.Column("version_num", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
        schema=schema,
    )
    with changing_tables(engine) as connection:
        if sa.inspect(connection).get_table_names(schema=schema):
            return False
        metadata.create_all(connection)
        for table in APPEND_ONLY:
            append_only(connection, table.name, schema, [column.name for column in table.primary_key])
        stamps.create(connection)
        connection.execute(stamps.insert().values(version_num=HEAD))
    return True


def migrate(engine: sa.Engine, to: str = "head") -> None:
    """Brings the tables up to a version, the newest unless one is named; safe twice, and from two processes at once."""
    with changing_tables(engine) as connection:
        migrate_in(connection, to)


def migrate_in(connection: sa.Connection, to: str, *, down: bool = False) -> None:
    """Brings the tables to a version within a transaction of `changing_tables`."""
    from alembic import command  # noqa: PLC0415 - a third of a second that only an older database needs
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["version_schema"] = schema_of(connection)
    (command.downgrade if down else command.upgrade)(config, to)


_engines: dict[str, sa.Engine] = {}
_opening = threading.Lock()


def shared_database(url: str) -> sa.Engine:
    """`open_database`, once a process and URL: opening checks the version each time."""
    with _opening:
        if url not in _engines:
            if not _engines:
                atexit.register(close_databases)  # which leaves a SQLite file whole, without a log beside it
            _engines[url] = open_database(url)
        return _engines[url]


def close_databases() -> None:
    """Closes all shared databases of this process; one that is asked for again is opened again."""
    for url in tuple(_engines):
        close_database(url)


def close_database(url: str) -> None:
    """Closes the shared database of a URL, if it is open: its file is about to be replaced."""
    with _opening:
        if url in _engines:
            _engines.pop(url).dispose()
