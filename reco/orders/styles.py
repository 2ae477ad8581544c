"""How each drop of a scan writes its times and amounts: found from all of its values, or asked.

Belongs here: running the queries that count what values can mean, and the error that asks. Does not belong here: what
the counts prove (`reco.orders.times` and `reco.orders.decimals`).
"""

from collections.abc import Sequence
from typing import Any

import duckdb

from reco.errors import DropAmbiguous
from reco.orders import sql, times
from reco.orders.decimals import POINT, Amounts
from reco.orders.opened import OpenedDrop
from reco.orders.profiles import NAMED_FORMATS
from reco.storage.engine import fetch_row


def find_styles(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, drops: Sequence[OpenedDrop]
) -> dict[int, sql.Style | DropAmbiguous]:
    """How each drop writes times and amounts, by position; an error with the questions where that cannot be known."""
    times_of, decimals_of = _time_styles(con, reading, drops), _decimals(con, reading, drops)
    found: dict[int, sql.Style | DropAmbiguous] = {}
    for i, drop in enumerate(drops):
        time, decimal = times_of[i], decimals_of[i]
        if isinstance(time, str) and isinstance(decimal, str):
            found[i] = sql.Style(time, decimal)
        else:
            found[i] = _ambiguous([one for one in (time, decimal) if isinstance(one, dict)], drop.drop.name)
    return found


def _ambiguous(questions: list[dict[str, Any]], file: str) -> DropAmbiguous:
    answers = [" or ".join(one["answers"]) for one in questions]
    return DropAmbiguous(
        " ".join(one["message"] for one in questions),
        hint=f"Say it in a source profile: {'; and '.join(answers)} (a time also by its format, as %d/%m/%Y %H:%M). "
        "`reco inspect FILE --profile-out PROFILE.toml` writes one to start from.",
        name=file,
        questions=questions,
    )


def _time_styles(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, drops: Sequence[OpenedDrop]
) -> dict[int, str | dict[str, Any]]:
    """How each drop writes dates such as 1/2/2010 and times in numbers, by position; else the question to ask."""
    spec = reading.profile.columns.ordered_at
    told = spec.format if spec and spec.format in NAMED_FORMATS else None
    found: dict[int, str | dict[str, Any]] = dict.fromkeys(range(len(drops)), told or "plain")
    if not reading.has("ordered_at") or (spec and spec.format):
        return found
    text = reading.text("ordered_at")
    values = f"(SELECT file_no, {text} AS t FROM raw)"
    query = f"SELECT file_no, {times.shapes('t')} FROM {values} WHERE {times.not_iso('t')} GROUP BY file_no"
    for file_no, *counts in con.sql(query).fetchall():
        drop, shapes = drops[file_no], times.Shapes(*counts)
        names = [drop.layout.header[i] for i in reading.mapping.columns["ordered_at"]]
        found[file_no] = shapes.style(names[0] if len(names) == 1 else names, drop.drop.name)
        number = shapes.number()
        if (
            number
            and not fetch_row(
                con, f"SELECT count(*) FROM {values} WHERE file_no = {file_no} AND NOT ({times.not_iso('t')})"
            )[0]
        ):
            found[file_no] = number
    return found


def _decimals(
    con: duckdb.DuckDBPyConnection, reading: sql.Reading, drops: Sequence[OpenedDrop]
) -> dict[int, str | dict[str, Any]]:
    """The decimal sign of each drop, by position; else the question to ask."""
    told = reading.profile.dialect.decimal
    found: dict[int, str | dict[str, Any]] = dict.fromkeys(range(len(drops)), told or POINT)
    if told or not sql.has_amounts(reading):
        return found
    for file_no, has_comma in con.sql(sql.decimal_marks(reading)).fetchall():
        drop = drops[file_no]
        # Where the decimal sign is a comma, spreadsheets part fields with a semicolon.
        if has_comma or drop.layout.dialect.delimiter == ";":
            amounts = Amounts(*fetch_row(con, sql.decimal_readings(reading, file_no)))
            columns = [reading.mapping.columns.get(name) for name in ("unit_price", "line_total")]
            names = " and ".join(drop.layout.header[place[0]] for place in columns if place is not None)
            found[file_no] = amounts.decimal(names, drop.drop.name)
    return found
