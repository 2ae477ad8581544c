"""Every code a problem document can have: the closed list.

Belongs here: code, statuses, when it comes, what to do. Does not belong here: which error has which code (`problems`).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """What is documented of a code."""

    statuses: tuple[int, ...]
    when: str
    next_step: str


_KEY = "Ask whoever runs the service for a key."
_LATER = "Try again after as many seconds as Retry-After says; /health/ tells more."

CODES: Mapping[str, Told] = {
    "request_invalid": Told(
        (400, 422),
        "The body is no JSON, or a parameter is missing or out of bounds.",
        "Correct what `errors` names; /docs shows what is expected.",
    ),
    "key_missing": Told((401,), "The route needs an API key, and none was sent.", _KEY),
    "key_invalid": Told(
        (401,),
        "The key was never made, is cut off or misspelt, or two different keys were sent.",
        "Copy the key whole, and send it once.",
    ),
    "key_expired": Told((401,), "The time of the key is over.", _KEY),
    "key_revoked": Told((401,), "The key was taken back.", _KEY),
    "key_suspended": Told(
        (401,),
        "The service was restored from a backup, and nobody has confirmed yet that the key still holds.",
        "Ask whoever runs the service to confirm it (`reco keys confirm`).",
    ),
    "host_not_allowed": Told(
        (403,),
        "The service is open to its own machine only, and the Host header is not of the loopback, or a proxy sent it.",
        "Ask http://127.0.0.1 or http://localhost, or make API keys with `reco keys create`.",
    ),
    "origin_not_allowed": Told(
        (403,),
        "The service is open to its own machine only, and a web page of another origin sent what is no plain reading.",
        "Name the origin in RECO_API_CORS_ORIGINS, or ask from a program.",
    ),
    "scope_missing": Told((403,), "The key is right, and not for this route.", _KEY),
    "item_not_found": Told(
        (404,), "No such item, or no item of such a category.", "Look at `near`: it names similar items."
    ),
    "order_not_found": Told(
        (404,),
        "No accepted order has this id, or orders of several sources do.",
        "Check the id; where several sources have it, name one with `source`.",
    ),
    "rule_not_found": Told((404,), "No rule has this number.", "`GET /api/v1/hidden` lists them."),
    "snapshot_unknown": Told(
        (404,), "No snapshot has this id, or it was removed.", "Ask for `current`, or see `reco snapshot list`."
    ),
    "cursor_expired": Told(
        (410,), "The cursor is of a snapshot that is no longer served.", "Ask again without a cursor."
    ),
    "cursor_invalid": Told(
        (422,), "The cursor is none that was given out, or of another question.", "Use `next_cursor` as it is."
    ),
    "facts_missing": Told(
        (422,),
        "Categories, prices, stock, trends or the search are asked for, and the snapshot has none.",
        "Leave that parameter out; a catalogue, or times of orders, would bring them.",
    ),
    "route_not_found": Told(
        (404,), "No such route. Routes are spelt exactly, slashes at the end included.", "/docs lists the routes."
    ),
    "method_not_allowed": Told((405,), "The route has another method.", "/docs lists the methods; so does `Allow`."),
    "body_too_large": Told((413,), "The body has more than 1,000,000 bytes.", "Send less; a basket is small."),
    "url_too_long": Told((414,), "Path and query have more than 16,384 bytes.", "Send less."),
    "rate_limited": Told(
        (429,), "The key, or the address without a right key, asked too often.", "Wait as long as Retry-After says."
    ),
    "request_refused": Told(
        (400,), "The request was refused for another reason, such as bytes that are no HTTP.", "Read `detail`."
    ),
    "internal_error": Told((500,), "A defect.", "The log of the service has its text."),
    "overloaded": Told(
        (503,), "The request waited too long for its turn, or too many are under way.", "Try again after Retry-After."
    ),
    "time_over": Told((503,), "The request was not done within ten seconds.", "Send the whole body at once."),
    "redis_unavailable": Told((503,), "Nothing was read yet, and Redis cannot be used.", _LATER),
    "database_unavailable": Told((503,), "The database does not answer; nothing was changed.", _LATER),
    "orders_unavailable": Told(
        (503,),
        "The orders behind the snapshot cannot be read by this process.",
        "Run the service where it sees the lake of the home; `reco run` writes the file anew.",
    ),
    "snapshot_not_found": Told((503,), "Nothing is published yet.", _LATER),
    "snapshot_damaged": Told((503,), "What is published cannot be read, and nothing else is there.", _LATER),
    "admin_closed": Told(
        (503,), "A change was asked for while keys cannot be read or requests cannot be counted.", _LATER
    ),
}
