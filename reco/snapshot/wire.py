"""How commands for many keys travel: pipelines in batches, SCAN instead of KEYS, deletes under a lease.

Belongs here: moving bytes. Does not belong here: what the keys mean.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import redis

from reco.snapshot.codec import Value

BATCH = 500
_SCAN_COUNT = 1000

Command = tuple[bytes | str | int, ...]
T = TypeVar("T")


def batches(values: Iterable[T], size: int = BATCH) -> Iterator[list[T]]:
    """Lists of up to `size` values."""
    iterator = iter(values)
    while batch := list(islice(iterator, size)):
        yield batch


def call(client: redis.Redis, *command: bytes | str | int) -> Any:
    """One command; its answer as the client parses it."""
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def run_all(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """Commands in one round trip, done in order but not as one transaction. The first error reply is raised."""
    if not commands:
        return []
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return list(pipe.execute())


def write_command(key: bytes, value: Value) -> Command:
    """The command that writes a value. Doing it twice is the same as doing it once."""
    if isinstance(value, bytes):
        return ("SET", key, value)
    return ("HSET", key, *(part for pair in value.items() for part in pair))


def read_command(key: bytes, value: Value) -> Command:
    """The command that reads the key of such a value."""
    return ("GET", key) if isinstance(value, bytes) else ("HGETALL", key)


def read_replies(client: redis.Redis, commands: Sequence[Command]) -> list[Any]:
    """Like `run_all`, with an error reply (a key of another type) as an element instead of raised."""
    with client.pipeline(transaction=False) as pipe:
        for command in commands:
            pipe.execute_command(*command)  # type: ignore[no-untyped-call]
        return list(pipe.execute(raise_on_error=False))


def scan(client: redis.Redis, pattern: bytes) -> Iterator[bytes]:
    """Keys that match; one may come twice."""
    yield from client.scan_iter(match=pattern, count=_SCAN_COUNT)
