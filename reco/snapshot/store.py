"""Which snapshots there are, which one is current, and going back to an earlier one.

Belongs here: the pointer and the manifests, for readers and operators. Does not belong here: publishing, and what a
snapshot answers (`read`).
"""

import datetime as dt
from contextlib import suppress
from dataclasses import dataclass

import redis

from reco.errors import Busy, SnapshotDamaged, SnapshotNotFound
from reco.snapshot.garbage import published_sids
from reco.snapshot.keys import Keys
from reco.snapshot.manifest import Manifest, read_manifest, sold_items
from reco.snapshot.pointer import Outcome, current_sid, move_pointer, not_published
from reco.snapshot.read import PublishedSnapshot
from reco.snapshot.source import RedisSource
from reco.snapshot.wire import call, run_all, scan
from reco.storage.redis import redis_errors

_TRIES = 5


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One line of the list of snapshots. published_at is ISO 8601 in UTC; redis_bytes is what its keys take."""

    snapshot_id: str
    current: bool
    published_at: str
    digest: str
    run_id: str | None
    items: int
    orders: int
    pairs: int
    redis_keys: int
    redis_bytes: int
    forced: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """What Redis uses, and its limit (0: none). A publish that would pass the limit is refused before it writes."""

    used_bytes: int
    max_bytes: int


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """Where the pointer stood, where it stands now, and whether and when it was moved."""

    previous_id: str
    snapshot_id: str
    changed: bool
    at: dt.datetime


class SnapshotStore:
    """The snapshots of a namespace. All methods raise RedisUnavailable when Redis does not answer."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self._client = client
        self._keys = Keys(namespace)

    def current_id(self) -> str | None:
        """The id of the current snapshot; None before the first publish."""
        with redis_errors(self._client):
            return current_sid(self._client, self._keys)

    def current(self) -> PublishedSnapshot:
        """The current snapshot.

        Raises:
            SnapshotNotFound: nothing is published yet.
            SnapshotDamaged: the pointer names a snapshot whose manifest is gone or not readable.
        """
        tried = ""
        for _ in range(_TRIES):  # between two reads it may be replaced and removed
            sid = self.current_id()
            if sid is None:
                raise SnapshotNotFound("No snapshot is published yet.", hint="Publish one with `reco run`.")
            if sid == tried:
                break
            manifest = self._manifest(sid)
            if manifest is not None:
                return PublishedSnapshot(RedisSource(self._client, self._keys, sid), self._keys, manifest)
            tried = sid
        raise SnapshotDamaged(
            f"The pointer names snapshot {tried}, which has no manifest.",
            hint="Go back to another one with `reco snapshot rollback --to ID`, or publish anew with `reco run`.",
            snapshot_id=tried,
        )

    def get(self, sid: str) -> PublishedSnapshot:
        """A published snapshot by its id.

        Raises:
            SnapshotNotFound: there is none of that id.
            SnapshotDamaged: its manifest is not readable.
        """
        manifest = self._manifest(sid)
        if manifest is None:
            raise not_published(sid)
        return PublishedSnapshot(RedisSource(self._client, self._keys, sid), self._keys, manifest)

    def list(self) -> list[SnapshotInfo]:
        """All published snapshots, newest first. Looks at every key of Redis: for operators, not for requests.

        Raises:
            SnapshotDamaged: a manifest is not readable.
        """
        with redis_errors(self._client):
            sids = published_sids(self._client, self._keys)
            current = current_sid(self._client, self._keys)
            raws = run_all(self._client, [("GET", self._keys.manifest(sid)) for sid in sids])
        found = [(sid, read_manifest(raw, sid)) for sid, raw in zip(sids, raws, strict=True) if raw is not None]
        return [_info(manifest, current=sid == current) for sid, manifest in reversed(found)]

    def audit_heads(self) -> dict[str, str]:
        """The head of the audit trail that each snapshot noted when it was published, by its id.

        Those that noted none, or whose manifest is not readable, are left out: they prove nothing.
        """
        found = {}
        with redis_errors(self._client):
            sids = published_sids(self._client, self._keys)
        for sid in sids:
            with suppress(SnapshotDamaged):
                head = (self._manifest(sid) or {}).get("audit_head")
                if isinstance(head, str) and head:
                    found[sid] = head
        return found

    def memory(self) -> Memory:
        """The memory of the server."""
        with redis_errors(self._client):
            return memory_of(self._client)

    def rollback(self, to: str | None, now: dt.datetime) -> RollbackResult:
        """Makes an earlier snapshot current; no key of any snapshot is touched.

        Without `to` it is the newest one that is older than the current.

        Raises:
            SnapshotNotFound: there is none of that id, no older one, or nothing is published.
            Busy: the pointer was moved by someone else meanwhile.
        """
        with redis_errors(self._client):
            seen = current_sid(self._client, self._keys)
            target = to if to is not None else self._before(seen)
            if seen is None:
                raise SnapshotNotFound("No snapshot is published yet.", hint="Publish one with `reco run`.")
            if self._manifest(target) is None:
                raise not_published(target)
            outcome = move_pointer(self._client, self._keys, seen, target)
        if outcome is Outcome.GONE:
            raise not_published(target)
        if outcome is Outcome.POINTER_MOVED:
            raise Busy(
                f"The pointer moved away from {seen} while going back to {target}; nothing was changed.",
                hint="Look at `reco snapshot list`, then decide again.",
                seen=seen,
            )
        return RollbackResult(previous_id=seen, snapshot_id=target, changed=seen != target, at=now)

    def _before(self, current: str | None) -> str:
        older = [sid for sid in published_sids(self._client, self._keys) if current is not None and sid < current]
        if not older:
            raise SnapshotNotFound(
                f"There is no snapshot before {current or 'the first publish'}.",
                hint="`reco snapshot list` shows those there are; name one to go to it.",
            )
        return older[-1]

    def _manifest(self, sid: str) -> Manifest | None:
        with redis_errors(self._client):
            raw = call(self._client, "GET", self._keys.manifest(sid))
        return None if raw is None else read_manifest(raw, sid)


def memory_of(client: redis.Redis) -> Memory:
    """The memory of a server."""
    info = client.info("memory")
    return Memory(int(info["used_memory"]), int(info.get("maxmemory", 0)))


def stands(client: redis.Redis, namespace: str, sid: str) -> bool:
    """Whether a snapshot still has its manifest and as many keys as were published.

    A cheap look (one scan of names) that finds what was lost, not what was altered: `verify` reads every value.
    """
    keys = Keys(namespace)
    try:
        manifest = SnapshotStore(client, namespace).get(sid).manifest
    except (SnapshotNotFound, SnapshotDamaged):
        return False
    with redis_errors(client):
        found = sum(1 for _ in scan(client, keys.prefix(sid) + b"*"))
    return bool(found == manifest["counts"]["keys"])


def _info(manifest: Manifest, *, current: bool) -> SnapshotInfo:
    counts = manifest["counts"]
    return SnapshotInfo(
        snapshot_id=manifest["snapshot_id"],
        current=current,
        published_at=manifest["published_at"],
        digest=manifest["digest"],
        run_id=manifest.get("run_id"),
        items=sold_items(counts),
        orders=counts["orders"],
        pairs=counts["pairs"],
        redis_keys=counts["keys"],
        redis_bytes=counts["bytes"],
        forced=bool(manifest.get("forced")),
    )
