"""The Redis server that belongs to a home: Valkey.

Belongs here: which configuration it gets and how it is asked. Does not belong here: how a home shares a server
(`server`), what is stored in it, and Redis servers given by URL.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from reco.errors import RedisUnavailable
from reco.local import conf, diagnose, process, wire
from reco.local.endpoint import Endpoint
from reco.local.server import START_SECONDS, STOP_SECONDS, HomeServer

log = structlog.get_logger(__name__)


class EmbeddedValkey(HomeServer[Endpoint]):
    """The one Redis server of a home.

    `max_memory` is a size such as `2gb`. The two bounds are in seconds; reading the files of a full server takes time.
    `choose_port` is given the last port and returns the one to try next.
    """

    kind = "Redis server"
    event = "embedded_redis"
    instead = "RECO_REDIS_URL"
    error = RedisUnavailable

    def __init__(
        self,
        home: Path,
        max_memory: str,
        *,
        start_seconds: float = START_SECONDS,
        stop_seconds: float = STOP_SECONDS,
        choose_port: Callable[[int | None], int | None] = conf.choose_port,
    ) -> None:
        super().__init__(home / "redis", start_seconds, stop_seconds)
        self._conf = self.folder / "redis.conf"
        self._max_memory = max_memory
        self._choose_port = choose_port

    def _configured(self) -> Endpoint | None:
        port = conf.configured_port(self._conf)
        return Endpoint.of(port, self._password(), 0) if port else None

    def _password(self) -> str:
        return conf.password_of(self.folder / "password")

    def _configure(self) -> Endpoint | None:
        port = self._choose_port(conf.configured_port(self._conf))
        if port is None:
            return None
        password = self._password()
        content = conf.render(port, password, self.data, self.log_file, self._max_memory)
        if not self._conf.is_file() or self._conf.read_bytes() != content:
            conf.write_private(self._conf, content)
        return Endpoint.of(port, password, 0)

    def _launch(self, data_lock: int) -> process.Server:
        return process.spawn_valkey(self._conf, self.log_file, data_lock)

    def _ask(self, endpoint: Endpoint) -> wire.Probe:
        return wire.probe(endpoint.port, endpoint.password)

    def _at(self, endpoint: Endpoint, pid: int) -> Endpoint:
        return Endpoint.of(endpoint.port, endpoint.password, pid)

    def _ports_free(self, endpoint: Endpoint) -> bool:
        return conf.is_free(endpoint.port)

    def _next_step(self) -> str:
        return diagnose.next_step(self.folder, self.data, self.log_file)

    def _ready(self, endpoint: Endpoint) -> None:
        """A larger limit counts at once, a smaller one at the next start: others may be in the middle of a write."""
        wanted = conf.memory_bytes(self._max_memory)
        with suppress(OSError, wire.ReplyError), wire.Connection(endpoint.port, endpoint.password) as connection:
            reply = connection.ask("CONFIG", "GET", "maxmemory")
            if isinstance(reply, list) and isinstance(reply[1], bytes) and 0 < int(reply[1]) < wanted:
                connection.ask("CONFIG", "SET", "maxmemory", str(wanted))
                log.info("embedded_redis_memory_raised", max_memory=self._max_memory)
