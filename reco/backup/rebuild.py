"""The model made anew from what the ledger and the lake hold.

Belongs here: that one sequence, for drills and for going back in time. Does not belong here: the tables themselves
(`reco.orders`, `reco.model`), or the pipeline, which makes them one by one with checks between.
"""

import datetime as dt

from reco.catalog.ledger import CatalogueLedger
from reco.catalog.table import CATALOGUE, make_catalogue
from reco.model.choice import scores_in_force
from reco.model.evaluation.choosing import keep_choice
from reco.model.scores import ScoreSettings
from reco.model.tables import ITEM_STATS, SIMILAR_ITEMS, make_cooccurrence, make_item_stats, make_similar
from reco.orders.home import Home
from reco.orders.ledger import DropStatus
from reco.orders.orders import ORDERS, make_orders
from reco.snapshot.build import SnapshotBuild


def rebuild(home: Home, *, now: dt.datetime, scores: ScoreSettings | None = None) -> SnapshotBuild | None:
    """Makes every table behind a snapshot anew, and the draft of one; None where no drop is ingested.

    Args:
        home: the home.
        now: zone-aware, for the trail.
        scores: how pairs are scored; those in force in the home if not given.

    Raises:
        LakeError: the lines of a drop are not in the lake, or a table cannot be made.
    """
    if not home.ledger.drops(status=DropStatus.INGESTED):
        return None
    make_catalogue(CatalogueLedger(home.ledger.engine, home.lake), home.lake)
    make_orders(home.ledger, home.lake, now=now, run_id=None)
    make_item_stats(home.ledger, home.lake)
    scores = scores or scores_in_force(home.lake, home.settings)
    keep_choice(home.lake, scores, home.settings)
    make_cooccurrence(home.lake, scores)
    make_similar(home.lake, scores)
    names = home.lake.path(CATALOGUE)
    return SnapshotBuild.from_lake(
        home.lake.existing(ITEM_STATS),
        home.lake.existing(SIMILAR_ITEMS),
        catalogue=names if names.is_file() else None,
        orders=home.lake.existing(ORDERS),
        stored=not scores.plain,
    )
