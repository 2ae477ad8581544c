"""Asks a server on this machine a few questions over a plain socket.

Belongs here: the part of the Redis protocol that tells whether a server is up, loading, or not ours. Does not belong
here: reading or writing data; that is for the Redis client.
"""

import socket
from dataclasses import dataclass
from typing import BinaryIO, Literal, Self

HOST = "127.0.0.1"
TIMEOUT_SECONDS = 2.0

Reply = bytes | list["Reply"] | None


class ReplyError(Exception):
    """An error reply; its first word is the code."""

    @property
    def code(self) -> str:
        """`LOADING`, `WRONGPASS`, `MISCONF`, ..."""
        return str(self).split(" ", 1)[0]


@dataclass(frozen=True)
class Probe:
    """What a port answered: `absent` nobody, `refused` not our server, `loading` our server reading its files."""

    state: Literal["absent", "refused", "loading", "ready"]
    pid: int | None = None


def _read_reply(stream: BinaryIO) -> Reply:
    line = stream.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the connection ended in the middle of a reply")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise ReplyError(rest.decode("utf-8", "replace"))
    if kind in (b"+", b":"):
        return rest
    if kind not in (b"$", b"*"):
        raise ConnectionError("the answer is not the Redis protocol")
    length = int(rest)
    if length < 0:
        return None
    if kind == b"*":
        return [_read_reply(stream) for _ in range(length)]
    return stream.read(length + 2)[:-2]


class Connection:
    """One authenticated connection to a server on this machine."""

    def __init__(self, port: int, password: str) -> None:
        self._socket = socket.create_connection((HOST, port), timeout=TIMEOUT_SECONDS)
        self._stream: BinaryIO = self._socket.makefile("rb")
        try:
            self.ask("AUTH", password)
        except BaseException:  # also Ctrl-C: the socket must not stay open; raised again
            self.close()
            raise

    def ask(self, *words: str) -> Reply:
        """Sends one command and returns its reply.

        Raises:
            ReplyError: the server answered with an error.
            OSError: no answer, or not in the Redis protocol.
        """
        parts = [word.encode() for word in words]
        self._socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts))
        try:
            return _read_reply(self._stream)
        except ValueError as error:
            raise ConnectionError("the answer is not the Redis protocol") from error

    def close(self) -> None:
        """Ends the connection."""
        self._stream.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def probe(port: int, password: str) -> Probe:
    """Who listens on the port. Only our server knows the password, so `ready` and `loading` mean it is ours."""
    try:
        with Connection(port, password) as connection:
            return _state(connection)
    except ReplyError:
        return Probe("refused")
    except OSError:
        return Probe("absent")


def _state(connection: Connection) -> Probe:
    try:
        connection.ask("PING")
    except ReplyError as error:
        if error.code == "LOADING":
            return Probe("loading")
        # MISCONF, BUSY: alive, and reads may well go on; whoever writes will be told.
    try:
        info = connection.ask("INFO", "server")
    except ReplyError:
        return Probe("ready")
    lines = info.decode("utf-8", "replace").splitlines() if isinstance(info, bytes) else []
    pids = [int(line.partition(":")[2]) for line in lines if line.startswith("process_id:")]
    return Probe("ready", pids[0] if pids else None)
