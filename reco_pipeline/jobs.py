"""The jobs: what runs together.

Does not belong here: when they run, or what the assets do.
"""

import dagster as dg

from reco.orders.orders import ORDERS
from reco.snapshot.release import REDIS_SNAPSHOT

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

all_jobs = [drops_to_recommendations, rebuild_recommendations]
