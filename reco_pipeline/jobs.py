"""The jobs: what runs together.

Does not belong here: when they run, or what the assets do.
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.backup import REDIS_BACKUP, RESTORE_DRILL
from assets.common import BACKUP, HEALTH
from assets.health import PIPELINE_HEALTH
from reco.catalog.table import CATALOGUE
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.orders import ORDERS
from reco.snapshot.release import REDIS_SNAPSHOT
from reco_pipeline.backups import prune_backups, restore_backup, verify_next_part
from reco_pipeline.housekeeping import remove_expired
from reco_pipeline.pending import NOT_REPEATED
from reco_pipeline.receiving import receive_waiting_files
from resources.home import DatabaseResource, RedisResource, VaultResource

Job = dg.JobDefinition | UnresolvedAssetJobDefinition

drops_to_recommendations = dg.define_asset_job(
    "drops_to_recommendations",
    selection=dg.AssetSelection.all() - dg.AssetSelection.groups(BACKUP, HEALTH),
    description="From the chosen CSV drops to served recommendations, in one run.",
)

rebuild_recommendations = dg.define_asset_job(
    "rebuild_recommendations",
    selection=dg.AssetSelection.assets(ORDERS, CATALOGUE).downstream()
    & dg.AssetSelection.assets(REDIS_SNAPSHOT).upstream(),
    description="From the ingested lines and the newest catalogue to served recommendations, without reading any drop "
    "of orders again.",
)

read_catalogues = dg.define_asset_job(
    "read_catalogues",
    selection=dg.AssetSelection.assets(CATALOGUE),
    description="Reads the catalogues that wait. What they change is published by the run after it.",
)

recheck_drops = dg.define_asset_job(
    "recheck_drops",
    selection=dg.AssetSelection.checks_for_assets(ORDER_LINES, QUARANTINED_LINES, ORDERS, CATALOGUE),
    description="Judges every drop anew, by the limits as they are now. Makes nothing.",
)

backup_job = dg.define_asset_job(
    "backup_job",
    selection=dg.AssetSelection.assets(REDIS_BACKUP),
    description="Backs up everything, and copies it to the second bucket if there is one.",
)

restore_drill_job = dg.define_asset_job(
    "restore_drill_job",
    selection=dg.AssetSelection.assets(RESTORE_DRILL),
    config={"ops": {RESTORE_DRILL: {"config": {"by_chance": True}}}},
    description="Restores a good backup, chosen by chance, into scratch servers and compares everything.",
)

health_job = dg.define_asset_job(
    "health_job",
    selection=dg.AssetSelection.assets(PIPELINE_HEALTH),
    description="Looks at everything once: what is served, what fails, what is overdue, what runs out.",
)


@dg.graph
def receive_drops() -> None:
    """Takes the waiting files of the inbox in, where they are too many or too large for a sensor's tick."""
    receive_waiting_files()


@dg.graph
def cleanup() -> None:
    """Removes everything whose time is over: text of lines, parts, scratch, logs, runs, snapshots."""
    remove_expired()


@dg.graph
def backup_verify() -> None:
    """Reads the next part of the newest good backup and compares it with what was put."""
    verify_next_part()


@dg.graph
def restore() -> None:
    """Restores a backup as its config says; a dry run unless that says otherwise."""
    restore_backup()


@dg.graph
def retention() -> None:
    """Removes backups that retention lets go, and old objects of no backup, in both buckets."""
    prune_backups()


def all_jobs(database: DatabaseResource, redis: RedisResource, vault: VaultResource) -> list[Job]:
    """Every job. One that is made of ops gets its resource here: Dagster would make a second copy of its sensor."""
    of_ops = [
        receive_drops.to_job(resource_defs={"database": database}, executor_def=dg.in_process_executor),
        cleanup.to_job(resource_defs={"database": database, "redis": redis}, executor_def=dg.in_process_executor),
    ]
    of_backups = [
        graph.to_job(
            name=f"{graph.name}_job",
            tags=NOT_REPEATED if graph is restore else None,
            resource_defs={"database": database, "vault": vault},
            executor_def=dg.in_process_executor,
        )
        for graph in (backup_verify, restore, retention)
    ]
    of_assets = [drops_to_recommendations, rebuild_recommendations, read_catalogues, recheck_drops]
    return [*of_assets, backup_job, restore_drill_job, health_job, *of_ops, *of_backups]
