"""Where an embedded Redis server answers, and the file that says so.

Belongs here: the endpoint and its record in the home. Does not belong here: asking or changing the server.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from reco.local import conf, wire


@dataclass(frozen=True)
class Endpoint:
    """Where the server answers. Its text leaves `url` and `password` out: give them to a client, never to a log."""

    url: str = field(repr=False)
    password: str = field(repr=False)
    host: str
    port: int
    pid: int

    @classmethod
    def of(cls, port: int, password: str, pid: int) -> "Endpoint":
        """The endpoint of a server on this machine."""
        return cls(f"redis://:{password}@{wire.HOST}:{port}/0", password, wire.HOST, port, pid)


def record(file: Path, endpoint: Endpoint) -> None:
    """Writes where the server answers, without the password, unless the file says so already."""
    facts = {"host": endpoint.host, "port": endpoint.port, "pid": endpoint.pid}
    content = (json.dumps(facts) + "\n").encode()
    if not file.is_file() or file.read_bytes() != content:
        conf.write_private(file, content)


def recorded_pid(file: Path) -> int | None:
    """The process id in the file; None when there is none that could be a server's."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        pid = int(json.loads(file.read_bytes())["pid"])
        return pid if pid > 1 else None  # to `kill`, 0 and below mean groups of processes
    return None
