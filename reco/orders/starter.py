"""A source profile to start from, written from what a look at a file told.

Belongs here: the TOML text and its comments. Does not belong here: looking at the file (`reco.orders.inspect`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reco.orders.files import PACKED, SUFFIXES
from reco.orders.headers import recognised
from reco.orders.profiles import NAMED_FORMATS, SourceProfile, toml_value

_NEEDED = {
    "order_id": "needed: one column, or a list of columns that are joined",
    "item_id": "needed: item_id, item_name, or both",
}
_NAMES_SHOWN = 40


@dataclass(frozen=True)
class Detected:
    """What a look at a file told.

    mapping: header names by canonical column; empty where they do not do for orders. confidence: of `encoding` and
    `delimiter`, 0..1. questions: what a profile has to answer, as in `reco.errors.DropAmbiguous`.
    """

    encoding: str
    dialect: Mapping[str, Any]
    confidence: Mapping[str, float]
    header: Sequence[str]
    mapping: Mapping[str, str | list[str]]
    questions: Sequence[Mapping[str, Any]] = ()

    def answers(self, about: str) -> list[str]:
        """The lines of a profile that could answer the questions about dates or decimals."""
        return [answer for one in self.questions if one["about"] == about for answer in one["answers"]]


def starter_profile(file: str, profile: SourceProfile, found: Detected) -> str:
    """The text of a valid source profile that reads a file as it was read, with what is open as comments.

    Args:
        file: the file's name; the profile is called after it.
        profile: what the file was read with; its other sections and formats are kept.
        found: what was detected; encoding and delimiter stay comments, so that the next file is looked at again. What
            few files prove is kept: a decimal comma, and how times are written.
    """
    given = profile.to_json()
    columns: dict[str, Any] = dict(found.mapping)
    if not columns:
        columns = {name: found.header[place] for name, place in recognised(found.header).items()}
    time = given.get("columns", {}).get("ordered_at", {})
    if "ordered_at" in columns and "format" in time:
        columns["ordered_at"] = time
    elif "ordered_at" in columns and found.dialect.get("times") in NAMED_FORMATS:
        columns["ordered_at"] = {"column": columns["ordered_at"], "format": found.dialect["times"]}
    dates = found.answers("dates")
    lines = [
        f"name = {toml_value(_name(file))}",
        f"timezone = {toml_value(profile.timezone)}  # of times without an offset",
        *([f"currency = {toml_value(profile.currency)}"] if profile.currency else []),
        "",
        "[columns]",
        "# The columns of the file: " + ", ".join(toml_value(name) for name in found.header[:_NAMES_SHOWN]),
        *(f"# {name} = {toml_value('...')}  # {why}" for name, why in _NEEDED.items() if _lacks(columns, name)),
        *(f"{name} = {_value(value)}" for name, value in columns.items()),
        *(["# Day or month first? Put one of these in the place of the line above:"] if dates else []),
        *(f"# {answer}" for answer in dates),
        "",
        "[dialect]",
        *_dialect(given.get("dialect", {}), found),
        *([] if found.mapping or profile.dialect.names else _without_header(found.header)),
    ]
    for section, values in given.items():
        if isinstance(values, dict) and section not in ("columns", "dialect"):
            lines += ["", f"[{section}]", *(f"{name} = {_value(value)}" for name, value in values.items())]
    return "\n".join(lines) + "\n"


def _name(file: str) -> str:
    stem = Path(file).name
    for suffix in (*PACKED, *SUFFIXES):
        stem = stem.removesuffix(suffix)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:64] or "shop"


def _lacks(columns: Mapping[str, Any], name: str) -> bool:
    return name not in columns and not (name == "item_id" and "item_name" in columns)


def _dialect(given: Mapping[str, Any], found: Detected) -> list[str]:
    """What the profile gave, and as comments what was detected; a decimal comma is kept, since few files prove it."""
    detected = {"encoding": found.encoding, "delimiter": found.dialect["delimiter"], "quote": found.dialect["quote"]}
    lines = [f"{name} = {_value(value)}" for name, value in given.items()]
    for name, value in detected.items():
        if name not in given:
            sure = f"  # detected, confidence {found.confidence[name]:.2f}" if name in found.confidence else ""
            lines.append(f"# {name} = {toml_value(value)}{sure}")
    if "decimal" in given:
        return lines
    if answers := found.answers("decimals"):
        return [*lines, "# Which is the decimal sign?", *(f"# {answer}" for answer in answers)]
    return [*lines, 'decimal = ","' if found.dialect["decimal"] == "," else '# decimal = "."']


def _without_header(header: Sequence[str]) -> list[str]:
    names = toml_value([f"column{i + 1}" for i in range(len(header))])
    return ["# Where the first line is no header:", "# header = false", f"# names = {names}"]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + " }"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], str):
        return "[" + toml_value(value[0]) + "]"
    return toml_value(value)
