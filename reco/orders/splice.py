"""A drop's text with some of its records replaced: what a mended line is read in.

Belongs here: taking records out, putting others in, and knowing where they stand then. Does not belong here: which
records (`reco.orders.mended`).

A mended line is read among all others of its drop, because some of what decides on it takes the whole drop to know: how
the file writes dates, which record repeats another, how many lines an order has. It stands behind all others, so that
of two equal records the one that was accepted before is the first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reco.orders.opened import OpenedDrop
from reco.orders.records import RecordReader
from reco.orders.source import UTF8, Text, as_text

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BLOCK = 2**20


@dataclass(frozen=True)
class Place:
    """Where a record stands: its bytes as they came with their offset in the (unpacked) file, and its text's span."""

    offset: int
    raw: bytes
    start: int
    end: int


def places(opened: OpenedDrop, lines: Sequence[int]) -> dict[int, Place]:
    """The places of the records that begin at these physical lines."""
    ordered = sorted(lines)
    spans = np.stack(opened.spans(np.array(ordered, np.int64)), axis=1)
    offsets = opened.text.original_offsets(spans.ravel()).reshape(-1, 2)
    return {
        line: Place(first, opened.text.raw(first, last), start, end)
        for line, (start, end), (first, last) in zip(ordered, spans.tolist(), offsets.tolist(), strict=True)
    }


@dataclass(frozen=True)
class Spliced:
    """A text with records replaced: where each of them begins (its physical line), and how many records are gone."""

    at: dict[int, int]
    fewer: int


def splice(opened: OpenedDrop, known: Mapping[int, Place], records: Mapping[int, bytes], target: Path) -> Spliced:
    """Writes the drop's text as UTF-8 without the records of these lines, then the given ones in their order.

    Lines with a structural fault are left out too: they decide on no other line, and an open quote among them could
    only swallow what stands behind it.
    """
    text, at, standing = opened.text, opened.text.start, opened.scan.lines
    faults = {record.line: (record.start, record.end) for record in opened.faults}
    out = sorted((faults | {line: (known[line].start, known[line].end) for line in records}).values())
    with target.open("wb") as file:
        for start, stop in out:
            _copy(text, at, start, file)
            end = _LINE_END.match(text.data, stop)
            at = end.end() if end else stop
            standing -= 1 + _line_ends(text.data[start:stop])
        _copy(text, at, text.size, file)
        if file.tell() and not _ends_whole(text, at):
            file.write(b"\n")
        found: dict[int, int] = {}
        for line in sorted(records):
            found[line] = standing + 1
            standing += 1 + _line_ends(records[line])
            file.write(records[line] + b"\n")
    return Spliced(found, len(out) - len(records))


def _copy(text: Text, start: int, end: int, file: BinaryIO) -> None:
    file.writelines(text.data[block : min(block + _BLOCK, end)] for block in range(start, end, _BLOCK))


def _ends_whole(text: Text, at: int) -> bool:
    """Whether what was copied ends with a line end: what was taken out at the very end left one before it."""
    return at >= text.size or text.data[text.size - 1 : text.size] in (b"\n", b"\r")


def _line_ends(record: bytes) -> int:
    return len(_LINE_END.findall(record))


def fault_of(opened: OpenedDrop, record: bytes, scratch: Path) -> str | None:
    """Why these bytes are not one whole record of the drop's shape; None where they are."""
    path = scratch / "record.csv"
    path.write_bytes(record + b"\n")
    text = as_text(path, UTF8, scratch, opened.drop.name)
    limit = opened.drop.profile.rules.max_line_bytes
    read = RecordReader(text, opened.layout.dialect, len(opened.layout.header), limit).record(1, text.start)
    if read.reason is None and read.end != len(record):
        return "too_many_fields"  # a line end that no quotes enclose: the rest would be a record of its own
    return read.reason


def encode(fields: Sequence[str], delimiter: str, quote: str) -> bytes:
    """The fields as one record in UTF-8, quoted where they must be; without a quote character it may come apart."""
    special = {delimiter, quote, "\r", "\n"}
    if not quote:
        return delimiter.join(fields).encode(UTF8, "replace")
    return delimiter.join(
        quote + field.replace(quote, quote * 2) + quote if special.intersection(field) else field for field in fields
    ).encode(UTF8, "replace")
