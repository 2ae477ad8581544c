"""What a look at one order file found, and what of it may be shown.

Belongs here: the result and its JSON, and leaving customers' ids out of it. Does not belong here: the looking
(`reco.orders.inspect`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from reco.errors import DropError
from reco.orders.dialect import Dialect
from reco.orders.headers import recognised
from reco.orders.privacy import HIDDEN
from reco.orders.profiles import SourceProfile
from reco.orders.quoted import split
from reco.orders.starter import Detected


@dataclass(frozen=True)
class Example:
    """A line that would not be accepted; `raw` is its text, cut to 200 characters."""

    line: int
    reason: str
    column: str | None
    value: str | None
    message: str
    raw: str


@dataclass(frozen=True)
class Inspection:
    """What a file is, and what reading it would give.

    `error` is set where the file cannot be read at all; there is nothing else then. `refusal` is set where it can be
    read and a run would still refuse it as a drop: no column for order or item, no line below the header, or values
    that can be read in two ways, about which `questions` asks. In that case `counts` has only what the
    structure of the lines tells: `lines_accepted` and `lines_excluded` are None, and only structural faults count as
    quarantined.
    """

    file: str
    error: DropError | None = None
    refusal: DropError | None = None
    found: Detected | None = None
    mapped: bool = False
    counts: Mapping[str, int | None] = field(default_factory=dict)
    reasons: Mapping[str, int] = field(default_factory=dict)
    first_lines: list[tuple[int, list[str]]] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    profile: str | None = None

    @property
    def dialect(self) -> dict[str, Any] | None:
        """How the file is written: encoding, delimiter, quote, decimal, header, and the confidence in the first two."""
        if self.found is None:
            return None
        return {"encoding": self.found.encoding, **self.found.dialect, "confidence": dict(self.found.confidence)}

    def to_json(self) -> dict[str, Any]:
        """The inspection as plain JSON values."""
        return {
            "file": self.file,
            "error": str(self.error) if self.error else None,
            "error_code": self.error.code if self.error else None,
            "refusal": str(self.refusal) if self.refusal else None,
            "refusal_code": self.refusal.code if self.refusal else None,
            "dialect": self.dialect,
            "header": list(self.found.header) if self.found else [],
            "mapping": dict(self.found.mapping) if self.found else {},
            "mapped": self.mapped,
            **{name: self.counts.get(name) for name in COUNTS},
            "reasons": dict(self.reasons),
            "first_lines": [{"line": line, "fields": fields} for line, fields in self.first_lines],
            "examples": [asdict(one) for one in self.examples],
            "questions": list(self.found.questions) if self.found else [],
            "profile": self.profile,
        }


COUNTS = (
    "lines_read",
    "lines_accepted",
    "lines_excluded",
    "lines_quarantined",
    "lines_header",
    "lines_blank",
    "lines_duplicate",
)


def without_customers(seen: Inspection, profile: SourceProfile) -> Inspection:
    """An inspection that shows no customer's id, for a profile under which none is kept.

    Of a line that cannot be told apart into fields the whole text is hidden, if the file has a column of customers.
    """
    if seen.found is None:
        return seen
    header = seen.found.header
    named = seen.found.mapping.get("customer_id") or profile.columns.customer_id
    places = {place for place, name in enumerate(header) if name == named}
    if not places and not seen.mapped:
        places = {place for column, place in recognised(header).items() if column == "customer_id"}
    if not places:
        return seen
    mapping = seen.found.mapping
    made_of_it = {
        column for column, names in mapping.items() if named in ([names] if isinstance(names, str) else names)
    }
    dialect = seen.found.dialect
    parts = Dialect(dialect["delimiter"], dialect["quote"], ".", header=True, header_lines=0, blank_lines=0)

    def raw_without(raw: str) -> str:
        fields = split(raw, parts)
        if isinstance(fields, str) or len(fields) != len(header):
            return HIDDEN
        return parts.delimiter.join(_hidden(fields, places))

    return replace(
        seen,
        first_lines=[(line, _hidden(fields, places)) for line, fields in seen.first_lines],
        examples=[
            replace(
                one, value=HIDDEN if one.value and one.column in made_of_it else one.value, raw=raw_without(one.raw)
            )
            for one in seen.examples
        ],
    )


def _hidden(fields: list[str], places: set[int]) -> list[str]:
    return [HIDDEN if place in places and text else text for place, text in enumerate(fields)]
