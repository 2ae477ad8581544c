"""The route that recommends to an order: `recommendations/{order_id}`.

Belongs here: path and parameters. Does not belong here: finding an order (`reco.snapshot.order_book`).
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from reco.api import paths
from reco.api.bodies import JSONResponse
from reco.api.documents import Answer
from reco.api.ladder import Ladder
from reco.api.openapi import LIST, problems
from reco.api.questions import MAX_TEXT, ListControls, Text
from reco.snapshot.order_book import order_items
from reco.storage.lake import Lake

paths.register()

OrderInPath = Annotated[
    str,
    Path(min_length=1, max_length=MAX_TEXT, description="The id of an order, percent-encoded.", examples=["1001"]),
]


class OrderControls(ListControls):
    """A list for an order."""

    source: Text | None = Field(
        default=None,
        description="The source of the order; needed only where several have the same id.",
        examples=["auto"],
    )


def order_routes(ladder: Ladder, lake: Lake) -> APIRouter:
    """The route."""
    router = APIRouter(redirect_slashes=False)

    @router.get(
        "/recommendations/{order_id:anytext}",
        responses={200: {"model": Answer}, **problems({404: ("order_not_found",), 503: ("orders_unavailable",)}, LIST)},
    )
    async def order_recommendations(order_id: OrderInPath, query: Annotated[OrderControls, Query()]) -> JSONResponse:
        """What goes with an order of the past. Nothing that is in it is recommended, and what it holds is not told.

        Of an order of more than 100 items the first 100 by id decide what goes with it.
        """
        controls = query.controls()
        copy, _ = ladder.held()
        items = await asyncio.to_thread(order_items, lake, copy.snapshot_id, order_id, query.source)
        order = {"order_id": order_id} | ({} if query.source is None else {"source": query.source})
        return JSONResponse(ladder.order(copy, items, order, controls))

    return router
