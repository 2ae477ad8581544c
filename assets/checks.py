"""The asset checks: each says what it found in numbers and shows offenders when it fails.

Blocking ones guard invariants that only a defect of ours or damage can break; a poor drop only warns. Does not belong
here: how a figure is computed.
"""

from dataclasses import asdict

import dagster as dg

from assets.common import offenders
from assets.serving import redis_snapshot
from reco.audit.quality import quarantine_rates
from reco.model.checks import check_key_nulls, check_similar_bounds, check_symmetry
from reco.model.tables import ITEM_COOCCURRENCE, ITEM_STATS, SIMILAR_ITEMS
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.ledger import DropStatus
from reco.snapshot.release import verify_current
from resources.home import DatabaseResource, LakeResource, RedisResource, SettingsResource

SHOWN = 20


@dg.asset_check(
    asset=ORDER_LINES, blocking=True, description="Lines read = accepted + excluded + quarantined, per drop."
)
def lines_reconcile(database: DatabaseResource) -> dg.AssetCheckResult:
    """Compares the count of records in the bytes with the rows in the lake, drop by drop."""
    ledger = database.ledger()
    drops, wrong = ledger.drops(status=DropStatus.INGESTED), ledger.imbalances()
    return dg.AssetCheckResult(
        passed=not wrong,
        description=wrong[0].message if wrong else f"Every line of {len(drops)} drops is accounted for.",
        metadata={
            "drops": len(drops),
            "drops_unbalanced": len(wrong),
            **{
                name: sum(getattr(drop, name) or 0 for drop in drops)
                for name in ("lines_read", "lines_accepted", "lines_excluded", "lines_quarantined")
            },
            **offenders([asdict(one) for one in wrong[:SHOWN]]),
        },
    )


@dg.asset_check(asset=ORDER_LINES, description="Every drop that was given could be used.")
def drops_usable(database: DatabaseResource) -> dg.AssetCheckResult:
    """A drop that cannot be used never stops the others; this is where it shows."""
    failed = database.ledger().drops(status=DropStatus.FAILED)
    return dg.AssetCheckResult(
        passed=not failed,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(failed)} drops cannot be used; first: {failed[0].error}" if failed else "No drop failed.",
        metadata={
            "drops_failed": len(failed),
            **offenders([{"key": d.key, "name": d.name, "error": d.error or ""} for d in failed[:SHOWN]]),
        },
    )


@dg.asset_check(asset=ORDER_LINES, description="No accepted line lacks its order id, item, quantity, source or line.")
def key_fields_present(database: DatabaseResource, lake: LakeResource) -> dg.AssetCheckResult:
    """Counts nulls in the key columns over the stored lines of every drop."""
    store = lake.open()
    report = check_key_nulls(
        [store.existing(ORDER_LINES, d.key) for d in database.ledger().drops(status=DropStatus.INGESTED)]
    )
    return dg.AssetCheckResult(
        passed=report.passed,
        description=f"{sum(report.nulls.values())} nulls in the key columns of {report.lines} lines.",
        metadata={
            "lines": report.lines,
            **{f"nulls/{column}": nulls for column, nulls in report.nulls.items()},
            **offenders(report.offenders[:SHOWN]),
        },
    )


@dg.asset_check(asset=QUARANTINED_LINES, description="Few lines are quarantined, in every drop.")
def quarantine_rate(database: DatabaseResource, settings: SettingsResource) -> dg.AssetCheckResult:
    """Warns when a drop has more quarantined lines than the share in RECO_QUARANTINE_WARN_RATE."""
    limit = settings.load().quarantine_warn_rate
    rates = quarantine_rates(database.ledger().drops(status=DropStatus.INGESTED))
    above = [drop for drop in rates.drops if drop.rate > limit]
    return dg.AssetCheckResult(
        passed=not above,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{rates.quarantined} of {rates.read} lines quarantined ({rates.rate:.2%}); "
        f"{len(above)} of {len(rates.drops)} drops above {limit:.2%}.",
        metadata={
            "quarantine_rate": rates.rate,
            "lines_quarantined": rates.quarantined,
            "quality_score": rates.quality_score,
            "drops_above_limit": len(above),
            "reasons": dg.MetadataValue.json(rates.reasons),
            **offenders([asdict(drop) for drop in above[:SHOWN]]),
        },
    )


@dg.asset_check(
    asset=ITEM_COOCCURRENCE,
    additional_deps=[ITEM_STATS],
    description="Every pair stands in both directions with one count, never above the orders of either item.",
)
def pairs_symmetric_and_bounded(lake: LakeResource) -> dg.AssetCheckResult:
    """Counts pairs without their mirror, over the orders of an item, or of an item with itself."""
    store = lake.open()
    report = check_symmetry(store.existing(ITEM_COOCCURRENCE), store.existing(ITEM_STATS))
    return dg.AssetCheckResult(
        passed=report.passed,
        description=f"{report.pairs} pairs: {report.asymmetric} asymmetric, {report.over_bound} above their bound, "
        f"{report.self_pairs} of an item with itself.",
        metadata={
            "pairs": report.pairs,
            "asymmetric": report.asymmetric,
            "over_bound": report.over_bound,
            "self_pairs": report.self_pairs,
            **offenders(report.offenders[:SHOWN]),
        },
    )


@dg.asset_check(asset=SIMILAR_ITEMS, description="Scores and confidences lie in 0..1, ranks run 1..100 without a gap.")
def scores_bounded(lake: LakeResource) -> dg.AssetCheckResult:
    """Counts rows of similar items outside their bounds."""
    report = check_similar_bounds(lake.open().existing(SIMILAR_ITEMS))
    return dg.AssetCheckResult(
        passed=report.passed,
        description=f"{report.rows} rows: {report.out_of_bounds} out of bounds, {report.self_pairs} of an item with "
        f"itself, {report.repeated} repeated, {report.misranked} out of rank.",
        metadata={
            "rows": report.rows,
            "out_of_bounds": report.out_of_bounds,
            "self_pairs": report.self_pairs,
            "repeated": report.repeated,
            "misranked": report.misranked,
            **offenders(report.offenders[:SHOWN]),
        },
    )


@dg.asset_check(
    asset=redis_snapshot, blocking=True, description="Every key of the served snapshot reads back equal to the lake."
)
def published_keys_equal(lake: LakeResource, redis: RedisResource) -> dg.AssetCheckResult:
    """Reads every key of the current snapshot and compares it with what the lake says."""
    with redis.client() as client:
        report = verify_current(client, redis.settings.load().namespace, lake.open())
    return dg.AssetCheckResult(
        passed=report.passed,
        description=f"{report.checked} keys checked: {report.missing} missing, {report.different} different, "
        f"{report.extra} not ours.",
        metadata={
            "keys_checked": report.checked,
            "missing": report.missing,
            "different": report.different,
            "extra": report.extra,
            **offenders([{"key": key} for key in report.offenders[:SHOWN]]),
        },
    )


all_checks = [
    lines_reconcile,
    drops_usable,
    key_fields_present,
    quarantine_rate,
    pairs_symmetric_and_bounded,
    scores_bounded,
    published_keys_equal,
]
