"""The check of the orders that the newest drops brought, day by day.

Does not belong here: counting the days (`reco.audit.volume`).
"""

from collections.abc import Sequence

import dagster as dg

from assets.checks.common import result, spec, weighed
from reco.audit.volume import LEAST_WEEKS, JudgedDay, day_volumes, judge_days
from reco.orders.ledger import DropStatus
from reco.orders.orders import ORDERS
from reco.orders.verdicts import receipts_of
from reco.settings import Settings
from resources.home import DatabaseResource, LakeResource, SettingsResource

VOLUME = "volume_usual"


@dg.asset_check(asset=ORDERS, description=spec(ORDERS, VOLUME).description)
def volume_usual(database: DatabaseResource, lake: LakeResource, settings: SettingsResource) -> dg.AssetCheckResult:
    """Compares each day that the newest drops brought or completed with the same weekday of the weeks before."""
    known, drops = settings.load(), database.ledger().drops(status=DropStatus.INGESTED)
    newest = [drop for drop in drops if drop.batch == drops[-1].batch]
    if not newest:
        return result(ORDERS, VOLUME, passed=True, found="There is no drop.", figures={})
    receipts = receipts_of(drops, newest[0].batch)
    table = lake.open().existing(ORDERS)
    volumes = day_volumes(table, [drop.key for drop in newest], receipts, known.volume_weeks)
    judged = [
        day
        for source in sorted(volumes)
        for day in judge_days(source, volumes[source], known.volume_weeks, receipts[source].newest)
    ]
    return weighed(_volume(judged, known), known)


def _volume(days: Sequence[JudgedDay], settings: Settings) -> dg.AssetCheckResult:
    limit = settings.volume_warn_z
    unusual = sorted((one for one in days if one.farthest > limit), key=lambda one: (-one.farthest, one.day))
    found = f"None of the days to judge is over and has its weekday {LEAST_WEEKS} times before it."
    if days:
        found = f"{len(unusual)} of the {len(days)} newest days are more than {limit:g} spreads from their weekday"
        first = unusual[0] if unusual else None
        found += (
            f": {first.day:%a %Y-%m-%d} of {first.source} has {first.volume.orders:,} orders, usual are "
            if first
            else "."
        )
        found += f"{first.usual_orders:,.0f}." if first else ""
    return result(
        ORDERS,
        VOLUME,
        passed=not unusual,
        found=found,
        figures={
            "days": len(days),
            "days_unusual": len(unusual),
            "farthest": max((one.farthest for one in days), default=None),
            "orders_of_last_day": days[-1].volume.orders if days else None,
            "usual_orders_of_last_day": days[-1].usual_orders if days else None,
            "lines_of_last_day": days[-1].volume.lines if days else None,
        },
        worst=[
            {
                "source": one.source,
                "day": f"{one.day:%a %Y-%m-%d}",
                "orders": one.volume.orders,
                "usual_orders": one.usual_orders,
                "lines": one.volume.lines,
                "usual_lines": one.usual_lines,
                "robust_z": round(one.farthest, 1),
            }
            for one in unusual
        ],
    )
