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
from reco.orders.coded import texts_at
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

MOST_OTHERS = 20_000
"""Lines that were not accepted, of which texts and bytes are held at once."""
MOST_OTHER_BYTES = 2**24
"""Their bytes; one longer line is held by itself."""


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
    """What became of lines of one run, in order: all that are accepted with the first of the others, then some others.

    accepted: has the columns of `order_lines`, texts as dictionaries; last: nothing of the drop comes after it.
    """

    run: Run
    accepted: pa.Table
    others: list[OtherLine]
    last: bool


@dataclass(frozen=True)
class _Refused:
    """Records that a check refuses: their numbers in a table, ascending, their first physical lines, and the checks."""

    table: pa.Table
    rows: Ints
    lines: Ints
    flags: Ints


_Why = tuple[str, str, str | None, str | None, str, list[str]]
"""Disposition, reason, column, value, message, and the other reasons of a line that was not accepted."""


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
    done = 0
    for (start, stop), run, part in zip(_bounds(parts), chunk, parts, strict=True):
        count = int(np.count_nonzero(good[start:stop]))
        mine = accepted.slice(done, count)
        done += count
        rows = np.flatnonzero(~good[start:stop]) + start
        refused = _Refused(table, rows, part.lines[rows - start], lines.flags[rows])
        for others, last in _others(con, run, reading, refused):
            yield Judged(run, mine, others, run.last and last)
            mine = accepted.slice(done, 0)
        run.scanned.release()


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
    """The trimmed texts of some records, whose numbers ascend."""
    if not len(rows):
        return []
    plain = pa.table({name: texts_at(table[name], rows) for name in table.column_names})
    con.register("refused", plain)
    try:
        found: list[dict[str, str | None]] = con.sql(sql.texts(reading, "refused")).to_arrow_table().to_pylist()
    finally:
        con.unregister("refused")
    return found


def _others(
    con: duckdb.DuckDBPyConnection, run: Run, reading: sql.Reading, refused: _Refused
) -> Iterator[tuple[list[OtherLine], bool]]:
    """The lines of a run that are not accepted, in order, with their bytes as they came: some at once, perhaps none.

    Comes at least once, and with the last of them true. However many there are, what is held of them is bounded by
    `MOST_OTHERS` and `MOST_OTHER_BYTES`.
    """
    text = run.drop.text
    lines = refused.lines
    starts, ends = run.drop.spans(lines)
    faults = run.drop.faults.between(run.start, run.stop)
    order = np.argsort(np.concatenate([lines, faults.lines]), kind="stable")
    starts, ends = np.concatenate([starts, faults.starts])[order], np.concatenate([ends, faults.ends])[order]
    spans = text.original_offsets(np.stack([starts, ends], axis=1).ravel()).reshape(-1, 2)
    for begin, stop in _portions(spans[:, 1] - spans[:, 0]):
        chosen = order[begin:stop]
        own = chosen[chosen < len(lines)]
        meant = _texts(con, reading, refused.table, refused.rows[own])
        whys = (_why(flags, one, reading) for flags, one in zip(refused.flags[own].tolist(), meant, strict=True))
        found = []
        for i, (start, end) in zip(chosen.tolist(), spans[begin:stop].tolist(), strict=True):
            line, why = (int(lines[i]), next(whys)) if i < len(lines) else _structural(*faults.at(i - len(lines)))
            found.append(OtherLine(line, start, text.raw(start, end), *why))
        yield found, stop == len(order)


def _portions(sizes: Ints) -> Iterator[tuple[int, int]]:
    """Bounds of runs of lines of these sizes in bytes, that are held at once; one run without any line."""
    before = np.cumsum(np.append(0, sizes))
    begin = 0
    while True:
        full = int(np.searchsorted(before, before[begin] + MOST_OTHER_BYTES, side="right")) - 1
        stop = min(max(full, begin + 1), begin + MOST_OTHERS, len(sizes))
        yield begin, stop
        if stop == len(sizes):
            return
        begin = stop


def _why(flags: int, texts: Mapping[str, str | None], reading: sql.Reading) -> _Why:
    first, *rest = [check for i, check in enumerate(CHECKS) if flags >> i & 1]
    column = first.column or (reading.marked_column(first.reason) if f"m_{first.reason}" in texts else None)
    value = texts.get(f"t_{first.column}") if first.column else texts.get(f"m_{first.reason}")
    also = [reason for reason in dict.fromkeys(check.reason for check in rest) if reason != first.reason]
    return first.disposition, first.reason, column, value[:MAX_VALUE_CHARS] if value else None, first.message, also


def _structural(line: int, reason: str) -> tuple[int, _Why]:
    return line, (REASONS[reason], reason, None, None, MESSAGES[reason], [])
