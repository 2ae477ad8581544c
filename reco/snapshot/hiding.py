"""What is not to be recommended, whatever the orders say: the rules in force, as every reader applies them.

Belongs here: what a rule is, and whether it covers an item. Does not belong here: keeping rules (`reco.api.hidebook`),
and following them (`reco.api.hides`).
"""

import datetime as dt
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from reco.snapshot.access import SnapshotValues

Kind = Literal["item", "category"]
KINDS: tuple[Kind, ...] = ("item", "category")


@dataclass(frozen=True, slots=True)
class Hide:
    """One rule. rule_id names it; expires_at: None for no end. Author and reason stay in the database."""

    rule_id: int
    kind: Kind
    value: str
    expires_at: dt.datetime | None = None


class Hides:
    """The rules in force. Values are ids of items, and categories or parts of them."""

    def __init__(self, rules: Iterable[Hide] = (), *, now: dt.datetime | None = None) -> None:
        self.rules = tuple(sorted(rules, key=lambda one: one.rule_id))
        ends = [one.expires_at for one in self.rules if one.expires_at is not None]
        self._next_end = min(ends) if ends else None
        in_force = [one for one in self.rules if now is None or one.expires_at is None or one.expires_at > now]
        self._items = {one.value: one for one in in_force if one.kind == "item"}
        self._categories = {one.value: one for one in in_force if one.kind == "category"}

    def at(self, now: dt.datetime) -> "Hides":
        """The rules that have not ended by then; itself where none has."""
        if self._next_end is None or self._next_end > now:
            return self
        return Hides((one for one in self.rules if one.expires_at is None or one.expires_at > now), now=now)

    @property
    def by_category(self) -> bool:
        """Whether the category of an item matters."""
        return bool(self._categories)

    def __bool__(self) -> bool:
        return bool(self._items or self._categories)

    def rule_of(self, item_id: str, labels: Collection[str]) -> Hide | None:
        """The rule that hides an item of these labels, if one does."""
        if (found := self._items.get(item_id)) is not None:
            return found
        if not self._categories:
            return None
        return next((self._categories[label] for label in labels if label in self._categories), None)


NOTHING = Hides()


def hidden_key(namespace: str) -> str:
    """Where the rules stand in Redis."""
    return f"{namespace}:rules:hidden"


def labels_of(category: str | None) -> Sequence[str]:
    """What an item of this category is of: `Home > Tools` is also of `Home` and of `Tools` (parted by `>` or `|`)."""
    if category is None:
        return ()
    parts = [part.strip() for part in category.replace("|", ">").split(">")]
    return tuple(dict.fromkeys(one for one in (category, *parts) if one))


def meant(snapshot: "SnapshotValues", kind: str, value: str) -> tuple[str, bool]:
    """What a rule is about, as the snapshot writes it, and whether it covers an item of it.

    An item is known by its id, else by exactly its name, which gives its id; a category by exactly its name or a part.
    """
    value = value.strip()
    if kind == "item":
        found = snapshot.find([value])[0]
        return (value, False) if found is None else (found.item.item_id, True)
    return value, any(value in labels for labels in snapshot.labels())


def write_rules(rules: Iterable[Hide]) -> bytes:
    """Rules as JSON; equal rules give equal bytes."""
    rows = sorted((one.rule_id, one.kind, one.value, _text(one.expires_at)) for one in rules)
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":")).encode()


def read_rules(raw: bytes) -> tuple[Hide, ...]:
    """The rules that `write_rules` wrote.

    Raises:
        ValueError: they are not.
    """
    rows: Any = json.loads(raw)
    if not isinstance(rows, list):
        raise ValueError("these are no rules")  # noqa: TRY004 - see the docstring
    try:
        found = [Hide(int(number), kind, str(value), _time(end)) for number, kind, value, end in rows]
    except (TypeError, AttributeError) as error:
        raise ValueError("these are no rules") from error
    if any(one.kind not in KINDS for one in found):
        raise ValueError("a rule is of an unknown kind")
    return tuple(found)


def _text(at: dt.datetime | None) -> str | None:
    return None if at is None else at.astimezone(dt.UTC).isoformat()


def _time(text: str | None) -> dt.datetime | None:
    if text is None:
        return None
    at = dt.datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at
