"""The export of quarantined lines as one CSV file that a person mends in a spreadsheet and gives back.

Belongs here: the columns of that file, writing it, and reading a mended one. Does not belong here: what is done with a
mended line (`reco.orders.replay`), and cells as such (`reco.orders.guarding`).

Columns in front say which line it is and what is wrong; then come the columns of the order files under their own names.
A line that could not be told apart into fields stands as it came in `reco_raw`: there either that text is mended, or
the columns are filled in. `reco_line` holds a checksum, so that a row moved or filled down by mistake is found.
"""

import csv
import datetime as dt
import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

from reco.audit.trail import Event, append, recording
from reco.errors import UsageError
from reco.orders.guarding import guard, guard_value, unguard
from reco.orders.home import Home
from reco.orders.ledger import Drop
from reco.orders.masking import mask
from reco.orders.quarantine import QuarantinedLine, Selection, counts, lines, shown
from reco.orders.records import MESSAGES

LINE, RAW = "reco_line", "reco_raw"
COLUMNS = (LINE, "reco_file", "reco_physical_line", "reco_reason", "reco_column", "reco_message", RAW)
CELL_CHARS = 32_000
"""A cell of Excel takes 32,767 characters and cuts off the rest without a word."""
SHORTENED_CHARS = 1_000
_DELIMITERS = (",", ";", "\t")
_FIRST_COLUMN = re.compile(f'"?{LINE}"?([{"".join(_DELIMITERS)}])')
_BOM = "\ufeff"


@dataclass(frozen=True)
class Cells:
    """What the export shows of one line: its fields by position in the header, or its raw text where it has none.

    `shortened`: `raw` is only the beginning of it.
    """

    fields: tuple[str, ...] | None
    raw: str
    shortened: bool = False


@dataclass(frozen=True)
class MendedRow:
    """One row of a mended file: `number` counts its records from 1, the header included; `cells` are by column.

    `beyond`: it has text in a cell that no column is above.
    """

    number: int
    identity: str
    cells: dict[str, str]
    beyond: bool

    @property
    def raw(self) -> str:
        """The text in `reco_raw`."""
        return self.cells.get(RAW, "")


def identity(drop: Drop, line: int) -> str:
    """What names one line of one giving of a drop: key, batch, line and a checksum.

    A drop that was retracted and given again has another batch, and its lines other identities.
    """
    plain = f"{drop.key}:{drop.batch}:{line}"
    return f"{plain}:{hashlib.sha256(plain.encode()).hexdigest()[:8]}"


def parse_identity(text: str) -> tuple[str, int, int] | None:
    """The drop key, batch and line of an identity; None where it is not one of ours, whole and unchanged."""
    plain, _, check = text.strip().rpartition(":")
    key, _, numbers = plain.partition(":")
    batch, _, line = numbers.partition(":")
    if not (batch.isascii() and batch.isdigit() and line.isascii() and line.isdigit()):
        return None
    return (key, int(batch), int(line)) if hashlib.sha256(plain.encode()).hexdigest()[:8] == check else None


def labels(header: Sequence[str]) -> list[str]:
    """The columns of the export for those of an order file: their own names, made different from each other.

    >>> labels(["order", "note", "note", "", "reco_line"])
    ['order', 'note', 'note (2)', 'column 4', 'reco_line (2)']
    """
    names = [name or f"column {position}" for position, name in enumerate(header, start=1)]
    taken = set(COLUMNS)
    found: list[str] = []
    for position, name in enumerate(names):
        label, count = name, 1
        while label in taken or (count > 1 and label in names[position + 1 :]):
            count += 1
            label = f"{name} ({count})"
        taken.add(label)
        found.append(label)
    return found


def cells_of(drop: Drop, raw: bytes, reason: str) -> Cells:
    """What the export shows of a line with these bytes."""
    start = raw if len(raw) <= 4 * CELL_CHARS else raw[: 4 * SHORTENED_CHARS]
    text = shown(start, drop.encoding or "utf-8")
    if len(text) > CELL_CHARS or len(start) < len(raw):
        return Cells(None, f"{text[:SHORTENED_CHARS]} ... ({len(raw)} bytes)", shortened=True)
    if reason not in MESSAGES:
        fields = _fields(raw.decode(drop.encoding or "utf-8", "replace"), drop)
        if fields is not None:
            return Cells(fields, "")
    return Cells(None, text)


def _fields(text: str, drop: Drop) -> tuple[str, ...] | None:
    dialect = drop.dialect or {}
    delimiter, quote = dialect.get("delimiter", ","), dialect.get("quote", '"')
    try:
        fields = (
            next(csv.reader([text], delimiter=delimiter, quotechar=quote, strict=True), [])
            if quote
            else text.split(delimiter)
        )
    except csv.Error:
        return None
    return tuple(fields) if len(fields) == len(drop.header or ()) else None


def write_export(target: TextIO, drops: Sequence[Drop], found: Iterable[QuarantinedLine]) -> int:
    """Writes lines whose bytes are known as CSV with a byte order mark and CRLF, as Excel likes it; returns how many.

    Args:
        target: a text file opened as UTF-8 with newline="".
        drops: the drops of the lines: their headers are the columns, each name once.
        found: the lines, of these drops.
    """
    columns = list(dict.fromkeys(label for drop in drops for label in labels(drop.header or ())))
    names = {drop.key: labels(drop.header or ()) for drop in drops}
    target.write(_BOM)
    writer = csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow([*COLUMNS, *map(guard, columns)])
    count = 0
    for line in found:
        if line.raw is None:
            continue
        cells = cells_of(line.drop, line.raw, line.reason)
        own = dict(zip(names[line.drop.key], mask(cells.fields or (), line.drop), strict=False))
        told = (line.drop.name, str(line.line), line.reason, _own_column(line.drop, line.column), line.message)
        writer.writerow(
            [
                identity(line.drop, line.line),
                *map(guard, told),
                guard_value(cells.raw),
                *(guard_value(own.get(column, "")) for column in columns),
            ]
        )
        count += 1
    return count


def _own_column(drop: Drop, column: str | None) -> str:
    """The file's own name of a canonical column; an item without an id is known by its name."""
    mapping = drop.mapping or {}
    own = mapping.get(column or "") or (mapping.get("item_name") if column == "item_id" else None) or column or ""
    return own if isinstance(own, str) else " + ".join(own)


@dataclass(frozen=True)
class Exported:
    """What an export wrote: lines of how many drops; `bare` lines were left out, because their text was removed."""

    lines: int
    drops: int
    bare: int


def export_open(home: Home, selection: Selection, out: Path, *, now: dt.datetime) -> Exported:
    """Writes the open lines of a selection to a new file, whole or not at all, and says so in the trail.

    Without any such line there is no file.

    Raises:
        UsageError: see `Selection.drops`; or the file exists (somebody may be mending it), or cannot be written.
        LakeError: a part is missing or damaged.
    """
    counted = {one.drop.key: one for one in counts(home.ledger, home.lake, selection)}
    drops = [one.drop for one in counted.values() if any(reason.open for reason in one.reasons)]
    found = lines(home.ledger, home.lake, drops, reason=selection.reason, only_open=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        if out.exists():
            raise UsageError(f"{out} exists: somebody may be mending it.", hint="Give another name, or remove it.")
        with temporary.open("w", encoding="utf-8", newline="") as target:
            written = write_export(target, drops, found)
        if written:
            temporary.replace(out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.", hint="Check the path given.") from error
    finally:
        temporary.unlink(missing_ok=True)
    waiting = {drop.key: sum(reason.open for reason in counted[drop.key].reasons) for drop in drops}
    if written:
        with recording(home.ledger.engine) as connection:
            append(connection, Event.LINES_EXPORTED, at=now, file=out.name, lines=written, open_lines=waiting)
    return Exported(written, len(drops), sum(waiting.values()) - written)


def read_mended(path: Path) -> Iterator[MendedRow]:
    """The rows of a mended file, as a spreadsheet wrote it: with comma, semicolon or tab, in UTF-8, UTF-16 or cp1252.

    Raises:
        UsageError: it cannot be read, or is no export of ours.
    """
    text = _text(path)
    first = text.split("\n", 1)[0]
    told = _FIRST_COLUMN.match(first)
    delimiter = told[1] if told else max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = [unguard(name) for name in next(reader, [])]
        named = [name for name in header if name]
        if LINE not in named or len(set(named)) != len(named):
            raise UsageError(
                f"{path} has not the columns of an export: {LINE} once, and every other name at most once.",
                hint="Mend a file that `reco quarantine export` wrote, and leave its first row and column as they are.",
            )
        for number, row in enumerate(reader, start=2):
            if any(row):
                cells = {name: unguard(cell) for name, cell in zip_longest(header, row[: len(header)], fillvalue="")}
                cells.pop("", None)
                beyond = any(cell for name, cell in zip_longest(header, row, fillvalue="") if not name)
                yield MendedRow(number, cells[LINE], cells, beyond)
    except csv.Error as error:
        raise UsageError(
            f"{path} is no CSV: {error} (near line {reader.line_num}).", hint="Save it as CSV (UTF-8) again."
        ) from error


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", hint="Check the path given.") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")
