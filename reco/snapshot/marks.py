"""What a release leaves in SQL: the row of its snapshot, and its marks in the audit trail.

Belongs here: these rows, with counts and digests before and after. Does not belong here: the release itself
(`reco.snapshot.release`).
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from reco.audit.trail import Event, append, record_drops, recording
from reco.orders.home import Home
from reco.orders.ledger import Drop
from reco.snapshot.manifest import sold_items
from reco.snapshot.publish import PublishResult
from reco.storage.sql import LINE_COUNTS
from reco.storage.sql import snapshots as table


def figures(connection: sa.Connection, snapshot_id: str | None) -> dict[str, Any] | None:
    """Digest and counts of a snapshot, for the trail; None where it is not in SQL."""
    row = connection.execute(sa.select(table).where(table.c.snapshot_id == snapshot_id)).one_or_none()
    return {name: getattr(row, name) for name in ("digest", "orders", "items", "pairs")} if row is not None else None


def store_set(connection: sa.Connection, drops: list[Drop]) -> str:
    """Stores which drops something is made of; returns the name of the set."""
    return record_drops(connection, {drop.key: (drop.sha256, drop.batch) for drop in drops})


def mark_validated(home: Home, drops: list[Drop], *, run_id: str | None, now: dt.datetime) -> None:
    """Says in the trail that the lines of every drop were counted again in the lake and add up."""
    sums: dict[str, Any] = {name: sum(getattr(drop, name) or 0 for drop in drops) for name in LINE_COUNTS[:4]}
    with recording(home.ledger.engine) as connection:
        append(
            connection,
            Event.LINES_VALIDATED,
            at=now,
            run_id=run_id,
            drops=store_set(connection, drops),
            drop_count=len(drops),
            **sums,
        )


@dataclass(frozen=True)
class Made:
    """What a release was made of, and by which run."""

    inputs: str
    drops: list[Drop]
    run_id: str | None
    now: dt.datetime


def record_release(home: Home, result: PublishResult, manifest: dict[str, Any], made: Made) -> None:
    """Enters the snapshot that is served now, and how it came about, in one transaction."""
    row = {
        "snapshot_id": result.snapshot_id,
        "namespace": home.settings.namespace,
        "digest": result.digest,
        "inputs_digest": made.inputs,
        "run_id": made.run_id,
        "published_at": made.now,
        "orders": manifest["counts"]["orders"],
        "items": sold_items(manifest["counts"]),
        "pairs": manifest["counts"]["pairs"],
        "redis_keys": result.keys,
        "redis_bytes": result.bytes,
        "forced": result.forced,
    }
    event = Event.SNAPSHOT_PUBLISHED if result.changed else Event.SNAPSHOT_UNCHANGED
    with recording(home.ledger.engine) as connection:
        known = table.c.snapshot_id == result.snapshot_id
        if connection.scalar(sa.select(table.c.snapshot_id).where(known)) is None:
            connection.execute(sa.insert(table).values(row))
        else:
            connection.execute(
                sa.update(table).where(known).values(inputs_digest=row["inputs_digest"], published_at=made.now)
            )
        append(
            connection,
            event,
            at=made.now,
            run_id=made.run_id,
            snapshot_id=result.snapshot_id,
            digest=result.digest,
            inputs=made.inputs,
            drops=store_set(connection, made.drops),
            drop_count=len(made.drops),
            score_settings=manifest.get("score_settings"),
            figures=figures(connection, result.snapshot_id),
            before=result.previous_id,
            figures_before=figures(connection, result.previous_id),
            keys_verified=result.verified,
            code_version=manifest.get("code_version"),
            forced=result.forced,
            gate=[check.as_dict() for check in result.gate_checks],
        )
