"""What a request must pass before anybody asks who sent it, and what every answer carries.

Belongs here: the rule of the open service, the bounds on address lines and bodies, other origins and header fields for
browsers. Does not belong here: API keys and rate limits (`access`), and routes.

Without API keys the service is for this machine alone. Listening on the loopback keeps other machines out; the Host
header keeps out web pages that point a name of theirs at 127.0.0.1 (DNS rebinding) to read answers in a browser; what
a proxy passed on comes from elsewhere, whatever its Host header says now. A proxy of this machine is told by what it
adds, or by the HTTP/1.0 that nginx speaks behind it unless told otherwise. One that speaks HTTP/1.1, sends the loopback
as Host and adds nothing cannot be told from a caller of this machine: see docs/api.md.
"""

import ipaddress
from collections.abc import Callable, Collection
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reco.api.problems import problem

BODY_BYTES = 1_000_000
URL_BYTES = 16_384
_TOO_LARGE = f"A body may have at most {BODY_BYTES:,} bytes."
_PASSED_ON = frozenset(
    {
        *(b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"x-cluster-client-ip", b"x-original-forwarded-for"),
        *(b"true-client-ip", b"cf-connecting-ip", b"cf-ray", b"cdn-loop", b"fastly-client-ip", b"fly-client-ip"),
        *(b"x-envoy-external-address", b"x-amzn-trace-id", b"x-azure-clientip"),
    }
)
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_BROWSERS = frozenset({b"host", b"origin", b"sec-fetch-site"})
# For browsers: an answer is data. It is not to be guessed at, framed, run or remembered.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or an address of the loopback."""
    name = host.removeprefix("[").removesuffix("]").removesuffix(".").lower()
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class OpenToThisMachine:
    """While the service is open, refuses requests that are not from this machine to this machine.

    A web page that is open in a browser of this machine can send requests here, though not read their answers. So what
    is no plain reading must not come from a page of another origin, unless `origins` names it.
    """

    def __init__(self, app: ASGIApp, is_open: Callable[[], bool], origins: Collection[str] = ()) -> None:
        self._app = app
        self._is_open = is_open
        self._origins = frozenset(one.encode() for one in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on or answers 403."""
        if scope["type"] == "http" and self._is_open() and not _is_for_us(scope):
            refused = problem(
                403,
                "host_not_allowed",
                "The Host header is not localhost or an address of the loopback, or the request came through a proxy.",
                hint="Without API keys the service answers this machine only: ask http://127.0.0.1 or http://localhost.",
            )
            await refused(scope, receive, send)
            return
        if scope["type"] == "http" and self._is_open() and not _is_of_our_pages(scope, self._origins):
            refused = problem(
                403,
                "origin_not_allowed",
                "A web page of another origin sent this.",
                hint="Without API keys only pages of the service itself may; RECO_API_CORS_ORIGINS names others.",
            )
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Bounds:
    """Refuses an address line, and stops reading a body, that is larger than any question."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on; whoever reads too much of the body gets a 413 to raise, which is answered here at the latest."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_BYTES:
            await problem(414, "url_too_long", f"An address may have at most {URL_BYTES:,} bytes.")(
                scope, receive, send
            )
            return
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > BODY_BYTES:
                raise HTTPException(413, _TOO_LARGE)
            return message

        try:
            await self._app(scope, counted, send)
        except HTTPException as error:
            if error.status_code != 413:
                raise
            await problem(413, "body_too_large", _TOO_LARGE)(scope, receive, send)


class OtherOrigins(CORSMiddleware):
    """Tells browsers which other origins may read answers; its no is a problem document as every other one."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to the question a browser asks before a request."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == HTTPStatus.OK:
            return answer
        told = {name: value for name, value in answer.headers.items() if name not in {"content-length", "content-type"}}
        said = bytes(answer.body).decode()
        return problem(
            answer.status_code,
            "request_refused",
            f"A web page of another origin may not ask so: {said}.",
            headers=told,
            hint=f"RECO_API_CORS_ORIGINS names the origins; {', '.join(self.allow_methods)} are allowed to them.",
        )


class BrowserHeaders:
    """Gives every answer the header fields that it has not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._fields = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes requests on."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name for name, _ in given}
                message = {**message, "headers": given + [one for one in self._fields if one[0] not in names]}
            await send(message)

        await self._app(scope, receive, sending if scope["type"] == "http" else send)


def _is_of_our_pages(scope: Scope, origins: Collection[bytes]) -> bool:
    """Whether a request only reads, comes from no browser, or from a page of the service or of a named origin."""
    if scope["method"] in _READS:
        return True
    fields = {name: value for name, value in scope["headers"] if name in _OF_BROWSERS}
    origin = fields.get(b"origin")
    if origin is None:  # browsers tell it with whatever is no GET; some tell only this
        return fields.get(b"sec-fetch-site", b"none") in {b"none", b"same-origin"}
    return origin in origins or origin == b"http://" + fields[b"host"]


def _is_for_us(scope: Scope) -> bool:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    client = scope.get("client")
    if not client or not is_loopback(client[0]) or scope["http_version"] == "1.0":
        return False
    if len(hosts) != 1 or any(name in _PASSED_ON or name.startswith(b"x-forwarded-") for name, _ in scope["headers"]):
        return False
    host, colon, port = hosts[0].rpartition(":")
    if colon and port.isdecimal():
        return is_loopback(host)
    return is_loopback(hosts[0])
