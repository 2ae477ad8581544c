"""How a CSV file is written: its delimiter, quote and header.

Belongs here: what the first lines of a text tell. Does not belong here: encodings (`reco.orders.source`) and
the meaning of columns (`reco.orders.headers`).
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reco.errors import DropEmpty, DropUnmapped
from reco.orders.headers import Mapping, map_header
from reco.orders.profiles import MAX_LINE_BYTES, SourceProfile
from reco.orders.source import UTF8, canonical_encoding, decode_head, peek

HEAD_BYTES = 2**16
"""Bytes of a file's beginning that detection looks at."""

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 60
_NOTHING_TOLD = 0.5
_SEPARATOR = re.compile(r'"?sep=([!#-/:-@\[-`{-~\t])"?', re.IGNORECASE)

csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))


@dataclass(frozen=True)
class Dialect:
    """How the fields of a file are told apart. `header_lines` and `blank_lines` come before the first record.

    A line such as `sep=;`, which Excel writes and reads above a header, is one of the header's.
    """

    delimiter: str
    quote: str
    decimal: str
    header: bool
    header_lines: int
    blank_lines: int

    def to_json(self) -> dict[str, Any]:
        """The dialect as plain JSON values, for the ledger."""
        return {k: v for k, v in asdict(self).items() if k not in ("header_lines", "blank_lines")}


@dataclass(frozen=True)
class Layout:
    """What the first lines of a file tell: dialect, header, and where each canonical column stands.

    `delimiter_confidence` is the share (0..1) of the first records that have a field for every name of the header under
    this delimiter, 1 where the profile gives it. `unmapped` says which column is missing; `mapping` is then empty.
    """

    dialect: Dialect
    header: tuple[str, ...]
    mapping: Mapping
    delimiter_confidence: float = 1.0
    unmapped: DropUnmapped | None = None


@dataclass(frozen=True)
class Probe:
    """What a look at the beginning of a file tells, before it is read."""

    encoding: str
    delimiter: str
    header: list[str]
    mapping: dict[str, str | list[str]]


def probe(path: Path, profile: SourceProfile) -> Probe:
    """Looks at the beginning of a file; cheap at any size.

    Raises:
        DropMissing, DropEmpty, DropUnreadable, DropUnmapped: the file cannot be used, as far as its beginning tells.
    """
    head = peek(path, path.name, HEAD_BYTES)
    encoding = canonical_encoding(profile.dialect.encoding, head) or _guess(head)
    text = decode_head(head, encoding)
    layout = read_layout(text, profile, path.name)
    if len(head) < HEAD_BYTES:
        require_records(_lines(text), layout.dialect, path.name)
    return Probe(encoding, layout.dialect.delimiter, list(layout.header), layout.mapping.named(layout.header))


def require_records(lines: list[str], dialect: Dialect, file: str) -> None:
    """Checks that something stands below the header.

    Raises:
        DropEmpty: it does not.
    """
    if not any(lines[dialect.header_lines + dialect.blank_lines :]):
        raise header_only(file)


def header_only(file: str) -> DropEmpty:
    """The error of a file without a single record."""
    return DropEmpty(
        f"{file} holds a header and no lines below it.", hint="Export it again with its rows in it.", name=file
    )


def read_layout(head: str, profile: SourceProfile, file: str) -> Layout:
    """Finds delimiter, header and columns in the first lines of a file.

    Raises:
        DropEmpty: there is nothing but blank lines.
        DropUnmapped: the columns needed are not there under any delimiter.
    """
    layout = find_layout(head, profile, file)
    if layout.unmapped is not None:
        raise layout.unmapped
    return layout


def find_layout(head: str, profile: SourceProfile, file: str) -> Layout:
    """Finds delimiter and header in the first lines of a file, and the columns if they are there.

    Raises:
        DropEmpty: there is nothing but blank lines.
    """
    lines = _lines(head)[:_SAMPLE_LINES]
    blank = next((i for i, line in enumerate(lines) if line), None)
    if blank is None:
        raise DropEmpty(f"{file} holds blank lines only.", hint="Export it again.", name=file)
    told, above = told_delimiter(lines[blank])
    rest = lines[blank + above :]
    below = next((i for i, line in enumerate(rest) if line), 0)
    given = profile.dialect.delimiter or told
    found = [_layout(rest[below:], delimiter, profile, file) for delimiter in ((given,) if given else _DELIMITERS)]
    best = max(found, key=_rank)
    dialect = replace(best.dialect, header_lines=best.dialect.header_lines + above, blank_lines=blank + below)
    return replace(best, dialect=dialect, delimiter_confidence=1.0 if given else best.delimiter_confidence)


def told_delimiter(line: str) -> tuple[str | None, int]:
    """The delimiter that a first line such as `sep=;` tells, and how many lines above the header tell one: 0 or 1."""
    found = _SEPARATOR.fullmatch(line.strip(" "))
    return (found[1], 1) if found else (None, 0)


def _layout(lines: list[str], delimiter: str, profile: SourceProfile, file: str) -> Layout:
    spec = profile.dialect
    quote = '"' if spec.quote is None else spec.quote
    header, used = _header(lines or [""], delimiter, quote, spec.names)
    shape = Counter(len(fields) for fields in _records(lines[used:], delimiter, quote))
    share = shape[len(header)] / shape.total() if shape else _NOTHING_TOLD
    dialect = Dialect(delimiter, quote, spec.decimal or ".", spec.header, used, 0)
    try:
        return Layout(dialect, header, map_header(header, profile, file), share)
    except DropUnmapped as error:
        return Layout(dialect, header, Mapping({}, {}), share, error)


def _rank(layout: Layout) -> tuple[bool, float, int]:
    """What makes one delimiter better than another: known columns, records as wide as the header, a wide header."""
    columns = len(layout.header)
    return layout.unmapped is None, layout.delimiter_confidence if columns > 1 else 0.0, columns


def _guess(head: bytes) -> str:
    lines = head.splitlines()
    whole = lines if len(head) < HEAD_BYTES else lines[:-1]
    high = [line for line in whole if not line.isascii()]
    bad = sum("\ufffd" in line.decode(UTF8, "replace") for line in high)
    return "cp1252" if bad * 2 > len(high) else UTF8


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines and not lines[-1] else lines


def _header(lines: list[str], delimiter: str, quote: str, names: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
    """The header's names and how many physical lines it takes; none where the profile gives the names."""
    if names:
        return names, 0
    fields, used = _strict_header(lines, delimiter, quote)
    return tuple(name.strip() for name in fields), used


def _strict_header(lines: list[str], delimiter: str, quote: str) -> tuple[list[str], int]:
    """The first record; where its quotes are not in order the first line alone, so that no row becomes a name."""
    if not quote:
        return lines[0].split(delimiter), 1
    strict = csv.reader((line + "\n" for line in lines), delimiter=delimiter, quotechar=quote, strict=True)
    try:
        fields = next(strict)
    except csv.Error:
        return _first_line(lines[0], delimiter, quote), 1
    if strict.line_num == 1 or not any(delimiter in name for name in fields):
        return fields, strict.line_num
    return _first_line(lines[0], delimiter, quote), 1


def _first_line(line: str, delimiter: str, quote: str) -> list[str]:
    """The names of a header whose quotes are not in order."""
    if line.count(quote) % 2:
        return line.replace(quote, "").split(delimiter)
    return next(_reader(iter([line]), delimiter, quote), [line])


def _records(lines: list[str], delimiter: str, quote: str) -> Iterator[list[str]]:
    """The fields of the lines that tell something: a blank one does not, nor one with half of a quoted text."""
    for line in lines:
        if not line or (quote and line.count(quote) % 2):
            continue
        try:
            yield from _reader(iter([line]), delimiter, quote)
        except csv.Error:
            continue


def _reader(lines: Iterator[str], delimiter: str, quote: str) -> Any:
    if not quote:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote)
