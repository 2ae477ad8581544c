"""Where an embedded server answers, and the file that says so.

Belongs here: the endpoint and its record in the home. Does not belong here: asking or changing the server.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from reco.local import conf
from reco.local.acl import User


@dataclass(frozen=True)
class Address:
    """Where a server on this machine listens, and its process."""

    host: str
    port: int
    pid: int


@dataclass(frozen=True)
class Endpoint(Address):
    """Where the Redis server answers. Its text leaves the passwords out; the URLs are for clients, never a log."""

    password: str = field(repr=False)
    users: Mapping[User, str] = field(repr=False)

    @property
    def url(self) -> str:
        """For the administrator, who may do everything."""
        return f"redis://:{self.password}@{self.host}:{self.port}/0"

    def url_of(self, user: User) -> str:
        """For one of the users with fewer rights."""
        return f"redis://{user}:{self.users[user]}@{self.host}:{self.port}/0"


@dataclass(frozen=True)
class S3Endpoint(Address):
    """Where the S3 server answers, and the bucket it keeps. Its text leaves the credentials out."""

    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)

    @property
    def url(self) -> str:
        """The address for S3 clients."""
        return f"http://{self.host}:{self.port}"


def record(file: Path, endpoint: Address) -> None:
    """Writes where the server answers, without any secret, unless the file says so already."""
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
