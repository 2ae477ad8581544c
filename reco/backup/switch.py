"""Putting a prepared backup into place.

Belongs here: the order in which Redis, SQL and the lake are replaced, and where what was there goes. Does not belong
here: whether that may be done (`reco.backup.restore`).

    1. keys of snapshots are loaded into Redis under their ids, which nothing points to, and read back; where the
       database is a Postgres, the rows are loaded into a schema beside the one in use; so are Dagster's
    2. what the home held is moved to `replaced-{time}`, the restored parts take its place (a Postgres: that schema)
    3. manifests, then the pointer; only now is anything else served
    4. keys that the backup does not have are removed

A failure or a kill in 1 changes nothing that is served or kept; from 2 on `restoring.json` stands in the home until the
end, every other command refuses to work on it, and the same restore begins anew.
"""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import redis
import sqlalchemy as sa

from reco.backup.contents import HOME_KEYS
from reco.backup.journal import Journal, end_journal, write_journal
from reco.backup.manifest import DAGSTER, KEYS, SQL
from reco.backup.prepare import DATABASE, Prepared
from reco.backup.redis_dump import Key, RedisFacts, live_facts, load, owned_names, read_content, read_keys
from reco.backup.run_tables import Loaded, RunTables, load_records, replaced_records
from reco.backup.sql_dump import dump_sql, load_postgres
from reco.errors import BackupDamaged
from reco.progress import report, stage
from reco.settings import Settings
from reco.snapshot.keys import Keys
from reco.snapshot.lease import Lease, LeasePolicy, lost
from reco.snapshot.pointer import Outcome, set_pointer
from reco.snapshot.wire import batches
from reco.storage.lake import fsync_folder
from reco.storage.redis import redis_errors
from reco.storage.sql import SCHEMA, close_database, open_empty

STAGING = "reco_restoring"
PEPPERS = "api.peppers"
_LEASE = LeasePolicy(wait_seconds=120)


@dataclass(frozen=True)
class Switched:
    """What was put into place: keys in Redis, those left out as their time was over, and where the old state went.

    note: what a person must know of the records of runs.
    """

    keys: int
    keys_over: int
    keys_removed: int
    aside: Path | None
    note: str = ""


def switch(
    prepared: Prepared,
    settings: Settings,
    client: redis.Redis,
    journal: Journal,
    *,
    now: dt.datetime,
    tables: RunTables | None = None,
) -> Switched:
    """Puts all parts into place. The journal stands in the home from the first part that is replaced to the last.

    tables: of Dagster, where its records go into a Postgres.

    Raises:
        Busy: a publish is at work.
        RedisUnavailable, DatabaseUnavailable: they do not answer or are full.
        BackupDamaged: Redis does not read back what was loaded; nothing was switched.
    """
    keys = Keys(settings.namespace)
    now_ms = int(now.timestamp() * 1000)
    home = settings.home
    with redis_errors(client, embedded=settings.redis_url is None), Lease(client, keys, _LEASE) as lease:
        over = _load_versioned(prepared, client, keys, lease, now_ms)
        if "sql" in prepared.parts and settings.database_url is not None:
            _load_schema(prepared, settings)
        records = Loaded()
        if "dagster" in prepared.parts and prepared.records.exists() and tables is not None:
            records = load_records(prepared.records, settings, tables)
        aside = None
        if prepared.parts & {"sql", "lake", "dagster", "keys"}:
            with stage("replace_home"), ExitStack() as stack:
                home.mkdir(parents=True, exist_ok=True)
                commit = stack.enter_context(replaced_records(settings, now)) if records.ready else None
                write_journal(home, journal)
                if commit is not None:
                    commit()
                aside = _replace_files(prepared, settings, journal, now)
        lease.renew()
        loaded, over_too = _load_others(prepared, client, keys, lease, now_ms)
        wanted = {key.name for key in read_content(prepared.redis, keys.namespace)}
        removed = lease.unlink(name for name in owned_names(client, keys) if name not in wanted)
    end_journal(home)
    return Switched(loaded, over + over_too, removed, aside, records.note)


def switch_redis(prepared: Prepared, client: redis.Redis, namespace: str, *, now: dt.datetime) -> Switched:
    """Puts the Redis part alone into a Redis: old keys go only after the pointer has moved.

    Raises:
        Busy, RedisUnavailable, BackupDamaged: see `switch`.
    """
    keys = Keys(namespace)
    now_ms = int(now.timestamp() * 1000)
    with redis_errors(client), Lease(client, keys, _LEASE) as lease:
        over = _load_versioned(prepared, client, keys, lease, now_ms)
        lease.renew()
        loaded, over_too = _load_others(prepared, client, keys, lease, now_ms)
        wanted = {key.name for key in read_content(prepared.redis, namespace)}
        removed = lease.unlink(name for name in owned_names(client, keys) if name not in wanted)
    return Switched(loaded, over + over_too, removed, None)


def check_redis(prepared: Prepared, client: redis.Redis, namespace: str) -> RedisFacts:
    """Compares what Redis holds with the backup; keys whose time is over are missing rightly.

    Raises:
        BackupDamaged: it holds something else.
    """
    keys = Keys(namespace)
    found = live_facts(client, keys)
    present = set(owned_names(client, keys))
    expected = RedisFacts()
    for key in read_content(prepared.redis, namespace):
        if key.expires_ms is None or key.name in present:
            expected.add(key)
    if found.as_dict() != expected.as_dict():
        raise _differs(f"{found.keys:,} keys, digest {found.total:064x}", expected)
    return found


def _load_versioned(prepared: Prepared, client: redis.Redis, keys: Keys, lease: Lease, now_ms: int) -> int:
    """Loads the keys of snapshots, which nothing points to yet, and reads them back."""
    total = prepared.manifest.facts["redis"]["keys"]
    expected, found, over, done = RedisFacts(), RedisFacts(), 0, 0
    for batch in batches(_versioned(prepared, keys), 500):
        lease.keep()
        over += load(client, batch, now_ms)
        live = [key for key in batch if not key.over(now_ms)]
        read = {key.name: key for key in read_keys(client, [key.name for key in live])}
        for key in live:
            if key.expires_ms is None or key.name in read:  # else its time ended just now
                expected.add(key)
        for key in read.values():
            found.add(key)
        done += len(batch)
        report("load_redis", done, total)
    if found.as_dict() != expected.as_dict():
        raise _differs(f"{found.keys:,} keys, digest {found.total:064x}", expected)
    return over


def _load_others(prepared: Prepared, client: redis.Redis, keys: Keys, lease: Lease, now_ms: int) -> tuple[int, int]:
    """Loads every other key, the pointer last; returns how many keys there are in all and how many were over.

    Raises:
        Busy: another publish has taken over; the pointer was not moved.
    """
    others = [key for key in read_content(prepared.redis, keys.namespace) if keys.sid_of(key.name) is None]
    over = 0
    for key in others:
        if key.name != keys.current:
            lease.keep()
            over += load(client, [key], now_ms)
    for key in (one for one in others if one.name == keys.current):
        lease.renew()
        if set_pointer(client, keys, lease, key.parts[0]) is not Outcome.DONE:
            raise lost(keys)
    return prepared.manifest.facts["redis"]["keys"], over


def _versioned(prepared: Prepared, keys: Keys) -> Iterator[Key]:
    return (key for key in read_content(prepared.redis, keys.namespace) if keys.sid_of(key.name) is not None)


def _replace_files(prepared: Prepared, settings: Settings, journal: Journal, now: dt.datetime) -> Path | None:
    home = settings.home
    aside = home / f"replaced-{now.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}-{os.urandom(2).hex()}"
    if "sql" in prepared.parts:
        close_database(settings.sql_url)
        if settings.database_url is None:
            for name in (f"{DATABASE}-wal", f"{DATABASE}-shm"):
                _move_aside(home / name, aside)
            _put(prepared.database, home / DATABASE, aside)
        else:
            _replace_schema(settings, now)
    for part, name in (("lake", "lake"), ("dagster", DAGSTER.rstrip("/"))):
        if part in prepared.parts and (prepared.folder / name).exists():
            _put(prepared.folder / name, home / name, aside)
    for name in HOME_KEYS:
        key = prepared.folder / KEYS / name
        # The keys of today are HMACs under the peppers of today; an older pepper would let in who was shut out with it.
        stays = name == PEPPERS and journal.api_keys and (home / KEYS / name).exists()
        if "keys" in prepared.parts and key.is_file() and not stays:
            key.chmod(0o600)
            (home / KEYS).mkdir(mode=0o700, exist_ok=True)
            _put(key, home / KEYS / name, aside)
    fsync_folder(home)
    return aside if aside.exists() else None


def _load_schema(prepared: Prepared, settings: Settings) -> None:
    """Makes a schema beside the one in use."""
    source = open_empty(f"sqlite:///{prepared.database}")
    newest = prepared.folder / f"newest-{SQL}"
    try:
        dump_sql(source, newest)
    finally:
        source.dispose()
    load_postgres(newest, settings.sql_url, STAGING)


def _replace_schema(settings: Settings, now: dt.datetime) -> None:
    """Changes the names of the two schemas in one transaction; the old one stays."""
    engine = open_empty(settings.sql_url)
    old = f"{SCHEMA}_before_{now.astimezone(dt.UTC):%Y%m%d_%H%M%S}"
    try:
        with engine.begin() as connection:
            if sa.inspect(connection).has_schema(SCHEMA):
                connection.exec_driver_sql(f"ALTER SCHEMA {SCHEMA} RENAME TO {old}")
            connection.exec_driver_sql(f"ALTER SCHEMA {STAGING} RENAME TO {SCHEMA}")
    finally:
        engine.dispose()


def _put(source: Path, target: Path, aside: Path) -> None:
    _move_aside(target, aside)
    source.rename(target)


def _move_aside(path: Path, aside: Path) -> None:
    with suppress(FileNotFoundError):
        if not path.exists():
            return
        aside.mkdir(exist_ok=True)
        path.rename(aside / path.name)


def _differs(found: str, expected: RedisFacts) -> BackupDamaged:
    return BackupDamaged(
        f"Redis does not hold what was loaded: {found}, expected {expected.keys:,} keys, {expected.total:064x}.",
        hint="See whether something else writes to this Redis or evicts keys (maxmemory-policy), then restore again.",
        entry="redis",
        reason="it does not read back",
    )
