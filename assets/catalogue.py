"""The catalogue asset: item master data, from its CSV drops to one table.

Does not belong here: reading a catalogue, or putting several together (`reco.catalog`).
"""

import datetime as dt

import dagster as dg

from assets.common import INGEST, OWNERS, table_metadata
from assets.tables import definition_metadata
from reco.catalog.ledger import CatalogueLedger
from reco.catalog.table import CATALOGUE, ingest_catalogues, make_catalogue
from resources.home import DatabaseResource, LakeResource


@dg.asset(
    name=CATALOGUE,
    group_name=INGEST,
    kinds={"csv", "duckdb", "parquet"},
    owners=OWNERS,
    code_version="1",
    metadata=definition_metadata(CATALOGUE),
)
def catalogue(
    context: dg.AssetExecutionContext, lake: LakeResource, database: DatabaseResource
) -> dg.MaterializeResult:
    """Every item the shop ever listed, with name, category, price, stock and address as its newest catalogue has them.

    Reads the catalogues that wait; one that cannot be used is entered as failed and stops nothing.
    """
    store = lake.open()
    with database.locked() as home:
        ledger = CatalogueLedger(home.ledger.engine, store)
        results = ingest_catalogues(ledger, now=dt.datetime.now(dt.UTC), run_id=context.run.run_id)
        report = make_catalogue(ledger, store)
    failed = [one for one in results if one.error]
    figures = {
        "items_listed": report.listed,
        "items_named": report.named,
        "items_with_category": report.categorised,
        "catalogues_read": len(results) - len(failed),
        "catalogues_failed": len(failed),
    }
    return dg.MaterializeResult(
        metadata=table_metadata(store.path(CATALOGUE), report.items, **figures)
        if report.digest
        else {"dagster/row_count": 0, **figures},
        data_version=dg.DataVersion(report.digest or "none"),
    )
