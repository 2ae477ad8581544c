"""Rules on what is hidden across a restore: what was hidden since the backup stays hidden.

Belongs here: the book that follows from what is known beside the backup. Does not belong here: finding that
(`reco.backup.books`), and hiding anything (`reco.api.hidebook`).

A rule is a decision of the shop of today, such as a recall, and no part of the state that is brought back. Three books
are laid over each other: that of the backup, that of the newest backup of the bucket, that of the database in use. A
rule of any of them holds, unless one of them says that it was ended.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from reco.audit.trail import Event, append
from reco.backup.books import Book
from reco.backup.sql_dump import plain_row
from reco.storage.sql import item_rules

ACTOR = "restore"
_SAME = ("namespace", "action", "kind", "value", "author", "created_at")
_TIMES = ("created_at", "expires_at", "removed_at")


@dataclass(frozen=True)
class HidesSettled:
    """What became of the rules, by what they hide.

    kept: not in the backup, and hold; ended: in force in the backup, and no more; unread: books that could not be read.
    """

    kept: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def settle_hides(
    connection: sa.Connection, *, present: Book | None, newest: Book, unread: tuple[str, ...] = (), now: dt.datetime
) -> HidesSettled:
    """Makes the rules of a restored database those that hold from now on, with their events in its trail.

    Args:
        connection: to the restored database, in a transaction that may append to the trail.
        present: the rules of the database in use; None where it could not be read.
        newest: those of the newest backup.
        unread: what could not be read.
        now: zone-aware.
    """
    then = {_same(row): row for row in (plain_row(one._asdict()) for one in connection.execute(sa.select(item_rules)))}
    book = dict(then)
    for row in (*newest, *(present or ())):
        book[_same(row)] = _ended(book.get(_same(row), row), row)
    kept, ended = [], []
    taken = {row["rule_id"] for row in then.values()}
    for key, row in sorted(book.items(), key=lambda one: one[1]["rule_id"]):
        before = then.get(key)
        if before is None:
            number = _enter(connection, row, taken)
            if _in_force(row, now):
                kept.append(row["value"])
                _tell(connection, Event.ITEM_HIDDEN, row | {"rule_id": number}, now)
        elif row["removed_at"] != before["removed_at"]:
            values = {"removed_at": _time(row["removed_at"]), "removed_by": row["removed_by"]}
            mine = item_rules.c.rule_id == before["rule_id"]
            connection.execute(sa.update(item_rules).where(mine).values(values))
            if _in_force(before, now):
                ended.append(row["value"])
                _tell(connection, Event.ITEM_SHOWN, row, now)
    still = {row["value"] for row in book.values() if _in_force(row, now)}
    return HidesSettled(tuple(sorted({*kept})), tuple(sorted({*ended} - still)), unread)


def _ended(row: dict[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A rule that two books know, ended when the first of them says so."""
    ends = [(one["removed_at"], one["removed_by"]) for one in (row, other) if one["removed_at"] is not None]
    at, by = min(ends, default=(None, None))
    return row | {"removed_at": at, "removed_by": by}


def _enter(connection: sa.Connection, row: Mapping[str, Any], taken: set[int]) -> int:
    """Enters a row, under its own number where that is free."""
    number = row["rule_id"] if row["rule_id"] not in taken else max(taken) + 1
    taken.add(number)
    values = {name: row.get(name) for name in item_rules.c.keys()}  # noqa: SIM118 - not a dict; a newer book has more
    times = {name: _time(row[name]) for name in _TIMES}
    connection.execute(sa.insert(item_rules).values(values | times | {"rule_id": number}))
    return int(number)


def _tell(connection: sa.Connection, event: Event, row: Mapping[str, Any], now: dt.datetime) -> None:
    told: dict[str, Any] = {name: row[name] for name in ("rule_id", "kind", "value", "reason")}
    append(connection, event, at=now, actor=ACTOR, expires_at=row["expires_at"], **told)


def _same(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in _SAME)


def _in_force(row: Mapping[str, Any], now: dt.datetime) -> bool:
    end = _time(row["expires_at"])
    return row["removed_at"] is None and (end is None or end > now)


def _time(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)
