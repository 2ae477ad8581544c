"""Deciding what becomes of the records of a scan: chunk by chunk, with what takes a whole drop to know.

Belongs here: bounded runs of lines, and turning flags into accepted lines and reasons. Does not belong here: the rules,
what a text means (`reco.orders.typed`), reading files, and writing parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from reco.orders import sql
from reco.orders.lines import Ints
from reco.orders.opened import OpenedDrop
from reco.orders.parts import ORDER_LINES_SCHEMA, OtherLine
from reco.orders.records import MESSAGES
from reco.orders.rules import CHECKS, COLUMNS, MAX_VALUE_CHARS, REASONS
from reco.orders.scan import Rows, Scanned
from reco.orders.schema import MAX_CHECKED_ROWS, require_valid
from reco.orders.typed import Flags, Numbers, Typed, typed
from reco.orders.whole import LeftOut
from reco.storage.columns import NULL, flag_column, money_column, number_column, text_array, text_column


@dataclass(frozen=True)
class Run:
    """A run of lines of one drop, from one physical line to before another."""

    scanned: Scanned
    style: sql.Style
    start: int
    stop: int
    last: bool

    @property
    def drop(self) -> OpenedDrop:
        """The drop."""
        return self.scanned.opened


@dataclass(frozen=True)
class Judged:
    """What became of the lines of one run; `accepted` has the columns of `order_lines`, texts as dictionaries."""

    run: Run
    accepted: pa.Table
    others: list[OtherLine]


def runs(drops: Sequence[Scanned], styles: Mapping[str, sql.Style]) -> Iterator[list[Run]]:
    """Bounded chunks of runs that can be judged at once. A drop's runs depend on nothing but its own lines."""
    chunk: list[Run] = []
    room = MAX_CHECKED_ROWS
    for scanned in drops:
        style = styles[scanned.opened.drop.key]
        start, end = 1, scanned.opened.scan.lines + 1
        while start < end:
            stop = scanned.opened.scan.run_from(start, MAX_CHECKED_ROWS)
            if chunk and (stop - start > room or chunk[-1].style != style):
                yield chunk
                chunk, room = [], MAX_CHECKED_ROWS
            chunk.append(Run(scanned, style, start, stop, stop == end))
            room -= stop - start
            start = stop
    if chunk:
        yield chunk


def judge(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, chunk: Sequence[Run], left_out: Mapping[str, LeftOut]
) -> Iterator[Judged]:
    """Casts and checks the lines of a chunk.

    Args:
        con: any connection of its own.
        reading: profile and mapping of the scan.
        chunk: runs of one style.
        left_out: what the shop's rules leave out for what only the whole drop tells, by drop key.

    Raises:
        LedgerBroken: the schema refuses what the rules accepted.
    """
    parts = [run.scanned.run(run.start, run.stop) for run in chunk]
    table = pa.concat_tables([part.table for part in parts])
    lines = typed(con, reading, chunk[0].style, table)
    for (start, stop), run, part in zip(_bounds(parts), chunk, parts, strict=True):
        lines.flags[start:stop] |= left_out[run.drop.drop.key].flags_of(part.rows)
    good = lines.flags == 0
    accepted = _accepted(reading, lines, good, np.concatenate([part.lines for part in parts]))
    if accepted.num_rows:
        name = ", ".join(dict.fromkeys(run.drop.drop.name for run in chunk[:3]))
        require_valid(accepted, reading.now, name, takes_back=reading.profile.rules.takes_back)
    refused = np.flatnonzero(~good)
    texts = _texts(con, reading, table, refused)
    done = 0
    for (start, stop), run, part in zip(_bounds(parts), chunk, parts, strict=True):
        count = int(np.count_nonzero(good[start:stop]))
        first, last = np.searchsorted(refused, [start, stop]).tolist()
        mine = refused[first:last]
        others = _others(run, reading, part.lines[mine - start], lines.flags[mine], texts[first:last])
        yield Judged(run, accepted.slice(done, count), others)
        done += count


def _bounds(parts: Sequence[Rows]) -> list[tuple[int, int]]:
    ends = np.cumsum([0, *(len(part.rows) for part in parts)]).tolist()
    return list(pairwise(ends))


def _accepted(reading: sql.Reading, lines: Typed, good: Flags, line: Ints) -> pa.Table:
    count = int(np.count_nonzero(good))
    mask = None if count == len(good) else flag_column(good)
    columns = {"line": number_column(line[good])}
    for rule in COLUMNS:
        if rule.name in lines.texts:
            column = lines.texts[rule.name]
            columns[rule.name] = column if mask is None else column.filter(mask)
        elif rule.cast == "{text}":
            columns[rule.name] = text_column(pa.nulls(0, pa.string()), np.full(count, NULL))
        else:
            columns[rule.name] = _number(lines.numbers[rule.name], good, ORDER_LINES_SCHEMA.field(rule.name).type)
    columns["source"] = text_column(text_array([reading.profile.name]), np.zeros(count, np.int32))
    return pa.table(columns)


def _number(one: Numbers, good: Flags, kind: pa.DataType) -> Any:
    values, known = one.values[good], one.known[good]
    if pa.types.is_decimal(kind):
        return money_column(values, known)
    return number_column(values, kind, known=known)


def _texts(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, table: pa.Table, rows: Ints
) -> list[dict[str, str | None]]:
    """The trimmed texts of some records."""
    if not len(rows):
        return []
    plain = pa.schema([(name, pa.string()) for name in table.column_names])
    con.register("refused", table.unify_dictionaries().take(number_column(rows)).cast(plain))
    try:
        found: list[dict[str, str | None]] = con.sql(sql.texts(reading, "refused")).to_arrow_table().to_pylist()
    finally:
        con.unregister("refused")
    return found


def _others(
    run: Run, reading: sql.Reading, lines: Ints, flags: Ints, texts: Sequence[Mapping[str, str | None]]
) -> list[OtherLine]:
    """The lines of a run that are not accepted, in order, with their bytes as they came."""
    drop = run.drop
    spans = drop.spans(lines) if len(lines) else []
    found: list[tuple[int, tuple[int, int], Any]] = [
        (line, span, why)
        for line, span, why in zip(lines.tolist(), spans, zip(flags.tolist(), texts, strict=True), strict=True)
    ]
    found += [
        (fault.line, (fault.start, fault.end), fault.reason) for fault in drop.faults.between(run.start, run.stop)
    ]
    found.sort(key=lambda one: one[0])
    places = np.array([place for _, span, _ in found for place in span], np.int64)
    offsets = drop.text.original_offsets(places).reshape(-1, 2).tolist()
    return [
        _other_line(line, start, drop.text.raw(start, end), why, reading)
        for (line, _, why), (start, end) in zip(found, offsets, strict=True)
    ]


def _other_line(line: int, offset: int, raw: bytes, why: Any, reading: sql.Reading) -> OtherLine:
    if isinstance(why, str):
        return OtherLine(line, offset, raw, REASONS[why], why, None, None, MESSAGES[why], [])
    flags, texts = why
    first, *rest = [check for i, check in enumerate(CHECKS) if flags >> i & 1]
    column = first.column or (reading.marked_column(first.reason) if f"m_{first.reason}" in texts else None)
    value = texts.get(f"t_{first.column}") if first.column else texts.get(f"m_{first.reason}")
    also = [reason for reason in dict.fromkeys(check.reason for check in rest) if reason != first.reason]
    value = value[:MAX_VALUE_CHARS] if value else None
    return OtherLine(line, offset, raw, first.disposition, first.reason, column, value, first.message, also)
