"""The routes: what is asked, and by whom it is answered.

Belongs here: paths, parameters and their bounds. Does not belong here: how an answer is made, or what an error says.
"""

import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query

from reco import __version__
from reco.api import paths
from reco.api.back import Back
from reco.api.bodies import JSONResponse
from reco.api.documents import Alive, Answer, Health, Ready
from reco.api.follower import Follower
from reco.api.hidden import hidden_routes
from reco.api.items import ItemInPath, item_routes
from reco.api.ladder import Ladder
from reco.api.openapi import BODY, LIST, NO_ITEM, NOTHING_SERVED, problems
from reco.api.orders import order_routes
from reco.api.pages import pages
from reco.api.provenance import provenance
from reco.api.questions import Basket, ListControls, PopularControls
from reco.snapshot.manifest import sold_items, utc_text

ListQuery = Annotated[ListControls, Query()]
_FOUND: dict[int | str, dict[str, Any]] = {200: {"model": Answer}}

paths.register()


def add_routes(app: FastAPI, follower: Follower, back: Back) -> None:
    """All routes of the service."""
    ladder = Ladder(follower, back.hides.hides)
    app.include_router(_recommendations(ladder), prefix="/api/v1", tags=["recommendations"])
    app.include_router(order_routes(ladder, back.lake), prefix="/api/v1", tags=["recommendations"])
    app.include_router(item_routes(ladder), prefix="/api/v1", tags=["items"])
    app.include_router(hidden_routes(back.hides, ladder), prefix="/api/v1", tags=["hidden"])
    app.include_router(provenance(ladder, back.records), prefix="/api/v1", tags=["snapshots"])
    app.include_router(_health(follower), tags=["health"])
    app.include_router(pages())


def _recommendations(ladder: Ladder) -> APIRouter:
    router = APIRouter(redirect_slashes=False)

    @router.get("/popular-items", responses={**_FOUND, **problems(NO_ITEM, LIST)})
    async def popular_items(query: Annotated[PopularControls, Query()]) -> JSONResponse:
        """The items in most orders, of a category or of the whole shop."""
        return JSONResponse(ladder.popular(query.controls(), query.category))

    @router.get("/trending-items", responses={**_FOUND, **problems(LIST)})
    async def trending_items(query: ListQuery) -> JSONResponse:
        """The items whose orders grow most, from one window of days to the next, as the newest orders tell."""
        return JSONResponse(ladder.trending(query.controls()))

    @router.get("/similar-items/{item:anytext}", responses={**_FOUND, **problems(NO_ITEM, LIST)})
    async def similar_items(item: ItemInPath, query: ListQuery) -> JSONResponse:
        """What is bought together with an item, most similar first."""
        return JSONResponse(ladder.similar(item, query.controls()))

    @router.post(
        "/basket-recommendations",
        responses={**_FOUND, **problems(BODY, LIST)},
    )
    async def basket_recommendations(basket: Basket) -> JSONResponse:
        """What goes with a basket. Nothing of the basket is recommended; an unknown basket gets the popular items."""
        return JSONResponse(ladder.basket(basket.counted(), basket.controls()))

    return router


def _health(follower: Follower) -> APIRouter:
    router = APIRouter(redirect_slashes=False)

    @router.get("/health", include_in_schema=False)
    @router.get("/health/")
    async def health() -> Health:
        """How the service is. Always 200 while the process runs: read `status`."""
        return _health_of(follower, redis_connected=await follower.redis_answers())

    @router.get("/livez")
    async def livez() -> Alive:
        """The process runs. Touches nothing."""
        return Alive(status="alive")

    @router.get("/readyz", responses=problems({503: NOTHING_SERVED}))
    async def readyz() -> Ready:
        """This process can answer, from the current snapshot or from an earlier one in memory."""
        served = follower.served
        if served.copy is None and served.problem is not None:
            raise served.problem
        return Ready(status="ready", degraded=_degraded(follower))

    return router


def _degraded(follower: Follower) -> bool:
    served = follower.served
    return served.problem is not None or served.copy is None or not served.copy.whole


def _health_of(follower: Follower, *, redis_connected: bool) -> Health:
    served, now = follower.served, follower.now()
    manifest = served.copy.manifest if served.copy is not None else None
    degraded = _degraded(follower) or not redis_connected
    published = dt.datetime.fromisoformat(manifest["published_at"]) if manifest else None
    return Health(
        status="unhealthy" if served.copy is None else "degraded" if degraded else "healthy",
        redis_connected=redis_connected,
        timestamp=str(utc_text(now)),
        snapshot_id=manifest["snapshot_id"] if manifest else None,
        snapshot_published_at=manifest["published_at"] if manifest else None,
        snapshot_age_seconds=int((now - published).total_seconds()) if published else None,
        snapshot_complete=served.copy.whole if served.copy is not None else None,
        items=sold_items(manifest["counts"]) if manifest else None,
        orders=manifest["counts"]["orders"] if manifest else None,
        problem=served.problem.code if served.problem is not None else None,
        degraded_since=utc_text(served.since),
        looked_at=str(utc_text(served.looked_at)),
        version=__version__,
    )
