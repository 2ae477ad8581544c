"""The keys as the service knows them: in memory, so that no request waits for the database.

Belongs here: whether a key is right, and reading the book again and again. Does not belong here: changing keys
(`keybook`), and what a caller may do (`access`).

The book is read every two seconds: a new key is known, and a revoked one refused, about that long after. While it
cannot be read, the keys of the last reading hold; `stale` then tells that a revocation may have been missed.
"""

import asyncio
import datetime as dt
import hmac
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from reco.api.edge import is_loopback
from reco.api.keys import Key, read_key
from reco.api.metrics import Metrics
from reco.errors import RecoError
from reco.settings import Settings

if TYPE_CHECKING:
    from reco.api.keybook import KeyBook, KeyRow, Use

READ_SECONDS = 2.0
STALE_SECONDS = 30.0
_NOBODY = bytes(32)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose key it is."""

    key_id: str
    scopes: frozenset[str]


class Refusal(StrEnum):
    """Why there is no caller; the values are codes of problem documents."""

    MISSING = "key_missing"
    INVALID = "key_invalid"
    EXPIRED = "key_expired"
    REVOKED = "key_revoked"
    SUSPENDED = "key_suspended"


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class KeyRing:
    """Tells whose key a text is. `load` must have succeeded once before anything is asked."""

    def __init__(
        self, book: "KeyBook", metrics: Metrics, *, may_be_open: bool, now: Callable[[], dt.datetime] = _utc_now
    ) -> None:
        self._book = book
        self._metrics = metrics
        self._may_be_open = may_be_open
        self._now = now
        self._rows: dict[str, KeyRow] = {}
        self._made = False
        self.read_at = now()
        self._uses: dict[str, Use] = {}
        self._failing = False
        self._reading = threading.Lock()

    @property
    def open(self) -> bool:
        """Whether anybody may ask: it was allowed by the settings, and no key was ever made."""
        return self._may_be_open and not self._made

    @property
    def stale(self) -> bool:
        """Whether the book could not be read for so long that a revocation may have been missed."""
        return (self._now() - self.read_at).total_seconds() > STALE_SECONDS

    @property
    def suspended(self) -> int:
        """How many keys wait to be confirmed after a restore."""
        now = self._now()
        return sum(row.state(now) == "suspended" for row in self._rows.values())

    @property
    def usable(self) -> int:
        """How many keys are right at present."""
        now = self._now()
        return sum(row.state(now) == "active" and row.pepper in self._book.peppers for row in self._rows.values())

    def load(self) -> None:
        """Notes the uses since the last time, and reads the book.

        Raises:
            DatabaseUnavailable: it cannot be read.
        """
        with self._reading:  # an older reading must not come after a newer one
            now = self._now()
            if uses := dict(self._uses):  # requests go on noting meanwhile
                self._book.note(uses)
                for key_id, use in uses.items():
                    if self._uses.get(key_id) is use:
                        del self._uses[key_id]
            self._rows = {row.key_id: row for row in self._book.rows()}
            self._made = self._made or bool(self._rows) or self._book.ever_made()
            self.read_at = now

    async def follow(self) -> None:
        """Reads the book again and again, until cancelled."""
        while True:
            await asyncio.sleep(READ_SECONDS)
            try:
                await asyncio.to_thread(self.load)
            except RecoError as error:
                self._tell(error)
            except Exception as error:  # noqa: BLE001 - the boundary of a loop that must go on: told, and `stale` follows
                self._metrics.caught.labels("keys").inc()
                self._tell(RecoError(f"Reading the API keys failed: {error!r}."))
            else:
                self._failing = False

    def whose(self, text: str | None) -> Caller | Refusal:
        """The caller with this key; takes the same work whether or not such a key exists."""
        if text is None:
            return Refusal.MISSING
        key = read_key(text)
        if key is None:
            return Refusal.INVALID
        row = self._rows.get(key.key_id)
        pepper = self._book.peppers.get(row.pepper) if row is not None else None
        right = hmac.compare_digest(key.mac(pepper or _NOBODY), row.mac if row is not None else "")
        if row is None or pepper is None or not right:
            return Refusal.INVALID
        now = self._now()
        state = row.state(now)
        if state != "active":
            return Refusal(f"key_{state}")
        self._note(row, key, now)
        return Caller(row.key_id, frozenset(row.scopes))

    def _note(self, row: "KeyRow", key: Key, now: dt.datetime) -> None:
        minute = now.replace(second=0, microsecond=0)
        newest = next(iter(self._book.peppers))
        if row.pepper == newest and row.last_used_at is not None and row.last_used_at >= minute:
            return
        if row.key_id in self._uses and self._uses[row.key_id].at >= minute:
            return
        from reco.api.keybook import Use  # noqa: PLC0415 - loaded with the book; the service alone needs no SQL

        moved = {} if row.pepper == newest else {"mac": key.mac(self._book.peppers[newest]), "pepper": newest}
        self._uses[row.key_id] = Use(minute, **moved)

    def _tell(self, error: RecoError) -> None:
        if not self._failing:
            log.warning("keys_not_read", code=error.code, reason=error.message)
        self._failing = True


def open_ring(settings: Settings, metrics: Metrics) -> KeyRing:
    """The keys of the home these settings name, read once.

    Raises:
        DatabaseUnavailable: the database does not answer.
        ConfigError: the peppers, or the URL of the database, are not usable.
    """
    from reco.api.keybook import open_book  # noqa: PLC0415 - SQLAlchemy, when the service starts and not on import

    book = open_book(settings)
    if book.rows():  # made by an older version, or by another machine on the same database
        book.close()
    # A proxy that is named passes on what comes from elsewhere.
    may_be_open = settings.api_open and not settings.trusted_proxies and is_loopback(settings.api_host)
    ring = KeyRing(book, metrics, may_be_open=may_be_open and settings.profile == "local")
    ring.load()
    return ring
