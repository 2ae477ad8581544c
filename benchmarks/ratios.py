"""Ratios: what they were, what they are, and whether one got worse.

Belongs here: the committed file and the verdict. Does not belong here: measuring.

Seconds belong to a machine; the ratio of two processes that took turns on it hardly does. A ratio is worse when it lies
above the kept one by more than its tolerance, and the tolerance grows with the spread of the rounds it was measured in.
"""

import datetime as dt
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Literal

from reco.errors import ConfigError

KEPT = Path(__file__).with_name("ratios.json")
WIDEST = 0.5
"""The tolerance never grows beyond this: a doubled cost is seen on the busiest machine."""

Verdict = Literal["as before", "better", "WORSE", "new"]


@dataclass(frozen=True)
class Ratio:
    """One measured ratio; lower is better. `rounds` has it for each round, `target` is the bound we want to stay in."""

    name: str
    rounds: tuple[float, ...]
    tolerance: float
    target: float | None = None

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    @property
    def allowed(self) -> float:
        """How far above the kept ratio it may lie, as a share: its tolerance, or the spread of the middle half."""
        if len(self.rounds) < 3:
            return self.tolerance
        low, _, high = quantiles(self.rounds, n=4, method="inclusive")
        return min(max(self.tolerance, (high - low) / self.value), WIDEST)

    def verdict(self, kept: dict[str, float]) -> Verdict:
        """This ratio against the kept one."""
        before = kept.get(self.name)
        if before is None:
            return "new"
        if self.value > before * (1 + self.allowed):
            return "WORSE"
        return "better" if self.value < before / (1 + self.allowed) else "as before"


def load(path: Path = KEPT) -> dict[str, float]:
    """The kept ratios by name; empty where none are kept yet.

    Raises:
        ConfigError: the file is not what `save` writes.
    """
    if not path.is_file():
        return {}
    try:
        return {
            str(name): float(value) for name, value in json.loads(path.read_text(encoding="utf-8"))["ratios"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path} does not hold ratios: {error}.", hint="Write it anew with `make bench ARGS=--update`."
        ) from error


def save(ratios: Sequence[Ratio], path: Path = KEPT) -> None:
    """Keeps these ratios, and those of parts that were not measured now."""
    kept = load(path) | {one.name: round(one.value, 3) for one in ratios}
    body = {
        "measured_on": dt.datetime.now(dt.UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "ratios": dict(sorted(kept.items())),
    }
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
