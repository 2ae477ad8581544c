"""The record of replays: which quarantined lines were read again, with what result, and whether that still counts.

Belongs here: the rows in SQL, and what makes a replay void. Does not belong here: reading lines again
(`reco.orders.replay`).

A replay counts from the moment its rows are committed, with all its lines or with none. `replayed_lines` has each line
that left the quarantine, accepted or excluded: its primary key is why none can leave it twice.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import sqlalchemy as sa

from reco.audit.trail import Event, append, recording
from reco.storage.sql import replayed_lines
from reco.storage.sql import replays as table

_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Replay:
    """Lines of one drop read again. `lines_given` is the sum of the three counts that follow it."""

    key: str
    drop_key: str
    at: dt.datetime
    actor: str
    kind: Literal["file", "profile"]
    name: str
    digest: str
    profile: dict[str, Any]
    lines_given: int
    lines_accepted: int
    lines_excluded: int
    lines_quarantined: int
    reasons: dict[str, int]
    lines_digest: str

    @property
    def lines_settled(self) -> int:
        """How many lines it took out of the quarantine."""
        return self.lines_accepted + self.lines_excluded


def standing(connection: sa.Connection) -> dict[str, tuple[Replay, ...]]:
    """The replays that count, oldest first, by drop key."""
    query = sa.select(table).where(table.c.voided_at.is_(None)).order_by(table.c.at, table.c.key)
    found: dict[str, list[Replay]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.drop_key].append(Replay(**{field.name: getattr(row, field.name) for field in fields(Replay)}))
    return {key: tuple(replays) for key, replays in found.items()}


def settled_lines(engine: sa.Engine, drop_key: str) -> dict[int, str]:
    """The lines of a drop that left the quarantine, with the key of the replay they left it by."""
    query = sa.select(replayed_lines.c.line, replayed_lines.c.replay_key).where(replayed_lines.c.drop_key == drop_key)
    with engine.connect() as connection:
        return {row.line: row.replay_key for row in connection.execute(query)}


def known_keys(engine: sa.Engine, drop_key: str) -> list[str]:
    """The keys of all replays of a drop that were ever entered, void ones too."""
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(table.c.key).where(table.c.drop_key == drop_key)))


def known_profiles(engine: sa.Engine, drop_key: str) -> dict[str, dict[str, Any]]:
    """The profile, as JSON, that each replay of a drop that was ever entered read with, by its key."""
    with engine.connect() as connection:
        query = sa.select(table.c.key, table.c.profile).where(table.c.drop_key == drop_key).order_by(table.c.key)
        return {row.key: row.profile for row in connection.execute(query)}


def enter(engine: sa.Engine, replays: Mapping[str, tuple[Replay, Sequence[int], Mapping[str, str]]]) -> None:
    """Enters replays: all of them or, after a kill, none.

    `replays` has, by key, each with the lines it took out of the quarantine and the sha256 of its part of each table.
    """
    with recording(engine) as connection:
        for replay, lines, files in replays.values():
            connection.execute(sa.insert(table).values(**asdict(replay)))
            rows = [{"drop_key": replay.drop_key, "line": line, "replay_key": replay.key} for line in lines]
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                connection.execute(sa.insert(replayed_lines), rows[start : start + _ROWS_AT_ONCE])
            details = {
                name: getattr(replay, name)
                for name in ("key", "actor", "kind", "name", "digest", "lines_given", "lines_accepted")
            }
            append(
                connection,
                Event.LINES_REPLAYED,
                at=replay.at,
                drop_key=replay.drop_key,
                **details,
                lines_excluded=replay.lines_excluded,
                lines_quarantined=replay.lines_quarantined,
                reasons=replay.reasons,
                parts={table: {replay.key: sha256} for table, sha256 in files.items()},
            )


def void(
    connection: sa.Connection, drop_key: str, *, at: dt.datetime, why: str, only: Collection[str] | None = None
) -> None:
    """Takes all replays of a drop, or only some, out of the count, in the caller's transaction; their records stay."""
    counting = (table.c.drop_key == drop_key) & table.c.voided_at.is_(None)
    if only is not None:
        counting &= table.c.key.in_(only)
    keys = list(connection.scalars(sa.select(table.c.key).where(counting)))
    if not keys:
        return
    connection.execute(sa.update(table).where(counting).values(voided_at=at, voided_why=why))
    connection.execute(sa.delete(replayed_lines).where(replayed_lines.c.replay_key.in_(keys)))
    append(connection, Event.REPLAY_VOIDED, at=at, drop_key=drop_key, keys=keys, reason=why)
