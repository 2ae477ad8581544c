"""The gate: whether a new snapshot may take the place of the published one.

Belongs here: pure rules over summaries of both. Does not belong here: how a summary is made, or what a refusal does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from reco.errors import GateRefused

SAMPLE = 200
NOT_EMPTY = "not_empty"
DEPTH = 10


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """The limits: shares from 0 to 1. The defaults are those of the settings `gate_*`."""

    max_item_loss: float = 0.3
    max_order_loss: float = 0.3
    min_overlap: float = 0.2


@dataclass(frozen=True, slots=True)
class SnapshotSummary:
    """What the gate looks at.

    top_lists: for some items, the ids of their first neighbours in order. Of the published snapshot: its most popular
    items that have neighbours; of the new one: the same items, as far as it knows them.
    """

    items: int
    orders: int
    top_lists: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """A verdict. value and limit are None where there was nothing to compare."""

    name: str
    passed: bool
    value: float | None
    limit: float | None
    message: str

    def as_dict(self) -> dict[str, Any]:
        """For the manifest and the details of an error."""
        return asdict(self)


def judge(previous: SnapshotSummary | None, new: SnapshotSummary, policy: GatePolicy) -> tuple[Check, ...]:
    """All verdicts on a new snapshot. Without a previous one only emptiness can fail."""
    return (
        Check(NOT_EMPTY, new.items > 0, new.items, 1, f"{new.items:,} items from {new.orders:,} orders"),
        _loss("items", previous.items if previous else None, new.items, policy.max_item_loss),
        _loss("orders", previous.orders if previous else None, new.orders, policy.max_order_loss),
        _overlap(previous, new, policy.min_overlap),
    )


def require(checks: Sequence[Check]) -> None:
    """Passes silently when all checks passed.

    Raises:
        GateRefused: names each failed check with its numbers; details["checks"] holds all verdicts.
    """
    failed = [check for check in checks if not check.passed]
    if failed:
        empty = any(check.name == NOT_EMPTY for check in failed)
        raise GateRefused(
            "The gate refused the new snapshot: " + "; ".join(check.message for check in failed) + ".",
            hint="No order line was accepted: see the reasons, and give the drops a profile that fits (--source)."
            if empty
            else "Look at what came in (`reco drops list`). If the change is meant: `reco run --force`, or `force` in "
            "the Launchpad.",
            checks=[check.as_dict() for check in checks],
        )


def mean_overlap(previous: Mapping[str, Sequence[str]], new: Mapping[str, Sequence[str]]) -> float | None:
    """The mean, over the items of `previous`, of the share of their list that is in the new list too (0..1).

    An item that the new snapshot does not know, or that lost its list, counts as 0. None without a list to compare.
    """
    shares = [len(set(old) & set(new.get(item_id, ()))) / len(set(old)) for item_id, old in previous.items() if old]
    return sum(shares) / len(shares) if shares else None


def _loss(what: str, before: int | None, after: int, limit: float) -> Check:
    if not before:
        return Check(
            f"{what}_kept", passed=True, value=None, limit=limit, message=f"no published {what} to compare with"
        )
    loss = max(0, before - after) / before
    words = f"{loss:.1%} of {what} lost (from {before:,} to {after:,}), at most {limit:.1%} may be"
    return Check(f"{what}_kept", loss <= limit, loss, limit, words)


def _overlap(previous: SnapshotSummary | None, new: SnapshotSummary, limit: float) -> Check:
    lists = previous.top_lists if previous else {}
    share = mean_overlap(lists, new.top_lists)
    if share is None:
        return Check(
            "lists_overlap", passed=True, value=None, limit=limit, message="no published lists to compare with"
        )
    words = f"top-{DEPTH} lists of {len(lists)} popular items overlap by {share:.1%}, at least {limit:.1%} is wanted"
    return Check("lists_overlap", share >= limit, share, limit, words)
