"""How long the text of lines that were not accepted is kept.

Belongs here: removing raw bytes and values from `quarantined_lines` once they are old enough. Does not belong here: the
kept bytes of a drop, which are what it is (its sha256) and what it is read from: they hold the same lines and are not
touched (docs/quarantine.md).

The rows stay, with line, byte offset, reason, column and message, so that every count stays. A part is replaced whole,
so that a kill leaves the old or the new one; reading a drop anew brings its text back, until the next time.
"""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from reco.audit.trail import Event, append, recording
from reco.orders.drops import QUARANTINED_LINES
from reco.orders.home import Home
from reco.orders.ledger import Drop, DropStatus
from reco.orders.replays import known_keys

_ROWS_AT_ONCE = 65_536
REMOVED = ("raw", "value")


@dataclass(frozen=True)
class Expired:
    """The lines of one drop, its replays included, whose text was removed now."""

    drop_key: str
    lines: int


def expire(home: Home, *, days: int, now: dt.datetime) -> list[Expired]:
    """Removes raw text and values of lines read more than `days` days ago; the caller holds the lock of the home.

    Drops of every state are looked at: a retracted one has lines too.

    Raises:
        LakeError: a part cannot be written.
    """
    limit = now - dt.timedelta(days=days)
    due = [d for d in home.ledger.drops() if d.ingested_at is not None and d.ingested_at < limit]
    return [one for drop in due if drop.status is not DropStatus.PENDING for one in _expire(home, drop, now)]


def _expire(home: Home, drop: Drop, now: dt.datetime) -> Iterator[Expired]:
    lines = 0
    for part in (drop.key, *known_keys(home.ledger.engine, drop.key)):
        path = home.lake.path(QUARANTINED_LINES, part)
        with_text = _with_text(path) if path.is_file() else 0
        if with_text:
            with home.lake.replace(QUARANTINED_LINES, part) as target:
                _rewrite(path, target)
            lines += with_text
    if lines:
        with recording(home.ledger.engine) as connection:
            append(connection, Event.QUARANTINE_EXPIRED, at=now, drop_key=drop.key, lines=lines)
        yield Expired(drop.key, lines)


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
