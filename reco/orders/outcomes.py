"""What reading a drop came to, entered into the ledger and the trail at once.

Belongs here: the counts or the error of a reading, and what they mean for earlier replays of the drop. Does not belong
here: taking drops in, finding and retracting them (`reco.orders.ledger`), or reading them (`reco.orders.reader`).
"""

import datetime as dt
from typing import Any

import sqlalchemy as sa

from reco.audit.trail import Event, append, recording
from reco.errors import RecoError
from reco.orders import balance, replays
from reco.orders.company import NOT_READ
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES, DropResult
from reco.orders.ledger import DropLedger, DropStatus
from reco.storage.lake import Lake, file_digest
from reco.storage.sql import LINE_COUNTS
from reco.storage.sql import drops as table


def enter_result(ledger: DropLedger, result: DropResult, *, now: dt.datetime, run_id: str | None) -> None:
    """Enters what reading a drop gave: its counts, or why it failed."""
    error = result.error
    counts = {name: getattr(result.counts, name) for name in LINE_COUNTS}
    values = result.row(now=now, run_id=run_id)
    event = Event.DROP_FAILED if error else Event.DROP_INGESTED
    # Not the message, which may name a column of the file: what stands in the trail can never be taken back.
    details: dict[str, Any] = {"error_code": error.code} if error else counts
    if not error:
        details |= {"reasons": result.reasons, "files": _parts(ledger.lake, result.key)}
    unfit = f"the drop failed: {error.code}" if error else _outdated(ledger, result.key)
    with recording(ledger.engine) as connection:
        if unfit:
            replays.void(connection, result.key, at=now, why=unfit)
        before = connection.execute(sa.select(table).where(table.c.key == result.key)).one_or_none()
        connection.execute(sa.update(table).where(_standing(result.key)).values(values))
        if before is not None:
            details |= {"sha256": before.sha256, "before": before.status}
        append(connection, event, at=now, run_id=run_id, drop_key=result.key, **details)


def enter_failure(
    ledger: DropLedger, key: str, error: RecoError, *, now: dt.datetime, run_id: str | None = None
) -> None:
    """Enters that a drop cannot be used at all."""
    values = {"status": DropStatus.FAILED.value, "error": str(error), "error_code": error.code, "run_id": run_id}
    with recording(ledger.engine) as connection:
        connection.execute(sa.update(table).where(_standing(key)).values(NOT_READ | values))
        replays.void(connection, key, at=now, why=f"the drop failed: {error.code}")
        append(connection, Event.DROP_FAILED, at=now, run_id=run_id, drop_key=key, error_code=error.code)


def _standing(key: str) -> sa.ColumnElement[bool]:
    """The row of a drop, unless a person retracted it while it was read."""
    return (table.c.key == key) & (table.c.status != DropStatus.RETRACTED.value)


def _outdated(ledger: DropLedger, key: str) -> str:
    """Why replays of a drop that was just read anew no longer fit it; empty where they do."""
    settled = replays.settled_lines(ledger.engine, key)
    if settled.keys() <= set(balance.lines_of(ledger.lake, QUARANTINED_LINES, key, "quarantined") if settled else ()):
        return ""
    return "the drop was read anew, and other lines of it are quarantined now"


def _parts(lake: Lake, key: str) -> dict[str, str]:
    """The sha256 of what reading a drop made."""
    paths = {name: lake.path(name, key) for name in (ORDER_LINES, QUARANTINED_LINES)}
    return {name: file_digest(path) for name, path in paths.items() if path.is_file()}
