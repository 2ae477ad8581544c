"""Forgetting a customer: every copy of the identity in the home, in an order that a kill cannot spoil.

Belongs here: the plan, the journal that lets a killed run be taken up again, and the marks in the trail. Does not
belong here: rewriting a part (`reco.orders.redact`), or making the tables behind it again (`reco_pipeline.forgetting`).

The journal holds the customer's id while the work is going on, readable by the owner alone, and is gone afterwards.
"""

import datetime as dt
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reco.audit.trail import Event, append, events, recording
from reco.errors import Busy
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.home import Home
from reco.orders.ledger import REMOVED, Drop
from reco.orders.redact import (
    FORGOTTEN,
    Identity,
    composite_orders,
    count_rows,
    customer_in_orders,
    lines_without,
    others_without,
    replaced_without,
    rewrite,
)
from reco.orders.replaced import REPLACED_ORDERS
from reco.orders.replays import known_keys
from reco.storage.lake import file_digest, fsync_folder
from reco.storage.sql import inbox_files, replays

JOURNAL = "forgetting.json"


@dataclass(frozen=True)
class Plan:
    """What forgetting a customer touches.

    operation: names it in the trail; name: the random one that takes the id's place; source: only drops of this
    profile, None: of all; remove_raw: the files as they came go too; lines, others: rows by drop key; before: sha256
    of their parts.
    """

    operation: str
    customer: str
    name: str
    source: str | None
    remove_raw: bool
    lines: dict[str, int]
    others: dict[str, int]
    before: dict[str, dict[str, str]]

    @property
    def keys(self) -> list[str]:
        """The drops it touches, sorted."""
        return sorted(self.lines.keys() | self.others.keys())


@dataclass(frozen=True)
class Remaining:
    """Where the identity still stands afterwards, in words for the person who has to answer for it."""

    raw: tuple[str, ...]
    unread: tuple[str, ...]
    inbox: tuple[str, ...]

    def sentences(self) -> list[str]:
        """One a place."""
        said = []
        if self.raw:
            said.append(
                f"the files of {len(self.raw)} drops as they came, in the lake: `--raw remove` takes them out; they "
                "can then not be read again, also not with another profile"
            )
        if self.unread:
            said.append(f"perhaps {len(self.unread)} drops that were never read ({', '.join(self.unread[:5])})")
        if self.inbox:
            said.append(f"files of the inbox: {', '.join(self.inbox[:5])}; remove or mend them there")
        said.append("backups, exports of the quarantine and other copies made before, and the shop's own files")
        return said


def make_plan(home: Home, customer: str, *, source: str | None = None, remove_raw: bool = False) -> Plan:
    """What is to be done: found anew, or taken up where a killed run left it.

    Raises:
        Busy: another customer's removal was killed half way; it must be ended first.
    """
    begun = _read_journal(home)
    if begun is not None:
        if (begun.customer, begun.source) != (customer, source):
            raise Busy(
                "Forgetting another customer was begun and did not end.",
                hint=f"Run it again for that customer: the id is in {_journal(home)}, which goes away with it.",
            )
        return begun
    identity = Identity(customer, home.ledger.pseudonyms.of(customer), FORGOTTEN + secrets.token_hex(16))
    lines: dict[str, int] = {}
    others: dict[str, int] = {}
    for drop in home.ledger.drops():
        if source is None or drop.source == source:
            for part, table, change in _changes(home, drop, identity):
                found = lines if table == ORDER_LINES else others
                count = count_rows(home.lake, table, part, change)
                if count:
                    found[drop.key] = found.get(drop.key, 0) + count
    keys = lines.keys() | others.keys()
    before = {key: _digests(home, key) for key in keys}
    return Plan(secrets.token_hex(8), customer, identity.name, source, remove_raw, lines, others, before)


def remaining(home: Home, plan: Plan) -> Remaining:
    """Where the identity still stands once the plan is carried out."""
    read = [drop for drop in home.ledger.drops() if drop.key in plan.keys]
    unread = [
        drop.name
        for drop in home.ledger.drops()
        if drop.lines_read in (None, 0) and (plan.source is None or drop.source == plan.source)
    ]
    with home.ledger.engine.connect() as connection:
        query = sa.select(inbox_files.c.place).where(inbox_files.c.drop_key.in_(plan.keys))
        inbox = tuple(sorted(connection.scalars(query)))
    raw = () if plan.remove_raw else tuple(drop.name for drop in read)
    return Remaining(raw, tuple(unread), inbox)


def carry_out(home: Home, plan: Plan, *, now: dt.datetime, tick: Callable[[int], None] = lambda _done: None) -> None:
    """Rewrites the parts of every drop of a plan, marks each in the trail, and, where asked for, removes its bytes.

    Killed at any moment, calling it again with the plan that `make_plan` gives then ends the same way. Nothing may
    read or write the parts meanwhile: the caller holds the home's lock. `finish` must follow.

    Args:
        home: the shop.
        plan: what `make_plan` gave.
        now: for the trail.
        tick: is called with the number of drops that are done.
    """
    _write_journal(home, plan)
    identity = Identity(plan.customer, home.ledger.pseudonyms.of(plan.customer), plan.name)
    marked = {
        one.drop_key
        for one in events(home.ledger.engine, event=Event.DROP_REDACTED, limit=10**6)
        if one.details["operation"] == plan.operation
    }
    drops = home.ledger.drops(keys=plan.keys)
    # Before any line is rewritten: afterwards nobody could tell which orders these were.
    renamed = frozenset(
        order
        for drop in drops
        for part in _parts(home, drop)
        for order in composite_orders(home.lake, drop, part, identity)
    )
    for path in sorted(home.lake.path(REPLACED_ORDERS).parent.glob("*.parquet")) if renamed else ():
        rewrite(home.lake, REPLACED_ORDERS, path.stem, replaced_without(identity, renamed))
    for done, drop in enumerate(drops, start=1):
        for part, table, change in _changes(home, drop, identity):
            rewrite(home.lake, table, part, change)
        if plan.remove_raw:
            _remove_raw(home, drop)
        if drop.key not in marked:
            with recording(home.ledger.engine) as connection:
                for replay, digest in _replay_digests(home, drop):
                    connection.execute(sa.update(replays).where(replays.c.key == replay).values(lines_digest=digest))
                append(
                    connection,
                    Event.DROP_REDACTED,
                    at=now,
                    drop_key=drop.key,
                    operation=plan.operation,
                    lines=plan.lines.get(drop.key, 0),
                    others=plan.others.get(drop.key, 0),
                    files_before=plan.before[drop.key],
                    files=_digests(home, drop.key),
                    raw_removed=plan.remove_raw,
                )
        tick(done)


def finish(home: Home, plan: Plan, *, now: dt.datetime) -> None:
    """Says in the trail that the customer is forgotten, and removes the journal: the last copy of the id.

    The trail has a keyed hash of the id: who holds the key and knows the id can prove that it was forgotten, and nobody
    can get the id from it.
    """
    told = events(home.ledger.engine, event=Event.CUSTOMER_FORGOTTEN, limit=10**6)
    if not any(one.details["operation"] == plan.operation for one in told):
        with recording(home.ledger.engine) as connection:
            append(
                connection,
                Event.CUSTOMER_FORGOTTEN,
                at=now,
                operation=plan.operation,
                subject=home.ledger.pseudonyms.proof("forgotten", plan.customer),
                drops=len(plan.keys),
                lines=sum(plan.lines.values()),
                others=sum(plan.others.values()),
                raw_removed=plan.remove_raw,
            )
    _journal(home).unlink(missing_ok=True)


def _parts(home: Home, drop: Drop) -> tuple[str, ...]:
    """The parts that hold lines of a drop: its own, and those of its replays, void ones too."""
    return (drop.key, *known_keys(home.ledger.engine, drop.key))


def _replay_digests(home: Home, drop: Drop) -> list[tuple[str, str]]:
    """The sha256 of the accepted lines of each replay, as they are now."""
    paths = [(key, home.lake.path(ORDER_LINES, key)) for key in _parts(home, drop)[1:]]
    return [(key, file_digest(path)) for key, path in paths if path.is_file()]


def _changes(home: Home, drop: Drop, identity: Identity) -> list[tuple[str, str, Any]]:
    """What is done to the parts of a drop and of its replays: part, table and change."""
    lines = lines_without(identity, in_orders=customer_in_orders(drop))
    changes: list[tuple[str, str, Any]] = []
    for part in _parts(home, drop):
        changes += [(part, ORDER_LINES, lines), (part, QUARANTINED_LINES, others_without(identity, drop))]
        if part != drop.key and drop.encoding != "utf-8":  # a mended line is UTF-8, whatever its file is
            mended = replace(drop, encoding="utf-8")
            changes.append((part, QUARANTINED_LINES, others_without(identity, mended)))
    return changes


def _digests(home: Home, key: str) -> dict[str, str]:
    paths = {table: home.lake.path(table, key) for table in (ORDER_LINES, QUARANTINED_LINES)}
    return {table: file_digest(path) for table, path in paths.items() if path.is_file()}


def _remove_raw(home: Home, drop: Drop) -> None:
    """Removes the bytes of a drop; the mark stays, so that the same file given again does not bring them back."""
    folder = home.lake.raw_folder(drop.key)
    if not folder.is_dir():
        return
    (folder / REMOVED).touch()
    fsync_folder(folder)
    for path in folder.glob("[!.]*"):
        path.unlink()
    fsync_folder(folder)


def _journal(home: Home) -> Path:
    return home.settings.home / "keys" / JOURNAL


def _read_journal(home: Home) -> Plan | None:
    try:
        return Plan(**json.loads(_journal(home).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def _write_journal(home: Home, plan: Plan) -> None:
    path = _journal(home)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(asdict(plan), out)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)
    fsync_folder(path.parent)
