"""Moving a database to the version of another release: the way back from an upgrade.

    python -m reco.versions                    the version of the database, and those there are
    python -m reco.versions --to 0007          moves it there, up or down
    python -m reco.versions --to 0007 --yes    also where something is dropped

Belongs here: going to a version that is named, and what that ends. Does not belong here: the way up to the newest one,
which every start goes by itself, or the migrations (`reco.storage.sql`).

What the older release cannot hold back is ended before, with its event in the trail: a key that is suspended would hold
again where nobody knows that it is. The kinds of events are those that tell of such an end anyway: an older release
cannot read an event of a kind it does not know.
"""

import argparse
import datetime as dt
import sys
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from reco.audit.trail import Event, append
from reco.errors import RecoError, UsageError
from reco.settings import Settings, load_settings
from reco.storage import sql
from reco.storage.homelock import ASKING_SECONDS, home_lock, require_whole, sole_use

ACTOR = "python -m reco.versions"


@dataclass(frozen=True, slots=True)
class Move:
    """What a move did or would do.

    before: the version, None of an empty database; dropped: rows by table, or by `table.column`, that the other version
    does not have; keys: ids of API keys that end; rules: numbers of rules in force that end.
    """

    before: str | None
    dropped: Mapping[str, int]
    keys: tuple[str, ...]
    rules: tuple[int, ...]

    def __str__(self) -> str:
        """In words; nothing where nothing is dropped."""
        told = [f"{rows:,} of {name}" for name, rows in sorted(self.dropped.items())]
        told += [f"API keys that end for good: {', '.join(self.keys)}"] if self.keys else []
        told += [f"hidden items and categories that are shown again: {len(self.rules)}"] if self.rules else []
        return "; ".join(told)


def known_versions() -> list[str]:
    """Every version a database can have, oldest first."""
    return sorted(path.name[:4] for path in (sql.MIGRATIONS / "versions").glob("[0-9]*.py"))


def move(engine: sa.Engine, to: str, *, now: dt.datetime, drop: bool = False) -> Move:
    """Moves the tables to a version. What ends with that leaves its event; all of it is one transaction.

    Args:
        engine: of a database that nobody uses.
        to: the version.
        now: zone-aware.
        drop: also where rows are dropped.

    Raises:
        UsageError: there is no such version, the database is of a newer one than any known here, or rows would be
            dropped and `drop` is not said; nothing was changed.
        DatabaseUnavailable: it does not answer.
    """
    if to not in known_versions():
        raise UsageError(
            f"There is no version {to!r}.", hint=f"Versions are {', '.join(known_versions())}.", version=to
        )
    with sql.database_errors(engine.url):
        before = sql.current_version(engine)
        if before is not None and before not in known_versions():
            raise UsageError(
                f"The database {sql.shown(engine.url)} was made by a newer reco ({before}). Nothing was changed.",
                hint="Use the newer release to move it: only that one knows what is to be undone.",
                version=before,
            )
        if before is None or to >= before:
            sql.migrate(engine, to)
            return Move(before, {}, (), ())
        sql.migrate(engine)  # events are written to the tables of today
        with sql.changing_tables(engine) as connection:
            dropped = _dropped(connection, to)
            done = Move(before, dropped, _keys_that_end(connection, dropped), _rules_that_end(connection, dropped, now))
            if dropped and not drop:
                raise UsageError(
                    f"Version {to} has no place for: {done}. Nothing was changed.",
                    hint="`reco backup create` keeps it; then say --yes as well.",
                    dropped=dict(dropped),
                )
            _end(connection, done, to, now)
            sql.migrate_in(connection, to, down=True)
    return done


def _dropped(connection: sa.Connection, to: str) -> dict[str, int]:
    """Rows by table or column that a version does not have, as the way there shows, which is not kept."""
    before = _rows(connection)
    with connection.begin_nested() as attempt:
        sql.migrate_in(connection, to, down=True)
        after = _rows(connection)
        attempt.rollback()
    gone = (name for name, rows in before.items() if rows and name not in after)
    return {name: before[name] for name in gone if "." not in name or name.partition(".")[0] in after}


def _rows(connection: sa.Connection) -> dict[str, int]:
    """Rows by table, and by `table.column` those with a value."""
    schema, look = sql.schema_of(connection), sa.inspect(connection)
    found: dict[str, int] = {}
    for name in set(look.get_table_names(schema=schema)) - {sql.VERSION_TABLE}:
        table = sa.table(
            name, *(sa.column(one["name"]) for one in look.get_columns(name, schema=schema)), schema=schema
        )
        counts = sa.select(sa.func.count(), *(sa.func.count(one) for one in table.c)).select_from(table)
        names = (name, *(f"{name}.{one.name}" for one in table.c))
        found |= dict(zip(names, connection.execute(counts).one(), strict=True))
    return found


def _keys_that_end(connection: sa.Connection, dropped: Mapping[str, int]) -> tuple[str, ...]:
    """Of the suspended ones whose suspension is dropped, or of all that are dropped, those not ended yet."""
    keys = sql.api_keys
    living = sa.select(keys.c.key_id).where(keys.c.revoked_at.is_(None)).order_by(keys.c.key_id)
    if keys.name in dropped:
        return tuple(connection.scalars(living))
    if f"{keys.name}.{keys.c.suspended_at.name}" in dropped:
        return tuple(connection.scalars(living.where(keys.c.suspended_at.is_not(None))))
    return ()


def _rules_that_end(connection: sa.Connection, dropped: Mapping[str, int], now: dt.datetime) -> tuple[int, ...]:
    rules = sql.item_rules
    if rules.name not in dropped:
        return ()
    in_force = (rules.c.removed_at.is_(None), sa.or_(rules.c.expires_at.is_(None), rules.c.expires_at > now))
    return tuple(connection.scalars(sa.select(rules.c.rule_id).where(*in_force).order_by(rules.c.rule_id)))


def _end(connection: sa.Connection, done: Move, to: str, now: dt.datetime) -> None:
    """Ends keys and rules, each with its event."""
    keys, rules = sql.api_keys, sql.item_rules
    reason = f"the database was moved from version {done.before} to {to}"
    for key_id in done.keys:
        connection.execute(sa.update(keys).where(keys.c.key_id == key_id).values(revoked_at=now))
        append(connection, Event.KEY_REVOKED, at=now, key_id=key_id, actor=ACTOR, reason=reason)
    for row in connection.execute(sa.select(rules).where(rules.c.rule_id.in_(done.rules)).order_by(rules.c.rule_id)):
        rule = {"rule_id": row.rule_id, "kind": row.kind, "value": row.value}
        append(connection, Event.ITEM_SHOWN, at=now, actor=ACTOR, reason=reason, **rule)


def _moved(settings: Settings, to: str, *, drop: bool) -> Move:
    """`move`, with the home held alone.

    Raises:
        Busy: something uses the home, which is named; nothing was changed.
    """
    with sole_use(settings.home, ASKING_SECONDS), home_lock(settings.home):
        require_whole(settings.home)
        return move(sql.open_empty(settings.sql_url), to, now=dt.datetime.now(dt.UTC), drop=drop)


def main() -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog=ACTOR, description=__doc__.splitlines()[0])
    parser.add_argument("--to", metavar="VERSION", help="the version to move to; without it nothing is changed")
    parser.add_argument("--yes", action="store_true", help="also where the other version has no place for what is kept")
    given = parser.parse_args()
    try:
        settings = load_settings()
        if given.to is None:
            version = sql.current_version(sql.open_empty(settings.sql_url))
            print(f"database: {version or 'empty'}; versions: {', '.join(known_versions())}")
        else:
            done = _moved(settings, given.to, drop=given.yes)
            print(f"moved from {done.before or 'empty'} to {given.to}" + (f"; dropped: {done}" if str(done) else ""))
    except RecoError as error:
        print(f"{error.message} {error.hint}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
