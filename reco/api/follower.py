"""Follows the pointer: keeps a copy of the current snapshot in this process.

Belongs here: when a copy is made, kept or given up. Does not belong here: what is answered from it (`ladder`).

A request never waits for Redis. A look at the pointer every quarter of a second tells whether another snapshot was
published; if so it is copied beside the one that is served, and takes its place when it is complete.
"""

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from redis.exceptions import RedisError, ResponseError

from reco.api.metrics import Metrics
from reco.errors import RecoError, RedisUnavailable, SnapshotDamaged, SnapshotNotFound
from reco.snapshot.keys import Keys
from reco.snapshot.manifest import Manifest, read_manifest
from reco.snapshot.memory import MemorySnapshot, copy_snapshot
from reco.snapshot.source import removed
from reco.snapshot.wire import Command
from reco.storage.redis_service import ServiceRedis

LOOK_SECONDS = 0.25
DAMAGED_SECONDS = 10.0  # a damaged snapshot is copied anew this often: `reco run` may have repaired it
PING_SECONDS = 0.5
_TRIES = 5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What this process can answer from.

    copy: the snapshot in memory, if any. problem: why it is not known to be the current one; None: it was at the last
    look. since: when that problem began. looked_at: when Redis was last asked.
    """

    copy: MemorySnapshot | None
    problem: RecoError | None
    since: dt.datetime | None
    looked_at: dt.datetime


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _code(problem: RecoError | None) -> str | None:
    return None if problem is None else problem.code


class Follower:
    """Keeps `served` up to date. Only its own task changes it; requests only read it."""

    def __init__(
        self, redis: ServiceRedis, namespace: str, metrics: Metrics, now: Callable[[], dt.datetime] = _utc_now
    ) -> None:
        self._redis = redis
        self._metrics = metrics
        self._keys = Keys(namespace)
        self.now = now
        self.version = 0  # another one: answers may differ from those before
        self._damaged: tuple[str, float, SnapshotDamaged] | None = None
        none = SnapshotNotFound("No snapshot was looked for yet.", hint="Try again in a moment.")
        self.served = Served(None, none, now(), now())

    async def follow(self) -> None:
        """Looks again and again, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """One look at the pointer, and at the snapshot it names if that is another one than before."""
        try:
            self._take(await self._current(), None)
        except RecoError as error:
            self._take(self.served.copy, error)
            if isinstance(error, RedisUnavailable):
                self._metrics.redis_error("look", error.__cause__ or error)
                await self._find_again(error)
        except Exception as error:  # the boundary of a loop that must go on: logged, and told by /health/ as degraded
            self._metrics.caught.labels("follower").inc()
            log.exception("look_failed")
            self._take(self.served.copy, RecoError(f"Looking for the current snapshot failed: {error!r}."))

    async def redis_answers(self) -> bool:
        """Whether Redis answers a PING right now."""
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._redis.client.execute_command("PING")  # type: ignore[no-untyped-call]
        except (RedisError, OSError, TimeoutError) as error:
            self._metrics.redis_error("ping", error)
            return False
        return True

    async def close(self) -> None:
        """Closes the connection to Redis."""
        await self._redis.close()

    def _take(self, copy: MemorySnapshot | None, problem: RecoError | None) -> None:
        before, now = self.served, self.now()
        since = None if problem is None else before.since if before.problem is not None else now
        self.served = Served(copy, problem, since, now)
        if copy is not before.copy or since != before.since or _code(problem) != _code(before.problem):
            self.version += 1
        if copy is not before.copy and copy is not None:
            log.info("snapshot_copied", snapshot_id=copy.snapshot_id, whole=copy.whole)
        if problem is not None and (before.problem is None or before.problem.code != problem.code):
            log.warning("snapshot_not_followed", code=problem.code, reason=problem.message)
        if problem is None and before.problem is not None:
            log.info("snapshot_followed_again", snapshot_id=copy and copy.snapshot_id)

    async def _find_again(self, error: RedisUnavailable) -> None:
        try:
            await self._redis.find_again(error)
        except RedisUnavailable as still:
            self._take(self.served.copy, still)

    async def _current(self) -> MemorySnapshot:
        sid = ""
        for _ in range(_TRIES):  # between two reads it may be replaced and removed
            sid = await self._pointer()
            held = self.served.copy
            if held is not None and held.snapshot_id == sid and held.whole:
                return held
            if self._damaged is not None and self._damaged[0] == sid and self._damaged[1] > self._clock():
                if held is not None and held.snapshot_id == sid:
                    return held
                raise self._damaged[2]
            manifest = await self._manifest(sid)
            if manifest is None:
                continue
            try:
                copy = await self._copy(manifest)
            except SnapshotNotFound:
                continue
            return self._choose(copy, held)
        raise SnapshotDamaged(
            f"The pointer names snapshot {sid}, which has no manifest.",
            hint="Go back to another one with `reco snapshot rollback --to ID`, or publish anew with `reco run`.",
            snapshot_id=sid,
        )

    def _choose(self, copy: MemorySnapshot, held: MemorySnapshot | None) -> MemorySnapshot:
        """The new copy, unless it lacks keys and the one we hold does not."""
        if copy.whole:
            self._damaged = None
            return copy
        error = SnapshotDamaged(
            f"Snapshot {copy.snapshot_id} lacks keys in Redis.",
            hint="Run `reco run`: it publishes the lake anew when the served snapshot is damaged.",
            snapshot_id=copy.snapshot_id,
        )
        self._damaged = (copy.snapshot_id, self._clock() + DAMAGED_SECONDS, error)
        if held is not None and held.whole:
            raise error
        return copy

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    async def _pointer(self) -> str:
        raw = (await self._ask([("GET", self._keys.current)]))[0]
        if raw is None:
            raise SnapshotNotFound("No snapshot is published yet.", hint="Publish one with `reco run`.")
        return bytes(raw).decode("latin-1")

    async def _manifest(self, sid: str) -> Manifest | None:
        raw = (await self._ask([("GET", self._keys.manifest(sid))]))[0]
        return None if raw is None else read_manifest(raw, sid)

    async def _copy(self, manifest: Manifest) -> MemorySnapshot:
        sid = manifest["snapshot_id"]
        plan = copy_snapshot(self._keys, manifest)
        try:
            commands = next(plan)
            while True:
                *replies, there = await self._ask([*commands, ("EXISTS", self._keys.manifest(sid))])
                if not there:
                    raise removed(sid)
                commands = plan.send(replies)
        except StopIteration as end:
            copy: MemorySnapshot = end.value
            return copy

    async def _ask(self, commands: list[Command]) -> list[Any]:
        """Replies in one round trip; a key of another kind than asked for reads as None."""
        async with self._redis.errors(), self._redis.client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            replies = await pipe.execute(raise_on_error=False)
            for at, reply in enumerate(replies):
                if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
                    replies[at] = None
                elif isinstance(reply, Exception):
                    raise reply
        return list(replies)
