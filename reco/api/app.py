"""The application put together.

Belongs here: which parts it has, and in which order a request passes them. Does not belong here: what any part does.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from reco import __version__
from reco.api.access import Access
from reco.api.back import Back
from reco.api.cache import AnswerCache
from reco.api.edge import Bounds, BrowserHeaders, OpenToThisMachine, OtherOrigins
from reco.api.follower import Follower
from reco.api.keyring import KeyRing
from reco.api.limits import RateLimit
from reco.api.load import Load
from reco.api.metrics import Metrics
from reco.api.notes import REQUEST_ID
from reco.api.observed import Observed
from reco.api.openapi import install_openapi
from reco.api.problems import LastResort, install_handlers
from reco.api.routes import add_routes
from reco.api.scopes import RouteTable
from reco.api.suspicions import Suspicions
from reco.api.watch import Watch
from reco.settings import Settings

CANCEL_SECONDS = 0.5


async def ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels tasks until they have ended: a client library may take one cancellation for a time-out of its own."""
    while running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running, timeout=CANCEL_SECONDS)


def create_app(  # noqa: PLR0917 - the parts it is made of
    follower: Follower, ring: KeyRing, back: Back, limit: RateLimit | None, metrics: Metrics, settings: Settings
) -> FastAPI:
    """The application. Its lifespan looks for the current snapshot once, then follows it, keys and rules."""
    watch = Watch(metrics, follower, ring)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await follower.look()
        tasks = [asyncio.create_task(one.follow()) for one in (follower, ring, back.hides, watch)]
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
    app.add_middleware(
        AnswerCache,
        metrics,
        lambda: (follower.version, back.hides.hides()),
        settings.api_cache_mb * 1_000_000,
        settings.api_max_age_seconds,
    )
    app.add_middleware(Access, ring, limit, RouteTable(), Suspicions(metrics, settings.api_scraping_items))
    app.add_middleware(Bounds)
    app.add_middleware(Load, metrics)
    app.add_middleware(OpenToThisMachine, lambda: ring.open, settings.cors_origins)
    if settings.cors_origins:
        app.add_middleware(
            OtherOrigins,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "X-API-Key", "Content-Type", "If-None-Match", REQUEST_ID],
            expose_headers=["ETag", "RateLimit", "RateLimit-Policy", "Retry-After", REQUEST_ID],
        )
    app.add_middleware(LastResort, metrics)
    app.add_middleware(BrowserHeaders)
    app.add_middleware(Observed, metrics)
    install_handlers(app)
    add_routes(app, follower, back)
    app.include_router(watch.route())
    install_openapi(app)
    app.state.follower = follower
    return app
