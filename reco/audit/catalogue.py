"""The closed list of audit checks: which there are, what each promises, and how much a failure weighs.

Belongs here: names and promises, light enough for any command. Does not belong here: how a check is computed or shown
(`assets.checks`).
"""

from dataclasses import dataclass
from enum import StrEnum

from reco.errors import ConfigError


class Weight(StrEnum):
    """What a failure means.

    warning: the data is poor, and nothing stops; error: an invariant is broken, by a defect or damage; blocking: the
    same, and nothing downstream is made in that run.
    """

    WARNING = "warning"
    ERROR = "error"
    BLOCKING = "blocking"


@dataclass(frozen=True, slots=True)
class CheckEntry:
    """One check of one asset."""

    asset: str
    name: str
    weight: Weight
    promise: str


CATALOGUE: tuple[CheckEntry, ...] = (
    CheckEntry(
        "order_lines",
        "lines_reconcile",
        Weight.BLOCKING,
        "Lines read = accepted + excluded + quarantined, and quarantined = replayed + open, per drop.",
    ),
    CheckEntry("order_lines", "drops_usable", Weight.WARNING, "Every drop that was given could be used."),
    CheckEntry(
        "order_lines",
        "key_fields_present",
        Weight.ERROR,
        "No accepted line lacks its order id, item, quantity, source or line.",
    ),
    CheckEntry(
        "order_lines",
        "quality_score",
        Weight.WARNING,
        "Nearly all lines of every drop have nothing wrong: 100 * (1 - quarantined / read) is high.",
    ),
    CheckEntry(
        "order_lines",
        "columns_complete",
        Weight.WARNING,
        "A column that a drop's file has is filled in most of its lines.",
    ),
    CheckEntry(
        "order_lines",
        "values_valid",
        Weight.WARNING,
        "Nearly all values of a column of a drop are valid: amounts, whole numbers, times.",
    ),
    CheckEntry(
        "order_lines",
        "few_duplicates",
        Weight.WARNING,
        "Lines are unique: few of a drop repeat another line exactly.",
    ),
    CheckEntry(
        "order_lines",
        "items_consistent",
        Weight.WARNING,
        "Few items of the recent drops have two names, or two categories.",
    ),
    CheckEntry(
        "order_lines",
        "orders_consistent",
        Weight.WARNING,
        "Few orders of the newest drops have two customers, or times a day or more apart.",
    ),
    CheckEntry(
        "order_lines",
        "orders_timely",
        Weight.WARNING,
        "The newest drops came about as soon after their newest order as the drops before them.",
    ),
    CheckEntry(
        "order_lines",
        "prices_usual",
        Weight.WARNING,
        "Few prices of the newest drops are far from what is usual for their item.",
    ),
    CheckEntry(
        "order_lines",
        "quantities_usual",
        Weight.WARNING,
        "Few quantities of the newest drops are far from what is usual for their item.",
    ),
    CheckEntry(
        "order_lines",
        "mix_steady",
        Weight.WARNING,
        "No drift: items, categories, prices and sizes of orders are distributed as in the drops before.",
    ),
    CheckEntry(
        "order_lines",
        "dates_sane",
        Weight.WARNING,
        "No drop has orders in the future, far before the drops that came before it, or over an implausible span.",
    ),
    CheckEntry(
        "order_lines",
        "drop_quality",
        Weight.WARNING,
        "Nothing about this drop is worse than the limits: one verdict for each partition.",
    ),
    CheckEntry("quarantined_lines", "quarantine_rate", Weight.WARNING, "Few lines are quarantined, in every drop."),
    CheckEntry(
        "quarantined_lines",
        "quarantine_steady",
        Weight.WARNING,
        "The newest drops have about as many quarantined lines as the drops before them.",
    ),
    CheckEntry(
        "orders",
        "volume_usual",
        Weight.WARNING,
        "Every day of the newest drops has about as many orders and lines as the same weekday of the weeks before.",
    ),
    CheckEntry(
        "catalogue",
        "catalogue_lines_reconcile",
        Weight.ERROR,
        "Lines read = accepted + quarantined, per catalogue.",
    ),
    CheckEntry("catalogue", "catalogues_usable", Weight.WARNING, "Every catalogue that was given could be used."),
    CheckEntry(
        "catalogue",
        "catalogue_quarantine_rate",
        Weight.WARNING,
        "Few lines of the newest catalogues are quarantined for more than coming again.",
    ),
    CheckEntry("catalogue", "catalogue_complete", Weight.WARNING, "Most listed items have a name and a category."),
    CheckEntry("catalogue", "catalogue_ids_unique", Weight.WARNING, "Few items stand in a catalogue twice."),
    CheckEntry(
        "catalogue",
        "catalogue_prices_steady",
        Weight.WARNING,
        "Few prices jumped against the catalogue before.",
    ),
    CheckEntry("catalogue", "sold_items_listed", Weight.WARNING, "Nearly all items that are sold are in a catalogue."),
    CheckEntry("catalogue", "listed_items_sold", Weight.WARNING, "Many of the listed items were sold at least once."),
    CheckEntry(
        "item_cooccurrence",
        "pairs_symmetric_and_bounded",
        Weight.ERROR,
        "Every pair kept has one count in both directions, never above the orders of either item.",
    ),
    CheckEntry(
        "similar_items",
        "scores_bounded",
        Weight.ERROR,
        "Scores and confidences lie in 0..1, ranks run 1..100 without a gap.",
    ),
    CheckEntry(
        "model_evaluation",
        "best_score_configured",
        Weight.WARNING,
        "No other score finds hidden items clearly more often than the configured one.",
    ),
    CheckEntry(
        "model_evaluation",
        "better_than_popular",
        Weight.WARNING,
        "The configured score finds hidden items more often than naming the most popular items does.",
    ),
    CheckEntry(
        "model_evaluation",
        "quality_held",
        Weight.WARNING,
        "The configured score and its lists answer no worse than the served score, learnt from the same orders.",
    ),
    CheckEntry(
        "redis_snapshot",
        "published_keys_equal",
        Weight.BLOCKING,
        "Every key of the served snapshot reads back equal to the lake.",
    ),
    CheckEntry(
        "redis_snapshot", "items_kept", Weight.WARNING, "The served snapshot knows the items of the one before it."
    ),
    CheckEntry(
        "redis_snapshot", "orders_kept", Weight.WARNING, "The served snapshot has the orders of the one before it."
    ),
    CheckEntry(
        "redis_snapshot",
        "lists_overlap",
        Weight.WARNING,
        "The first neighbours of popular items are mostly those of the snapshot before.",
    ),
)


def entry(asset: str, name: str) -> CheckEntry:
    """The entry of a check, which must be in the list."""
    return next(one for one in CATALOGUE if (one.asset, one.name) == (asset, name))


def raised_checks(names: str) -> frozenset[str]:
    """The checks that a shop raised from warning to error, from the setting `RECO_ERROR_CHECKS`.

    Raises:
        ConfigError: a name is not that of a check which warns.
    """
    given = {name.strip() for name in names.split(",")} - {""}
    warning = {one.name for one in CATALOGUE if one.weight is Weight.WARNING}
    if unknown := sorted(given - warning):
        raise ConfigError(
            f"RECO_ERROR_CHECKS names {', '.join(unknown)}, which is no check that warns.",
            hint=f"Choose among {', '.join(sorted(warning))}.",
            settings=["RECO_ERROR_CHECKS"],
        )
    return frozenset(given)
