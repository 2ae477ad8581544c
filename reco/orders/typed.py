"""What the records of a scan mean: every canonical column as numbers or texts, and which checks a record fails.

Belongs here: asking the rule table's SQL once a distinct text, and what takes two columns of a record to know: totals,
and lines that take units of an order back. Does not belong here: the rules themselves, and what takes a whole drop.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.orders import sql
from reco.orders.coded import Cells, cells, is_trimmed, replaced, text_codes
from reco.orders.iso import iso_times
from reco.orders.lines import Ints
from reco.orders.profiles import NAMED_FORMATS
from reco.orders.rules import CHECKS, COLUMNS, EARLIEST, SIGNED, latest
from reco.orders.times import reads_iso
from reco.storage.columns import Arrow, flags, numbers

Flags = NDArray[np.bool_]
BIT = {check.reason: 1 << i for i, check in reversed(list(enumerate(CHECKS)))}
"""The bit of each reason; of one that several columns share, that of the first."""
_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - times in the lake are UTC without a zone
_MICROSECOND = dt.timedelta(microseconds=1)
_LARGEST_MONEY = 10**18
_WORKING = 9e18
"""What an integer of 64 bits holds for sure."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One number a record. values: amounts in ten-thousandths, times in microseconds; known: which have one."""

    values: Ints
    known: Flags

    @classmethod
    def absent(cls, count: int, value: int | None) -> "Numbers":
        """The numbers of a column that the file does not have."""
        return cls(np.full(count, value or 0), np.full(count, value is not None))


@dataclass(frozen=True, slots=True)
class Typed:
    """Records as what they mean, one place a record in every array.

    texts: columns in dictionaries, whose texts may repeat; flags: one bit a failed check of `CHECKS`.
    """

    texts: dict[str, Arrow]
    numbers: dict[str, Numbers]
    flags: Ints


def typed(con: duckdb.DuckDBPyConnection, reading: sql.Reading, style: sql.Style, table: pa.Table) -> Typed:
    """Casts and checks records.

    Args:
        con: any connection of its own.
        reading: profile and mapping of the scan.
        style: how the drop writes times and amounts.
        table: the records, columns `c{i}` of coded texts.
    """
    count = table.num_rows
    texts: dict[str, Arrow] = {}
    amounts: dict[str, Numbers] = {}
    is_cancelled = np.zeros(count, bool)
    failed = np.zeros(count, np.int64)
    for place, asked in sql.asked(reading).items():
        if _is_plain(reading, asked, place) and is_trimmed(table[f"c{place[0]}"]):
            texts |= {rule.name: table[f"c{place[0]}"] for rule in asked.columns}
            continue
        own = cells(table, place)
        if (moments := _usual_times(reading, style, asked, own)) is not None:
            amounts["ordered_at"] = Numbers(moments[own.codes], np.ones(count, bool))
            failed |= _out_of_range(reading, moments)[own.codes]
            continue
        meant = _ask(con, sql.meanings(reading, style, asked, "cells"), own.table)
        for name in set(meant.column_names) - {"is_cancelled", "flags"}:
            whole = meant[name].combine_chunks()
            if pa.types.is_string(whole.type):
                texts[name] = text_codes(whole, own.codes)
            else:
                amounts[name] = Numbers(numbers(meant[name])[own.codes], flags(whole.is_valid())[own.codes])
        if "is_cancelled" in meant.column_names:
            is_cancelled = flags(meant["is_cancelled"].combine_chunks())[own.codes]
        failed |= numbers(meant["flags"].cast(pa.int64()))[own.codes]
    for rule in COLUMNS:
        if rule.cast != "{text}" and rule.name not in amounts:
            amounts[rule.name] = Numbers.absent(count, 1 if rule.name == "quantity" else None)
    if not reading.has("line_total") and reading.has("unit_price"):
        amounts["line_total"] = total = _product(amounts["unit_price"], amounts["quantity"])
        missing = amounts["unit_price"].known & amounts["quantity"].known & ~total.known
        failed[missing] |= _bit("invalid_price", "line_total")
    return _signed(reading, Typed(texts, amounts, failed), is_cancelled)


def _is_plain(reading: sql.Reading, asked: sql.Asked, place: tuple[int, ...]) -> bool:
    """Whether trimmed texts at a place are what they look like: nothing to cast, to leave out or to mark."""
    if len(place) > 1 or asked.marks or any(rule.cast != "{text}" for rule in asked.columns):
        return False
    rules = reading.profile.rules
    if rules.exclude_items and any(rule.name == "item_id" for rule in asked.columns):
        return False
    return place[0] not in {reading.mapping.extra[name] for name in rules.strip_decimal}


def _usual_times(reading: sql.Reading, style: sql.Style, asked: sql.Asked, own: Cells) -> Ints | None:
    """The times at a place in microseconds, where all are of the usual form, which needs no asking; else None."""
    spec = reading.profile.columns.ordered_at
    alone = [rule.name for rule in asked.columns] == ["ordered_at"] and not asked.marks and own.table.num_columns == 1
    told = spec is not None and spec.format is not None and spec.format not in NAMED_FORMATS
    if not alone or told or reading.profile.timezone != "UTC" or not reads_iso(style.time):
        return None
    return iso_times(own.texts)


def _out_of_range(reading: sql.Reading, moments: Ints) -> Ints:
    """The flag of each time that lies too far back or ahead."""
    first, last = ((one - _EPOCH) // _MICROSECOND for one in (EARLIEST, latest(reading.now)))
    return np.where((moments < first) | (moments > last), BIT["timestamp_out_of_range"], 0)


def _ask(con: duckdb.DuckDBPyConnection, query: str, table: pa.Table) -> Any:
    con.register("cells", table)
    try:
        return con.sql(query).to_arrow_table()
    finally:
        con.unregister("cells")


def _product(price: Numbers, quantity: Numbers) -> Numbers:
    """Totals from prices and quantities; not known where one is not, or where it has more than eighteen digits."""
    rough = np.abs(price.values.astype(np.float64) * quantity.values)
    total = np.where(rough < _WORKING, price.values, 0) * quantity.values
    known = price.known & quantity.known & (rough < _WORKING) & (np.abs(total) < _LARGEST_MONEY)
    return Numbers(np.where(known, total, 0), known)


def _bit(reason: str, column: str) -> int:
    return next(1 << i for i, check in enumerate(CHECKS) if (check.reason, check.column) == (reason, column))


def _signed(reading: sql.Reading, lines: Typed, is_cancelled: Flags) -> Typed:
    """The same lines where some may take units of an order back: what these count is below zero."""
    rules = reading.profile.rules
    texts, amounts, failed = dict(lines.texts), dict(lines.numbers), lines.flags
    cancelled_order, cancels = texts.get("m_cancelled_order"), np.zeros(len(failed), bool)
    if cancelled_order is not None:
        cancels = is_cancelled & flags(cancelled_order.is_valid())
        failed[is_cancelled & ~cancels] |= BIT["cancelled"]
        failed[cancels] &= ~BIT["missing_order_id"]
        if cancels.any():
            texts["order_id"] = replaced(texts["order_id"], cancelled_order, cancels)
    if rules.takes_back:
        quantity = amounts["quantity"]
        back = cancels | (quantity.known & (quantity.values < 0) if rules.returns == "net" else False)
        failed |= _below(reading, amounts, back)
        for name in SIGNED:
            one = amounts[name]
            amounts[name] = Numbers(np.where(back, -np.abs(one.values), one.values), one.known)
    return Typed(texts, amounts, failed)


def _below(reading: sql.Reading, amounts: Mapping[str, Numbers], back: Flags) -> Ints:
    """The flags of amounts below their minimum, but those of lines that take something back."""
    failed = np.zeros(len(back), np.int64)
    for i, check in enumerate(CHECKS):
        if check.column in SIGNED and isinstance(check.minimum, int) and reading.has(check.column):
            one = amounts[check.column]
            below = one.known & (one.values < check.minimum) & ~(back & (one.values != 0))
            failed[below] |= 1 << i
    return failed
