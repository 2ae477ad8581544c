"""What a request must pass before any route sees it.

Belongs here: the loopback rule for addresses and Host headers, and the bound on bodies. Does not belong here: routes,
and API keys.

There are no API keys, so the service is for this machine alone. Listening on the loopback keeps other machines out; the
Host header keeps out web pages that point a name of theirs at 127.0.0.1 (DNS rebinding) to read answers in a browser.
"""

import ipaddress

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reco.api.problems import problem

BODY_BYTES = 1_000_000


def is_loopback(host: str) -> bool:
    """Whether a host is `localhost` or an address of the loopback."""
    name = host.removeprefix("[").removesuffix("]").removesuffix(".").lower()
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class LoopbackHost:
    """Refuses requests whose Host header is not this machine's loopback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on or answers 403."""
        if scope["type"] == "http" and not _is_for_us(scope):
            refused = problem(
                403,
                "host_not_allowed",
                "The Host header is not localhost or an address of the loopback.",
                hint="Without API keys the service answers this machine only: ask http://127.0.0.1 or http://localhost.",
            )
            await refused(scope, receive, send)
            return
        await self._app(scope, receive, send)


class BoundedBody:
    """Stops reading a body that is larger than any question."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on; whoever reads too much of the body gets a 413 to raise."""
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > BODY_BYTES:
                raise HTTPException(413, f"A body may have at most {BODY_BYTES:,} bytes.")
            return message

        await self._app(scope, counted if scope["type"] == "http" else receive, send)


def _is_for_us(scope: Scope) -> bool:
    hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
    if len(hosts) != 1:
        return False
    host, colon, port = hosts[0].rpartition(":")
    if colon and port.isdecimal():
        return is_loopback(host)
    return is_loopback(hosts[0])
