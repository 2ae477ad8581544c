"""What is hidden, as this process knows it: followed, so that no request waits for the database or for Redis.

Belongs here: following both, and which of them counts. Does not belong here: the rules (`reco.snapshot.hiding`), and
changing them (`hidebook`).

The database is the truth and is read every half second. Redis holds the rules beside it, read every quarter of a
second: so a change is known at once while the database is slow, and by a process that has not reached it yet. Whichever
changed last counts; what the database says, once it is read *after* Redis was, replaces what Redis holds. While neither
answers, the rules of before hold.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog
from redis.exceptions import RedisError

from reco.api.metrics import Metrics
from reco.errors import RecoError
from reco.snapshot.hiding import NOTHING, Hide, Hides, hidden_key, read_rules, write_rules
from reco.storage.redis_service import ServiceRedis

if TYPE_CHECKING:
    from reco.api.hidebook import HideBook

REDIS_SECONDS = 0.25
BOOK_SECONDS = 0.5
ANSWER_SECONDS = 2.0
KEPT_SECONDS = 86_400
"""The end of the rules in Redis, unless they are written again: the database has them anyway."""

# Sets the rules only if they are still those that were seen: a newer change of another process is never undone.
_REPLACE = """
local held = redis.call('GET', KEYS[1])
if (held == false and ARGV[1] == '') or held == ARGV[1] then
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  return 1
end
return 0
"""

log = structlog.get_logger(__name__)


class HideFollower:
    """Keeps the rules up to date; `load` must have succeeded once before anything is asked."""

    def __init__(
        self,
        book: "HideBook",
        redis: ServiceRedis,
        namespace: str,
        metrics: Metrics,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        self.book = book
        self._redis = redis
        self._key = hidden_key(namespace)
        self._metrics = metrics
        self.now = now
        self._hides = NOTHING
        self._seen: bytes | None = None
        self._failing: set[str] = set()

    def hides(self) -> Hides:
        """The rules in force now."""
        self._hides = self._hides.at(self.now())
        return self._hides

    def load(self) -> None:
        """Reads the book, before the service answers anything.

        Raises:
            DatabaseUnavailable: it cannot be read.
        """
        self._take(self.book.active(self.now()))

    async def follow(self) -> None:
        """Follows both until cancelled."""
        await asyncio.gather(
            self._again(REDIS_SECONDS, self.look, "redis"), self._again(BOOK_SECONDS, self.read, "book")
        )

    async def look(self) -> None:
        """Takes what Redis holds, if it changed.

        Raises:
            RedisError, TimeoutError: it does not answer.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            raw = await self._redis.client.execute_command("GET", self._key)  # type: ignore[no-untyped-call]
        if raw == self._seen:
            return
        self._seen = raw
        if raw is not None:
            try:
                self._take(read_rules(raw))
            except ValueError:
                log.warning("hidden_rules_damaged", key=self._key)  # the database's take its place

    async def read(self) -> None:
        """Takes what the database holds, and puts it into Redis where that holds something else.

        Raises:
            DatabaseUnavailable: it does not answer.
        """
        seen = self._seen
        rules = await asyncio.to_thread(self.book.active, self.now())
        if self._seen != seen:
            return  # Redis told of a change meanwhile, which this reading may not have seen
        self._take(rules)
        await self.spread(rules)

    async def spread(self, rules: tuple[Hide, ...]) -> None:
        """Puts rules into Redis, where those stand that were seen last; a Redis that is away gets them later."""
        wanted = write_rules(rules)
        seen = self._seen
        if wanted == seen:
            return
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                command = ("EVAL", _REPLACE, 1, self._key, seen or b"", wanted, KEPT_SECONDS)
                done = await self._redis.client.execute_command(*command)  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError):
            return
        if done:
            self._seen = wanted

    async def changed(self) -> None:
        """Reads the book at once, after this process changed it.

        Raises:
            DatabaseUnavailable: it does not answer.
        """
        rules = await asyncio.to_thread(self.book.active, self.now())
        self._take(rules)
        await self.spread(rules)

    async def _again(self, seconds: float, step: Callable[[], Awaitable[None]], what: str) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await step()
            except (RecoError, RedisError, OSError, TimeoutError) as error:
                self._tell(what, str(error))
            except Exception as error:  # noqa: BLE001 - the boundary of a loop that must go on: told and counted
                self._metrics.caught.labels("hides").inc()
                self._tell(what, repr(error))
            else:
                self._failing.discard(what)

    def _take(self, rules: tuple[Hide, ...]) -> None:
        if rules != self._hides.rules:
            self._hides = Hides(rules, now=self.now())

    def _tell(self, what: str, reason: str) -> None:
        if what not in self._failing:
            log.warning("hidden_rules_not_read", source=what, reason=reason)
        self._failing.add(what)
