"""The book of API keys in the database: made, listed, replaced and revoked.

Belongs here: what is kept of a key, and every change of it. Does not belong here: deciding about a request (`keyring`).

A row is never removed: a key that was revoked or has expired is refused by name, and a home that ever had a key never
opens again. A file of the home says so too, so that another database, or an older one, does not open it either. Making,
confirming and revoking leave events in the trail, with the id and never with the key.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reco.api.keys import Key, new_key
from reco.api.peppers import load_peppers
from reco.api.scopes import SCOPES
from reco.audit.trail import Event, append, recording
from reco.errors import ConfigError, KeyNotFound, UsageError
from reco.settings import Settings
from reco.storage.secret_file import make_once
from reco.storage.sql import api_keys, shared_database

CLOSED = "api.closed"
_CLOSED_TEXT = "An API key was made for this home: its API answers nobody without one again, on any database.\n"


@dataclass(frozen=True, slots=True)
class KeyRow:
    """What is kept of one key."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    mac: str
    pepper: str
    created_at: dt.datetime
    created_by: str
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    replaces: str | None
    last_used_at: dt.datetime | None
    suspended_at: dt.datetime | None

    def state(self, now: dt.datetime) -> str:
        """`active`, `expired`, `revoked`, or `suspended` since a restore."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "active" if self.suspended_at is None else "suspended"


@dataclass(frozen=True, slots=True)
class Use:
    """That a key was used; `mac` under `pepper`, where it was kept under an older one."""

    at: dt.datetime
    mac: str | None = None
    pepper: str | None = None


class KeyBook:
    """The keys of one home. closed: the file that says that a key was ever made."""

    def __init__(self, engine: sa.Engine, peppers: Mapping[str, bytes], closed: Path) -> None:
        self._engine = engine
        self.peppers = peppers
        self._closed = closed

    def ever_made(self) -> bool:
        """Whether the home says that a key was ever made."""
        return self._closed.exists()

    def close(self) -> None:
        """Says in the home that a key was ever made.

        Raises:
            ConfigError: the file cannot be made.
        """
        try:
            make_once(self._closed, _CLOSED_TEXT)
        except OSError as error:
            raise ConfigError(
                f"{self._closed} cannot be made: {error.strerror}.",
                hint="Let this account write there: without the file another database would open the API.",
                settings=["RECO_HOME"],
            ) from error

    def rows(self) -> list[KeyRow]:
        """Every key ever made, oldest first."""
        with self._engine.connect() as connection:
            found = connection.execute(sa.select(api_keys).order_by(api_keys.c.created_at, api_keys.c.key_id))
            return [_row(one) for one in found]

    def create(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        now: dt.datetime,
        actor: str,
        expires_at: dt.datetime | None = None,
    ) -> Key:
        """A new key. This is the only time its text is known.

        Raises:
            UsageError: a scope does not exist, there is none, or it would have expired already.
            ConfigError: the home cannot be written to.
        """
        with recording(self._engine) as connection:
            return self._insert(connection, name, scopes, now=now, actor=actor, expires_at=expires_at)

    def replace(
        self,
        key_id: str,
        *,
        now: dt.datetime,
        actor: str,
        overlap: dt.timedelta,
        expires_at: dt.datetime | None = None,
    ) -> Key:
        """A new key with the name and scopes of another one, which goes on for `overlap` and then expires.

        Raises:
            KeyNotFound: there is no such key.
            UsageError: it is not active any more.
        """
        with recording(self._engine) as connection:
            old = _found(connection, key_id)
            if old.state(now) != "active":
                raise UsageError(
                    f"Key {key_id} is {old.state(now)}, so there is nothing to replace.",
                    hint="Make a new one: `reco keys create NAME --scope SCOPE`. A suspended one can be confirmed.",
                )
            end = min(filter(None, (old.expires_at, now + overlap)))
            _change(connection, key_id, expires_at=end)
            key = self._insert(
                connection, old.name, old.scopes, now=now, actor=actor, expires_at=expires_at, replaces=key_id
            )
            append(connection, Event.KEY_EXPIRES, at=now, key_id=key_id, actor=actor, expires_at=end.isoformat())
            return key

    def revoke(self, key_id: str, *, now: dt.datetime, actor: str) -> bool:
        """Ends a key for good. False where that was done before.

        Raises:
            KeyNotFound: there is no such key.
        """
        with recording(self._engine) as connection:
            if _found(connection, key_id).revoked_at is not None:
                return False
            _change(connection, key_id, revoked_at=now)
            append(connection, Event.KEY_REVOKED, at=now, key_id=key_id, actor=actor)
            return True

    def confirm(self, key_ids: Sequence[str] | None, *, now: dt.datetime, actor: str) -> tuple[str, ...]:
        """Lets suspended keys hold again: those named, all where None. Returns the ids of those that were suspended.

        Raises:
            KeyNotFound: there is no such key; none was confirmed.
            UsageError: one was revoked or has expired; none was confirmed.
        """
        with recording(self._engine) as connection:
            if key_ids is None:
                rows = [_row(row) for row in connection.execute(sa.select(api_keys).order_by(api_keys.c.key_id))]
            else:
                rows = [_found(connection, key_id) for key_id in dict.fromkeys(key_ids)]
                over = [row.key_id for row in rows if row.state(now) in ("revoked", "expired")]
                if over:
                    raise UsageError(
                        f"Nothing was confirmed: {', '.join(over)} ended for good.",
                        hint="Make new ones: `reco keys create NAME --scope SCOPE`.",
                    )
            waiting = [row.key_id for row in rows if row.state(now) == "suspended"]
            for key_id in waiting:
                _change(connection, key_id, suspended_at=None)
                append(connection, Event.KEY_CONFIRMED, at=now, key_id=key_id, actor=actor)
            return tuple(waiting)

    def note(self, uses: Mapping[str, Use]) -> None:
        """Keeps when keys were last used, and their HMACs under the newest pepper."""
        with self._engine.begin() as connection:
            for key_id, use in uses.items():
                later = sa.or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < use.at)
                of_key = sa.update(api_keys).where(api_keys.c.key_id == key_id)
                connection.execute(of_key.where(later).values(last_used_at=use.at))
                if use.mac is not None:
                    connection.execute(of_key.values(mac=use.mac, pepper=use.pepper))

    def _insert(
        self,
        connection: sa.Connection,
        name: str,
        scopes: Iterable[str],
        *,
        now: dt.datetime,
        actor: str,
        expires_at: dt.datetime | None,
        replaces: str | None = None,
    ) -> Key:
        wanted = _known_scopes(scopes)
        if expires_at is not None and expires_at <= now:
            raise UsageError(
                "The key would have expired already.", hint="Give a time to come, such as `--expires 90d`."
            )
        self.close()  # before the key: killed in between, the home is closed and has none
        key, pepper = new_key(), next(iter(self.peppers))
        values = {
            "key_id": key.key_id,
            "name": name,
            "scopes": list(wanted),
            "mac": key.mac(self.peppers[pepper]),
            "pepper": pepper,
            "created_at": now,
            "created_by": actor,
            "expires_at": expires_at,
            "replaces": replaces,
        }
        connection.execute(sa.insert(api_keys).values(values))
        told: dict[str, Any] = {"name": name, "scopes": list(wanted), "actor": actor, "replaces": replaces}
        end = expires_at.isoformat() if expires_at is not None else None
        append(connection, Event.KEY_CREATED, at=now, key_id=key.key_id, expires_at=end, **told)
        return key


def open_book(settings: Settings) -> KeyBook:
    """The keys of the home these settings name.

    Raises:
        DatabaseUnavailable: the database does not answer.
        ConfigError: the peppers, or the URL of the database, are not usable.
    """
    return KeyBook(shared_database(settings.sql_url), load_peppers(settings), settings.home / "keys" / CLOSED)


def _known_scopes(scopes: Iterable[str]) -> Sequence[str]:
    wanted = sorted(set(scopes))
    unknown = [one for one in wanted if one not in SCOPES]
    if unknown or not wanted:
        raise UsageError(
            f"There is no scope {', '.join(unknown)}." if unknown else "A key without a scope could do nothing.",
            hint=f"Scopes are {', '.join(SCOPES)}.",
        )
    return wanted


def _found(connection: sa.Connection, key_id: str) -> KeyRow:
    row = connection.execute(sa.select(api_keys).where(api_keys.c.key_id == key_id).with_for_update()).first()
    if row is None:
        raise KeyNotFound(f"There is no API key {key_id!r}.", hint="`reco keys list` shows their ids.")
    return _row(row)


def _change(connection: sa.Connection, key_id: str, **values: Any) -> None:
    connection.execute(sa.update(api_keys).where(api_keys.c.key_id == key_id).values(values))


def _row(row: sa.Row[Any]) -> KeyRow:
    return KeyRow(**{**row._asdict(), "scopes": tuple(row.scopes)})
