"""The customers a home has forgotten, known by a keyed hash alone, and what stands in their place.

Belongs here: telling whether an id that is read is that of a forgotten customer. Does not belong here: forgetting one
(`reco.orders.forget`), or where ids stand in what is read (`reco.orders.privacy`, `reco.orders.redact`).

The trail has the keyed hash of every forgotten id. The name that takes its place is made from the id with the key, so
that each reading of the same line gives the same name, and all lines of a customer one.
"""

import re

import sqlalchemy as sa

from reco.audit.trail import Event
from reco.orders.pseudonyms import Pseudonyms
from reco.storage.sql import audit_events

FORGOTTEN = "forgotten_"
_NAME = re.compile(re.escape(FORGOTTEN) + "[0-9a-f]{32}")
_DECIMALS = re.compile(r"\.0+$")
_MOST_KNOWN = 100_000


def subject_of(pseudonyms: Pseudonyms, customer: str) -> str:
    """What the trail keeps of a forgotten id: who has the key and knows the id can make it again, and nobody else."""
    return pseudonyms.proof("forgotten", customer)


def name_of(pseudonyms: Pseudonyms, customer: str) -> str:
    """What stands in the place of a forgotten id: `forgotten_` and 32 hex digits."""
    return FORGOTTEN + pseudonyms.proof("name of a forgotten one", customer)


class Forgotten:
    """The forgotten customers of a home. Of the trail, which only grows, each event is looked at once."""

    def __init__(self, engine: sa.Engine, pseudonyms: Pseudonyms) -> None:
        self._engine = engine
        self._pseudonyms = pseudonyms
        self._looked_at = 0
        self._subjects: set[tuple[str | None, str]] = set()

    def names(self, source: str) -> "Names | None":
        """Those of a source as of now; None where nobody of it was forgotten."""
        subjects = self._subjects_of(source)
        return Names(self._pseudonyms, subjects) if subjects else None

    def has(self, customer: str, source: str | None) -> bool:
        """Whether a customer was forgotten, in all drops or in those of the source."""
        return subject_of(self._pseudonyms, customer) in self._subjects_of(source)

    def _subjects_of(self, source: str | None) -> frozenset[str]:
        with self._engine.connect() as connection:
            newest = connection.scalar(sa.select(sa.func.max(audit_events.c.id))) or 0
            if newest > self._looked_at:
                new = (audit_events.c.id > self._looked_at) & (audit_events.c.event == Event.CUSTOMER_FORGOTTEN.value)
                told = connection.scalars(sa.select(audit_events.c.details).where(new)).all()
                self._subjects |= {(one.get("source"), str(one.get("subject"))) for one in told}
                self._looked_at = newest
        return frozenset(subject for of, subject in self._subjects if of in (None, source))


class Names:
    """What stands in the place of ids of forgotten customers."""

    def __init__(self, pseudonyms: Pseudonyms, subjects: frozenset[str]) -> None:
        self._pseudonyms = pseudonyms
        self._subjects = subjects
        self._known: dict[str, str | None] = {}

    def of_id(self, customer: str) -> str | None:
        """The name in the place of an id; None where it is nobody's who is forgotten. Such a name itself stays."""
        if customer not in self._known:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            gone = bool(customer) and subject_of(self._pseudonyms, customer) in self._subjects
            name = name_of(self._pseudonyms, customer) if gone else None
            self._known[customer] = customer if _NAME.fullmatch(customer) else name
        return self._known[customer]

    def name_of(self, value: str) -> str | None:
        """The same for an id as a file may write it: 17850 may stand there as 17850.0."""
        return self.of_id(value) or self.of_id(_DECIMALS.sub("", value))

    def in_text(self, text: str, delimiter: str, quote: str) -> str:
        """A text of which nobody knows the fields: what stands between delimiters, and each word, is looked at."""

        def change(found: re.Match[str]) -> str:
            value = found[0].strip()
            name = self.name_of(value)
            if name is not None:
                return found[0].replace(value, name, 1)
            return re.sub(r"\S+", lambda word: self.name_of(word[0]) or word[0], found[0])

        return re.sub(f"[^{re.escape(delimiter + quote)}\r\n]+", change, text)
