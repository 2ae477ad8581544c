"""The routes about items: details, categories, search, and why.

Belongs here: paths and parameters. Does not belong here: how an answer is made (`reco.snapshot`).
"""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from reco.api import paths
from reco.api.bodies import JSONResponse
from reco.api.item_documents import CategoriesDocument, ItemDocument, SearchDocument, WhyDocument
from reco.api.ladder import Ladder
from reco.api.openapi import ANSWER, LIST, NO_ITEM, problems
from reco.api.questions import MAX_BASKET, MAX_TEXT, ListControls, Text
from reco.snapshot.controls import Controls
from reco.snapshot.details import MAX_CATEGORY_LIMIT, categories_answer, item_answer
from reco.snapshot.search import MAX_QUERY, search_answer
from reco.snapshot.why import why

paths.register()

ItemInPath = Annotated[
    str,
    Path(
        min_length=1,
        max_length=MAX_TEXT,
        description="Item id, else exact name; percent-encoded. It may hold blanks, slashes, `%` and any letters.",
        examples=["PID"],
    ),
]


class CategoryQuery(BaseModel):
    """A page of the categories."""

    limit: int = Field(default=100, ge=1, le=MAX_CATEGORY_LIMIT, description="How many categories.", examples=[20])
    cursor: str | None = Field(
        default=None,
        min_length=1,
        max_length=400,
        description="`next_cursor` of the page before.",
        examples=["WyIyMDI2MDMwNFQxMjAwMDBaLTAxMjNhYmNkIiwiMGExYjJjM2Q0ZTVmIiwxXQ"],
    )


class SearchQuery(ListControls):
    """A search."""

    q: str = Field(
        min_length=1,
        max_length=MAX_QUERY,
        description="Words of a name or id, beginnings or parts of them; case, accents and one typo do not matter.",
        examples=["wter lev"],
    )


class WhyQuery(ListControls):
    """A question about one item and a basket."""

    basket: list[Text] = Field(
        default_factory=list,
        max_length=MAX_BASKET,
        description="Ids or exact names, repeatable; without any, the popular items are looked at.",
        examples=[["Cal Kit"]],
    )


def item_routes(ladder: Ladder) -> APIRouter:
    """The routes."""
    router = APIRouter(redirect_slashes=False)

    @router.get(
        "/items/{item:anytext}",
        responses={200: {"model": ItemDocument}, **problems(NO_ITEM, ANSWER)},
    )
    async def item_details(item: ItemInPath) -> JSONResponse:
        """What is known of an item: name, category, price and stock, how often it was bought, and whether it grows."""
        return JSONResponse(ladder.about(lambda copy: item_answer(copy, item, ladder.hides())))

    @router.get("/categories", responses={200: {"model": CategoriesDocument}, **problems(LIST)})
    async def categories(query: Annotated[CategoryQuery, Query()]) -> JSONResponse:
        """Every category by name, with its number of items."""
        controls = Controls(limit=query.limit, cursor=query.cursor)
        return JSONResponse(ladder.about(lambda copy: categories_answer(copy, controls)))

    @router.get("/search", responses={200: {"model": SearchDocument}, **problems(LIST)})
    async def search(query: Annotated[SearchQuery, Query()]) -> JSONResponse:
        """Items by name or id, best first: whole words, their beginnings, parts of them, and simple typos."""
        controls = query.controls()
        return JSONResponse(ladder.about(lambda copy: search_answer(copy, query.q, controls, ladder.hides())))

    @router.get(
        "/why/{item:anytext}",
        responses={200: {"model": WhyDocument}, **problems(NO_ITEM, ANSWER)},
    )
    async def why_item(item: ItemInPath, query: Annotated[WhyQuery, Query()]) -> JSONResponse:
        """Why an item is, or is not, recommended with a basket: the counts, its place, and what took it out."""
        controls = query.controls()
        return JSONResponse(ladder.about(lambda copy: why(copy, item, query.basket, controls, ladder.hides())))

    return router
