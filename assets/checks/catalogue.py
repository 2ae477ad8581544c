"""The checks of the catalogue: whether its lines add up, what it lacks, and how it fits what is sold.

None of them stops anything: with a poor catalogue, or none, items are named by their order lines. Does not belong here:
counting (`reco.catalog.checks`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg

from assets.checks.common import Figure, result, spec, weighed
from reco.catalog.checks import CatalogueFindings, catalogue_imbalances, check_catalogue
from reco.catalog.ledger import CatalogueDrop, CatalogueLedger
from reco.catalog.table import CATALOGUE
from reco.orders.ledger import DropStatus
from reco.orders.orders import ORDERS, merging_rules
from reco.settings import Settings
from resources.home import DatabaseResource, LakeResource, SettingsResource

RECONCILE, USABLE, COMPLETE = "catalogue_lines_reconcile", "catalogues_usable", "catalogue_complete"
RATE = "catalogue_quarantine_rate"
UNIQUE, PRICES = "catalogue_ids_unique", "catalogue_prices_steady"
LISTED, SOLD = "sold_items_listed", "listed_items_sold"
NONE = "There is no catalogue: items are named by their order lines."


@dg.multi_asset_check(
    specs=[
        *(spec(CATALOGUE, name) for name in (RECONCILE, USABLE, RATE, COMPLETE, UNIQUE, PRICES)),
        *(spec(CATALOGUE, name, additional_deps=[ORDERS]) for name in (LISTED, SOLD)),
    ],
    can_subset=True,
)
def catalogue_checks(
    context: dg.AssetCheckExecutionContext,
    database: DatabaseResource,
    lake: LakeResource,
    settings: SettingsResource,
) -> Iterator[dg.AssetCheckResult]:
    """Looks once at the newest catalogues, those before them, and the items in the orders."""
    store, known = lake.open(), settings.load()
    ledger = database.ledger()
    every = CatalogueLedger(ledger.engine, store).drops()
    drops = [drop for drop in every if drop.status is DropStatus.INGESTED]
    rules = merging_rules(ledger.drops(status=DropStatus.INGESTED))
    found = check_catalogue(drops, store, store.path(ORDERS), price_change=known.price_warn_change, rules=rules)
    makers: dict[str, Callable[[], dg.AssetCheckResult]] = {
        RECONCILE: lambda: _reconcile(drops, catalogue_imbalances(drops, store)),
        USABLE: lambda: _usable([drop for drop in every if drop.status is DropStatus.FAILED]),
        RATE: lambda: _rate(found, known),
        COMPLETE: lambda: _complete(found, known),
        UNIQUE: lambda: _unique(found, known),
        PRICES: lambda: _prices(found, known),
        LISTED: lambda: _listed(found, known),
        SOLD: lambda: _sold(found, known),
    }
    for key in sorted(context.selected_asset_check_keys):
        yield weighed(makers[key.name](), known)


def _reconcile(drops: Sequence[CatalogueDrop], wrong: Sequence[Mapping[str, object]]) -> dg.AssetCheckResult:
    first = wrong[0] if wrong else {}
    return result(
        CATALOGUE,
        RECONCILE,
        passed=not wrong,
        found=f"{first['drop']}: {first['lines_read']} lines read, {first['accepted']} accepted and "
        f"{first['quarantined']} quarantined in the lake."
        if wrong
        else f"Every line of {len(drops)} catalogues is accounted for.",
        figures={
            "catalogues": len(drops),
            "lines_read": sum(drop.lines_read or 0 for drop in drops),
            "lines_accepted": sum(drop.lines_accepted or 0 for drop in drops),
            "lines_quarantined": sum(drop.lines_quarantined or 0 for drop in drops),
        },
        worst=wrong,
    )


def _usable(failed: Sequence[CatalogueDrop]) -> dg.AssetCheckResult:
    return result(
        CATALOGUE,
        USABLE,
        passed=not failed,
        found=f"{len(failed)} catalogues cannot be used; first: {failed[0].error}"
        if failed
        else "No catalogue failed.",
        figures={"catalogues_failed": len(failed)},
        worst=[{"key": drop.key, "name": drop.name, "error": drop.error or ""} for drop in failed],
    )


def _rate(found: CatalogueFindings, settings: Settings) -> dg.AssetCheckResult:
    rate, limit = _share(found.quarantined, found.read), settings.quarantine_warn_rate
    return _about(
        RATE,
        found,
        passed=rate <= limit,
        words=f"{found.quarantined:,} of {found.read:,} lines are quarantined ({rate:.2%}); up to {limit:.2%} are "
        "usual.",
        figures={"quarantine_rate": rate, "lines_quarantined": found.quarantined},
        worst=found.worst_quarantine,
    )


def _complete(found: CatalogueFindings, settings: Settings) -> dg.AssetCheckResult:
    named, categorised = 1 - _share(found.unnamed, found.listed), 1 - _share(found.uncategorised, found.listed)
    limit = settings.completeness_warn_rate
    return _about(
        COMPLETE,
        found,
        passed=named >= limit and (categorised >= limit or categorised == 0),
        words=f"Of {found.listed:,} listed items {named:.1%} have a name and {categorised:.1%} a category.",
        figures={"listed": found.listed, "completeness/item_name": named, "completeness/category": categorised},
    )


def _unique(found: CatalogueFindings, settings: Settings) -> dg.AssetCheckResult:
    rate = _share(found.duplicates, found.read)
    return _about(
        UNIQUE,
        found,
        passed=rate <= settings.duplicate_warn_rate,
        words=f"{found.duplicates:,} of {found.read:,} lines name an item that comes again below ({rate:.2%}).",
        figures={"duplicate_rate": rate, "lines_duplicate": found.duplicates},
    )


def _prices(found: CatalogueFindings, settings: Settings) -> dg.AssetCheckResult:
    rate, limit = _share(found.jumped, found.priced), settings.outlier_warn_rate
    return _about(
        PRICES,
        found,
        passed=rate <= limit,
        words=f"{found.jumped:,} of {found.priced:,} prices jumped against the catalogue before ({rate:.2%}); up to "
        f"{limit:.2%} are usual."
        if found.priced
        else "There is no catalogue with prices before it to compare with.",
        figures={"jump_rate": rate, "prices_jumped": found.jumped, "prices_compared": found.priced},
        worst=found.worst_prices,
    )


def _listed(found: CatalogueFindings, settings: Settings) -> dg.AssetCheckResult:
    sold = found.sold or 0
    rate, limit = _share(found.unlisted, sold), settings.orphan_warn_rate
    return _about(
        LISTED,
        found,
        passed=rate <= limit,
        words=f"{found.unlisted:,} of {sold:,} sold items are in no newest catalogue ({rate:.2%}, in "
        f"{found.unlisted_orders:,} lines of orders); up to {limit:.2%} are usual.",
        figures={"orphan_rate": rate, "items_sold": sold, "items_unlisted": found.unlisted},
        worst=found.worst_unlisted,
    )


def _sold(found: CatalogueFindings, settings: Settings) -> dg.AssetCheckResult:
    rate, limit = _share(found.unsold, found.listed), settings.unsold_warn_rate
    return _about(
        SOLD,
        found,
        passed=found.sold is None or rate <= limit,
        words=f"{found.unsold:,} of {found.listed:,} listed items were never sold ({rate:.2%}); up to {limit:.2%} are "
        "usual."
        if found.sold is not None
        else "There are no orders yet.",
        figures={"unsold_rate": rate, "items_unsold": found.unsold, "items_listed": found.listed},
        worst=found.worst_unsold,
    )


def _about(
    name: str,
    found: CatalogueFindings,
    *,
    passed: bool,
    words: str,
    figures: Mapping[str, Figure],
    worst: Sequence[Mapping[str, object]] = (),
) -> dg.AssetCheckResult:
    if not found.read:
        return result(CATALOGUE, name, passed=True, found=NONE, figures={})
    return result(CATALOGUE, name, passed=passed, found=words, figures=figures, worst=() if passed else worst)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
