"""Answers that were given before, as bytes, for as long as they stay true.

Belongs here: keeping them within bounds, and answering 304 to who has them already. Does not belong here: making an
answer (`ladder`).

An answer follows from its question and from what is served. So what is kept holds for one state of the service, and is
dropped whole when another snapshot is served, or when the service begins or ceases to be degraded: nothing has to
expire. Only answers with recommendations are kept, and only good ones; keys and limits are looked at before.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reco.api import notes
from reco.api.metrics import Metrics
from reco.api.notes import Notes

ENTRY_BYTES = 500  # what an entry takes beside its texts, about
LARGEST_BODY = 10_000  # of a question that is looked up; a basket has at most some hundred items
_PATHS = ("/api/v1/popular-items", "/api/v1/trending-items", "/api/v1/similar-items/", "/api/v1/basket-recommendations")

Headers = list[tuple[bytes, bytes]]


def is_kept(path: str) -> bool:
    """Whether answers of this path are kept."""
    return path.startswith(_PATHS)


@dataclass(frozen=True, slots=True)
class Kept:
    """One answer. rung: of the ladder, for the metrics."""

    headers: Headers
    body: bytes
    etag: bytes
    rung: str | None


class AnswerCache:
    """The answers of one process, at most `most_bytes` of them; the one unused for longest goes.

    version: what the answers of now hold for; an answer is only given while it is the same as when it was made.
    max_age_seconds: for how long a client may use an answer without asking; 0: it asks each time, and gets a 304.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        version: Callable[[], Hashable],
        most_bytes: int,
        max_age_seconds: int = 0,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._version_of_now = version
        self._most_bytes = most_bytes
        self._control = _control(max_age_seconds)
        self._version: Hashable = None
        self._held: OrderedDict[tuple[str, ...], Kept] = OrderedDict()
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers from what is kept, or passes on and keeps the answer."""
        if scope["type"] != "http" or scope["method"] not in {"GET", "POST"} or not is_kept(scope["path"]):
            await self._app(scope, receive, send)
            return
        about = notes.current()
        question, receive = await _question(scope, receive)
        if question is None:
            await self._app(scope, receive, send)
            return
        version = self._fresh()
        kept = self._held.get(question)
        about.cache = "miss" if kept is None else "hit"
        if kept is None:
            kept = await self._made(scope, receive, send, about)
            if kept is None:
                return
            if version == self._version_of_now():  # else it may hold for neither
                self._keep(question, kept)
        else:
            self._held.move_to_end(question)
            about.rung = kept.rung
        await _answer(scope, kept, send)

    def _fresh(self) -> Hashable:
        version = self._version_of_now()
        if version != self._version:
            self._held.clear()
            self._bytes = 0
            self._version = version
            self._measure()
        return version

    async def _made(self, scope: Scope, receive: Receive, send: Send, about: Notes) -> Kept | None:
        """The answer of the route, to be given and kept; None where it is none that can be, and was given already."""
        start: Message | None = None
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and message["status"] == 200:
                start = message
            elif start is None:
                await send(message)
            else:
                body += message.get("body", b"")

        await self._app(scope, receive, collect)
        if start is None:
            return None
        etag = b'"' + hashlib.blake2b(body, digest_size=12).hexdigest().encode() + b'"'
        control = self._control if about.rung == "current" else b"no-store"
        headers: Headers = [*start["headers"], (b"etag", etag), (b"cache-control", control)]
        return Kept(headers, body, etag, about.rung)

    def _keep(self, question: tuple[str, ...], kept: Kept) -> None:
        if question in self._held:  # another request asked the same meanwhile
            return
        self._held[question] = kept
        self._bytes += _size(question, kept)
        while self._bytes > self._most_bytes:
            self._bytes -= _size(*self._held.popitem(last=False))
        self._measure()

    def _measure(self) -> None:
        self._metrics.cache_bytes.set(self._bytes)
        self._metrics.cache_entries.set(len(self._held))


def _size(question: tuple[str, ...], kept: Kept) -> int:
    return ENTRY_BYTES + sum(map(len, question)) + len(kept.body)


def _control(max_age_seconds: int) -> bytes:
    """For the caller alone: a cache in between would answer without a key."""
    if not max_age_seconds:
        return b"private, no-cache"
    return b"private, max-age=%d" % max_age_seconds  # no stale-if-error: an item hidden since would be shown on


async def _question(scope: Scope, receive: Receive) -> tuple[tuple[str, ...] | None, Receive]:
    """What is asked, and a way to read it again; None where it is too long to be looked up."""
    texts = (scope["path"], scope["query_string"].decode("latin-1"))
    if scope["method"] == "GET":
        return texts, receive
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    messages: list[Message] = []
    body, more = b"", True
    while more and len(body) <= LARGEST_BODY:
        message = await receive()
        messages.append(message)
        body += message.get("body", b"")
        more = message.get("more_body", False)
    whole = not more and messages[-1]["type"] == "http.request"
    messages.reverse()

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    question = (*texts, *(one.decode("latin-1") for one in kinds), body.decode("latin-1"))
    return question if whole else None, again


async def _answer(scope: Scope, kept: Kept, send: Send) -> None:
    wanted = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
    if scope["method"] == "GET" and wanted and _matches(wanted, kept.etag):
        about = [one for one in kept.headers if one[0] not in {b"content-length", b"content-type"}]
        await send({"type": "http.response.start", "status": 304, "headers": about})
        await send({"type": "http.response.body", "body": b""})
        return
    await send({"type": "http.response.start", "status": 200, "headers": kept.headers})
    await send({"type": "http.response.body", "body": kept.body})


def _matches(wanted: bytes, etag: bytes) -> bool:
    """Whether If-None-Match names this answer; weakly, as RFC 9110 has it for this field."""
    named = [one.strip().removeprefix(b"W/") for one in wanted.split(b",")]
    return etag in named or named == [b"*"]
