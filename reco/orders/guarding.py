"""Cells that survive a spreadsheet: nothing in them runs as a formula, and nothing is turned into something else.

Belongs here: the apostrophe that marks a cell as text, putting it in and taking it away. Does not belong here: which
cells an export has (`reco.orders.mending`).

A cell that begins with one of `= + - @`, their full-width forms, a tab or a line end would be run as a formula when a
CSV file is opened (OWASP, "CSV injection"); one that holds `00123`, `2024-06-01`, `1E5` or `2.50` would be read as a
number or a date and written back as something else. Such a cell gets an apostrophe in front, and so does one that
begins with an apostrophe itself; reading takes one apostrophe away. Whoever types a new value need not type one.
"""

import re

MARK = "'"
_FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20']")
# Blanks, quotes and invisible characters in front do not stop every spreadsheet from seeing the formula behind them.
_HIDDEN = re.compile('[\\s"\u200b-\u200f\u2060\ufeff\x00-\x1f]*[=+\\-@\uff1d\uff0b\uff0d\uff20]')
_PLAIN_NUMBER = re.compile(r"0|[1-9][0-9]{0,14}")
# MAR10, Sept. 2024: any short word before a number may be a month in some language.
_LIKE_A_MONTH = re.compile(r"[^\W\d_]{3,10}[\s.,/-]*[0-9][\s0-9.,:/-]*")
_WORDS = {"true", "false", "wahr", "falsch", "vrai", "faux", "verdadero", "falso", "vero", "waar", "onwaar"}


def guard(text: str) -> str:
    """A cell that no spreadsheet runs as a formula.

    >>> [guard(text) for text in ("=1+1", "PID", "'x", "00123")]
    ["'=1+1", 'PID', "''x", '00123']
    """
    return MARK + text if _FORMULA.match(text) or _HIDDEN.match(text) else text


def guard_value(text: str) -> str:
    """A cell that no spreadsheet runs as a formula, or reads as a number or date and writes back otherwise.

    >>> [guard_value(text) for text in ("-5", "00123", "17", "2.50", "2024-06-01", "MAR10", "true")]
    ["'-5", "'00123", '17', "'2.50", "'2024-06-01", "'MAR10", "'true"]
    >>> [guard_value(text) for text in ("Cal Kit", "Meter, 30 m", "C536379")]
    ['Cal Kit', 'Meter, 30 m', 'C536379']
    """
    told = guard(text)
    if told != text:
        return told
    bare = text.strip()
    if not bare or _PLAIN_NUMBER.fullmatch(text):
        return text
    counted = not bare[0].isalpha() and any(c.isdigit() for c in bare)
    return MARK + text if counted or _LIKE_A_MONTH.fullmatch(bare) or bare.lower() in _WORDS else text


def unguard(cell: str) -> str:
    """The text of a cell, whichever of the two guarded it, or none.

    >>> [unguard(cell) for cell in ("'-5", "-5", "''x", "17")]
    ['-5', '-5', "'x", '17']
    """
    return cell.removeprefix(MARK)
