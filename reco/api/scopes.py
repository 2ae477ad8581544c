"""Which right each route asks for.

Belongs here: the table of all routes. Does not belong here: checking a right (`access`), and the routes (`routes`).

The table is closed: a path that is not in it is answered 404 before any route sees it, so that a route somebody forgets
to enter is closed rather than open. A test compares the table with the routes.
"""

from collections.abc import Mapping
from typing import Literal

from starlette.routing import compile_path

from reco.api import paths

Scope = Literal["read", "events", "admin", "ops"]
SCOPES: tuple[Scope, ...] = ("read", "events", "admin", "ops")

PUBLIC = None
ROUTES: Mapping[str, Scope | None] = {
    "/": PUBLIC,
    "/livez": PUBLIC,
    "/readyz": PUBLIC,
    "/health": "read",
    "/health/": "read",
    "/docs": PUBLIC,
    "/problems": PUBLIC,
    "/openapi.json": "read",
    "/metrics": "ops",
    "/api/v1/popular-items": "read",
    "/api/v1/trending-items": "read",
    "/api/v1/similar-items/{item:anytext}": "read",
    "/api/v1/basket-recommendations": "read",
    "/api/v1/recommendations/{order_id:anytext}": "read",
    "/api/v1/items/{item:anytext}": "read",
    "/api/v1/categories": "read",
    "/api/v1/search": "read",
    "/api/v1/why/{item:anytext}": "read",
    "/api/v1/snapshots/{snapshot_id}": "ops",
    "/api/v1/hidden": "admin",
    "/api/v1/hidden/{rule_id}": "admin",
}

paths.register()


class RouteTable:
    """Finds the route a path is of."""

    def __init__(self, routes: Mapping[str, Scope | None] = ROUTES) -> None:
        self.routes = routes
        self._patterns = [(compile_path(one)[0], one) for one in routes if "{" in one]

    def of_document(self, path: str) -> Scope | None:
        """The scope of a path as /openapi.json writes it, without the converters of its parameters."""
        return next(scope for template, scope in self.routes.items() if template.replace(":anytext", "") == path)

    def find(self, path: str) -> str | None:
        """The template of the route; None where there is none."""
        if path in self.routes:
            return path
        return next((template for pattern, template in self._patterns if pattern.match(path)), None)
