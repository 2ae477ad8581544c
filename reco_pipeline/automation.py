"""What automation does when it looks: take waiting files in, and say which run is wanted now, or why none is.

Belongs here: the decision, from the inbox, the ledger and the run records, the same for sensor and schedule. Does not
belong here: when they look, or their Dagster clothes (`reco_pipeline.sensors`, `reco_pipeline.schedules`).

Nothing is remembered between two looks but which unknown files were seen: what is wanted follows from what is there, so
that a lost look, a restart or a reset cursor changes nothing. See docs/decisions/0005-automation.md.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import dagster as dg

from assets.common import order_drops
from reco.errors import Busy, RecoError
from reco.orders.home import Home
from reco.orders.inbox import Inbox, InboxFile, open_inbox
from reco.orders.intake import fits_a_tick, look, settled_by_age, unknown_files
from reco.orders.ledger import Drop
from reco.snapshot.release import unpublished
from reco.storage.homelock import run_at_work
from reco_pipeline.attempts import FAILED, KIND, UNFINISHED, Failure, Patience, Wanted, Work
from reco_pipeline.jobs import drops_to_recommendations, read_catalogues, rebuild_recommendations, receive_drops
from reco_pipeline.pending import (
    fail_dead_runs,
    partition_range,
    receive,
    register_partitions,
    split_pending,
    waiting_catalogues,
    waiting_drops,
)

RECORDS = 100
MOST_NEW_PARTITIONS = 100


def decide(
    home: Home,
    instance: dg.DagsterInstance,
    seen_before: Mapping[str, str] | None,
    *,
    now: dt.datetime,
    stubborn: bool = False,
) -> Wanted:
    """Takes in what has held still and returns the run that is wanted.

    `seen_before`: what the last look saw, None where there was none and the age of a file must do. `stubborn`: also
    what failed too often to be tried again by itself, as the daily schedule does.

    Raises:
        InboxUnavailable, ObjectStoreUnavailable, ObjectStoreRefused: the inbox cannot be listed, and no run is wanted
            for anything else either.
    """
    trouble: RecoError | None = None
    seen: dict[str, str] = {}
    too_much: list[str] = []
    moving = 0
    try:
        inbox = open_inbox(home.settings)
        files = unknown_files(home, inbox)
        before = settled_by_age(files, now) if seen_before is None else seen_before
        found = look(files, before, whole=inbox.whole)
        seen, moving = found.seen, found.moving
        too_much = _take(home, inbox, found.still, now)
    except Busy:  # a person's `reco run`, or the run of `receive_drops`, is taking files in: look again later
        seen = dict(seen_before or {})
    except RecoError as error:
        trouble = error
    wanted = _run(home, instance, too_much, Patience(instance, home.settings.run_attempts, stubborn, now))
    if trouble is not None and wanted.run is None:
        raise trouble
    why = f"{wanted.why} {moving} files may still be written to." if moving else wanted.why
    return Wanted(wanted.run, why, seen)


def _take(home: Home, inbox: Inbox, still: list[InboxFile], now: dt.datetime) -> list[str]:
    """Takes the files in that held still; names them where that is too much for a tick."""
    if not fits_a_tick(still, inbox):
        return [f"{file.place}:{file.mark}" for file in still]
    receive(home, inbox, still, now=now, wait_seconds=0)
    return []


def _run(home: Home, instance: dg.DagsterInstance, too_much: list[str], patience: Patience) -> Wanted:
    if run_at_work(home.settings.home):
        return Wanted(None, "A run from a command line is at work.")
    fail_dead_runs(instance)
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1)
    if unfinished:
        return Wanted(None, f"Run {unfinished[0].run_id[:8]} is at work.")
    failures = _failures(instance)
    many = too_much or _unregistered(home, instance)
    if many:
        work = Work(receive_drops.name, "files", _digest(many))
        wanted = patience.attempt(work, failures.of(work))
        if wanted.run is not None:
            return wanted
    return _process(home, instance, failures, patience)


def _unregistered(home: Home, instance: dg.DagsterInstance) -> list[str]:
    """The waiting drops, where there are many that are no partitions yet: making them takes longer than a tick may."""
    keys = [drop.key for drop in waiting_drops(home.ledger)]
    if len(keys) <= MOST_NEW_PARTITIONS:
        return []
    known = set(instance.get_dynamic_partitions(order_drops.name or ""))
    return keys if len(set(keys) - known) > MOST_NEW_PARTITIONS else []


def _process(home: Home, instance: dg.DagsterInstance, failures: "_Failures", patience: Patience) -> Wanted:
    """A run over the waiting drops; else one that publishes what was read but not published."""
    waiting = waiting_drops(home.ledger)
    tried = {drop.key: failures.of_drop(drop) for drop in waiting}
    left = [drop for drop in waiting if not patience.spent(tried[drop.key])]
    before = max((tried[drop.key] for drop in left), key=len, default=[])
    early = patience.refusal(drops_to_recommendations.name, before) if left else None
    if early:
        return Wanted(None, early)
    pending, unusable = split_pending(home.ledger, left, patience.now)
    if pending or unusable:
        register_partitions(instance, pending, unusable)
    if pending:
        span = f"{pending[0].batch}-{pending[-1].batch}"
        work = Work(drops_to_recommendations.name, "drops", span, _digest(d.key for d in pending))
        return patience.attempt(work, before, partition_range(pending))
    rest_wanted = _rest(home, failures, patience)
    if rest_wanted is not None:
        return rest_wanted
    if len(waiting) > len(left):
        given_up = len(waiting) - len(left)
        return Wanted(None, f"{given_up} drops failed {patience.attempts} times: see the runs, then `reco run`.")
    return Wanted(None, "Nothing is waiting.")


def _rest(home: Home, failures: "_Failures", patience: Patience) -> Wanted | None:
    """A run over the waiting catalogues; else one that publishes what was read; None where neither waits."""
    if listed := waiting_catalogues(home):
        work = Work(read_catalogues.name, "catalogues", _digest(one.key for one in listed))
        wanted = patience.attempt(work, failures.of(work))
        if wanted.run is not None:
            return wanted
    rest = unpublished(home)
    if rest is not None and rest.refused:
        return Wanted(None, "The gate refused what the drops make: `reco run --force` publishes it anyway.")
    if rest is not None:
        work = Work(rebuild_recommendations.name, "inputs", f"{rest.inputs[:16]}:{rest.since}")
        return patience.attempt(work, failures.of(work))
    return None


@dataclass(frozen=True)
class _Failures:
    """The newest failed runs of automation, newest first, from Dagster's own records."""

    all: list[Failure]

    def of(self, work: Work) -> list[Failure]:
        """The failures of the same work."""
        return [one for one in self.all if (one.kind, one.subject) == (work.kind, work.subject)]

    def of_drop(self, drop: Drop) -> list[Failure]:
        """The failures, since the drop came, of runs over a span of batches that holds its own."""
        came = int(drop.received_at.timestamp())  # Dagster keeps some of its times in whole seconds
        mine = [one for one in self.all if one.kind == "drops" and _holds(one.subject, drop.batch)]
        return [one for one in mine if one.ended_at >= came]


def _failures(instance: dg.DagsterInstance) -> _Failures:
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FAILED, tags={KIND: ["drops", "catalogues", "inputs", "files"]}), limit=RECORDS
    )
    return _Failures([Failure.of(record) for record in records])


def _holds(span: str, batch: int) -> bool:
    first, _, last = span.partition("-")
    return first.isdigit() and last.isdigit() and int(first) <= batch <= int(last)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
