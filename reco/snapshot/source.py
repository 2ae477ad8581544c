"""Where the values of one snapshot are read from: Redis, or a copy in memory.

Belongs here: answering GET, HGET and HMGET on the keys of one snapshot. Does not belong here: what a value means
(`codec`), what is asked (`read`), and how a copy is made (`memory`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import redis

from reco.errors import SnapshotDamaged, SnapshotNotFound
from reco.snapshot.codec import Value
from reco.snapshot.keys import Keys
from reco.snapshot.wire import Command, run_all
from reco.storage.redis import redis_errors


class Source(Protocol):
    """Replies to commands, in their order, as Redis gives them: None for a key or a field that is not there."""

    def fetch(self, commands: Sequence[Command]) -> list[Any]:
        """The replies to GET, HGET and HMGET commands.

        Raises:
            RedisUnavailable: Redis does not answer.
            SnapshotNotFound: the snapshot was removed meanwhile.
            SnapshotDamaged: a key is of another kind than a publish wrote.
        """


class RedisSource:
    """The keys of one snapshot in Redis. Each fetch is one round trip that ends with a look at the manifest."""

    def __init__(self, client: redis.Redis, keys: Keys, sid: str) -> None:
        self._client = client
        self._last: Command = ("EXISTS", keys.manifest(sid))
        self._sid = sid

    def fetch(self, commands: Sequence[Command]) -> list[Any]:
        """See `Source`."""
        try:
            with redis_errors(self._client):
                *replies, there = run_all(self._client, [*commands, self._last])
        except redis.ResponseError as error:
            raise SnapshotDamaged(
                f"A key of snapshot {self._sid} is of another kind than a publish wrote ({error}).",
                hint="Run `reco run`: it publishes the lake anew when the served snapshot is damaged.",
                snapshot_id=self._sid,
            ) from error
        if not there:
            raise removed(self._sid)
        return replies


class MemorySource:
    """Values that were read before, by full key. Nothing can take them away, and nothing is ever waited for."""

    def __init__(self, values: Mapping[bytes, Value]) -> None:
        self._values = values

    def fetch(self, commands: Sequence[Command]) -> list[Any]:
        """See `Source`; raises nothing of it."""
        return [self._reply(command) for command in commands]

    def _reply(self, command: Command) -> Any:
        name, key, *fields = command
        assert isinstance(key, bytes)
        value = self._values.get(key)
        if name == "GET":
            return value if isinstance(value, bytes) else None
        # A hash that is not there reads as an empty one, as in Redis.
        held = value if isinstance(value, dict) else {}
        found = [held.get(_field(one)) for one in fields]
        return found[0] if name == "HGET" else found


def _field(given: bytes | str | int) -> bytes:
    return given if isinstance(given, bytes) else str(given).encode()


def removed(sid: str) -> SnapshotNotFound:
    """The error for a snapshot that was removed while it was read."""
    return SnapshotNotFound(
        f"Snapshot {sid} has been removed: newer ones took its place.",
        hint="Ask again: the current snapshot will answer.",
        snapshot_id=sid,
    )
