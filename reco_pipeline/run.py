"""One run from the command line: register the given files, run the Dagster job in this process, say what came of it.

Belongs here: the order of these steps. Does not belong here: the steps themselves, or how the result is printed.
"""

import datetime as dt
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from reco.audit.trail import Event, append, recording
from reco.errors import ConfigError, DatabaseUnavailable, RecoError
from reco.orders.files import find_files
from reco.orders.home import Home, open_home
from reco.orders.inbox import open_inbox
from reco.orders.intake import unknown_files
from reco.orders.ledger import Drop, DropStatus, Registration
from reco.orders.profiles import SourceProfile, load_profile
from reco.settings import Settings
from reco.storage.homelock import home_lock
from reco_pipeline.pending import (
    LAUNCHER,
    NOT_REPEATED,
    Received,
    catalogue_ledger,
    fail_dead_runs,
    partition_range,
    receive,
    register_partitions,
    retire_sample,
    sample_in_use,
    split_pending,
    take_item_files,
    wait_for_automation,
    waiting_catalogues,
    waiting_drops,
    write_first_sample,
)
from reco_pipeline.production import require_ready
from reco_pipeline.summary import Published, RunSummary, catalogue_summaries, drop_summaries, reasons_of

log = structlog.get_logger(__name__)

if TYPE_CHECKING:
    import redis

INBOX_WAIT_SECONDS = 60.0
SAMPLE_GONE = "The generated sample was taken out: orders of the shop have come."
# What the UI finds the runs of a job by; a run that the UI itself launches gets it there.
REPOSITORY = {".dagster/repository": "__repository__@reco_pipeline"}


@dataclass(frozen=True)
class RunRequest:
    """What a person asked for.

    orders, catalogues: files, or folders of orders; the inbox where both are empty. source: a profile; None: the one of
    the folder or setting.
    """

    orders: tuple[Path, ...] = ()
    catalogues: tuple[Path, ...] = ()
    source: str | None = None
    force: bool = False


def run(settings: Settings, request: RunRequest) -> RunSummary:
    """Processes the drops asked for and publishes; a drop that cannot be used never stops the others.

    Raises:
        RecoError: see its tree; the served snapshot is then the one served before.
    """
    from reco.storage.redis import open_redis, worries

    require_ready(settings)
    started = time.perf_counter()
    now = dt.datetime.now(dt.UTC)
    given = _given_files(settings, request)
    # Before the lock: a step of the services' run may wait for it. A run that starts meanwhile waits in its steps.
    wait_for_automation(settings.home)
    # Redis comes first: with nobody to publish to, nothing should be half done. The lease on the embedded server lasts
    # as long as the run, or each step would start and stop it.
    with home_lock(settings.home), open_redis(settings, "loader") as client:
        for sentence in worries(settings, client):
            log.warning("redis_does_not_suit", reason=sentence)
        home = open_home(settings)
        home.lake.sweep()
        had_sample = sample_in_use(home)
        received = _take_given(home, request, given, now)
        registrations = received.orders
        listed = [*(one.drop for one in received.catalogues if one.drop), *waiting_catalogues(home)]
        note = SAMPLE_GONE if had_sample and not sample_in_use(home) else ""
        pending, unusable = split_pending(home.ledger, waiting_drops(home.ledger), now)
        drops = [*pending, *unusable]
        try:
            outcome = _publish(home, client, pending, unusable, force=request.force)
        except RecoError as error:
            # What became of the drops is news too, also where nothing could be published.
            fresh = home.ledger.drops(keys=[drop.key for drop in drops])
            summaries = drop_summaries(registrations, fresh)
            error.details.setdefault("drops", [asdict(one) for one in summaries])
            error.details.setdefault("reasons", reasons_of(fresh))
            raise
        outcome.seconds["total"] = round(time.perf_counter() - started, 3)
        summary = _summarise(home, client, registrations, drops, replace(outcome, note=note))
        fresh_catalogues = {one.key: one for one in catalogue_ledger(home).drops()}
        keys = dict.fromkeys(one.key for one in listed)
        return replace(
            summary, catalogues=catalogue_summaries(received.catalogues, [fresh_catalogues[key] for key in keys])
        )


def _publish(
    home: Home, client: "redis.Redis", pending: list[Drop], unusable: list[Drop], *, force: bool
) -> "_Outcome":
    """Runs what has to run: the waiting drops and all that follows, or only what follows, or nothing."""
    if pending:
        try:
            return _execute(home.settings, pending, unusable, force=force)
        except RecoError:
            # Where every drop turned out to be unusable there is nothing new, and perhaps still something to publish.
            after = home.ledger.drops(keys=[drop.key for drop in pending])
            if any(drop.status is not DropStatus.FAILED for drop in after):
                raise
    read = _Outcome()
    if waiting_catalogues(home):
        from reco_pipeline.jobs import read_catalogues

        read = _run_job(home.settings, read_catalogues.name, [], [])
    if _stale(home, client, force=force):
        return _execute(home.settings, [], unusable, force=force)
    return read


@dataclass(frozen=True)
class _Outcome:
    run_id: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    changed: bool = False
    note: str = ""


def _given_files(settings: Settings, request: RunRequest) -> list[tuple[Path, SourceProfile]]:
    profile = load_profile(request.source or settings.source)  # a wrong name stops here, before anything is taken in
    return [(path, profile) for given in request.orders for path in find_files(given)]


def _take_given(
    home: Home, request: RunRequest, given: Sequence[tuple[Path, SourceProfile]], now: dt.datetime
) -> Received:
    """The files given, else those of the inbox that are new or failed before, else a first sample."""
    if not request.orders and not request.catalogues:
        place = home.settings.inbox
        if isinstance(place, Path) and not place.is_dir():
            raise ConfigError(
                f"RECO_INBOX names {place}, which is not a folder.", hint="Make or correct it.", settings=["RECO_INBOX"]
            )
        inbox = open_inbox(home.settings)
        files = unknown_files(home, inbox, again=True)
        if files:
            return receive(home, inbox, files, now=now, source=request.source, wait_seconds=INBOX_WAIT_SECONDS)
        given = write_first_sample(home)
    named = take_item_files(home, [profile for _, profile in given], now=now)
    profile = load_profile(request.source or home.settings.source)
    catalogues = catalogue_ledger(home).register([(path, profile) for path in request.catalogues], now=now)
    if not given:
        return Received([], [*named, *catalogues])
    registrations = home.ledger.register(given, now=now, source_given=request.source is not None)
    retire_sample(home, now)
    return Received(registrations, [*named, *catalogues])


def _stale(home: Home, client: "redis.Redis", *, force: bool) -> bool:
    """Whether the served snapshot is not what drops, names, settings and code make, and nobody rolled back to it."""
    from reco.snapshot.release import served_state

    state = served_state(home, client)
    settled = state.current or state.rolled_back
    # With every drop taken out again there is still something to say: the gate refuses to serve nothing at all.
    anything = state.figures is not None or bool(home.ledger.drops(status=DropStatus.INGESTED))
    return (force or not settled) and anything


def _execute(settings: Settings, pending: list[Drop], unusable: list[Drop], *, force: bool) -> _Outcome:
    from reco_pipeline.jobs import drops_to_recommendations, rebuild_recommendations

    job = drops_to_recommendations if pending else rebuild_recommendations
    return _run_job(settings, job.name, pending, unusable, force=force)


def _run_job(
    settings: Settings, name: str, pending: list[Drop], unusable: list[Drop], *, force: bool = False
) -> _Outcome:
    from reco_pipeline.definitions import defs
    from reco_pipeline.instance import held_open, open_instance

    run_config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if force:
        run_config["ops"] = {"redis_snapshot": {"config": {"force": True}}}
    run_id = str(uuid.uuid4())
    with open_instance(settings.home) as instance, held_open(instance, run_id):
        fail_dead_runs(instance)
        register_partitions(instance, pending, unusable)
        with _failure_marked(settings, run_id, name), _plain_errors():
            result = defs.resolve_job_def(name).execute_in_process(
                instance=instance,
                run_config=run_config,
                run_id=run_id,
                tags=LAUNCHER | NOT_REPEATED | REPOSITORY | partition_range(pending),
            )
    seconds = {
        event.step_key: round(event.step_success_data.duration_ms / 1000, 3)
        for event in result.all_events
        if event.is_step_success and event.step_key
    }
    steps = {event.step_key for event in result.all_events if event.step_key}
    published = result.asset_materializations_for_node("redis_snapshot") if "redis_snapshot" in steps else []
    return _Outcome(result.run_id, seconds, any(bool(one.metadata["changed"].value) for one in published))


@contextmanager
def _failure_marked(settings: Settings, run_id: str, job: str) -> Iterator[None]:
    """Marks a failed run in the audit trail, also where no daemon is up whose sensor would."""
    try:
        yield
    except RecoError as error:
        with suppress(DatabaseUnavailable), recording(open_home(settings).ledger.engine) as connection:
            append(
                connection,
                Event.RUN_FAILED,
                at=dt.datetime.now(dt.UTC),
                run_id=run_id,
                job=job,
                reason=error.message,
                error_code=error.code,
            )
        raise


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Gives the error of ours that stopped a run, not Dagster's wrapping of it."""
    from dagster import DagsterExecutionInterruptedError

    try:
        yield
    except RecoError:
        raise
    except DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error
    except Exception as error:  # boundary: whatever stopped the run becomes one error with a next step
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, RecoError):
                raise cause from error
            cause = cause.__cause__
        raise RecoError(
            f"The run failed: {error}", hint="Its steps and logs are in the Dagster UI (`make dev`, page Runs)."
        ) from error


def _summarise(
    home: Home,
    client: "redis.Redis",
    registrations: Sequence[Registration],
    drops: Sequence[Drop],
    outcome: _Outcome,
) -> RunSummary:
    from reco.snapshot.release import served_state

    state = served_state(home, client)
    fresh = home.ledger.drops(keys=[drop.key for drop in drops])
    return RunSummary(
        run_id=outcome.run_id,
        published=state.current,
        changed=outcome.changed,
        drops=drop_summaries(registrations, fresh),
        snapshot=Published(**state.figures) if state.figures else Published(),
        reasons=reasons_of(fresh),
        seconds=outcome.seconds,
        note=" ".join(filter(None, (outcome.note, state.note))),
    )
