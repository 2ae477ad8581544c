"""The application asked in this process, without a socket, by clients at any address.

Belongs here: putting it together with keys and a limit, and asking it. Does not belong here: any claim.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import redis
from fastapi import FastAPI

from reco.api.app import create_app
from reco.api.back import Back, open_back
from reco.api.follower import Follower
from reco.api.keybook import KeyBook, open_book
from reco.api.keyring import KeyRing, open_ring
from reco.api.limits import RateLimit
from reco.api.metrics import Metrics
from reco.settings import load_settings
from reco.storage.redis_service import ServiceRedis
from reco_pipeline_tests.api_server import PATIENCE_SECONDS
from reco_pipeline_tests.servers import port_of
from reco_pipeline_tests.snapshot_lake import SHOP


@dataclass(frozen=True)
class Service:
    """An application and what it is made of."""

    app: FastAPI
    ring: KeyRing
    book: KeyBook
    runner: asyncio.Runner
    metrics: Metrics
    back: Back

    def ask(
        self, *questions: tuple[str, str], key: str | None = None, client: str = "127.0.0.1", **fields: Any
    ) -> list[httpx.Response]:
        """The answers to questions of method and path, asked one after the other."""
        headers = dict(fields.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"

        async def asked() -> list[httpx.Response]:
            wire = httpx.ASGITransport(self.app, client=(client, 1))
            async with httpx.AsyncClient(transport=wire, base_url="http://127.0.0.1") as caller:
                return [await caller.request(method, path, headers=headers, **fields) for method, path in questions]

        return self.runner.run(asked())


@contextmanager
def service(
    valkey: redis.Redis, home: Path, *, limit: int = 0, make: Callable[..., FastAPI] = create_app, **settings: Any
) -> Iterator[Service]:
    """The application on this Redis and a home of its own."""
    url = f"redis://127.0.0.1:{port_of(valkey)}/0"
    chosen = load_settings(home=home, namespace=SHOP, redis_url=url, api_rate_limit=limit, **settings)
    with ServiceRedis(chosen) as connected:
        metrics = Metrics()
        follower = Follower(connected, chosen.namespace, metrics)
        ring = open_ring(chosen, metrics)
        # As patient as a test must be on a busy machine: how little the service waits is no claim of these tests.
        patience = PATIENCE_SECONDS
        counted = RateLimit(connected, chosen.namespace, limit, metrics, answer_seconds=patience) if limit else None
        book = open_book(chosen)
        back = open_back(chosen, connected, metrics)
        app = make(follower, ring, back, counted, metrics, chosen)
        with asyncio.Runner() as runner:
            lifespan = app.router.lifespan_context(app)
            runner.run(lifespan.__aenter__())
            try:
                yield Service(app, ring, book, runner, metrics, back)
            finally:
                runner.run(lifespan.__aexit__(None, None, None))
                runner.run(follower.close())
