"""What takes a whole batch to know: repeated records, orders with too many lines, orders of a status.

Belongs here: finding their records over all drops of a batch and source, in however many portions they are read, and
what a shop's rules make of them. Does not belong here: what one record tells.

A record repeats another where both have the same fields under the same header in the same dialect; of all that are
alike the first counts, by drop key and line.

A cancellation that names its order is left out with it, and does not make it larger: whether an order is left out must
not depend on when, and in which batch, something of it is taken back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.orders import sql
from reco.orders.coded import Codes, cells
from reco.orders.drops import DropFile
from reco.orders.lines import Ints
from reco.orders.scan import Hashes, Scanned, text_hashes
from reco.orders.typed import BIT
from reco.storage.columns import Arrow, flags

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
class _Of:
    """The orders of the records of a drop, one place a record.

    own: a number for the order whose id the record has, 0 where it has none; named: the same, or for the order of which
    the record cancels lines; takes_back: the record takes units of its order back.
    """

    own: Hashes
    named: Hashes
    takes_back: NDArray[np.bool_]


@dataclass(frozen=True)
class _Orders:
    """The orders of some records: a number for each, ascending, its lines, and whether a status leaves it out.

    Lines that take units back are none of those counted: an order is as large as what was bought in it.
    """

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

    def of(self, some: "_Of", chosen: NDArray[np.bool_]) -> Ints:
        """The records that are of the chosen orders, or take back units of one."""
        orders = self.orders[chosen & (self.orders != _NO_ORDER)]
        found = np.isin(some.own, orders)
        return np.flatnonzero(found if some.named is some.own else found | np.isin(some.named, orders))


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
                facts = _facts(con, scan.reading, one, _of(con, scan.reading, one))
                known = self._orders.get(batch)
                self._orders[batch] = _Orders.together([known, facts] if known else [facts])

    def left_out(self, con: duckdb.DuckDBPyConnection, scans: Sequence[Scan]) -> dict[str, LeftOut]:
        """What the shop's rules leave out of the drops of a portion, by drop key. Portions come in their order."""
        repeated = self._repeats(scans)
        judged = {_batch(one.opened.drop) for scan, one in _each(scans) if scan.reading.profile.rules.judges_orders}
        orders: dict[str, _Of] = {}
        here: dict[Batch, list[_Orders]] = {}
        for scan, one in _each(scans):
            drop = one.opened.drop
            if _batch(drop) in judged:
                orders[drop.key] = _of(con, scan.reading, one)
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
    portion = _portions(whole)
    found = [np.empty(0, np.int64)]
    for i in range(int(portion.max(initial=0)) + 1):
        here = portion == i
        hashes = whole[here]
        ordered = np.sort(hashes)
        before = [those for those in (ordered[_among(ordered, known)] for known in earlier) if len(those)]
        again = ordered[1:][ordered[1:] == ordered[:-1]]
        if not len(again) and not before:
            continue
        rows = np.flatnonzero(here)
        found += [rows[_among(hashes, those)] for those in before]
        if len(again):
            chosen = _among(hashes, again)
            rows, hashes = rows[chosen], hashes[chosen]
            lines = np.concatenate([one.lines_of(mine) for one, mine in zip(drops, _split(rows, starts), strict=True)])
            order = np.lexsort((lines, np.searchsorted(starts, rows, side="right"), hashes))
            repeated = np.flatnonzero(hashes[order][1:] == hashes[order][:-1]) + 1
            found.append(rows[order][repeated])
    return _split(np.unique(np.concatenate(found)), starts)


def _portions(hashes: Hashes) -> NDArray[np.uint8]:
    """The portion of each hash, told by its upper bits: equal ones are in one, and each has some four millions."""
    bits = min(8, (len(hashes) // HASHES_AT_ONCE).bit_length())
    found = np.zeros(len(hashes), np.uint8)
    if bits:
        for start in range(0, len(hashes), HASHES_AT_ONCE):
            found[start : start + HASHES_AT_ONCE] = hashes[start : start + HASHES_AT_ONCE] >> np.uint64(64 - bits)
    return found


def _among(hashes: Hashes, ascending: Hashes) -> NDArray[np.bool_]:
    if not len(ascending):
        return np.zeros(len(hashes), bool)
    found: NDArray[np.bool_] = ascending[np.minimum(np.searchsorted(ascending, hashes), len(ascending) - 1)] == hashes
    return found


def _split(rows: Ints, starts: Ints) -> list[Ints]:
    """Ascending numbers of records of several drops, as those of each."""
    parts = np.split(rows, np.searchsorted(rows, starts[1:-1]))
    return [part - start for part, start in zip(parts, starts[:-1].tolist(), strict=True)]


def _of(con: duckdb.DuckDBPyConnection, reading: sql.Reading, scanned: Scanned) -> _Of:
    found = [_of_some(con, reading, table) for table in scanned.batches()]
    if not found:
        nothing = np.empty(0, np.uint64)
        return _Of(nothing, nothing, np.empty(0, bool))
    own, named, takes_back = (np.concatenate(some) for some in zip(*found, strict=True))
    return _Of(own, named, takes_back)


def _of_some(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, table: pa.Table
) -> tuple[Hashes, Hashes, NDArray[np.bool_]]:
    rules, marks = reading.profile.rules, reading.marks()
    own = named = _numbers(con, table, reading.place("order_id") or (), reading.text("order_id"))
    takes_back = np.zeros(len(own), bool)
    if "cancelled_order" in marks:
        cancels = _flags(con, table, (marks["cancelled"],), sql.is_cancelled(reading))
        others = _numbers(con, table, (marks["cancelled_order"],), reading.mark("cancelled_order"))
        takes_back = cancels & (others != _NO_ORDER)
        named = np.where(takes_back, others, own)
    if rules.returns == "net" and (quantity := reading.place("quantity")):
        takes_back |= _flags(con, table, quantity, f"coalesce(starts_with({reading.text('quantity')}, '-'), false)")
    return own, named, takes_back


def _facts(con: duckdb.DuckDBPyConnection, reading: sql.Reading, scanned: Scanned, of: _Of) -> _Orders:
    known, place = np.unique(of.own, return_inverse=True)
    lines = np.bincount(place, weights=~of.takes_back, minlength=len(known)).astype(np.int64)
    excluded = np.zeros(len(known), bool)
    status = reading.profile.rules.excluded_status
    if status and status.whole_order and "excluded_status" in reading.marks():
        column = (reading.marks()["excluded_status"],)
        found = [_flags(con, table, column, sql.is_excluded_status(reading)) for table in scanned.batches()]
        excluded[place[np.concatenate([np.empty(0, bool), *found])]] = True
    return _Orders(known, lines, excluded)


def _numbers(con: duckdb.DuckDBPyConnection, table: pa.Table, place: tuple[int, ...], text: str) -> Hashes:
    """A number for each record's text at a place, as an expression of SQL gives it; 0 where it is null."""
    found, codes = _asked(con, table, place, text)
    return np.where(flags(found.is_valid()), text_hashes(found), _NO_ORDER)[codes]


def _flags(con: duckdb.DuckDBPyConnection, table: pa.Table, place: tuple[int, ...], told: str) -> NDArray[np.bool_]:
    """What an expression of SQL that is never null says of each record's text at a place."""
    found, codes = _asked(con, table, place, told)
    return flags(found)[codes]


def _asked(
    con: duckdb.DuckDBPyConnection, table: pa.Table, place: tuple[int, ...], expression: str
) -> tuple[Arrow, Codes]:
    """What an expression gives for each text at a place, and the place of each record's."""
    own = cells(table, place)
    con.register("cells", own.table)
    found: Arrow = con.sql(f"SELECT {expression} AS found FROM cells").to_arrow_table()["found"].combine_chunks()
    con.unregister("cells")
    return found, own.codes
