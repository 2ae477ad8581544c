"""Which column of a catalogue means what, and how its fields are told apart.

Belongs here: the header. Does not belong here: the lines below it (`reco.catalog.reader`).
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reco.catalog.rules import HEADERS
from reco.errors import DropEmpty, DropUnmapped
from reco.orders.dialect import HEAD_BYTES, told_delimiter
from reco.orders.headers import first_line, known_names, plain_name
from reco.orders.profiles import SourceProfile
from reco.orders.source import UTF8, canonical_encoding, decode_head, fallback_encoding, peek

_DELIMITERS = (",", ";", "\t", "|")
_USUAL = frozenset(name for names in HEADERS.values() for name in names)


@dataclass(frozen=True)
class FirstLook:
    """What the first line of a catalogue tells: its delimiter, and the name of the column of item ids."""

    delimiter: str
    item_column: str


def look_at_header(path: Path, profile: SourceProfile, file: str) -> FirstLook:
    """Looks at the first line of a catalogue.

    Raises:
        DropMissing, DropEmpty, DropUnreadable: the file cannot be read.
        DropUnmapped: a column that `[items]` names is not there, or nothing looks like an item.
    """
    head = peek(path, file, HEAD_BYTES)
    known = canonical_encoding(profile.dialect.encoding, head)
    text = decode_head(head, known or UTF8)
    if known is None and "\ufffd" in text:
        text = decode_head(head, fallback_encoding(path))
    lines = [line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n") if line]
    if not lines:
        raise DropEmpty(f"{file} holds blank lines only.", hint="Export it again.", name=file)
    given = profile.dialect
    quote = '"' if given.quote is None else given.quote
    told, above = told_delimiter(lines[0])
    known_delimiter = given.delimiter or told
    found = []
    for delimiter in (known_delimiter,) if known_delimiter else _DELIMITERS:
        names = given.names or _fields("".join(lines[above : above + 1]), delimiter, quote)
        found.append((_mapping(names, profile), len(names), delimiter, names))
    _, _, delimiter, names = max(found, key=lambda one: ("item_id" in one[0], len(one[0]), one[1]))
    return FirstLook(delimiter, map_columns(names, profile, file)["item_id"])


def map_columns(names: Sequence[str], profile: SourceProfile, file: str) -> dict[str, str]:
    """The header name of each canonical column that the file has.

    Raises:
        DropUnmapped: a column that `[items]` names is not there, or nothing looks like an item.
    """
    mapping = _mapping(names, profile)
    _require(mapping, names, profile, file)
    return mapping


def _fields(line: str, delimiter: str, quote: str) -> tuple[str, ...]:
    reader = csv.reader([line], delimiter=delimiter, **({"quotechar": quote} if quote else {"quoting": csv.QUOTE_NONE}))
    return tuple(name.strip() for name in next(reader, []))


def _mapping(names: Sequence[str], profile: SourceProfile) -> dict[str, str]:
    """The header name of each canonical column; an item known by its name only has it as its id too."""
    plain = [plain_name(name) for name in names]
    found: dict[str, str] = {}
    if profile.items is not None:
        for column, wanted in _named(profile).items():
            if plain.count(plain_name(wanted)) == 1:
                found[column] = names[plain.index(plain_name(wanted))]
        return found
    for column, usual in HEADERS.items():
        place = next((plain.index(one) for one in usual if plain.count(one) == 1), None)
        if place is not None and names[place] not in found.values():
            found[column] = names[place]
    if "item_id" not in found and "item_name" in found:
        found["item_id"] = found["item_name"]
    return found


def _named(profile: SourceProfile) -> dict[str, str]:
    spec = profile.items
    assert spec is not None, "asked only for profiles with [items]"
    given = {
        "item_id": spec.id,
        "item_name": spec.name,
        "category": spec.category,
        "price": spec.price,
        "in_stock": spec.in_stock,
        "url": spec.url,
    }
    return {column: name for column, name in given.items() if name is not None}


def _require(mapping: Mapping[str, str], names: Sequence[str], profile: SourceProfile, file: str) -> None:
    known = {plain_name(name) for name in _named(profile).values()} if profile.items is not None else _USUAL
    shown = first_line(names, known)
    if profile.items is not None:
        missing = [name for column, name in _named(profile).items() if column not in mapping]
        if missing:
            raise DropUnmapped(
                f"{file} has no single column {missing[0]!r}, which [items] of source profile {profile.name} names: "
                f"{shown}.",
                hint="Name the file's own columns in [items].",
                name=file,
                found=known_names(names, known),
                needed=missing,
            )
    elif "item_id" not in mapping:
        raise DropUnmapped(
            f"{file} has no column that looks like an item: {shown}.",
            hint="An item (such as item_id, product_id or SKU) is needed: name yours in [items] of a source profile.",
            name=file,
            found=known_names(names, known),
            needed=["item_id or item_name"],
        )
