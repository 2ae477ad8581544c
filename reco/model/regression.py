"""Regression: how much each item of a basket says of another one beyond what the others say already.

Belongs here: the formula, and turning kept pairs into lists of neighbours. Does not belong here: choosing the
candidates (`ranking.keep_best`, `kernel`), the loop that solves (`solving`).

For an item j and its candidates S, the K items most like it, the weights x >= 0 are those of a ridge regression of
"the order holds j" on "the order holds i", from counts alone (X. Ning, G. Karypis: SLIM, ICDM 2011; in closed form over
all items H. Steck: EASE, WWW 2019):

    minimise  1/2 x' A x - r' x,   A_iq = d_i d_q n_iq  (+ ridge, where i = q),   r_i = d_i d_j s_ij,   d_i = n_i^-0.35

with n_iq the orders with both, 0 where neither is a candidate of the other; s_ij the same where an order of n items
counts 1 / (n - 1)^g. Frequent items are scaled down before and in part up again after: i names j with v / (1 + v),
v = x_i (n_j / n_i)^0.175. Four rounds of coordinate descent from 0, always in the order of the items, stand for the
minimum: more change nothing that can be measured. Memory and work are bounded by items x K and items x K^2.
"""

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reco.errors import UsageError
from reco.model import formulas
from reco.model.compiled import Function, Loop, load, require
from reco.model.pairs import Pairs
from reco.model.ranking import Ranked, rank_scored
from reco.model.scores import ScoreSettings

SCALE, BACK = 0.35, 0.175
ROUNDS = 4
BLOCK = 2**9
"""Items that a thread solves at a time."""
_LEAST = 1e-12
"""Weights below say nothing."""
SOLVE_BLOCK = Loop(
    "solve_block",
    (
        *("int64", "int64", "float64", "int64"),
        *("int64*", "int64*", "float64*", "float64*", "float64*", "float64*"),
        *("int64*", "float64*", "float64*", "float64*"),
    ),
)
_SOLVING = ("reco.model.solving", [SOLVE_BLOCK], [Path(__file__).with_name("solving.py")])


def can_regress() -> bool:
    """Whether the compiler is there and of use, without which this takes minutes."""
    try:
        require_compiler()
    except UsageError:
        return False
    return True


def try_out(otherwise: Path | None = None) -> None:
    """Uses every compiled function once."""
    pairs = Pairs(np.array([0, 1]), np.array([1, 0]), np.array([1, 1]))
    settings = ScoreSettings(score="regression", candidates=1, ridge=1.0)
    regress(settings, np.array([1.0, 1.0]), pairs, threads=1, otherwise=otherwise)


def require_compiler() -> None:
    """Raises UsageError where it is not there (as CompilerUnavailable, where it is there and of no use)."""
    if find_spec("numba") is None:
        raise UsageError(
            "RECO_SCORE=regression needs numba, which is not installed here.",
            hint="Install numba where it has a wheel for this machine, or choose RECO_SCORE=powers.",
        )
    require(*_SOLVING)


def regress(
    settings: ScoreSettings,
    orders: NDArray[np.float64],
    pairs: Pairs,
    *,
    threads: int | None = None,
    otherwise: Path | None = None,
) -> Ranked:
    """The best neighbours of each item, of all items.

    Args:
        settings: ridge, shrinkage, and how many are kept.
        orders: n_i, by code.
        pairs: the candidates of every item, sorted by item and other, with weights s_ij.
        threads: how many solve; None: one for each core that this process may use. No result depends on it.
        otherwise: see `compiled.load`.

    Raises:
        UsageError: numba is not installed, or of no use here.
    """
    require_compiler()
    width = len(orders)
    once = np.maximum(orders, 1.0)
    weights = pairs.orders if pairs.weight is None else pairs.weight
    numbers = ((pairs.other, np.int64), (pairs.orders, np.float64), (weights, np.float64), (once, np.float64))
    given = (
        np.searchsorted(pairs.item, np.arange(width + 1)).astype(np.int64),
        *(np.ascontiguousarray(one, kind) for one, kind in numbers),
        formulas.power(once, -SCALE),
    )
    solved = np.concatenate([*_solve(given, float(settings.ridge), width, threads, otherwise), np.empty(0)])
    ratio = formulas.power(once, BACK)
    value = solved * ratio[pairs.item] / ratio[pairs.other]
    score = value / (1.0 + value)
    if settings.shrinkage:
        score = formulas.shrunk(score, pairs.orders, settings.shrinkage)
    return _turned(pairs, score, settings.top)


def _solve(
    given: tuple[NDArray[Any], ...], ridge: float, width: int, threads: int | None, otherwise: Path | None
) -> list[NDArray[np.float64]]:
    (solve_block,) = _functions(otherwise)
    threads = threads or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    found: list[NDArray[np.float64]] = []
    starts = given[0]
    most = int(np.diff(starts).max(initial=0))
    idle: list[tuple[NDArray[Any], ...]] = []

    def solve(low: int, high: int) -> NDArray[np.float64]:
        scratch = idle.pop() if idle else (np.full(width, -1, np.int64), np.empty(most * most), np.empty(most))
        weights = np.zeros(int(starts[high] - starts[low]))
        solve_block(low, high, ridge, ROUNDS, *given, *scratch, weights)
        idle.append(scratch)
        return weights

    with ThreadPoolExecutor(threads, thread_name_prefix="regression") as pool:
        waiting: deque[Future[NDArray[np.float64]]] = deque()
        for low in range(0, width, BLOCK):
            waiting.append(pool.submit(solve, low, min(width, low + BLOCK)))
            if len(waiting) > 2 * threads:
                found.append(waiting.popleft().result())
        found += [one.result() for one in waiting]
    return found


def _turned(pairs: Pairs, score: NDArray[np.float64], top: int) -> Ranked:
    """What says most of an item becomes what an item says most of."""
    said = np.flatnonzero(score > _LEAST)
    by_item = said[np.lexsort((pairs.item[said], pairs.other[said]))]
    turned = Pairs(pairs.other[by_item], pairs.item[by_item], pairs.orders[by_item])
    return rank_scored(turned, score[by_item], top)


@cache
def _functions(otherwise: Path | None) -> list[Function]:
    return load(*_SOLVING, otherwise)
