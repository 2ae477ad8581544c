"""The code location: everything Dagster knows of this project, assembled in one place.

Belongs here: which assets, checks, jobs, schedules, sensors and resources there are.
Does not belong here: what they do.
"""

from reco_pipeline.guard import check_top_level_packages

check_top_level_packages()

import dagster as dg  # noqa: E402 - the guard above must speak before an import of a wrong package fails

from assets.backup import redis_backup, restore_drill  # noqa: E402
from assets.catalogue import catalogue  # noqa: E402
from assets.checks import all_checks  # noqa: E402
from assets.evaluation import model_evaluation, score_choice  # noqa: E402
from assets.health import pipeline_health  # noqa: E402
from assets.ingest import ingest_drops, raw_orders  # noqa: E402
from assets.model import item_cooccurrence, item_stats, similar_items  # noqa: E402
from assets.orders import orders  # noqa: E402
from assets.serving import redis_snapshot  # noqa: E402
from reco.audit.catalogue import raised_checks  # noqa: E402
from reco_pipeline.guarding import backup_after_publish, backup_schedules  # noqa: E402
from reco_pipeline.jobs import all_jobs  # noqa: E402
from reco_pipeline.production import require_ready  # noqa: E402
from reco_pipeline.schedules import daily_schedules  # noqa: E402
from reco_pipeline.sensors import inbox_sensor  # noqa: E402
from reco_pipeline.telling import alert_sensor, failure_sensor, protection_sensor  # noqa: E402
from reco_pipeline.upkeep import upkeep_sensor  # noqa: E402
from resources.home import (  # noqa: E402
    DatabaseResource,
    LakeResource,
    RedisResource,
    SettingsResource,
    VaultResource,
)

all_assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
    raw_orders,
    ingest_drops,
    catalogue,
    orders,
    item_stats,
    score_choice,
    item_cooccurrence,
    similar_items,
    model_evaluation,
    redis_snapshot,
    redis_backup,
    restore_drill,
    pipeline_health,
]


def build_defs(overrides: dict[str, str] | None = None) -> dg.Definitions:
    """The definitions, on the effective settings or, in tests, on some of them replaced."""
    settings = SettingsResource(overrides=overrides or {})
    known = settings.load()  # a schedule's hour and time zone must be known when it is made
    require_ready(known, database_may_be_away=True)
    raised_checks(known.error_checks)  # a name that is none stops the start
    database = DatabaseResource(settings=settings)
    vault = VaultResource(settings=settings)
    redis = RedisResource(settings=settings)
    jobs = all_jobs(database, redis, vault)
    return dg.Definitions(
        assets=all_assets,
        asset_checks=all_checks,
        jobs=jobs,
        schedules=[*daily_schedules(known, jobs), *backup_schedules(known, jobs)],
        sensors=[
            inbox_sensor(known, jobs),
            upkeep_sensor(jobs),
            failure_sensor(),
            backup_after_publish(known),
            protection_sensor(),
            alert_sensor(),
        ],
        resources={
            "settings": settings,
            "lake": LakeResource(settings=settings),
            "database": database,
            "redis": redis,
            "vault": vault,
        },
        # Spawning a process for each step would turn a run of one second into half a minute.
        executor=dg.in_process_executor,
    )


defs = build_defs()
