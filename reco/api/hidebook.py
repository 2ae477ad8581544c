"""The book of hidden items and categories in the database, which is the truth: hide, show again, list.

Belongs here: the rows, and every change of them. Does not belong here: following them in a service (`hides`), and
applying them (`reco.snapshot.hiding`).

A row is never removed: `removed_at` ends it. Each change leaves an event in the audit trail in the same transaction.
`action` is `hide` for every row; other actions (boost, pin) would be other values of the same book.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import redis
import sqlalchemy as sa

from reco.audit.trail import Event, append, recording
from reco.errors import DatabaseUnavailable, HideNotFound, UsageError
from reco.snapshot.hiding import KINDS, Hide, Hides, hidden_key, read_rules
from reco.storage.sql import item_rules

HIDE = "hide"
MAX_RULES = 10_000


@dataclass(frozen=True, slots=True)
class HideRow:
    """One row of the book."""

    rule_id: int
    kind: str
    value: str
    author: str
    reason: str
    created_at: dt.datetime
    expires_at: dt.datetime | None
    removed_at: dt.datetime | None
    removed_by: str | None

    def state(self, now: dt.datetime) -> str:
        """`active`, `expired` or `removed`."""
        if self.removed_at is not None:
            return "removed"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class HideBook:
    """The hidden items and categories of one shop (namespace).

    Every method raises DatabaseUnavailable when the database does not answer.
    """

    def __init__(self, engine: sa.Engine, namespace: str) -> None:
        self._engine = engine
        self._namespace = namespace

    def rows(self, *, ended: bool = False, now: dt.datetime, limit: int = 1000) -> list[HideRow]:
        """Rows, newest first; those that have ended too, if asked for."""
        query = self._all().order_by(item_rules.c.rule_id.desc()).limit(limit)
        if not ended:
            query = query.where(*_in_force(now))
        with self._engine.connect() as connection:
            return [_row(one) for one in connection.execute(query)]

    def active(self, now: dt.datetime) -> tuple[Hide, ...]:
        """The rules in force."""
        found = self.rows(now=now, limit=MAX_RULES)
        return tuple(
            Hide(one.rule_id, "item" if one.kind == "item" else "category", one.value, one.expires_at) for one in found
        )

    def add(
        self,
        kind: str,
        value: str,
        *,
        author: str,
        reason: str,
        now: dt.datetime,
        expires_at: dt.datetime | None = None,
    ) -> HideRow:
        """Hides an item (by id) or a category. Hiding what is hidden renews it: the older row ends.

        Blanks around the value are left out.

        Raises:
            UsageError: there is no such kind, the value or the reason is empty, it would have ended already, or there
                are too many rules.
        """
        value = value.strip()
        if kind not in KINDS or not value or not reason.strip():
            raise UsageError(
                "A rule needs a kind, what it hides, and a reason.", hint=f"Kinds are {' and '.join(KINDS)}."
            )
        if expires_at is not None and expires_at <= now:
            raise UsageError("The rule would have ended already.", hint="Give a later time, or none.")
        with recording(self._engine) as connection:
            in_force = connection.scalar(
                sa.select(sa.func.count()).select_from(item_rules).where(self._ours(), *_in_force(now))
            )
            if in_force is not None and in_force >= MAX_RULES:
                raise UsageError(
                    f"{MAX_RULES:,} rules are in force already.",
                    hint="Hide categories, or leave the items out of the catalogue.",
                )
            same = sa.and_(self._ours(), item_rules.c.kind == kind, item_rules.c.value == value, *_in_force(now))
            connection.execute(sa.update(item_rules).where(same).values(removed_at=now, removed_by=author))
            row: dict[str, Any] = {
                "namespace": self._namespace,
                "action": HIDE,
                "kind": kind,
                "value": value,
                "author": author,
            }
            row |= {"reason": reason, "created_at": now, "expires_at": expires_at}
            number = connection.execute(sa.insert(item_rules).values(row)).inserted_primary_key
            assert number is not None
            end = expires_at.isoformat() if expires_at is not None else None
            told: dict[str, Any] = {
                "rule_id": number[0],
                "kind": kind,
                "value": value,
                "reason": reason,
                "actor": author,
            }
            append(connection, Event.ITEM_HIDDEN, at=now, expires_at=end, **told)
            return self._one(connection, number[0])

    def remove(self, rule_id: int, *, author: str, now: dt.datetime) -> HideRow:
        """Ends a rule; once ended it stays as it is.

        Raises:
            HideNotFound: there is no rule of that number.
        """
        with recording(self._engine) as connection:
            row = self._one(connection, rule_id)
            if row.removed_at is None:
                mine = sa.and_(self._ours(), item_rules.c.rule_id == rule_id)
                connection.execute(sa.update(item_rules).where(mine).values(removed_at=now, removed_by=author))
                told: dict[str, Any] = {"rule_id": rule_id, "kind": row.kind, "value": row.value, "actor": author}
                append(connection, Event.ITEM_SHOWN, at=now, **told)
            return self._one(connection, rule_id)

    def _one(self, connection: sa.Connection, rule_id: int) -> HideRow:
        row = connection.execute(self._all().where(item_rules.c.rule_id == rule_id)).one_or_none()
        if row is None:
            raise HideNotFound(f"There is no rule {rule_id}.", hint="`reco hide list` shows their numbers.")
        return _row(row)

    def _ours(self) -> sa.ColumnElement[bool]:
        return sa.and_(item_rules.c.namespace == self._namespace, item_rules.c.action == HIDE)

    def _all(self) -> sa.Select[tuple[object, ...]]:
        columns = [item_rules.c[name] for name in HideRow.__dataclass_fields__]
        return sa.select(*columns).where(self._ours())


def row_document(row: HideRow, now: dt.datetime) -> dict[str, Any]:
    """A row of the book as it is told."""
    times = {name: getattr(row, name) for name in ("created_at", "expires_at", "removed_at")}
    return {
        "rule_id": row.rule_id,
        "kind": row.kind,
        "value": row.value,
        "author": row.author,
        "reason": row.reason,
        "state": row.state(now),
        "removed_by": row.removed_by,
        **{name: None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in times.items()},
    }


def rules_to_apply(engine_of: Callable[[], sa.Engine], client: redis.Redis, namespace: str, now: dt.datetime) -> Hides:
    """The rules for one answer of the command line: of the database, else those that Redis holds.

    Raises:
        DatabaseUnavailable: the database does not answer, and Redis holds none.
    """
    try:
        return Hides(HideBook(engine_of(), namespace).active(now), now=now)
    except DatabaseUnavailable:
        raw = client.get(hidden_key(namespace))
        if not isinstance(raw, bytes):
            raise
        return Hides(read_rules(raw), now=now)


def _in_force(now: dt.datetime) -> tuple[sa.ColumnElement[bool], ...]:
    ends = item_rules.c.expires_at
    return (item_rules.c.removed_at.is_(None), sa.or_(ends.is_(None), ends > now))


def _row(row: sa.Row[tuple[object, ...]]) -> HideRow:
    return HideRow(**row._asdict())
