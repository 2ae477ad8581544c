"""EASE, the yardstick of item-to-item models: a regression of every item on all others, in closed form.

Belongs here: the formula (H. Steck, WWW 2019): with G the items' co-occurrence and P = (G + lambda I)^-1, the weight of
i for j is -P_ij / P_jj. Does not belong here: anything a shop runs: it takes items^3 operations and items^2 memory.
"""

import numpy as np
from numpy.typing import NDArray

from reco.model.cooccurrence import count_pairs
from reco.model.evaluation.answers import Lists
from reco.model.evaluation.protocol import Split

ITEMS = 8000
LAMBDA = 300.0


def ease_lists(split: Split, items: int = ITEMS, ridge: float = LAMBDA) -> tuple[Lists, Lists]:
    """The lists of EASE over the most frequent items: all positive weights, and the best 100 of each item."""
    codes = np.argsort(split.place)[: min(items, split.known)]
    column = np.full(len(split.place), -1)
    column[codes] = np.arange(len(codes))
    gram = np.zeros((len(codes), len(codes)), np.float32)
    for pairs in count_pairs(split.learnt):
        one, other = column[pairs.item], column[pairs.other]
        both = (one >= 0) & (other >= 0)
        gram[one[both], other[both]] = pairs.orders[both]
    gram[np.diag_indices(len(codes))] = split.orders[codes] + ridge
    inverse: NDArray[np.float32] = np.linalg.inv(gram)
    del gram
    weights: NDArray[np.float32] = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return _lists(weights, codes, len(split.place), len(codes)), _lists(weights, codes, len(split.place), 100)


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
