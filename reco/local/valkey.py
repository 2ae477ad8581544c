"""The Redis server that belongs to a home: Valkey.

Belongs here: which configuration it gets and how it is asked. Does not belong here: how a home shares a server
(`server`), what is stored in it, and Redis servers given by URL.
"""

import datetime as dt
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from reco.errors import HistoryDamaged, RedisUnavailable
from reco.local import acl, conf, diagnose, history, locks, process, wire
from reco.local.endpoint import Endpoint
from reco.local.server import START_SECONDS, STOP_SECONDS, HomeServer

HISTORY = "history"

log = structlog.get_logger(__name__)


class EmbeddedValkey(HomeServer[Endpoint]):
    """The one Redis server of a home.

    `max_memory` is a size such as `2gb`. The two bounds are in seconds; reading the files of a full server takes time.
    `namespace` is the prefix of the keys its users may touch. For `history_days` its data can be had as of any second
    (`reco.local.rewind`; 0: not at all). `choose_port` is given the last port and returns the one to try next.
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
        namespace: str = "reco",
        history_days: int = 7,
        start_seconds: float = START_SECONDS,
        stop_seconds: float = STOP_SECONDS,
        choose_port: Callable[[int | None], int | None] = conf.choose_port,
    ) -> None:
        super().__init__(home / "redis", start_seconds, stop_seconds)
        self._conf = self.folder / "redis.conf"
        self._max_memory = max_memory
        self._namespace = namespace
        self._history_days = history_days
        self._choose_port = choose_port

    def _configured(self) -> Endpoint | None:
        port = conf.configured_port(self._conf)
        return self._endpoint(port, 0) if port else None

    def _endpoint(self, port: int, pid: int) -> Endpoint:
        users = {user: conf.password_of(self.folder / f"password.{user}") for user in acl.USERS}
        return Endpoint(wire.HOST, port, pid, conf.password_of(self.folder / "password"), users)

    def _configure(self) -> Endpoint | None:
        port = self._choose_port(conf.configured_port(self._conf))
        if port is None:
            return None
        endpoint = self._endpoint(port, 0)
        content = conf.render(
            port,
            endpoint.password,
            self.data,
            self.log_file,
            self._max_memory,
            users=acl.lines(endpoint.users, self._namespace),
            from_dump=diagnose.only_dump(self.data),
        )
        if not self._conf.is_file() or self._conf.read_bytes() != content:
            conf.write_private(self._conf, content)
        return endpoint

    def _launch(self, data_lock: int) -> process.Server:
        if lost := diagnose.lost_manifest(self.data):
            raise RedisUnavailable(
                f"{self.data / 'appendonlydir'} holds {', '.join(path.name for path in lost)} but no manifest: "
                "a server would start without them.",
                hint=f"Put {self.data} back from a backup, or move it away to start empty: the next run publishes "
                "again from the lake.",
                folder=str(self.folder),
            )
        return process.spawn_valkey(self._conf, self.log_file, data_lock)

    def _ask(self, endpoint: Endpoint) -> wire.Probe:
        return wire.probe(endpoint.port, endpoint.password)

    def _at(self, endpoint: Endpoint, pid: int) -> Endpoint:
        return replace(endpoint, pid=pid)

    def _ports_free(self, endpoint: Endpoint) -> bool:
        return conf.is_free(endpoint.port)

    def _next_step(self) -> str:
        return diagnose.next_step(self.folder, self.data, self.log_file)

    def _started(self, endpoint: Endpoint, log_start: int) -> None:
        """What the server left out of its files while reading them is told."""
        cut = diagnose.cut_off(self.log_file, log_start)
        if cut:
            log.warning("embedded_redis_cut_off", folder=str(self.folder), said=cut, port=endpoint.port)

    def _ready(self, endpoint: Endpoint) -> None:
        """What a running server lacks of our configuration: it may be older than this code, or read from a dump."""
        with wire.Connection(endpoint.port, endpoint.password) as connection:
            try:
                self._raise_memory(connection)
                for user, password in endpoint.users.items():
                    connection.ask("ACL", "SETUSER", user, acl.hashed(password), *acl.rules(user, self._namespace))
                self._keep_from_now_on(connection)
            except wire.ReplyError as error:
                raise RedisUnavailable(
                    f"The embedded Redis server of {self.folder} refused a setting: {error}.",
                    hint="End that server, then try again: it is started with our own configuration.",
                    folder=str(self.folder),
                ) from error

        self._keep_history()

    def _stopped(self) -> None:
        self._keep_history()

    def _keep_history(self) -> None:
        """A history that cannot be kept is told, and keeps nobody from working: what is served is not in it."""
        now = dt.datetime.now(dt.UTC)
        place = self.folder / HISTORY
        try:
            if self._history_days:
                history.keep(self.data, place, now)
                history.prune(place, now - dt.timedelta(days=self._history_days))
            elif place.exists():
                shutil.rmtree(place)
        except (HistoryDamaged, OSError) as error:
            log.warning("embedded_redis_history_not_kept", folder=str(place), reason=str(error))

    def _raise_memory(self, connection: wire.Connection) -> None:
        """A larger limit counts at once, a smaller one at the next start: others may be in the middle of a write."""
        limit = int(_setting(connection, "maxmemory"))
        if 0 < limit < conf.memory_bytes(self._max_memory):
            connection.ask("CONFIG", "SET", "maxmemory", self._max_memory)
            log.info("embedded_redis_memory_raised", max_memory=self._max_memory)

    def _keep_from_now_on(self, connection: wire.Connection) -> None:
        """Turns the append-only file on where the data came from a dump, and waits until it holds everything."""
        if _setting(connection, "appendonly") == "yes":
            return
        connection.ask("CONFIG", "SET", "appendonly", "yes")
        deadline = time.monotonic() + self._start_seconds
        while not (self.data / "appendonlydir").is_dir() or _rewriting(connection):
            if time.monotonic() >= deadline:
                raise RedisUnavailable(
                    f"The embedded Redis server of {self.folder} read {self.data / 'dump.rdb'} but did not write it "
                    f"into its append-only file within {self._start_seconds:.0f} seconds.",
                    hint=f"Check free space, read {self.log_file}, then try again.",
                    folder=str(self.folder),
                )
            time.sleep(locks.POLL_SECONDS)
        log.info("embedded_redis_read_dump", folder=str(self.folder))


def _setting(connection: wire.Connection, name: str) -> str:
    reply = connection.ask("CONFIG", "GET", name)
    value = reply[1] if isinstance(reply, list) and len(reply) > 1 else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else ""


def _rewriting(connection: wire.Connection) -> bool:
    reply = connection.ask("INFO", "persistence")
    lines = reply.decode("utf-8", "replace").splitlines() if isinstance(reply, bytes) else []
    idle = {"aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0", "aof_enabled:1", "aof_last_bgrewrite_status:ok"}
    return not idle <= set(lines)
