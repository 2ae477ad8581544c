"""Releasing the model of the lake: proof that the tables belong together, then the publish, then its record in SQL.

Belongs here: what must be true before anything is published, whoever asks for it. Does not belong here: the keys in
Redis (`reco.snapshot.publish`) or the gate's rules (`reco.snapshot.gate`).

A blocking asset check guards only the run it is part of, so a run of the publish alone would pass it by. Therefore the
release checks the ledger and the chain of tables itself.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import sqlalchemy as sa

from reco import __version__
from reco.alerts.tell import Alert, tell
from reco.audit.chain import chain_head
from reco.audit.trail import Event, append, events, recording
from reco.catalog.table import CATALOGUE
from reco.errors import GateRefused, SnapshotDamaged, SnapshotNotFound
from reco.model.choice import read_choice, scores_in_force
from reco.model.cooccurrence import read_kept
from reco.model.scores import AUTO
from reco.model.tables import ITEM_COOCCURRENCE, ITEM_STATS, SIMILAR_ITEMS, broken_links
from reco.orders.home import Home
from reco.orders.ledger import Drop, DropStatus
from reco.orders.orders import ORDERS, orders_extent
from reco.orders.profiles import SAMPLE
from reco.snapshot.garbage import published_sids
from reco.snapshot.gate import GatePolicy
from reco.snapshot.inputs import model_inputs
from reco.snapshot.keys import Keys
from reco.snapshot.marks import Made, figures, mark_validated, record_release, store_set
from reco.snapshot.order_book import SERVED_ORDERS, drop_orders, keep_orders
from reco.snapshot.publish import ManifestFacts, PublishResult, VerifyReport, publish, verify
from reco.snapshot.quality import quality_checks
from reco.snapshot.store import RollbackResult, SnapshotStore, stands
from reco.snapshot.unsearched import attempt_is_due, record_attempt
from reco.storage.lake import Lake
from reco.storage.sql import audit_events
from reco.storage.sql import snapshots as table

REDIS_SNAPSHOT = "redis_snapshot"


def release(
    home: Home, client: redis.Redis, *, run_id: str | None, now: dt.datetime, force: bool = False
) -> PublishResult:
    """Publishes what stands in the lake, or leaves the served snapshot as it is and says why.

    Raises:
        GateRefused: the lines of a drop do not add up, the tables do not belong together (`force` does not help in
            either case), or the gate's own rules refuse it.
        LakeError: a table cannot be read, or the orders of the snapshot not be kept; what was served is served still.
        SnapshotDamaged, RedisUnavailable, Busy: see `publish`.
    """
    settings, lake = home.settings, home.lake
    drops = home.ledger.drops(status=DropStatus.INGESTED)
    # Taken before anything else is looked at: what comes or goes meanwhile must make the next run see a difference.
    inputs = model_inputs(home)
    try:
        _require_whole(home)
        mark_validated(home, drops, run_id=run_id, now=now)
        result = publish(
            client,
            settings.namespace,
            lake.existing(ITEM_STATS),
            lake.existing(SIMILAR_ITEMS),
            facts=_facts(home, drops, run_id),
            gate=_policy(home, client),
            now=now,
            keep=settings.keep_snapshots,
            force=force,
            extra_checks=quality_checks(home, client),
            catalogue=_catalogue(lake),
            orders=lake.existing(ORDERS),
            # Before the pointer moves: a snapshot that is served has its orders, or nothing is published.
            before_switch=lambda snapshot_id: keep_orders(lake, lake.existing(ORDERS), snapshot_id),
        )
    except GateRefused as error:
        served = SnapshotStore(client, settings.namespace).current_id()
        details = {**error.details, "message": error.message, "inputs": model_inputs(home), "served": served}
        with recording(home.ledger.engine) as connection:
            append(connection, Event.GATE_REFUSED, at=now, run_id=run_id, drops=store_set(connection, drops), **details)
        tell(
            Alert(
                "gate_refused",
                f"the snapshot of run {run_id}; {served} is still served",
                error.message,
                error.hint,
                page=f"/runs/{run_id}",
            ),
            settings,
            now=now,
        )
        raise
    keep_orders(lake, lake.existing(ORDERS), result.snapshot_id)  # of one that was published before, if missing
    drop_orders(lake, {*published_sids(client, Keys(settings.namespace)), result.snapshot_id})
    manifest = SnapshotStore(client, settings.namespace).get(result.snapshot_id).manifest
    record_release(home, result, manifest, Made(inputs, drops, run_id, now))
    record_attempt(home.ledger.engine, settings.namespace, result.search_failures, now=now)
    return result


@dataclass(frozen=True)
class ServedState:
    """What is served, against what the lake and the ledger would give.

    current: the served snapshot is made of every ingested drop, and its orders are here; rolled_back: a person chose an
    older one since;
    figures: the counts of the served snapshot, None where nothing is served; note: a sentence where it needs one.
    """

    current: bool
    rolled_back: bool
    figures: dict[str, Any] | None
    note: str


def served_state(home: Home, client: redis.Redis) -> ServedState:
    """Compares the snapshot Redis serves with the newest inputs."""
    namespace = home.settings.namespace
    sid = SnapshotStore(client, namespace).current_id()
    newest = _newest(home)
    with home.ledger.engine.connect() as connection:
        served = connection.execute(sa.select(table).where(table.c.snapshot_id == sid)).one_or_none() if sid else None
    if newest is None or newest.inputs_digest != model_inputs(home):
        newest = None
    whole = sid is not None and stands(client, namespace, sid)
    newest_served = newest is not None and sid == newest.snapshot_id and whole
    current = newest_served and sid is not None and home.lake.path(SERVED_ORDERS, sid).is_file()
    last = events(home.ledger.engine, event=Event.ROLLED_BACK, limit=1)
    rolled_back = bool(
        newest and whole and not newest_served and last and last[0].id > newest.event_id and last[0].snapshot_id == sid
    )
    note = (
        f"Snapshot {sid} was chosen by a rollback; `reco run --force` publishes the newest again."
        if rolled_back
        else ""
    )
    names = ("snapshot_id", "orders", "items", "pairs", "redis_keys", "redis_bytes")
    return ServedState(current, rolled_back, {n: getattr(served, n) for n in names} if served else None, note)


@dataclass(frozen=True)
class Unpublished:
    """What a snapshot would be made of now, where the newest one was made of something else.

    since: the event of the newest publish in the trail, 0 before the first; refused: the gate has said no to just these
    inputs, so that asking again cannot help.
    """

    inputs: str
    since: int
    refused: bool


def unpublished(home: Home, now: dt.datetime | None = None) -> Unpublished | None:
    """Whether ingested drops wait to be published, without a look into Redis: automation asks this every few seconds.

    So do an item whose next attempt to be indexed is due, and a snapshot whose orders are gone from the lake (the API
    needs them), unless an earlier snapshot was chosen since.
    """
    newest, inputs = _newest(home), model_inputs(home)
    if not home.ledger.drops(status=DropStatus.INGESTED):
        return None
    if newest is not None and newest.inputs_digest == inputs and not _once_more(home, newest, now):
        return None
    last = events(home.ledger.engine, event=Event.GATE_REFUSED, limit=1)
    return Unpublished(
        inputs,
        newest.event_id if newest is not None else 0,
        bool(last) and last[0].details.get("inputs") == inputs,
    )


def _once_more(home: Home, newest: Any, now: dt.datetime | None) -> bool:
    """Whether what was published asks for another publish, although no order has changed."""
    kept = home.lake.path(SERVED_ORDERS, newest.snapshot_id).is_file()
    if kept and not attempt_is_due(home.ledger.engine, home.settings.namespace, now=now or dt.datetime.now(dt.UTC)):
        return False
    last = events(home.ledger.engine, event=Event.ROLLED_BACK, limit=1)
    return not last or bool(last[0].id < newest.event_id)


def _newest(home: Home) -> Any:
    """The snapshot of the last release, with the id of its event; None before the first.

    Last by the trail, whose ids only grow. A clock that was ahead once would else name the same one until it is passed.
    """
    kinds = (Event.SNAPSHOT_PUBLISHED.value, Event.SNAPSHOT_UNCHANGED.value)
    query = (
        sa.select(table, audit_events.c.id.label("event_id"))
        .join(audit_events, audit_events.c.snapshot_id == table.c.snapshot_id)
        .where(table.c.namespace == home.settings.namespace, audit_events.c.event.in_(kinds))
        .order_by(audit_events.c.id.desc())
        .limit(1)
    )
    with home.ledger.engine.connect() as connection:
        return connection.execute(query).one_or_none()


def verify_current(client: redis.Redis, namespace: str, lake: Lake) -> VerifyReport:
    """Reads every key of the current snapshot back and compares it with the lake.

    Raises:
        SnapshotNotFound: nothing is published.
    """
    sid = SnapshotStore(client, namespace).current_id()
    if sid is None:
        raise SnapshotNotFound("No snapshot is published.", hint="Materialize redis_snapshot first.")
    stats, similar = lake.existing(ITEM_STATS), lake.existing(SIMILAR_ITEMS)
    return verify(client, namespace, sid, stats, similar, catalogue=_catalogue(lake), orders=lake.existing(ORDERS))


def roll_back(engine: sa.Engine, store: SnapshotStore, to: str | None, *, now: dt.datetime) -> RollbackResult:
    """Serves an earlier snapshot (by default the one before) and says so in the trail.

    Raises:
        SnapshotNotFound: there is no such snapshot, or none before.
    """
    result = store.rollback(to, now=now)
    with recording(engine) as connection:
        append(
            connection,
            Event.ROLLED_BACK,
            at=now,
            snapshot_id=result.snapshot_id,
            before=result.previous_id,
            figures=figures(connection, result.snapshot_id),
            figures_before=figures(connection, result.previous_id),
        )
    return result


def _catalogue(lake: Lake) -> Path | None:
    path = lake.path(CATALOGUE)
    return path if path.is_file() else None


def _require_whole(home: Home) -> None:
    wrong = [one.message for one in home.ledger.imbalances()]
    if wrong:
        raise GateRefused(
            f"Not published: the lines of {len(wrong)} drops do not add up. {wrong[0]}.",
            hint="Read those drops again (materialize order_lines for them), then publish.",
            problems=wrong[:20],
        )
    broken = broken_links(home.ledger, home.lake, scores_in_force(home.lake, home.settings))
    if broken:
        raise GateRefused(
            f"Not published: the tables of the lake do not belong together: {'; '.join(broken)}.",
            hint="Run the job rebuild_recommendations (or `reco run`), which makes them all.",
            problems=broken,
        )


def _facts(home: Home, drops: list[Drop], run_id: str | None) -> ManifestFacts:
    lake = home.lake
    extent = orders_extent(lake.existing(ORDERS))
    return ManifestFacts(
        run_id=run_id,
        drops=tuple(sorted(drop.sha256 for drop in drops)),
        orders=extent.orders,
        pairs=read_kept(lake.existing(ITEM_COOCCURRENCE)).report.pairs,
        first_ordered_at=extent.first_ordered_at,
        last_ordered_at=extent.last_ordered_at,
        score_settings=scores_in_force(lake, home.settings).as_dict(),
        score_choice=read_choice(lake, home.settings).as_dict() if home.settings.score == AUTO else {},
        code_version=__version__,
        audit_head=chain_head(home.ledger.engine),
    )


def _policy(home: Home, client: redis.Redis) -> GatePolicy:
    """The limits of the settings; none against a snapshot of the generated sample, which says nothing of a shop."""
    settings = home.settings
    try:
        served = set(SnapshotStore(client, settings.namespace).current().manifest["drops"])
    except (SnapshotNotFound, SnapshotDamaged):
        served = set()
    if served and served <= {drop.sha256 for drop in home.ledger.drops() if drop.source == SAMPLE}:
        return GatePolicy(max_item_loss=1, max_order_loss=1, min_overlap=0)
    return GatePolicy(
        max_item_loss=settings.gate_max_item_loss,
        max_order_loss=settings.gate_max_order_loss,
        min_overlap=settings.gate_min_overlap,
    )
