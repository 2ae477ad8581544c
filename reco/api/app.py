"""The application put together.

Belongs here: which parts it has, and in which order a request passes them. Does not belong here: what any part does.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI

from reco import __version__
from reco.api.documents import install_openapi
from reco.api.edge import BoundedBody, LoopbackHost
from reco.api.follower import Follower
from reco.api.problems import LastResort, install_handlers
from reco.api.routes import add_routes


def create_app(follower: Follower) -> FastAPI:
    """The application. Its lifespan looks for the current snapshot once, then follows the pointer until the end."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await follower.look()
        following = asyncio.create_task(follower.follow())
        yield
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
        await follower.close()

    app = FastAPI(
        title="reco",
        version=__version__,
        description="Recommendations from the current snapshot, each with its evidence.",
        lifespan=lifespan,
        redirect_slashes=False,
        redoc_url=None,
    )
    # The one added last is the outermost.
    app.add_middleware(BoundedBody)
    app.add_middleware(LoopbackHost)
    app.add_middleware(LastResort)
    install_handlers(app)
    add_routes(app, follower)
    install_openapi(app)
    return app
