"""Removing what no longer serves: leftovers of killed publishes, and snapshots beyond those to keep.

Belongs here: which keys go, and in which order. Does not belong here: when (`publish`, `reco snapshot gc`).

Order of removal: the manifest first, then the keys. A kill in between leaves keys without a manifest, which is what a
killed publish leaves too, and the next sweep removes them. Draft keys have no TTL for the same reason: their end is the
next publish, and a TTL would have to be taken off again, key by key, before the switch.
"""

from dataclasses import dataclass

import redis

from reco.snapshot.keys import Keys
from reco.snapshot.lease import Lease, LeasePolicy, lost
from reco.snapshot.pointer import Outcome, current_sid, retire
from reco.snapshot.wire import scan
from reco.storage.redis import redis_errors


@dataclass(frozen=True, slots=True)
class GarbageReport:
    """orphan_keys: removed keys of snapshots never published; retired: ids of removed snapshots, oldest first."""

    orphan_keys: int
    retired: tuple[str, ...]


def collect_garbage(
    client: redis.Redis, namespace: str, keep: int, *, lease_policy: LeasePolicy | None = None
) -> GarbageReport:
    """Sweeps orphans and keeps the current and the `keep` newest snapshots, under the lease of publishing.

    Raises:
        Busy: a publish is at work.
        RedisUnavailable: Redis does not answer.
    """
    keys = Keys(namespace)
    with redis_errors(client), Lease(client, keys, lease_policy) as lease:
        return GarbageReport(orphan_keys=sweep(client, keys, lease), retired=prune(client, keys, lease, keep))


def would_collect(client: redis.Redis, namespace: str, keep: int) -> GarbageReport:
    """What `collect_garbage` would remove now; removes nothing, and waits for nobody.

    Raises:
        RedisUnavailable: Redis does not answer.
    """
    keys = Keys(namespace)
    with redis_errors(client):
        published, served = published_sids(client, keys), current_sid(client, keys)
        alive = {*published, served}
        sids = (keys.sid_of(key) for key in scan(client, keys.versioned_pattern))
        orphans = sum(sid is not None and sid not in alive for sid in sids)
    return GarbageReport(orphans, tuple(sid for sid in published[: -max(keep, 1)] if sid != served))


def published_sids(client: redis.Redis, keys: Keys) -> list[str]:
    """The ids of all snapshots with a manifest, oldest first."""
    found = {keys.sid_of_manifest(key) for key in scan(client, keys.manifest_pattern)}
    return sorted(sid for sid in found if sid is not None)


def sweep(client: redis.Redis, keys: Keys, lease: Lease) -> int:
    """Removes the versioned keys of snapshots without a manifest; returns how many.

    What the pointer names is left alone even then: it may be damaged, but it is what is served.
    """
    alive = {*published_sids(client, keys), current_sid(client, keys)}
    return lease.unlink(
        key
        for key in scan(client, keys.versioned_pattern)
        if (sid := keys.sid_of(key)) is not None and sid not in alive
    )


def prune(client: redis.Redis, keys: Keys, lease: Lease, keep: int) -> tuple[str, ...]:
    """Removes all but the current and the `keep` newest snapshots; returns the removed ids."""
    retired = []
    for sid in published_sids(client, keys)[: -max(keep, 1)]:
        outcome = retire(client, keys, lease, sid)
        if outcome is Outcome.LEASE_LOST:
            raise lost(keys)
        if outcome is Outcome.DONE:
            remove(client, keys, lease, sid)
            retired.append(sid)
    return tuple(retired)


def remove(client: redis.Redis, keys: Keys, lease: Lease, sid: str) -> int:
    """Removes all versioned keys of one snapshot; returns how many."""
    return lease.unlink(scan(client, keys.prefix(sid) + b"*"))
