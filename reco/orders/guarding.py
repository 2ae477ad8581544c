"""Cells that survive a spreadsheet: nothing in them runs as a formula, and nothing is turned into something else.

Belongs here: the apostrophe that marks a cell as text, putting it in and taking it away. Does not belong here: which
cells an export has (`reco.orders.mending`).

A cell that begins with one of `= + - @`, their full-width forms, a tab or a line end would be run as a formula when a
CSV file is opened (OWASP, "CSV injection"); one that holds `00123`, `2024-06-01`, `1E5` or `2.50` would be read as a
number or a date and written back as something else. Such a cell gets an apostrophe in front, and so does one that
begins with an apostrophe itself; reading takes one apostrophe away. Whoever types a new value need not type one.

A spreadsheet that splits lines at another character than ours sees other cells. So a formula behind any of those
characters inside of a cell gets an apostrophe as well (`reco.safetext.break_formulas`).
"""

import re

from reco.safetext import FORMULA, HIDDEN, break_formulas, join_formulas

MARK = "'"
_FORMULA = re.compile(f"[{FORMULA}\t\r\n']|[{HIDDEN}]*+[{FORMULA}]")
_PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
# MAR10, Sept. 2024: any short word before a number may be a month in some language.
_LIKE_A_MONTH = re.compile(r"[^\W\d_]{3,10}[\s.,/-]*[0-9][\s0-9.,:/-]*")
_WORDS = {"true", "false", "wahr", "falsch", "vrai", "faux", "verdadero", "falso", "vero", "waar", "onwaar"}


def guard(text: str) -> str:
    """A cell that no spreadsheet runs as a formula, nor any part of it.

    >>> [guard(text) for text in ("=1+1", "PID", "'x", "00123", "PID;=1+1")]
    ["'=1+1", 'PID', "''x", '00123', "PID;'=1+1"]
    """
    return (MARK if _FORMULA.match(text) else "") + break_formulas(text, MARK)


def guard_value(text: str) -> str:
    """A cell that no spreadsheet runs as a formula, or reads as a number or date and writes back otherwise.

    >>> [guard_value(text) for text in ("-5", "00123", "17", "2.50", "2024-06-01", "MAR10", "true")]
    ["'-5", "'00123", '17', "'2.50", "'2024-06-01", "'MAR10", "'true"]
    >>> [guard_value(text) for text in ("Cal Kit", "Meter, 30 m", "C536379")]
    ['Cal Kit', 'Meter, 30 m', 'C536379']
    """
    told = guard(text)
    bare = text.strip()
    if not bare or told.startswith(MARK) or _PLAIN_NUMBER.fullmatch(text):
        return told
    counted = not bare[0].isalpha() and any(c.isdigit() for c in bare)
    return MARK + told if counted or _LIKE_A_MONTH.fullmatch(bare) or bare.lower() in _WORDS else told


def unguard(cell: str) -> str:
    """The text of a cell, whichever of the two guarded it, or none.

    >>> [unguard(cell) for cell in ("'-5", "-5", "''x", "17", "PID;'=1+1")]
    ['-5', '-5', "'x", '17', 'PID;=1+1']
    """
    return join_formulas(cell.removeprefix(MARK))
