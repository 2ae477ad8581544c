"""How each drop of a scan writes its times and amounts: found from all of its values, or asked.

Belongs here: running the queries that count what values can mean, and the error that asks. Does not belong here: what
the counts prove (`reco.orders.times` and `reco.orders.decimals`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from reco.errors import DropAmbiguous
from reco.orders import sql, times
from reco.orders.coded import Cells, cells, column_cells
from reco.orders.decimals import POINT, Amounts
from reco.orders.iso import begin_as_iso
from reco.orders.profiles import NAMED_FORMATS
from reco.orders.scan import Scanned
from reco.storage.columns import number_column

_ROWS = 250_000
"""Distinct texts asked about at once."""


def find_styles(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, drops: Sequence[Scanned]
) -> dict[str, sql.Style | DropAmbiguous]:
    """How each drop writes times and amounts, by key; an error with the questions where that cannot be known."""
    times_of, decimals_of = _time_styles(con, reading, drops), _decimals(con, reading, drops)
    found: dict[str, sql.Style | DropAmbiguous] = {}
    for i, scanned in enumerate(drops):
        time, decimal, drop = times_of[i], decimals_of[i], scanned.opened.drop
        if isinstance(time, str) and isinstance(decimal, str):
            found[drop.key] = sql.Style(time, decimal)
        else:
            found[drop.key] = ambiguous([one for one in (time, decimal) if isinstance(one, dict)], drop.name)
    return found


def _texts(drops: Sequence[Scanned], place: tuple[int, ...], known: Callable[[Cells], bool]) -> Iterator[pa.Table]:
    """The distinct texts at a place, some at once: `i`, the drop's position, `c{i}`, and `n`, how often they are there.

    A text comes once for each batch of its drop; batches of which all is known are left out.
    """
    waiting: list[pa.Table] = []
    for i, scanned in enumerate(drops):
        for table in scanned.batches():
            own = cells(table, place)
            if known(own):
                continue
            columns = {"i": number_column(np.full(own.table.num_rows, i)), "n": number_column(own.times())}
            waiting.append(pa.table(columns | {name: own.table[name] for name in own.table.column_names}))
            if sum(one.num_rows for one in waiting) > _ROWS:
                yield pa.concat_tables(waiting)
                waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _counts(
    con: duckdb.DuckDBPyConnection,
    query: str,
    drops: Sequence[Scanned],
    place: tuple[int, ...],
    *,
    known: Callable[[Cells], bool] = lambda _: False,
) -> dict[int, list[Any]]:
    """The counts that a query gives for each drop, added up; texts among them are examples, of which the least stays.

    `query` reads the table `texts` and gives `i` first; it counts nothing in batches of which all is `known`.
    """
    found: dict[int, list[Any]] = {}
    for table in _texts(drops, place, known):
        con.register("texts", table)
        for i, *counts in con.sql(query).fetchall():
            before = found.get(i)
            found[i] = counts if before is None else [_added(*two) for two in zip(before, counts, strict=True)]
        con.unregister("texts")
    return found


def _added(one: Any, other: Any) -> Any:
    if isinstance(one, int) and isinstance(other, int):
        return one + other
    return min((text for text in (one, other) if text is not None), default=None)


def ambiguous(questions: Sequence[dict[str, Any]], file: str) -> DropAmbiguous:
    """The error of a file whose values have two meanings, with the questions that a profile has to answer."""
    answers = [" or ".join(one["answers"]) for one in questions]
    return DropAmbiguous(
        " ".join(one["message"] for one in questions),
        hint=f"Say it in a source profile: {'; and '.join(answers)} (a time also by its format, as %d/%m/%Y %H:%M). "
        "`reco inspect FILE --profile-out PROFILE.toml` writes one to start from.",
        name=file,
        questions=questions,
    )


def _time_styles(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, drops: Sequence[Scanned]
) -> dict[int, str | dict[str, Any]]:
    """How each drop writes dates such as 1/2/2010 and times in numbers, by position; else the question to ask."""
    spec = reading.profile.columns.ordered_at
    told = spec.format if spec and spec.format in NAMED_FORMATS else None
    found: dict[int, str | dict[str, Any]] = dict.fromkeys(range(len(drops)), told or "plain")
    place = reading.place("ordered_at")
    if place is None or (spec and spec.format):
        return found
    values = f"(SELECT i, n, {reading.text('ordered_at')} AS t FROM texts)"
    query = f"SELECT i, {times.shapes('t', 'n')} FROM {values} WHERE {times.not_iso('t')} GROUP BY i"
    for i, counts in _counts(con, query, drops, place, known=_all_iso).items():
        opened, shapes = drops[i].opened, times.Shapes(*counts)
        names = [opened.layout.header[column] for column in place]
        found[i] = shapes.style(names[0] if len(names) == 1 else names, opened.drop.name)
        number = shapes.number()
        iso = f"SELECT i, sum(n)::BIGINT FROM {values} WHERE NOT ({times.not_iso('t')}) GROUP BY i"
        if number and not _counts(con, iso, [drops[i]], place):
            found[i] = number
    return found


def _all_iso(own: Cells) -> bool:
    """Whether all texts at a place begin like ISO dates: then none of them is one that is counted."""
    return own.table.num_columns == 1 and begin_as_iso(own.texts)


def _decimals(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, drops: Sequence[Scanned]
) -> dict[int, str | dict[str, Any]]:
    """The decimal sign of each drop, by position; else the question to ask."""
    told = reading.profile.dialect.decimal
    found: dict[int, str | dict[str, Any]] = dict.fromkeys(range(len(drops)), told or POINT)
    positions = sql.numbers(reading)
    if told or not positions:
        return found
    for i, scanned in enumerate(drops):
        opened = scanned.opened
        # Where the decimal sign is a comma, spreadsheets part fields with a semicolon.
        if opened.layout.dialect.delimiter != ";" and not _any_comma(scanned, positions):
            continue
        counts: list[Any] = [0, 0, 0, 0, None]
        for position, cast in positions.items():
            query = sql.decimal_readings(reading.trimmed(position), "texts", cast)
            for more in _counts(con, query, [scanned], (position,)).values():
                counts = [_added(*two) for two in zip(counts, more, strict=True)]
        names = " and ".join(opened.layout.header[position] for position in positions)
        found[i] = Amounts(*counts).decimal(names, opened.drop.name)
    return found


def _any_comma(scanned: Scanned, positions: Iterable[int]) -> bool:
    return any(
        pc.any(pc.match_substring(column_cells(table, position)[0], ",")).as_py()
        for table in scanned.batches()
        for position in positions
    )
