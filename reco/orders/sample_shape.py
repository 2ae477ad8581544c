"""The counts a sample is built to: the prototype's, the same at another size, and how large orders are.

Belongs here: numbers that are the same for every seed. Does not belong here: chance, or which item an order holds
(`reco.orders.sample_orders`).
"""

from dataclasses import dataclass
from itertools import cycle

import numpy as np
import numpy.typing as npt

from reco.orders.sample_items import LINE_SIZE

LARGEST_ORDER = 35
NAMED_ITEMS = 3
"""PID, the meter and the calibration kit: counted apart from the shelf."""

_SMALLEST_SHELF = 4 * LINE_SIZE


@dataclass(frozen=True)
class Shape:
    """The counts a sample is built to.

    `shelf` items sell beside others, `services` alone; both are upper bounds where there are too few order lines to
    hold them. `pairs` is the number of distinct unordered pairs, or None for whatever comes out.
    """

    orders: int
    lines: int
    pid: int
    meter: int
    kit: int
    pid_and_kit: int
    shelf: int
    services: int
    pairs: int | None

    def scaled(self, orders: int) -> "Shape":
        """The same shape for another number of orders; a small shop keeps a shelf of at least a few product lines."""

        def share(count: int) -> int:
            return max(1, (2 * count * orders + self.orders) // (2 * self.orders))

        return Shape(
            orders=orders,
            lines=share(self.lines),
            pid=share(self.pid),
            meter=share(self.meter),
            kit=share(self.kit),
            pid_and_kit=share(self.pid_and_kit),
            shelf=max(share(self.shelf), _SMALLEST_SHELF),
            services=share(self.services),
            pairs=None,
        )


PROTOTYPE = Shape(
    orders=154_167,
    lines=486_620,
    pid=30_245,
    meter=29_558,
    kit=22_975,
    pid_and_kit=17_951,
    shelf=13_008 - NAMED_ITEMS,
    services=2_097,
    pairs=133_632,
)


def order_sizes(orders: int, lines: int) -> npt.NDArray[np.int64]:
    """How many lines each order has, rising: geometric with a tail up to `LARGEST_ORDER`, exactly `lines` in all."""
    steps = range(1, LARGEST_ORDER + 1)
    weights = [683 ** (n - 1) * 1000 ** (LARGEST_ORDER - n) for n in steps]
    total, reached, count = sum(weights), 0, {}
    for n, weight in zip(steps, weights, strict=True):
        before, reached = reached, reached + weight
        count[n] = (2 * orders * reached + total) // (2 * total) - (2 * orders * before + total) // (2 * total)
    if orders >= 1000 and not count[LARGEST_ORDER]:
        count[max(n for n in steps if count[n])] -= 1
        count[LARGEST_ORDER] = 1
    missing = lines - sum(n * count[n] for n in steps)
    step = 1 if missing > 0 else -1
    # The rounding error is spread over the usual sizes, so no size stands out.
    for n in cycle(range(2, 10) if step < 0 else range(1, 9)):
        if missing == 0:
            break
        if count[n]:
            count[n] -= 1
            count[n + step] += 1
            missing -= step
    return np.repeat(np.array(steps, dtype=np.int64), [count[n] for n in steps])
