"""Which lines of an order count, where it came in several batches or something of it was taken back.

Belongs here: what a later batch or a return does to earlier lines, over columns of numbers. Does not belong here:
reading the lines (`reco.orders.accepted`), and what is left of an item once they net (`reco.orders.view`).

Batch by batch, an order is bought lines and lines that take units back:

- a batch with bought lines replaces both, unless the order has the lines of that batch already: then nothing changes;
- a batch that only takes back adds to what is taken back, as often as it has a line more often than a batch before;
- what is taken back before the order is there waits for it.

So a return counts once however often it is exported, and its batch may come before that of its order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reco.storage.columns import Ints

_NOT_BOUGHT = -1
_NONE = -1
_ALWAYS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class InEffect:
    """Which lines count.

    lines: one flag a line; replaced: how many gave way to a later batch; repeated: how many take back what a line of
    another batch takes back already; unmatched: how many take back units of an order that is not there; orders: of each
    order bought in several batches its code and the last two of them.
    """

    lines: NDArray[np.bool_]
    replaced: int
    repeated: int
    unmatched: int
    orders: tuple[Ints, Ints, Ints]


def find_in_effect(
    order: Ints, batch: Ints, bought: NDArray[np.bool_], contents: Callable[[Ints], Sequence[Ints]]
) -> InEffect:
    """Which of some lines count.

    Args:
        order: the order of each line, as a code.
        batch: the batch each line came in; a higher one is later.
        bought: false where a line takes units back.
        contents: columns that are equal for lines, given by their places, that say the same; asked only for orders
            something of which is taken back.
    """
    nothing = np.empty(0, np.int64)
    if not len(order) or (bought.all() and (batch == batch[0]).all()):
        return InEffect(bought, 0, 0, 0, (nothing, nothing, nothing))
    by_order = np.lexsort((batch[bought], order[bought]))
    of, at = order[bought][by_order], batch[bought][by_order]
    first = _starts(of, at)
    of, at = of[first], at[first]  # each order in each of the batches it was bought in, ascending
    last = np.append(of[1:] != of[:-1], True)[: len(of)]
    latest = _look_up(order, of[last], at[last])
    lines = bought & (batch == latest)
    repeats = 0
    if not bought.all():
        mine = np.flatnonzero((_look_up(order, np.unique(order[~bought])) != _NOT_BOUGHT) & (latest != _NOT_BOUGHT))
        counts, again = _taken_back(order[mine], batch[mine], bought[mine], contents(mine))
        lines[mine[counts]] = True
        repeats = int(np.count_nonzero(again))
    more = np.flatnonzero(last[1:] & (of[1:] == of[:-1])) + 1
    return InEffect(
        lines,
        int(np.count_nonzero(~lines & (latest != _NOT_BOUGHT))) - repeats,
        repeats,
        int(np.count_nonzero(latest == _NOT_BOUGHT)),
        (of[more], at[more - 1], at[more]),
    )


def _taken_back(
    order: Ints, batch: Ints, bought: NDArray[np.bool_], contents: Sequence[Ints]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For lines of orders that were bought: which take units back, and which repeat one that does."""
    if not len(order):
        return np.zeros(0, bool), np.zeros(0, bool)
    batch = np.unique(batch, return_inverse=True)[1].astype(np.int64)
    before = _batch_before(order, batch, contents)
    since = _look_up(order, *_replaced_at(order, batch, bought, before))
    standing = ~bought & (batch >= since)
    return standing & (before < since), standing & (before >= since)


def _batch_before(order: Ints, batch: Ints, contents: Sequence[Ints]) -> Ints:
    """The last batch before that has a line's like in its order, for a line's n-th like of its batch the n-th there."""
    content = np.zeros(len(order), np.int64)
    by_content = np.lexsort((*contents, order))
    content[by_content] = np.cumsum(_starts(order[by_content], *(one[by_content] for one in contents)))
    nth = np.zeros(len(order), np.int64)
    by_batch = np.lexsort((batch, content))
    starts = np.flatnonzero(_starts(content[by_batch], batch[by_batch]))
    nth[by_batch] = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    before = np.full(len(order), _NONE)
    by_like = np.lexsort((batch, nth, content))
    like = ~_starts(content[by_like], nth[by_like])
    before[by_like[like]] = batch[by_like[np.flatnonzero(like) - 1]]
    return before


def _replaced_at(order: Ints, batch: Ints, bought: NDArray[np.bool_], before: Ints) -> tuple[Ints, Ints]:
    """Each order, ascending, with the last batch that replaced it; 0, which is none later than any, where none did."""
    rows = np.lexsort((batch, order))
    starts = np.flatnonzero(_starts(order[rows], batch[rows]))
    lines = np.add.reduceat(bought[rows], starts, dtype=np.int64)
    known = np.minimum.reduceat(np.where(bought, before, _ALWAYS)[rows], starts)
    known_back = np.minimum.reduceat(np.where(bought, _ALWAYS, before)[rows], starts)
    buys = lines > 0
    of, at, lines = order[rows][starts][buys], batch[rows][starts][buys], lines[buys]
    first = _starts(of)
    other = ~first & ((lines != np.roll(lines, 1)) | (known[buys] < np.roll(at, 1)))
    places = np.arange(len(of))
    while True:
        # A batch also replaces the order where it takes back what nothing since the replacement before it did.
        decided = np.maximum.accumulate(np.where(other | first, places, 0))
        since = np.where(other[decided], at[decided], 0)
        new = ~first & ~other & (known_back[buys] < np.roll(since, 1))
        if not new.any():
            last = np.append(first[1:], True)
            return of[last], since[last]
        other |= new


def _starts(*columns: Ints) -> NDArray[np.bool_]:
    """Where rows differ from the row before in any column; the first does."""
    found = np.zeros(len(columns[0]), bool)
    found[:1] = True
    for column in columns:
        found[1:] |= column[1:] != column[:-1]
    return found


def _look_up(order: Ints, known: Ints, values: Ints | None = None) -> Ints:
    """The value of each line's order among the known ones, which ascend; `_NOT_BOUGHT` where it is none of them."""
    if not len(known):
        return np.full(len(order), _NOT_BOUGHT)
    place = np.minimum(np.searchsorted(known, order), len(known) - 1)
    return np.where(known[place] == order, place if values is None else values[place], _NOT_BOUGHT)
