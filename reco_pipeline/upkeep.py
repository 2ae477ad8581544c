"""What keeps the shop (backups, their checks and drills, cleaning up) is tried again where it failed.

Belongs here: which of these runs is wanted once more, and telling that one succeeded after all. Does not belong here:
when they run the first time (`reco_pipeline.guarding`, `reco_pipeline.schedules`), or counting
(`reco_pipeline.attempts`).

As automation, it looks at what is there: the newest runs of each job. See docs/decisions/0040-upkeep-and-every-role.md.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from reco.alerts.outbox import Outbox
from reco.alerts.tell import Alert, note, over, send_waiting
from reco.settings import Settings
from reco_pipeline.attempts import (
    FAILED,
    KIND,
    SUBJECT,
    UNFINISHED,
    UPKEEP,
    UPKEEP_ATTEMPTS,
    Failure,
    Patience,
    Wanted,
    Work,
    may_pass,
    upkeep_key,
)
from reco_pipeline.jobs import Job, backup_job, cleanup, restore_drill_job
from resources.home import DatabaseResource

REPEATED = (backup_job.name, "backup_verify_job", "retention_job", restore_drill_job.name, cleanup.name)
LOOK_SECONDS = 15
TOLD = ("run_failed", "run_left")


@dataclass(frozen=True)
class Look:
    """What a look came to: the runs that are wanted, why or why not, and the newest run of each job that is well."""

    runs: list[dg.RunRequest]
    why: list[str]
    well: list[dg.DagsterRun]


def look(instance: dg.DagsterInstance, *, now: dt.datetime) -> Look:
    """Asks for another attempt at each job whose newest run failed, once its time has come."""
    patience = Patience(instance, UPKEEP_ATTEMPTS, stubborn=False, now=now, by_hand="start it by hand")
    found = Look([], [], [])
    for job in REPEATED:
        newest = _newest(instance, dg.RunsFilter(job_name=job))
        if newest is None or newest.dagster_run.status in UNFINISHED:
            continue
        good = _newest(instance, dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS]))
        ours = _newest(instance, dg.RunsFilter(job_name=job, tags={KIND: UPKEEP}))
        if good is not None and (ours is None or ours.storage_id <= good.storage_id):
            found.well.append(good.dagster_run)
        elif ours is not None:
            wanted = _again(instance, ours, patience)
            if wanted.run is not None:
                found.runs.append(wanted.run)
            found.why.append(wanted.why)
    return found


def _again(instance: dg.DagsterInstance, failed: dg.RunRecord, patience: Patience) -> Wanted:
    """Another attempt at what failed; its first run is what the attempts are counted by."""
    run = failed.dagster_run
    if run.status is dg.DagsterRunStatus.CANCELED:
        return Wanted(None, f"Job {run.job_name} was ended by a person.")
    logs = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    if not may_pass([one.get_dagster_event().step_failure_data for one in logs]):
        return Wanted(None, f"Job {run.job_name} failed for a reason that trying again does not mend.")
    first = run.tags.get(SUBJECT, run.run_id)
    attempts = dg.RunsFilter(statuses=FAILED, tags={KIND: UPKEEP, SUBJECT: first})
    before = [
        *instance.get_run_records(attempts, limit=UPKEEP_ATTEMPTS),
        *instance.get_run_records(dg.RunsFilter(run_ids=[first])),
    ]
    work = Work(run.job_name, UPKEEP, first)
    return patience.attempt(work, [Failure.of(one) for one in before], config=run.run_config)


def _newest(instance: dg.DagsterInstance, which: dg.RunsFilter) -> dg.RunRecord | None:
    return next(iter(instance.get_run_records(which, limit=1)), None)


def tell_well(well: Iterable[dg.DagsterRun], settings: Settings, now: dt.datetime) -> None:
    """Where it was told that a job failed, tells that it has succeeded since; its next failure is told at once."""
    told = Outbox(settings.home).told().keys()
    for run in well:
        keys = [key for key in (upkeep_key(what, run.job_name) for what in TOLD) if key in told]
        if keys:
            reason = "It succeeded after it had failed."
            page, key = f"/runs/{run.run_id}", f"run_recovered:{run.run_id}"
            note([Alert("run_recovered", run.job_name, reason, "Nothing.", page, key, good=True)], settings, now=now)
            over(keys, settings)
            send_waiting(settings, now=now)


def upkeep_sensor(jobs: Sequence[Job]) -> dg.SensorDefinition:
    """The sensor on what keeps the shop."""

    @dg.sensor(
        name="upkeep",
        jobs=[job for job in jobs if job.name in REPEATED],
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tries backups, their checks and drills, retention and the cleanup again where they failed.",
    )
    def upkeep(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult:
        now = dt.datetime.now(dt.UTC)
        found = look(context.instance, now=now)
        tell_well(found.well, database.home().settings, now)
        why = " ".join(found.why) or "Nothing failed."
        return dg.SensorResult(run_requests=found.runs, skip_reason=None if found.runs else why)

    return upkeep
