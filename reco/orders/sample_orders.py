"""Who orders what in the sample shop: how often items sell, and what is bought together.

Belongs here: dealing items to orders, as arrays of positions. Does not belong here: the counts to reach
(`reco.orders.sample_shape`), item names beyond their product lines (`reco.orders.sample_items`), or files
(`reco.orders.sample`).

Counts that people rely on hold by construction, for any seed: sizes come from a fixed histogram, the three named items
are dealt to an exact number of orders, every other item is dealt once before chance fills the rest, and no order holds
an item twice. Only the number of distinct pairs starts from what chance gives. Equal arguments give equal orders on
every platform: the only source of chance is the raw stream of PCG64, which numpy promises never to change, and all
arithmetic on it is on integers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reco.orders.sample_items import GAS, LINE_SIZE, WATER, field_of
from reco.orders.sample_shape import LARGEST_ORDER, NAMED_ITEMS, Shape, order_sizes

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

PID_AT, METER_AT, KIT_AT, SHELF_AT = 0, 1, 2, NAMED_ITEMS
"""Positions of the three named items; the product lines follow, then the services."""

_EMPTY = -1
_SITE_PERCENT = 1
_PACKAGE_PERCENT = 80
_TRIES_ON_LINE = 12
_SERVICE_PERCENT = 15


@dataclass(frozen=True)
class Dealt:
    """One entry a line: `order` counts up from 0, `item` is a position among the named items, shelf and services."""

    order: Ints
    item: Ints
    shelf: int
    services: int


class _Chance:
    """Integers from the raw stream of PCG64. numpy's own distributions may change between its releases; this cannot."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def _raw(self, count: int) -> npt.NDArray[np.uint64]:
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64)

    def below(self, count: int, bound: int) -> Ints:
        """`count` integers in 0..bound-1; bound is under 2**32, so the product fits."""
        return ((self._raw(count) >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)).astype(np.int64)

    def percent(self, count: int, percent: int) -> Flags:
        """`count` flags, each true with that chance."""
        return self.below(count, 100) < percent

    def shuffled(self, values: Ints) -> Ints:
        """The values in another order."""
        return values[np.argsort(self._raw(len(values)), kind="stable")]

    def weighted(self, count: int, weights: Ints) -> Ints:
        """`count` positions, each drawn in proportion to its weight."""
        cumulative = np.cumsum(weights)
        return np.searchsorted(cumulative, self.below(count, int(cumulative[-1])), side="right").astype(np.int64)


def _falling(count: int, head: int) -> Ints:
    """Weights that fall like 1/(rank + head): a few best sellers and a long tail."""
    return 1_000_000 // (np.arange(count, dtype=np.int64) + head)


def deal(shape: Shape, seed: int) -> Dealt:
    """Deals items to orders.

    Returns:
        Lines sorted by order, in a shuffled order inside each; no order holds an item twice.
    """
    table = _Table(shape, _Chance(seed))
    table.deal_named()
    shelf, services = table.deal_shelf(), table.deal_alone()
    if shape.pairs is not None:
        table.reach_pairs(shape.pairs)
    mixed = table.chance.shuffled(np.arange(shape.lines))
    mixed = mixed[np.argsort(table.order[mixed], kind="stable")]
    return Dealt(table.order, table.item[mixed], shelf, services)


def pair_keys(order: Ints, item: Ints) -> Ints:
    """One key for every two lines of an order: `smaller item * (largest item + 1) + larger item`.

    Lines are sorted by order; a pair that is in several orders gives its key as often.
    """
    span = int(item.max()) + 1
    keys = []
    for gap in range(1, LARGEST_ORDER):
        near = np.flatnonzero(order[gap:] == order[:-gap])
        one, other = item[near], item[near + gap]
        keys.append(np.minimum(one, other) * span + np.maximum(one, other))
    return np.concatenate(keys)


def _choose_lines(chance: _Chance, shape: Shape) -> Ints:
    """The product line each order is about. Line 0, the site supplies, goes with any of them."""
    lines = -(-shape.shelf // LINE_SIZE)
    by_popularity = chance.shuffled(np.arange(1, lines))
    return by_popularity[chance.weighted(shape.orders, _falling(lines - 1, 5))]


class _Table:
    """The orders while they are dealt: `item` has a slot for each line, and those of an order follow each other.

    The steps are called in the order they are written in.
    """

    def __init__(self, shape: Shape, chance: _Chance) -> None:
        self.shape = shape
        self.chance = chance
        self.sizes = chance.shuffled(order_sizes(shape.orders, shape.lines))
        self.start = np.cumsum(self.sizes) - self.sizes
        self.order = np.repeat(np.arange(shape.orders, dtype=np.int64), self.sizes)
        self.item = np.full(shape.lines, _EMPTY, dtype=np.int64)
        self.about = _choose_lines(chance, shape)
        self.shelf = 0

    def deal_named(self) -> None:
        """Puts the three named items on exactly as many orders as the shape says."""
        shape, sizes = self.shape, self.sizes
        fields = np.array([field_of(line) for line in range(int(self.about.max()) + 1)])[self.about]
        gas, water = fields == GAS, fields == WATER
        filled = np.zeros_like(sizes)

        def put(orders: Ints, position: int) -> None:
            self.item[self.start[orders] + filled[orders]] = position
            filled[orders] += 1

        both = self._pick(sizes > 1, gas, shape.pid_and_kit, 85)
        put(both, PID_AT)
        put(both, KIT_AT)
        put(self._pick(filled == 0, gas, shape.pid - len(both), 70), PID_AT)
        put(self._pick(filled == 0, gas, shape.kit - len(both), 70), KIT_AT)
        put(self._pick(filled < sizes, water, shape.meter, 75), METER_AT)

    def deal_shelf(self) -> int:
        """Fills the orders of several lines: every shelf item once, then what each order's product line suggests."""
        slots = self._free(alone=False)
        self.shelf = shelf = min(self.shape.shelf, len(slots))
        if not shelf:
            return 0
        lines = -(-shelf // LINE_SIZE)
        length = np.minimum(LINE_SIZE, shelf - LINE_SIZE * np.arange(lines))
        line = np.where(self.chance.percent(len(slots), _SITE_PERCENT), 0, self.about[self.order[slots]] % lines)
        once = self._deal_each_once(slots, line, length)
        slots, line = slots[~once], line[~once]
        package = self.chance.percent(self.shape.orders, _PACKAGE_PERCENT)
        weights, attempt = _falling(LINE_SIZE, 1), 0
        while len(slots):
            if attempt < _TRIES_ON_LINE:
                rank = self.chance.weighted(len(slots), weights)
                if attempt == 0:
                    order = self.order[slots]
                    rank = np.where(package[order], slots - self.start[order], rank)
                drawn = LINE_SIZE * line + rank % length[line]
            else:
                drawn = self.chance.below(len(slots), shelf)
            self.item[slots] = SHELF_AT + drawn
            again = self._repeats(slots)
            slots, line, attempt = slots[again], line[again], attempt + 1
        return shelf

    def deal_alone(self) -> int:
        """Fills the orders of one line: every service once, then services and items of the order's product line."""
        slots, shelf = self._free(alone=True), self.shelf
        services = min(self.shape.services, len(slots))
        if not services:
            return 0
        rank = self.chance.weighted(len(slots), _falling(LINE_SIZE, 1))
        drawn = (LINE_SIZE * self.about[self.order[slots]] + rank) % max(shelf, 1)
        is_service = self.chance.percent(len(slots), _SERVICE_PERCENT) | (shelf == 0)
        drawn = np.where(is_service, shelf + self.chance.below(len(slots), services), drawn)
        drawn[:services] = shelf + np.arange(services)
        self.item[slots] = SHELF_AT + drawn
        return services

    def reach_pairs(self, pairs: int) -> None:
        """Raises the number of distinct pairs to `pairs`, one by one, in orders of two shelf items.

        While another order holds the same two items, changing one of them to an item the other was never sold with
        makes one pair more and takes no item's last neighbour. What chance dealt must lie below `pairs`: there is no
        way down.
        """
        item, span = self.item, int(self.item.max()) + 1
        keys, counts = np.unique(pair_keys(self.order, item), return_counts=True)
        times = dict(zip(keys.tolist(), counts.tolist(), strict=True))
        start = self.start[self.sizes == 2]
        slots = self.chance.shuffled(start[(item[start] >= SHELF_AT) & (item[start + 1] >= SHELF_AT)])
        offers = SHELF_AT + self.chance.below(len(slots), self.shelf)
        for slot, offer in zip(slots.tolist(), offers.tolist(), strict=True):
            if len(times) >= pairs:
                break
            kept, changed = int(item[slot]), int(item[slot + 1])
            old = min(kept, changed) * span + max(kept, changed)
            new = min(kept, offer) * span + max(kept, offer)
            if times[old] > 1 and new not in times and offer != kept:
                times[old] -= 1
                times[new] = 1
                item[slot + 1] = offer

    def _free(self, *, alone: bool) -> Ints:
        """The empty slots of the orders of one line, or of all others, shuffled."""
        return self.chance.shuffled(np.flatnonzero((self.item == _EMPTY) & ((self.sizes[self.order] == 1) == alone)))

    def _pick(self, eligible: Flags, preferred: Flags, count: int, percent: int) -> Ints:
        """`count` of the eligible orders, `percent` of them preferred ones as far as there are enough of either."""
        orders = self.chance.shuffled(np.flatnonzero(eligible))
        first, rest = orders[preferred[orders]], orders[~preferred[orders]]
        wanted = min(len(first), max(count * percent // 100, count - len(rest)))
        return np.concatenate([first[:wanted], rest[: count - wanted]])

    def _deal_each_once(self, slots: Ints, line: Ints, length: Ints) -> Flags:
        """Puts every shelf item into one slot, of its own product line where that has one; returns which slots."""
        by_line = np.argsort(line, kind="stable")
        nth = np.empty(len(slots), dtype=np.int64)
        nth[by_line] = np.arange(len(slots)) - np.searchsorted(line[by_line], line[by_line])
        once = nth < length[line]
        here = LINE_SIZE * line[once] + nth[once]
        self.item[slots[once]] = SHELF_AT + here
        left = np.setdiff1d(np.arange(self.shelf), here)
        elsewhere = np.flatnonzero(~once)[: len(left)]
        self.item[slots[elsewhere]] = SHELF_AT + left
        once[elsewhere] = True
        return once

    def _repeats(self, slots: Ints) -> Flags:
        """Which of the slots just filled hold an item that their order holds already; of two such slots, one."""
        touched = np.zeros(self.shape.orders, dtype=np.bool_)
        touched[self.order[slots]] = True
        just_filled = np.zeros(self.shape.lines, dtype=np.int64)
        just_filled[slots] = 1
        near = np.flatnonzero(touched[self.order] & (self.item != _EMPTY))
        key = self.order[near] * (SHELF_AT + self.shelf) + self.item[near]
        by_key = np.argsort(2 * key + just_filled[near], kind="stable")
        repeated = np.zeros(self.shape.lines, dtype=np.bool_)
        repeated[near[by_key[1:]]] = key[by_key[1:]] == key[by_key[:-1]]
        return repeated[slots]
