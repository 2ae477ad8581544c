"""The append-only audit trail.

Belongs here: the closed list of events, writing one and reading them back. Does not belong here: changing or removing
an event, for which there is no function on purpose.
"""

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from reco.storage.sql import audit_events


class Event(StrEnum):
    """Every kind of step that leaves a mark."""

    DROP_SEEN = "drop_seen"
    DROP_REFUSED = "drop_refused"
    DROP_INGESTED = "drop_ingested"
    DROP_FAILED = "drop_failed"
    DROP_RETRACTED = "drop_retracted"
    LINES_EXPORTED = "lines_exported"
    LINES_REPLAYED = "lines_replayed"
    REPLAY_VOIDED = "replay_voided"
    QUARANTINE_EXPIRED = "quarantine_expired"
    ORDERS_REPLACED = "orders_replaced"
    SNAPSHOT_PUBLISHED = "snapshot_published"
    SNAPSHOT_UNCHANGED = "snapshot_unchanged"
    GATE_REFUSED = "gate_refused"
    RUN_FAILED = "run_failed"
    ROLLED_BACK = "rolled_back"


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
    connection.execute(
        sa.insert(audit_events).values(
            at=at, event=event.value, run_id=run_id, drop_key=drop_key, snapshot_id=snapshot_id, details=details
        )
    )


def events(
    engine: sa.Engine,
    *,
    event: Event | None = None,
    drop_key: str | None = None,
    run_id: str | None = None,
    limit: int = 100,
) -> list[AuditEvent]:
    """The newest events first, at most `limit`, optionally of one kind, drop or run."""
    query = sa.select(audit_events).order_by(audit_events.c.id.desc()).limit(limit)
    wanted = {"event": event.value if event else None, "drop_key": drop_key, "run_id": run_id}
    for column, value in wanted.items():
        if value is not None:
            query = query.where(audit_events.c[column] == value)
    with engine.connect() as connection:
        return [
            AuditEvent(r.id, r.at, Event(r.event), r.run_id, r.drop_key, r.snapshot_id, r.details)
            for r in connection.execute(query)
        ]
