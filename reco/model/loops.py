"""The loops of the kernel, in the Python that numba compiles.

Belongs here: loops over arrays. Does not belong here: what hands them arrays (`kernel`), formulas (`formulas`, compiled
from there), where compiled code is kept (`compiled`). Importing this module imports numba: it is for compiling only.

Arrays are bare addresses: what a loop reads, writes and notes for itself is the caller's. Nothing is allocated and
nothing raised, so that the machine code needs neither numba nor Python.

A row of the matrix is counted into one dense array: for each order with the item, one is added for each item of that
order. Items are numbered by how many orders hold them, so that the counters used most lie side by side.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

from reco.model import formulas
from reco.model.baskets import UNIT
from reco.model.scores import SCORES

COSINE, JACCARD, CONFIDENCE, LLR, POWERS = (
    SCORES.index(name) for name in ("cosine", "jaccard", "confidence", "llr", "powers")
)
AHEAD = 16
"""So many orders before its turn an order is fetched into the caches."""
WIDE = 4
"""A row with fewer events than 1 / WIDE of the items notes which counters it used; else all of them are looked at."""
SLACK = 1 - 1e-9
"""For bounds that pass a pair over without its score: far wider than the rounding of any formula."""


def fill_rows(
    orders: int, width: int, starts: Any, codes: Any, row_starts: Any, events: Any, place: Any, row_orders: Any
) -> None:
    """The orders of each item, by counting; orders of one item are left out.

    Args:
        orders: how many there are.
        width: how many items.
        starts, codes: where each order begins in the codes of its items, with one more for the end.
        row_starts, events, row_orders: to fill, the first two from 0; see `kernel`.
        place: to work with, by item.
    """
    for order in range(orders):
        size = starts[order + 1] - starts[order]
        if size > 1:
            for entry in range(starts[order], starts[order + 1]):
                row_starts[codes[entry] + 1] += 1
                events[codes[entry]] += size
    for item in range(width):
        place[item] = row_starts[item]
        row_starts[item + 1] += row_starts[item]
    for order in range(orders):
        if starts[order + 1] - starts[order] > 1:
            for entry in range(starts[order], starts[order + 1]):
                row_orders[place[codes[entry]]] = order
                place[codes[entry]] += 1


def row_block(
    low: int,
    high: int,
    width: int,
    weighted: int,
    row_starts: Any,
    row_orders: Any,
    events: Any,
    starts: Any,
    labels: Any,
    label_of: Any,
    by_label: Any,
    weights: Any,
    one: Any,
    other: Any,
    score: int,
    top: int,
    least: int,
    shrinkage: float,
    sharpness: float,
    total: float,
    counts: Any,
    sums: Any,
    used: Any,
    heap_score: Any,
    heap_count: Any,
    heap_item: Any,
    sizes: Any,
    kept_item: Any,
    kept_count: Any,
    kept_sum: Any,
    told: Any,
) -> None:
    """Counts the rows low..high-1 and keeps the best pairs of each, by item.

    Args:
        low, high, width: rows, and how many items there are.
        weighted: whether orders have weights.
        row_starts, row_orders, events, starts, labels, label_of, by_label, weights: see `kernel`.
        one, other: what a score takes of an item asked for, by item, and of its neighbour, by label.
        score, top, least, shrinkage, sharpness, total: the settings; the score by its place in `SCORES`.
        counts, sums: to count in, by label; 0 before and after.
        used, heap_score, heap_count, heap_item: to work with, by label, and `top` each.
        sizes: to fill: how many were kept of each row.
        kept_item, kept_count, kept_sum: to fill: of these the other item, the orders and the weight (in `UNIT`).
        told: to fill: how many were kept, how many pairs there were, how many rows had any.
    """
    found = distinct = neighbours = 0
    for item in range(low, high):
        noted = events[item] * WIDE < width
        touched = _count_row(
            *(row_starts[item], row_starts[item + 1], row_orders, starts, labels, weighted, weights),
            *(counts, sums, used, noted),
        )
        own, mine = label_of[item], one[item]
        counts[own] = 0  # an item is no neighbour of itself; its sum goes with the others below
        size, seen, cut = 0, 0, 0.0
        for place in range(touched if noted else width):
            label = used[place] if noted else np.uint32(place)
            count: Any = np.int64(counts[label])
            if count == 0:
                continue
            seen += 1
            if count < least:
                continue
            both = np.float64(sums[label]) / UNIT if weighted else np.float64(count)
            theirs = other[label]
            if size == top and _is_passed_over(score, both, mine, theirs, cut):
                continue
            value = _value(score, both, mine, theirs, total, sharpness)
            if shrinkage > 0:
                value = formulas.shrunk(value, np.float64(count), shrinkage)
            if value <= 0:
                continue
            neighbour = by_label[label]
            if size < top:
                _push(heap_score, heap_count, heap_item, size, value, count, neighbour)
                size += 1
            elif _is_better(value, count, neighbour, heap_score[0], heap_count[0], heap_item[0]):
                _replace(heap_score, heap_count, heap_item, size, value, count, neighbour)
            else:
                continue
            if size == top:
                cut = _cut(score, heap_score[0], mine, sharpness)
        _sort(heap_item, size)
        for place in range(size):
            label = label_of[heap_item[place]]
            kept_item[found], kept_count[found] = heap_item[place], counts[label]
            if weighted:
                kept_sum[found] = sums[label]
            found += 1
        sizes[item - low] = size
        distinct += seen
        neighbours += seen > 0
        for place in range(touched if noted else width):
            label = used[place] if noted else np.uint32(place)
            counts[label] = 0
            if weighted:
                sums[label] = 0
    told[0], told[1], told[2] = found, distinct, neighbours


def _count_row(
    first: int,
    last: int,
    row_orders: Any,
    starts: Any,
    labels: Any,
    weighted: int,
    weights: Any,
    counts: Any,
    sums: Any,
    used: Any,
    noted: bool,
) -> Any:
    """Adds the orders row_orders[first:last] up; returns how many counters were noted in `used`."""
    touched = 0
    for place in range(first, last):
        if place + 2 * AHEAD < last:
            _fetch(starts, row_orders[place + 2 * AHEAD])
        if place + AHEAD < last:
            soon = starts[row_orders[place + AHEAD]]
            _fetch(labels, soon)
            _fetch(labels, soon + 16)
        order = row_orders[place]
        begin, end = starts[order], starts[order + 1]
        if noted:
            for entry in range(begin, end):
                if counts[labels[entry]] == 0:
                    used[touched] = labels[entry]
                    touched += 1
                counts[labels[entry]] += 1
        else:
            for entry in range(begin, end):
                counts[labels[entry]] += 1
        if weighted:
            weight = weights[order]
            for entry in range(begin, end):
                sums[labels[entry]] += weight
    return touched


def _sort(items: Any, size: int) -> None:
    """Ascending, by Shell's way: a hundred at most, as a rule."""
    gap = 1
    while gap < size:
        gap = 3 * gap + 1
    while gap > 0:
        for at in range(gap, size):
            item, to = items[at], at
            while to >= gap and items[to - gap] > item:
                items[to] = items[to - gap]
                to -= gap
            items[to] = item
        gap //= 3


def _value(score: int, both: float, one: float, other: float, total: float, sharpness: float) -> Any:
    if score == COSINE:
        return formulas.cosine(both, one, other)
    if score == JACCARD:
        return formulas.jaccard(both, one, other)
    if score == CONFIDENCE:
        return both / one
    if score == LLR:
        return formulas.mutual_information(both, one, other, total)
    return formulas.powers(both, one, other, sharpness)


def _cut(score: int, worst: float, one: float, sharpness: float) -> Any:
    """What `_is_passed_over` compares with, for the worst score that is kept of an item."""
    if score == COSINE:
        return worst * worst * one * SLACK
    if score == JACCARD:
        return worst / (1.0 + worst) * SLACK
    if score == CONFIDENCE:
        return worst * one * SLACK
    if score == POWERS:
        return formulas.power(worst, 1.0 / sharpness) * one * SLACK
    return 0.0


def _is_passed_over(score: int, both: float, one: float, other: float, cut: float) -> Any:
    """Whether a pair's score is surely below the worst that is kept; shrinking only lowers it further."""
    if score == COSINE:
        return both * both < cut * other
    if score == JACCARD:
        return both < cut * (one + other)
    if score == CONFIDENCE:
        return both < cut
    if score == POWERS:
        return both < cut * other
    return False


def _is_better(score: float, count: int, item: int, score2: float, count2: int, item2: int) -> Any:
    """The order of neighbours: by score, by orders, by id."""
    return score > score2 or (score == score2 and (count > count2 or (count == count2 and item < item2)))


def _push(scores: Any, counts: Any, items: Any, size: int, score: float, count: int, item: int) -> None:
    """Adds to a heap whose root is the worst."""
    at = size
    while at > 0:
        parent = (at - 1) >> 1
        if not _is_better(scores[parent], counts[parent], items[parent], score, count, item):
            break
        scores[at], counts[at], items[at] = scores[parent], counts[parent], items[parent]
        at = parent
    scores[at], counts[at], items[at] = score, count, item


def _replace(scores: Any, counts: Any, items: Any, size: int, score: float, count: int, item: int) -> None:
    """Puts this in place of the root."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and _is_better(
            scores[child], counts[child], items[child], scores[right], counts[right], items[right]
        ):
            child = right
        if not _is_better(score, count, item, scores[child], counts[child], items[child]):
            break
        scores[at], counts[at], items[at] = scores[child], counts[child], items[child]
        at = child
    scores[at], counts[at], items[at] = score, count, item


def _generate_fetch(_typing: Any, array: Any, index: Any) -> Any:
    """Asks for the cache line of an element that will be read soon."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        address = builder.bitcast(builder.gep(arguments[0], [arguments[1]]), cgutils.voidptr_t)
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, number, number, number])
        prefetch = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call, unused-ignore]
            builder.module, kind, "llvm.prefetch.p0"
        )
        builder.call(prefetch, [address, number(0), number(3), number(1)])  # to read, into all caches, data
        return context.get_dummy_value()

    return types.void(array, index), generate


_fetch: Any = intrinsic(_generate_fetch)


for _called in (
    *(formulas.log2, formulas.power, formulas.cosine, formulas.jaccard, formulas.powers),
    *(formulas._cell, formulas.mutual_information, formulas.shrunk),
    *(_count_row, _sort, _value, _cut, _is_passed_over, _is_better, _push, _replace),
):
    register_jitable(error_model="numpy")(_called)
