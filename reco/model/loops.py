"""The loops of the kernel, in the Python that numba compiles.

Belongs here: loops over arrays. Does not belong here: what hands them arrays (`kernel`), formulas (`formulas`, compiled
from there), where compiled code is kept (`compiled`). Importing this module imports numba, which takes half a second.

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


def fill_rows(codes: Any, starts: Any, width: int) -> Any:
    """The orders of each item, by counting; orders of one item are left out."""
    row_starts, events = np.zeros(width + 1, np.int64), np.zeros(width, np.int64)
    for order in range(len(starts) - 1):
        size = starts[order + 1] - starts[order]
        if size > 1:
            for entry in range(starts[order], starts[order + 1]):
                row_starts[codes[entry] + 1] += 1
                events[codes[entry]] += size
    for item in range(width):
        row_starts[item + 1] += row_starts[item]
    row_orders, place = np.empty(row_starts[width], np.uint32), row_starts[:-1].copy()
    for order in range(len(starts) - 1):
        if starts[order + 1] - starts[order] > 1:
            for entry in range(starts[order], starts[order + 1]):
                row_orders[place[codes[entry]]] = order
                place[codes[entry]] += 1
    return row_starts, row_orders, events


def row_block(
    low: int,
    high: int,
    arrays: Any,
    one: Any,
    other: Any,
    score: int,
    top: int,
    least: int,
    shrinkage: float,
    sharpness: float,
    total: float,
) -> Any:
    """Counts the rows low..high-1 and keeps the best pairs of each, by item.

    Returns:
        How many of each row were kept; the other item, orders and weight (in `UNIT`) of these; how many pairs there
        were; how many rows had any.
    """
    row_starts, _, events, _, _, label_of, by_label, weights = arrays
    width, weighted = len(by_label), len(weights) > 0
    counts = np.zeros(width, np.int32)
    sums = np.zeros(width if weighted else 1, np.int64)
    used = np.empty(width, np.uint32)
    heap_score, heap_count, heap_item = np.empty(top), np.empty(top, np.int64), np.empty(top, np.int64)
    sizes = np.zeros(high - low, np.int64)
    room = 0
    for item in range(low, high):
        room += min(top, width, events[item])
    kept_item, kept_count = np.empty(room, np.int64), np.empty(room, np.int64)
    kept_sum = np.empty(room if weighted else 0, np.int64)
    found = distinct = neighbours = 0
    for item in range(low, high):
        noted = events[item] * WIDE < width
        touched = _count_row(row_starts[item], row_starts[item + 1], arrays, counts, sums, used, noted)
        own, mine = label_of[item], one[item]
        counts[own] = 0  # an item is no neighbour of itself; its sum goes with the others below
        size, seen, cut = 0, 0, 0.0
        for place in range(touched if noted else width):
            label = used[place] if noted else np.uint32(place)
            count = counts[label]
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
        chosen = np.sort(heap_item[:size])
        for neighbour in chosen:
            label = label_of[neighbour]
            kept_item[found], kept_count[found] = neighbour, counts[label]
            if weighted:
                kept_sum[found] = sums[label]
            found += 1
        sizes[item - low] = size
        distinct += seen
        neighbours += seen > 0
        if noted:
            for place in range(touched):
                counts[used[place]] = 0
                if weighted:
                    sums[used[place]] = 0
        else:
            counts[:] = 0
            if weighted:
                sums[:] = 0
    return sizes, kept_item[:found], kept_count[:found], kept_sum[:found], distinct, neighbours


def _count_row(first: int, last: int, arrays: Any, counts: Any, sums: Any, used: Any, noted: bool) -> Any:
    """Adds the orders row_orders[first:last] up; returns how many counters were noted in `used`."""
    _, row_orders, _, starts, labels, _, _, weights = arrays
    weighted, touched = len(weights) > 0, 0
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

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
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
    *(_count_row, _value, _cut, _is_passed_over, _is_better, _push, _replace),
):
    register_jitable(_called)
