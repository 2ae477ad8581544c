"""The Redis server that belongs to a home: Valkey, shared by every process of that home.

Belongs here: finding, starting, sharing and stopping that one server. Does not belong here: what is stored in it, and
Redis servers given by URL.

Three lock files in `home/redis` carry the whole protocol, and the kernel drops them with the process that held them:
`gate.lock` (exclusive) while somebody starts or stops the server; `users.lock` (shared) by each user: who can make it
exclusive is the last one out; `data.lock` (exclusive) by the server itself, which inherits it at its start, so that it
tells whether a server is alive on the data and a second one cannot be. All three are taken in the order gate, users,
data.
"""

import atexit
import functools
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from reco.errors import RedisUnavailable
from reco.local import conf, diagnose, locks, process, wire
from reco.local.endpoint import Endpoint, record, recorded_pid

START_SECONDS = 60.0
STOP_SECONDS = 60.0
KILL_SECONDS = 10.0
PORT_RACES = 5

log = structlog.get_logger(__name__)


class EmbeddedValkey:
    """The one Redis server of a home.

    `max_memory` is a size such as `2gb`. The two bounds are in seconds; reading the files of a full server takes time.
    `choose_port` is given the last port and returns the one to try next.
    """

    def __init__(
        self,
        home: Path,
        max_memory: str,
        *,
        start_seconds: float = START_SECONDS,
        stop_seconds: float = STOP_SECONDS,
        choose_port: Callable[[int | None], int | None] = conf.choose_port,
    ) -> None:
        self.folder = Path(os.path.abspath(home)) / "redis"
        self.data = self.folder / "data"
        self.log_file = self.folder / "server.log"
        self._conf = self.folder / "redis.conf"
        self._endpoint_file = self.folder / "endpoint.json"
        self._max_memory = max_memory
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._choose_port = choose_port

    @contextmanager
    def lease(self) -> Iterator[Endpoint]:
        """The running server for the block: shared if it runs, started if not, stopped by the last one out.

        Leases may be nested, used in threads, and held across a fork: the server stays until both have left. A process
        that ends without leaving the block leaves at exit; one that is killed is no user any more, and the next
        command of the home finds the server and takes it over.

        Raises:
            RedisUnavailable: the server could not be started or does not answer; the message holds the end of its log.
        """
        seat, endpoint = self._enter()
        leave = functools.partial(self._leave, seat, endpoint)
        atexit.register(leave)
        try:
            yield endpoint
        finally:
            atexit.unregister(leave)
            leave()

    def _gate_seconds(self) -> float:
        return self._start_seconds + self._stop_seconds + KILL_SECONDS

    def _enter(self) -> tuple[locks.Seat, Endpoint]:
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            with locks.exclusive(self.folder / "gate.lock", self._gate_seconds()):
                seat = locks.Seat(self.folder / "users.lock")
                try:
                    return seat, self._find_or_start()
                except BaseException:  # also Ctrl-C: a seat that stays taken would keep the server up; raised again
                    self._close(seat, None)
                    raise
        except locks.LockTimeout as error:
            raise RedisUnavailable(
                f"Another process has been starting or stopping the embedded Redis server of {self.folder} "
                f"for over {self._gate_seconds():.0f} seconds.",
                hint=f"Look for a suspended process of this home, and read {self.log_file}.",
                folder=str(self.folder),
            ) from error
        except OSError as error:
            raise RedisUnavailable(
                f"The embedded Redis server cannot use {self.folder}: {error}.",
                hint="Give RECO_HOME a writable folder on a local disk with free space, or set RECO_REDIS_URL.",
                folder=str(self.folder),
            ) from error

    def _leave(self, seat: locks.Seat, endpoint: Endpoint) -> None:
        if not seat.taken:
            return
        try:
            if not seat.is_current():  # the home was removed under us: nobody else can find this server
                self._stop_orphan(seat, endpoint)
                return
            with locks.exclusive(self.folder / "gate.lock", self._gate_seconds()):
                self._close(seat, endpoint)
        except (locks.LockTimeout, OSError) as error:
            log.warning("embedded_redis_left_running", folder=str(self.folder), reason=repr(error))
        finally:
            seat.close()

    def _close(self, seat: locks.Seat, endpoint: Endpoint | None) -> None:
        """Gives the seat up and stops the server if it was the last one. The gate is held."""
        try:
            if seat.give_up():
                self._stop(endpoint)
        finally:
            seat.close()
            process.reap()

    # -- starting --------------------------------------------------------------------------------------------------

    def _find_or_start(self) -> Endpoint:
        """The server of the data folder, found or started. The gate is held."""
        password = conf.password_of(self.folder / "password")
        deadline = time.monotonic() + self._start_seconds
        while True:
            held = locks.try_exclusive(self.folder / "data.lock")
            if held is not None:
                try:
                    return self._start(held, password, deadline)
                finally:
                    held.close()
            port = conf.configured_port(self._conf)
            found = wire.probe(port, password) if port else wire.Probe("absent")
            if port and found.state == "ready":
                endpoint = Endpoint.of(port, password, found.pid or recorded_pid(self._endpoint_file) or 0)
                record(self._endpoint_file, endpoint)
                self._raise_memory(endpoint)
                return endpoint
            if time.monotonic() >= deadline or found.state == "refused":
                raise self._silent(port, found)
            time.sleep(locks.POLL_SECONDS)

    def _start(self, held: locks.HeldLock, password: str, deadline: float) -> Endpoint:
        port = conf.configured_port(self._conf)
        for _ in range(PORT_RACES):
            port = self._choose_port(port)
            if port is None:
                break
            log_start = process.log_size(self.log_file)
            server = self._spawn(held, port, password)
            if self._wait_ready(server, port, password, deadline):
                held.close()  # from here on the server alone holds it
                endpoint = Endpoint.of(port, password, server.pid)
                log.info("embedded_redis_started", port=port, pid=server.pid, folder=str(self.folder))
                return endpoint
            if server.poll() is None:
                held.close()
                raise self._failed(f"it was not ready within {self._start_seconds:.0f} seconds", log_start)
            if conf.is_free(port):
                raise self._failed(f"it ended with exit code {server.returncode}", log_start)
            # Somebody else took the port between our look and the server's: take another.
        raise RedisUnavailable(
            "No free port was found for the embedded Redis server.",
            hint=f"Free some TCP ports between {conf.PORTS.start} and {conf.PORTS.stop - 1}, or set RECO_REDIS_URL.",
            folder=str(self.folder),
        )

    def _spawn(self, held: locks.HeldLock, port: int, password: str) -> process.Server:
        content = conf.render(port, password, self.data, self.log_file, self._max_memory)
        if not self._conf.is_file() or self._conf.read_bytes() != content:
            conf.write_private(self._conf, content)
        # A recorded pid must never be that of an earlier server: it is removed before there is a new one.
        self._endpoint_file.unlink(missing_ok=True)
        server = process.spawn(self._conf, self.log_file, held.fileno())
        record(self._endpoint_file, Endpoint.of(port, password, server.pid))
        return server

    @staticmethod
    def _wait_ready(server: process.Server, port: int, password: str, deadline: float) -> bool:
        while server.poll() is None:
            if wire.probe(port, password).pid == server.pid:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(locks.POLL_SECONDS)
        return False

    def _raise_memory(self, endpoint: Endpoint) -> None:
        """A larger limit counts at once, a smaller one at the next start: others may be in the middle of a write."""
        wanted = conf.memory_bytes(self._max_memory)
        with suppress(OSError, wire.ReplyError), wire.Connection(endpoint.port, endpoint.password) as connection:
            reply = connection.ask("CONFIG", "GET", "maxmemory")
            if isinstance(reply, list) and isinstance(reply[1], bytes) and 0 < int(reply[1]) < wanted:
                connection.ask("CONFIG", "SET", "maxmemory", str(wanted))
                log.info("embedded_redis_memory_raised", max_memory=self._max_memory)

    def _failed(self, what: str, log_start: int) -> RedisUnavailable:
        lines = diagnose.log_tail(self.log_file, log_start)
        said = "".join(f"\n  {line}" for line in lines) or " nothing."
        return RedisUnavailable(
            f"The embedded Redis server of {self.folder} did not start: {what}. It said:{said}\n",
            hint=diagnose.next_step(self.folder, self.data, self.log_file),
            folder=str(self.folder),
            log=lines,
        )

    def _silent(self, port: int | None, found: wire.Probe) -> RedisUnavailable:
        answer = {"loading": "is still reading its files", "refused": "refuses our password"}.get(
            found.state, "does not answer"
        )
        pid = recorded_pid(self._endpoint_file)
        who = f"The embedded Redis server (process {pid})" if pid else "An embedded Redis server"
        return RedisUnavailable(
            f"{who} holds {self.data} but {answer} on port {port}.",
            hint="It is ended now unless another command of this home uses it: try again. "
            f"If that fails too, read {self.log_file}; a home cannot be shared by two machines or containers.",
            folder=str(self.folder),
            port=port,
            pid=pid,
        )

    # -- stopping --------------------------------------------------------------------------------------------------

    def _alive(self) -> bool:
        held = locks.try_exclusive(self.folder / "data.lock")
        if held is not None:
            held.close()
        return held is None

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self._alive():
            if time.monotonic() >= deadline:
                return False
            time.sleep(locks.POLL_SECONDS)
        return True

    def _stop(self, endpoint: Endpoint | None) -> None:
        """Stops the server and waits until it is gone. The gate is held and there is no other user."""
        if not self._alive():
            return
        found = wire.probe(endpoint.port, endpoint.password) if endpoint else wire.Probe("absent")
        pid = found.pid or recorded_pid(self._endpoint_file)
        if not pid:
            log.warning("embedded_redis_left_running", folder=str(self.folder), reason="its pid is not known")
            return
        for number, seconds in ((signal.SIGTERM, self._stop_seconds), (signal.SIGKILL, KILL_SECONDS)):
            if number == signal.SIGKILL:
                log.warning("embedded_redis_killed", pid=pid, after_seconds=self._stop_seconds)
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if self._gone_within(seconds):
                log.info("embedded_redis_stopped", pid=pid, folder=str(self.folder))
                return
        log.error("embedded_redis_left_running", folder=str(self.folder), reason="it survived SIGKILL", pid=pid)

    def _stop_orphan(self, seat: locks.Seat, endpoint: Endpoint) -> None:
        found = wire.probe(endpoint.port, endpoint.password)
        if seat.is_alone() and found.pid:
            os.kill(found.pid, signal.SIGTERM)
            log.info("embedded_redis_stopped", pid=found.pid, folder=str(self.folder), reason="its home was removed")
