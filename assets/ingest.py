"""The ingest assets: from a CSV drop to accepted and rejected lines. One partition per drop.

Does not belong here: orders as a whole (`assets.orders`).
"""

import datetime as dt
import hashlib
from collections.abc import Iterator

import dagster as dg

from assets.common import INGEST, OWNERS, Metadata, order_drops
from assets.tables import column_lineage, definition_metadata, markdown_table
from reco.audit.quality import quality_score
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES, DropResult
from reco.orders.ingest import ingest
from reco.orders.rules import REASONS
from reco.storage.lake import RAW, Lake, file_digest
from resources.home import DatabaseResource, LakeResource

raw_orders = dg.AssetSpec(
    RAW,
    description="The order files of the shop, each kept byte for byte as it came: one partition per CSV drop.",
    group_name=INGEST,
    kinds={"csv", "file"},
    owners=OWNERS,
    partitions_def=order_drops,
)


@dg.multi_asset(
    name="ingest_drops",
    specs=[
        dg.AssetSpec(
            ORDER_LINES,
            deps=[RAW],
            description="The accepted lines of each drop: typed, checked by the rule table, with their line number.",
            group_name=INGEST,
            kinds={"duckdb", "pandera", "parquet"},
            owners=OWNERS,
            code_version="1",
            metadata=definition_metadata(ORDER_LINES),
        ),
        dg.AssetSpec(
            QUARANTINED_LINES,
            deps=[RAW],
            description="Every line of each drop that was not accepted: file, line, byte offset, raw bytes and reason.",
            group_name=INGEST,
            kinds={"duckdb", "parquet"},
            owners=OWNERS,
            code_version="1",
            metadata=definition_metadata(QUARANTINED_LINES),
        ),
    ],
    partitions_def=order_drops,
    can_subset=True,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def ingest_drops(
    context: dg.AssetExecutionContext, lake: LakeResource, database: DatabaseResource
) -> Iterator[dg.MaterializeResult]:
    """All drops of the run in one scan; a drop that cannot be used fails alone.

    Both tables come from one reading: whichever is asked for, both are made, so that they always belong together.
    """
    store = lake.open()
    with database.locked() as home:
        results = ingest(home.ledger, context.partition_keys, now=dt.datetime.now(dt.UTC), run_id=context.run.run_id)
    failed = [result for result in results if result.error]
    if not results:
        raise dg.Failure(
            "Every drop of this run is retracted: give its file again to bring it back.", allow_retries=False
        )
    if len(failed) == len(results):
        # Not the message, which may quote the file: what ends a run is told in the audit trail, for good.
        why = getattr(failed[0].error, "code", "")
        words = f"No drop of this run can be used. First: {failed[0].key} ({why}). `reco drops list` has the reasons."
        raise dg.Failure(words, allow_retries=False)
    chosen = [table for table in (ORDER_LINES, QUARANTINED_LINES) if dg.AssetKey(table) in context.selected_asset_keys]
    many = len(context.partition_keys) > 1
    for result in results if many else []:
        for table in chosen:
            metadata = _drop_metadata(result, table, with_lineage=result is results[-1])
            context.add_asset_metadata(metadata, asset_key=table, partition_key=result.key)
    for table in chosen:
        yield dg.MaterializeResult(
            asset_key=table,
            metadata=_batch_metadata(results, table) if many else _drop_metadata(results[0], table),
            data_version=dg.DataVersion(_digest(store, table, results)),
        )


def _drop_metadata(result: DropResult, table: str, *, with_lineage: bool = True) -> Metadata:
    """The figures of one drop. The UI reads the lineage of columns from the newest partition: one of a run has it."""
    counts = result.counts
    rows = counts.lines_accepted if table == ORDER_LINES else counts.lines_excluded + counts.lines_quarantined
    metadata: Metadata = {
        "dagster/row_count": rows,
        "lines_read": counts.lines_read,
        "lines_accepted": counts.lines_accepted,
        "lines_excluded": counts.lines_excluded,
        "lines_quarantined": counts.lines_quarantined,
        "quality_score": quality_score(counts.lines_read, counts.lines_quarantined),
        "status": result.status,
    }
    if result.error:
        metadata["error"] = str(result.error)
    if table == QUARANTINED_LINES and result.reasons:
        by_count = sorted(result.reasons.items(), key=lambda one: (-one[1], one[0]))
        rows_of_reasons = [(reason, REASONS[reason], count) for reason, count in by_count]
        metadata["reasons"] = markdown_table(("reason", "disposition", "lines"), rows_of_reasons)
    if table == ORDER_LINES and with_lineage:
        metadata.update(column_lineage(table, result.mapping))
    return metadata


def _batch_metadata(results: list[DropResult], table: str) -> Metadata:
    """Only what is true of every partition of the run: the figures of each drop are its own."""
    return {"drops_in_run": len(results), "table": table}


def _digest(lake: Lake, table: str, results: list[DropResult]) -> str:
    paths = {r.key: lake.path(table, r.key) for r in results if not r.error}
    digests = [file_digest(path) for _, path in sorted(paths.items())]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()
