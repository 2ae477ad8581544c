"""What takes a whole drop to know: repeated records, orders with too many lines, orders of a status.

Belongs here: finding their records, and what a shop's rules make of them. Does not belong here: what one record tells.
"""

from dataclasses import dataclass

import duckdb
import numpy as np

from reco.orders import sql
from reco.orders.coded import cells
from reco.orders.lines import Ints
from reco.orders.scan import Hashes, Scanned, text_hashes
from reco.orders.typed import BIT
from reco.storage.columns import flags

HASHES_AT_ONCE = 4_000_000


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


def left_out(con: duckdb.DuckDBPyConnection, reading: sql.Reading, scanned: Scanned) -> LeftOut:
    """What the shop's rules leave out of a drop for what only the whole drop tells."""
    rules = reading.profile.rules
    repeated = _repeats(scanned)
    kinds = {"duplicate_line": repeated} if rules.duplicates == "exclude" else {}
    if rules.max_lines_per_order or (rules.excluded_status and rules.excluded_status.whole_order):
        orders = _orders(con, reading, scanned)
        if rules.max_lines_per_order:
            kinds["oversized_order"] = _oversized(orders, rules.max_lines_per_order)
        if rules.excluded_status and rules.excluded_status.whole_order and "excluded_status" in reading.marks():
            kinds["excluded_status"] = _of_status(con, reading, scanned, orders)
    rows = np.unique(np.concatenate([np.empty(0, np.int64), *kinds.values()]))
    bits = np.zeros(len(rows), np.int64)
    for reason, some in kinds.items():
        bits[np.searchsorted(rows, some)] |= BIT[reason]
    return LeftOut(rows, bits, len(repeated))


def _repeats(scanned: Scanned) -> Ints:
    """The records whose texts came before in the order of the drop's lines; in portions that bound the memory."""
    portions = len(scanned.whole) // HASHES_AT_ONCE + 1
    found = [np.empty(0, np.int64)]
    for i in range(portions):
        rows = np.arange(len(scanned.whole))
        if portions > 1:
            rows = np.flatnonzero(scanned.whole % np.uint64(portions) == i)
        hashes = scanned.whole[rows]
        ordered = np.sort(hashes)
        again = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(again):
            rows = rows[again[np.minimum(np.searchsorted(again, hashes), len(again) - 1)] == hashes]
            hashes = scanned.whole[rows]
            order = np.lexsort((scanned.lines_of(rows), hashes))
            repeated = np.flatnonzero(hashes[order][1:] == hashes[order][:-1]) + 1
            found.append(rows[order][repeated])
    return np.concatenate(found)


def _orders(con: duckdb.DuckDBPyConnection, reading: sql.Reading, scanned: Scanned) -> Hashes:
    """A number for the order of each record; 0 where it has none."""
    place = reading.place("order_id")
    found = [np.empty(0, np.uint64)]
    for table in scanned.batches():
        own = cells(table, place or ())
        con.register("cells", own.table)
        ids = con.sql(f"SELECT {reading.text('order_id')} AS id FROM cells").to_arrow_table()["id"].combine_chunks()
        con.unregister("cells")
        hashes = np.where(flags(ids.is_valid()), text_hashes(ids), np.uint64(0))
        found.append(hashes[own.codes])
    return np.concatenate(found)


def _oversized(orders: Hashes, limit: int) -> Ints:
    _, place, lines = np.unique(orders, return_inverse=True, return_counts=True)
    return np.flatnonzero((lines > limit)[place] & (orders != 0))


def _of_status(con: duckdb.DuckDBPyConnection, reading: sql.Reading, scanned: Scanned, orders: Hashes) -> Ints:
    place = (reading.marks()["excluded_status"],)
    found = [np.empty(0, bool)]
    for table in scanned.batches():
        own = cells(table, place)
        con.register("cells", own.table)
        excluded = con.sql(sql.excluded_statuses(reading, "cells")).to_arrow_table()["excluded"].combine_chunks()
        con.unregister("cells")
        found.append(flags(excluded)[own.codes])
    those = np.unique(orders[np.concatenate(found)])
    return np.flatnonzero(np.isin(orders, those[those != 0]))
