"""Text that came from somebody else's file, where it is shown: on a terminal, and in a spreadsheet.

Belongs here: what has to be done to such text so that it is only ever read, never obeyed. Does not belong here: which
text is shown, and what else a file for a spreadsheet needs (`reco.orders.guarding`, `reco.audit.spreadsheet`).
"""

import re

FORMULA = "=+\\-@\uff1d\uff0b\uff0d\uff20"
"""What begins a formula, as the inside of a class of characters: also in full width, which spreadsheets read too."""
HIDDEN = '\\s"\u200b-\u200f\u2060\ufeff\x00-\x1f'
"""What may stand in front without stopping every spreadsheet from seeing the formula behind it, likewise."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_LAYOUT = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r"})
_JSON = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SPLIT = ",;\t|:^~\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_BORDER = re.compile(f"(?<![ {_SPLIT}{HIDDEN}])([ {_SPLIT}{HIDDEN}]++)('*+)(?=[{FORMULA}](.?))", re.DOTALL)
_SPLITS = re.compile(f"[{_SPLIT}]")


def printable(text: str, *, one_line: bool = True) -> str:
    r"""A text without what a terminal obeys: control characters and marks of direction become escapes.

    >>> printable("PID\x1b[2J\nCal Kit")
    'PID\\x1b[2J\\nCal Kit'
    """
    safe = _CONTROL.sub(_escape, text.replace("\r\n", "\n") if not one_line else text)
    if not one_line:
        return safe.replace("\r", "\\r")
    return safe.translate(_LAYOUT)


def printable_json(text: str) -> str:
    r"""JSON without what a terminal obeys beyond ASCII; it means the same.

    >>> printable_json('"\x9b2J"')
    '"\\u009b2J"'
    """
    return _JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def break_formulas(text: str, mark: str = "'") -> str:
    """A text in which no formula stands behind a character at which a spreadsheet may split it into cells.

    Which character that is depends on the country of the computer and on what its user chose: comma, semicolon, tab,
    bar, colon, caret, tilde, line end, or a blank. An apostrophe goes between them; `join_formulas` takes it away.

    >>> break_formulas("PID;=1+1"), break_formulas("Hose - 30 m"), break_formulas("a,'=b")
    ("PID;'=1+1", 'Hose - 30 m', "a,''=b")
    """
    return _BORDER.sub(lambda found: found[1] + mark + found[2] if _may_split(found) else found[0], text)


def join_formulas(text: str) -> str:
    """The text of which `break_formulas` made this one.

    >>> join_formulas("PID;'=1+1"), join_formulas("a,''=b"), join_formulas("a;=b")
    ('PID;=1+1', "a,'=b", 'a;=b')
    """
    return _BORDER.sub(lambda found: found[1] + found[2].removeprefix("'") if _may_split(found) else found[0], text)


def _may_split(found: re.Match[str]) -> bool:
    """Whether a cell may begin behind these characters; where only a blank splits, a sign by itself is none."""
    if _SPLITS.search(found[1]):
        return True
    return " " in found[1] and not (found[3] or " ").isspace()
