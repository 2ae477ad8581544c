"""What takes a whole batch to know: repeated records, orders with too many lines, orders of a status.

Belongs here: finding their records over all drops of a batch and source, in however many portions they are read, and
what a shop's rules make of them. Does not belong here: what one record tells.

A record repeats another where both have the same fields under the same header in the same dialect; of all that are
alike the first counts, by drop key and line.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from reco.orders import sql
from reco.orders.coded import cells
from reco.orders.drops import DropFile
from reco.orders.lines import Ints
from reco.orders.scan import Hashes, Scanned, text_hashes
from reco.orders.typed import BIT
from reco.storage.columns import flags

HASHES_AT_ONCE = 4_000_000
_NO_ORDER = np.uint64(0)
Batch = tuple[str, int]
"""A source and the number of a batch: orders are a source's."""
_Kind = tuple[Batch, str, str, tuple[str, ...]]
"""A batch with delimiter, quote and header: what records have in common that may repeat each other."""


@dataclass(frozen=True)
class Scan:
    """Scanned drops of one profile, dialect and header, and how each that can be used writes its values, by key."""

    reading: sql.Reading
    drops: Sequence[Scanned]
    styles: Mapping[str, sql.Style]

    def usable(self) -> list[Scanned]:
        """The drops whose lines count."""
        return [one for one in self.drops if one.opened.drop.key in self.styles]


@dataclass(frozen=True)
class LeftOut:
    """Records that a rule leaves out: their numbers in the drop, ascending, and a bit for each reason.

    duplicates: how many records repeat one before them, left out or not.
    """

    rows: Ints
    flags: Ints
    duplicates: int

    def flags_of(self, rows: Ints) -> Ints:
        """The bits of some records."""
        found = np.zeros(len(rows), np.int64)
        if len(self.rows) and len(rows):
            at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
            hit = self.rows[at] == rows
            found[hit] = self.flags[at[hit]]
        return found


@dataclass(frozen=True)
class _Orders:
    """The orders of some records: a number for each, ascending, its lines, and whether a status leaves it out."""

    orders: Hashes
    lines: Ints
    excluded: NDArray[np.bool_]

    @classmethod
    def together(cls, some: "Sequence[_Orders]") -> "_Orders":
        if len(some) == 1:
            return some[0]
        orders, place = np.unique(np.concatenate([one.orders for one in some]), return_inverse=True)
        lines, excluded = np.zeros(len(orders), np.int64), np.zeros(len(orders), bool)
        np.add.at(lines, place, np.concatenate([one.lines for one in some]))
        np.logical_or.at(excluded, place, np.concatenate([one.excluded for one in some]))
        return cls(orders, lines, excluded)

    def of(self, orders: Hashes, chosen: NDArray[np.bool_]) -> Ints:
        """The records whose order is one of the chosen ones."""
        return np.flatnonzero(np.isin(orders, self.orders[chosen & (self.orders != _NO_ORDER)]))


class WholeBatches:
    """The batches of some drops, portion after portion, each with all of its scans."""

    def __init__(self, portions: Sequence[Sequence[DropFile]], folder: Path) -> None:
        """`portions` are all drops that count, in the order of their places; the folder need not exist."""
        self._folder = folder
        self._portions_left = Counter(batch for portion in portions for batch in {_batch(drop) for drop in portion})
        judged = {_batch(drop) for portion in portions for drop in portion if drop.profile.rules.judges_orders}
        self._split = {batch for batch, count in self._portions_left.items() if count > 1 and batch in judged}
        self._orders: dict[Batch, _Orders] = {}
        self._records: dict[_Kind, list[Path]] = {}

    def needs_first_look(self, portion: Sequence[DropFile]) -> bool:
        """Whether orders in this portion are judged by what other portions have of them: then `note` comes first."""
        return any(_batch(drop) in self._split for drop in portion)

    def note(self, con: duckdb.DuckDBPyConnection, scans: Sequence[Scan]) -> None:
        """Keeps what a portion tells of orders that come in others too."""
        for scan, one in _each(scans):
            batch = _batch(one.opened.drop)
            if batch in self._split:
                facts = _facts(con, scan.reading, one, _orders(con, scan.reading, one))
                known = self._orders.get(batch)
                self._orders[batch] = _Orders.together([known, facts] if known else [facts])

    def left_out(self, con: duckdb.DuckDBPyConnection, scans: Sequence[Scan]) -> dict[str, LeftOut]:
        """What the shop's rules leave out of the drops of a portion, by drop key. Portions come in their order."""
        repeated = self._repeats(scans)
        judged = {_batch(one.opened.drop) for scan, one in _each(scans) if scan.reading.profile.rules.judges_orders}
        orders: dict[str, Hashes] = {}
        here: dict[Batch, list[_Orders]] = {}
        for scan, one in _each(scans):
            drop = one.opened.drop
            if _batch(drop) in judged:
                orders[drop.key] = _orders(con, scan.reading, one)
                if _batch(drop) not in self._split:
                    here.setdefault(_batch(drop), []).append(_facts(con, scan.reading, one, orders[drop.key]))
        known = self._orders | {batch: _Orders.together(some) for batch, some in here.items()}
        left: dict[str, LeftOut] = {}
        for scan, one in _each(scans):
            drop, rules = one.opened.drop, scan.reading.profile.rules
            kinds = {"duplicate_line": repeated[drop.key]} if rules.duplicates == "exclude" else {}
            if rules.max_lines_per_order:
                facts = known[_batch(drop)]
                kinds["oversized_order"] = facts.of(orders[drop.key], facts.lines > rules.max_lines_per_order)
            if rules.excluded_status and rules.excluded_status.whole_order:
                facts = known[_batch(drop)]
                kinds["excluded_status"] = facts.of(orders[drop.key], facts.excluded)
            left[drop.key] = _left_out(kinds, len(repeated[drop.key]))
        return left

    def _repeats(self, scans: Sequence[Scan]) -> dict[str, Ints]:
        """The records of each drop that repeat one before them."""
        alike: dict[_Kind, list[Scanned]] = {}
        for scan in scans:
            for one in scan.usable():
                layout = one.opened.layout
                kind = (_batch(one.opened.drop), layout.dialect.delimiter, layout.dialect.quote, layout.header)
                alike.setdefault(kind, []).append(one)
        found: dict[str, Ints] = {}
        for kind, drops in alike.items():
            drops.sort(key=lambda one: one.opened.drop.place)
            repeated = _repeats(drops, [np.load(path, mmap_mode="r") for path in self._records.get(kind, ())])
            found |= {one.opened.drop.key: rows for one, rows in zip(drops, repeated, strict=True)}
        for batch in {kind[0] for kind in alike}:
            self._portions_left[batch] -= 1
        for kind, drops in alike.items():
            if self._portions_left[kind[0]] > 0:
                self._folder.mkdir(exist_ok=True)
                path = self._folder / f"{sum(map(len, self._records.values()))}.npy"
                np.save(path, np.unique(np.concatenate([one.whole for one in drops])))
                self._records.setdefault(kind, []).append(path)
        return found


def _batch(drop: DropFile) -> Batch:
    return drop.profile.name, drop.batch


def _each(scans: Sequence[Scan]) -> Iterator[tuple[Scan, Scanned]]:
    return ((scan, one) for scan in scans for one in scan.usable())


def _left_out(kinds: Mapping[str, Ints], duplicates: int) -> LeftOut:
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *kinds.values()]))
    bits = np.zeros(len(rows), np.int64)
    for reason, some in kinds.items():
        bits[np.searchsorted(rows, some)] |= BIT[reason]
    return LeftOut(rows, bits, duplicates)


def _repeats(drops: Sequence[Scanned], earlier: Sequence[Hashes]) -> list[Ints]:
    """The records of each drop whose texts came before, in the order of the drops and their lines, or `earlier`.

    In portions that bound the memory; `earlier` are hashes, ascending.
    """
    whole = drops[0].whole if len(drops) == 1 else np.concatenate([one.whole for one in drops])
    starts = np.cumsum([0, *(len(one.whole) for one in drops)])
    portions = len(whole) // HASHES_AT_ONCE + 1
    found = [np.empty(0, np.int64)]
    for i in range(portions):
        rows = np.arange(len(whole)) if portions == 1 else np.flatnonzero(whole % np.uint64(portions) == i)
        hashes = whole[rows]
        ordered = np.sort(hashes)
        found += [rows[_among(hashes, ordered[_among(ordered, those)])] for those in earlier]
        again = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(again):
            chosen = _among(hashes, again)
            rows, hashes = rows[chosen], hashes[chosen]
            lines = np.concatenate([one.lines_of(mine) for one, mine in zip(drops, _split(rows, starts), strict=True)])
            order = np.lexsort((lines, np.searchsorted(starts, rows, side="right"), hashes))
            repeated = np.flatnonzero(hashes[order][1:] == hashes[order][:-1]) + 1
            found.append(rows[order][repeated])
    return _split(np.unique(np.concatenate(found)), starts)


def _among(hashes: Hashes, ascending: Hashes) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(hashes), bool)
    found: NDArray[np.bool_] = ascending[np.minimum(np.searchsorted(ascending, hashes), len(ascending) - 1)] == hashes
    return found


def _split(rows: Ints, starts: Ints) -> list[Ints]:
    """Ascending numbers of records of several drops, as those of each."""
    parts = np.split(rows, np.searchsorted(rows, starts[1:-1]))
    return [part - start for part, start in zip(parts, starts[:-1].tolist(), strict=True)]


def _orders(con: duckdb.DuckDBPyConnection, reading: sql.Reading, scanned: Scanned) -> Hashes:
    """A number for the order of each record; 0 where it has none."""
    place = reading.place("order_id")
    found = [np.empty(0, np.uint64)]
    for table in scanned.batches():
        own = cells(table, place or ())
        con.register("cells", own.table)
        ids = con.sql(f"SELECT {reading.text('order_id')} AS id FROM cells").to_arrow_table()["id"].combine_chunks()
        con.unregister("cells")
        hashes = np.where(flags(ids.is_valid()), text_hashes(ids), _NO_ORDER)
        found.append(hashes[own.codes])
    return np.concatenate(found)


def _facts(con: duckdb.DuckDBPyConnection, reading: sql.Reading, scanned: Scanned, orders: Hashes) -> _Orders:
    known, place, lines = np.unique(orders, return_inverse=True, return_counts=True)
    excluded = np.zeros(len(known), bool)
    status = reading.profile.rules.excluded_status
    if status and status.whole_order and "excluded_status" in reading.marks():
        excluded[place[_of_status(con, reading, scanned)]] = True
    return _Orders(known, lines, excluded)


def _of_status(con: duckdb.DuckDBPyConnection, reading: sql.Reading, scanned: Scanned) -> NDArray[np.bool_]:
    """Whether each record has a status that leaves its order out."""
    place = (reading.marks()["excluded_status"],)
    found = [np.empty(0, bool)]
    for table in scanned.batches():
        own = cells(table, place)
        con.register("cells", own.table)
        excluded = con.sql(sql.excluded_statuses(reading, "cells")).to_arrow_table()["excluded"].combine_chunks()
        con.unregister("cells")
        found.append(flags(excluded)[own.codes])
    return np.concatenate(found)
