"""Times as most files write them, `2024-06-01 17:03:59`, read many at once.

Belongs here: this one form, over the bytes of a column. Does not belong here: every other form, and what a column's
values prove (`reco.orders.times`): a column that is not of this form throughout is left to them, whose reading this one
equals.
"""

import numpy as np
from numpy.typing import NDArray

from reco.storage.columns import Arrow, Ints

_LENGTH = 19
_SIGNS = {4: b"-", 7: b"-", 10: b" T", 13: b":", 16: b":"}
_DIGITS = [place for place in range(_LENGTH) if place not in _SIGNS]
_YEAR = 4
_ZERO = ord("0")
_MICROSECONDS = 1_000_000
Bytes = NDArray[np.uint8]


def iso_times(texts: Arrow) -> Ints | None:
    """Microseconds since 1970 of each text of a column, as it stands there; None unless all of them have the form.

    A date that no calendar has, and a time of day beyond 23:59:59, have not.
    """
    starts, ends, data = _texts(texts)
    if not len(starts) or (ends - starts != _LENGTH).any():
        return None
    rows = data[starts[0] : ends[-1]].reshape(-1, _LENGTH)
    signs = all(np.isin(rows[:, place], np.frombuffer(sign, np.uint8)).all() for place, sign in _SIGNS.items())
    digits = rows[:, _DIGITS] - np.uint8(_ZERO)  # below zero it is a large number
    if not signs or (digits > 9).any():
        return None
    pairs = digits[:, 0::2].astype(np.int32) * 10 + digits[:, 1::2]
    year = pairs[:, 0] * 100 + pairs[:, 1]
    month, day, hour, minute, second = pairs[:, 2:].T
    if not (year.min() > 0 and month.min() > 0 and month.max() <= 12 and day.min() > 0 and hour.max() < 24):
        return None
    if minute.max() >= 60 or second.max() >= 60:
        return None
    months = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]").astype(np.int64) + (day - 1)
    if (days >= (months + 1).astype("datetime64[D]").astype(np.int64)).any():
        return None
    seconds: Ints = days * 86_400 + (hour * 3600 + minute * 60 + second)
    return seconds * _MICROSECONDS


def begin_as_iso(texts: Arrow) -> bool:
    """Whether every text of a column begins with a year as ISO writes it: four digits, and `-` or `/` behind them."""
    starts, ends, data = _texts(texts)
    if not len(starts) or (ends - starts <= _YEAR).any():
        return False
    years = all((data[starts + place] - np.uint8(_ZERO) <= 9).all() for place in range(_YEAR))
    return bool(years and np.isin(data[starts + _YEAR], np.frombuffer(b"-/", np.uint8)).all())


def _texts(column: Arrow) -> tuple[Ints, Ints, Bytes]:
    """Where each text of a column without nulls begins and ends, and the bytes of all."""
    _, offsets, data = column.buffers()
    if not len(column) or data is None:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, np.empty(0, np.uint8)
    at = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    return at[:-1], at[1:], np.frombuffer(data, np.uint8)
