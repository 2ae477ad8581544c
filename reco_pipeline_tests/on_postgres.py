"""The tests on Postgres: with `--database postgres` every home keeps its ledger in a database of a real server.

Belongs here: which database belongs to which home, and making and dropping it. Does not belong here: the server
(`postgres`), or any claim.

A home has a URL as a shop in production has: `database_url` is set, and a copy of the settings for another home keeps
it. What a test says of SQLite itself is marked `sqlite` and skips.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from reco.settings import Settings
from reco.storage import sql
from reco_pipeline_tests.postgres import running_postgres

TEMPLATE = "reco_template"
OPENS_A_HOME = {
    "BackupShop",
    "CliRunner",
    "commands",
    "load_settings",
    "new_shop",
    "open_database",
    "open_home",
    "printed",
    "shared_database",
    "sql",
}
"""Names by which a test file reaches a ledger; a file without any of them is the same on every database."""
CONNECTIONS = "max_connections=400"  # of homes that are still open


class Databases:
    """A database for each home, made when it is first opened, and dropped when its tests are over."""

    def __init__(self, server: str) -> None:
        self._server = sa.make_url(server)
        self._engine = sa.create_engine(self._server, isolation_level="AUTOCOMMIT")
        self._made: set[str] = set()
        with self._engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {TEMPLATE}")
        sql.open_database(self._of(TEMPLATE)).dispose()  # with its tables, which each of the others starts with

    def _of(self, name: str) -> str:
        return self._server.set(database=name).render_as_string(hide_password=False)

    def url_of(self, home: Path) -> str:
        """The URL of a home's database; it need not be there yet."""
        return self._of(f"home_{hashlib.sha256(str(home).encode()).hexdigest()[:16]}")

    def make(self, name: str) -> None:
        """Makes a database, if it is that of a home and not there."""
        if name.startswith("home_") and name not in self._made:
            self._made.add(name)
            with self._engine.connect() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")

    def drop(self) -> None:
        """Drops all that were made since the last call."""
        with self._engine.connect() as connection:
            for name in self._made:
                connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        self._made.clear()

    def close(self) -> None:
        """Lets the server end."""
        self._engine.dispose()


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves only the tests of files that open a home, and skips, aloud, what is about SQLite."""
    chosen = [one for one in items if isinstance(one, pytest.Function) and OPENS_A_HOME & vars(one.module).keys()]
    kept = set(map(id, chosen))
    config.hook.pytest_deselected(items=[one for one in items if id(one) not in kept])
    items[:] = chosen
    for one in chosen:
        about_sqlite = one.get_closest_marker("sqlite")
        if about_sqlite:
            one.add_marker(pytest.mark.skip(reason=f"SQLite only: {about_sqlite.args[0]}"))


in_use: Databases | None = None


def environment_of(home: Path) -> dict[str, str]:
    """What a command on a home needs in its environment to find its database: nothing on SQLite."""
    if in_use is None:
        return {}
    url = in_use.url_of(home)
    in_use.make(url.rpartition("/")[2])
    return {"RECO_DATABASE_URL": url}


@contextmanager
def every_home_on_postgres() -> Iterator[Databases]:
    """For the length of the block every home that names no database has one on a server of this process."""
    global in_use  # noqa: PLW0603 - one server a process of pytest
    with running_postgres(CONNECTIONS) as server, pytest.MonkeyPatch.context() as patch:
        databases = in_use = Databases(server)
        settings = Settings.__init__

        def with_database(self: Settings, **values: Any) -> None:
            settings(self, **values)
            if self.database_url is None:
                self.__dict__["database_url"] = SecretStr(databases.url_of(self.home))

        def made(_dialect: object, _record: object, _arguments: object, named: dict[str, Any]) -> None:
            databases.make(str(named.get("dbname", "")))

        patch.setattr(Settings, "__init__", with_database)
        sa.event.listen(sa.Engine, "do_connect", made)
        try:
            yield databases
        finally:
            sa.event.remove(sa.Engine, "do_connect", made)
            in_use = None
            databases.close()
