"""The routes that hide items and categories, and show them again.

Belongs here: paths, bodies and who is named as the author. Does not belong here: keeping the rules (`hidebook`),
following them (`hides`).
"""

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from reco.api.bodies import JSONResponse
from reco.api.hides import HideFollower
from reco.api.item_documents import HiddenDocument, HideDocument, HideRequest, HidesDocument
from reco.api.ladder import Ladder
from reco.api.openapi import BODY, Codes, problems
from reco.errors import RecoError, UsageError
from reco.snapshot.hiding import meant

if TYPE_CHECKING:
    from reco.api.hidebook import HideRow

MAX_RULE = 2**31

_BOOK: Codes = {422: ("request_invalid",), 503: ("database_unavailable",)}


def hidden_routes(follower: HideFollower, ladder: Ladder) -> APIRouter:
    """The routes."""
    router = APIRouter(redirect_slashes=False)
    book = follower.book

    @router.get("/hidden", responses={200: {"model": HidesDocument}, **problems(_BOOK)})
    async def hidden(
        ended: Annotated[bool, Query(description="Also those that expired or were removed.", examples=[True])] = False,  # noqa: FBT002 - a query parameter
    ) -> JSONResponse:
        """What is hidden, newest first, at most 1,000 rules."""
        now = follower.now()
        rows = await asyncio.to_thread(lambda: book.rows(ended=ended, now=now))
        return JSONResponse({"hidden": [told(row, now) for row in rows]})

    @router.post(
        "/hidden",
        status_code=201,
        responses={
            201: {"model": HiddenDocument},
            **problems(BODY, _BOOK),
        },
    )
    async def hide(wanted: HideRequest, request: Request) -> JSONResponse:
        """Takes an item or a category out of every list, within a second in every process."""
        now = follower.now()
        if wanted.expires_at is not None and wanted.expires_at.tzinfo is None:
            raise UsageError("expires_at has no time zone.", hint="Write it like 2030-01-31T00:00:00Z.")
        value, covers = _meant(ladder, wanted)
        row = await asyncio.to_thread(
            lambda: book.add(
                wanted.kind,
                value,
                author=_author(request),
                reason=wanted.reason,
                now=now,
                expires_at=wanted.expires_at,
            )
        )
        await follower.changed()
        return JSONResponse(told(row, now) | {"covers_items": covers}, 201)

    @router.delete(
        "/hidden/{rule_id}",
        responses={200: {"model": HideDocument}, **problems({404: ("rule_not_found",)}, _BOOK)},
    )
    async def show(
        rule_id: Annotated[int, Path(ge=1, le=MAX_RULE, description="`rule_id` of a rule.", examples=[3])],
        request: Request,
    ) -> JSONResponse:
        """Ends a rule. It stays in the book, with who ended it."""
        now = follower.now()
        row = await asyncio.to_thread(lambda: book.remove(rule_id, author=_author(request), now=now))
        await follower.changed()
        return JSONResponse(told(row, now))

    return router


def _meant(ladder: Ladder, wanted: HideRequest) -> tuple[str, bool | None]:
    """See `meant`; where no snapshot can be read the rule is kept as it was given, and nobody knows what it covers."""
    try:
        return meant(ladder.held()[0], wanted.kind, wanted.value)
    except RecoError:
        return wanted.value, None


def told(row: "HideRow", now: dt.datetime) -> dict[str, Any]:
    """A rule as it is told."""
    from reco.api.hidebook import row_document  # noqa: PLC0415 - loaded with the book; the service alone needs no SQL

    return row_document(row, now)


def _author(request: Request) -> str:
    """The key that asks; on an open service the machine itself."""
    key = request.scope.get("reco.key_id")
    return f"key {key}" if key else "this machine"
