"""EASE and a scaled form of it: regressions of every item on all others, in closed form, as yardsticks.

Belongs here: the formula (H. Steck, WWW 2019): with G the items' co-occurrence and P = (G + lambda I)^-1, the weight of
i for j is -P_ij / P_jj. Does not belong here: anything a shop runs: it takes items^3 operations and items^2 memory.

The scaled form weighs an order of n items 1 / (n - 1)^g, solves for D G D with D = diag(G)^-s, and gives back a part of
that scaling: the weight of i for j is multiplied by (D_ii / D_jj)^t.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reco.model.evaluation.answers import Lists
from reco.model.evaluation.protocol import Split
from reco.model.pairs import count_pairs
from reco.model.scores import ScoreSettings


@dataclass(frozen=True)
class Regression:
    """items: the most frequent ones that take part; ridge: lambda; size: g; scale: s; back: t."""

    items: int
    ridge: float
    size: float = 0.0
    scale: float = 0.0
    back: float = 1.0


EASE = Regression(items=8000, ridge=300)
SCALED = Regression(items=20_000, ridge=3, size=0.35, scale=0.35, back=0.6)


def regress(split: Split, how: Regression, *tops: int) -> list[Lists]:
    """The lists of a regression: of each item the so many best positive weights, once for each of `tops`."""
    codes = np.argsort(split.place)[: min(how.items, split.known)]
    column = np.full(len(split.place), -1)
    column[codes] = np.arange(len(codes))
    gram = np.zeros((len(codes), len(codes)), np.float32)
    weights = split.learnt.weights(ScoreSettings(score="powers", order_size_power=how.size))
    for pairs in count_pairs(split.learnt, weights):
        one, other = column[pairs.item], column[pairs.other]
        both = (one >= 0) & (other >= 0)
        counted = pairs.orders if pairs.weight is None else pairs.weight
        gram[one[both], other[both]] = counted[both]
    own = split.learnt.item_totals(weights)[codes] / (1 if weights is None else 2**30)
    scale = (own**-how.scale).astype(np.float32)
    gram[np.diag_indices(len(codes))] = own
    gram *= scale[:, None]
    gram *= scale
    gram[np.diag_indices(len(codes))] += how.ridge
    inverse: NDArray[np.float32] = np.linalg.inv(gram)
    del gram
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0)
    inverse *= (scale**how.back)[:, None]
    inverse /= scale**how.back
    return [_lists(inverse, codes, len(split.place), top) for top in tops]


def _lists(weights: NDArray[np.float32], codes: NDArray[np.int64], width: int, top: int) -> Lists:
    items, others, scores = [], [], []
    for row, code in enumerate(codes):
        best = np.argsort(-weights[row], kind="stable")[:top]
        best = best[weights[row, best] > 0]
        items.append(np.full(len(best), code))
        others.append(codes[best])
        scores.append(weights[row, best].astype(np.float64))
    item = np.concatenate(items)
    by_item = np.argsort(item, kind="stable")
    starts = np.searchsorted(item[by_item], np.arange(width + 1))
    return Lists(starts, np.concatenate(others)[by_item], np.concatenate(scores)[by_item])
