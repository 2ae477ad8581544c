"""Reading suspicious lines one record at a time, so that one bad quote cannot swallow the rest of a file.

Belongs here: what a single record is, and why a line is none. Does not belong here: lines that are plain, which the
fast reader takes (`reco.orders.scan`), and what fields mean.
"""

import csv
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reco.orders.dialect import Dialect
from reco.orders.lines import next_line
from reco.orders.source import Text

MAX_JOINED_LINES = 1000
"""Physical lines that one record may span."""

_OPEN = "open quote"

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

    def between(self, first: int, stop: int) -> list[Fault]:
        """The faults at these lines, the last one not included."""
        lines = self.places[0]
        return [self._at(i) for i in range(bisect_left(lines, first), bisect_left(lines, stop))]

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
            record = self.record(line, start)
            free = line + record.lines
            yield record

    def record(self, line: int, start: int) -> Record:
        """The record that begins at a line."""
        end, after = next_line(self.text, start)
        reason, fields = self._parse_bytes(start, end)
        if reason == _OPEN:
            return self._joined(line, start, end, after)
        return Record(line, 1, 0, start, end, fields, reason)

    def _parse_bytes(self, start: int, end: int) -> tuple[str | None, list[str] | None]:
        if end - start > self.max_line_bytes:
            return "oversized_line", None
        raw = self.text.data[start:end]
        if b"\0" in raw:
            return "null_byte", None
        try:
            return self._parse(raw.decode("utf-8"))
        except UnicodeDecodeError:
            return "bad_encoding", None

    def _parse(self, line: str) -> tuple[str | None, list[str] | None]:
        quote = self.dialect.quote
        try:
            if quote:
                fields = next(csv.reader([line], delimiter=self.dialect.delimiter, quotechar=quote, strict=True), [""])
            else:
                fields = line.split(self.dialect.delimiter)
        except csv.Error as error:
            return (_OPEN if "unexpected end of data" in str(error) else "unbalanced_quote"), None
        if len(fields) != self.columns:
            return ("too_few_fields" if len(fields) < self.columns else "too_many_fields"), None
        return None, fields

    def _joined(self, line: int, start: int, end: int, after: int) -> Record:
        """The record of a line whose quote is open: joined with those that follow while that can give a whole one."""
        alone = Record(line, 1, 0, start, end, None, "unbalanced_quote")
        blanks, inner = 0, False
        for count in range(2, MAX_JOINED_LINES + 1):
            if after >= self.text.size or inner:
                return alone
            begin = after
            end, after = next_line(self.text, begin)
            if end - start > self.max_line_bytes:
                return alone
            blanks += begin == end
            raw = self.text.data[begin:end]
            if self.dialect.quote.encode() in raw:
                reason, fields = self._parse_bytes(start, end)
                if fields is not None:
                    return Record(line, count, blanks, start, end, fields)
                if reason != _OPEN:
                    return alone
            inner = self._parse_bytes(begin, end)[1] is not None
        return alone
