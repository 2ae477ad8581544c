"""Quality figures of the ingested drops, from the ledger's counts.

Belongs here: formulas over counts. Does not belong here: reading lines, or deciding what a figure leads to.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


class CountedDrop(Protocol):
    """What a quality figure needs to know of a drop."""

    @property
    def key(self) -> str:
        """Partition key."""

    @property
    def name(self) -> str:
        """File name."""

    @property
    def lines_read(self) -> int | None:
        """Lines in its bytes; None before it was read."""

    @property
    def lines_quarantined(self) -> int | None:
        """Lines something is wrong with."""

    @property
    def reasons(self) -> dict[str, int] | None:
        """Lines not accepted, by reason."""


@dataclass(frozen=True)
class DropRate:
    """The quarantine rate of one drop, in 0..1."""

    key: str
    name: str
    read: int
    quarantined: int
    rate: float


@dataclass(frozen=True)
class QuarantineRates:
    """Quarantine over several drops: `reasons` counts all lines not accepted, excluded ones too."""

    read: int
    quarantined: int
    rate: float
    quality_score: float
    reasons: dict[str, int]
    drops: tuple[DropRate, ...]


def quality_score(read: int, quarantined: int) -> float:
    """The share of lines with nothing wrong, in percent: 100 * (1 - quarantined / read).

    Excluded lines count as good: a rule of the shop leaves them out, nothing is wrong with them. 100 without any line.
    """
    return 100.0 * (1 - quarantined / read) if read else 100.0


def quarantine_rates(drops: Iterable[CountedDrop]) -> QuarantineRates:
    """The quarantine rate of each drop and of all together, with the reasons, most frequent first."""
    rates: list[DropRate] = []
    reasons: Counter[str] = Counter()
    for drop in drops:
        read, bad = drop.lines_read or 0, drop.lines_quarantined or 0
        rates.append(DropRate(drop.key, drop.name, read, bad, bad / read if read else 0.0))
        reasons.update(drop.reasons or {})
    read, bad = sum(r.read for r in rates), sum(r.quarantined for r in rates)
    return QuarantineRates(
        read=read,
        quarantined=bad,
        rate=bad / read if read else 0.0,
        quality_score=quality_score(read, bad),
        reasons=dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0]))),
        drops=tuple(sorted(rates, key=lambda r: (-r.rate, r.key))),
    )
