"""What is measured by looking and not by counting: the snapshot, the keys, this process. And the route of the metrics.

Belongs here: setting such metrics, again and again and before they are read. Does not belong here: what they are
called (`metrics`).
"""

import asyncio
import datetime as dt
import os
import time
from contextlib import suppress
from pathlib import Path

from fastapi import APIRouter
from starlette.responses import Response

from reco.api.breaker import State
from reco.api.follower import Follower
from reco.api.keyring import KeyRing
from reco.api.metrics import Metrics
from reco.container import container
from reco.errors import RedisUnavailable
from reco.snapshot.manifest import sold_items

SAMPLE_SECONDS = 2.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Looks at one service."""

    def __init__(self, metrics: Metrics, follower: Follower, ring: KeyRing) -> None:
        self._metrics = metrics
        self._follower = follower
        self._ring = ring
        self._cpu_seconds = 0.0
        metrics.snapshot_id = self._snapshot_id
        metrics.workers.set(1)
        metrics.started.set(time.time())

    async def follow(self) -> None:
        """Looks again and again, until cancelled."""
        while True:
            self.sample()
            await asyncio.sleep(SAMPLE_SECONDS)

    def sample(self) -> None:
        """One look."""
        self._snapshot()
        self._metrics.keys_read.set(self._ring.read_at.timestamp())
        self._process()

    def route(self) -> APIRouter:
        """`/metrics`, for Prometheus."""
        router = APIRouter(redirect_slashes=False, include_in_schema=False)

        @router.get("/metrics")
        async def metrics() -> Response:
            """The metrics of all processes of the service."""
            self.sample()
            text, media_type = self._metrics.text()
            return Response(text, media_type=media_type)

        return router

    def _snapshot_id(self) -> str | None:
        copy = self._follower.served.copy
        return copy.snapshot_id if copy is not None else None

    def _snapshot(self) -> None:
        served, metrics = self._follower.served, self._metrics
        gone = isinstance(served.problem, RedisUnavailable)
        metrics.breaker.labels("snapshot").set(State.OPEN if gone else State.CLOSED)
        metrics.degraded.set(served.problem is not None or served.copy is None or not served.copy.whole)
        if served.copy is None:
            return
        manifest = served.copy.manifest
        published = dt.datetime.fromisoformat(manifest["published_at"])
        metrics.snapshot_generated.set(published.timestamp())
        metrics.snapshot_age.set((self._follower.now() - published).total_seconds())
        metrics.snapshot_items.set(sold_items(manifest["counts"]))
        metrics.snapshot_alone.set(1 - served.copy.lists / max(1, manifest["counts"]["items"]))
        metrics.snapshot_unsearched.set(manifest.get("unsearched_items", 0))  # of an older version: not told
        metrics.snapshot_whole.set(served.copy.whole)

    def _process(self) -> None:
        cpu = time.process_time()
        self._metrics.cpu.inc(cpu - self._cpu_seconds)
        self._cpu_seconds = cpu
        with suppress(OSError):  # only Linux tells these so
            bytes_held = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
            self._metrics.resident.set(bytes_held)
            self._metrics.largest.set(bytes_held)
            self._metrics.descriptors.set(sum(1 for _ in Path("/proc/self/fd").iterdir()))
        found = container()
        if found is not None:
            self._metrics.container_memory.set(found.memory_bytes)
            self._metrics.container_limit.set(found.memory_limit_bytes or 0)
            self._metrics.container_cores.set(found.cores or 0)
