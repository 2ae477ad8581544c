"""One drop made ready for the scan: its lines divided into plain ones and those read one by one.

Belongs here: the way from a path to a file that the fast reader takes without surprises, and the books of which line
went where. Does not belong here: the scan (`reco.orders.scan`), and the meaning of fields.
"""

import codecs
import csv
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reco.errors import LedgerBroken
from reco.orders.dialect import HEAD_BYTES, Layout, find_layout, header_only, told_delimiter
from reco.orders.drops import DropFile
from reco.orders.lines import BLOCK, Ints, LineScan, find_spans, next_line, scan_lines
from reco.orders.records import Faults, RecordReader
from reco.orders.source import (
    UTF8,
    Text,
    as_text,
    canonical_encoding,
    fallback_encoding,
    has_mark,
    peek,
    unpack,
    western_confidence,
)

UTF16_WITHOUT_MARK = 0.9
"""How sure UTF-16 is where only the places of its NUL bytes tell."""
_COPY_BLOCK = 2**20


@dataclass
class OpenedDrop:
    """A drop, its text, and where each of its lines goes.

    `gaps` are the physical lines, ascending, that are no row of the fast scan: header, blank and suspicious lines.
    `faults` are the records with a structural fault; `joined_lines` are the first lines
    of whole records of several lines, `joined_ends` where these end. The rows of the record reader are in `extra`,
    their lines in `extra_lines`. `encoding_confidence` is how sure the encoding is, 0..1. `heads` are the lines of the
    header as they come again where files were put behind each other, `heads_again` how often that is.
    """

    drop: DropFile
    folder: Path
    text: Text
    scan: LineScan
    layout: Layout
    gaps: Ints
    lines_read: int
    lines_blank: int
    encoding_confidence: float
    faults: Faults = field(default_factory=Faults)
    joined_lines: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    joined_ends: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    extra_lines: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    plain: Path | None = None
    extra: Path | None = None
    heads: tuple[bytes, ...] = ()
    heads_again: int = 0

    @property
    def lines_header(self) -> int:
        """The lines above the first record that are not blank, and those that say the same again further down."""
        return self.layout.dialect.header_lines + self.heads_again

    @property
    def confidence(self) -> dict[str, float]:
        """How sure detection is of the encoding and the delimiter: 0..1, and 1 where the profile gives them."""
        return {
            "encoding": self.encoding_confidence,
            "delimiter": round(self.layout.delimiter_confidence, 2),
        }

    @property
    def plain_rows(self) -> int:
        """How many rows the fast scan has, or ought to have, of this drop."""
        return self.scan.lines - len(self.gaps)

    def reader(self) -> RecordReader:
        """The reader of single records of this drop."""
        limit = self.drop.profile.rules.max_line_bytes
        return RecordReader(self.text, self.layout.dialect, len(self.layout.header), limit)

    def rows_before(self, line: int) -> int:
        """How many rows of the fast scan stand before a physical line."""
        return line - 1 - int(np.searchsorted(self.gaps, line))

    def lines_of(self, rows: Ints) -> Ints:
        """The physical lines of rows of the fast scan, both counted within the drop."""
        before = self.gaps - 1 - np.arange(len(self.gaps))
        return rows + 1 + np.searchsorted(before, rows, side="right")

    def spans(self, lines: Ints) -> tuple[Ints, Ints]:
        """Where the records that begin at these lines (ascending) begin and end in the text."""
        starts, ends = find_spans(self.text, self.scan, lines)
        joined = np.isin(lines, self.joined_lines)
        ends[joined] = self.joined_ends[np.searchsorted(self.joined_lines, lines[joined])]
        return starts, ends


def open_drop(drop: DropFile, folder: Path, *, record_by_record: bool = False, orders: bool = True) -> OpenedDrop:
    """Unpacks and decodes a drop, looks at its header and at every byte, and reads its suspicious lines.

    Args:
        drop: the drop.
        folder: an empty folder for what has to be written on the way.
        record_by_record: read every line as if it were suspicious. Slow, and equal in its result.
        orders: the file has to hold order lines; without, it may be any CSV, also one with no line below its header.

    Raises:
        DropMissing, DropEmpty, DropUnreadable, DropUnmapped: the drop cannot be used.
    """
    folder.mkdir(parents=True)
    text, scan, layout, confidence = _decoded(drop, unpack(drop.path, folder, drop.name), folder)
    if orders and layout.unmapped is not None:
        raise layout.unmapped
    dialect = layout.dialect
    ahead = dialect.header_lines + dialect.blank_lines
    opened = OpenedDrop(drop, folder, text, scan, layout, np.arange(1, ahead + 1, dtype=np.int64), 0, 0, confidence)
    opened.heads = heads_of(text, layout)
    taken_lines, taken_blanks = _read_suspects(opened, _all(opened) if record_by_record else _suspects(opened), ahead)
    opened.gaps = np.union1d(np.union1d(opened.gaps, scan.blank), taken_lines)
    # Empty lines inside the header are lines of the header.
    opened.lines_blank = dialect.blank_lines + int(np.count_nonzero(scan.blank > ahead)) - taken_blanks
    records = len(opened.faults) + len(opened.extra_lines)  # of the lines taken; the others continue one or are heads
    opened.lines_read = scan.lines - dialect.header_lines - opened.lines_blank - (len(taken_lines) - records)
    if orders and not opened.lines_read:
        raise header_only(drop.name)
    opened.plain = _plain_file(opened) if opened.plain_rows else None
    return opened


def _decoded(drop: DropFile, path: Path, folder: Path) -> tuple[Text, LineScan, Layout, float]:
    """The text of a file, what its bytes tell, and how sure its encoding is (0..1)."""
    head = peek(path, drop.name, HEAD_BYTES)
    told = drop.profile.dialect.encoding is not None or has_mark(head)
    known = canonical_encoding(drop.profile.dialect.encoding, head)
    text = as_text(path, known or UTF8, folder, drop.name)
    layout = _layout(text, drop)
    scan = _scan(text, drop, layout)
    if known is None and scan.undecodable and scan.mostly_invalid():
        text = as_text(path, fallback_encoding(path), folder, drop.name)
        layout = _layout(text, drop)
        scan = _scan(text, drop, layout)
        return text, scan, layout, western_confidence(_head(text))
    if told:
        return text, scan, layout, 1.0
    if text.encoding == UTF8:
        return text, scan, layout, round(1 - scan.undecodable / max(1, scan.non_ascii), 2)
    return text, scan, layout, UTF16_WITHOUT_MARK


def _head(text: Text) -> str:
    return text.data[text.start : text.start + HEAD_BYTES].decode(UTF8, "replace")


def _layout(text: Text, drop: DropFile) -> Layout:
    return find_layout(_head(text), drop.profile, drop.name)


def _scan(text: Text, drop: DropFile, layout: Layout) -> LineScan:
    return scan_lines(
        text,
        delimiter=layout.dialect.delimiter,
        quote=layout.dialect.quote,
        columns=len(layout.header),
        max_line_bytes=drop.profile.rules.max_line_bytes,
        heads=heads_of(text, layout),
    )


def heads_of(text: Text, layout: Layout) -> tuple[bytes, ...]:
    """The lines of a header as they come again where files were put behind each other, also with a byte order mark.

    None where the header is one record of several lines, or not there, or where its names are not known ones: then a
    row may well hold the same.
    """
    dialect = layout.dialect
    if layout.unmapped is not None or not dialect.header:
        return ()
    at, found = text.start, []
    for _ in range(dialect.header_lines + dialect.blank_lines):
        end, after = next_line(text, at)
        if end - at > HEAD_BYTES:
            return ()
        if end > at:
            found.append(text.data[at:end])
        at = after
    above = told_delimiter(found[0].decode(UTF8, "replace"))[1] if found else 0
    if len(found) - above != 1:
        return ()
    return tuple(mark + head for head in found for mark in (b"", codecs.BOM_UTF8))


def _suspects(opened: OpenedDrop) -> Iterator[tuple[int, int]]:
    pairs = zip(opened.scan.suspects, opened.scan.suspect_starts, strict=True)
    return ((int(line), int(start)) for line, start in pairs)


def _all(opened: OpenedDrop) -> Iterator[tuple[int, int]]:
    at, blank = opened.text.start, set(opened.scan.blank.tolist())
    for line in range(1, opened.scan.lines + 1):
        if line not in blank:
            yield line, at
        at = next_line(opened.text, at)[1]
    if at != opened.text.size:
        raise LedgerBroken(
            f"The lines counted in {opened.drop.name} end at byte {at}, and the file at {opened.text.size}.",
            hint="This is a defect of ours: please report it with the file.",
            drop=opened.drop.key,
        )


def _read_suspects(opened: OpenedDrop, suspects: Iterator[tuple[int, int]], ahead: int) -> tuple[Ints, int]:
    """Reads the suspicious records; returns the physical lines they take and how many blank lines are among them."""
    lines, taken, joined, ends = array("q"), array("q"), array("q"), array("q")
    blanks, text, widths = 0, opened.text, {len(head) for head in opened.heads}
    released = text.start
    path = opened.folder / "extra.csv"
    with path.open("w", encoding=UTF8, newline="") as target:
        writer = csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for record in opened.reader().read((line, at) for line, at in suspects if line > ahead):
            released = _released(text, released, record.start)
            taken.extend(range(record.line, record.line + record.lines))
            blanks += record.blank_lines
            if record.end - record.start in widths and text.data[record.start : record.end] in opened.heads:
                opened.heads_again += 1
                continue
            if record.fields is None:
                opened.faults.add(record)
                continue
            writer.writerow(record.fields)
            lines.append(record.line)
            if record.lines > 1:
                joined.append(record.line)
                ends.append(record.end)
    opened.extra_lines, opened.joined_lines, opened.joined_ends = _ints(lines), _ints(joined), _ints(ends)
    opened.extra = path if lines else None
    return _ints(taken), blanks


def _ints(values: "array[int]") -> Ints:
    return np.array(values, np.int64)


def _plain_file(opened: OpenedDrop) -> Path:
    """The file for the fast scan: the text itself where it has plain lines only, else a copy of those.

    A copy has a header line too, so that both kinds are read in one scan. The names of the files are ours, since those
    of the shop may hold what the scan would take as a pattern.
    """
    scan, dialect = opened.scan, opened.layout.dialect
    path = opened.folder / "plain.csv"
    header = 1 if dialect.header else 0
    tail = scan.lines - len(scan.blank) + 1
    as_it_is = (
        dialect.header_lines == header
        and len(opened.gaps) == header + len(scan.blank)
        and (not len(scan.blank) or int(scan.blank[0]) == tail)
        and len(scan.line_ends) <= 1
    )
    if as_it_is:
        path.symlink_to(opened.text.path.resolve())
        return path
    with path.open("wb") as target:
        if dialect.header:
            target.write(dialect.delimiter.join("h" for _ in opened.layout.header).encode() + b"\n")
        _copy_plain_lines(opened, target)
    return path


def _copy_plain_lines(opened: OpenedDrop, target: BinaryIO) -> None:
    text, gaps = opened.text, opened.gaps
    first = np.ones(len(gaps), bool)
    first[1:] = gaps[1:] > gaps[:-1] + 1
    last = np.append(first[1:], True)[: len(gaps)]
    starts, ends = find_spans(text, opened.scan, gaps)
    at = released = text.start
    for start, end in zip(starts[first], ends[last], strict=True):
        _copy(text, at, int(start), target)
        at = next_line(text, int(end))[1]
        released = _released(text, released, at)
    _copy(text, at, text.size, target)


def _released(text: Text, start: int, end: int) -> int:
    """Gives back what was read of a text up to a place, once it is much; where that begins which was not given back."""
    if end - start < BLOCK:
        return start
    text.release(start, end)
    return end


def _copy(text: Text, start: int, end: int, target: BinaryIO) -> None:
    """Copies whole lines with LF as their end."""
    while start < end:
        stop = min(start + _COPY_BLOCK, end)
        while stop < end and text.data[stop - 1 : stop] == b"\r":
            stop += 1
        block = text.data[start:stop]
        target.write(block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block)
        if stop - start >= _COPY_BLOCK:
            text.release(start, stop)
        start = stop
    if end == text.size and text.data[end - 1 : end] not in (b"\n", b"\r"):
        target.write(b"\n")
