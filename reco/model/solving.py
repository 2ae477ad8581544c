"""The loop of the regression, in the Python that numba compiles.

Belongs here: solving for the candidates of one item after another. Does not belong here: what hands it arrays and what
they mean (`regression`). Every operation is an addition, product or quotient in a fixed order, exact by IEEE 754, so
that this very function, run by Python, gives the same bits.
"""

from typing import Any

import numpy as np


def solve_block(low: int, high: int, given: Any, ridge: float, rounds: int) -> Any:
    """The weights of the candidates of the items low..high-1, one after the other.

    Args:
        low: the first item.
        high: the one after the last.
        given: starts, by item and one more: where its candidates begin in the next three; other; count, the orders with
            both; weight, s_ij; and by item orders, n_i; scale, d_i.
        ridge: added to the diagonal.
        rounds: of coordinate descent.
    """
    starts, other, count, weight, orders, scale = given
    most = 0
    for item in range(low, high):
        most = max(most, starts[item + 1] - starts[item])
    place = np.full(len(orders), -1, np.int64)
    matrix, left, found = np.zeros((most, most)), np.zeros(most), np.zeros(starts[high] - starts[low])
    for item in range(low, high):
        first, size = starts[item], starts[item + 1] - starts[item]
        for q in range(size):
            place[other[first + q]] = q
            left[q] = weight[first + q] * scale[item] * scale[other[first + q]]
            for t in range(size):
                matrix[q, t] = 0.0
        for q in range(size):
            one = other[first + q]
            for entry in range(starts[one], starts[one + 1]):
                t = place[other[entry]]
                if t >= 0:  # a pair may stand in one direction only
                    value = count[entry] * scale[one] * scale[other[entry]]
                    matrix[q, t] = value
                    matrix[t, q] = value
            matrix[q, q] = orders[one] * scale[one] * scale[one] + ridge
        for q in range(size):
            place[other[first + q]] = -1
        weights = found[first - starts[low] : first - starts[low] + size]
        for _ in range(rounds):
            for q in range(size):
                row = matrix[q]
                new = max(weights[q] + left[q] / row[q], 0.0)
                change = new - weights[q]
                if change != 0.0:
                    weights[q] = new
                    for t in range(size):
                        left[t] -= change * row[t]
    return found
