"""The pointer to the current snapshot, and the only four ways to change what is published.

Belongs here: the compare-and-set scripts. Does not belong here: who may call them when.

A manifest is written in the same step as the pointer is first moved to it. So a manifest means: this snapshot was
complete, checked, and current at least once.
"""

from enum import Enum

import redis

from reco.errors import SnapshotNotFound
from reco.snapshot.keys import Keys
from reco.snapshot.lease import Lease
from reco.snapshot.wire import call

_PUBLISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'lease' end
local current = redis.call('GET', KEYS[3]) or ''
if current == ARGV[4] then return 'done' end
if current ~= ARGV[3] then return 'pointer' end
redis.call('SET', KEYS[4], ARGV[5])
redis.call('SET', KEYS[3], ARGV[4])
return 'done'
"""
_MOVE = """
local current = redis.call('GET', KEYS[1]) or ''
if current == ARGV[2] then return 'done' end
if current ~= ARGV[1] then return 'pointer' end
if redis.call('EXISTS', KEYS[2]) == 0 then return 'gone' end
redis.call('SET', KEYS[1], ARGV[2])
return 'done'
"""
_SET = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'lease' end
redis.call('SET', KEYS[3], ARGV[3])
return 'done'
"""
_RETIRE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then return 'lease' end
if redis.call('GET', KEYS[3]) == ARGV[3] then return 'pointer' end
redis.call('DEL', KEYS[4])
return 'done'
"""


_ANY = "latin-1"  # whatever bytes something else left in the pointer, they can be told and compared again


class Outcome(Enum):
    """What a script answered."""

    DONE = b"done"
    LEASE_LOST = b"lease"
    POINTER_MOVED = b"pointer"
    GONE = b"gone"


def current_sid(client: redis.Redis, keys: Keys) -> str | None:
    """The id the pointer holds; None when there is no pointer."""
    raw = call(client, "GET", keys.current)
    return None if raw is None else bytes(raw).decode(_ANY)


def publish_pointer(
    client: redis.Redis, keys: Keys, lease: Lease, *, seen: str | None, sid: str, manifest: bytes
) -> Outcome:
    """Writes the manifest and moves the pointer from `seen` to `sid`, under the lease, in one step."""
    names = [keys.lease, keys.generation, keys.current, keys.manifest(sid)]
    return _run(client, _PUBLISH, names, lease.token, lease.generation, (seen or "").encode(_ANY), sid, manifest)


def move_pointer(client: redis.Redis, keys: Keys, seen: str, sid: str) -> Outcome:
    """Moves the pointer from `seen` to the published snapshot `sid`."""
    return _run(client, _MOVE, [keys.current, keys.manifest(sid)], seen.encode(_ANY), sid)


def set_pointer(client: redis.Redis, keys: Keys, lease: Lease, value: bytes) -> Outcome:
    """Sets the pointer to what a backup has, whatever it is now, under the lease, in one step."""
    names = [keys.lease, keys.generation, keys.current]
    return _run(client, _SET, names, lease.token, lease.generation, value)


def retire(client: redis.Redis, keys: Keys, lease: Lease, sid: str) -> Outcome:
    """Removes the manifest of a snapshot, unless it is the current one: from then on it is not published."""
    names = [keys.lease, keys.generation, keys.current, keys.manifest(sid)]
    return _run(client, _RETIRE, names, lease.token, lease.generation, sid)


def not_published(sid: str) -> SnapshotNotFound:
    """The error for an id without a manifest."""
    return SnapshotNotFound(
        f"There is no published snapshot {sid}.", hint="`reco snapshot list` shows those there are.", snapshot_id=sid
    )


def _run(client: redis.Redis, script: str, keys: list[bytes], *arguments: bytes | str | int) -> Outcome:
    return Outcome(bytes(call(client, "EVAL", script, len(keys), *keys, *arguments)))
