"""Who may ask what: every request passes here before any route sees it.

Belongs here: the way from a request to yes, 401, 403, 404, 429 or 503. Does not belong here: whether a key is right
(`keyring`), counting (`limits`), and which route asks for which right (`scopes`).
"""

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reco.api import notes
from reco.api.keyring import Caller, KeyRing, Refusal
from reco.api.keys import read_key
from reco.api.limits import Count, RateLimit
from reco.api.metrics import REFUSALS
from reco.api.problems import RETRY_SECONDS, no_such_route, problem
from reco.api.scopes import PUBLIC, RouteTable
from reco.api.suspicions import Suspicions

_TOLD = {
    Refusal.MISSING: "This needs an API key.",
    Refusal.INVALID: "The API key is not right.",
    Refusal.EXPIRED: "The API key has expired.",
    Refusal.REVOKED: "The API key was revoked.",
    Refusal.SUSPENDED: "The API key came back with a backup and was not confirmed yet.",
}


class Access:
    """Refuses what a caller may not have; while the ring is open, everybody may have everything."""

    def __init__(
        self, app: ASGIApp, ring: KeyRing, limit: RateLimit | None, table: RouteTable, suspicions: Suspicions
    ) -> None:
        self._app = app
        self._ring = ring
        self._limit = limit
        self._table = table
        self._suspicions = suspicions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, or answers with a problem document."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        template = self._table.find(scope["path"])
        about = notes.current()
        if template is not None:
            about.route = template
        if self._ring.open or (template is not None and self._table.routes[template] is PUBLIC):
            await (self._app if template is not None else no_such_route())(scope, receive, send)
            return
        text = given_key(scope)
        caller = self._ring.whose(text)
        kind, name = ("key", caller.key_id) if isinstance(caller, Caller) else ("address", address_of(scope))
        count = await self._limit.count(kind, name) if self._limit is not None else None
        if isinstance(caller, Caller):
            scope["reco.key_id"] = about.key_id = caller.key_id
        refused = self._refusal(template, caller, count)
        self._note(scope, template, text)
        await (refused or self._app)(scope, receive, _with_headers(send, count) if count is not None else send)

    def _note(self, scope: Scope, template: str | None, text: str | None) -> None:
        """Tells what was decided where somebody should hear of it."""
        about, address = notes.current(), address_of(scope)
        if about.code == "rate_limited":
            self._suspicions.exceeded(address, about.key_id)
        elif about.code in REFUSALS:
            named = read_key(text) if text else None  # the id is public, whether or not the key is right
            self._suspicions.refused(about.code, address, named.key_id if named else None)
        elif about.code is None and about.key_id and template is not None and "{" in template:
            self._suspicions.asked(scope["path"], address, about.key_id)

    def _refusal(self, template: str | None, caller: Caller | Refusal, count: Count | None) -> Response | None:
        if count is not None and not count.allowed:
            return problem(
                429,
                "rate_limited",
                f"More than {count.limit:,} requests a minute.",
                hint=f"Ask again in {count.reset_seconds} seconds.",
            )
        if isinstance(caller, Refusal):
            return _refused(caller)
        if template is None:
            return no_such_route()
        wanted = self._table.routes[template]
        if wanted not in caller.scopes:
            challenge = f'Bearer realm="reco", error="insufficient_scope", scope="{wanted}"'
            return problem(
                403,
                "scope_missing",
                f"This needs a key with the scope {wanted}.",
                headers={"WWW-Authenticate": challenge},
                hint="Whoever runs the service makes keys with `reco keys create`.",
            )
        if wanted == "admin" and (self._ring.stale or (self._limit is not None and count is None)):
            return problem(
                503,
                "admin_closed",
                "Changes are refused while keys cannot be read or requests cannot be counted.",
                headers={"Retry-After": str(RETRY_SECONDS)},
                hint="Try again; /health/ tells what is missing.",
            )
        return None


def given_key(scope: Scope) -> str | None:
    """The key of a request, from `Authorization: Bearer` or `X-API-Key`; two different ones are no key."""
    found = set()
    for name, value in scope["headers"]:
        text = value.decode("latin-1").strip()
        if name == b"x-api-key":
            found.add(text)
        elif name == b"authorization":
            scheme, _, rest = text.partition(" ")
            found.add(rest.strip() if scheme.lower() == "bearer" else "")
    return None if not found else found.pop() if len(found) == 1 else ""


def address_of(scope: Scope) -> str:
    """The address a request came from."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _refused(why: Refusal) -> Response:
    error = "" if why is Refusal.MISSING else ', error="invalid_token"'
    return problem(
        401,
        why.value,
        _TOLD[why],
        headers={"WWW-Authenticate": f'Bearer realm="reco"{error}'},
        hint="Send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`.",
    )


def _with_headers(send: Send, count: Count) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            told = [(name.lower().encode(), value.encode()) for name, value in count.headers.items()]
            message = {**message, "headers": [*message.get("headers", ()), *told]}
        await send(message)

    return sending
