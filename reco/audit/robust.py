"""Formulas that a few wild values cannot move: distance from the usual, and drift between two distributions.

Belongs here: pure arithmetic, each formula with its source. Does not belong here: which values are compared
(`reco.audit.recent`, `reco.audit.volume`), or when a figure warns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

MAD_TO_SIGMA = 1.4826
"""The median absolute deviation of a normal distribution times this is its standard deviation."""
_NORMAL_999 = 3.0902
"""The 99.9 % point of the normal distribution."""


def usual(values: Sequence[float]) -> tuple[float, float]:
    """The median of some values (at least one), and their spread: 1.4826 times the median absolute deviation."""
    centre = median(values)
    return centre, MAD_TO_SIGMA * median(abs(value - centre) for value in values)


def robust_z(value: float, centre: float, spread: float) -> float:
    """How many spreads a value lies from the centre (Iglewicz and Hoaglin 1993); 0 where there is no spread at all."""
    return (value - centre) / spread if spread else 0.0


@dataclass(frozen=True, slots=True)
class Drift:
    """How far two distributions over the same bins lie apart.

    index: the population stability index, 0 for equal shares; noise: the index that mere chance exceeds once in a
    thousand times; worst: the bins by their part in the index, largest first, as positions.
    """

    index: float
    noise: float
    worst: tuple[int, ...]


def drift(now: Sequence[int], before: Sequence[int], drawn: tuple[int, int]) -> Drift:
    """The population stability index of counts in bins: sum of (a - b) * ln(a / b) over the shares a now and b before.

    Half a count is added to each bin, so that an empty one does not make the index infinite. Under no change the index
    times n * m / (n + m) follows a chi-squared distribution with one degree less than bins (Yurdakul 2018); its 99.9 %
    point is that of Wilson and Hilferty.

    Args:
        now: counts by bin, two bins at least.
        before: counts of the same bins.
        drawn: how many independent draws (orders) each side is made of, n and m, at least 1.
    """
    total_now, total_before = sum(now) + len(now) / 2, sum(before) + len(before) / 2
    parts = []
    for a, b in zip(now, before, strict=True):
        share_now, share_before = (a + 0.5) / total_now, (b + 0.5) / total_before
        parts.append((share_now - share_before) * math.log(share_now / share_before))
    free = len(now) - 1
    chi_squared = free * (1 - 2 / (9 * free) + _NORMAL_999 * math.sqrt(2 / (9 * free))) ** 3
    worst = sorted(range(len(parts)), key=lambda place: -parts[place])
    return Drift(sum(parts), chi_squared * (1 / drawn[0] + 1 / drawn[1]), tuple(worst))
