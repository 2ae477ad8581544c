"""Walking back from a served recommendation: snapshot, run, drops, lines.

Belongs here: what a snapshot says of an item, which drops it was made of, and whether the lake still holds them as they
were. Does not belong here: counting orders and finding lines (`reco.orders.evidence`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import redis
import sqlalchemy as sa

from reco.audit.trail import AuditEvent, Event, events, recorded_drops
from reco.errors import SnapshotNotFound
from reco.orders.drops import ORDER_LINES
from reco.orders.evidence import Evidence, find_evidence
from reco.orders.home import Home
from reco.orders.ledger import Drop, DropStatus
from reco.orders.orders import order_parts
from reco.snapshot.read import PublishedSnapshot
from reco.snapshot.store import SnapshotStore
from reco.storage.lake import file_digest
from reco.storage.sql import snapshots as table

_NEIGHBOURS = 100


@dataclass(frozen=True, slots=True)
class TracedDrop:
    """One drop that the snapshot was made of. problem: why its lines are not those of then, empty where they are."""

    key: str
    name: str
    sha256: str
    batch: int
    run_id: str | None
    lines: int
    problem: str


@dataclass(frozen=True, slots=True)
class Trace:
    """Where the figures of an item, or of a pair, come from.

    served: `purchases` and, for a pair, `other_purchases` and `pair_orders` as the snapshot gives them (None where it
    is no neighbour); evidence: counted again, None where the lines are not there any more; notes: sentences on what is
    not as it was.
    """

    item_id: str
    other_id: str | None
    snapshot_id: str
    digest: str
    published_at: dt.datetime
    run_id: str | None
    served: dict[str, int | None]
    drops: tuple[TracedDrop, ...]
    evidence: Evidence | None
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool | None:
        """Whether the counts are the served ones exactly; None where they could not be made."""
        if self.evidence is None:
            return None
        counted = asdict(self.evidence)
        return all(value is None or counted[name] == value for name, value in self.served.items())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"agrees": self.agrees}


def trace(
    home: Home, client: redis.Redis, item: str, other: str | None = None, *, snapshot_id: str | None = None, limit: int
) -> Trace:
    """Walks from what a snapshot serves of an item (or of two together) back to the lines it was counted from.

    Args:
        home: the shop.
        client: its Redis.
        item: an id or exact name; `other` likewise.
        other: the second item of a pair.
        snapshot_id: as in `metadata` of an answer; the served one where none is given.
        limit: how many orders are shown with their lines.

    Raises:
        SnapshotNotFound: Redis keeps no snapshot of that id any more; what is known of it is in the message.
        ItemNotFound: the snapshot does not know the item.
    """
    snapshot = _snapshot(home, client, snapshot_id)
    first = snapshot.resolve(item)
    second = snapshot.resolve(other) if other is not None else None
    served: dict[str, int | None] = {"purchases": first.orders}
    if second is not None:
        served |= {
            "other_purchases": second.orders,
            "pair_orders": _served_pair(snapshot, first.item_id, second.item_id),
        }
    sid = snapshot.snapshot_id
    published = events(home.ledger.engine, event=Event.SNAPSHOT_PUBLISHED, snapshot_id=sid, limit=1)
    drops, gone = _drops_of(home, snapshot, published)
    made_at = dt.datetime.fromisoformat(snapshot.manifest["published_at"])
    drops = [replace(drop, replays=tuple(one for one in drop.replays if one.at <= made_at)) for drop in drops]
    traced = [_traced(home, drop, published) for drop in drops]
    notes = [f"{drop.name} was taken out since." for drop in drops if drop.status is DropStatus.RETRACTED]
    counted = None
    if gone:
        notes.append(f"{gone} drops of this snapshot are not in the ledger of this home: nothing can be counted.")
    elif not any(one.lines < 0 for one in traced):
        counted = find_evidence(
            order_parts(home.lake, drops), first.item_id, second.item_id if second is not None else None, limit=limit
        )
    changed = [one.problem for one in traced if one.problem]
    notes += changed[:20]
    if changed:
        notes.append("The lake has moved on since: the counts are of the lines as they are now.")
    if counted is not None:
        parts = {drop.key: (drop.key, *(one.key for one in drop.replays)) for drop in drops}
        lines = counted.lines_by_drop
        traced = [replace(one, lines=sum(lines.get(part, 0) for part in parts[one.key])) for one in traced]
    manifest = snapshot.manifest
    return Trace(
        item_id=first.item_id,
        other_id=second.item_id if second is not None else None,
        snapshot_id=sid,
        digest=manifest["digest"],
        published_at=made_at,
        run_id=manifest.get("run_id"),
        served=served,
        drops=tuple(traced),
        evidence=counted,
        notes=tuple(notes),
    )


def _snapshot(home: Home, client: redis.Redis, snapshot_id: str | None) -> PublishedSnapshot:
    store = SnapshotStore(client, home.settings.namespace)
    if snapshot_id is None:
        return store.current()
    try:
        return store.get(snapshot_id)
    except SnapshotNotFound as error:
        with home.ledger.engine.connect() as connection:
            known = connection.execute(sa.select(table).where(table.c.snapshot_id == snapshot_id)).one_or_none()
        if known is None:
            raise
        raise SnapshotNotFound(
            f"Snapshot {snapshot_id} was published at {known.published_at:%Y-%m-%d %H:%M:%S} UTC by run "
            f"{known.run_id}, and has been removed from Redis since.",
            hint=f"`reco audit report --run {known.run_id}` shows its drops. RECO_KEEP_SNAPSHOTS says how many stay.",
            snapshot_id=snapshot_id,
        ) from error


def _served_pair(snapshot: PublishedSnapshot, item_id: str, other_id: str) -> int | None:
    """The evidence `pair_orders`, from the list of either item; None where neither is a neighbour of the other."""
    for one, wanted in ((item_id, other_id), (other_id, item_id)):
        for found in snapshot.similar(one, _NEIGHBOURS)["recommendations"]:
            if found["item_id"] == wanted:
                return int(found["evidence"]["pair_orders"])
    return None


def _drops_of(home: Home, snapshot: PublishedSnapshot, published: Sequence[AuditEvent]) -> tuple[list[Drop], int]:
    """The drops a snapshot was made of, with the batches they had then, and how many are not to be had."""
    by_key = {drop.key: drop for drop in home.ledger.drops()}
    digest = published[0].details.get("drops") if published else None
    if digest is None:  # published before the trail kept the drops: their batches then are not known
        wanted = set(snapshot.manifest["drops"])
        found = [drop for drop in by_key.values() if drop.sha256 in wanted]
        gone = len(wanted) - len(found)
    else:
        recorded = recorded_drops(home.ledger.engine, digest)
        found = [replace(by_key[key], batch=batch) for key, (_, batch) in recorded.items() if key in by_key]
        gone = len(recorded) - len(found)
    return sorted(found, key=lambda drop: (drop.batch, drop.key)), gone


def _traced(home: Home, drop: Drop, published: Sequence[AuditEvent]) -> TracedDrop:
    path = home.lake.path(ORDER_LINES, drop.key)
    problem, lines = "", 0
    if not path.is_file():
        problem, lines = f"The lines of {drop.name} are not in the lake any more.", -1
    else:
        then, now = _digests_then(home, drop.key, published), file_digest(path)
        if then is not None and now not in then:
            problem = f"{drop.name} was read again after this snapshot was published."
    return TracedDrop(drop.key, drop.name, drop.sha256, drop.batch, drop.run_id, lines, problem)


def _digests_then(home: Home, key: str, published: Sequence[AuditEvent]) -> Sequence[str] | None:
    """The sha256 that the lines of a drop had when the snapshot was made; None where the trail did not keep it.

    Those of redactions since are as good: they change no count.
    """
    kinds = (Event.DROP_INGESTED, Event.DROP_REDACTED)
    found = sorted(
        (one for kind in kinds for one in events(home.ledger.engine, event=kind, drop_key=key, limit=1000)),
        key=lambda one: one.id,
    )
    digests: list[str] = []
    for one in found:
        digest = one.details.get("files", {}).get(ORDER_LINES)
        if digest is None:
            continue
        if one.event is Event.DROP_INGESTED and published and one.id < published[0].id:
            digests = [digest]
        elif one.event is Event.DROP_REDACTED:
            digests.append(digest)
    return digests or None
