"""The orders and lines behind a count of the model.

Belongs here: finding, for an item or a pair, the orders that hold it and the lines of the drops they came in. Does not
belong here: which drops a snapshot was made of (`reco.snapshot.trace`), or which lines are in effect
(`reco.orders.accepted`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reco.orders.accepted import AcceptedLines, OrderPart
from reco.storage.columns import COUNT, TEXT, Ints, lake_errors, read_columns

_PLACE_SCHEMA = pa.schema([("line", COUNT), ("item_id", TEXT)])


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One accepted line: the file it stands in and its first physical line there (the header counts).

    item_id: as the line has it, which may be another id of the same item; quantity: below zero where units came back.
    """

    drop_key: str
    file: str
    line: int
    item_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class EvidenceOrder:
    """One order that holds what was asked for, with its lines of just these items."""

    source: str
    order_id: str
    lines: tuple[EvidenceLine, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was counted again from the lines.

    purchases: orders with the item; other_purchases, pair_orders: orders with the other item, and with both, None where
    none was asked for; lines: lines of these items in the orders that count; lines_by_drop: the same by drop key;
    shown: the first orders by source and order id.
    """

    purchases: int
    other_purchases: int | None
    pair_orders: int | None
    lines: int
    lines_by_drop: dict[str, int]
    shown: tuple[EvidenceOrder, ...]


def find_evidence(parts: Sequence[OrderPart], item: str, other: str | None, *, limit: int) -> Evidence:
    """Counts the orders with an item, or with both of two items, anew from the lines of some drops.

    What replaces, takes back or merges what is decided by the code that makes the orders for the model. All lines of
    the drops are read, which takes as much time and memory as making the orders.

    Args:
        parts: the lines of what a snapshot was made of, with the batches they had then.
        item: an item id.
        other: the id of the other item of a pair.
        limit: how many orders are shown.

    Raises:
        LakeError: the lines of a drop are missing or damaged.
    """
    parts = sorted(parts, key=lambda part: part.drop_key)
    with lake_errors("the evidence"):
        lines = AcceptedLines.read(parts)
        places, orders, is_other = _of_items(lines, item, other)
        first, second = _holding(lines, places, orders, is_other)
        both = np.intersect1d(first, second)
        counted = first if other is None else both
        proof = places[np.isin(orders, counted)]
        by_part = np.bincount(lines.part[proof], minlength=len(parts)).tolist()
        return Evidence(
            purchases=len(first),
            other_purchases=None if other is None else len(second),
            pair_orders=None if other is None else len(both),
            lines=len(proof),
            lines_by_drop={part.drop_key: count for part, count in zip(parts, by_part, strict=True) if count},
            shown=_shown(lines, parts, proof, counted[:limit]),
        )


def _of_items(lines: AcceptedLines, item: str, other: str | None) -> tuple[Ints, Ints, Ints]:
    """The places of the lines of both items that are in effect, the order of each, and 1 where it is of the other."""
    code, other_code = (-1 if text is None else pc.index(lines.items.values, text).as_py() for text in (item, other))
    wanted = [one for one in (code, other_code) if one >= 0]
    places = np.flatnonzero(lines.in_effect().lines & np.isin(lines.items.codes, wanted))
    return places, lines.order[places], (lines.items.codes[places] != code).astype(np.int64)


def _holding(lines: AcceptedLines, places: Ints, orders: Ints, is_other: Ints) -> tuple[Ints, Ints]:
    """The orders of which something is left of the item, and of the other one; ascending."""
    key, group = np.unique(orders * 2 + is_other, return_inverse=True)
    units = np.zeros(len(key), np.int64)
    np.add.at(units, group, lines.quantity[places])
    held = key[units > 0]
    return held[held % 2 == 0] // 2, held[held % 2 == 1] // 2


def _shown(lines: AcceptedLines, parts: Sequence[OrderPart], proof: Ints, orders: Ints) -> tuple[EvidenceOrder, ...]:
    """These orders with their lines, each as its file has it."""
    mine = proof[np.isin(lines.order[proof], orders)]
    found: dict[int, list[EvidenceLine]] = {int(order): [] for order in orders}
    for number in np.unique(lines.part[mine]).tolist():
        part = parts[number]
        rows = mine[lines.part[mine] == number]
        table = read_columns(part.path, _PLACE_SCHEMA).take(rows - int(np.searchsorted(lines.part, number)))
        told: list[dict[str, Any]] = table.to_pylist()
        for place, row in zip(rows.tolist(), told, strict=True):
            quantity = int(lines.quantity[place])
            at = EvidenceLine(part.drop_key, part.name, row["line"], row["item_id"], quantity)
            found[int(lines.order[place])].append(at)
    width = max(1, len(lines.order_ids))
    return tuple(
        EvidenceOrder(str(lines.sources[order // width]), str(lines.order_ids[order % width]), tuple(its))
        for order, its in found.items()
    )
