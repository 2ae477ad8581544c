"""The removal of everything whose time is over, for the command and for the job.

Belongs here: the order of it all, and Dagster's runs. Does not belong here: what the library keeps (`reco.cleanup`).

A run is kept while anything refers to it: it made the newest state of an asset or of one of its partitions, it has the
newest execution of a check, it is the newest of its job, or it has not ended. Without that, the UI would show drops as
never read once their run is gone. Ticks are removed by Dagster itself, after as many days (`dagster.yaml`).
"""

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reco import cleanup
from reco.cleanup import Removed
from reco.errors import RecoError
from reco.orders.home import Home
from reco.storage.homelock import home_lock

if TYPE_CHECKING:
    import dagster as dg
    import redis

    from reco.settings import Settings

PATIENCE_SECONDS = 60
RUNS_AT_ONCE = 500


def clean(
    home: Home,
    instance: "dg.DagsterInstance",
    client: "Callable[[], AbstractContextManager[redis.Redis]] | None" = None,
    *,
    now: dt.datetime,
    dry_run: bool,
) -> list[Removed]:
    """Everything but backups, one kind after the other; what cannot be done now is told in its place and ends nothing.

    Args:
        home: the shop.
        instance: its Dagster instance.
        client: opens its Redis for the length of a block; None leaves the snapshots out.
        now: the present time.
        dry_run: only say what would go.
    """
    settings = home.settings

    def of_snapshots() -> Removed:
        assert client is not None
        with client() as opened:
            return cleanup.snapshots(home, opened, dry_run=dry_run)

    def under_lock(remove: Callable[..., Removed]) -> Removed:
        with _locked(home):
            return remove(home, now=now, dry_run=dry_run)

    steps: list[tuple[str, Callable[[], Removed]]] = [
        ("quarantined text", lambda: under_lock(cleanup.quarantined_text)),
        ("parts of the lake", lambda: under_lock(cleanup.unreferenced_parts)),
        ("scratch files", lambda: under_lock(cleanup.scratch)),
        ("logs", lambda: cleanup.logs(settings, dry_run=dry_run)),
        ("runs", lambda: old_runs(instance, settings, now=now, dry_run=dry_run)),
    ]
    if client is not None:
        steps.append(("snapshots", of_snapshots))
    return [_done(kind, step) for kind, step in steps]


def old_runs(instance: "dg.DagsterInstance", settings: "Settings", *, now: dt.datetime, dry_run: bool) -> Removed:
    """Dagster's runs that ended long ago and that nothing refers to, with their events."""
    import dagster as dg

    before = now - dt.timedelta(days=settings.keep_run_days)
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    wanted = dg.RunsFilter(statuses=ended, created_before=before)
    kept = _referred_to(instance) if instance.get_runs(wanted, limit=1) else set()
    gone: list[str] = []
    cursor: str | None = None
    while found := instance.get_runs(wanted, cursor=cursor, limit=RUNS_AT_ONCE):
        cursor = found[-1].run_id
        gone += [run.run_id for run in found if run.run_id not in kept]
    files = [path for run_id in gone for path in _files_of(instance, run_id)]
    size = sum(path.stat().st_size for path in files)
    if not dry_run:
        for run_id in gone:
            instance.delete_run(run_id)
            for path in _files_of(instance, run_id):  # SQLite keeps the emptied database of each run
                path.unlink(missing_ok=True)
    rule = f"RECO_KEEP_RUN_DAYS: {settings.keep_run_days} days, and what the newest state refers to"
    return Removed("runs", rule, len(gone), len(files), size)


def old_backups(settings: "Settings", *, now: dt.datetime, dry_run: bool) -> list[Removed]:
    """Backups that retention lets go, and old objects of none, in each bucket there is, as far as it comes."""
    from reco.backup.prune_buckets import prune_buckets

    if settings.s3_bucket is None and settings.profile != "production" and not (settings.home / "s3" / "data").exists():
        return []
    buckets = prune_buckets(settings, now=now, dry_run=dry_run)

    def of(kind: str) -> Removed:
        found = next(buckets)
        kept = f"RECO_BACKUP_KEEP_*: {len(found.plan.keep)} backups"
        return Removed(kind, kept, len(found.plan.remove), found.objects, found.size_bytes + found.version_bytes)

    done = [_done("backups", partial(of, "backups"))]
    if settings.s3_replica_bucket is not None:
        kind = "backups in the second bucket"
        if done[0].problem:
            done.append(Removed(kind, "", problem="left as it is, since the first bucket could not be pruned"))
        else:
            done.append(_done(kind, partial(of, kind)))
    return done


def _referred_to(instance: "dg.DagsterInstance") -> set[str]:
    import dagster as dg

    events, kept = instance.event_log_storage, set()
    for key in instance.all_asset_keys():
        newest = instance.get_latest_materialization_event(key)
        kept |= {newest.run_id} if newest is not None else set()
        by_partition = events.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
        ids = sorted(by_partition.values())
        for start in range(0, len(ids), RUNS_AT_ONCE):
            chosen = dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[start : start + RUNS_AT_ONCE])
            kept |= {one.run_id for one in instance.fetch_materializations(chosen, limit=RUNS_AT_ONCE).records}
    for check in _checks():
        record = instance.get_latest_asset_check_evaluation_record(check)
        kept |= {record.run_id} if record is not None else set()
    newest_of: dict[str, str] = {}
    cursor: str | None = None
    while found := instance.get_runs(cursor=cursor, limit=RUNS_AT_ONCE):  # newest first
        cursor = found[-1].run_id
        for run in found:
            newest_of.setdefault(run.job_name, run.run_id)
    return kept | set(newest_of.values())


def _checks() -> Iterator["dg.AssetCheckKey"]:
    import dagster as dg

    from reco.audit.catalogue import CATALOGUE

    for one in CATALOGUE:
        yield dg.AssetCheckKey(dg.AssetKey(one.asset), one.name)


def _files_of(instance: "dg.DagsterInstance", run_id: str) -> list[Path]:
    """The database of one run, where each has its own."""
    folder = Path(instance.root_directory) / "history" / "runs"
    return [path for end in ("", "-wal", "-shm") if (path := folder / f"{run_id}.db{end}").is_file()]


def _done(kind: str, step: Callable[[], Removed]) -> Removed:
    try:
        return step()
    except RecoError as error:
        return Removed(kind, "", problem=str(error))


@contextmanager
def _locked(home: Home) -> Iterator[None]:
    with home_lock(home.settings.home, wait_seconds=PATIENCE_SECONDS):
        yield
