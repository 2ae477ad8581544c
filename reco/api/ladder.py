"""The ladder of what is answered when something is broken, and how each rung is labelled.

Belongs here: which rung answers a question. Does not belong here: HTTP (`routes`, `problems`), and making an answer.

| rung | when | metadata |
|---|---|---|
| current snapshot | the copy is the current snapshot | `degraded: false` |
| last snapshot in memory | Redis cannot be used, or its current snapshot is not whole | `source: memory`, degraded |
| popular of the category | the copy lacks what the answer needs | `source: popular_category`, degraded |
| popular | the same, and no category is known | `source: popular`, degraded |
| 503 | there is no copy, or nothing is left in it | a problem document with Retry-After |
"""

from collections.abc import Callable, Sequence
from typing import Any

from reco.api import notes
from reco.api.follower import Follower
from reco.errors import ItemNotFound, SnapshotDamaged
from reco.snapshot.manifest import utc_text
from reco.snapshot.memory import MemorySnapshot

MEMORY = "memory"
CURRENT, NONE = "current", "none"  # of the metric alone: an answer tells these by `degraded`, and by its status

Answer = dict[str, Any]


class Ladder:
    """Answers the three questions from the best rung there is.

    All methods raise ItemNotFound for an unknown item or category, and the error that explains why nothing can be
    answered at all: RedisUnavailable, SnapshotNotFound or SnapshotDamaged.
    """

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def similar(self, item: str, limit: int) -> Answer:
        """The body of `similar-items`."""
        return self._answer(lambda copy: copy.similar(item, limit), "similar-items", {"item": item}, limit, [item])

    def popular(self, limit: int, category: str | None) -> Answer:
        """The body of `popular-items`."""
        return self._answer(
            lambda copy: copy.popular(limit, category), "popular-items", {"category": category}, limit, []
        )

    def basket(self, items: Sequence[str], limit: int) -> Answer:
        """The body of `basket-recommendations`."""
        parameters = {"items": sorted(set(items))}
        return self._answer(
            lambda copy: copy.basket(items, limit), "basket-recommendations", parameters, limit, list(items)
        )

    def _answer(
        self,
        ask: Callable[[MemorySnapshot], Answer],
        route: str,
        parameters: dict[str, Any],
        limit: int,
        texts: Sequence[str],
    ) -> Answer:
        served = self._follower.served
        copy, problem = served.copy, served.problem
        if copy is None:
            assert problem is not None
            notes.current().rung = NONE
            raise problem
        try:
            body = ask(copy)
        except (SnapshotDamaged, ItemNotFound) as error:
            if isinstance(error, ItemNotFound) and copy.whole:
                raise
            notes.current().rung = NONE  # until there is something
            body = copy.stand_in(route, {**parameters, "limit": limit}, texts)
            body["metadata"]["degraded_reason"] = SnapshotDamaged.code
        if problem is not None:
            metadata = body["metadata"]
            # What stands in keeps its own label: it says more about the answer than the age of the copy does.
            metadata["source"] = metadata["source"] if metadata["degraded"] else MEMORY
            metadata |= {"degraded": True, "degraded_reason": problem.code, "degraded_since": utc_text(served.since)}
        notes.current().rung = body["metadata"]["source"] if body["metadata"]["degraded"] else CURRENT
        return body
