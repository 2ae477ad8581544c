"""The kernel of the co-occurrence: a row of the matrix after another is counted, and only its best pairs are kept.

Belongs here: handing arrays to the compiled loops, and threads. Does not belong here: the loops (`loops`), where their
code is kept (`compiled`), tables.

Rows do not depend on each other: threads take blocks of them, and blocks are handed on in the order of the items, so
that no result depends on how many there are.
"""

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reco.model.baskets import UNIT, Baskets
from reco.model.compiled import Function, Loop, load
from reco.model.pairs import Pairs
from reco.model.ranking import Items
from reco.model.scores import SCORES, ScoreSettings
from reco.storage.columns import Ints, Texts, text_array

FILL_ROWS = Loop("fill_rows", ("int64", "int64", "int64*", "int32*", "int64*", "int64*", "int64*", "uint32*"))
ROW_BLOCK = Loop(
    "row_block",
    (
        *("int64", "int64", "int64", "int64"),
        *("int64*", "uint32*", "int64*", "int64*", "uint32*", "uint32*", "int64*", "int64*"),
        *("float64*", "float64*", "int64", "int64", "int64", "float64", "float64", "float64"),
        *("int32*", "int64*", "uint32*", "float64*", "int64*", "int64*"),
        *("int64*", "int64*", "int64*", "int64*", "int64*"),
    ),
)
BLOCK_EVENTS, BLOCK_ITEMS = 2**22, 2**11
"""Of a block of rows, which a thread counts at a time; one row's events are never divided."""


@dataclass(frozen=True, slots=True)
class Block:
    """What became of some rows. kept: their best pairs; distinct: all their pairs; neighbours: rows with any."""

    kept: Pairs
    distinct: int
    neighbours: int


def best_pairs(
    baskets: Baskets,
    weights: Ints | None,
    settings: ScoreSettings,
    *,
    items: Items | None = None,
    threads: int | None = None,
    otherwise: Path | None = None,
) -> Iterator[Block]:
    """The pairs that `ranking.keep_best` keeps of all that `pairs.count_pairs` counts, equal to the bit.

    Memory: some sixteen bytes for an entry of the orders, and of each thread a block and sixteen bytes for an item.

    Args:
        baskets: the entries of the orders, with times where age weighs.
        weights: what each order adds to its pairs, in `baskets.UNIT`; None: one each.
        settings: the score, and how many are kept.
        items: `Items.of` these orders, where they are known already.
        threads: how many count; None: one for each core that this process may use.
        otherwise: see `compiled.load`.

    Raises:
        CompilerUnavailable: see `prepare`.
    """
    _, row_block = _functions(otherwise)
    items = items or Items.of(baskets, settings)
    matrix = _Matrix.of(baskets, weights, items.orders, otherwise)
    scoring = _scoring(settings, items, matrix.by_label)
    threads = threads or available_cores()
    idle: list[_Scratch] = []

    def count(low: int, high: int) -> Block:
        scratch = idle.pop() if idle else _Scratch.of(matrix, settings.top)
        sizes, told = np.empty(high - low, np.int64), np.empty(3, np.int64)
        room = int(np.minimum(matrix.events[low:high], min(settings.top, matrix.width)).sum())
        other, orders = np.empty(room, np.int64), np.empty(room, np.int64)
        weight = np.empty(room if matrix.weighted else 0, np.int64)
        row_block(
            *(low, high, matrix.width, matrix.weighted, *matrix.arrays, *scoring),
            *(*scratch.arrays, sizes, other, orders, weight, told),
        )
        idle.append(scratch)
        found, distinct, neighbours = told.tolist()
        for one in (other, orders, *((weight,) if matrix.weighted else ())):
            one.resize(found, refcheck=False)
        item = np.repeat(np.arange(low, high), sizes)
        kept = Pairs(item, other, orders, None if weights is None else weight / UNIT)
        return Block(kept, distinct, neighbours)

    with ThreadPoolExecutor(threads, thread_name_prefix="pairs") as pool:
        waiting: deque[Future[Block]] = deque()
        for low, high in pairwise(matrix.borders()):
            waiting.append(pool.submit(count, low, high))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def prepare(otherwise: Path | None = None) -> None:
    """Loads the loops, or compiles them.

    Raises:
        CompilerUnavailable: this machine can do neither.
    """
    _functions(otherwise)


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def try_out(otherwise: Path | None = None) -> None:
    """Uses every compiled function once."""
    baskets = Baskets(Texts(text_array(["a", "b"]), np.array([0, 1], np.int32)), np.array([0]), np.array([2]))
    for _ in best_pairs(baskets, None, ScoreSettings(), threads=1, otherwise=otherwise):
        pass


@dataclass(frozen=True, slots=True)
class _Matrix:
    """The orders as the kernel reads them.

    arrays: row_starts, by item and one more: where its orders begin in row_orders; row_orders: orders of two items or
    more, by item; events: pair events by item; starts, by order and one more: where its items begin in labels; labels:
    the items of the orders as numbers by popularity; label_of: number by item; by_label: item by number; weights: of
    orders, or empty.
    """

    arrays: tuple[NDArray[Any], ...]

    @property
    def events(self) -> Ints:
        return self.arrays[2]

    @property
    def by_label(self) -> Ints:
        return self.arrays[6]

    @property
    def width(self) -> int:
        return len(self.by_label)

    @property
    def weighted(self) -> bool:
        return len(self.arrays[7]) > 0

    @classmethod
    def of(
        cls, baskets: Baskets, weights: Ints | None, popularity: NDArray[np.float64], otherwise: Path | None
    ) -> "_Matrix":
        codes, width = np.ascontiguousarray(baskets.items.codes, np.int32), len(baskets.items)
        by_label = np.argsort(-popularity, kind="stable")
        label_of = np.empty(width, np.uint32)
        label_of[by_label] = np.arange(width, dtype=np.uint32)
        starts = np.append(baskets.starts, len(codes)).astype(np.int64, copy=False)
        row_starts, events, place = np.zeros(width + 1, np.int64), np.zeros(width, np.int64), np.empty(width, np.int64)
        row_orders = np.empty(len(codes) - np.count_nonzero(baskets.sizes == 1), np.uint32)
        fill_rows, _ = _functions(otherwise)
        fill_rows(len(starts) - 1, width, starts, codes, row_starts, events, place, row_orders)
        heavy = np.empty(0, np.int64) if weights is None else weights
        return cls((row_starts, row_orders, events, starts, label_of[codes], label_of, by_label, heavy))

    def borders(self) -> list[int]:
        """Where blocks of rows begin, and the end."""
        done = np.cumsum(self.events)
        borders = [0]
        while borders[-1] < len(done):
            low = borders[-1]
            before = done[low - 1] if low else 0
            high = int(np.searchsorted(done, before + BLOCK_EVENTS, side="right"))
            borders.append(min(max(high, low + 1), low + BLOCK_ITEMS))
        return borders


@dataclass(frozen=True, slots=True)
class _Scratch:
    """What a thread counts in: counts, sums, used and the heap of `loops.row_block`."""

    arrays: tuple[NDArray[Any], ...]

    @classmethod
    def of(cls, matrix: _Matrix, top: int) -> "_Scratch":
        width = matrix.width
        counters = (np.zeros(width, np.int32), np.zeros(width if matrix.weighted else 0, np.int64))
        return cls((*counters, np.empty(width, np.uint32), np.empty(top), *np.empty((2, top), np.int64)))


def _scoring(settings: ScoreSettings, items: Items, by_label: Ints) -> tuple[Any, ...]:
    """What `loops.row_block` takes of the settings: one, other, score .. total."""
    one, other = settings.powered(items.orders, items.orders)
    return (
        one,
        other[by_label],
        SCORES.index(settings.score),
        settings.top,
        settings.min_pair_orders,
        float(settings.shrinkage),
        float(settings.sharpness),
        float(items.total),
    )


@cache
def _functions(otherwise: Path | None) -> list[Function]:
    """`fill_rows` and `row_block`, compiled."""
    sources = [Path(__file__).with_name(name) for name in ("loops.py", "formulas.py", "baskets.py", "scores.py")]
    return load("reco.model.loops", [FILL_ROWS, ROW_BLOCK], sources, otherwise)
