"""When backups are made, checked, proven and removed.

Belongs here: hours, and the sensor after a publish. Does not belong here: trying again what failed
(`reco_pipeline.upkeep`), what is overdue (`reco.backup.status`), or telling it (`reco_pipeline.telling`).

On from the start, whatever the bucket: one backup a day, its checks, and what tells that they are missing. A backup
after each publish is on where a bucket is set; into the embedded server of a home, which dies with its disk, it is a
person's choice.
"""

from collections.abc import Sequence

import dagster as dg

from reco.settings import Settings
from reco.snapshot.release import REDIS_SNAPSHOT
from reco_pipeline.attempts import UPKEEP_TAGS
from reco_pipeline.jobs import (
    Job,
    backup_job,
    drops_to_recommendations,
    rebuild_recommendations,
)

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
            tags=UPKEEP_TAGS,
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
        return dg.RunRequest(run_key=f"backup-{run_id}", run_config=config, tags=UPKEEP_TAGS)

    return after_publish
