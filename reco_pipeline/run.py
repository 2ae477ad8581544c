"""One run from the command line: register the given files, run the Dagster job in this process, say what came of it.

Belongs here: the order of these steps. Does not belong here: the steps themselves, or how the result is printed.
"""

import datetime as dt
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reco.errors import DropError, RecoError, UsageError
from reco.orders.dialect import probe
from reco.orders.home import Home, open_home
from reco.orders.ledger import Drop, DropLedger, DropStatus, Registration, find_files
from reco.orders.profiles import SourceProfile, builtin_profiles, load_profile
from reco.progress import report
from reco.settings import Settings
from reco.storage.homelock import home_lock
from reco.storage.lake import Lake
from reco_pipeline.summary import Published, RunSummary, drop_summaries, reasons_of

if TYPE_CHECKING:
    import redis
    from dagster import DagsterInstance

SAMPLE_ORDERS = 5_000
LAUNCHER = {"reco/launcher": "command-line"}


@dataclass(frozen=True)
class RunRequest:
    """What a person asked for: files or folders (none: the inbox), a source profile (none: by folder or setting)."""

    orders: tuple[Path, ...] = ()
    source: str | None = None
    force: bool = False


def run(settings: Settings, request: RunRequest) -> RunSummary:
    """Processes the drops asked for and publishes; a drop that cannot be used never stops the others.

    Raises:
        RecoError: see its tree; the served snapshot is then the one served before.
    """
    from reco.storage.redis import open_redis

    started = time.perf_counter()
    now = dt.datetime.now(dt.UTC)
    with home_lock(settings.home):
        given = _given_files(settings, request)
        # Redis comes first: with nobody to publish to, nothing should be half done. The lease on the embedded server
        # lasts as long as the run, or each step would start and stop it.
        with open_redis(settings) as client:
            home = open_home(settings)
            home.lake.sweep()
            given = given or _sample_on_first_run(home)
            _keep_names([profile for _, profile in given], home.lake)
            registrations = home.ledger.register(given, now=now) if given else []
            pending, unusable = _split_pending(home.ledger, now)
            outcome = _Outcome()
            if pending or _stale(home, client, force=request.force):
                outcome = _execute(settings, pending, unusable, force=request.force)
            outcome.seconds["total"] = round(time.perf_counter() - started, 3)
            return _summarise(home, client, registrations, [*pending, *unusable], outcome)


@dataclass(frozen=True)
class _Outcome:
    run_id: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    changed: bool = False


def _given_files(settings: Settings, request: RunRequest) -> list[tuple[Path, SourceProfile]]:
    fixed = load_profile(request.source) if request.source else None
    if request.orders:
        profile = fixed or load_profile(settings.source)
        return [(path, profile) for given in request.orders for path in find_files(given)]
    inbox = settings.inbox_folder
    if not inbox.is_dir():
        return []
    try:
        files = find_files(inbox)
    except UsageError:
        return []
    return [(path, fixed or profile_by_folder(path, inbox, settings.source)) for path in files]


def profile_by_folder(path: Path, inbox: Path, default: str) -> SourceProfile:
    """The profile of an inbox file: `inbox/<source>/file.csv` names it, else the default."""
    folder = path.relative_to(inbox).parts[0]
    return load_profile(folder if folder in builtin_profiles() else default)


def _sample_on_first_run(home: Home) -> list[tuple[Path, SourceProfile]]:
    """The generated sample, only where a local home has never seen a drop: real orders never mix with it."""
    if home.settings.profile != "local" or home.ledger.drops():
        return []
    from reco.orders.sample import write_sample

    path = home.settings.home / "sample" / f"sample-{SAMPLE_ORDERS}-orders.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sample(path, orders=SAMPLE_ORDERS, prototype=False)
    return [(path, load_profile("prototype"))]


def _keep_names(profiles: Sequence[SourceProfile], lake: Lake) -> None:
    if not any(profile.items for profile in profiles):
        return
    from reco.catalog.names import keep_item_names

    for profile in {profile.digest: profile for profile in profiles}.values():
        keep_item_names(profile, lake)


def _split_pending(ledger: DropLedger, now: dt.datetime) -> tuple[list[Drop], list[Drop]]:
    """The waiting drops that can be read, and those a first look shows to be unusable, which fail here."""
    waiting = ledger.drops(status=DropStatus.PENDING)
    unusable: list[Drop] = []
    for done, (drop, file) in enumerate(zip(waiting, ledger.files(waiting), strict=True), start=1):
        try:
            probe(file.path, file.profile)
        except DropError as error:
            ledger.fail(drop.key, error, now=now)
            unusable.append(drop)
        report("raw_orders", done, len(waiting))
    return [drop for drop in waiting if drop not in unusable], unusable


def _stale(home: Home, client: "redis.Redis", *, force: bool) -> bool:
    """Whether the served snapshot is not what drops, names, settings and code make, and nobody rolled back to it."""
    from reco.snapshot.release import served_state

    state = served_state(home, client)
    settled = state.current or state.rolled_back
    return (force or not settled) and bool(home.ledger.drops(status=DropStatus.INGESTED))


def _execute(settings: Settings, pending: list[Drop], unusable: list[Drop], *, force: bool) -> _Outcome:
    from reco_pipeline.definitions import defs
    from reco_pipeline.instance import held_open, open_instance
    from reco_pipeline.jobs import drops_to_recommendations, rebuild_recommendations

    job = drops_to_recommendations if pending else rebuild_recommendations
    run_config: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    if force:
        run_config["ops"] = {"redis_snapshot": {"config": {"force": True}}}
    run_id = str(uuid.uuid4())
    with open_instance(settings.home) as instance, held_open(instance, run_id):
        _fail_dead_runs(instance)
        _register_partitions(instance, pending, unusable)
        with _plain_errors():
            result = defs.resolve_job_def(job.name).execute_in_process(
                instance=instance,
                run_config=run_config,
                run_id=run_id,
                tags=LAUNCHER | _partition_range(pending),
            )
    seconds = {
        event.step_key: round(event.step_success_data.duration_ms / 1000, 3)
        for event in result.all_events
        if event.is_step_success and event.step_key
    }
    published = result.asset_materializations_for_node("redis_snapshot")[0]
    return _Outcome(result.run_id, seconds, bool(published.metadata["changed"].value))


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Gives the error of ours that stopped a run, not Dagster's wrapping of it."""
    try:
        yield
    except RecoError:
        raise
    except Exception as error:  # boundary: whatever stopped the run becomes one error with a next step
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, RecoError):
                raise cause from error
            cause = cause.__cause__
        raise RecoError(
            f"The run failed: {error}", hint="Its steps and logs are in the Dagster UI (`reco dev`, page Runs)."
        ) from error


def _partition_range(pending: list[Drop]) -> dict[str, str]:
    if not pending:
        return {}
    if len(pending) == 1:
        return {"dagster/partition": pending[0].key}
    return {
        "dagster/asset_partition_range_start": pending[0].key,
        "dagster/asset_partition_range_end": pending[-1].key,
    }


def _register_partitions(instance: "DagsterInstance", pending: list[Drop], unusable: list[Drop]) -> None:
    """Makes each drop a partition, the readable ones last and side by side: a run takes one unbroken range of them.

    A waiting drop has no result yet, so that removing its key and adding it again loses nothing.
    """
    import dagster as dg

    from assets.common import order_drops

    name = order_drops.name
    known = set(instance.get_dynamic_partitions(name or ""))
    for drop in (*unusable, *pending):
        if drop.key in known:
            instance.delete_dynamic_partition(name or "", drop.key)
    instance.add_dynamic_partitions(name or "", [drop.key for drop in (*unusable, *pending)])
    for drop in (*unusable, *pending):
        if drop.key not in known:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    "raw_orders",
                    partition=drop.key,
                    metadata={"name": drop.name, "source": drop.source, "size_bytes": drop.size_bytes},
                    tags={"dagster/data_version": drop.sha256},
                )
            )


def _fail_dead_runs(instance: "DagsterInstance") -> None:
    """Closes the runs of command lines that were killed: this one holds the lock of the home, so no other is alive."""
    from dagster import DagsterRunStatus, RunsFilter

    alive = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.NOT_STARTED]
    for dead in instance.get_runs(RunsFilter(statuses=alive, tags=LAUNCHER)):
        instance.report_run_failed(dead, "The process of this run was killed; a later run took its drops over.")


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
        note=state.note,
    )
