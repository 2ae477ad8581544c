"""What the stored lines of drops hold, counted in one scan of their Parquet parts.

Belongs here: counts of values, valid and invalid, and the range of times. Does not belong here: what a count leads to
(`reco.audit.verdict`), or which columns a table has.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reco.storage.engine import Limits, open_engine, parquet, require_files


@dataclass(frozen=True, slots=True)
class LineContents:
    """The accepted lines of one drop.

    present: how many lines have a value, neither null nor empty text, for each column; first_ordered_at and
    last_ordered_at: UTC without a zone, None where no line has a time.
    """

    lines: int
    present: Mapping[str, int]
    first_ordered_at: dt.datetime | None = None
    last_ordered_at: dt.datetime | None = None


def line_contents(
    parts: Mapping[str, Path], columns: Sequence[str], *, limits: Limits | None = None
) -> dict[str, LineContents]:
    """The contents of each part, by its key.

    Args:
        parts: Parquet files shaped as `order_lines`, by drop key; none is fine.
        columns: the columns to count.
        limits: memory and threads.

    Raises:
        LakeError: a part is missing or damaged.
    """
    if not parts:
        return {}
    paths = list(parts.values())
    require_files("line_contents", paths)
    table = parquet(*paths, filename=True)
    with open_engine("line_contents", paths[0].with_name(f"{paths[0].name}.contents"), limits) as con:
        types = {row[0]: row[1] for row in con.sql(f"DESCRIBE SELECT * FROM {table}").fetchall()}
        counts = ", ".join(
            f"""count(nullif("{column}", ''))""" if types.get(column) == "VARCHAR" else f'count("{column}")'
            for column in columns
        )
        rows = con.sql(
            f"SELECT filename, count(*), min(ordered_at), max(ordered_at), {counts} FROM {table} GROUP BY filename"
        ).fetchall()
    found = {row[0]: LineContents(row[1], dict(zip(columns, row[4:], strict=True)), row[2], row[3]) for row in rows}
    empty = LineContents(0, dict.fromkeys(columns, 0))
    return {key: found.get(str(path), empty) for key, path in parts.items()}


def invalid_values(
    parts: Mapping[str, Path], columns: Mapping[str, str], *, limits: Limits | None = None
) -> dict[str, dict[str, int]]:
    """The quarantined lines of each part by the column whose value is none, every column of a line counted.

    Args:
        parts: Parquet files shaped as `quarantined_lines`, by drop key; none is fine.
        columns: the reasons that speak of a value, each with its column. A line's own column goes before.
        limits: memory and threads.

    Raises:
        LakeError: a part is missing or damaged.
    """
    found: dict[str, dict[str, int]] = {key: {} for key in parts}
    if not parts:
        return found
    paths = list(parts.values())
    require_files("invalid_values", paths)
    keys = {str(path): key for key, path in parts.items()}
    with open_engine("invalid_values", paths[0].with_name(f"{paths[0].name}.invalid"), limits) as con:
        rows = con.sql(
            f"""SELECT filename, "column", reason, also, count(*) FROM {parquet(*paths, filename=True)}
            WHERE disposition = 'quarantined' GROUP BY ALL"""
        ).fetchall()
    for path, column, reason, also, lines in rows:
        faulty = {columns[one] for one in also or () if one in columns}
        if reason in columns:
            faulty.add(column or columns[reason])
        for one in faulty:
            found[keys[path]][one] = found[keys[path]].get(one, 0) + lines
    return found
