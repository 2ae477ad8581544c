"""Publishing: from the lake to a new current snapshot, or a clear error and the old one still current.

Belongs here: the order of the steps. Does not belong here: what each step does in detail (`build`, `verify`, `gate`,
`pointer`, `garbage`).

Lease -> sweep what killed publishes left -> write the draft -> read every key back -> gate -> manifest and pointer in
one step -> remove old snapshots. Until the pointer moves nothing that is served changes.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import redis

from reco.errors import Busy, LakeError, RedisUnavailable, SnapshotDamaged, SnapshotNotFound
from reco.model.scores import ScoreSettings
from reco.progress import report as tell
from reco.snapshot.build import SnapshotBuild
from reco.snapshot.garbage import prune, published_sids, remove, sweep
from reco.snapshot.gate import DEPTH, NOT_EMPTY, SAMPLE, Check, GatePolicy, SnapshotSummary, judge, require
from reco.snapshot.keys import Keys, is_sid, make_sid
from reco.snapshot.lease import Lease, LeasePolicy, lost
from reco.snapshot.manifest import Manifest, ManifestFacts, sold_items, utc_text, write_manifest
from reco.snapshot.pointer import Outcome, current_sid, publish_pointer
from reco.snapshot.read import PublishedSnapshot
from reco.snapshot.store import SnapshotStore, memory_of
from reco.snapshot.verify import VerifyReport, compare, require_whole, verify
from reco.snapshot.wire import batches, run_all, write_command
from reco.storage.redis import redis_errors

__all__ = ["ManifestFacts", "PublishResult", "VerifyReport", "publish", "verify"]


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What a publish did.

    changed: the pointer was moved; False: the current snapshot already holds the same data and is whole.
    keys, bytes: versioned keys of the snapshot and the memory they take (sum of MEMORY USAGE over each of them: its
    name and Redis's own overhead included; the manifest is not counted).
    verified: keys that were read back and found equal to the lake (now, also when nothing changed).
    previous_id: where the pointer stood; swept_keys: removed keys of killed publishes; retired: ids of removed old
    snapshots; cleanup_error: why old snapshots could not be removed after the switch (the next publish does it);
    search_failures: why items are not in the search index, by their id.
    """

    snapshot_id: str
    digest: str
    changed: bool
    keys: int
    bytes: int
    gate_checks: tuple[Check, ...]
    verified: int
    previous_id: str | None = None
    swept_keys: int = 0
    retired: tuple[str, ...] = ()
    forced: bool = False
    cleanup_error: str | None = None
    search_failures: Mapping[str, str] = field(default_factory=dict)


def publish(  # noqa: PLR0913 - each argument is a decision of the caller
    client: redis.Redis,
    namespace: str,
    item_stats: Path,
    similar_items: Path,
    *,
    facts: ManifestFacts,
    gate: GatePolicy,
    now: dt.datetime,
    keep: int,
    force: bool = False,
    extra_checks: Sequence[Check] = (),
    catalogue: Path | None = None,
    orders: Path | None = None,
    before_switch: Callable[[str], None] | None = None,
    lease_policy: LeasePolicy | None = None,
) -> PublishResult:
    """Makes the tables of the lake the current snapshot. Progress goes to `reco.progress`.

    Args:
        client: answers in bytes (decode_responses=False).
        namespace: prefix of every key.
        item_stats: Parquet file of the table.
        similar_items: Parquet file of the table.
        facts: what the manifest says about the data.
        gate: limits of the gate.
        now: zone-aware; names the snapshot.
        keep: how many of the newest snapshots stay, the new one included; the current one stays in any case.
        force: publish although the gate refuses; the manifest records it.
        extra_checks: verdicts from elsewhere (an evaluation), judged like the gate's own.
        catalogue: Parquet file of the table, whose unsold items are known too; None: there is none.
        orders: Parquet file of the table, whose newest weeks tell which items grow; None: no item has a trend.
        before_switch: is called with the id of a new snapshot once the gate let it pass; what it raises leaves what
            was served served.
        lease_policy: how long to wait for another publish.

    Raises:
        LakeError: the tables cannot be used or do not belong together.
        GateRefused: the gate refused.
        SnapshotDamaged: what was read back differs from what was written.
        Busy: another publish is at work, took over, or the pointer was moved meanwhile.
        RedisUnavailable: Redis does not answer or has no memory left. After a lost connection at the very switch the
            new snapshot may be current; publishing again settles it.
        In every case what is served is one whole snapshot.
    """
    scores = ScoreSettings.from_dict(facts.score_settings)
    build = SnapshotBuild.from_lake(
        item_stats, similar_items, catalogue=catalogue, orders=orders, stored=not scores.plain
    )
    if build.orders not in (None, facts.orders):
        raise LakeError(
            f"{item_stats} was made from {build.orders:,} orders, but {facts.orders:,} orders are to be published.",
            hint="Materialize orders, item_stats, item_cooccurrence and similar_items in one run.",
            path=str(item_stats),
        )
    keys = Keys(namespace)
    with redis_errors(client), Lease(client, keys, lease_policy) as lease:
        seen = current_sid(client, keys)
        swept = sweep(client, keys, lease)
        previous = _previous(client, keys, seen)
        result = _unchanged(client, keys, lease, previous, build)
        if result is None:
            taken = [*published_sids(client, keys), *([seen] if seen and is_sid(seen) else [])]
            sid = make_sid(now, build.digest, taken)
            with _draft(client, keys, lease, sid):
                size = _write(client, keys, lease, sid, build)
                checks = (*_judge(previous, build, facts, gate), *extra_checks)
                # Nobody means to serve nothing at all, whatever is forced.
                require([check for check in checks if not force or check.name == NOT_EMPTY])
                if before_switch is not None:
                    before_switch(sid)
            manifest = _manifest(sid, build, facts, now)
            manifest["counts"]["bytes"] = size
            manifest |= {"previous_id": seen, "generation": lease.generation}
            manifest |= {"forced": force, "gate": [check.as_dict() for check in checks]}
            lease.renew()
            _switch(client, keys, lease, seen, manifest)
            result = _result(manifest, checks, changed=True)
        retired, problem = _prune(client, keys, lease, keep)
    result = replace(result, previous_id=seen, swept_keys=swept, retired=retired, cleanup_error=problem)
    return replace(result, search_failures=build.search_failures)


def _previous(client: redis.Redis, keys: Keys, seen: str | None) -> PublishedSnapshot | None:
    """The current snapshot; None when there is none, or none that can be read."""
    if seen is None:
        return None
    try:
        return SnapshotStore(client, keys.namespace).get(seen)
    except (SnapshotNotFound, SnapshotDamaged):
        return None


def _unchanged(
    client: redis.Redis, keys: Keys, lease: Lease, previous: PublishedSnapshot | None, build: SnapshotBuild
) -> PublishResult | None:
    """The result when the current snapshot holds the same data; None when it does not, or is no longer whole."""
    if previous is None or previous.manifest["digest"] != build.digest:
        return None
    if not _read_back(client, keys, lease, previous.snapshot_id, build).passed:
        return None
    return _result(previous.manifest, (), changed=False)


@contextmanager
def _draft(client: redis.Redis, keys: Keys, lease: Lease, sid: str) -> Iterator[None]:
    """Removes the draft when the block fails, as far as the server lets us; the next publish removes the rest.

    The switch must not stand in such a block: when its answer is lost, the draft may already be what is served.
    """
    try:
        yield
    except BaseException:  # also Ctrl-C: whatever stops a publish, its draft goes; raised again
        with suppress(redis.RedisError, Busy):
            remove(client, keys, lease, sid)
        raise


def _write(client: redis.Redis, keys: Keys, lease: Lease, sid: str, build: SnapshotBuild) -> int:
    """Writes the draft and reads it back; returns the bytes it takes."""
    _require_memory(client, keys, build)
    done = 0
    for batch in batches(build.entries()):
        lease.keep()
        run_all(client, [write_command(keys.key(sid, suffix), value) for suffix, value in batch])
        done += len(batch)
        tell("write_snapshot", done, build.keys)
    require_whole(_read_back(client, keys, lease, sid, build), sid)
    size = 0
    for batch in batches(build.entries()):
        lease.keep()
        sizes = run_all(client, [("MEMORY", "USAGE", keys.key(sid, suffix), "SAMPLES", 0) for suffix, _ in batch])
        size += sum(one or 0 for one in sizes)
    return size


def _read_back(client: redis.Redis, keys: Keys, lease: Lease, sid: str, build: SnapshotBuild) -> VerifyReport:
    def tick(done: int) -> None:
        lease.keep()
        tell("verify_snapshot", done, build.keys)

    return compare(client, keys, sid, build, tick)


def _require_memory(client: redis.Redis, keys: Keys, build: SnapshotBuild) -> None:
    """Refuses to begin what cannot end: a server at its limit would also refuse other writers."""
    estimate = build.estimated_bytes + build.keys * len(keys.prefix("20000101T000000Z-00000000"))
    memory = memory_of(client)
    limit, used = memory.max_bytes, memory.used_bytes
    if limit and used + estimate >= limit:
        raise RedisUnavailable(
            f"Redis has no room for the new snapshot: about {estimate / 1e6:,.1f} MB are needed, and {used / 1e6:,.1f} "
            f"of {limit / 1e6:,.1f} MB are in use. What is published is still served.",
            hint="Raise RECO_REDIS_MAX_MEMORY (or maxmemory of your server), or lower RECO_KEEP_SNAPSHOTS.",
            needed_bytes=estimate,
            used_bytes=used,
            max_bytes=limit,
        )


def _judge(
    previous: PublishedSnapshot | None, build: SnapshotBuild, facts: ManifestFacts, policy: GatePolicy
) -> tuple[Check, ...]:
    if previous is None:
        return judge(None, SnapshotSummary(build.items - build.unsold, facts.orders), policy)
    try:
        lists = previous.top_lists(SAMPLE, DEPTH)
    except SnapshotDamaged:  # its counts still guard; a damaged snapshot must not keep a whole one out
        lists = {}
    counts = previous.manifest["counts"]
    new = SnapshotSummary(build.items - build.unsold, facts.orders, build.top_lists(lists, DEPTH))
    return judge(SnapshotSummary(sold_items(counts), counts["orders"], lists), new, policy)


def _manifest(sid: str, build: SnapshotBuild, facts: ManifestFacts, now: dt.datetime) -> Manifest:
    return {
        "format": build.format,
        "snapshot_id": sid,
        "digest": build.digest,
        "published_at": utc_text(now),
        "name_blocks": build.name_blocks,
        "search_parts": build.search_parts,
        "unsearched_items": len(build.search_failures),
        "priced_items": build.shelf.priced,
        "stocked_items": build.shelf.stocked,
        "counts": {
            "items": build.items,
            "unsold_items": build.unsold,
            "orders": facts.orders,
            "pairs": facts.pairs,
            "similar_rows": build.similar_rows,
            "keys": build.keys,
        },
        **facts.as_dict(),
    }


def _switch(client: redis.Redis, keys: Keys, lease: Lease, seen: str | None, manifest: Manifest) -> None:
    sid = manifest["snapshot_id"]
    tell("switch_snapshot", 0, 1)
    outcome = publish_pointer(client, keys, lease, seen=seen, sid=sid, manifest=write_manifest(manifest))
    if outcome is Outcome.LEASE_LOST:
        raise lost(keys)
    if outcome is Outcome.POINTER_MOVED:
        with suppress(redis.RedisError, Busy):
            remove(client, keys, lease, sid)
        raise Busy(
            f"The pointer was moved away from {seen or 'nothing'} during this publish (a rollback?); it stays there.",
            hint="Publish again if the new data is wanted after all.",
            seen=seen,
        )
    tell("switch_snapshot", 1, 1)


def _prune(client: redis.Redis, keys: Keys, lease: Lease, keep: int) -> tuple[tuple[str, ...], str | None]:
    """Removes old snapshots. The new one already serves, so a failure here is told, not raised."""
    try:
        with redis_errors(client):
            return prune(client, keys, lease, keep), None
    except (RedisUnavailable, Busy) as error:
        return (), error.message


def _result(manifest: Manifest, checks: tuple[Check, ...], *, changed: bool) -> PublishResult:
    counts = manifest["counts"]
    return PublishResult(
        snapshot_id=manifest["snapshot_id"],
        digest=manifest["digest"],
        changed=changed,
        keys=counts["keys"],
        bytes=counts["bytes"],
        gate_checks=checks,
        verified=counts["keys"],
        forced=bool(manifest.get("forced")) and changed,
    )
