"""What the ledger was at an earlier moment, told by the audit trail alone.

Belongs here: reading the trail of a backup, and the state after one of its events. Does not belong here: choosing the
backup (`reco.backup.moments`), or making a home that state (`reco.backup.past`).
"""

import datetime as dt
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reco.audit.trail import AuditEvent, Event
from reco.backup.manifest import SQL, Manifest
from reco.backup.prepare import fetch_entry
from reco.backup.sql_dump import rows_of
from reco.backup.vault import Vault
from reco.orders.ledger import DropStatus

CATALOGUE = "catalogue"
_MOVES = {
    Event.DROP_SEEN: DropStatus.PENDING,
    Event.DROP_INGESTED: DropStatus.INGESTED,
    Event.DROP_FAILED: DropStatus.FAILED,
    Event.DROP_RETRACTED: DropStatus.RETRACTED,
    Event.DROP_REOPENED: DropStatus.PENDING,
}
_PUBLISHES = (Event.SNAPSHOT_PUBLISHED, Event.SNAPSHOT_UNCHANGED)
CHANGES = frozenset(
    {*_MOVES, *_PUBLISHES, Event.ROLLED_BACK, Event.LINES_REPLAYED, Event.REPLAY_VOIDED, Event.QUARANTINE_EXPIRED}
    | {Event.DROP_REDACTED, Event.REPLACED_REDACTED, Event.RAW_REMOVED, Event.CUSTOMER_FORGOTTEN, Event.HOME_RESTORED}
    | {Event.ITEM_HIDDEN, Event.ITEM_SHOWN}
)
"""The events after which something is another than before; the others only tell."""
FORGETTING = frozenset({Event.CUSTOMER_FORGOTTEN, Event.DROP_REDACTED, Event.REPLACED_REDACTED, Event.RAW_REMOVED})
"""The events by which people, or what was kept of them, are gone for good."""


@dataclass(frozen=True)
class DropThen:
    """What a drop was at a moment. read: the event of the reading that counted, None before it was read."""

    status: DropStatus
    seen: AuditEvent
    place: int
    read: AuditEvent | None = None


@dataclass
class StateThen:
    """What the ledger was at a moment: drops and catalogues by key, and the replays that counted."""

    drops: dict[str, DropThen] = field(default_factory=dict)
    catalogues: dict[str, DropThen] = field(default_factory=dict)
    replays: set[str] = field(default_factory=set)
    served: AuditEvent | None = None

    def copy(self) -> "StateThen":
        """Another one of the same content."""
        return StateThen(dict(self.drops), dict(self.catalogues), set(self.replays), self.served)


def read_trail(path: Path) -> list[AuditEvent]:
    """The audit trail in a dump of SQL, oldest first."""
    found = []
    for row in rows_of(path, "audit_events"):
        row.pop("previous_hash")
        row |= {"at": dt.datetime.fromisoformat(row["at"]), "event": Event(row["event"])}
        found.append(AuditEvent(**row))
    return sorted(found, key=lambda one: one.id)


def trail_of(vault: Vault, manifest: Manifest) -> list[AuditEvent]:
    """The audit trail of a backup, oldest first.

    Raises:
        BackupKeyWrong, BackupDamaged: it cannot be read.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch_entry(vault, manifest.entry(SQL), folder / "sealed", folder / SQL, vault.keys.require_identities())
        return read_trail(folder / SQL)


def head_of(manifest: Manifest) -> str:
    """The hash of the last event in the trail of a backup; empty where there is none."""
    return str(manifest.facts["sql"]["audit_head"])


def state_after(trail: Sequence[AuditEvent], last: int) -> StateThen:
    """What the ledger was after an event, told by the trail alone."""
    state, states = StateThen(), dict[int, StateThen]()
    returns = {one.details["upto"] for one in trail if one.event is Event.HOME_RESTORED and one.details.get("upto")}
    for one in trail:
        if one.id > last:
            break
        _step(state, one, states)
        if one.id in returns:
            states[one.id] = state.copy()
    return state


def _step(state: StateThen, one: AuditEvent, states: Mapping[int, StateThen]) -> None:
    if one.event in _MOVES and one.drop_key is not None:
        known = state.catalogues if one.details.get("kind") == CATALOGUE else state.drops
        before = known.get(one.drop_key)
        if one.event is Event.DROP_SEEN:
            known[one.drop_key] = DropThen(DropStatus.PENDING, one, one.id)
        elif before is not None:
            retracted = before.status is DropStatus.RETRACTED and one.event is not Event.DROP_RETRACTED
            status = before.status if retracted else _MOVES[one.event]
            read = one if one.event is Event.DROP_INGESTED else before.read
            known[one.drop_key] = replace(before, status=status, read=read)
    elif one.event is Event.LINES_REPLAYED:
        state.replays.add(one.details["key"])
    elif one.event is Event.REPLAY_VOIDED:
        state.replays -= set(one.details["keys"])
    elif one.event in _PUBLISHES or one.event is Event.ROLLED_BACK:
        state.served = one
    elif one.event is Event.HOME_RESTORED and one.details.get("upto") in states:
        back = states[one.details["upto"]].copy()
        # What came after that moment was retracted by the restore.
        for now, then in ((state.drops, back.drops), (state.catalogues, back.catalogues)):
            for key in now.keys() - then.keys():
                then[key] = replace(now[key], status=DropStatus.RETRACTED)
        state.drops, state.catalogues, state.replays = back.drops, back.catalogues, back.replays
        state.served = back.served


def publish_event(trail: Sequence[AuditEvent], served: AuditEvent) -> AuditEvent:
    """The publish that made what was served: of a rollback, that of the snapshot it went back to."""
    if served.event is not Event.ROLLED_BACK:
        return served
    made = [one for one in trail if one.event in _PUBLISHES and one.snapshot_id == served.snapshot_id]
    return next((one for one in reversed(made) if one.id < served.id), served)
