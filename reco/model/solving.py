"""The loop of the regression, in the Python that numba compiles.

Belongs here: solving for the candidates of one item after another. Does not belong here: what hands it arrays and what
they mean (`regression`). Every operation is an addition, product or quotient in a fixed order, exact by IEEE 754, so
that this very function, run by Python on the same arrays, gives the same bits.
"""

from typing import Any


def solve_block(
    low: int,
    high: int,
    ridge: float,
    rounds: int,
    starts: Any,
    other: Any,
    count: Any,
    weight: Any,
    orders: Any,
    scale: Any,
    place: Any,
    matrix: Any,
    left: Any,
    weights: Any,
) -> None:
    """The weights of the candidates of the items low..high-1, one after the other.

    Args:
        low: the first item.
        high: the one after the last.
        ridge: added to the diagonal.
        rounds: of coordinate descent.
        starts: by item and one more: where its candidates begin in the next three.
        other, count, weight: each candidate, the orders with both, s_ij.
        orders, scale: by item, n_i and d_i.
        place: to work with, by item: -1 before and after.
        matrix, left: to work with: as many numbers as the most candidates of an item, squared and as they are.
        weights: to fill, from 0: of each candidate, beginning with those of `low`.
    """
    for item in range(low, high):
        first, size = starts[item], starts[item + 1] - starts[item]
        found = first - starts[low]
        for q in range(size):
            place[other[first + q]] = q
            left[q] = weight[first + q] * scale[item] * scale[other[first + q]]
        for cell in range(size * size):
            matrix[cell] = 0.0
        for q in range(size):
            one = other[first + q]
            for entry in range(starts[one], starts[one + 1]):
                t = place[other[entry]]
                if t >= 0:  # a pair may stand in one direction only
                    value = count[entry] * scale[one] * scale[other[entry]]
                    matrix[q * size + t] = value
                    matrix[t * size + q] = value
            matrix[q * size + q] = orders[one] * scale[one] * scale[one] + ridge
        for q in range(size):
            place[other[first + q]] = -1
        for _ in range(rounds):
            for q in range(size):
                row = q * size
                new = max(weights[found + q] + left[q] / matrix[row + q], 0.0)
                change = new - weights[found + q]
                if change != 0.0:
                    weights[found + q] = new
                    for t in range(size):
                        left[t] -= change * matrix[row + t]
