"""What a caller may ask of any list, and the cursor to its next page.

Belongs here: the controls, their bounds and their place in a question. Does not belong here: applying them
(`reco.snapshot.filters`), and how a route spells them.
"""

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Literal

from reco.errors import CursorExpired, CursorInvalid, UsageError

MAX_LIMIT = 100
MAX_EXCLUDED = 1000
MAX_CATEGORIES = 50

Match = Literal["any", "all"]


@dataclass(frozen=True, slots=True)
class Controls:
    """What of a list is wanted; the defaults want all of it.

    categories: an item must be of any (or all) of them; prices are inclusive; in_stock: only what is, or is not, in
    stock; max_per_category: at most so many of one category in all pages together.

    Raises:
        UsageError: a bound makes no sense.
    """

    limit: int = 10
    cursor: str | None = None
    exclude_ids: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    categories_match: Match = "any"
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    in_stock: bool | None = None
    min_score: float = 0.0
    max_per_category: int | None = None
    explain: bool = False

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise UsageError(f"A limit of {self.limit} items makes no sense.", hint="Ask for at least 1.")
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise UsageError("min_price is above max_price.", hint="Exchange them.")

    @classmethod
    def of(cls, given: "Controls | int") -> "Controls":
        """The controls; a bare number is a limit."""
        return given if isinstance(given, Controls) else cls(limit=given)

    @property
    def plain(self) -> bool:
        """Whether nothing but the length of the list is asked for."""
        return not self.narrowing() and self.cursor is None

    def narrowing(self) -> dict[str, Any]:
        """What decides which items pass, without what is at its default; for ids, so in one order and as JSON."""
        found = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in ("limit", "cursor", "explain") or value == one.default:
                continue
            found[one.name] = sorted(value) if isinstance(value, tuple) else _json(value)
        return found

    def parameters(self) -> dict[str, Any]:
        """All that belongs to the question: `narrowing`, the limit, the page, and whether it is explained."""
        page = {} if self.cursor is None else {"cursor": self.cursor}
        return self.narrowing() | page | ({"explain": True} if self.explain else {}) | {"limit": self.limit}


def write_cursor(snapshot_id: str, question: dict[str, Any], position: int) -> str:
    """A cursor to a place in the whole list that answers a question of a snapshot."""
    text = json.dumps([snapshot_id, _digest(question), position], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, snapshot_id: str, question: dict[str, Any]) -> int:
    """The place that a cursor points to; 0 without one.

    Raises:
        CursorExpired: it is of another snapshot, whose lists are others.
        CursorInvalid: it is of another question, or none of ours.
    """
    if cursor is None:
        return 0
    try:
        raw = base64.b64decode(cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        sid, digest, position = json.loads(raw)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise _not_ours() from None
    if not isinstance(sid, str) or type(position) is not int or position < 0:
        raise _not_ours()
    if sid != snapshot_id:
        raise CursorExpired(
            "The cursor is of a snapshot that is no longer served: its list had another order.",
            hint="Ask again without a cursor.",
        )
    if digest != _digest(question):
        raise CursorInvalid(
            "The cursor belongs to another question.", hint="Only `limit` and `explain` may change between pages."
        )
    return position


def _not_ours() -> CursorInvalid:
    return CursorInvalid("The cursor is none that was given out.", hint="Use `next_cursor` of an answer as it is.")


def _digest(question: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(question, sort_keys=True).encode()).hexdigest()[:12]


def _json(value: Any) -> Any:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else value
