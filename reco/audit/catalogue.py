"""The closed list of audit checks: which there are, what each promises, and how much a failure weighs.

Belongs here: names and promises, light enough for any command. Does not belong here: how a check is computed or shown
(`assets.checks`).
"""

from dataclasses import dataclass
from enum import StrEnum


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
    CheckEntry("order_lines", "few_duplicates", Weight.WARNING, "Few lines of a drop repeat another line exactly."),
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
        "item_cooccurrence",
        "pairs_symmetric_and_bounded",
        Weight.ERROR,
        "Every pair stands in both directions with one count, never above the orders of either item.",
    ),
    CheckEntry(
        "similar_items",
        "scores_bounded",
        Weight.ERROR,
        "Scores and confidences lie in 0..1, ranks run 1..100 without a gap.",
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
