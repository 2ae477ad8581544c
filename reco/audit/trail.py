"""The append-only audit trail.

Belongs here: the closed list of events, writing one and reading them back. Does not belong here: changing or removing
an event, for which there is no function on purpose and which the database refuses; proving that (`reco.audit.chain`).

No event holds a customer id, an order id or a line: the trail cannot be changed, so nothing may stand in it that a
person has the right to have removed.
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from reco.audit.chain import event_hash, newest_hash, set_digest
from reco.storage.sql import audit_events, drop_sets

_WRITERS = 71346002
"""The advisory lock of Postgres that writers of the trail take in turn."""


class Event(StrEnum):
    """Every kind of step that leaves a mark."""

    DROP_SEEN = "drop_seen"
    DROP_REFUSED = "drop_refused"
    DROP_INGESTED = "drop_ingested"
    DROP_FAILED = "drop_failed"
    DROP_RETRACTED = "drop_retracted"
    DROP_REOPENED = "drop_reopened"
    LINES_EXPORTED = "lines_exported"
    LINES_REPLAYED = "lines_replayed"
    REPLAY_VOIDED = "replay_voided"
    QUARANTINE_EXPIRED = "quarantine_expired"
    LINES_VALIDATED = "lines_validated"
    ORDERS_REPLACED = "orders_replaced"
    SCORE_CHOSEN = "score_chosen"
    SNAPSHOT_PUBLISHED = "snapshot_published"
    SNAPSHOT_UNCHANGED = "snapshot_unchanged"
    GATE_REFUSED = "gate_refused"
    RUN_FAILED = "run_failed"
    ROLLED_BACK = "rolled_back"
    DROP_REDACTED = "drop_redacted"
    REPLACED_REDACTED = "replaced_redacted"
    RAW_REMOVED = "raw_removed"
    CUSTOMER_FORGOTTEN = "customer_forgotten"
    HOME_RESTORED = "home_restored"
    BACKUP_REDATED = "backup_redated"
    KEY_CREATED = "key_created"
    KEY_EXPIRES = "key_expires"
    KEY_REVOKED = "key_revoked"
    KEY_CONFIRMED = "key_confirmed"
    ITEM_HIDDEN = "item_hidden"
    ITEM_SHOWN = "item_shown"


@dataclass(frozen=True)
class AuditEvent:
    """One row of the trail."""

    id: int
    at: dt.datetime
    event: Event
    run_id: str | None
    drop_key: str | None
    snapshot_id: str | None
    details: dict[str, Any]
    hash: str


@contextmanager
def recording(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction of a step that leaves events: one writer of the trail at a time, whatever else it writes.

    The turn is taken before any row is, or two steps on Postgres could wait for each other for ever.
    """
    with engine.begin() as connection:
        _take_turn(connection)
        yield connection


def append(
    connection: sa.Connection,
    event: Event,
    *,
    at: dt.datetime,
    run_id: str | None = None,
    drop_key: str | None = None,
    snapshot_id: str | None = None,
    **details: Any,
) -> None:
    """Writes one event in the caller's transaction, so that the step and its mark stand or fall together."""
    _take_turn(connection)
    # As it comes back from the database: what is hashed must be what will be read.
    content = {
        "event": event.value,
        "run_id": run_id,
        "drop_key": drop_key,
        "snapshot_id": snapshot_id,
        "details": json.loads(json.dumps(details)),
    }
    previous = newest_hash(connection)
    values = content | {"at": at, "previous_hash": previous}
    if at.tzinfo is not None:  # the database refuses any other
        values["hash"] = event_hash(previous, at, content)
    connection.execute(sa.insert(audit_events).values(values))


def record_drops(connection: sa.Connection, drops: Mapping[str, tuple[str, int]]) -> str:
    """Stores a set of drops (sha256 and batch by key) once, in the caller's transaction; returns its name."""
    digest = set_digest(drops)
    known = sa.select(drop_sets.c.drop_key).where(drop_sets.c.set_digest == digest).limit(1)
    if drops and connection.scalar(known) is None:
        rows = [
            {"set_digest": digest, "drop_key": key, "sha256": sha256, "batch": batch}
            for key, (sha256, batch) in sorted(drops.items())
        ]
        connection.execute(sa.insert(drop_sets), rows)
    return digest


def recorded_drops(engine: sa.Engine, digest: str) -> dict[str, tuple[str, int]]:
    """The drops of a set, as `record_drops` took them."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(drop_sets).where(drop_sets.c.set_digest == digest))
        return {row.drop_key: (row.sha256, row.batch) for row in rows}


def _take_turn(connection: sa.Connection) -> None:
    """Keeps other writers of the trail waiting until this transaction ends."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_WRITERS)))
        return
    driver: Any = connection.connection.dbapi_connection
    if not driver.in_transaction:  # else it has written already, and holds the only write lock there is
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def events(
    engine: sa.Engine,
    *,
    event: Event | None = None,
    drop_key: str | None = None,
    run_id: str | None = None,
    snapshot_id: str | None = None,
    since: dt.datetime | None = None,
    limit: int | None = 100,
) -> list[AuditEvent]:
    """The newest events first, at most `limit` (None: all); of one kind, drop, run or snapshot, or from a time on."""
    query = sa.select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
    wanted = {"event": event.value if event else None, "drop_key": drop_key, "run_id": run_id}
    wanted["snapshot_id"] = snapshot_id
    for column, value in wanted.items():
        if value is not None:
            query = query.where(audit_events.c[column] == value)
    if since is not None:
        query = query.where(audit_events.c.at >= since)
    with engine.connect() as connection:
        return [
            AuditEvent(r.id, r.at, Event(r.event), r.run_id, r.drop_key, r.snapshot_id, r.details, r.hash)
            for r in connection.execute(query)
        ]
