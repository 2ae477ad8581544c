"""How long everything is kept, in one place, and the removal of what is past it.

Belongs here: what a home accumulates, each kind with its rule, and removing what the library itself keeps. Does not
belong here: Dagster's runs (`reco_pipeline.cleanup`), or backups, which go by a plan (`reco.backup.retention`).

Everything here can be killed at any moment and run again. What is removed can be made again, or its time is over: the
bytes of drops (`raw_orders/`), the ledger and the audit trail are kept for ever and are no part of it.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import redis
import sqlalchemy as sa

from reco.catalog.ledger import CatalogueLedger
from reco.catalog.reader import CATALOGUE_LINES, QUARANTINED_CATALOGUE_LINES
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.home import Home
from reco.orders.retention import expire
from reco.settings import Settings
from reco.snapshot.garbage import collect_garbage, published_sids, would_collect
from reco.snapshot.keys import Keys
from reco.snapshot.order_book import SERVED_ORDERS, drop_orders, kept_snapshots
from reco.storage.redis import redis_errors
from reco.storage.sql import replays

UNREFERENCED_AFTER = dt.timedelta(days=1)
"""A part that no drop knows may be of a run that is at work; a day later it is of one that died."""
LOGS = ("api.log", "dagster/dev.log")


@dataclass(frozen=True)
class Removed:
    """What went, or would go, of one kind: rows of a table, files, and bytes; `rule` says what is kept."""

    kind: str
    rule: str
    rows: int = 0
    files: int = 0
    size_bytes: int = 0
    problem: str = ""


def quarantined_text(home: Home, *, now: dt.datetime, dry_run: bool) -> Removed:
    """The text of lines that were not accepted; the caller holds the lock of the home."""
    gone = expire(home, now=now, dry_run=dry_run)
    days = home.settings.quarantine_raw_days
    kept = "90 days where the profile pseudonymises, else for ever" if days is None else f"{days} days" * bool(days)
    return Removed(
        "quarantined text",
        f"RECO_QUARANTINE_RAW_DAYS: {kept or 'for ever'}",
        sum(one.lines for one in gone),
        len(gone),
        sum(one.freed_bytes for one in gone),
    )


def unreferenced_parts(home: Home, *, now: dt.datetime, dry_run: bool) -> Removed:
    """Files of the lake that belong to no drop, replay or catalogue any more; the caller holds the lock of the home."""
    with home.ledger.engine.connect() as connection:
        known = {*(drop.key for drop in home.ledger.drops()), *connection.scalars(sa.select(replays.c.key))}
    listed = {one.key for one in CatalogueLedger(home.ledger.engine, home.lake).drops()}
    tables = dict.fromkeys((ORDER_LINES, QUARANTINED_LINES), known)
    tables |= dict.fromkeys((CATALOGUE_LINES, QUARANTINED_CATALOGUE_LINES), listed)
    old = (now - UNREFERENCED_AFTER).timestamp()
    gone = [
        path
        for table, keys in tables.items()
        for path in home.lake.path(table).parent.glob("[!.]*.parquet")
        if path.stem not in keys and path.stat().st_mtime < old
    ]
    return _files("parts of the lake", "those that a drop, replay or catalogue has", gone, dry_run=dry_run)


def scratch(home: Home, *, now: dt.datetime, dry_run: bool) -> Removed:
    """Temporary files and folders whose process is gone; the caller holds the lock of the home."""
    left = home.lake.litter(now)
    sizes = sum(_size(path) for path in left)
    if not dry_run:
        home.lake.sweep(now)
    rule = "those whose process lives; of other containers, those of a day"
    return Removed("scratch files", rule, 0, len(left), sizes)


def logs(settings: Settings, *, dry_run: bool) -> Removed:
    """Logs over their size: cut where they are, since their writers hold them open; one older part stays."""
    limit = settings.keep_log_mb * 2**20
    cut = [path for name in LOGS if (path := settings.home / name).is_file() and path.stat().st_size > limit]
    older = [path.with_name(f"{path.name}.1") for path in cut]
    freed = sum(_size(path) - limit for path in cut) + sum(_size(path) for path in older)
    if not dry_run:
        for path, before in zip(cut, older, strict=True):
            _cut(path, before, limit)
    return Removed("logs", f"RECO_KEEP_LOG_MB: {settings.keep_log_mb} MiB, and as much before", 0, len(cut), freed)


def snapshots(home: Home, client: redis.Redis, *, dry_run: bool) -> Removed:
    """Snapshots beyond those to keep, keys of killed publishes, and the orders behind snapshots that are gone.

    Raises:
        Busy: a publish is at work.
        RedisUnavailable: Redis does not answer.
    """
    settings, keys = home.settings, Keys(home.settings.namespace)
    if dry_run:
        found = would_collect(client, settings.namespace, settings.keep_snapshots)
    else:
        found = collect_garbage(client, settings.namespace, settings.keep_snapshots)
    with redis_errors(client):
        standing = set(published_sids(client, keys)) - set(found.retired)
    gone = [home.lake.path(SERVED_ORDERS, sid) for sid in kept_snapshots(home.lake) if sid not in standing]
    size = sum(_size(path) for path in gone)
    if not dry_run:
        drop_orders(home.lake, standing)
    rule = f"RECO_KEEP_SNAPSHOTS: the newest {settings.keep_snapshots} and the served one"
    return Removed("snapshots", rule, found.orphan_keys + len(found.retired), len(gone), size)


def _files(kind: str, rule: str, gone: list[Path], *, dry_run: bool) -> Removed:
    size = sum(_size(path) for path in gone)
    if not dry_run:
        for path in gone:
            path.unlink(missing_ok=True)
    return Removed(kind, rule, 0, len(gone), size)


def _cut(path: Path, before: Path, limit: int) -> None:
    with path.open("rb+") as log:
        log.seek(-limit, 2)
        temporary = before.with_name(f".{before.name}.tmp")
        with temporary.open("wb") as older:
            older.writelines(_blocks(log))
        temporary.replace(before)
        log.truncate(0)


def _blocks(log: BinaryIO) -> Iterator[bytes]:
    while block := log.read(2**20):
        yield block


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
