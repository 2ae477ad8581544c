"""Moving a database to the version of another release: the way back from an upgrade.

    python -m reco.storage.versions              the version of the database, and those there are
    python -m reco.storage.versions --to 0007    moves it there, up or down

Belongs here: going to a version that is named. Does not belong here: the way up to the newest one, which every start
goes by itself (`sql`), or the migrations.
"""

import argparse
import sys

import sqlalchemy as sa

from reco.errors import RecoError, UsageError
from reco.settings import load_settings
from reco.storage import sql


def known_versions() -> list[str]:
    """Every version a database can have, oldest first."""
    return sorted(path.name[:4] for path in (sql.MIGRATIONS / "versions").glob("[0-9]*.py"))


def move(engine: sa.Engine, to: str) -> str | None:
    """Moves the tables to a version, and tells which they had; what only the newer one has is dropped.

    Raises:
        UsageError: there is no such version.
        DatabaseUnavailable: it does not answer.
    """
    if to not in known_versions():
        raise UsageError(
            f"There is no version {to!r}.", hint=f"Versions are {', '.join(known_versions())}.", version=to
        )
    with sql.database_errors(engine.url):
        before = sql.current_version(engine)
        sql.migrate(engine, to, down=before is not None and to < before)
    return before


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m reco.storage.versions", description=__doc__.splitlines()[0])
    parser.add_argument("--to", metavar="VERSION", help="the version to move to; without it nothing is changed")
    to = parser.parse_args().to
    try:
        engine = sql.open_empty(load_settings().sql_url)
        if to is None:
            print(f"database: {sql.current_version(engine) or 'empty'}; versions: {', '.join(known_versions())}")
        else:
            print(f"moved from {move(engine, to) or 'empty'} to {to}")
    except RecoError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
