"""The orders asset: one deduplicated view over the accepted lines of every drop.

Does not belong here: reading drops (`assets.ingest`) or counting pairs (`assets.model`).
"""

import datetime as dt

import dagster as dg

from assets.common import MODEL, OWNERS, table_metadata
from assets.tables import column_lineage, definition_metadata
from reco.orders.drops import ORDER_LINES
from reco.orders.orders import ORDERS, make_orders
from resources.home import DatabaseResource, LakeResource


@dg.asset(
    deps=[ORDER_LINES],
    group_name=MODEL,
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    code_version="1",
    metadata=definition_metadata(ORDERS),
)
def orders(context: dg.AssetExecutionContext, lake: LakeResource, database: DatabaseResource) -> dg.MaterializeResult:
    """Every order once: an item repeated in an order adds up, and an order in a later batch replaces the earlier."""
    store = lake.open()
    with database.locked() as home:
        report = make_orders(home.ledger, store, now=dt.datetime.now(dt.UTC), run_id=context.run.run_id)
        for key, lines in report.replayed.items():
            context.log_event(dg.AssetObservation(ORDER_LINES, partition=key, metadata={"lines_replayed": lines}))
    return dg.MaterializeResult(
        metadata={
            **table_metadata(
                store.path(ORDERS),
                report.rows,
                lines=report.lines,
                orders=report.orders,
                items=report.items,
                replaced_orders=report.replaced_orders,
                lines_replayed=sum(report.replayed.values()),
            ),
            **column_lineage(ORDERS),
        },
        data_version=dg.DataVersion(report.digest),
    )
