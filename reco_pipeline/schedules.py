"""The schedules: what happens once a day, whether or not anything was noticed.

Belongs here: the hour and what is asked for. Does not belong here: the decision (`reco_pipeline.automation`).
"""

import datetime as dt
from collections.abc import Sequence

import dagster as dg

from reco.catalog.table import CATALOGUE
from reco.model.tables import ITEM_COOCCURRENCE, ITEM_STATS, SIMILAR_ITEMS
from reco.orders.orders import ORDERS
from reco.settings import Settings
from reco.snapshot.release import REDIS_SNAPSHOT
from reco_pipeline.attempts import UPKEEP_TAGS
from reco_pipeline.automation import decide
from reco_pipeline.jobs import (
    Job,
    cleanup,
    drops_to_recommendations,
    health_job,
    read_catalogues,
    rebuild_recommendations,
    receive_drops,
)
from resources.home import DatabaseResource

MINUTES_TO_RECEIVE = 15
MINUTES_TO_PUBLISH = 45
MINUTES_TO_LOOK = 10
HEALTH_HOURS = (1, 7, 13, 19)
"""After the daily hour: the first look is at what the night made."""
RUNNING = dg.DefaultScheduleStatus.RUNNING
REBUILT = [dg.AssetKey(name) for name in (ORDERS, ITEM_STATS, ITEM_COOCCURRENCE, SIMILAR_ITEMS, REDIS_SNAPSHOT)]


def daily_schedules(settings: Settings, jobs: Sequence[Job]) -> list[dg.ScheduleDefinition]:
    """Once a day the inbox is swept, and then everything that waits is tried again, also what the sensor gave up.

    They ask what is pending, not what belongs to this day: a tick that was missed is made good by the next one.
    """
    sweep = dg.ScheduleDefinition(
        name="daily_inbox",
        job=next(job for job in jobs if job.name == receive_drops.name),
        cron_schedule=f"0 {settings.daily_hour} * * *",
        execution_timezone=settings.timezone,
        default_status=RUNNING,
        description="Once a day: takes in whatever new files the inbox holds, however many or large.",
    )

    tidying = dg.ScheduleDefinition(
        name="daily_cleanup",
        job=next(job for job in jobs if job.name == cleanup.name),
        cron_schedule=f"{MINUTES_TO_PUBLISH} {settings.daily_hour} * * *",
        execution_timezone=settings.timezone,
        default_status=RUNNING,
        tags=UPKEEP_TAGS,
        description="Once a day: removes what was kept long enough: text of lines, runs, snapshots, logs, leftovers.",
    )

    @dg.schedule(
        name="daily",
        job=drops_to_recommendations,
        cron_schedule=f"{MINUTES_TO_RECEIVE} {settings.daily_hour} * * *",
        execution_timezone=settings.timezone,
        default_status=RUNNING,
        description="Once a day: processes whatever is pending, also what failed too often for the sensor.",
    )
    def daily(context: dg.ScheduleEvaluationContext, database: DatabaseResource) -> dg.RunRequest | dg.SkipReason:
        wanted = decide(database.home(), context.instance, None, now=dt.datetime.now(dt.UTC), stubborn=True)
        if wanted.run is None:
            return dg.SkipReason(wanted.why)
        if wanted.run.job_name == receive_drops.name:
            return dg.SkipReason("The files of the inbox are too many or too large for a tick: `daily_inbox` is on it.")
        # A schedule has one job: publishing alone, and reading catalogues alone, are parts of it.
        parts = {rebuild_recommendations.name: REBUILT, read_catalogues.name: [dg.AssetKey(CATALOGUE)]}
        return dg.RunRequest(tags=wanted.run.tags, asset_selection=parts.get(wanted.run.job_name or ""))

    hours = sorted((settings.daily_hour + hour) % 24 for hour in HEALTH_HOURS)
    health = dg.ScheduleDefinition(
        name="health",
        job=next(job for job in jobs if job.name == health_job.name),
        cron_schedule=f"{MINUTES_TO_LOOK} {','.join(map(str, hours))} * * *",
        execution_timezone=settings.timezone,
        default_status=RUNNING,
        description="Four times a day: how the shop is doing, as `reco status` tells it.",
    )
    return [sweep, daily, tidying, health]
