"""A Redis started the way the container starts it: docker/redis/start.sh, with real servers.

Belongs here: starting, killing and ending it on a folder. Does not belong here: any claim.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reco.local import conf
from reco.local.process import server_binary
from reco_pipeline_tests.shop import ROOT

START_SECONDS = 60
FOLDER = ROOT / "docker" / "redis"
USERS = ("admin", "loader", "reader", "backup")


def server_of(kind: str) -> str:
    """The program of a kind of server; skips aloud where the machine has none."""
    if kind == "valkey":
        return str(server_binary())
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("there is no redis-server 7 on this machine (Debian: apt-get install redis-server)")
    return found


class OwnRedis:
    """One server on one data folder, which can be started again."""

    def __init__(self, folder: Path, server: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "server.log"
        self.server = server
        self.port = conf.choose_port(None) or 0
        self.process: subprocess.Popen[bytes] | None = None
        self.data.mkdir(parents=True)
        (folder / "secrets").mkdir()
        for user in USERS:
            (folder / "secrets" / user).write_text(f"{user} password/&\\\n")

    def command(self, *options: str) -> dict[str, Any]:
        """What to give to `subprocess`."""
        environment = {
            "PATH": os.environ["PATH"],
            "RECO_REDIS_SECRETS": str(self.folder / "secrets"),
            "RECO_REDIS_DATA": str(self.data),
            "RECO_REDIS_USERS": str(self.folder / "users.acl"),
            "RECO_REDIS_SERVER": self.server,
            "RECO_REDIS_MAX_MEMORY": "64mb",
            "RECO_NAMESPACE": "shop",
        }
        words = [str(FOLDER / "start.sh"), "--port", str(self.port), "--bind", "127.0.0.1", *options]
        return {"args": words, "env": environment}

    def start(self, *options: str) -> redis.Redis:
        """Starts the server and waits until it has read its files; returns a client of the administrator."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            begun = self.log.stat().st_size if self.log.exists() else 0
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(**self.command(*options), stdout=log, stderr=log)
            while self.process.poll() is None:
                # Its own words, because on its port somebody else may answer, or be silent.
                if "Ready to accept connections" in self._said(begun):
                    return self.client("admin")
                assert time.monotonic() < deadline, self._said(begun)
                time.sleep(0.02)
            # Somebody took the port between our look and the server's: it takes another.
            assert "Address already in use" in self._said(begun), self._said(begun)
            self.port = conf.choose_port(None) or 0

    def _said(self, begun: int) -> str:
        return self.log.read_bytes()[begun:].decode("utf-8", "replace")

    def client(self, user: str) -> redis.Redis:
        """A client of a user; nothing is tried twice."""
        return redis.Redis(
            host="127.0.0.1",
            port=self.port,
            username=user,
            password=f"{user} password/&\\",
            retry=Retry(NoBackoff(), 0),
            socket_timeout=60,
        )

    def end(self, *, kill: bool = False) -> None:
        """Ends the server, cleanly or not, and waits until it is gone."""
        if self.process is not None:
            self.process.kill() if kill else self.process.terminate()
            self.process.wait(START_SECONDS)
            self.process = None

    def aof(self, kind: str) -> Path:
        """The one append-only file of a kind, `base.rdb` or `incr.aof`."""
        (found,) = (self.data / "appendonlydir").glob(f"*.{kind}")
        return found


@contextmanager
def own_redis(folder: Path, server: str) -> Iterator[OwnRedis]:
    """A server that is not running yet, and not after the block."""
    own = OwnRedis(folder, server)
    try:
        yield own
    finally:
        own.end(kill=True)


def words_of(configuration: str) -> dict[str, Sequence[str]]:
    """The directives of a redis.conf."""
    lines = [line.split() for line in configuration.splitlines() if line.strip() and not line.startswith("#")]
    return {words[0]: words[1:] for words in lines}
