"""Scores of pairs: the formulas that may rank, and their settings.

Belongs here: what the formulas mean, their sources, and the settings that choose among them. Does not belong here:
their arithmetic (`formulas`), counting (`pairs`, `kernel`), keeping the best (`ranking`), evidence beside a score.

With w_ij the orders that hold items i and j, w_i those that hold i, W all orders (each weighed by its age, where
decay is on), the score of j as a neighbour of i is

| name | score | source |
|---|---|---|
| cosine | w_ij / sqrt(w_i w_j) | A. Ochiai 1957; B. Sarwar et al., WWW 2001, section 3.1.1 |
| jaccard | w_ij / (w_i + w_j - w_ij) | P. Jaccard 1901 |
| confidence | w_ij / w_i | conditional probability; R. Agrawal et al., SIGMOD 1993 |
| llr | mutual information of "holds i" and "holds j", in bits | T. Dunning 1993: his ratio is 2 W ln 2 of it |
| powers | (s_ij / (w_i^a w_j^b))^p | M. Deshpande, G. Karypis, TOIS 2004, with a = 1 and one b; see below |
| regression | what i says of j beyond what other candidates say | see `regression` |

Each is multiplied by n_ij / (n_ij + shrinkage) where shrinkage is set (R. Bell, Y. Koren, ICDM 2007), n_ij the exact
number of orders with both. Cosine, jaccard and llr are symmetric; confidence is not, nor is powers unless a = b.

`powers` counts an order of n different items as 1 / (n - 1)^g in s_ij: a pair in a small basket says more than one of
the hundreds of pairs in a large one. a takes from frequent items of the basket their louder voice, b how often a
frequent candidate is named merely because it is frequent; p > 1 lets the strongest pairs of a basket decide.
Lift never ranks: it favours pairs of rare items.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from reco.errors import UsageError
from reco.model import formulas
from reco.settings import Settings

ScoreName = Literal["cosine", "jaccard", "confidence", "llr", "powers", "regression"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
PAIR_SCORES = tuple(name for name in SCORES if name != "regression")
"""Those that a pair alone determines, by `score_pairs`."""
AUTO = "auto"
"""In place of a score: the one that the evaluation of the shop's orders finds best."""
TOP = 100
REGRESSION_SIZE = 0.35
"""g of `regression`."""

Reals = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """How pairs are scored and which are kept.

    score: a name of the table above; top: neighbours kept for an item; min_pair_orders: pairs in fewer orders are left
    out; shrinkage: orders, 0 is off; half_life_days: the age at which an order weighs half, 0 is off; order_size_power
    (g), item_power (a), other_power (b) and sharpness (p) belong to `powers` and are without meaning elsewhere, but for
    g, which `regression` has too; candidates and ridge belong to that: how many items it considers for each.
    """

    score: ScoreName = "cosine"
    top: int = TOP
    min_pair_orders: int = 1
    shrinkage: float = 0.0
    half_life_days: float = 0.0
    order_size_power: float = 0.0
    item_power: float = 0.5
    other_power: float = 0.5
    sharpness: float = 1.0
    candidates: int = 0
    ridge: float = 0.0

    def __post_init__(self) -> None:
        """Raises UsageError for what no score can be: an unknown name, or a value out of its range."""
        wrong = ""
        if self.score not in SCORES:
            wrong = f"there is no score {self.score!r}"
        elif self.top < 1 or self.min_pair_orders < 1:
            wrong = "top and min_pair_orders are at least 1"
        elif min(self.shrinkage, self.half_life_days, self.order_size_power, self.item_power, self.other_power) < 0:
            wrong = "shrinkage, half-life and powers are not below 0"
        elif self.sharpness <= 0 or self.item_power + self.other_power < 1:
            wrong = "sharpness is above 0, and item_power + other_power at least 1, or a score could exceed 1"
        elif self.score == "regression" and (self.candidates < 1 or self.ridge <= 0):
            wrong = "a regression has at least one candidate, and a ridge above 0"
        if wrong:
            raise UsageError(
                f"These settings score nothing: {wrong}.", hint=f"Choose among {', '.join(SCORES)}; see the reference."
            )

    @classmethod
    def of(cls, settings: Settings, score: ScoreName | None = None) -> "ScoreSettings":
        """The score settings of a shop, or what they are with another score; powers only where they have a meaning.

        Raises:
            UsageError: the score is chosen by the evaluation, and none is given: ask `choice.scores_in_force`.
        """
        if score is None and settings.score == AUTO:
            raise UsageError(
                "RECO_SCORE=auto is no score: the evaluation chooses one.", hint="Materialize score_choice first."
            )
        name = score or cast("ScoreName", settings.score)
        general = cls(
            min_pair_orders=settings.score_min_pair_orders or (2 if name == "powers" else 1),
            shrinkage=settings.score_shrinkage,
            half_life_days=settings.score_half_life_days,
        )
        own: dict[str, Any] = {}
        if name == "powers":
            own = {
                "order_size_power": settings.score_order_size_power,
                "item_power": settings.score_item_power,
                "other_power": settings.score_other_power,
                "sharpness": settings.score_sharpness,
            }
        elif name == "regression":
            own = {
                "order_size_power": REGRESSION_SIZE,
                "candidates": settings.score_candidates,
                "ridge": settings.score_ridge,
            }
        return replace(general, score=name, **own)

    @property
    def plain(self) -> bool:
        """Whether the score is the cosine of exact counts, which can be computed again from them."""
        return self.score == "cosine" and not self.shrinkage and not self.half_life_days

    @property
    def weighs_orders(self) -> bool:
        """Whether an order counts by its size or age, so that pairs have a weight beside their count."""
        sized = self.score in ("powers", "regression") and self.order_size_power
        return bool(self.half_life_days or sized)

    @property
    def keeping(self) -> "ScoreSettings":
        """The settings by which pairs are kept: these; of a regression those that choose its candidates."""
        if self.score != "regression":
            return self
        alike = replace(self, score="powers", item_power=0.5, other_power=0.5, sharpness=1.0, shrinkage=0.0)
        return replace(alike, top=self.candidates, candidates=0, ridge=0.0)

    def powered(self, one: Reals, other: Reals) -> tuple[Reals, Reals]:
        """w_i^a and w_j^b of `powers`; of the other scores, which have no powers, w_i and w_j."""
        if self.score != "powers":
            return one, other
        return formulas.power(one, self.item_power), formulas.power(other, self.other_power)

    def as_dict(self) -> dict[str, Any]:
        """What stands in the manifest: name, top, and what differs from "no weighing at all"."""
        given, neutral = asdict(self), asdict(ScoreSettings())
        return {name: given[name] for name in given if name in ("score", "top") or given[name] != neutral[name]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "ScoreSettings":
        """The settings that `as_dict` wrote.

        Raises:
            UsageError: they are of another version.
        """
        try:
            return cls(**value)
        except TypeError as error:
            raise UsageError(
                f"Score settings of another version: {sorted(value)}.", hint="Publish anew with `reco run`."
            ) from error


def score_pairs(
    settings: ScoreSettings, both: NDArray[Any], one: Reals, other: Reals, *, total: float, pair_orders: NDArray[Any]
) -> Reals:
    """The scores of pairs, 0..1; 0 for llr where two items meet no more often than by chance.

    Args:
        settings: see there.
        both: w_ij (pairs), or s_ij for `powers`.
        one: w_i, of the item asked for.
        other: w_j, of its neighbour.
        total: W.
        pair_orders: the exact n_ij.
    """
    if settings.score == "cosine":
        found: Reals = formulas.cosine(both, one, other)
    elif settings.score == "jaccard":
        found = formulas.jaccard(both, one, other)
    elif settings.score == "confidence":
        found = both / one
    elif settings.score == "llr":
        found = formulas.mutual_information(both, one, other, total)
    else:
        found = formulas.powers(both, *settings.powered(one, other), settings.sharpness)
    if settings.shrinkage:
        found = formulas.shrunk(found, pair_orders, settings.shrinkage)
    return found
