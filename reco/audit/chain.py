"""The chain of hashes over the audit trail: each row vouches for itself and for the one before it.

Belongs here: what of a row is hashed, and finding the first row that was altered or taken out. Does not belong here:
writing events (`reco.audit.trail`).

The hash of a row is the sha256 of the hash before it followed by the row's content as JSON: sorted keys, no blanks,
ASCII. A chain shows every change inside it. Whoever can write the file could make it anew from some row on, or take the
newest rows off its end: that is seen by whoever noted an earlier `head`, which must still be in the chain. Each
published snapshot and each materialization of it in Dagster note one (`reco_pipeline.proving`).
"""

import datetime as dt
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from reco.storage.sql import audit_events, drop_sets

FIRST = "0" * 64
"""What stands before the first row."""
CONTENT = ("event", "run_id", "drop_key", "snapshot_id", "details")
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a check of the whole trail found.

    events: rows there are; head: the hash of the newest (64 zeros without any): note it to prove later that nothing
    before it was changed; broken_id: the first row that is wrong, None where none is; problem: what is wrong with it.
    """

    events: int
    head: str
    broken_id: int | None
    problem: str

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.problem


def event_hash(previous: str, at: dt.datetime, content: Mapping[str, Any]) -> str:
    """The hash of a row: `at` aware, `content` the columns of CONTENT as they come back from the database."""
    facts = {
        "at": at.astimezone(dt.UTC).isoformat(timespec="microseconds"),
        **{name: content[name] for name in CONTENT},
    }
    return hashlib.sha256((previous + json.dumps(facts, sort_keys=True, separators=(",", ":"))).encode()).hexdigest()


def newest_hash(connection: sa.Connection) -> str:
    """The hash of the newest row. The caller keeps others from writing until its own row is committed."""
    newest = sa.select(audit_events.c.hash).order_by(audit_events.c.id.desc()).limit(1)
    return connection.scalar(newest) or FIRST


def chain_head(engine: sa.Engine) -> str:
    """The head of the chain now, to be noted where a change of the database does not reach."""
    with engine.connect() as connection:
        return newest_hash(connection)


def verify_chain(engine: sa.Engine, *, noted: Mapping[str, str] | None = None) -> ChainReport:
    """Reads the whole trail and says where its chain breaks first.

    Args:
        engine: the database.
        noted: heads of earlier times by who noted them, each of which must still be in the chain.
    """
    missing = {who: head for who, head in (noted or {}).items() if head != FIRST}
    wanted = set(missing.values())
    previous, count, found = FIRST, 0, set()
    named: dict[str, int] = {}
    with engine.connect().execution_options(stream_results=True) as connection:
        for row in connection.execute(sa.select(audit_events).order_by(audit_events.c.id)).yield_per(_AT_ONCE):
            problem = _problem(row, previous)
            if problem:
                return ChainReport(count, previous, row.id, problem)
            previous, count = row.hash, count + 1
            if row.hash in wanted:
                found.add(row.hash)
            if is_set_name(row.details.get("drops")):
                named.setdefault(row.details["drops"], row.id)
    lost = sorted(who for who, head in missing.items() if head not in found)
    if lost:
        others = f" and {len(lost) - 1} others" if len(lost) > 1 else ""
        problem = (
            f"the trail does not hold the head that {lost[0]}{others} noted: its newest events were taken off, or it "
            "was rebuilt"
        )
        return ChainReport(count, previous, None, problem)
    return ChainReport(count, previous, None, _wrong_set(engine, named))


def _problem(row: Any, previous: str) -> str:
    if row.hash != event_hash(row.previous_hash, row.at, row._asdict()):
        return f"event {row.id} ({row.event}) was altered: its content does not give its hash"
    if row.previous_hash != previous:
        return f"before event {row.id} ({row.event}) an event is missing or was replaced: it does not follow the hash"
    return ""


def set_digest(rows: Mapping[str, tuple[str, int]]) -> str:
    """The name of a set of drops: a sha256 over their keys with the sha256 and batch of each."""
    facts = [[key, *rows[key]] for key in sorted(rows)]
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()


def is_set_name(value: object) -> bool:
    """Whether a detail of an event names a set of drops; those of older versions list some instead."""
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _wrong_set(engine: sa.Engine, named: Mapping[str, int]) -> str:
    """The first set of drops whose rows are not those it is named after, or that an event names and nobody has."""
    sets: dict[str, dict[str, tuple[str, int]]] = {set_digest({}): {}}
    with engine.connect() as connection:
        for row in connection.execute(sa.select(drop_sets).order_by(drop_sets.c.set_digest)):
            sets.setdefault(row.set_digest, {})[row.drop_key] = (row.sha256, row.batch)
    wrong = next((name for name, rows in sets.items() if set_digest(rows) != name), None)
    if wrong:
        return f"the set of drops {wrong[:12]} was altered: its rows do not give its name"
    gone = next((name for name in named if name not in sets), None)
    return f"the set of drops {gone[:12]} was removed: event {named[gone]} names it" if gone else ""
