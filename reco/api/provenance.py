"""From a served answer back to what it was made of: `snapshots/{snapshot_id}`.

Belongs here: the manifest with the drops behind it. Does not belong here: counting evidence again (`reco trace`).
"""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path

from reco.api.bodies import JSONResponse
from reco.api.item_documents import SnapshotDocument
from reco.api.ladder import Ladder
from reco.api.openapi import NOTHING_SERVED, problems
from reco.errors import DatabaseUnavailable, SnapshotNotFound, SnapshotUnknown
from reco.snapshot.keys import Keys, is_sid
from reco.snapshot.manifest import Manifest, read_manifest
from reco.storage.redis_service import ServiceRedis

if TYPE_CHECKING:
    import sqlalchemy as sa

DROPS_SHOWN = 1000

SnapshotInPath = Annotated[
    str, Path(max_length=100, description="`snapshot_id` of an answer, or `current`.", examples=["current"])
]


class Records:
    """What is kept of snapshots: manifests in Redis, drops in the database."""

    def __init__(self, engine: "sa.Engine", redis: ServiceRedis, namespace: str) -> None:
        self._engine = engine
        self._redis = redis
        self._keys = Keys(namespace)

    async def manifest(self, snapshot_id: str) -> Manifest:
        """The manifest of a snapshot that Redis still keeps.

        Raises:
            SnapshotUnknown: there is none of that id, or it was removed.
            RedisUnavailable: Redis does not answer.
        """
        raw = None
        if is_sid(snapshot_id):
            async with self._redis.errors():
                raw = await self._redis.client.execute_command("GET", self._keys.manifest(snapshot_id))  # type: ignore[no-untyped-call]
        if raw is None:
            raise SnapshotUnknown(
                "There is no snapshot of this id, or it has been removed since.",
                hint="`reco audit report` tells of removed ones; RECO_KEEP_SNAPSHOTS says how many stay.",
            )
        return read_manifest(bytes(raw), snapshot_id)

    async def drops(self, manifest: Manifest) -> list[dict[str, Any]] | None:
        """The drops of a snapshot by name, newest last; None while the database does not answer."""
        try:
            return await asyncio.to_thread(self._drops, manifest["drops"])
        except DatabaseUnavailable:
            return None

    def _drops(self, digests: list[str]) -> list[dict[str, Any]]:
        import sqlalchemy as sa  # noqa: PLC0415 - the service alone needs no SQL

        from reco.storage.sql import drops as table  # noqa: PLC0415 - see above

        columns = [table.c.key.label("drop_key"), *(table.c[name] for name in _DROP_COLUMNS)]
        query = (
            sa.select(*columns).where(table.c.sha256.in_(digests[:DROPS_SHOWN])).order_by(table.c.batch, table.c.key)
        )
        with self._engine.connect() as connection:
            return [_plain(row._asdict()) for row in connection.execute(query)]


_DROP_COLUMNS = (
    "name",
    "sha256",
    "source",
    "status",
    "run_id",
    "lines_read",
    "lines_accepted",
    "lines_excluded",
    "lines_quarantined",
)


def provenance(ladder: Ladder, records: Records) -> APIRouter:
    """The route."""
    router = APIRouter(redirect_slashes=False)

    @router.get(
        "/snapshots/{snapshot_id}",
        responses={
            200: {"model": SnapshotDocument},
            **problems({404: ("snapshot_unknown",), 422: ("request_invalid",), 503: NOTHING_SERVED}),
        },
    )
    async def snapshot(snapshot_id: SnapshotInPath) -> JSONResponse:
        """What a snapshot was made of: its manifest, the run, and the drops with their line counts."""
        manifest = await _manifest(ladder, records, snapshot_id)
        return JSONResponse({"manifest": manifest, "drops": await records.drops(manifest), **_extent(manifest)})

    return router


async def _manifest(ladder: Ladder, records: Records, snapshot_id: str) -> Manifest:
    """Of the snapshot in memory without asking Redis, which may be away."""
    try:
        held = ladder.held()[0].manifest
    except SnapshotNotFound:
        held = None
    if held is not None and snapshot_id in ("current", held["snapshot_id"]):
        return held
    return await records.manifest(snapshot_id)


def _extent(manifest: Manifest) -> dict[str, Any]:
    """How many drops there are, and whether only the first of them are told."""
    total = len(manifest["drops"])
    return {"drops_total": total, "drops_cut": total > DROPS_SHOWN}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {str(name): getattr(value, "value", value) for name, value in row.items()}
