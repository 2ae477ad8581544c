"""The check with the partitions of its asset: one verdict for each drop.

Dagster 1.13 gives the result of a partitioned check a partition only in a run of one partition: in a run over a range
an `AssetCheckResult` would be stored without one, and the planned evaluation of every partition would stay open for
ever. So the check writes its `AssetCheckEvaluation`s itself, one a partition. Each costs a few events, about as much as
those of the drop's own tables, hence there is one such check, and all others speak of all drops. Its own button
"Execute" is grey in the UI of this version; "Execute all" of the asset works and judges every drop. Does not belong
here: the rules (`reco.audit.verdict`).
"""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

# Part of the signature of the public AssetCheckEvaluation, though Dagster 1.13 does not export it.
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData

from assets.checks.common import rounded, severity, spec
from assets.common import order_drops
from reco.audit.verdict import DropVerdict
from reco.orders.drops import ORDER_LINES
from reco.orders.ledger import Drop
from reco.orders.verdicts import drop_verdicts, quality_limits
from resources.home import DatabaseResource, LakeResource, SettingsResource

DROP_QUALITY = "drop_quality"


@dg.multi_asset_check(specs=[spec(ORDER_LINES, DROP_QUALITY, order_drops)], can_subset=True)
def drop_quality(
    context: dg.AssetCheckExecutionContext,
    database: DatabaseResource,
    lake: LakeResource,
    settings: SettingsResource,
) -> Iterator[dg.AssetCheckEvaluation]:
    """One verdict for each drop of the run; of all drops where it is executed without a partition ("Execute all")."""
    ledger, known = database.ledger(), settings.load()
    verdicts = {v.facts.key: v for v in drop_verdicts(ledger, lake.open(), quality_limits(known))}
    weight = severity(ORDER_LINES, DROP_QUALITY, known)
    run = context.op_execution_context
    given = run.has_partition_key or run.has_partition_key_range
    asked = list(run.partition_keys) if given else list(verdicts)
    drops = {drop.key: drop for drop in ledger.drops(keys=asked)}
    targets = _materializations(context.instance, asked)
    for key in asked:
        yield _evaluation(
            *_drop_result(verdicts.get(key), drops.get(key)), weight, partition=key, target=targets.get(key)
        )
    if not given:  # the run planned one evaluation without a partition, which would stay open for ever
        worse = [v.facts.name for v in verdicts.values() if v.findings]
        named = f": {', '.join(worse[:5])}{' and others' if len(worse) > 5 else ''}" if worse else ""
        found = f"{len(asked)} drops judged, {len(worse)} worse than the limits{named}."
        yield _evaluation(not worse, found, {"drops": len(asked), "drops_worse": len(worse)}, weight)


def _evaluation(
    passed: bool,
    found: str,
    figures: Mapping[str, float],
    weight: dg.AssetCheckSeverity,
    *,
    partition: str | None = None,
    target: AssetCheckEvaluationTargetMaterializationData | None = None,
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(ORDER_LINES),
        check_name=DROP_QUALITY,
        passed=passed,
        description=found,
        metadata=rounded(figures),
        severity=weight,
        blocking=False,
        partition=partition,
        target_materialization_data=target,
    )


def _drop_result(verdict: DropVerdict | None, drop: Drop | None) -> tuple[bool, str, Mapping[str, float]]:
    if verdict is None:
        state = (
            f"is {drop.status}: {drop.error or 'its lines are not in the orders'}" if drop else "is not in the ledger"
        )
        return False, f"{drop.name if drop else 'This drop'} {state}", {}
    figures = {
        "lines_read": verdict.facts.read,
        "quality_score": verdict.quality_score,
        "quarantine_rate": verdict.quarantine_rate,
        "duplicate_rate": verdict.duplicate_rate,
        "least_completeness": min(verdict.completeness.values(), default=1.0),
    }
    problems = "; ".join(one.message for one in verdict.findings)
    return not problems, f"{verdict.facts.name}: {problems or 'nothing is worse than the limits'}.", figures


def _materializations(
    instance: dg.DagsterInstance, keys: Sequence[str]
) -> dict[str, AssetCheckEvaluationTargetMaterializationData]:
    """The newest materialization of the lines of each drop, which tells the UI that a verdict is up to date."""
    found: dict[str, AssetCheckEvaluationTargetMaterializationData] = {}
    cursor, more = None, True
    while more and len(found) < len(keys):
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(ORDER_LINES), asset_partitions=list(keys)), 500, cursor
        )
        for one in records.records:
            if one.partition_key and one.partition_key not in found:
                found[one.partition_key] = AssetCheckEvaluationTargetMaterializationData(
                    storage_id=one.storage_id, run_id=one.run_id, timestamp=one.timestamp
                )
        cursor, more = records.cursor, records.has_more
    return found
