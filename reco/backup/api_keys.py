"""API keys across a restore: who may ask is a matter of today, whatever the backup says.

Belongs here: the book that follows from what is known beside the backup. Does not belong here: finding that
(`reco.backup.books`), and making, revoking or confirming a key (`reco.api.keybook`).

Three books are laid over each other: that of the backup, that of the newest backup of the bucket, that of the database
in use. A key stays revoked if any of them says so, and ends when the first of them says. One that the database in use
does not know, or that could not be read there, is suspended until a person confirms it: it may have been revoked since.
Keys made since the backup go on. So a restore closes doors, and opens none.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from reco.backup.books import Book
from reco.backup.sql_dump import plain_row
from reco.storage.sql import api_keys

_TIMES = [column.name for column in api_keys.columns if column.name.endswith("_at")]
_FIRST = ("revoked_at", "expires_at")


@dataclass(frozen=True)
class KnownKeys:
    """What is known beside the backup. present: None where it could not be read; newest: of the newest backup."""

    present: Book | None
    newest: Book = field(default_factory=list)
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class KeysSettled:
    """What became of the keys, by id. ended: right in the backup, and no more; unread: books that could not be read."""

    going_on: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    suspended: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def settle_keys(connection: sa.Connection, known: KnownKeys, now: dt.datetime) -> KeysSettled:
    """Makes the book of a restored database the one that holds from now on."""
    restored = [plain_row(row._asdict()) for row in connection.execute(sa.select(api_keys))]
    sure = {row["key_id"] for row in known.present or ()}
    book: dict[str, dict[str, Any]] = {}
    for row in (*restored, *known.newest, *(known.present or ())):
        before = book.get(row["key_id"], {})
        firsts = {name: _first(before.get(name), row.get(name)) for name in _FIRST}
        suspended = row.get("suspended_at") if row["key_id"] in sure else now.isoformat()
        book[row["key_id"]] = row | firsts | {"suspended_at": suspended}
    connection.execute(sa.delete(api_keys))
    for row in book.values():
        values = {name: row.get(name) for name in api_keys.c.keys()}  # noqa: SIM118 - not a dict; a newer book has more
        times = {name: _time(values[name]) for name in _TIMES}
        connection.execute(sa.insert(api_keys).values(values | times))
    over = {key for key, row in book.items() if _over(row, now)}
    then = {row["key_id"] for row in restored if not _over(row, now)}
    waiting = {key for key, row in book.items() if row["suspended_at"] is not None} - over
    return KeysSettled(
        going_on=_sorted(book.keys() - over - waiting),
        ended=_sorted(then & over),
        suspended=_sorted(waiting),
        unread=known.unread,
    )


def _over(row: dict[str, Any], now: dt.datetime) -> bool:
    end = _time(row.get("expires_at"))
    return row.get("revoked_at") is not None or (end is not None and end <= now)


def _first(one: str | None, other: str | None) -> str | None:
    given = [text for text in (one, other) if text is not None]
    return min(given, key=dt.datetime.fromisoformat) if given else None


def _time(text: str | None) -> dt.datetime | None:
    return None if text is None else dt.datetime.fromisoformat(text)


def _sorted(ids: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(ids))
