"""The document of the routes, /openapi.json: which problems each can answer with, examples, keys and header fields.

Belongs here: what FastAPI cannot derive from the routes. Does not belong here: the form of bodies (`documents`,
`item_documents`), example bodies (`examples`), what a code means (`codes`).
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from reco.api.cache import is_kept
from reco.api.codes import CODES
from reco.api.examples import ANSWERS
from reco.api.load import never_refused
from reco.api.notes import REQUEST_ID
from reco.api.problems import MEDIA_TYPE, Problem
from reco.api.scopes import RouteTable

Codes = Mapping[int, tuple[str, ...]]

NOTHING_SERVED = ("redis_unavailable", "snapshot_not_found", "snapshot_damaged")
ANSWER: Codes = {422: ("request_invalid", "facts_missing"), 503: NOTHING_SERVED}
LIST: Codes = {
    410: ("cursor_expired",),
    422: ("request_invalid", "cursor_invalid", "facts_missing"),
    503: NOTHING_SERVED,
}
BODY: Codes = {400: ("request_invalid",), 413: ("body_too_large",)}
NO_ITEM: Codes = {404: ("item_not_found",)}

_EVERY: Codes = {
    400: ("request_refused",),
    403: ("host_not_allowed",),
    414: ("url_too_long",),
    500: ("internal_error",),
}
_TOO_MUCH: Codes = {503: ("overloaded", "time_over")}
_KEYED: Codes = {
    401: ("key_missing", "key_invalid", "key_expired", "key_revoked", "key_suspended"),
    403: ("scope_missing",),
    429: ("rate_limited",),
}
_SENT: Codes = {403: ("origin_not_allowed",)}
_CHANGES: Codes = {503: ("admin_closed",)}

_HEADERS: Mapping[str, str] = {
    REQUEST_ID: "Names the request in the log of the service.",
    "Retry-After": "After how many seconds to ask again.",
    "WWW-Authenticate": "What kind of key is asked for.",
    "ETag": "Of this answer; for `If-None-Match`.",
    "Cache-Control": "How long the answer may be used without asking again.",
}
_CONDITION = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "`ETag` of an earlier answer: 304 without a body while nothing changed.",
    "schema": {"type": "string", "examples": ['"5f1d0a7c9b3e2d4f6a8b0c1d"']},
}
_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key; an open service needs none."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}


def problems(*several: Codes) -> dict[int | str, dict[str, Any]]:
    """The problem responses of a route, from the codes it can answer with by status."""
    found: dict[int, tuple[str, ...]] = {}
    for codes in several:
        for status, more in codes.items():
            found[status] = (*found.get(status, ()), *more)
    return {status: _problem(status, codes) for status, codes in sorted(found.items())}


def install_openapi(app: FastAPI) -> None:
    """Completes what FastAPI derives from the routes."""
    table = RouteTable()

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=None
            )
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            parts = schema.pop("$defs", {})
            known = document.setdefault("components", {})
            known.setdefault("schemas", {}).update({"Problem": schema, **parts})
            known |= {"examples": _examples(), "headers": _fields(), "securitySchemes": _SCHEMES}
            for path, ways in document["paths"].items():
                for method, route in ways.items():
                    _complete(path, method, route, table.of_document(path))
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _complete(path: str, method: str, route: dict[str, Any], scope: str | None) -> None:
    """Adds to a route what holds for all routes, all that need a key, or all whose answers are kept."""
    common = [_EVERY] if never_refused(path) else [_EVERY, _TOO_MUCH]
    if scope is not None:
        common.append(_KEYED)
        route["security"] = [{"bearer": []}, {"header": []}, {}]
        route["description"] = f"{route['description']}\n\nScope of the key: `{scope}`."
    for parameter in route.get("parameters", ()):
        parameter["schema"] = _without_null(parameter["schema"])
    if method != "get":
        common.append(_SENT)
    if scope == "admin":
        common.append(_CHANGES)
    responses = route["responses"]
    for status, more in problems(*common).items():
        held = responses.setdefault(str(status), more)
        if held is not more:
            held["description"] += f" {more['description']}"
            held["content"][MEDIA_TYPE]["examples"] |= more["content"][MEDIA_TYPE]["examples"]
    good = next(one for status, one in responses.items() if status < "300")
    good["content"]["application/json"]["example"] = ANSWERS[method, path]
    kept = ("ETag", "Cache-Control") if is_kept(path) else ()
    good["headers"] = _named((REQUEST_ID, *kept))
    if kept and method == "get":
        route.setdefault("parameters", []).append(_CONDITION)
        responses["304"] = {"description": "Nothing changed.", "headers": _named((REQUEST_ID, *kept))}
    route["responses"] = dict(sorted(responses.items()))


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """An address cannot say null: a parameter is left out instead."""
    ways = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return ways[0] | rest if len(ways) == 1 else rest | ({"anyOf": ways} if ways else {})


def _problem(status: int, codes: tuple[str, ...]) -> dict[str, Any]:
    fields = [REQUEST_ID]
    fields += ["Retry-After"] if status in {429, 503} else []
    fields += ["WWW-Authenticate"] if status == 401 else []
    return {
        "description": " ".join(CODES[code].when for code in codes),
        "headers": _named(fields),
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"$ref": f"#/components/examples/{_example(status, code)}"} for code in codes},
            }
        },
    }


def _named(fields: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in fields}


def _fields() -> dict[str, Any]:
    return {
        name: {"description": text, "required": True, "schema": {"type": "string"}} for name, text in _HEADERS.items()
    }


def _example(status: int, code: str) -> str:
    return code if len(CODES[code].statuses) == 1 else f"{code}_{status}"


def _examples() -> dict[str, Any]:
    """A problem document of each code and status."""
    return {
        _example(status, code): {
            "value": {
                "type": f"/problems#{code}",
                "title": HTTPStatus(status).phrase,
                "status": status,
                "code": code,
                "detail": told.when,
                "hint": told.next_step,
                "request_id": "0f4c1d2e3b5a69788796a5b4c3d2e1f0",
            }
        }
        for code, told in CODES.items()
        for status in told.statuses
    }
