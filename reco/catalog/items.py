"""Reading a shop's file of items: ids, names and categories.

Belongs here: the `[items]` file of a source profile. Does not belong here: keeping names across runs
(`reco.catalog.names`), and order files, whose every line has to be accounted for.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from reco.errors import ProfileError
from reco.orders.headers import plain_name
from reco.orders.profiles import ItemsSpec

SCHEMA = pl.Schema({"item_id": pl.String, "item_name": pl.String, "category": pl.String})
_GZIP = b"\x1f\x8b"
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class ItemFile:
    """The items of a file, one row an id, sorted by id; `duplicates` and `unusable` count lines that gave none.

    `items` has item_id, and item_name and category, which may be null: all text. Of several lines for one id the last
    counts. A line without an id, or with another number of fields than the header, is unusable.
    """

    items: pl.DataFrame
    duplicates: int
    unusable: int


def load_items(spec: ItemsSpec) -> pl.DataFrame:
    """The items of a profile's item file: item_id, item_name (null), category (null), sorted by item_id.

    Raises:
        ProfileError: as `read_items`.
    """
    return read_items(spec).items


def read_items(spec: ItemsSpec) -> ItemFile:
    """The items of a profile's item file, and how many of its lines gave none.

    Raises:
        ProfileError: the file is missing, damaged or empty, or has not the columns the profile names.
    """
    try:
        text = _text(spec.file)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ProfileError(
            f"The item file {spec.file} cannot be read: {reason}.",
            hint="Correct items.file in the source profile, or bring the file there.",
            file=str(spec.file),
        ) from error
    lines = io.StringIO(text, newline="")
    first = lines.readline()
    delimiter = max(_DELIMITERS, key=first.count)
    header = next(csv.reader([first], delimiter=delimiter), [])
    columns = [_position(header, name, field, spec) for field, name in _wanted(spec)]
    try:
        rows = list(_rows(lines, delimiter, len(header), columns))
    except csv.Error as error:
        raise ProfileError(
            f"The item file {spec.file} is no CSV: {error}.", hint="Export it again.", file=str(spec.file)
        ) from error
    usable = [row for row in rows if row is not None]
    frame = pl.DataFrame(usable, schema=SCHEMA, orient="row")
    items = frame.unique("item_id", keep="last").sort("item_id")
    return ItemFile(items, frame.height - items.height, len(rows) - len(usable))


def _text(path: Path) -> str:
    raw = path.read_bytes()
    if raw.startswith(_GZIP):
        raw = gzip.decompress(raw)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _wanted(spec: ItemsSpec) -> list[tuple[str, str | None]]:
    return [("id", spec.id), ("name", spec.name), ("category", spec.category)]


def _position(header: list[str], name: str | None, field: str, spec: ItemsSpec) -> int | None:
    if name is None:
        return None
    plain = [plain_name(one) for one in header]
    if plain.count(plain_name(name)) != 1:
        raise ProfileError(
            f"The item file {spec.file} has no single column {name!r}, which items.{field} of the source profile "
            f"names: found {', '.join(map(repr, header[:20])) or 'nothing'}.",
            hint="Name the file's own columns in [items].",
            file=str(spec.file),
            fields=[f"items.{field}"],
        )
    return plain.index(plain_name(name))


def _rows(
    lines: Iterator[str], delimiter: str, width: int, columns: list[int | None]
) -> Iterator[tuple[str | None, ...] | None]:
    """The wanted fields of each record, or None for a record that is no item."""
    for record in csv.reader(lines, delimiter=delimiter):
        if not record:
            continue
        if len(record) != width:
            yield None
            continue
        item = tuple(None if at is None else record[at].strip() or None for at in columns)
        yield item if item[0] is not None else None
