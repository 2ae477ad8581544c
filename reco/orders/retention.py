"""How long the text of lines that were not accepted is kept.

Belongs here: removing raw bytes and values from `quarantined_lines` once they are old enough. Does not belong here: the
kept bytes of a drop, which are what it is (its sha256) and what it is read from: they hold the same lines and are not
touched (docs/quarantine.md).

The rows stay, with line, byte offset, reason, column and message, so that every count stays. A part is replaced whole,
so that a kill leaves the old or the new one, and a part that was rewritten without a mark in the trail gets it the next
time. Reading a drop anew brings its text back, until the next time.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reco.audit.stored import stated_parts
from reco.audit.trail import Event, append, recording
from reco.orders.drops import QUARANTINED_LINES
from reco.orders.home import Home
from reco.orders.ledger import Drop, DropStatus
from reco.orders.replays import known_keys
from reco.storage.lake import file_digest

PSEUDONYMOUS_DAYS = 90
"""How long it is kept, unless a shop says otherwise, of drops whose profile pseudonymises: these lines are the one
place in the tables where such a customer still stands. A quarter is room to mend and replay them."""
REMOVED = ("raw", "value")
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class Expired:
    """The lines of one drop, its replays included, whose text was removed now (or would be), and the bytes it freed."""

    drop_key: str
    lines: int
    freed_bytes: int = 0


def days_kept(drop: Drop, days: int | None) -> int | None:
    """Days the text of a drop's lines is kept; None: for ever.

    Args:
        drop: the drop.
        days: RECO_QUARANTINE_RAW_DAYS, where 0 is for ever; None where the shop said nothing.
    """
    if days is None:
        return PSEUDONYMOUS_DAYS if drop.profile.get("privacy", {}).get("pseudonymise") else None
    return days or None


def expire(home: Home, *, now: dt.datetime, days: int | None = None, dry_run: bool = False) -> list[Expired]:
    """Removes raw text and values of lines whose time is over; the caller holds the lock of the home.

    Drops of every state are looked at: a retracted one has lines too.

    Args:
        home: the shop.
        now: the present time.
        days: remove what was read more than so many days ago; without, each drop is kept as `days_kept` says.
        dry_run: only count; the bytes are not known then.

    Raises:
        LakeError: a part cannot be written.
    """
    gone: list[Expired] = []
    for drop in home.ledger.drops():
        kept = days_kept(drop, home.settings.quarantine_raw_days) if days is None else days
        if kept is None or drop.ingested_at is None or drop.status is DropStatus.PENDING:
            continue
        if drop.ingested_at < now - dt.timedelta(days=kept):
            gone += _would_expire(home, drop) if dry_run else _expire(home, drop, now)
    return gone


def _would_expire(home: Home, drop: Drop) -> Iterator[Expired]:
    paths = [home.lake.path(QUARANTINED_LINES, part) for part in (drop.key, *known_keys(home.ledger.engine, drop.key))]
    if lines := sum(_with_text(path) for path in paths if path.is_file()):
        yield Expired(drop.key, lines)


def _expire(home: Home, drop: Drop, now: dt.datetime) -> Iterator[Expired]:
    lines, freed, parts = 0, 0, {}
    for part in (drop.key, *known_keys(home.ledger.engine, drop.key)):
        path = home.lake.path(QUARANTINED_LINES, part)
        with_text = _with_text(path) if path.is_file() else 0
        if with_text:
            freed += path.stat().st_size
            with home.lake.replace(QUARANTINED_LINES, part) as target:
                _rewrite(path, target)
            lines += with_text
            freed -= path.stat().st_size
        if with_text or (path.is_file() and _unmarked(home, drop, part)):
            parts[part] = file_digest(path)
    if parts:
        with recording(home.ledger.engine) as connection:
            rewritten = {QUARANTINED_LINES: parts}
            append(connection, Event.QUARANTINE_EXPIRED, at=now, drop_key=drop.key, lines=lines, parts=rewritten)
    if lines:
        yield Expired(drop.key, lines, freed)


def _unmarked(home: Home, drop: Drop, part: str) -> bool:
    """Whether a part without text was rewritten by a run that was killed before it said so."""
    said = stated_parts(home.ledger.engine, drop_key=drop.key).get((QUARANTINED_LINES, part))
    if said is None or said.event is Event.QUARANTINE_EXPIRED:
        return False
    return said.sha256 != file_digest(home.lake.path(QUARANTINED_LINES, part))


def _with_text(path: Path) -> int:
    """How many rows still have their raw text, from the footer."""
    meta = pq.read_metadata(path)
    at = meta.schema.names.index("raw")
    groups = [meta.row_group(number) for number in range(meta.num_row_groups)]
    empty = [stats.null_count or 0 if (stats := group.column(at).statistics) else 0 for group in groups]
    return int(meta.num_rows - sum(empty))


def _rewrite(path: Path, target: Path) -> None:
    with pq.ParquetFile(path) as part, pq.ParquetWriter(target, part.schema_arrow, compression="zstd") as writer:
        for batch in part.iter_batches(_ROWS_AT_ONCE):
            columns = {
                name: pa.nulls(batch.num_rows, field.type) if name in REMOVED else batch.column(name)
                for name, field in zip(part.schema_arrow.names, part.schema_arrow, strict=True)
            }
            writer.write_table(pa.table(columns, schema=part.schema_arrow))
