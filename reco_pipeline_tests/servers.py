"""A Valkey server of a test's own.

Belongs here: starting and ending a real server for tests that take a client. Does not belong here: the embedded server
of a home, which has tests of its own.
"""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reco.local.process import server_binary

START_SECONDS = 20


def connect(port: int) -> redis.Redis:
    """A client like the product's: bytes, and nothing is tried twice."""
    return redis.Redis(host="127.0.0.1", port=port, retry=Retry(NoBackoff(), 0), socket_timeout=30)


def port_of(client: redis.Redis) -> int:
    """The port a client talks to."""
    return int(client.connection_pool.connection_kwargs["port"])


@contextmanager
def running_valkey(folder: Path, *options: str) -> Iterator[redis.Redis]:
    """A client of a fresh server without persistence, on a free port of the loopback; ended with the block."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [server_binary(), "--bind", "127.0.0.1", "--port", str(port), "--dir", folder, "--save", ""]
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
