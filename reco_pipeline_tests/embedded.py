"""Processes that use an embedded server of a home, for tests: real processes, real servers.

Belongs here: starting and ending such processes, and telling whether a server is left. Does not belong here: any claim.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from reco.local import locks
from reco.local.endpoint import recorded_pid

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 60.0

_PRELUDE = """
import json, os, signal, sys, structlog
from pathlib import Path
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
def say(**facts):
    print(json.dumps(facts), flush=True)
"""

# The folder of a server in its home, and how a process of the home gets it.
_SERVERS = {
    "redis": 'from reco.local.valkey import EmbeddedValkey\nserver = EmbeddedValkey(Path(sys.argv[1]), "64mb")\n',
    "s3": "from reco.local.seaweed import EmbeddedS3\nserver = EmbeddedS3(Path(sys.argv[1]))\n",
}

HOLD = """
with server.lease() as endpoint:
    say(port=endpoint.port, pid=endpoint.pid, url=endpoint.url)
    sys.stdin.read()
"""


class User:
    """A process that runs a piece of Python on the server of a home; it talks by lines of JSON."""

    def __init__(self, home: Path, code: str = HOLD, *, new_session: bool = False, server: str = "redis") -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PRELUDE + _SERVERS[server] + code, str(home)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=new_session,
        )

    def hear(self) -> dict[str, Any]:
        """The next thing the process says."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate(timeout=PATIENCE_SECONDS)[1])
        heard: dict[str, Any] = json.loads(line)
        return heard

    def leave(self) -> int:
        """Ends its input, so that it leaves the lease; returns the exit code."""
        self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode

    def kill(self, number: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal and waits for the end; returns the exit code."""
        self.process.send_signal(number)
        return self.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.kill()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def server_runs(home: Path, server: str = "redis") -> bool:
    """Whether a server holds the data of the home."""
    path = home / server / "data.lock"
    if not path.exists():
        return False
    held = locks.try_exclusive(path)
    if held is not None:
        held.close()
    return held is None


def eventually(what: Callable[[], bool]) -> bool:
    """Whether something becomes true within a generous time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def kill_server(home: Path, server: str = "redis") -> None:
    """Kills the server of the home, as a crash would, and waits until it is gone."""
    pid = recorded_pid(home / server / "endpoint.json")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not server_runs(home, server))


@contextmanager
def clean_home(path: Path) -> Iterator[Path]:
    """A home for one test; a server that the test left is ended, by its pid, and fails the test."""
    yield path
    for server in _SERVERS:
        if server_runs(path, server):
            kill_server(path, server)
            raise AssertionError(f"the {server} server was left running")
