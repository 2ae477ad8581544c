"""A Valkey server of a test's own.

Belongs here: starting and ending a real server for tests that take a client. Does not belong here: the embedded server
of a home, which has tests of its own.
"""

import select
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reco.local.process import server_binary

START_SECONDS = 60


def connect(port: int) -> redis.Redis:
    """A client like the product's: bytes, and nothing is tried twice."""
    return redis.Redis(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), 0), socket_timeout=30)


def port_of(client: redis.Redis) -> int:
    """The port a client talks to."""
    return int(client.connection_pool.connection_kwargs["port"])


@contextmanager
def running_valkey(folder: Path, *options: str, port: int = 0) -> Iterator[redis.Redis]:
    """A client of a fresh server without persistence, on a free port of the loopback; ended with the block."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    command = [str(server_binary()), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder), "--save", ""]
    with (folder / "valkey.log").open("wb") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
    client = connect(port)
    try:
        _wait(process, client, folder / "valkey.log")
        yield client
    finally:
        client.close()
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], client: redis.Redis, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            client.ping()
        except redis.ConnectionError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start: {log.read_text()[-2000:]}") from None
            time.sleep(0.02)
        else:
            return


class CuttingProxy:
    """Passes bytes to a server and back, until it is told to lose the next request or the next reply."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lose = ""
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._threads: list[threading.Thread] = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self, what: str) -> None:
        """Loses the next "request" (the server never gets it) or "reply" (it did what was asked), and cuts."""
        self._lose = what

    def close(self) -> None:
        """Ends the proxy and every connection through it."""
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._pass_on, args=(inner,))
            self._threads.append(thread)
            thread.start()

    def _pass_on(self, inner: socket.socket) -> None:
        with inner, socket.create_connection(("127.0.0.1", self._target)) as outer:
            while not self._ended.is_set():
                for end in select.select([inner, outer], [], [], 0.1)[0]:
                    data = end.recv(1 << 16)
                    if not data:
                        return
                    if self._lose == ("request" if end is inner else "reply"):
                        self._lose = ""
                        return
                    (outer if end is inner else inner).sendall(data)


@contextmanager
def cutting_proxy(target: int) -> Iterator[CuttingProxy]:
    """A proxy to a port of this machine."""
    proxy = CuttingProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()


class FaultyProxy:
    """A network that can be told to misbehave, between a client and a port of this machine.

    fault: "" passes on; "latency": each piece waits `seconds`; "reset": the connection is reset after `after` bytes of
    the answer; "interrupt": it is reset after so many bytes of what is sent; "cut": it is closed there; "refuse": new
    connections are closed at once; "hole": nothing is answered.
    times: how many connections the fault meets; None: all.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.port = self._listener.getsockname()[1]
        self.fault, self.after, self.seconds = "", 0, 0.0
        self.times: int | None = None
        self.met = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def set(self, fault: str, *, times: int | None = None, after: int = 0, seconds: float = 0.0) -> None:
        """What happens from the next connection on."""
        with self._lock:
            self.fault, self.after, self.seconds, self.times, self.met = fault, after, seconds, times, 0

    def close(self) -> None:
        """Ends the proxy and every connection through it."""
        self._ended.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                inner, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(inner, self._meet()))
            self._threads.append(thread)
            thread.start()

    def _meet(self) -> str:
        with self._lock:
            if not self.fault or self.times == 0:
                return ""
            if self.times is not None:
                self.times -= 1
            self.met += 1
            return self.fault

    def _serve(self, inner: socket.socket, fault: str) -> None:
        with inner:
            if fault == "refuse":
                return
            with socket.create_connection(("127.0.0.1", self._target)) as outer:
                try:
                    self._pass_on(inner, outer, fault)
                except OSError:  # one of the two went away, which is what a network does
                    return

    def _pass_on(self, inner: socket.socket, outer: socket.socket, fault: str) -> None:
        answered = asked = 0
        while not self._ended.is_set():
            for end in select.select([inner, outer], [], [], 0.1)[0]:
                data = end.recv(1 << 16)
                if not data:
                    return
                if end is inner:
                    asked += len(data)
                    if fault == "interrupt" and asked > self.after:
                        inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    outer.sendall(data)
                    continue
                if fault == "hole":
                    continue
                if fault == "latency":
                    self._ended.wait(self.seconds)
                if fault in ("reset", "cut") and answered + len(data) > self.after:
                    inner.sendall(data[: max(0, self.after - answered)])
                    if fault == "reset":
                        inner.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                answered += len(data)
                inner.sendall(data)


@contextmanager
def faulty_proxy(target: int) -> Iterator[FaultyProxy]:
    """Such a network to a port of this machine."""
    proxy = FaultyProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
