"""Everything that is not a success: one form (RFC 9457), one stable `code` for each kind.

Belongs here: which error becomes which status, and the document that tells it. Does not belong here: raising errors.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reco.api import notes
from reco.api.bodies import JSONResponse
from reco.api.metrics import Metrics
from reco.errors import (
    CursorExpired,
    CursorInvalid,
    DatabaseUnavailable,
    DependencyUnavailable,
    FactsMissing,
    HideNotFound,
    ItemNotFound,
    OrderNotFound,
    OrdersUnavailable,
    RecoError,
    SnapshotDamaged,
    SnapshotNotFound,
    SnapshotUnknown,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2

OF_STATUS = {
    400: "request_invalid",
    404: "route_not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    422: "request_invalid",
}

OF_ERROR: Mapping[type[RecoError], int] = {
    ItemNotFound: 404,
    OrderNotFound: 404,
    CursorExpired: 410,
    HideNotFound: 404,
    SnapshotUnknown: 404,
    CursorInvalid: 422,
    FactsMissing: 422,
}
"""The errors of a question that have a code of their own; another UsageError is a request that is not valid."""

log = structlog.get_logger(__name__)


class FieldProblem(BaseModel):
    """What is wrong with one part of a request."""

    field: str = Field(description="Where it stands, such as `query.limit` or `body.items.0`.")
    message: str


class Problem(BaseModel):
    """A problem document as of RFC 9457, with a stable `code`."""

    type: str = Field(description="Where the code is documented: `/problems#CODE` of this service.")
    title: str = Field(description="The words of the status.")
    status: int
    code: str = Field(description="Stable: made for programs.")
    detail: str = Field(description="What happened, in a sentence.")
    hint: str | None = Field(default=None, description="The next step.")
    request_id: str | None = Field(default=None, description="Names this request in the log of the service.")
    near: list[str] | None = Field(default=None, description="Of an unknown item: names that look like it.")
    errors: list[FieldProblem] | None = Field(default=None, description="Of an invalid request: each part.")


def problem(
    status: int, code: str, detail: str, *, headers: dict[str, str] | None = None, **extra: Any
) -> JSONResponse:
    """A problem document as a response; parts that are empty are left out."""
    body = {
        "type": f"/problems#{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    about = notes.current()
    about.code = code
    body |= {name: value for name, value in {**extra, "request_id": about.request_id}.items() if value}
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def no_such_route() -> JSONResponse:
    """The answer to a path that is of no route."""
    return problem(404, OF_STATUS[404], "There is no such route.", hint="/docs lists the routes.")


def install_handlers(app: FastAPI) -> None:
    """Errors of ours, of a wrong request and of the routing become problem documents."""
    app.add_exception_handler(RecoError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_request)
    app.add_exception_handler(HTTPException, _of_http)


class LastResort:
    """The outermost boundary: an error that nobody named becomes a 500 without its text, and a log event with it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes requests on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def remember(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, remember)
        except Exception:  # the outermost boundary: logged with its trace, and answered as a problem document
            self._metrics.caught.labels("request").inc()
            log.exception("request_failed", method=scope["method"], request_id=notes.current().request_id)
            if started:
                raise  # half an answer is out: the server cuts the connection
            await _defect()(scope, receive, send)


def _defect() -> JSONResponse:
    return problem(500, "internal_error", "The service failed to answer. Its log says why.")


async def _of_ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RecoError)
    near = error.details.get("near")
    if isinstance(error, (DependencyUnavailable, SnapshotNotFound, SnapshotDamaged)):
        headers = {"Retry-After": str(RETRY_SECONDS)}
        # Messages of Redis errors name its address: that is for the operator, who finds it in the log.
        told = isinstance(error, (SnapshotNotFound, SnapshotDamaged, OrdersUnavailable))
        what = "The database" if isinstance(error, DatabaseUnavailable) else "Redis"
        detail, hint = (
            (error.message, error.hint) if told else (f"{what} cannot be used.", "Try again, or see /health/.")
        )
        return problem(503, error.code, detail, headers=headers, hint=hint)
    if (status := OF_ERROR.get(type(error))) is not None:
        return problem(status, error.code, error.message, hint=error.hint, near=near)
    if isinstance(error, UsageError):
        return problem(422, OF_STATUS[422], error.message, hint=error.hint)
    log.error("request_failed", code=error.code, reason=error.message, request_id=notes.current().request_id)
    return _defect()


async def _of_request(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Place and reason only: the input may hold what cannot be written, and the caller knows it.
    parts = [{"field": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
    detail = "; ".join(f"{part['field']}: {part['message']}" for part in parts) + "."
    return problem(422, OF_STATUS[422], detail, hint="/docs shows what is expected.", errors=parts)


async def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return no_such_route()
    code = OF_STATUS.get(error.status_code, "request_refused")
    detail = error.detail
    if error.status_code == 405:
        detail = f"{request.method} is not a method of this route."
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # The router names the methods of the first of several routes of a path.
        ways = request.app.openapi()["paths"].get(notes.current().route.replace(":anytext", ""))
        headers |= {"Allow": ", ".join(sorted(map(str.upper, ways)))} if ways else {}
    return problem(error.status_code, code, detail, headers=headers, hint="/docs lists the routes.")
