"""Reading a snapshot back: what Redis holds against what the lake says, key by key.

Belongs here: the comparison. Does not belong here: what follows from a difference.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import redis

from reco.errors import SnapshotDamaged
from reco.snapshot.build import SnapshotBuild
from reco.snapshot.codec import STORED
from reco.snapshot.keys import Keys
from reco.snapshot.manifest import read_manifest
from reco.snapshot.pointer import not_published
from reco.snapshot.wire import batches, call, read_command, read_replies, scan
from reco.storage.redis import redis_errors

OFFENDERS = 20


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """checked: keys compared; missing: not in Redis; different: another value; extra: in Redis and not in the lake.

    offenders: the names of the first offending keys.
    """

    checked: int
    missing: int
    different: int
    extra: int
    offenders: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether Redis holds exactly what the lake says."""
        return not (self.missing or self.different or self.extra)


def verify(
    client: redis.Redis,
    namespace: str,
    sid: str,
    item_stats: Path,
    similar_items: Path,
    *,
    catalogue: Path | None = None,
    orders: Path | None = None,
) -> VerifyReport:
    """Compares a published snapshot, its manifest's digest included, with the tables it was made from.

    Raises:
        SnapshotNotFound: there is no published snapshot of that id.
        LakeError: the tables cannot be used.
        RedisUnavailable: Redis does not answer.
    """
    keys = Keys(namespace)
    with redis_errors(client):
        raw = call(client, "GET", keys.manifest(sid))
        if raw is None:
            raise not_published(sid)
        try:
            manifest = read_manifest(raw, sid)
        except SnapshotDamaged:
            manifest = {}
        stored = manifest.get("format") == STORED
        build = SnapshotBuild.from_lake(item_stats, similar_items, catalogue=catalogue, orders=orders, stored=stored)
        report = compare(client, keys, sid, build)
    same = manifest.get("digest") == build.digest
    name = keys.manifest(sid).decode()
    return VerifyReport(
        checked=report.checked + 1,
        missing=report.missing,
        different=report.different + (not same),
        extra=report.extra,
        offenders=report.offenders if same else (name, *report.offenders)[:OFFENDERS],
    )


def compare(
    client: redis.Redis,
    keys: Keys,
    sid: str,
    build: SnapshotBuild,
    tick: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Reads every versioned key of a snapshot; `tick` hears after each batch how many were compared."""
    missing, different, extra, offenders = 0, 0, 0, []
    expected = set()
    for batch in batches((keys.key(sid, suffix), value) for suffix, value in build.entries()):
        found = read_replies(client, [read_command(key, value) for key, value in batch])
        for (key, value), got in zip(batch, found, strict=True):
            expected.add(key)
            if got != value:
                # A hash that is not there reads as an empty one, which we never write.
                absent = got is None or got == {}
                missing, different = missing + absent, different + (not absent)
                offenders.append(key)
        if tick is not None:
            tick(len(expected))
    for key in set(scan(client, keys.prefix(sid) + b"*")) - expected:
        extra += 1
        offenders.append(key)
    names = tuple(key.decode("utf-8", "replace") for key in sorted(offenders)[:OFFENDERS])
    return VerifyReport(len(expected), missing, different, extra, names)


def require_whole(report: VerifyReport, sid: str) -> None:
    """Raises SnapshotDamaged, naming the first offenders, unless everything was as the lake says."""
    if report.passed:
        return
    first = ", ".join(report.offenders[:3])
    raise SnapshotDamaged(
        f"Snapshot {sid} does not read back as the lake says: of {report.checked:,} keys {report.missing:,} are "
        f"missing, {report.different:,} differ, and {report.extra:,} are not ours (first: {first}).",
        hint="See whether something else writes to this Redis or evicts keys (maxmemory-policy), then run again.",
        snapshot_id=sid,
        offenders=list(report.offenders),
    )
