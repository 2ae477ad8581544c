"""The state of an earlier moment, also of one at which no backup was made.

Belongs here: which backup leads to a moment, what the trail says of the ledger then, and making a prepared backup that
state. Does not belong here: putting it into place (`reco.backup.switch`).

The lake keeps the bytes of every drop and the trail every step, so the first backup after a moment leads back to it:
drops get the state, batch and profile that the trail says they had, those read otherwise since are read again, the
tables are made anew, and the snapshot must come out with the digest the trail has for that moment. Drops that came
later are retracted rather than removed: their bytes stay, and the inbox does not bring them back.
"""

import datetime as dt
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import sqlalchemy as sa

from reco import __version__
from reco.audit.trail import AuditEvent, Event
from reco.backup.contents import served_facts
from reco.backup.manifest import SETTINGS, SQL, Manifest
from reco.backup.prepare import Prepared, fetch_entry
from reco.backup.rebuild import rebuild
from reco.backup.redis_dump import dump, load, read_content
from reco.backup.sql_dump import rows_of
from reco.backup.vault import Vault
from reco.catalog.ledger import CatalogueLedger
from reco.catalog.table import ingest_catalogues
from reco.errors import BackupDamaged, BackupNotFound
from reco.model.scores import ScoreSettings
from reco.orders.company import NOT_READ
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.forgotten import FORGOTTEN
from reco.orders.home import Home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropLedger, DropStatus
from reco.orders.pseudonyms import Pseudonyms
from reco.orders.redact import holds_name
from reco.progress import stage
from reco.settings import Settings
from reco.snapshot.keys import Keys
from reco.snapshot.release import release
from reco.storage.lake import Lake, file_digest
from reco.storage.redis import open_redis
from reco.storage.sql import LINE_COUNTS, catalogue_drops, drops, open_database, replayed_lines, replays

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
class Moment:
    """A moment and the backup that leads to it. event_id: the last event of then; None: the backup is that state."""

    at: dt.datetime
    base: Manifest
    event_id: int | None


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


def find_moment(vault: Vault, at: dt.datetime) -> Moment:
    """The backup that leads to a moment, by its trail: the first one made after it.

    One made before the moment is not used, also where nothing had changed in between: it does not know the drops that
    came later, which the inbox would bring back, nor the trail since.

    Raises:
        BackupNotFound: the moment is after the newest backup, before anything had happened, or of a state that a
            restore of an older backup put an end to before another backup was made.
        BackupKeyWrong, BackupDamaged: the trail cannot be read.
    """
    good = _in_time([one.manifest for one in vault.list() if one.manifest is not None and one.manifest.good])
    if not good:
        vault.newest_good()
    if good[-1].created_at < at:
        newest = good[-1]
        raise BackupNotFound(
            f"No backup was made after {at.isoformat()}: the newest is of {newest.created_at.isoformat()}.",
            hint=f"Restore that one (`--id {newest.backup_id}`); what came after it is in the home that was lost.",
        )
    # What was forgotten by the newest trail is in every backup whose own trail ends before that.
    known = _trail_of(vault, good[-1])
    forgotten = max((one.id for one in known if one.event in FORGETTING), default=0)
    heads = {one.hash: one.id for one in known}
    clean = [one for one in good if not forgotten or heads.get(_head(one), 0) >= forgotten]
    later = next((one for one in clean if one.created_at >= at), good[-1])
    trail = known if later is good[-1] else _trail_of(vault, later)
    past = [one for one in trail if one.at <= at]
    _require_told(trail, next((one for one in reversed(good) if one.created_at < at), None), later, at)
    if not past:
        raise BackupNotFound(
            f"Nothing had happened by {at.isoformat()}.", hint="Give a later time; `reco audit trail` has them all."
        )
    last = past[-1].id
    changed = any(one.id > last and one.event in CHANGES for one in trail)
    return Moment(at, later, last if changed else None)


def _require_told(trail: Sequence[AuditEvent], earlier: Manifest | None, later: Manifest, at: dt.datetime) -> None:
    """Refuses a moment of a state that is not in the trail that would lead to it: it went with a restore since."""
    if earlier is None or not _head(earlier):
        return
    returned = any(one.event is Event.HOME_RESTORED and earlier.created_at <= one.at <= at for one in trail)
    if not returned and _head(earlier) not in {one.hash for one in trail}:
        raise BackupNotFound(
            f"No backup leads to {at.isoformat()}: the trail of the next one, {later.backup_id}, does not hold what "
            f"{earlier.backup_id} of {earlier.created_at.isoformat()} does, since an older one was restored later.",
            hint=f"Restore that one (`--id {earlier.backup_id}`), or give a time no later than it.",
            backup_id=earlier.backup_id,
        )


def _head(manifest: Manifest) -> str:
    return str(manifest.facts["sql"]["audit_head"])


def _trail_of(vault: Vault, manifest: Manifest) -> list[AuditEvent]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch_entry(vault, manifest.entry(SQL), folder / "sealed", folder / SQL, vault.keys.require_identities())
        return read_trail(folder / SQL)


def _in_time(backups: Sequence[Manifest]) -> list[Manifest]:
    """The backups, in the order they were made, without those that a clock that was ahead dated after a later one."""
    return [one for i, one in enumerate(backups) if all(one.created_at <= later.created_at for later in backups[i:])]


def read_trail(path: Path) -> list[AuditEvent]:
    """The audit trail in a dump of SQL, oldest first."""
    found = []
    for row in rows_of(path, "audit_events"):
        row.pop("previous_hash")
        row |= {"at": dt.datetime.fromisoformat(row["at"]), "event": Event(row["event"])}
        found.append(AuditEvent(**row))
    return sorted(found, key=lambda one: one.id)


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


def rewind(prepared: Prepared, moment: Moment, settings: Settings, *, now: dt.datetime) -> Prepared:
    """Makes a prepared backup the state of a moment before it was made.

    Raises:
        BackupDamaged: what comes out is not what the trail says was served then; nothing was changed outside of it.
    """
    assert moment.event_id is not None
    told = json.loads((prepared.folder / SETTINGS).read_text(encoding="utf-8"))
    scores = {
        name: value for name, value in told.items() if name.startswith("score") and name in type(settings).model_fields
    }
    here = {"home": prepared.folder, "redis_url": None, "database_url": None, "profile": "local"}
    own = settings.model_copy(update=scores | here)
    engine = open_database(own.sql_url)
    home = Home(own, Lake(prepared.lake), DropLedger(engine, Lake(prepared.lake), Pseudonyms.of_home(own)))
    try:
        trail = read_trail(prepared.folder / SQL)
        state = state_after(trail, moment.event_id)
        with stage("rewind"), open_redis(own) as client:  # a server of its own, in the folder
            load(client, read_content(prepared.redis, own.namespace), int(now.timestamp() * 1000))
            if state.served is not None:
                made = _publish_event(trail, state.served)
                _apply(home, trail, state_after(trail, made.id), now=now)
                then = made.details.get("score_settings")
                rebuild(home, now=now, scores=ScoreSettings.from_dict(then) if then else None)
                result = release(home, client, run_id=None, now=now, force=True)
                _require_digest(result.digest, made, moment)
            _apply(home, trail, state, now=now)
            facts = dump(client, Keys(own.namespace), prepared.redis)
            served = served_facts(client, own.namespace)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
    finally:
        engine.dispose()
    facts_then = {**prepared.manifest.facts, "redis": facts.as_dict(), "served": served}
    return replace(prepared, manifest=replace(prepared.manifest, facts=facts_then))


def _publish_event(trail: Sequence[AuditEvent], served: AuditEvent) -> AuditEvent:
    """The publish that made what was served: of a rollback, that of the snapshot it went back to."""
    if served.event is not Event.ROLLED_BACK:
        return served
    made = [one for one in trail if one.event in _PUBLISHES and one.snapshot_id == served.snapshot_id]
    return next((one for one in reversed(made) if one.id < served.id), served)


def _require_digest(digest: str, made: AuditEvent, moment: Moment) -> None:
    if digest != made.details.get("digest"):
        version = str(moment.base.facts["code_version"])
        other = "" if version == __version__ else f", or use reco {version}, of which that backup is"
        raise BackupDamaged(
            f"The snapshot of {moment.at.isoformat()} does not come out as it was: its digest is {digest[:12]}, the "
            f"trail says {str(made.details.get('digest'))[:12]}.",
            hint=f"Restore a whole backup instead, such as `--id {moment.base.backup_id}`{other}.",
            entry="snapshot",
            reason="made anew it is another one",
        )


def _apply(home: Home, trail: Sequence[AuditEvent], state: StateThen, *, now: dt.datetime) -> None:
    """Gives every drop, catalogue and replay the state it had; reads again what was read otherwise since."""
    newest = state_after(trail, trail[-1].id)
    again: list[str] = []
    with home.ledger.engine.begin() as connection:
        for table, then, last in (
            (drops, state.drops, newest.drops),
            (catalogue_drops, state.catalogues, newest.catalogues),
        ):
            ranks = {key: number for number, key in enumerate(sorted(then, key=lambda one: then[one].place), 1)}
            for row in connection.execute(sa.select(table.c.key, table.c.profile)).all():
                one = then.get(row.key)
                values = _values(one, row.profile, last.get(row.key), ranks.get(row.key))
                connection.execute(sa.update(table).where(table.c.key == row.key).values(values))
                read = one is not None and one.read and one.status is not DropStatus.PENDING
                if table is drops and read and values["status"] == DropStatus.PENDING.value:
                    again.append(row.key)
    _apply_replays(home, state.replays, now)
    ingest(home.ledger, again, now=now, run_id=None)
    ingest_catalogues(CatalogueLedger(home.ledger.engine, home.lake), now=now, run_id=None)
    _retract_again(home, state)
    _require_parts(home, state, again)


def _values(one: DropThen | None, profile: Any, last: DropThen | None, rank: int | None) -> dict[str, Any]:
    """What of a drop's row has to be another to be that of then."""
    if one is None:
        return {"status": DropStatus.RETRACTED.value}
    values: dict[str, Any] = {"status": one.status.value, "batch": one.seen.details.get("batch", rank)}
    same = last is not None and (last.seen.id, last.read) == (one.seen.id, one.read)
    if not same:
        told = one.seen.details.get("profile", profile)
        values |= NOT_READ | {"profile": told, "source": told["name"], "status": DropStatus.PENDING.value}
    return values


def _retract_again(home: Home, state: StateThen) -> None:
    """Those that were read again only so that their lines are there."""
    with home.ledger.engine.begin() as connection:
        for table, then in ((drops, state.drops), (catalogue_drops, state.catalogues)):
            out = [key for key, one in then.items() if one.status is DropStatus.RETRACTED]
            connection.execute(sa.update(table).where(table.c.key.in_(out)).values(status=DropStatus.RETRACTED.value))


def _require_parts(home: Home, state: StateThen, again: Sequence[str]) -> None:
    """Drops that were read again must have the parts of then; where a forgotten customer was in them, the counts."""
    for drop in home.ledger.drops(keys=again):
        read = state.drops[drop.key].read
        told = read.details if read else {}
        differ = [name for name, digest in told.get("files", {}).items() if _digest_of(home, name, drop.key) != digest]
        counts = {name: getattr(drop, name) for name in (*LINE_COUNTS, "reasons")}
        if differ and not (
            holds_name(home.lake, drop.key, FORGOTTEN) and all(told.get(name) == counts[name] for name in counts)
        ):
            raise BackupDamaged(
                f"Drop {drop.key} was read otherwise since, and read again it does not give the {differ[0]} of then.",
                hint="Restore a whole backup instead (`reco backup list`), or another time.",
                entry=drop.key,
                reason="made anew it is another one",
            )


def _digest_of(home: Home, table: str, key: str) -> str | None:
    path = home.lake.path(table, key)
    return file_digest(path) if path.is_file() else None


def _apply_replays(home: Home, active: set[str], now: dt.datetime) -> None:
    with home.ledger.engine.begin() as connection:
        rows = connection.execute(sa.select(replays.c.key, replays.c.drop_key, replays.c.voided_at)).all()
        for row in rows:
            if row.key in active and row.voided_at is not None:
                connection.execute(
                    sa.update(replays).where(replays.c.key == row.key).values(voided_at=None, voided_why=None)
                )
                lines = [{"drop_key": row.drop_key, "line": n, "replay_key": row.key} for n in _settled(home, row.key)]
                connection.execute(sa.insert(replayed_lines), lines)
            elif row.key not in active and row.voided_at is None:
                why = "the home was restored to a time before it"
                connection.execute(
                    sa.update(replays).where(replays.c.key == row.key).values(voided_at=now, voided_why=why)
                )
                connection.execute(sa.delete(replayed_lines).where(replayed_lines.c.replay_key == row.key))


def _settled(home: Home, key: str) -> list[int]:
    """The lines a replay took out of the quarantine: those it accepted and those it excluded."""
    accepted = pl.read_parquet(home.lake.existing(ORDER_LINES, key), columns=["line"])["line"].to_list()
    others = pl.read_parquet(home.lake.existing(QUARANTINED_LINES, key), columns=["line", "disposition"])
    return [*accepted, *others.filter(pl.col("disposition") == "excluded")["line"].to_list()]
