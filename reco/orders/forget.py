"""Forgetting a customer: every copy of the identity in the home, in an order that a kill cannot spoil.

Belongs here: making the plan, carrying it out, and the marks in the trail. Does not belong here: rewriting a part
(`reco.orders.redact`), the journal (`reco.orders.journal`), or making the tables behind it again
(`reco_pipeline.forgetting`).

Each step leaves a mark of its own once it is done, and is done again where its mark is missing: rewriting what is
rewritten, or removing what is gone, changes nothing.
"""

import datetime as dt
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from reco.audit.trail import Event, append, events, recording
from reco.errors import Busy, DropUnmapped, ProfileError
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.forgotten import name_of, subject_of
from reco.orders.headers import map_header
from reco.orders.home import Home
from reco.orders.journal import Plan, journal_of, read_journal, write_journal
from reco.orders.ledger import Drop
from reco.orders.order_ids import parts_of
from reco.orders.profiles import SourceProfile
from reco.orders.rawfiles import bytes_removed, remove_bytes
from reco.orders.redact import (
    Identity,
    Places,
    composite_orders,
    count_rows,
    holds_name,
    lines_without,
    order_name,
    others_without,
    places_of,
    replaced_without,
    rewrite,
)
from reco.orders.replaced import REPLACED_ORDERS
from reco.orders.replays import known_keys, known_profiles
from reco.storage.lake import file_digest
from reco.storage.sql import inbox_files, replays


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
                f"the files of {len(self.raw)} drops as they came, in the lake: `--raw remove` takes them out, now or "
                "later; they can then not be read again, also not with another profile"
            )
        if self.unread:
            said.append(f"perhaps {len(self.unread)} drops that were never read ({', '.join(self.unread[:5])})")
        if self.inbox:
            said.append(f"files of the inbox: {', '.join(self.inbox[:5])}; remove or mend them there")
        said.append("backups, exports of the quarantine and other copies made before, and the shop's own files")
        return said


def make_plan(home: Home, customer: str, *, source: str | None = None, remove_raw: bool = False) -> Plan:
    """What is to be done: found anew, or taken up where a killed run left it.

    `remove_raw` also takes out the files of drops in which the customer was forgotten before, and a plan that is taken
    up removes files where either the killed command or this one asks for it.

    Raises:
        Busy: the removal of another customer, or of this one from other drops, was killed half way; it must be ended
            first.
    """
    begun = read_journal(home.settings.home)
    if begun is not None:
        if (begun.customer, begun.source) != (customer, source):
            which = "another customer" if begun.customer != customer else "this customer with another --source"
            raise Busy(
                f"Forgetting {which} was begun and did not end.",
                hint=f"Run it again as it was: id and source are in {journal_of(home.settings.home)}, which goes away "
                "with it.",
            )
        if remove_raw and not begun.remove_raw:
            begun = replace(begun, remove_raw=True, raw=_with_bytes(home, begun.keys, customer, source))
        return begun
    identity = Identity(customer, home.ledger.pseudonyms.of(customer), name_of(home.ledger.pseudonyms, customer))
    lines: dict[str, int] = {}
    others: dict[str, int] = {}
    for drop in _drops(home, source):
        for part, table, change in _changes(home, drop, identity):
            found = lines if table == ORDER_LINES else others
            count = count_rows(home.lake, table, part, change)
            if count:
                found[drop.key] = found.get(drop.key, 0) + count
    keys = sorted(lines.keys() | others.keys())
    change = replaced_without(identity, _composite_orders(home, home.ledger.drops(keys=keys), identity))
    return Plan(
        secrets.token_hex(8),
        customer,
        identity.name,
        source,
        remove_raw,
        lines,
        others,
        before={key: _digests(home, key) for key in keys},
        raw=_with_bytes(home, keys, customer, source) if remove_raw else [],
        replaced={
            part: file_digest(home.lake.path(REPLACED_ORDERS, part))
            for part in _replaced_parts(home)
            if count_rows(home.lake, REPLACED_ORDERS, part, change)
        },
    )


def renamed_orders(home: Home, plan: Plan) -> Callable[[str, str], str | None]:
    """Of source and order id, the id that an order made of the customer's gets; None where it keeps its own.

    It looks at the id alone, so that it says the same before, while and after lines are rewritten, and of orders whose
    lines were forgotten, replaced or removed since.
    """
    places: dict[str, set[int]] = {}
    for drop in _drops(home, plan.source):
        found = {one.in_orders for one in _parts(home, drop).values()} - {None}
        places.setdefault(drop.source, set()).update(place for place in found if place is not None)
    own = (plan.customer, home.ledger.pseudonyms.of(plan.customer))

    def renamed(source: str, order_id: str) -> str | None:
        parts = parts_of(order_id)
        hit = any(place < len(parts) and parts[place] in own for place in places.get(source, ()))
        return order_name(plan.name, order_id) if hit else None

    return renamed


def remaining(home: Home, plan: Plan) -> Remaining:
    """Where the identity still stands once the plan is carried out."""
    named = sorted({*plan.keys, *_forgotten_before(home, plan.customer)})
    drops = _drops(home, plan.source)
    unread = tuple(drop.name for drop in drops if drop.lines_read in (None, 0))
    with home.ledger.engine.connect() as connection:
        query = sa.select(inbox_files.c.place).where(inbox_files.c.drop_key.in_(named))
        inbox = tuple(sorted(connection.scalars(query)))
    kept = [d.name for d in drops if d.key in named and d.key not in plan.raw and not bytes_removed(home.lake, d.key)]
    return Remaining(tuple(kept), unread, inbox)


def carry_out(home: Home, plan: Plan, *, now: dt.datetime, tick: Callable[[int], None] = lambda _done: None) -> None:
    """Rewrites the parts of every drop of a plan, removes the bytes it names, and marks each step in the trail.

    Killed at any moment, calling it again with the plan that `make_plan` gives then ends the same way. Nothing may
    read or write the parts meanwhile: the caller holds the home's lock. `finish` must follow.

    Args:
        home: the shop.
        plan: what `make_plan` gave.
        now: for the trail.
        tick: is called with the number of drops that are done.
    """
    write_journal(home.settings.home, plan)
    identity = Identity(plan.customer, home.ledger.pseudonyms.of(plan.customer), plan.name)
    _redact_replaced(home, plan, identity, now)
    drops = home.ledger.drops(keys={*plan.keys, *plan.raw})
    redacted = _marked(home, Event.DROP_REDACTED, plan)
    removed = _marked(home, Event.RAW_REMOVED, plan)
    for done, drop in enumerate(drops, start=1):
        if drop.key in plan.keys:
            for part, table, change in _changes(home, drop, identity):
                rewrite(home.lake, table, part, change)
            if drop.key not in redacted:
                _mark_redacted(home, plan, drop, now)
        if drop.key in plan.raw:
            remove_bytes(home.lake, drop.key)
            if drop.key not in removed:
                _mark(home, Event.RAW_REMOVED, plan, now, drop_key=drop.key, sha256=drop.sha256)
        tick(done)


def finish(home: Home, plan: Plan, *, now: dt.datetime) -> None:
    """Says in the trail that the customer is forgotten, and removes the journal: the last copy of the id.

    The trail has a keyed hash of the id: who holds the key and knows the id can prove that it was forgotten, and nobody
    can get the id from it.
    """
    told = events(home.ledger.engine, event=Event.CUSTOMER_FORGOTTEN, limit=None)
    if not any(one.details["operation"] == plan.operation for one in told):
        _mark(
            home,
            Event.CUSTOMER_FORGOTTEN,
            plan,
            now,
            subject=subject_of(home.ledger.pseudonyms, plan.customer),
            source=plan.source,
            drops=len(plan.keys),
            lines=sum(plan.lines.values()),
            others=sum(plan.others.values()),
            raw_removed=len(plan.raw),
        )
    journal_of(home.settings.home).unlink(missing_ok=True)


def _drops(home: Home, source: str | None) -> list[Drop]:
    return [drop for drop in home.ledger.drops() if source is None or drop.source == source]


def _forgotten_before(home: Home, customer: str) -> set[str]:
    """The drops in which the same customer was forgotten earlier, or nameless when they were read."""
    subject = subject_of(home.ledger.pseudonyms, customer)
    told = events(home.ledger.engine, event=Event.CUSTOMER_FORGOTTEN, limit=None)
    operations = {one.details["operation"] for one in told if one.details.get("subject") == subject}
    if not operations:
        return set()
    marks = events(home.ledger.engine, event=Event.DROP_REDACTED, limit=None)
    named = name_of(home.ledger.pseudonyms, customer)
    found = {one.drop_key for one in marks if one.drop_key and one.details["operation"] in operations}
    rest = [drop.key for drop in home.ledger.drops() if drop.key not in found]
    return found | {key for key in rest if holds_name(home.lake, key, named)}


def _with_bytes(home: Home, keys: list[str], customer: str, source: str | None) -> list[str]:
    """Of these drops, and those in which the customer was forgotten before, the ones whose bytes are still there."""
    wanted = {*keys, *_forgotten_before(home, customer)}
    drops = _drops(home, source)
    return sorted(drop.key for drop in drops if drop.key in wanted and not bytes_removed(home.lake, drop.key))


def _redact_replaced(home: Home, plan: Plan, identity: Identity, now: dt.datetime) -> None:
    """Renames orders in the lists of replaced ones; before any line is rewritten, which tells which orders these are.

    The trail has the sha256 of these files, so each that changes leaves its old and its new one.
    """
    marked = {
        one.details["part"]
        for one in events(home.ledger.engine, event=Event.REPLACED_REDACTED, limit=None)
        if one.details["operation"] == plan.operation
    }
    change = replaced_without(identity, _composite_orders(home, home.ledger.drops(keys=plan.keys), identity))
    for part in _replaced_parts(home):
        path = home.lake.path(REPLACED_ORDERS, part)
        before = plan.replaced.get(part) or file_digest(path)
        rewrite(home.lake, REPLACED_ORDERS, part, change)
        after = file_digest(path)
        if after != before and part not in marked:
            told = {"part": part, "sha256_before": before, "parts": {REPLACED_ORDERS: {part: after}}}
            _mark(home, Event.REPLACED_REDACTED, plan, now, **told)


def _replaced_parts(home: Home) -> list[str]:
    return sorted(path.stem for path in home.lake.path(REPLACED_ORDERS).parent.glob("*.parquet"))


def _composite_orders(home: Home, drops: list[Drop], identity: Identity) -> frozenset[str]:
    """The order ids made of the customer's, in all parts of these drops."""
    return frozenset(
        order
        for drop in drops
        for part, places in _parts(home, drop).items()
        for order in composite_orders(home.lake, part, identity, in_orders=places.in_orders)
    )


def _mark(home: Home, event: Event, plan: Plan, now: dt.datetime, **details: Any) -> None:
    with recording(home.ledger.engine) as connection:
        append(connection, event, at=now, operation=plan.operation, **details)


def _marked(home: Home, event: Event, plan: Plan) -> set[str | None]:
    """The drops that have this mark of the plan."""
    told = events(home.ledger.engine, event=event, limit=None)
    return {one.drop_key for one in told if one.details["operation"] == plan.operation}


def _mark_redacted(home: Home, plan: Plan, drop: Drop, now: dt.datetime) -> None:
    """The mark of a drop whose parts are rewritten, with the new digests of its replays."""
    parts: dict[str, dict[str, str]] = {ORDER_LINES: {}, QUARANTINED_LINES: {}}
    for key in known_keys(home.ledger.engine, drop.key):
        for table, digest in _digests(home, key).items():
            parts[table][key] = digest
    with recording(home.ledger.engine) as connection:
        for key, digest in parts[ORDER_LINES].items():
            connection.execute(sa.update(replays).where(replays.c.key == key).values(lines_digest=digest))
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
            parts=parts,
        )


def _parts(home: Home, drop: Drop) -> dict[str, Places]:
    """Where the parts of a drop name customers: its own, and those of its replays, void ones too."""
    header = drop.header or []
    found = {drop.key: places_of(header, drop.mapping or {})}
    for key, values in known_profiles(home.ledger.engine, drop.key).items():
        try:
            named = map_header(header, SourceProfile.from_json(values), drop.name).named(header)
        except (ProfileError, DropUnmapped):  # of a version that took what this one does not: as the drop was read
            named = drop.mapping or {}
        found[key] = places_of(header, named)
    return found


def _changes(home: Home, drop: Drop, identity: Identity) -> Iterator[tuple[str, str, Any]]:
    """What is done to the parts of a drop and of its replays: part, table and change."""
    parts = _parts(home, drop)
    everywhere = places_of((), {})
    for places in parts.values():
        everywhere |= places
    columns, dialect, encoding = len(drop.header or ()), drop.dialect or {}, drop.encoding or "utf-8"
    for part, places in parts.items():
        yield part, ORDER_LINES, lines_without(identity, in_orders=places.in_orders)
        # A mended line is UTF-8, whatever its file is.
        for code in dict.fromkeys((encoding,) if part == drop.key else (encoding, "utf-8")):
            change = others_without(identity, everywhere, columns=columns, dialect=dialect, encoding=code)
            yield part, QUARANTINED_LINES, change


def _digests(home: Home, key: str) -> dict[str, str]:
    paths = {table: home.lake.path(table, key) for table in (ORDER_LINES, QUARANTINED_LINES)}
    return {table: file_digest(path) for table, path in paths.items() if path.is_file()}
