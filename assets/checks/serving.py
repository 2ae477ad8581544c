"""The checks of the served snapshot: whether it is what the lake says, and what it lost against the one before.

The comparison is with the snapshot that the current one replaced, so that it gives the same answer whenever it is run
again. Does not belong here: the gate, which refuses a far worse snapshot before it is served (`reco.snapshot.gate`).
"""

from collections.abc import Iterator

import dagster as dg

from assets.checks.common import result, spec, weighed
from reco.settings import Settings
from reco.snapshot.change import SnapshotChange, served_change
from reco.snapshot.release import REDIS_SNAPSHOT, verify_current
from reco.snapshot.verify import VerifyReport
from resources.home import LakeResource, RedisResource

EQUAL, ITEMS, ORDERS, OVERLAP = "published_keys_equal", "items_kept", "orders_kept", "lists_overlap"


@dg.multi_asset_check(specs=[spec(REDIS_SNAPSHOT, name) for name in (EQUAL, ITEMS, ORDERS, OVERLAP)], can_subset=True)
def served_snapshot(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, redis: RedisResource
) -> Iterator[dg.AssetCheckResult]:
    """Reads every key of the current snapshot, compares it with the lake, and its lists with those before."""
    settings = redis.settings.load()
    chosen = {key.name for key in context.selected_asset_check_keys}
    with redis.client() as client:
        if chosen - {EQUAL}:
            change = served_change(client, settings.namespace)
            yield from (weighed(one, settings) for one in _change_results(change, settings) if one.check_name in chosen)
        if EQUAL in chosen:  # last: a failing blocking check ends the step
            yield _equal(verify_current(client, settings.namespace, lake.open()))


def _equal(report: VerifyReport) -> dg.AssetCheckResult:
    return result(
        REDIS_SNAPSHOT,
        EQUAL,
        passed=report.passed,
        found=f"{report.checked} keys checked: {report.missing} missing, {report.different} different, "
        f"{report.extra} not ours.",
        figures={
            "keys_checked": report.checked,
            "missing": report.missing,
            "different": report.different,
            "extra": report.extra,
        },
        worst=[{"key": key} for key in report.offenders],
    )


def _change_results(change: SnapshotChange, settings: Settings) -> Iterator[dg.AssetCheckResult]:
    yield _kept(ITEMS, "items", (change.items_before, change.items), change, settings.shrink_warn_rate)
    yield _kept(ORDERS, "orders", (change.orders_before, change.orders), change, settings.shrink_warn_rate)
    overlap, limit = change.overlap, settings.overlap_warn_rate
    against = f"those of {change.previous_id}"
    yield result(
        REDIS_SNAPSHOT,
        OVERLAP,
        passed=overlap is None or overlap >= limit,
        found="There are no earlier lists to compare with."
        if overlap is None
        else f"The top-10 lists overlap by {overlap:.1%} with {against}; at least {limit:.1%} is usual.",
        figures={"overlap": overlap, "snapshot_id": change.snapshot_id, "previous_id": change.previous_id},
        worst=change.least if overlap is not None and overlap < limit else (),
    )


def _kept(
    name: str, what: str, counts: tuple[int | None, int], change: SnapshotChange, limit: float
) -> dg.AssetCheckResult:
    before, after = counts
    loss = change.item_loss if what == "items" else change.order_loss
    return result(
        REDIS_SNAPSHOT,
        name,
        passed=loss is None or loss <= limit,
        found=f"{after:,} {what}; there is no earlier snapshot to compare with."
        if loss is None
        else f"{before:,} {what} before, {after:,} now: {loss:.1%} lost, up to {limit:.1%} is usual.",
        figures={what: after, f"{what}_before": before, "loss": loss, "previous_id": change.previous_id},
        worst=[{"snapshot": change.previous_id, what: before}, {"snapshot": change.snapshot_id, what: after}]
        if loss is not None and loss > limit
        else (),
    )
