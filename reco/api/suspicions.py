"""What whoever runs the service should hear of its callers: refused keys, exceeded limits, walks through the catalogue.

Belongs here: counting and telling these. Does not belong here: refusing anything (`access`, `limits`): a suspicion is
told and nobody is turned away for it.

Scraping: a shop asks for some items often and for most of them rarely; who walks through the catalogue asks for each
item once. So a caller is suspected where 9 in 10 of its last requests for an item, made within an hour, were for
different ones. Each process looks at what it was asked itself. Texts of requests are kept as hashes for that hour only.

An event holds the id of a key and the address, and never the key. The same about the same caller is told once a minute
at most, with how often it was since; the metrics count each time.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from reco.api import notes
from reco.api.metrics import Metrics

WINDOW_SECONDS = 3600.0
TELL_SECONDS = 60.0
MOST_CALLERS = 256  # of which something is remembered: the ones seen last
DIFFERENT = 0.9

log = structlog.get_logger("reco.security")

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class _Walk:
    """The requests of one caller since `began`."""

    began: float
    requests: int = 0
    asked: set[int] = field(default_factory=set)


@dataclass(slots=True)
class _Told:
    """When something was told last, and how often it was since."""

    at: float
    since: int = 0


class Suspicions:
    """What was seen of callers.

    items: so many requests of a caller for an item are looked at together; 0: scraping is not looked for.
    """

    def __init__(self, metrics: Metrics, items: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._metrics = metrics
        self._items = items
        self._clock = clock
        self._walks: OrderedDict[str, _Walk] = OrderedDict()
        self._told: OrderedDict[tuple[str, ...], _Told] = OrderedDict()

    def refused(self, reason: str, address: str, key_id: str | None) -> None:
        """A key was refused, or none was sent."""
        self._metrics.auth_failures.labels(reason).inc()
        self._tell("key_refused", reason=reason, address=address, key_id=key_id)

    def exceeded(self, address: str, key_id: str | None) -> None:
        """A caller is over its limit."""
        self._metrics.rejections.labels("default").inc()
        self._tell("limit_exceeded", address=address, key_id=key_id)

    def asked(self, path: str, address: str, key_id: str) -> None:
        """A caller asked for one item, and may."""
        if not self._items:
            return
        now = self._clock()
        walk = _recent(self._walks, key_id, lambda: _Walk(now))
        if now - walk.began > WINDOW_SECONDS:
            walk = self._walks[key_id] = _Walk(now)
        walk.requests += 1
        walk.asked.add(hash(path))
        if walk.requests >= self._items:
            if len(walk.asked) >= DIFFERENT * self._items:
                self._metrics.scraping.inc()
                self._tell("scraping_suspected", address=address, key_id=key_id)
            self._walks[key_id] = _Walk(now)

    def _tell(self, event: str, **fields: str | None) -> None:
        now = self._clock()
        told = _recent(self._told, (event, *map(str, fields.values())), lambda: _Told(now - TELL_SECONDS))
        told.since += 1
        if now - told.at >= TELL_SECONDS:
            log.warning(event, request_id=notes.current().request_id, times=told.since, **fields)
            told.at, told.since = now, 0


def _recent(held: OrderedDict[K, V], key: K, make: Callable[[], V]) -> V:
    """The value of a key, made where there is none; the one unused for longest goes."""
    if key not in held:
        held[key] = make()
        if len(held) > MOST_CALLERS:
            held.popitem(last=False)
    held.move_to_end(key)
    return held[key]
