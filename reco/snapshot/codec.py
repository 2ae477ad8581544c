"""Values of versioned keys: from figures to bytes and back.

Belongs here: the one definition of each value's form. Does not belong here: where the figures come from, or keys.

All values are JSON in UTF-8. An item stands in lists by its *rank* (1 = in most orders), which is unique in a snapshot:
a few digits instead of a long id. A cosine is not stored but computed from the counts, as in `reco.model.scores`; any
other score is stored as its *code*, the logarithm of it in steps of a fifth of a percent.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from reco.errors import SnapshotDamaged

CODE_STEPS = 500
"""A score s is stored as round(-500 ln s): three or four digits, and never more than 0.1 % beside it."""

Value = bytes | dict[bytes, bytes]  # a string, or a hash
Entry = tuple[str, Value]  # the suffix of a key, and its value


# Made once: `json.dumps` with options makes an encoder a call, which costs as much as the encoding itself.
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class ItemFigures(NamedTuple):
    """The value of `item:{id}:stats`.

    name and category are None where the item has none of its own; revenue is a decimal as text; times are ISO 8601 in
    UTC without a zone; neighbours is the length of the item's list (0: there is no such key); like is the rank of
    the item whose name is most like its own, for an item without neighbours, and left out where there is none.
    """

    rank: int
    name: str | None
    category: str | None
    orders: int
    units: int
    revenue: str | None
    customers: int | None
    first_sold_at: str | None
    last_sold_at: str | None
    neighbours: int
    like: int | None = None


COSINE, STORED = 1, 2
"""Formats of a snapshot: scores are computed from the counts, or stored. An older version refuses the second."""


class Neighbour(NamedTuple):
    """One element of `item:{id}:similar`: another item, the orders with both, and how similar the two are.

    figure: the orders that hold the other item, where the snapshot's score is the cosine; else the code of the score.
    """

    rank: int
    pair_orders: int
    figure: int


class RankEntry(NamedTuple):
    """The value of a field of `ranks:{block}`: all that is asked of an item before it is recommended.

    name is None where it equals the id; category is the place of its category in the value of `categories`; price is a
    decimal as text; in_stock is 1 or 0. The last three are None where they are not known, and left out at the end.
    """

    item_id: str
    name: str | None
    orders: int
    category: int | None = None
    price: str | None = None
    in_stock: int | None = None


class Trend(NamedTuple):
    """One element of `trending:all`: an item, and its orders in the recent window and in the one before."""

    rank: int
    recent: int
    before: int


class Trends(NamedTuple):
    """The value of `trending:all`.

    days: length of a window; newest_at: where the recent one ends, ISO 8601 in UTC without a zone; recent, before: all
    orders in either window; items: those that grow, most first.
    """

    days: int
    newest_at: str
    recent: int
    before: int
    items: list[Trend]


class CategoryEntry(NamedTuple):
    """One element of `categories`: its name, how many items are of it, and how many of those were sold."""

    name: str
    items: int
    sold: int


class Evidence(NamedTuple):
    """What speaks for a pair: see `reco.model.similar` for the sources of the formulas."""

    score: float
    pair_orders: int
    lift: float
    confidence: float


def evidence(item_orders: int, other_orders: int, neighbour: Neighbour, all_orders: int, *, stored: bool) -> Evidence:
    """Score, lift and confidence, with the operations of `reco.model` in its order.

    `stored`: the snapshot stores scores. confidence and lift always follow from exact counts.
    """
    n_i, n_j = float(item_orders), float(other_orders)
    return Evidence(
        score=score_of(item_orders, neighbour, stored=stored),
        pair_orders=neighbour.pair_orders,
        lift=(neighbour.pair_orders * float(all_orders)) / (n_i * n_j),
        confidence=neighbour.pair_orders / n_i,
    )


def score_of(item_orders: int, neighbour: Neighbour, *, stored: bool) -> float:
    """The score of a neighbour of an item in this many orders."""
    if stored:
        return math.exp(-neighbour.figure / CODE_STEPS)
    return neighbour.pair_orders / math.sqrt(float(item_orders) * float(neighbour.figure))


def encode(value: Sequence[Any]) -> bytes:
    """A value as compact JSON."""
    return _to_json(value).encode()


def value_parts(value: Value) -> list[bytes]:
    """A value as a list of bytes: itself, or each field followed by its value, sorted by field."""
    return [value] if isinstance(value, bytes) else [part for pair in sorted(value.items()) for part in pair]


def decode_figures(raw: bytes, key: bytes) -> ItemFigures:
    """Reads `item:{id}:stats`. Raises SnapshotDamaged."""
    value = _array(raw, key)
    fields = len(ItemFigures._fields)
    if len(value) not in (fields - 1, fields) or not _counts(value[0], value[3], value[4], *value[9:]):
        raise _damaged(key)
    return ItemFigures(*value)


def decode_neighbours(raw: bytes, key: bytes, *, stored: bool = False) -> list[Neighbour]:
    """Reads `item:{id}:similar`, of a snapshot that stores scores or not. Raises SnapshotDamaged."""
    value = _array(raw, key)
    if not all(isinstance(one, list) and len(one) == 3 and _counts(*one) and (stored or one[2] > 0) for one in value):
        raise _damaged(key)
    return [Neighbour(*one) for one in value]


def decode_entry(raw: bytes, key: bytes) -> RankEntry:
    """Reads a field of `ranks:{block}`. Raises SnapshotDamaged."""
    value = _array(raw, key)
    if not 3 <= len(value) <= 6 or not isinstance(value[0], str) or not _counts(value[2]):
        raise _damaged(key)
    return RankEntry(*value)


def decode_trends(raw: bytes, key: bytes) -> Trends:
    """Reads `trending:all`. Raises SnapshotDamaged."""
    value = _array(raw, key)
    if len(value) != 5 or not _counts(value[0], *value[2:4]) or not isinstance(value[4], list):
        raise _damaged(key)
    if not all(isinstance(one, list) and len(one) == 3 and _counts(*one) for one in value[4]):
        raise _damaged(key)
    days, newest_at, recent, before, items = value
    return Trends(days, newest_at, recent, before, [Trend(*one) for one in items])


def decode_categories(raw: bytes, key: bytes) -> list[CategoryEntry]:
    """Reads `categories`. Raises SnapshotDamaged."""
    value = _array(raw, key)
    if not all(isinstance(one, list) and len(one) == 3 and isinstance(one[0], str) for one in value):
        raise _damaged(key)
    return [CategoryEntry(*one) for one in value]


def decode_ranks(raw: bytes, key: bytes) -> list[int]:
    """Reads a list of ranks: `popular:*`, or a field of `names:{block}`. Raises SnapshotDamaged."""
    value = _array(raw, key)
    if not _counts(*value):
        raise _damaged(key)
    return value


def _array(raw: bytes, key: bytes) -> list[Any]:
    try:
        value = json.loads(raw)
    except ValueError as error:
        raise _damaged(key) from error
    if not isinstance(value, list):
        raise _damaged(key)
    return value


def _counts(*values: Any) -> bool:
    return all(type(one) is int and one >= 0 for one in values)


def _damaged(key: bytes) -> SnapshotDamaged:
    name = key.decode("utf-8", "replace")
    return SnapshotDamaged(
        f"The value of {name} is not one that a publish wrote.",
        hint="Run `reco run`: it publishes the lake anew when the served snapshot is damaged.",
        key=name,
    )
