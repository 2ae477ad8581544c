"""How much an item grows.

Belongs here: the measure, which the pipeline ranks by and every reader computes again. Does not belong here: counting.
"""

PRIOR_ORDERS = 5.0


def growth(recent: int, before: int, all_recent: int, all_before: int) -> float:
    """How many times as often as expected an item was ordered recently, smoothed.

    Expected are the orders of the window before, scaled by how many orders the shop had in either window; five orders
    are added to both sides, so that a handful of orders does not look like a wave.
    """
    expected = before * all_recent / all_before
    return (recent + PRIOR_ORDERS) / (expected + PRIOR_ORDERS)
