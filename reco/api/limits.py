"""How often one caller may ask.

Belongs here: counting in Redis, and the header fields that tell a caller how much is left. Does not belong here: who a
caller is (`access`).

A moving window of one minute, kept by the `limits` library in one Redis list a caller. When Redis cannot be asked
within its short time, `count` says so and the caller is not counted: answering matters more than counting. A breaker
then leaves it alone for a second, so that a Redis that hangs costs one request a second that time, and not each.

The header fields are those of draft-ietf-httpapi-ratelimit-headers-10. They tell what is left and never who asks.
"""

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import RedisError

from reco.api.breaker import Breaker
from reco.api.metrics import Metrics
from reco.storage.redis_service import ServiceRedis

WINDOW_SECONDS = 60
ANSWER_SECONDS = 0.1
PAUSE_SECONDS = 1.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Count:
    """Where a caller stands after a request."""

    allowed: bool
    limit: int
    left: int
    reset_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """What the caller is told."""
        told = {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"default";r={self.left};t={self.reset_seconds}',
        }
        return told if self.allowed else told | {"Retry-After": str(self.reset_seconds)}


class RateLimit:
    """At most `limit` requests a minute for each caller, over all processes that share the Redis."""

    def __init__(
        self,
        redis: ServiceRedis,
        namespace: str,
        limit: int,
        metrics: Metrics,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._redis = redis
        self._prefix = f"{namespace}:limits"
        self._limit = limit
        self._metrics = metrics
        self._answer_seconds = answer_seconds
        self._breaker = Breaker(PAUSE_SECONDS, metrics.breaker.labels("limits").set)
        self._client: Any = None
        self._window: Any = None
        self._item: Any = None

    async def count(self, kind: str, caller: str) -> Count | None:
        """Counts one request of a caller; `kind` keeps keys and addresses apart. None: Redis cannot be asked."""
        if not self._breaker.may_ask():
            self._not_counted()
            return None
        asked = False
        try:
            window, item = self._open()
            async with asyncio.timeout(self._answer_seconds):
                allowed = await window.hit(item, kind, caller)
                stats = await window.get_window_stats(item, kind, caller)
                asked = True
        except (RedisError, OSError, TimeoutError) as error:
            self._metrics.redis_error("limit", error)
            log.warning("requests_not_counted", reason=type(error).__name__)
            self._not_counted()
            return None
        finally:  # also where the request is given up meanwhile: else nobody would ever try again
            (self._breaker.answered if asked else self._breaker.failed)()
        reset = min(max(1, math.ceil(stats.reset_time - time.time())), WINDOW_SECONDS)
        return Count(allowed, self._limit, stats.remaining, reset)

    def _not_counted(self) -> None:
        self._metrics.limit_errors.labels("hit").inc()

    def _open(self) -> tuple[Any, Any]:
        client = self._redis.client
        if client is not self._client:  # the embedded server was found again elsewhere
            from limits import RateLimitItemPerMinute  # noqa: PLC0415 - half a second that an open service saves
            from limits.aio.storage import RedisStorage  # noqa: PLC0415 - see above
            from limits.aio.strategies import MovingWindowRateLimiter  # noqa: PLC0415 - see above

            storage = RedisStorage(
                "redis://",  # not used: the connections are those of the service
                implementation="redispy",
                key_prefix=self._prefix,
                connection_pool=client.connection_pool,  # type: ignore[arg-type]  # passed on as it is
            )
            self._window, self._item = MovingWindowRateLimiter(storage), RateLimitItemPerMinute(self._limit)
            self._client = client
        return self._window, self._item
