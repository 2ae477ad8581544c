"""Reading suspicious lines one record at a time, so that one bad quote cannot swallow the rest of a file.

Belongs here: what a single record is, and why a line is none. Does not belong here: lines that are plain, which the
fast reader takes (`reco.orders.scan`), and what fields mean.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reco.orders.dialect import Dialect
from reco.orders.lines import Ints, next_line
from reco.orders.quoted import OPEN, Quoting, split
from reco.orders.source import Text

MAX_JOINED_LINES = 1000
"""Physical lines that one record may span."""

_CHANCE = 2
"""So many lines of a quoted text, for each that is no record, may look like records by chance."""
_FIELDS_OF_AN_ORDER = 2
"""An order id and an item."""

MESSAGES = {
    "unbalanced_quote": "a quote is not closed, or text stands outside of the quotes",
    "too_few_fields": "the line has fewer fields than the header",
    "too_many_fields": "the line has more fields than the header",
    "bad_encoding": "the line has bytes that the file's encoding does not know",
    "null_byte": "the line holds a NUL byte",
    "oversized_line": "the line is longer than max_line_bytes of the source profile",
}
"""The structural reasons, with what they mean."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its first physical line, how many it takes, its bytes in the text, and its fields or a reason."""

    line: int
    lines: int
    blank_lines: int
    start: int
    end: int
    fields: list[str] | None
    reason: str | None = None


class Fault(NamedTuple):
    """A record with a structural fault: its first line, its bytes in the text, and the reason."""

    line: int
    start: int
    end: int
    reason: str


_CODES = tuple(MESSAGES)


class Faults:
    """Many faults by line, at 25 bytes each."""

    def __init__(self) -> None:
        self.places = (array("q"), array("q"), array("q"))
        """Line, start and end of each fault, in three columns."""
        self.codes = array("B")
        """The reason of each fault, by its position in `MESSAGES`."""

    def __len__(self) -> int:
        return len(self.codes)

    def __iter__(self) -> Iterator[Fault]:
        return (self._at(i) for i in range(len(self)))

    def _at(self, i: int) -> Fault:
        line, start, end = (values[i] for values in self.places)
        return Fault(line, start, end, _CODES[self.codes[i]])

    def add(self, record: Record) -> None:
        """Takes a record that has a reason; its line comes after all others."""
        for values, value in zip(self.places, (record.line, record.start, record.end), strict=True):
            values.append(value)
        self.codes.append(_CODES.index(str(record.reason)))

    def between(self, first: int, stop: int) -> "SomeFaults":
        """The faults at these lines, the last one not included."""
        low, high = bisect_left(self.places[0], first), bisect_left(self.places[0], stop)
        lines, starts, ends = (np.array(values[low:high], np.int64) for values in self.places)
        return SomeFaults(lines, starts, ends, self.codes[low:high])

    def merged(self, other: "Faults") -> "Faults":
        """These faults and others, by line."""
        together = Faults()
        order = np.argsort(np.array(self.places[0] + other.places[0], np.int64), kind="stable")
        for values, mine, theirs in zip(together.places, self.places, other.places, strict=True):
            values.frombytes(np.array(mine + theirs, np.int64)[order].tobytes())
        together.codes.frombytes(np.array(self.codes + other.codes, np.uint8)[order].tobytes())
        return together

    def reasons(self) -> dict[str, int]:
        """How many faults have which reason."""
        counts = np.bincount(np.array(self.codes, np.uint8), minlength=len(_CODES)).tolist()
        return {reason: count for reason, count in sorted(zip(_CODES, counts, strict=True)) if count}


@dataclass(frozen=True, slots=True)
class SomeFaults:
    """Faults by line, as columns: line, start and end of each, and its reason by position in `MESSAGES`."""

    lines: Ints
    starts: Ints
    ends: Ints
    codes: "array[int]"

    def at(self, i: int) -> tuple[int, str]:
        """Line and reason of one."""
        return int(self.lines[i]), _CODES[self.codes[i]]


class Shape(NamedTuple):
    """What one physical line is by itself: blank, a record that could be an order's line, or neither.

    `reason` says why it is no record at all.
    """

    start: int
    end: int
    blank: bool
    whole: bool
    reason: str | None


@dataclass(frozen=True)
class RecordReader:
    """Reads single records of a text whose header has `columns` names."""

    text: Text
    dialect: Dialect
    columns: int
    max_line_bytes: int

    def read(self, suspects: Iterable[tuple[int, int]]) -> Iterator[Record]:
        """The records at the given (line, offset) pairs, in order, but those that a record before has taken in."""
        free = 0
        for line, start in suspects:
            if line < free:
                continue
            found = self.records(line, start)
            free = found[-1].line + found[-1].lines
            yield from found

    def record(self, line: int, start: int) -> Record:
        """The record that begins at a line."""
        return self.records(line, start)[0]

    def records(self, line: int, start: int) -> list[Record]:
        """The record that begins at a line, with those after it that cannot be told apart from it."""
        end, after = next_line(self.text, start)
        reason, fields = self._parse(start, end)
        if reason == OPEN:
            return self._joined(line, start, end, after)
        alone = Record(line, 1, 0, start, end, fields, reason)
        return self._broken(alone, after) if reason == "unbalanced_quote" else [alone]

    def _parse(self, start: int, end: int) -> tuple[str | None, list[str] | None]:
        if end - start > self.max_line_bytes:
            return "oversized_line", None
        raw = self.text.data[start:end]
        if b"\0" in raw:
            return "null_byte", None
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            return "bad_encoding", None
        fields = split(text, self.dialect)
        if isinstance(fields, str):
            return fields, None
        if len(fields) != self.columns:
            return ("too_few_fields" if len(fields) < self.columns else "too_many_fields"), None
        return None, fields

    def _joined(self, line: int, start: int, end: int, after: int) -> list[Record]:
        """The record of a line whose quote is open: joined with those that follow up to where its quotes are closed.

        Without such a place the quote costs its own line. With one, the lines up to there are the inside of a quoted
        text, and no line of them is ever read as a record of its own. Where nearly all of them look like records, a
        quote too many may as well stand in two lines: then that is not guessed, and each of them is quarantined.
        """
        alone = Record(line, 1, 0, start, end, None, "unbalanced_quote")
        closing = Quoting(self.text, self.dialect, self.columns).closing(start, end, after, self.max_line_bytes)
        shapes = self._shapes(after, closing.end) if closing else None
        if closing is None or shapes is None:
            return self._broken(alone, after)
        reason, fields = self._parse(start, closing.end)
        if fields is None and closing.behind_delimiter and shapes[-1].reason in (OPEN, None):
            return [alone]  # the quote that closes it is more likely one that opens a record behind it
        if _look_like_records(shapes, others=not closing.first_line_is_whole):
            return [alone, *_each(shapes, line + 1)]
        blanks = sum(shape.blank for shape in shapes)
        return [Record(line, 1 + len(shapes), blanks, start, closing.end, fields, reason)]

    def _broken(self, first: Record, after: int) -> list[Record]:
        """A line whose quotes are not in order, with those behind it that are likely the inside of a text.

        They are where the line has a quote too many, and the next line that has one is no record by itself either.
        """
        quoting = Quoting(self.text, self.dialect, self.columns)
        if not quoting.odd(first.start, first.end):
            return [first]
        stop = quoting.next_odd(after, first.start + self.max_line_bytes)
        shapes = self._shapes(after, stop) if stop is not None else None
        if not shapes or shapes[-1].reason not in ("too_few_fields", "too_many_fields"):
            return [first]
        if not any(shape.whole for shape in shapes) or _look_like_records(shapes):
            return [first]
        return [first, *_each(shapes, first.line + 1)]

    def _shapes(self, at: int, end: int) -> list[Shape] | None:
        """What the lines from one place to another are by themselves; None where they are too many for one record."""
        found: list[Shape] = []
        while at < end:
            if len(found) + 2 > MAX_JOINED_LINES:
                return None
            stop, after = next_line(self.text, at)
            reason, fields = self._parse(at, stop)
            whole = fields is not None and sum(not field.isspace() for field in fields if field) >= _FIELDS_OF_AN_ORDER
            found.append(Shape(at, stop, at == stop, whole, reason))
            at = after
        return found


def _look_like_records(shapes: list[Shape], *, others: int = 0) -> bool:
    """Whether so many lines are whole records by themselves that it can hardly be by chance."""
    unlike = others + sum(not (shape.whole or shape.blank or shape.reason == OPEN) for shape in shapes)
    return sum(shape.whole for shape in shapes) > _CHANCE * (1 + unlike)


def _each(shapes: list[Shape], first: int) -> list[Record]:
    """Every line by itself, quarantined."""
    return [
        Record(number, 1, 0, shape.start, shape.end, None, _own_fault(shape))
        for number, shape in enumerate(shapes, start=first)
        if not shape.blank
    ]


def _own_fault(shape: Shape) -> str:
    """Why a line that may be part of a quoted text is not accepted."""
    return "unbalanced_quote" if shape.whole or shape.reason in (OPEN, None) else shape.reason
