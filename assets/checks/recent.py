"""The checks of the newest drops beside those before them: contradictions, lateness, outliers and drift.

They look at the newest batch, because a change is news once; what is wrong with a drop as such is judged as long as the
drop is there (`assets.checks.ingest`). Does not belong here: formulas and queries (`reco.audit`).
"""

from collections.abc import Callable, Sequence
from functools import cache

import dagster as dg

from assets.checks.common import result
from reco.audit.recent import LEAST_LINES, LEAST_ORDERS, Outliers, RecentComparison
from reco.audit.timeliness import judge_timeliness
from reco.audit.verdict import LEAST_PAST, DropVerdict
from reco.orders.drops import ORDER_LINES
from reco.orders.verdicts import recent_comparison
from reco.settings import Settings
from reco.storage.lake import Lake

ITEMS, ORDERS, TIMELY = "items_consistent", "orders_consistent", "orders_timely"
PRICES, QUANTITIES, MIX = "prices_usual", "quantities_usual", "mix_steady"
NAMES = (ITEMS, ORDERS, TIMELY, PRICES, QUANTITIES, MIX)

Maker = Callable[[], dg.AssetCheckResult]


def makers(verdicts: Sequence[DropVerdict], lake: Lake, settings: Settings) -> dict[str, Maker]:
    """What makes the result of each check; those that need the stored lines share one look at them."""

    @cache
    def compared() -> RecentComparison | None:
        return recent_comparison(verdicts, lake, recent_drops=settings.recent_drops, outlier_z=settings.outlier_warn_z)

    def of(name: str, make: Callable[[RecentComparison, Settings], dg.AssetCheckResult]) -> Maker:
        def maker() -> dg.AssetCheckResult:
            found = compared()
            if found is None:
                return result(ORDER_LINES, name, passed=True, found="There is no drop.", figures={})
            return make(found, settings)

        return maker

    return {
        TIMELY: lambda: _timely(verdicts, settings),
        ITEMS: of(ITEMS, _items),
        ORDERS: of(ORDERS, _orders),
        PRICES: of(PRICES, lambda found, known: _outliers(PRICES, "prices", found.prices, known)),
        QUANTITIES: of(QUANTITIES, lambda found, known: _outliers(QUANTITIES, "quantities", found.quantities, known)),
        MIX: of(MIX, _mix),
    }


def _items(found: RecentComparison, settings: Settings) -> dg.AssetCheckResult:
    items, limit = found.items, settings.contradiction_warn_rate
    return result(
        ORDER_LINES,
        ITEMS,
        passed=items.rate <= limit,
        found=f"Of {items.total:,} items of the recent drops {items.first:,} have two names and {items.second:,} two "
        f"categories; up to {limit:.2%} are usual.",
        figures={
            "contradiction_rate": items.rate,
            "items": items.total,
            "items_with_two_names": items.first,
            "items_with_two_categories": items.second,
        },
        worst=items.worst if items.rate > limit else (),
    )


def _orders(found: RecentComparison, settings: Settings) -> dg.AssetCheckResult:
    orders, limit = found.orders, settings.contradiction_warn_rate
    return result(
        ORDER_LINES,
        ORDERS,
        passed=orders.rate <= limit,
        found=f"Of {orders.total:,} orders of the newest drops {orders.first:,} have two customers and "
        f"{orders.second:,} times a day or more apart; up to {limit:.2%} are usual.",
        figures={
            "contradiction_rate": orders.rate,
            "orders": orders.total,
            "orders_with_two_customers": orders.first,
            "orders_with_two_days": orders.second,
        },
        worst=orders.worst if orders.rate > limit else (),
    )


def _timely(verdicts: Sequence[DropVerdict], settings: Settings) -> dg.AssetCheckResult:
    found = judge_timeliness([one.facts for one in verdicts], settings.recent_drops)
    late = found.late(settings.age_warn_days)
    if found.age_days is None:
        words = "No line of the newest drops has a time."
    else:
        words = f"The newest order was {found.age_days:.1f} days old when it came"
        words += (
            f"; fewer than {LEAST_PAST} batches with times came before."
            if found.usual_age_days is None
            else f", in the {found.batches_before} batches before {found.usual_age_days:.1f}; "
            f"up to {settings.age_warn_days:g} days more are usual."
        )
    return result(
        ORDER_LINES,
        TIMELY,
        passed=not late,
        found=words,
        figures={
            "age_days": found.age_days,
            "usual_age_days": found.usual_age_days,
            "backlog_days": found.backlog_days,
        },
        worst=[{"newest batch": "age in days", "now": found.age_days, "usual": found.usual_age_days}] if late else (),
    )


def _outliers(name: str, what: str, found: Outliers, settings: Settings) -> dg.AssetCheckResult:
    limit = settings.outlier_warn_rate
    return result(
        ORDER_LINES,
        name,
        passed=found.rate <= limit,
        found=f"{found.beyond:,} of {found.compared:,} {what} of the newest drops ({found.rate:.2%}) are more than "
        f"{settings.outlier_warn_z:g} spreads from what is usual for their item; up to {limit:.2%} are usual."
        if found.compared
        else f"No item has {LEAST_LINES} {what} to compare with.",
        figures={"outlier_rate": found.rate, "outliers": found.beyond, "compared": found.compared},
        worst=found.worst if found.rate > limit else (),
    )


def _mix(found: RecentComparison, settings: Settings) -> dg.AssetCheckResult:
    limit = settings.drift_warn_index
    moved = {what: shift for what, shift in found.shifts.items() if shift.drift.index > max(limit, shift.drift.noise)}
    indexes = ", ".join(f"{what} {shift.drift.index:.3f}" for what, shift in found.shifts.items())
    return result(
        ORDER_LINES,
        MIX,
        passed=not moved,
        found=f"Stability index against the drops before: {indexes}; up to {limit:g} is usual."
        if found.shifts
        else f"Fewer than {LEAST_ORDERS} orders on either side: too few to compare with the drops before.",
        figures={
            "orders": found.orders_newest,
            "orders_before": found.orders_before,
            **{f"index/{what}": shift.drift.index for what, shift in found.shifts.items()},
            **{f"noise/{what}": shift.drift.noise for what, shift in found.shifts.items()},
        },
        worst=[row for shift in moved.values() for row in shift.worst],
    )
