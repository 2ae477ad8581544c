"""The model assets: item stats, co-occurrence and similar items.

Does not belong here: the formulas (`reco.model`) or publishing (`assets.serving`).
"""

import dagster as dg

from assets.common import MODEL, OWNERS, table_metadata
from assets.tables import column_lineage, definition_metadata, preview
from reco.catalog.table import CATALOGUE
from reco.model.choice import SCORE_CHOICE
from reco.model.tables import (
    ITEM_COOCCURRENCE,
    ITEM_STATS,
    SIMILAR_ITEMS,
    make_cooccurrence,
    make_item_stats,
    make_similar,
)
from reco.orders.orders import ORDERS
from resources.home import DatabaseResource, LakeResource

KINDS = {"duckdb", "parquet"}


@dg.asset(
    deps=[ORDERS, CATALOGUE],
    group_name=MODEL,
    kinds=KINDS,
    owners=OWNERS,
    code_version="1",
    metadata=definition_metadata(ITEM_STATS),
)
def item_stats(lake: LakeResource, database: DatabaseResource) -> dg.MaterializeResult:
    """Each item with its orders, units, revenue, customers, first and last sale, popularity rank and order share."""
    store = lake.open()
    with database.locked() as home:
        report, digest = make_item_stats(home.ledger, store)
    return dg.MaterializeResult(
        metadata={
            **table_metadata(
                store.path(ITEM_STATS), report.items, items=report.items, orders=report.orders, named=report.named
            ),
            **column_lineage(ITEM_STATS),
            **preview(ITEM_STATS, store.path(ITEM_STATS), leave_out=("first_sold_at", "last_sold_at")),
        },
        data_version=dg.DataVersion(digest),
    )


@dg.asset(
    deps=[ORDERS, SCORE_CHOICE],
    group_name=MODEL,
    kinds=KINDS,
    owners=OWNERS,
    code_version="1",
    metadata=definition_metadata(ITEM_COOCCURRENCE),
)
def item_cooccurrence(lake: LakeResource) -> dg.MaterializeResult:
    """How many orders hold both of two items, exactly: every pair is counted, and an item's best are kept."""
    store = lake.open()
    report, digest = make_cooccurrence(store, lake.scores())
    return dg.MaterializeResult(
        metadata={
            **table_metadata(
                store.path(ITEM_COOCCURRENCE),
                report.rows,
                pairs=report.pairs,
                pair_occurrences=report.pair_occurrences,
                items_with_neighbour=report.items_with_neighbour,
            ),
            **column_lineage(ITEM_COOCCURRENCE),
        },
        data_version=dg.DataVersion(digest),
    )


@dg.asset(
    deps=[item_stats, item_cooccurrence],
    group_name=MODEL,
    kinds=KINDS,
    owners=OWNERS,
    code_version="1",
    metadata=definition_metadata(SIMILAR_ITEMS),
)
def similar_items(lake: LakeResource) -> dg.MaterializeResult:
    """The neighbours of each item by the chosen score, best first, with orders, confidence and lift as evidence."""
    store = lake.open()
    report, digest = make_similar(store, lake.scores())
    return dg.MaterializeResult(
        metadata={
            **table_metadata(
                store.path(SIMILAR_ITEMS),
                report.rows,
                items=report.items,
                items_without=report.items_without,
                mean_neighbours=report.mean_neighbours,
                median_best_score=report.median_best_score,
            ),
            **column_lineage(SIMILAR_ITEMS),
            **preview(SIMILAR_ITEMS, store.path(SIMILAR_ITEMS)),
        },
        data_version=dg.DataVersion(digest),
    )
