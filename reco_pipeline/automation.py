"""What automation does when it looks: take waiting files in, and say which run is wanted now, or why none is.

Belongs here: the decision, from the inbox, the ledger and the run records, the same for sensor and schedule. Does not
belong here: when they look, or their Dagster clothes (`reco_pipeline.sensors`, `reco_pipeline.schedules`).

Nothing is remembered between two looks but which unknown files were seen: what is wanted follows from what is there, so
that a lost look, a restart or a reset cursor changes nothing. See docs/decisions/0005-automation.md.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from assets.common import order_drops
from reco.errors import Busy, RecoError
from reco.orders.home import Home
from reco.orders.inbox import Inbox, InboxFile, open_inbox
from reco.orders.intake import fits_a_tick, look, settled_by_age, unknown_files
from reco.orders.ledger import Drop
from reco.snapshot.release import unpublished
from reco.storage.homelock import run_at_work
from reco_pipeline.jobs import drops_to_recommendations, read_catalogues, rebuild_recommendations, receive_drops
from reco_pipeline.pending import (
    NOT_REPEATED,
    fail_dead_runs,
    partition_range,
    receive,
    register_partitions,
    split_pending,
    waiting_catalogues,
    waiting_drops,
)

KIND, SUBJECT, ATTEMPT = "reco/automation", "reco/subject", "reco/attempt"
FIRST_PAUSE_SECONDS = 15
PAUSE_FACTOR = 4
"""Before the second attempt 15 s, then four times as long each time: four attempts outlast five minutes."""

RECORDS = 100
MOST_NEW_PARTITIONS = 100
UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
FAILED = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Wanted:
    """What a look came to: at most one run, or the reason why there is none; and what it saw of unknown files."""

    run: dg.RunRequest | None
    why: str
    seen: dict[str, str] = field(default_factory=dict)


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
    wanted = _run(home, instance, too_much, _Patience(instance, home.settings.run_attempts, stubborn, now))
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


def _run(home: Home, instance: dg.DagsterInstance, too_much: list[str], patience: "_Patience") -> Wanted:
    if run_at_work(home.settings.home):
        return Wanted(None, "A run from a command line is at work.")
    fail_dead_runs(instance)
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED), limit=1)
    if unfinished:
        return Wanted(None, f"Run {unfinished[0].run_id[:8]} is at work.")
    failures = _failures(instance)
    many = too_much or _unregistered(home, instance)
    if many:
        work = _Work(receive_drops.name, "files", _digest(many))
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


def _process(home: Home, instance: dg.DagsterInstance, failures: "_Failures", patience: "_Patience") -> Wanted:
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
        work = _Work(drops_to_recommendations.name, "drops", span, _digest(d.key for d in pending))
        return patience.attempt(work, before, partition_range(pending))
    rest_wanted = _rest(home, failures, patience)
    if rest_wanted is not None:
        return rest_wanted
    if len(waiting) > len(left):
        given_up = len(waiting) - len(left)
        return Wanted(None, f"{given_up} drops failed {patience.attempts} times: see the runs, then `reco run`.")
    return Wanted(None, "Nothing is waiting.")


def _rest(home: Home, failures: "_Failures", patience: "_Patience") -> Wanted | None:
    """A run over the waiting catalogues; else one that publishes what was read; None where neither waits."""
    if listed := waiting_catalogues(home):
        work = _Work(read_catalogues.name, "catalogues", _digest(one.key for one in listed))
        wanted = patience.attempt(work, failures.of(work))
        if wanted.run is not None:
            return wanted
    rest = unpublished(home)
    if rest is not None and rest.refused:
        return Wanted(None, "The gate refused what the drops make: `reco run --force` publishes it anyway.")
    if rest is not None:
        work = _Work(rebuild_recommendations.name, "inputs", f"{rest.inputs[:16]}:{rest.since}")
        return patience.attempt(work, failures.of(work))
    return None


@dataclass(frozen=True)
class _Failure:
    kind: str
    subject: str
    ended_at: float


@dataclass(frozen=True)
class _Work:
    """What a run is for: `subject` is what its attempts are counted by, `content` what exactly it takes."""

    job: str
    kind: str
    subject: str
    content: str = ""


@dataclass(frozen=True)
class _Patience:
    """How often the same is tried, and when; a stubborn look asks neither."""

    instance: dg.DagsterInstance
    attempts: int
    stubborn: bool
    now: dt.datetime

    def spent(self, before: Sequence[_Failure]) -> bool:
        """Whether this was tried often enough."""
        return not self.stubborn and len(before) >= self.attempts

    def refusal(self, job: str, before: Sequence[_Failure]) -> str | None:
        """Why there is no further attempt now, if so."""
        if self.spent(before):
            return f"Job {job} failed {len(before)} times on this: see its runs, then `reco run`."
        if not before or self.stubborn:
            return None
        pause = FIRST_PAUSE_SECONDS * PAUSE_FACTOR ** (len(before) - 1)
        rest = before[0].ended_at + pause - self.now.timestamp()
        return f"Job {job} failed; attempt {len(before) + 1} is due in {rest:.0f} s." if rest > 0 else None

    def attempt(self, work: _Work, before: Sequence[_Failure], tags: Mapping[str, str] | None = None) -> Wanted:
        """The run of the next attempt, unless there were enough or its time has not come."""
        refusal = self.refusal(work.job, before)
        if refusal:
            return Wanted(None, refusal)
        number = str(len(before) + 1)
        tags = {KIND: work.kind, SUBJECT: work.subject, **NOT_REPEATED, **(tags or {})}
        # Dagster never starts a second run of one key, whatever became of the first. A key only keeps one request from
        # becoming two runs, so each counts the runs there were.
        runs = self.instance.get_runs_count(dg.RunsFilter(tags={KIND: work.kind, SUBJECT: work.subject}))
        request = dg.RunRequest(
            run_key=f"{work.kind}:{work.subject}:{work.content}:{runs + 1}",
            job_name=work.job,
            tags={**tags, ATTEMPT: number},
        )
        return Wanted(request, f"Attempt {number} of job {work.job}.")


@dataclass(frozen=True)
class _Failures:
    """The newest failed runs of automation, newest first, from Dagster's own records."""

    all: list[_Failure]

    def of(self, work: _Work) -> list[_Failure]:
        """The failures of the same work."""
        return [one for one in self.all if (one.kind, one.subject) == (work.kind, work.subject)]

    def of_drop(self, drop: Drop) -> list[_Failure]:
        """The failures, since the drop came, of runs over a span of batches that holds its own."""
        came = int(drop.received_at.timestamp())  # Dagster keeps some of its times in whole seconds
        mine = [one for one in self.all if one.kind == "drops" and _holds(one.subject, drop.batch)]
        return [one for one in mine if one.ended_at >= came]


def _failures(instance: dg.DagsterInstance) -> _Failures:
    records = instance.get_run_records(
        dg.RunsFilter(statuses=FAILED, tags={KIND: ["drops", "catalogues", "inputs", "files"]}), limit=RECORDS
    )
    return _Failures(
        [
            _Failure(
                record.dagster_run.tags[KIND],
                record.dagster_run.tags.get(SUBJECT, ""),
                record.end_time or record.update_timestamp.replace(tzinfo=dt.UTC).timestamp(),
            )
            for record in records
        ]
    )


def _holds(span: str, batch: int) -> bool:
    first, _, last = span.partition("-")
    return first.isdigit() and last.isdigit() and int(first) <= batch <= int(last)


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
