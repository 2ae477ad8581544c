"""The other drops of a drop's batch: read beside it, and read anew where one of them no longer counts.

Belongs here: which those are, in the ledger. Does not belong here: what they tell of its lines (`reco.orders.whole`).
"""

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from reco.audit.trail import Event, append
from reco.errors import DropError
from reco.orders import replays
from reco.orders.drops import DropFile
from reco.storage.sql import LINE_COUNTS
from reco.storage.sql import drops as table

if TYPE_CHECKING:
    from reco.orders.ledger import Drop, DropLedger

NOT_READ: dict[str, None] = dict.fromkeys((*LINE_COUNTS, "reasons", "encoding", "dialect", "header", "mapping"))
"""What is not known of a drop before it is read."""
_OF_BATCH = ("duplicate_line", "excluded_status", "oversized_order")
"""The reasons that other drops may give."""


def beside(ledger: "DropLedger", drops: "Sequence[Drop]") -> list[DropFile]:
    """The other drops that count of the batches and sources of some drops, as the reader takes them.

    One that cannot be opened is left out: it fails when it is read itself, or was read as long as it could be.
    """
    own, batches = {drop.key for drop in drops}, {(drop.source, drop.batch) for drop in drops}
    found = []
    for drop in ledger.drops():
        counts = drop.status.value in ("pending", "ingested")
        if counts and drop.key not in own and (drop.source, drop.batch) in batches:
            try:
                found.append(ledger.file(drop))
            except DropError:
                continue
    return found


def reopen(
    connection: sa.Connection,
    drop: "Drop",
    *,
    at: dt.datetime,
    why: str,
    left: bool,
    apart: Collection[str] = (),
    readable: Callable[[str], bool],
) -> list[str]:
    """Lets the drops of a batch be read anew whose lines another one may have decided on; returns their keys.

    Replays of such lines no longer count: the lines wait in the quarantine as they came.

    Args:
        connection: the caller's transaction.
        drop: the one that counts no longer, or counts now.
        at: when.
        why: in words, for the trail.
        left: it counts no longer: only drops of which lines were left out beside others can change.
        apart: drops that are left alone.
        readable: tells whether the bytes of a drop are there; one without stays as it was read.
    """
    beside_it = (table.c.batch == drop.batch) & (table.c.source == drop.source) & (table.c.status == "ingested")
    counting, keys = replays.standing(connection), []
    for row in list(connection.execute(sa.select(table).where(beside_it).order_by(table.c.key))):
        if row.key in {drop.key, *apart} or not readable(row.key):
            continue
        if spoiled := [replay.key for replay in counting.get(row.key, ()) if _decided(replay.reasons)]:
            replays.void(connection, row.key, at=at, why=why, only=spoiled)
        if _depends(row.profile) and (not left or _decided(row.reasons)):
            connection.execute(sa.update(table).where(table.c.key == row.key).values(NOT_READ | {"status": "pending"}))
            append(connection, Event.DROP_REOPENED, at=at, drop_key=row.key, reason=why, because=drop.key)
            keys.append(row.key)
    return keys


def _decided(reasons: Mapping[str, int] | None) -> bool:
    """Whether other drops may have decided on lines with these reasons."""
    return any((reasons or {}).get(reason) for reason in _OF_BATCH)


def _depends(profile: Mapping[str, Any]) -> bool:
    """Whether a line may be left out for what other drops say: `Rules.of_batch`, of a profile of any version."""
    rules = profile.get("rules", {})
    whole_order = (rules.get("excluded_status") or {}).get("whole_order")
    return bool(rules.get("duplicates") == "exclude" or rules.get("max_lines_per_order") or whole_order)
