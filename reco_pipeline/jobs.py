"""The jobs: what runs together.

Does not belong here: when they run, or what the assets do.
"""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from reco.orders.orders import ORDERS
from reco.snapshot.release import REDIS_SNAPSHOT
from reco_pipeline.receiving import receive_waiting_files

drops_to_recommendations = dg.define_asset_job(
    "drops_to_recommendations",
    selection=dg.AssetSelection.all(),
    description="From the chosen CSV drops to served recommendations, in one run.",
)

rebuild_recommendations = dg.define_asset_job(
    "rebuild_recommendations",
    selection=dg.AssetSelection.assets(ORDERS).downstream() & dg.AssetSelection.assets(REDIS_SNAPSHOT).upstream(),
    description="From the ingested lines to served recommendations, without reading any drop again.",
)


@dg.job(executor_def=dg.in_process_executor)
def receive_drops() -> None:
    """Takes the waiting files of the inbox in, where they are too many or too large for a sensor's tick."""
    receive_waiting_files()


all_jobs: list[dg.JobDefinition | UnresolvedAssetJobDefinition] = [
    drops_to_recommendations,
    rebuild_recommendations,
    receive_drops,
]
