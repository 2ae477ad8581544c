"""The files of the lake beside what the trail says of them: each rewrite must have left its mark.

Belongs here: which sha256 the trail states last for a part of a table, and comparing it with the part. Does not belong
here: the trail's own proof (`reco.audit.chain`), or whether the rows of a part are as many as the ledger says
(`reco.orders.balance`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from reco.audit.trail import AuditEvent, Event, events
from reco.storage.lake import Lake, file_digest

REPLACED_ORDERS = "replaced_orders"
_QUARANTINED = "quarantined_lines"


@dataclass(frozen=True, slots=True)
class Stated:
    """What the trail says last of a part of a table: its sha256, and the event that says so."""

    sha256: str
    event: Event
    event_id: int


@dataclass(frozen=True, slots=True)
class FilesReport:
    """The comparison: parts that were looked at, and in words what is wrong with any."""

    checked: int
    problems: tuple[str, ...]


def stated_parts(engine: sa.Engine, *, drop_key: str | None = None) -> dict[tuple[str, str], Stated]:
    """The sha256 that the trail states last, by table and part; optionally from the events of one drop alone.

    A part of which nothing certain is said is left out: older events named no digest of what they rewrote.
    """
    found: dict[tuple[str, str], Stated] = {}
    for one in reversed(events(engine, drop_key=drop_key, limit=None)):
        if "kind" in one.details and one.event in (Event.DROP_FAILED, Event.DROP_INGESTED):
            continue  # a catalogue: the same bytes have the same key where they came as orders too
        if one.event is Event.DROP_FAILED or (one.event is Event.QUARANTINE_EXPIRED and "parts" not in one.details):
            tables = {table for table, part in found if part == one.drop_key}
            for table in tables if one.event is Event.DROP_FAILED else {_QUARANTINED}:
                found.pop((table, one.drop_key or ""), None)
        for table, part, sha256 in _said(one):
            found[table, part] = Stated(sha256, one.event, one.id)
    return found


def _said(one: AuditEvent) -> Iterator[tuple[str, str, str]]:
    """Table, part and sha256 of what an event made or rewrote."""
    files: Mapping[str, Any] = one.details.get("files", {})
    for table, sha256 in files.items():
        yield table, one.drop_key or "", sha256
    parts: Mapping[str, Mapping[str, str]] = one.details.get("parts", {})
    for table, digests in parts.items():
        for part, sha256 in digests.items():
            yield table, part, sha256
    if one.event is Event.ORDERS_REPLACED and "part" in one.details:
        yield REPLACED_ORDERS, one.details["part"], one.details["sha256"]


def compare_files(engine: sa.Engine, lake: Lake) -> FilesReport:
    """Reads every part of which the trail names the sha256, and says which is another one or gone."""
    stated = stated_parts(engine)
    problems = []
    for (table, part), said in sorted(stated.items()):
        path = lake.path(table, part)
        if not path.is_file():
            problems.append(f"{table}/{part}.parquet is gone (event {said.event_id}, {said.event}, names its sha256)")
        elif file_digest(path) != said.sha256:
            problems.append(f"{table}/{part}.parquet is not the file that event {said.event_id} ({said.event}) names")
    return FilesReport(len(stated), tuple(problems))
