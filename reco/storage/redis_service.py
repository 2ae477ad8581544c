"""The connection of a long-running service to Redis: asynchronous, and outliving the server it talks to.

Belongs here: opening it, and finding the embedded server again after it went away. Does not belong here: commands, and
connections of a command or a run (`redis`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from reco.errors import RedisUnavailable
from reco.settings import Settings
from reco.storage.redis import embedded_redis, not_a_url, redis_errors

CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 2.0  # the service has a copy to answer from: waiting longer gains nothing


class ServiceRedis:
    """Redis for the length of a service; use it as a context manager around the event loop.

    With `redis_url` unset, entering takes a lease on the embedded server of the home (and starts it), leaving gives it
    back. A Redis given by URL is not asked for anything on entering: the service starts whether or not it answers.

    Raises:
        RedisUnavailable: on entering, the embedded server could not be started.
        ConfigError: on entering, `RECO_REDIS_URL` is not a Redis URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lease = ExitStack()
        self._client: Redis | None = None

    @property
    def embedded(self) -> bool:
        """Whether it is the embedded server of the home."""
        return self._settings.redis_url is None

    @property
    def client(self) -> Redis:
        """The client of now; after `find_again` it is another one."""
        assert self._client is not None
        return self._client

    def __enter__(self) -> Self:
        self._client = self._connect(self._lease)
        return self

    def __exit__(self, *exc: object) -> None:
        self._lease.close()

    @asynccontextmanager
    async def errors(self) -> AsyncIterator[None]:
        """Turns errors of the block that say Redis cannot be used into RedisUnavailable."""
        with redis_errors(self.client, embedded=self.embedded):
            yield

    async def find_again(self, error: RedisUnavailable) -> None:
        """Starts the embedded server again, or finds it where somebody else did, if `error` says that it is gone.

        A server that is there and does not answer is left alone: it may only be paused, and it holds the data.

        Raises:
            RedisUnavailable: it could not be started.
        """
        if not self.embedded or not isinstance(error.__cause__, RedisConnectionError):
            return
        lease = ExitStack()
        client = await asyncio.to_thread(self._connect, lease)
        old_client, self._client = self.client, client
        old_lease, self._lease = self._lease, lease
        await old_client.aclose()
        await asyncio.to_thread(old_lease.close)

    async def close(self) -> None:
        """Closes the connections; the lease stays until the context is left."""
        await self.client.aclose()

    def _connect(self, lease: ExitStack) -> Redis:
        if self._settings.redis_url is None:
            url = lease.enter_context(embedded_redis(self._settings).lease()).url_of("reader")
        else:
            url = self._settings.redis_url.get_secret_value()
        try:
            return Redis.from_url(
                url,
                decode_responses=False,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=ANSWER_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except (ValueError, TypeError):
            raise not_a_url() from None
