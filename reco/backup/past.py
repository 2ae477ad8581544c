"""The state of an earlier moment, also of one at which no backup was made.

Belongs here: making a prepared backup that state. Does not belong here: which backup leads there
(`reco.backup.moments`), what the trail says of then (`reco.backup.told`), and putting it into place
(`reco.backup.switch`).

The lake keeps the bytes of every drop and the trail every step, so the first backup after a moment leads back to it:
drops get the state, batch and profile that the trail says they had, those read otherwise since are read again, the
tables are made anew, and the snapshot must come out with the digest the trail has for that moment. Drops that came
later are retracted rather than removed: their bytes stay, and the inbox does not bring them back.
"""

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import sqlalchemy as sa

from reco import __version__
from reco.audit.trail import AuditEvent
from reco.backup.contents import served_facts
from reco.backup.manifest import SETTINGS, SQL
from reco.backup.moments import Moment
from reco.backup.prepare import Prepared
from reco.backup.rebuild import rebuild
from reco.backup.redis_dump import dump, load, read_content
from reco.backup.told import DropThen, StateThen, publish_event, read_trail, state_after
from reco.catalog.ledger import CatalogueLedger
from reco.catalog.table import ingest_catalogues
from reco.errors import BackupDamaged
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
                made = publish_event(trail, state.served)
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


def _require_digest(digest: str, made: AuditEvent, moment: Moment) -> None:
    if digest != made.details.get("digest"):
        other = "" if moment.version == __version__ else f", or use reco {moment.version}, which made it"
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
