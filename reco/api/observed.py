"""The outermost part of the service: every request gets an id, is measured, and leaves one log event.

Belongs here: what is told of a request when it is over. Does not belong here: what is noted on its way (`notes`), and
the metrics themselves (`metrics`).

The event holds the template of the route and never the path, the query, the body, a header field or an address: texts
of a request may be secret or personal, and a log is kept long.
"""

import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reco.api import notes as noted
from reco.api.metrics import Metrics
from reco.api.notes import Notes

CUT_OFF = 499  # no status was sent: the caller went away, or the server ended

log = structlog.get_logger("reco.access")


class Observed:
    """Measures and tells every request; answers carry its id."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes requests on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = scope.get("reco.arrived_at") or time.perf_counter()
        notes = noted.begin(next((value for name, value in scope["headers"] if name == b"x-request-id"), None))
        request_id = (b"x-request-id", notes.request_id.encode("ascii"))
        status = CUT_OFF

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), request_id]}
            await send(message)

        self._metrics.in_progress.inc()
        try:
            await self._app(scope, receive, sending)
        finally:
            self._metrics.in_progress.dec()
            self._tell(scope["method"], notes, status, time.perf_counter() - began)

    def _tell(self, method: str, notes: Notes, status: int, seconds: float) -> None:
        self._metrics.request(method, notes.route, status, seconds)
        if notes.rung is not None:
            self._metrics.served.labels(notes.rung).inc()
        if notes.cache is not None:
            self._metrics.cache_requests.labels(notes.cache).inc()
        log.info(
            "request",
            request_id=notes.request_id,
            method=method,
            route=notes.route,
            status=status,
            duration_s=round(seconds, 6),
            key_id=notes.key_id,
            rung=notes.rung,
            cache=notes.cache,
            code=notes.code,
        )
