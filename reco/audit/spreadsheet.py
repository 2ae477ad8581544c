"""CSV that is safe to open in a spreadsheet.

Belongs here: writing rows so that no cell is taken for a formula. Does not belong here: which rows.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from reco.safetext import break_formulas

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets read these too


def safe_cell(value: Any) -> Any:
    """A value as a spreadsheet shows it: text that would be run as a formula gets an apostrophe in front of it.

    >>> [safe_cell(value) for value in ("=1+1", "@SUM(A1)", "-5", "-5+cmd", "PID;=1+1", 7, None)]
    ["'=1+1", "'@SUM(A1)", '-5', "'-5+cmd", "PID;'=1+1", 7, '']
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    told = break_formulas(value)
    return f"'{told}" if value.startswith(_STARTS) and not _NUMBER.fullmatch(value) else told


def write_csv(out: TextIO, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes a header and rows; every cell is safe."""
    writer = csv.writer(out, lineterminator="\r\n")  # with \n alone a lone \r would not be quoted
    writer.writerow(columns)
    writer.writerows([safe_cell(value) for value in row] for row in rows)
