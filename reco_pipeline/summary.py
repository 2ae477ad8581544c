"""The result of one run as people and scripts read it.

Belongs here: the fields of `reco run --json`. Does not belong here: how they are drawn on a terminal.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from reco.audit.quality import quality_score
from reco.orders.ledger import Drop, Registration, Seen

if TYPE_CHECKING:
    from reco.catalog.ledger import CatalogueDrop, GivenCatalogue

COUNTS = ("lines_read", "lines_accepted", "lines_excluded", "lines_quarantined")


@dataclass(frozen=True)
class DropSummary:
    """One given drop: `status` is ingested, failed, known (nothing new), or pending after a failed run."""

    name: str
    sha256: str | None
    source: str | None
    status: str
    error: str | None
    lines_read: int
    lines_accepted: int
    lines_excluded: int
    lines_quarantined: int


@dataclass(frozen=True)
class Published:
    """The served snapshot after the run."""

    snapshot_id: str | None = None
    orders: int = 0
    items: int = 0
    pairs: int = 0
    redis_keys: int = 0
    redis_bytes: int = 0


@dataclass(frozen=True)
class RunSummary:
    """What one run did. Counts of lines are those of this run's drops, the rest is of the published snapshot."""

    run_id: str | None
    published: bool
    changed: bool
    drops: tuple[DropSummary, ...]
    snapshot: Published
    catalogues: tuple[DropSummary, ...] = ()
    reasons: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def drops_failed(self) -> int:
        """How many given drops could not be used."""
        return sum(drop.status == "failed" for drop in (*self.drops, *self.catalogues))

    def total(self, count: str) -> int:
        """One of the line counts over this run's drops."""
        return sum(getattr(drop, count) for drop in self.drops)

    def to_json(self) -> dict[str, Any]:
        """The object `reco run --json` prints."""
        return {
            "run_id": self.run_id,
            "snapshot_id": self.snapshot.snapshot_id,
            "published": self.published,
            "changed": self.changed,
            "drops": [asdict(drop) for drop in self.drops],
            "catalogues": [asdict(one) for one in self.catalogues],
            **{count: self.total(count) for count in COUNTS},
            "reasons": self.reasons,
            "orders": self.snapshot.orders,
            "items": self.snapshot.items,
            "pairs": self.snapshot.pairs,
            "redis_keys": self.snapshot.redis_keys,
            "redis_bytes": self.snapshot.redis_bytes,
            "seconds": self.seconds,
            "quality_score": quality_score(self.total("lines_read"), self.total("lines_quarantined")),
            "note": self.note,
        }


def drop_summaries(registrations: Sequence[Registration], drops: Sequence[Drop]) -> tuple[DropSummary, ...]:
    """The drops of a run: those given to it, then those that waited from an earlier one.

    A drop that was known before brought no line to this run: its counts are 0.
    """
    now = {drop.key: drop for drop in drops}
    found: list[DropSummary] = []
    for one in registrations:
        if one.drop is None:
            found.append(DropSummary(one.name, None, None, "failed", str(one.error), 0, 0, 0, 0))
        elif one.seen is Seen.KNOWN and one.drop.key not in now:
            found.append(DropSummary(one.name, one.drop.sha256, one.drop.source, "known", None, 0, 0, 0, 0))
        elif one.drop.key in now:
            found.append(_of(now.pop(one.drop.key)))
    return (*found, *(_of(drop) for drop in now.values()))


def catalogue_summaries(given: "Sequence[GivenCatalogue]", drops: "Sequence[CatalogueDrop]") -> tuple[DropSummary, ...]:
    """The catalogues of a run: those that were refused, and those given or waiting, as they stand now."""
    known = {one.drop_key for one in given if one.seen is Seen.KNOWN}
    refused = [DropSummary(one.name, None, None, "failed", str(one.error), 0, 0, 0, 0) for one in given if not one.drop]
    stand = [
        DropSummary(drop.name, drop.sha256, drop.source, "known", None, 0, 0, 0, 0) if drop.key in known else _of(drop)
        for drop in drops
    ]
    return (*refused, *stand)


def reasons_of(drops: Sequence[Drop]) -> dict[str, int]:
    """Lines not accepted by reason over these drops, most frequent first."""
    reasons: Counter[str] = Counter()
    for drop in drops:
        reasons.update(drop.reasons or {})
    return dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0])))


def _of(drop: "Drop | CatalogueDrop") -> DropSummary:
    counts = (getattr(drop, name) or 0 for name in COUNTS)
    return DropSummary(drop.name, drop.sha256, drop.source, drop.status.value, drop.error, *counts)
