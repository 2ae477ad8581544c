"""Deciding what becomes of the records of one scan: chunk by chunk, and what takes a whole drop to know.

Belongs here: running the rule table's SQL over bounded runs of lines and turning flags into reasons. Does not belong
here: the rules, reading files, and writing parts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import polars as pl

from reco.errors import LedgerBroken
from reco.orders import sql
from reco.orders.lines import Ints
from reco.orders.opened import OpenedDrop
from reco.orders.parts import OtherLine
from reco.orders.records import MESSAGES
from reco.orders.rules import CHECKS, MAX_VALUE_CHARS, REASONS
from reco.orders.schema import MAX_CHECKED_ROWS, require_valid
from reco.storage.engine import fetch_row

_LINES_OF_A_RUN = 2**40
"""More lines than a file has: keeps runs apart where run and line are one number."""
_HASHES_AT_ONCE = 4_000_000
_BIT = {check.reason: 1 << i for i, check in reversed(list(enumerate(CHECKS)))}


@dataclass(frozen=True)
class Run:
    """A run of lines of one drop, from one physical line to before another."""

    drop: OpenedDrop
    style: sql.Style
    start: int
    stop: int
    last: bool


@dataclass(frozen=True)
class Judged:
    """What became of the lines of one run."""

    run: Run
    accepted: pl.DataFrame
    others: list[OtherLine]


@dataclass(frozen=True)
class WholeDrop:
    """What takes a whole drop to know, as rows of `raw`: repeated records, orders too large, orders of a status."""

    duplicates: Ints
    oversized: Ints
    excluded: Ints


def runs(drops: Sequence[OpenedDrop], styles: dict[int, sql.Style]) -> Iterator[list[Run]]:
    """Bounded chunks of runs that can be judged at once. A drop's runs depend on nothing but its own lines."""
    chunk: list[Run] = []
    room = MAX_CHECKED_ROWS
    for i, drop in enumerate(drops):
        if i not in styles:
            continue
        start, end = 1, drop.scan.lines + 1
        while start < end:
            stop = drop.scan.run_from(start, MAX_CHECKED_ROWS)
            if chunk and (stop - start > room or chunk[-1].style != styles[i]):
                yield chunk
                chunk, room = [], MAX_CHECKED_ROWS
            chunk.append(Run(drop, styles[i], start, stop, stop == end))
            room -= stop - start
            start = stop
    if chunk:
        yield chunk


def whole_drop(con: duckdb.DuckDBPyConnection, reading: sql.Reading, drops: Sequence[OpenedDrop]) -> list[WholeDrop]:
    """What takes each whole drop to know, by position."""
    limit = reading.profile.rules.max_lines_per_order
    oversized = excluded = np.empty(0, np.int64)
    if limit:
        order = reading.text("order_id")
        query = (
            f"SELECT rid FROM (SELECT rowid AS rid, file_no, {order} AS o FROM raw) WHERE o IS NOT NULL "
            f"QUALIFY count(*) OVER (PARTITION BY file_no, o) > {limit}"
        )
        oversized = _sorted_rows(con, query)
    if status := sql.excluded_orders(reading):
        excluded = _sorted_rows(con, status)
    rows, hashes = _alike(con)
    return [
        WholeDrop(_repeats(drop, rows, hashes), oversized[drop.mine(oversized)], excluded[drop.mine(excluded)])
        for drop in drops
    ]


def _sorted_rows(con: duckdb.DuckDBPyConnection, query: str) -> Ints:
    rows: Ints = con.sql(query).fetchnumpy()["rid"].astype(np.int64)
    return np.sort(rows)


def _alike(con: duckdb.DuckDBPyConnection) -> tuple[Ints, Any]:
    """The rows whose hash another row has too, ascending, and their hashes; in portions that bound the memory."""
    (count,) = fetch_row(con, "SELECT count(*) FROM raw")
    portions = count // _HASHES_AT_ONCE + 1
    found_rows, found_hashes = [], []
    for i in range(portions):
        found = con.sql(f"SELECT rowid AS rid, whole FROM raw WHERE whole % {portions} = {i}").fetchnumpy()
        rows, hashes = np.asarray(found["rid"]), np.asarray(found["whole"])
        ordered = np.sort(hashes)
        repeated = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(repeated):
            alike = repeated[np.minimum(np.searchsorted(repeated, hashes), len(repeated) - 1)] == hashes
            found_rows.append(rows[alike])
            found_hashes.append(hashes[alike])
    rows = np.concatenate([np.empty(0, np.int64), *found_rows])
    order = np.argsort(rows)
    return rows[order], np.concatenate([np.empty(0, np.uint64), *found_hashes])[order]


def _repeats(drop: OpenedDrop, rows: Ints, hashes: Any) -> Ints:
    """Those of the rows of a drop whose hash came before in the order of its lines."""
    mine = drop.mine(rows)
    order = np.lexsort((drop.lines_of_raw(rows[mine]), hashes[mine]))
    ordered = hashes[mine][order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    return np.sort(rows[mine][order][again])


def _rows(drop: OpenedDrop, start: int, stop: int) -> tuple[Ints, Ints]:
    """The rows in `raw` of a run of a drop's lines, and their physical lines: plain rows first, then the others."""
    low, high = drop.rows_before(start), drop.rows_before(stop)
    first, last = np.searchsorted(drop.extra_lines, [start, stop])
    plain = np.arange(low, high, dtype=np.int64)
    rows = np.concatenate([plain + drop.first_row, np.arange(first, last, dtype=np.int64) + drop.first_extra_row])
    return rows, np.concatenate([drop.lines_of(plain), drop.extra_lines[first:last]])


def judge(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, chunk: Sequence[Run], left_out: Ints
) -> Iterator[Judged]:
    """Casts and checks the lines of a chunk.

    Args:
        con: has the table `raw`.
        reading: profile and mapping of the scan.
        chunk: runs of one time style.
        left_out: rows of `raw` with the flags of `whole_drop`: an array of two rows, row numbers (ascending) and flags.

    Raises:
        LedgerBroken: rows are lost on the way, or the schema refuses what the SQL accepted.
    """
    places = [_rows(run.drop, run.start, run.stop) for run in chunk]
    rows = np.concatenate([rows for rows, _ in places])
    owners = np.repeat(np.arange(len(chunk)), [len(rows) for rows, _ in places])
    lines = np.concatenate([lines for _, lines in places])
    frame = _typed(con, reading, chunk[0].style, rows)
    by_row = slice(None) if _ascends(rows) else np.argsort(rows, kind="stable")
    flags = frame["flags"].to_numpy().astype(np.int64) | _flags_of(rows[by_row], left_out)
    frame = frame.with_columns(
        pl.Series("run", owners[by_row]),
        pl.Series("line", lines[by_row]),
        pl.Series("flags", flags),
        source=pl.lit(reading.profile.name),
    )
    if not _ascends(owners[by_row] * _LINES_OF_A_RUN + lines[by_row]):
        frame = frame.sort("run", "line")
    accepted = frame.filter(pl.col("flags") == 0).drop("rid", "flags")
    if accepted.height:
        name = ", ".join(dict.fromkeys(run.drop.drop.name for run in chunk[:3]))
        require_valid(accepted.drop("run"), reading.now, name, takes_back=reading.profile.rules.takes_back)
    refused = _refused(con, reading, frame.filter(pl.col("flags") != 0).select("run", "line", "rid", "flags"))
    bounds = np.searchsorted(accepted["run"].to_numpy(), np.arange(len(chunk) + 1)).tolist()
    for i, run in enumerate(chunk):
        mine = accepted.slice(bounds[i], bounds[i + 1] - bounds[i]).drop("run")
        yield Judged(run, mine, _others(run, reading, refused.get(i, [])))


def _typed(con: duckdb.DuckDBPyConnection, reading: sql.Reading, style: sql.Style, rows: Ints) -> pl.DataFrame:
    ordered = np.sort(rows)
    edges = np.flatnonzero(np.diff(ordered) != 1) + 1
    ranges = [(int(part[0]), int(part[-1]) + 1) for part in np.split(ordered, edges) if len(part)] or [(0, 0)]
    queries = [sql.typed(reading, style, f"rowid >= {low} AND rowid < {high}") for low, high in ranges]
    frame: pl.DataFrame = con.sql(" UNION ALL ".join(queries)).pl()
    if not _ascends(frame["rid"].to_numpy()):
        frame = frame.sort("rid")
    if not np.array_equal(frame["rid"].to_numpy(), ordered):
        raise LedgerBroken(
            f"{len(ordered)} records went into the checks and {frame.height} came out.",
            hint="This is a defect of ours: please report it with the files of this batch.",
        )
    return frame


def _ascends(numbers: Ints) -> bool:
    return bool(np.all(numbers[1:] > numbers[:-1]))


def _flags_of(rows: Ints, left_out: Ints) -> Ints:
    """The flags of `left_out` for rows in ascending order."""
    flags = np.zeros(len(rows), np.int64)
    if left_out.size and len(rows):
        at = np.searchsorted(rows, left_out[0])
        hit = (at < len(rows)) & (rows[np.minimum(at, len(rows) - 1)] == left_out[0])
        np.bitwise_or.at(flags, at[hit], left_out[1][hit])
    return flags


def left_out(reading: sql.Reading, found: Sequence[WholeDrop]) -> Ints:
    """The rows a shop's rules leave out for what only the whole drop tells, with their flags."""
    repeated = [one.duplicates for one in found] if reading.profile.rules.duplicates == "exclude" else []
    kinds = {
        "duplicate_line": repeated,
        "excluded_status": [one.excluded for one in found],
        "oversized_order": [one.oversized for one in found],
    }
    nothing = np.empty(0, np.int64)
    rows = {reason: np.sort(np.concatenate([nothing, *parts])) for reason, parts in kinds.items()}
    flags = [np.full(len(some), _BIT[reason], np.int64) for reason, some in rows.items()]
    together = np.stack([np.concatenate(list(rows.values())), np.concatenate(flags)])
    order = np.argsort(together[0], kind="stable")
    return np.asarray(together[:, order])


def _refused(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, frame: pl.DataFrame
) -> dict[int, list[tuple[int, int, dict[str, Any]]]]:
    """For each run the refused lines with their flags and texts, by line."""
    found: dict[int, list[tuple[int, int, dict[str, Any]]]] = {}
    if frame.height:
        con.register("refused", frame.select("rid").to_arrow())
        texts = con.sql(sql.texts(reading, "rowid IN (SELECT rid FROM refused)")).pl()
        con.unregister("refused")
        joined = frame.join(texts, on="rid", how="left", maintain_order="left")
        for row in joined.iter_rows(named=True):
            found.setdefault(row["run"], []).append((row["line"], row["flags"], row))
    return found


def _others(run: Run, reading: sql.Reading, refused: Sequence[tuple[int, int, dict[str, Any]]]) -> list[OtherLine]:
    """The lines of a run that are not accepted, in order, with their bytes as they came."""
    drop = run.drop
    spans = drop.spans(np.array([line for line, _, _ in refused], np.int64)) if refused else []
    found: list[tuple[int, tuple[int, int], Any]] = [
        (line, span, (flags, texts)) for (line, flags, texts), span in zip(refused, spans, strict=True)
    ]
    found += [
        (fault.line, (fault.start, fault.end), fault.reason) for fault in drop.faults.between(run.start, run.stop)
    ]
    found.sort(key=lambda one: one[0])
    places = np.array([place for _, span, _ in found for place in span], np.int64)
    offsets = drop.text.original_offsets(places).reshape(-1, 2).tolist()
    original = drop.text.original
    return [
        _other_line(line, start, original[start:end], why, reading)
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
