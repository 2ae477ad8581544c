"""Physical lines: counting them, finding them again, and telling which need a closer look.

Belongs here: everything that is known from the bytes alone, in blocks with numpy. Does not belong here: fields and
their meaning. A line ends with LF, CRLF or CR, whichever comes; its number counts from 1.
"""

import codecs
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.orders.source import Text
from reco.progress import report

BLOCK = 16 * 2**20
RUN_BYTES = 8 * BLOCK
Ints = NDArray[np.int64]
_LF, _CR = 10, 13
_WINDOW = 2**18
_NEAR = 2**9
"""Bytes that are looked at first, since lines are short: a file may have none of the two line ends."""


@dataclass(frozen=True)
class Block:
    """A run of whole lines: where it begins, and the number of its first line."""

    start: int
    end: int
    first_line: int


@dataclass
class LineScan:
    """What one pass over the bytes tells.

    `suspects` are the numbers of the lines that the fast reader must not see (in ascending order, with the offset of
    each in `suspect_starts`), `blank` those of empty lines. `line_ends` names the kinds of line ends met.
    """

    lines: int = 0
    blocks: list[Block] = field(default_factory=list)
    suspects: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    suspect_starts: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    blank: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    line_ends: set[str] = field(default_factory=set)
    undecodable: int = 0
    non_ascii: int = 0

    def run_from(self, line: int, most: int) -> int:
        """Where a run of lines that begins at a line ends: before the line returned.

        It has at most `most` lines, and not much more than `RUN_BYTES` of text.
        """
        own = bisect_right(self.blocks, line, key=lambda block: block.first_line) - 1
        most_bytes = self.blocks[own].start + RUN_BYTES
        last = max(own + 1, bisect_right(self.blocks, most_bytes, key=lambda block: block.end))
        stop = self.blocks[last].first_line if last < len(self.blocks) else self.lines + 1
        return min(line + most, max(stop, line + 1), self.lines + 1)

    def mostly_invalid(self) -> bool:
        """Whether the lines beyond ASCII are for the most part no UTF-8, so that the file is in another encoding."""
        return self.undecodable * 2 > self.non_ascii


@dataclass(frozen=True)
class _Cut:
    """The lines of one block, relative to its start."""

    starts: Ints
    ends: Ints

    def lengths(self) -> Ints:
        return self.ends - self.starts


def next_line(text: Text, start: int) -> tuple[int, int]:
    """Where the line that begins at `start` ends, without and with its line end."""
    data, at, window = text.data, start, _NEAR
    while at < len(data):
        stop = min(at + window, len(data))
        line_feed = data.find(b"\n", at, stop)
        carriage_return = data.find(b"\r", at, stop if line_feed < 0 else line_feed)
        end = line_feed if carriage_return < 0 else carriage_return
        if end >= 0:
            return end, end + (2 if data[end : end + 2] == b"\r\n" else 1)
        at, window = stop, _WINDOW
    return len(data), len(data)


def scan_lines(
    text: Text, *, delimiter: str, quote: str, columns: int, max_line_bytes: int, heads: tuple[bytes, ...] = ()
) -> LineScan:
    """Counts the lines of a text and finds those that need a closer look.

    A suspect has an odd number of quotes or a quote in an unusual place, a NUL byte, bytes that are no UTF-8, more
    than `max_line_bytes` bytes, another number of fields than the header, or reads as one of `heads`.
    """
    scan = LineScan()
    suspects, starts, blanks = [], [], []
    view = np.frombuffer(text.data, np.uint8)
    for start, end in _blocks(text):
        part = view[start:end]
        cut = _cut(text, part, start, end, scan)
        scan.blocks.append(Block(start, end, scan.lines + 1))
        odd = _oversized(cut, max_line_bytes)
        if len(odd) == 1 and odd[0]:  # however long it is, nothing more is to be known of it, and no copy is made
            _count_encoding(text, start, end, scan)
            suspects.append(np.array([scan.lines + 1]))
            starts.append(np.array([start]))
            blanks.append(np.empty(0, np.int64))
            scan.lines += 1
            text.release(start, end)
            continue
        odd |= _nul(text, part, cut, start, end)
        odd |= _undecodable(text, part, cut, start, scan)
        quotes = _Quotes.of(part, cut, quote)
        odd |= quotes.odd(part, cut, delimiter)
        odd |= _ragged(part, cut, quotes, delimiter, columns)
        for head in heads:
            odd |= _equal(text, part, cut, start, head)
        found = np.flatnonzero(odd)
        suspects.append(found + scan.lines + 1)
        starts.append(cut.starts[found] + start)
        blanks.append(np.flatnonzero(cut.lengths() == 0) + scan.lines + 1)
        scan.lines += len(cut.starts)
        text.release(start, end)
        if len(view) > BLOCK:
            report("megabytes scanned", end // 10**6, len(view) // 10**6)
    if suspects:
        scan.suspects, scan.suspect_starts = np.concatenate(suspects), np.concatenate(starts)
        scan.blank = np.concatenate(blanks)
    return scan


def find_spans(text: Text, scan: LineScan, lines: Ints) -> tuple[Ints, Ints]:
    """Where lines begin and end (without their line ends) in the text, by their numbers, which must ascend."""
    starts, ends = np.empty(len(lines), np.int64), np.empty(len(lines), np.int64)
    firsts = np.array([block.first_line for block in scan.blocks], np.int64)
    owners = np.searchsorted(firsts, lines, side="right") - 1
    view = np.frombuffer(text.data, np.uint8)
    for i in np.unique(owners).tolist():
        block = scan.blocks[i]
        cut = _cut(text, view[block.start : block.end], block.start, block.end, LineScan())
        first, last = np.searchsorted(owners, [i, i + 1])
        own = lines[first:last] - block.first_line
        starts[first:last], ends[first:last] = cut.starts[own] + block.start, cut.ends[own] + block.start
        text.release(block.start, block.end)
    return starts, ends


def _blocks(text: Text) -> Iterator[tuple[int, int]]:
    """Runs of whole lines of about BLOCK bytes; a longer line is a run of its own."""
    data, start = text.data, text.start
    while start < len(data):
        end = min(start + BLOCK, len(data))
        if end < len(data):
            last = max(data.rfind(b"\n", start, end), data.rfind(b"\r", start, end))
            whole = last + (2 if data[last : last + 2] == b"\r\n" else 1)
            end = next_line(text, end)[1] if last < 0 else whole
        yield start, end
        start = end


def _cut(text: Text, part: NDArray[np.uint8], start: int, end: int, scan: LineScan) -> _Cut:
    if end - start > BLOCK + 1:  # one line that is too long (a block may end one later, with the LF of a CRLF)
        return _Cut(np.array([0], np.int64), np.array([end - start], np.int64))
    ends = np.flatnonzero(part == _LF)
    widths = np.ones(len(ends), np.int64)
    if text.data.find(b"\r", start, end) >= 0:
        cr = np.flatnonzero(part == _CR)
        paired = np.zeros(len(cr), bool)
        inside = cr + 1 < len(part)
        paired[inside] = part[cr[inside] + 1] == _LF
        crlf, alone = cr[paired], cr[~paired]
        bare = np.setdiff1d(ends, crlf + 1, assume_unique=True)
        scan.line_ends |= {kind for kind, at in (("\r\n", crlf), ("\r", alone), ("\n", bare)) if len(at)}
        ends = np.concatenate([bare, crlf, alone])
        widths = np.concatenate([np.ones(len(bare), np.int64), np.full(len(crlf), 2), np.ones(len(alone), np.int64)])
        order = np.argsort(ends, kind="stable")
        ends, widths = ends[order], widths[order]
    elif len(ends):
        scan.line_ends.add("\n")
    after = ends + widths
    starts = np.concatenate([np.zeros(1, np.int64), after])
    if starts[-1] == len(part):
        return _Cut(starts[:-1], ends)
    return _Cut(starts, np.append(ends, len(part)))


def _oversized(cut: _Cut, max_line_bytes: int) -> NDArray[np.bool_]:
    return np.asarray(cut.lengths() > max_line_bytes)


def _equal(text: Text, part: NDArray[np.uint8], cut: _Cut, start: int, head: bytes) -> NDArray[np.bool_]:
    """Which lines read as this one."""
    found = np.asarray(cut.lengths() == len(head))
    alike = np.flatnonzero(found)
    alike = alike[part[cut.starts[alike] + len(head) // 2] == head[len(head) // 2]]
    found[:] = False
    for i in alike.tolist():
        at = start + int(cut.starts[i])
        found[i] = text.data[at : at + len(head)] == head
    return found


def _holding(cut: _Cut, places: Ints) -> NDArray[np.bool_]:
    """Which lines hold at least one of the places."""
    held = np.zeros(len(cut.starts), bool)
    held[_owners(cut, places)] = True
    return held


def _owners(cut: _Cut, places: Ints) -> Ints:
    """The line that each of the places is in."""
    return np.searchsorted(cut.starts, places, side="right") - 1


def _nul(text: Text, part: NDArray[np.uint8], cut: _Cut, start: int, end: int) -> NDArray[np.bool_]:
    if text.data.find(b"\0", start, end) < 0:
        return np.zeros(len(cut.starts), bool)
    return _holding(cut, np.flatnonzero(part == 0))


def _undecodable(text: Text, part: NDArray[np.uint8], cut: _Cut, start: int, scan: LineScan) -> NDArray[np.bool_]:
    bad = np.zeros(len(cut.starts), bool)
    high = part >= 128
    if not high.any():
        return bad
    lines = np.flatnonzero(_holding(cut, np.flatnonzero(high)))
    scan.non_ascii += len(lines)
    if _all_utf8(part):
        return bad
    for i in lines.tolist():
        bad[i] = not _is_utf8(text.data[start + int(cut.starts[i]) : start + int(cut.ends[i])])
    scan.undecodable += int(bad.sum())
    return bad


def _count_encoding(text: Text, start: int, end: int, scan: LineScan) -> None:
    """Enters whether one long line is beyond ASCII and whether it is UTF-8, a little of it at a time."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    ascii_only = True
    try:
        for at in range(start, end, _WINDOW):
            piece = text.data[at : min(at + _WINDOW, end)]
            ascii_only = ascii_only and piece.isascii()
            decoder.decode(piece, final=at + _WINDOW >= end)
    except UnicodeDecodeError:
        scan.undecodable += 1
    scan.non_ascii += not ascii_only


def _all_utf8(part: NDArray[np.uint8]) -> bool:
    """Whether a block is UTF-8, without making a text of it."""
    ends: Any = np.array([0, len(part)], np.int32)
    bytes_of: Any = part
    whole = pa.Array.from_buffers(pa.binary(), 1, [None, pa.py_buffer(ends), pa.py_buffer(bytes_of)])
    try:
        whole.cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@dataclass(frozen=True)
class _Quotes:
    """The quotes of a block.

    at: their places; before: how many stand before each line; uneven: lines with an odd number of them. Where no line
    is uneven, a place is inside quotes if the block has an odd number of them before it.
    """

    at: Ints
    before: Ints
    uneven: NDArray[np.bool_]

    @classmethod
    def of(cls, part: NDArray[np.uint8], cut: _Cut, quote: str) -> "_Quotes":
        at = np.flatnonzero(part == ord(quote)) if quote else np.empty(0, np.int64)
        if not len(at):
            return cls(at, np.zeros(len(cut.starts), np.int64), np.zeros(len(cut.starts), bool))
        before = np.searchsorted(at, cut.starts)
        return cls(at, before, np.diff(before, append=len(at)) % 2 == 1)

    def odd(self, part: NDArray[np.uint8], cut: _Cut, delimiter: str) -> NDArray[np.bool_]:
        """Lines where readers differ: an odd number of quotes, or one that opens or closes in the middle of a field."""
        if not len(self.at):
            return self.uneven
        opening = np.arange(len(self.at)) % 2 == 0
        if self.uneven.any():
            opening ^= self.before[_owners(cut, self.at)] % 2 == 1
        border = np.zeros(256, bool)
        border[[_LF, _CR, ord(delimiter), part[self.at[0]]]] = True
        next_to = np.where(opening, self.at - 1, self.at + 1)
        outside = (next_to < 0) | (next_to == len(part))
        amiss = self.at[~(border[part[np.where(outside, 0, next_to)]] | outside)]
        return self.uneven | _holding(cut, amiss)

    def around(self, cut: _Cut, places: Ints) -> NDArray[np.bool_]:
        """Which of the places are inside quotes."""
        if not len(self.at):
            return np.zeros(len(places), bool)
        count = np.searchsorted(self.at, places)
        if self.uneven.any():
            count -= self.before[_owners(cut, places)]
        return np.asarray(count % 2 == 1)


def _ragged(part: NDArray[np.uint8], cut: _Cut, quotes: _Quotes, delimiter: str, columns: int) -> NDArray[np.bool_]:
    """Lines with more or fewer fields than there are columns, where quotes stand only around whole fields."""
    at = np.flatnonzero(part == ord(delimiter))
    at = at[~quotes.around(cut, at)]
    if len(at) == len(cut.starts) * (columns - 1) and _each_has(at, cut, columns - 1):
        return np.zeros(len(cut.starts), bool)
    counts = np.searchsorted(at, cut.ends) - np.searchsorted(at, cut.starts)
    return np.asarray((counts != columns - 1) & (cut.lengths() > 0))


def _each_has(at: Ints, cut: _Cut, count: int) -> bool:
    """Whether each line has just `count` of the places: the quick look where all lines together have as many."""
    if not count:
        return True
    return bool((at[::count] >= cut.starts).all() and (at[count - 1 :: count] <= cut.ends).all())
