"""The files of the embedded server: its configuration, password and port.

Belongs here: what stands in `redis.conf`, how a value is quoted, and how a private file is replaced. Does not belong
here: starting or stopping anything.
"""

import os
import re
import secrets
import socket
from collections.abc import Sequence
from pathlib import Path

from reco.local.wire import HOST

# Below the range from which Linux and macOS take the local ports of outgoing connections.
PORTS = range(20_000, 32_768)
PORT_ATTEMPTS = 100

# How a server keeps what it is given. docker/redis/redis.conf holds the same lines, which a test sees to.
KEEPING = (
    "appendonly yes",
    "appendfsync everysec",
    "aof-timestamp-enabled yes",
    "aof-use-rdb-preamble yes",
    # A write cut short by a power cut costs that write. What else is cut off the log tells, and `reco` looks there.
    "aof-load-truncated yes",
    "save 900 1 300 100 60 100000",
    # The append-only file is complete at a stop, so a second copy is not written; and a full disk does not keep the
    # server from ending.
    "shutdown-on-sigterm nosave",
    "maxmemory-policy noeviction",
)

_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b'"\\')
_UNITS = {"kb": 1024, "mb": 1024**2, "gb": 1024**3}


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file at once by one that only its owner can read."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def quoted(value: Path | str) -> bytes:
    r"""A value as one word of redis.conf, whatever bytes it holds.

    Printable ASCII stays as it is except `"` and `\`; every other byte becomes `\xHH`.
    """
    plain = (chr(b) if b in _PLAIN else f"\\x{b:02x}" for b in os.fsencode(value))
    return f'"{"".join(plain)}"'.encode("ascii")


def render(
    port: int,
    password: str,
    data: Path,
    log: Path,
    max_memory: str,
    *,
    users: Sequence[str] = (),
    from_dump: bool = False,
) -> bytes:
    """The whole redis.conf. `from_dump`: the data is to be read from an RDB file, which is not done with AOF on."""
    kept = [line for line in KEEPING if not (from_dump and line.startswith("appendonly "))]
    lines = [
        b"# Written by reco at each start; change RECO_* settings instead of this file.",
        b"bind " + HOST.encode(),
        b"protected-mode yes",
        b"port %d" % port,
        b"daemonize no",
        b"dir " + quoted(data),
        b"logfile " + quoted(log),
        b"requirepass " + quoted(password),
        *(line.encode("ascii") for line in (*users, *kept)),
        b"maxmemory " + max_memory.encode("ascii"),
    ]
    return b"\n".join(lines) + b"\n"


def configured_port(conf: Path) -> int | None:
    """The port a redis.conf names: the one its server listens on if it runs, or listened on last."""
    try:
        found = re.search(rb"^port (\d{1,5})$", conf.read_bytes(), re.MULTILINE)
    except FileNotFoundError:
        return None
    return int(found[1]) if found else None


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def choose_port(preferred: int | None) -> int | None:
    """The preferred port if it is free, else a random free one; None when no free one was found."""
    if preferred is not None and preferred in PORTS and is_free(preferred):
        return preferred
    drawn = (secrets.choice(PORTS) for _ in range(PORT_ATTEMPTS))
    return next((port for port in drawn if is_free(port)), None)


def password_of(path: Path) -> str:
    """The password kept in a file; made at the first call."""
    try:
        found = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        found = ""
    if found:
        return found
    made = secrets.token_urlsafe(32)
    write_private(path, made.encode("ascii") + b"\n")
    return made


def memory_bytes(size: str) -> int:
    """`512mb`, `2gb` in bytes."""
    return int(size[:-2]) * _UNITS[size[-2:].lower()]
