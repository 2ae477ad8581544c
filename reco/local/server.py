"""A server that belongs to a home, shared by every process of that home.

Belongs here: finding, starting, sharing and stopping one such server, whatever it serves. Does not belong here: which
program it is, how it is configured, or how it is asked (`valkey`, `seaweed`).

Three lock files in the folder of the server carry the whole protocol, and the kernel drops them with the process that
held them: `gate.lock` (exclusive) while somebody starts or stops the server; `users.lock` (shared) by each user: who
can make it exclusive is the last one out; `data.lock` (exclusive) by the server itself, which inherits it at its start,
so that it tells whether a server is alive on the data and a second one cannot be. All three are taken in the order
gate, users, data.
"""

import atexit
import functools
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import structlog

from reco.errors import DependencyUnavailable
from reco.local import conf, diagnose, locks, process, wire
from reco.local.endpoint import Address, record, recorded_pid

START_SECONDS = 60.0
STOP_SECONDS = 60.0
KILL_SECONDS = 10.0
PORT_RACES = 5

log = structlog.get_logger(__name__)

Where = TypeVar("Where", bound=Address)


class HomeServer(ABC, Generic[Where]):
    """The one server of a kind that a home has. The two bounds are in seconds."""

    kind: ClassVar[str]
    event: ClassVar[str]
    instead: ClassVar[str]
    error: ClassVar[type[DependencyUnavailable]]

    def __init__(self, folder: Path, start_seconds: float, stop_seconds: float) -> None:
        self.folder = Path(os.path.abspath(folder))
        self.data = self.folder / "data"
        self.log_file = self.folder / "server.log"
        self._endpoint_file = self.folder / "endpoint.json"
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds

    # -- what each kind of server says -----------------------------------------------------------------------------

    @abstractmethod
    def _configured(self) -> Where | None:
        """Where the configuration in the folder says that the server is, with process id 0; None without one."""

    @abstractmethod
    def _configure(self) -> Where | None:
        """Chooses free ports and writes the configuration; None when there is no free port."""

    @abstractmethod
    def _launch(self, data_lock: int) -> process.Server:
        """Starts the program on the configuration; it inherits the descriptor of the lock on its data."""

    @abstractmethod
    def _ask(self, endpoint: Where) -> wire.Probe:
        """Who answers there."""

    @abstractmethod
    def _at(self, endpoint: Where, pid: int) -> Where:
        """The endpoint with its process id."""

    @abstractmethod
    def _ports_free(self, endpoint: Where) -> bool:
        """Whether nobody listens on any port of the endpoint's configuration."""

    def _started(self, endpoint: Where, log_start: int) -> None:
        """What is looked at after a start; the log begins at that byte."""

    @abstractmethod
    def _ready(self, endpoint: Where) -> None:
        """What is made sure of on a server that runs, found or just started; the gate is held."""

    def _stopped(self) -> None:
        """What is done once the server is gone; the gate is held."""

    @abstractmethod
    def _next_step(self) -> str:
        """What a person can do about a server that did not start."""

    # -- leases ----------------------------------------------------------------------------------------------------

    @contextmanager
    def lease(self) -> Iterator[Where]:
        """The running server for the block: shared if it runs, started if not, stopped by the last one out.

        Leases may be nested, used in threads, and held across a fork: the server stays until both have left. A process
        that ends without leaving the block leaves at exit; one that is killed is no user any more, and the next
        command of the home finds the server and takes it over.

        Raises:
            DependencyUnavailable: (of the server's kind) it could not be started or does not answer; the message holds
                the end of its log.
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

    def _enter(self) -> tuple[locks.Seat, Where]:
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            with locks.exclusive(self.folder / "gate.lock", self._gate_seconds()):
                seat = locks.Seat(self.folder / "users.lock")
                try:
                    endpoint = self._find_or_start()
                    self._ready(endpoint)
                except BaseException:  # also Ctrl-C: a seat that stays taken would keep the server up; raised again
                    self._close(seat, None)
                    raise
                return seat, endpoint
        except locks.LockTimeout as error:
            raise self.error(
                f"Another process has been starting or stopping the embedded {self.kind} of {self.folder} "
                f"for over {self._gate_seconds():.0f} seconds.",
                hint=f"Look for a suspended process of this home, and read {self.log_file}.",
                folder=str(self.folder),
            ) from error
        except OSError as error:
            raise self.error(
                f"The embedded {self.kind} cannot use {self.folder}: {error}.",
                hint=f"Give RECO_HOME a writable folder on a local disk with free space, or set {self.instead}.",
                folder=str(self.folder),
            ) from error

    def _leave(self, seat: locks.Seat, endpoint: Where) -> None:
        if not seat.taken:
            return
        try:
            if not seat.is_current():  # the home was removed under us: nobody else can find this server
                self._stop_orphan(seat, endpoint)
                return
            with locks.exclusive(self.folder / "gate.lock", self._gate_seconds()):
                self._close(seat, endpoint)
        except (locks.LockTimeout, OSError) as error:
            log.warning(f"{self.event}_left_running", folder=str(self.folder), reason=repr(error))
        finally:
            seat.close()

    def _close(self, seat: locks.Seat, endpoint: Where | None) -> None:
        """Gives the seat up and stops the server if it was the last one. The gate is held."""
        try:
            if seat.give_up():
                self._stop(endpoint)
        finally:
            seat.close()
            process.reap()

    # -- starting --------------------------------------------------------------------------------------------------

    def _find_or_start(self) -> Where:
        """The server of the data folder, found or started. The gate is held."""
        deadline = time.monotonic() + self._start_seconds
        while True:
            held = locks.try_exclusive(self.folder / "data.lock")
            if held is not None:
                try:
                    return self._start(held, deadline)
                finally:
                    held.close()
            configured = self._configured()
            found = self._ask(configured) if configured else wire.Probe("absent")
            if configured and found.state == "ready":
                endpoint = self._at(configured, found.pid or recorded_pid(self._endpoint_file) or 0)
                record(self._endpoint_file, endpoint)
                return endpoint
            if time.monotonic() >= deadline or found.state == "refused":
                raise self._silent(configured, found)
            time.sleep(locks.POLL_SECONDS)

    def _start(self, held: locks.HeldLock, deadline: float) -> Where:
        for _ in range(PORT_RACES):
            configured = self._configure()
            if configured is None:
                break
            log_start = process.log_size(self.log_file)
            # A recorded pid must never be that of an earlier server: it is removed before there is a new one.
            self._endpoint_file.unlink(missing_ok=True)
            server = self._launch(held.fileno())
            endpoint = self._at(configured, server.pid)
            record(self._endpoint_file, endpoint)
            if self._wait_ready(server, endpoint, deadline):
                held.close()  # from here on the server alone holds it
                self._started(endpoint, log_start)
                log.info(f"{self.event}_started", port=endpoint.port, pid=server.pid, folder=str(self.folder))
                return endpoint
            if server.poll() is None:
                held.close()
                raise self._failed(f"it was not ready within {self._start_seconds:.0f} seconds", log_start)
            if self._ports_free(endpoint):
                raise self._failed(f"it ended with exit code {server.returncode}", log_start)
            # Somebody else took the port between our look and the server's: take another.
        raise self.error(
            f"No free port was found for the embedded {self.kind}.",
            hint=f"Free some TCP ports between {conf.PORTS.start} and {conf.PORTS.stop - 1}, or set {self.instead}.",
            folder=str(self.folder),
        )

    def _wait_ready(self, server: process.Server, endpoint: Where, deadline: float) -> bool:
        while server.poll() is None and time.monotonic() < deadline:
            found = self._ask(endpoint)
            if found.state == "ready" and found.pid in {None, server.pid}:
                return True
            time.sleep(locks.POLL_SECONDS)
        return False

    def _failed(self, what: str, log_start: int) -> DependencyUnavailable:
        lines = diagnose.log_tail(self.log_file, log_start)
        said = "".join(f"\n  {line}" for line in lines) or " nothing."
        return self.error(
            f"The embedded {self.kind} of {self.folder} did not start: {what}. It said:{said}\n",
            hint=self._next_step(),
            folder=str(self.folder),
            log=lines,
        )

    def _silent(self, configured: Where | None, found: wire.Probe) -> DependencyUnavailable:
        answer = {"loading": "is still reading its files", "refused": "refuses our password"}.get(
            found.state, "does not answer"
        )
        port = configured.port if configured else None
        pid = recorded_pid(self._endpoint_file)
        who = f"The embedded {self.kind} (process {pid})" if pid else f"An embedded {self.kind}"
        return self.error(
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

    def _stop(self, endpoint: Where | None) -> None:
        """Stops the server and waits until it is gone. The gate is held and there is no other user."""
        if not self._alive():
            return
        found = self._ask(endpoint) if endpoint else wire.Probe("absent")
        pid = found.pid or recorded_pid(self._endpoint_file)
        if not pid:
            log.warning(f"{self.event}_left_running", folder=str(self.folder), reason="its pid is not known")
            return
        for number, seconds in ((signal.SIGTERM, self._stop_seconds), (signal.SIGKILL, KILL_SECONDS)):
            if number == signal.SIGKILL:
                log.warning(f"{self.event}_killed", pid=pid, after_seconds=self._stop_seconds)
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            if self._gone_within(seconds):
                log.info(f"{self.event}_stopped", pid=pid, folder=str(self.folder))
                self._stopped()
                return
        log.error(f"{self.event}_left_running", folder=str(self.folder), reason="it survived SIGKILL", pid=pid)

    def _stop_orphan(self, seat: locks.Seat, endpoint: Where) -> None:
        found = self._ask(endpoint)
        pid = found.pid or endpoint.pid
        if seat.is_alone() and found.state == "ready" and pid:
            os.kill(pid, signal.SIGTERM)
            log.info(f"{self.event}_stopped", pid=pid, folder=str(self.folder), reason="its home was removed")
