"""The orders asset: one deduplicated view over the accepted lines of every drop.

Does not belong here: reading drops (`assets.ingest`) or counting pairs (`assets.model`).
"""

import datetime as dt

import dagster as dg

from assets.common import MODEL, OWNERS, table_metadata
from assets.tables import PREVIEW_ROWS, column_lineage, definition_metadata, markdown_table
from reco.orders.drops import ORDER_LINES
from reco.orders.merging import MergedItem
from reco.orders.orders import ORDERS, make_orders
from resources.home import DatabaseResource, LakeResource


@dg.asset(
    deps=[ORDER_LINES],
    group_name=MODEL,
    kinds={"numpy", "parquet"},
    owners=OWNERS,
    code_version="1",
    metadata=definition_metadata(ORDERS),
)
def orders(context: dg.AssetExecutionContext, lake: LakeResource, database: DatabaseResource) -> dg.MaterializeResult:
    """Every order once: repeats of an item add up, what is taken back nets out, a later batch replaces an order."""
    store = lake.open()
    with database.locked() as home:
        made = make_orders(home.ledger, store, now=dt.datetime.now(dt.UTC), run_id=context.run.run_id)
        for key, lines in made.replayed.items():
            context.log_event(dg.AssetObservation(ORDER_LINES, partition=key, metadata={"lines_replayed": lines}))
    report = made.report
    return dg.MaterializeResult(
        metadata={
            **table_metadata(
                store.path(ORDERS),
                report.rows,
                lines=report.lines,
                orders=report.orders,
                items=report.items,
                replaced_orders=report.replaced_orders,
                lines_replaced=report.lines_replaced,
                lines_taken_back=report.lines_taken_back,
                lines_repeated=report.lines_repeated,
                lines_unmatched=report.lines_unmatched,
                rows_netted_out=report.rows_netted_out,
                rows_overreturned=report.rows_overreturned,
                units_overreturned=report.units_overreturned,
                items_merged=len(report.merged),
                lines_replayed=sum(made.replayed.values()),
            ),
            **column_lineage(ORDERS),
            **(
                {"merged_items": markdown_table(MergedItem._fields, report.merged[:PREVIEW_ROWS])}
                if report.merged
                else {}
            ),
        },
        data_version=dg.DataVersion(made.digest),
    )
