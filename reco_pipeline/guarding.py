"""When backups are made, checked, proven and removed, and when their absence is told.

Belongs here: hours, the sensor after a publish, and the one on absence. Does not belong here: what is overdue
(`reco.backup.status`), or the channels of an alert (`reco.alerts`).

On from the start, whatever the bucket: one backup a day, its checks, and what tells that they are missing. A backup
after each publish is on where a bucket is set; into the embedded server of a home, which dies with its disk, it is a
person's choice.
"""

import datetime as dt
import json
from collections.abc import Sequence

import dagster as dg

from reco.alerts.tell import Alert, tell
from reco.errors import RecoError
from reco.settings import Settings
from reco.snapshot.release import REDIS_SNAPSHOT
from reco_pipeline.jobs import (
    Job,
    backup_job,
    drops_to_recommendations,
    rebuild_recommendations,
    restore_drill_job,
)
from resources.home import DatabaseResource

SECONDS_BETWEEN_LOOKS = 3600
TELL_AGAIN = dt.timedelta(hours=24)
# name, job, minute, day of the week: one after the other, after the daily run of the pipeline.
_HOURS = (
    ("daily_backup", "backup_job", 30, "*"),
    ("daily_backup_verify", "backup_verify_job", 40, "*"),
    ("daily_retention", "retention_job", 50, "*"),
    ("weekly_restore_drill", "restore_drill_job", 55, "0"),
)


def backup_schedules(settings: Settings, jobs: Sequence[Job]) -> list[dg.ScheduleDefinition]:
    """Once a day a backup, a check of a part and retention; once a week a drill."""
    by_name = {job.name: job for job in jobs}
    return [
        dg.ScheduleDefinition(
            name=name,
            job=by_name[job],
            cron_schedule=f"{minute} {settings.daily_hour} * * {day}",
            execution_timezone=settings.timezone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
        for name, job, minute, day in _HOURS
    ]


def backup_after_publish(settings: Settings) -> dg.SensorDefinition:
    """A backup follows each run that moved the pointer."""

    @dg.run_status_sensor(
        name="backup_after_publish",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[drops_to_recommendations, rebuild_recommendations],
        request_job=backup_job,
        default_status=dg.DefaultSensorStatus.RUNNING if settings.s3_bucket else dg.DefaultSensorStatus.STOPPED,
        description="Backs up after each run that published something new.",
    )
    def after_publish(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
        run_id = context.dagster_run.run_id
        logs = context.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        made = [one.asset_materialization for one in logs if one.asset_materialization is not None]
        published = [one for one in made if one.asset_key == dg.AssetKey(REDIS_SNAPSHOT)]
        if not any(bool(one.metadata["changed"].value) for one in published):
            return dg.SkipReason("The run published nothing new.")
        config = {"ops": {"redis_backup": {"config": {"reason": "after publish"}}}}
        return dg.RunRequest(run_key=f"backup-{run_id}", run_config=config)

    return after_publish


def protection_sensor() -> dg.SensorDefinition:
    """What did not happen is told: a machine that is down sends no failure."""

    @dg.sensor(
        name="protection_overdue",
        job=restore_drill_job,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells, once a day each, that no good backup was made for 26 hours, no drill passed for 8 days, "
        "the second bucket is behind, or the buckets do not say.",
    )
    def overdue(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult | dg.SkipReason:
        from reco.backup.status import absences, look, may_be_overdue

        now, home = dt.datetime.now(dt.UTC), database.home()
        if not may_be_overdue(home.ledger.engine, now=now):
            return dg.SkipReason("There is nothing to protect, or not for long enough that anything could be overdue.")
        told = {str(k): str(v) for k, v in json.loads(context.cursor or "{}").items()}
        try:
            alerts = absences(look(home.settings, home.ledger.engine, now=now))
            standing = {one.what for one in alerts}
        except RecoError as error:
            alerts = [Alert("protection_unknown", "backups", error.message, error.hint)]
            standing = {*told, "protection_unknown"}  # what stood before may still stand
        for alert in alerts:
            if alert.what not in told or now - dt.datetime.fromisoformat(told[alert.what]) >= TELL_AGAIN:
                tell(alert)
                told[alert.what] = now.isoformat()
        cursor = json.dumps({what: at for what, at in told.items() if what in standing}, sort_keys=True)
        return dg.SensorResult(skip_reason=f"{len(alerts)} overdue.", cursor=cursor)

    return overdue
