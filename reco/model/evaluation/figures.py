"""Figures of answers, each with the source of its formula.

Belongs here: metrics and their standard errors. Does not belong here: what a difference decides.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reco.model.evaluation.answers import DEPTH, Answers
from reco.model.evaluation.protocol import Questions, Split

METRICS = ("hit_rate", "ndcg", "mrr")


@dataclass(frozen=True, slots=True)
class Figures:
    """How well questions were answered; shares in 0..1, `_error` the standard error of a mean.

    hit_rate: HR@10, the share of questions whose hidden item is among the first ten; repeat_rate, explore_rate: the
    same of items that the customer had bought before, and had not (None: no such question); ndcg: NDCG@10, 1 /
    log2(rank + 1) within the first ten: with one hidden item the ideal DCG is 1 (K. Jarvelin, J. Kekalainen, TOIS
    2002); mrr: the mean of 1 / rank over all places (0 where it is no candidate); coverage: the share of the items that
    take part which stand in the first ten of any answer; novelty: the mean of -log2 of the share of orders that hold an
    item of the first ten, in bits (T. Zhou et al., PNAS 2010); popularity_bias: the mean share of orders of items in
    the first ten over that of the hidden items: above 1 the answers are more popular than what was bought.
    """

    questions: int
    hit_rate: float
    hit_rate_error: float
    ndcg: float
    ndcg_error: float
    mrr: float
    mrr_error: float
    repeat_rate: float | None
    explore_rate: float | None
    coverage: float
    novelty: float | None
    popularity_bias: float | None


def gains(answers: Answers) -> dict[str, NDArray[np.float64]]:
    """What each question adds to each metric, by its name in `METRICS`."""
    rank = answers.rank
    hit = (rank > 0) & (rank <= DEPTH)
    with np.errstate(divide="ignore"):
        return {
            "hit_rate": hit.astype(np.float64),
            "ndcg": np.where(hit, 1 / np.log2(np.maximum(rank, 1) + 1.0), 0.0),
            "mrr": np.where(rank > 0, 1.0 / np.maximum(rank, 1), 0.0),
        }


def mean_and_error(values: NDArray[np.float64]) -> tuple[float, float]:
    """The mean and its standard error; (0, 0) without values."""
    if not len(values):
        return 0.0, 0.0
    spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    return float(values.mean()), spread / float(np.sqrt(len(values)))


def figures_of(answers: Answers, split: Split) -> Figures:
    """All figures of one contender's answers."""
    gained = {name: mean_and_error(values) for name, values in gains(answers).items()}
    share = split.orders / max(1, len(split.learnt.starts))
    shown = share[answers.first]
    bought = share[split.questions.hidden]
    repeat, explore = _by_repeat(gains(answers)["hit_rate"], split.questions)
    return Figures(
        questions=len(split.questions),
        hit_rate=gained["hit_rate"][0],
        hit_rate_error=gained["hit_rate"][1],
        ndcg=gained["ndcg"][0],
        ndcg_error=gained["ndcg"][1],
        mrr=gained["mrr"][0],
        mrr_error=gained["mrr"][1],
        repeat_rate=repeat,
        explore_rate=explore,
        coverage=len(np.unique(answers.first)) / split.known if split.known else 0.0,
        novelty=float(-np.log2(shown).mean()) if len(shown) else None,
        popularity_bias=float(shown.mean() / bought.mean()) if len(shown) and len(bought) else None,
    )


def difference(one: Answers, other: Answers, metric: str) -> tuple[float, float]:
    """By how much the first is better than the second at the same questions, and the standard error of that.

    The error of the paired differences, which is smaller than that of either mean.
    """
    return mean_and_error(gains(one)[metric] - gains(other)[metric])


def _by_repeat(hits: NDArray[np.float64], questions: Questions) -> tuple[float | None, float | None]:
    if questions.repeated is None or questions.asked is None:
        return None, None
    again, new = questions.repeated & questions.asked, ~questions.repeated & questions.asked
    return (
        float(hits[again].mean()) if again.any() else None,
        float(hits[new].mean()) if new.any() else None,
    )
