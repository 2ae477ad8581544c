"""The application put together.

Belongs here: which parts it has, and in which order a request passes them. Does not belong here: what any part does.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from reco import __version__
from reco.api.access import Access
from reco.api.documents import install_openapi
from reco.api.edge import Bounds, BrowserHeaders, OpenToThisMachine, OtherOrigins
from reco.api.follower import Follower
from reco.api.keyring import KeyRing
from reco.api.limits import RateLimit
from reco.api.problems import LastResort, install_handlers
from reco.api.routes import add_routes
from reco.api.scopes import RouteTable

CANCEL_SECONDS = 0.5


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels tasks until they have ended: a client library may take one cancellation for a time-out of its own."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_SECONDS)


def create_app(
    follower: Follower, ring: KeyRing, limit: RateLimit | None = None, cors_origins: Sequence[str] = ()
) -> FastAPI:
    """The application. Its lifespan looks for the current snapshot once, then follows it and the keys until the end."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await follower.look()
        tasks = [asyncio.create_task(follower.follow()), asyncio.create_task(ring.follow())]
        yield
        await ended(tasks)
        await follower.close()

    app = FastAPI(
        title="reco",
        version=__version__,
        description="Recommendations from the current snapshot, each with its evidence.",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    # The one added last is the outermost.
    app.add_middleware(Access, ring, limit, RouteTable())
    app.add_middleware(Bounds)
    app.add_middleware(OpenToThisMachine, lambda: ring.open)
    if cors_origins:
        app.add_middleware(
            OtherOrigins,
            allow_origins=cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type"],
            expose_headers=["RateLimit", "RateLimit-Policy", "Retry-After"],
        )
    app.add_middleware(LastResort)
    app.add_middleware(BrowserHeaders)
    install_handlers(app)
    add_routes(app, follower)
    install_openapi(app)
    return app
