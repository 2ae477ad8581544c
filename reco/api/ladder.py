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

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reco.api import notes
from reco.api.follower import Follower
from reco.errors import ItemNotFound, RecoError, SnapshotDamaged
from reco.snapshot.answers import basket_question
from reco.snapshot.controls import Controls
from reco.snapshot.hiding import NOTHING, Hides
from reco.snapshot.manifest import utc_text
from reco.snapshot.memory import MemorySnapshot

MEMORY = "memory"
CURRENT, NONE = "current", "none"  # of the metric alone: an answer tells these by `degraded`, and by its status

Answer = dict[str, Any]


class Ladder:
    """Answers every question about items from the best rung there is.

    All methods raise ItemNotFound for an unknown item or category, and the error that explains why nothing can be
    answered at all: RedisUnavailable, SnapshotNotFound or SnapshotDamaged.
    """

    def __init__(self, follower: Follower, hides: Callable[[], Hides] = lambda: NOTHING) -> None:
        self._follower = follower
        self.hides = hides

    def similar(self, item: str, controls: Controls) -> Answer:
        """The body of `similar-items`."""
        question = Question("similar-items", {"item": item}, controls, [item])
        return self._answer(lambda copy: copy.similar(item, controls, self.hides()), question)

    def popular(self, controls: Controls, category: str | None) -> Answer:
        """The body of `popular-items`."""
        question = Question("popular-items", {"category": category}, controls, [])
        return self._answer(lambda copy: copy.popular(controls, category, self.hides()), question)

    def trending(self, controls: Controls) -> Answer:
        """The body of `trending-items`."""
        question = Question("trending-items", {}, controls, [])
        return self._answer(lambda copy: copy.trending(controls, self.hides()), question)

    def basket(self, items: Mapping[str, int | None], controls: Controls) -> Answer:
        """The body of `basket-recommendations`."""
        question = Question(*basket_question(items), controls, list(items))
        return self._answer(lambda copy: copy.basket(items, controls, self.hides()), question)

    def order(self, copy: MemorySnapshot, items: list[str], order: dict[str, Any], controls: Controls) -> Answer:
        """The body of `recommendations/{order_id}`, from the copy whose orders were looked into."""
        question = Question(*basket_question({}, order), controls, items)
        return self._answer(lambda _: copy.basket(items, controls, self.hides(), order=order), question)

    def about(self, ask: Callable[[MemorySnapshot], Answer]) -> Answer:
        """A body that nothing can stand in for.

        Raises:
            SnapshotDamaged: what it needs was lost.
        """
        copy, problem = self.held()
        try:
            body = ask(copy)
        except ItemNotFound as error:
            if copy.whole:
                raise
            raise SnapshotDamaged(
                f"Snapshot {copy.snapshot_id} lacks keys: the item may be one that was lost.",
                hint="Run `reco run`: it publishes the lake anew when the served snapshot is damaged.",
            ) from error
        return self._labelled(body, problem)

    def held(self) -> tuple[MemorySnapshot, RecoError | None]:
        """The copy that answers now, and why it is not known to be the current snapshot, if it is not.

        Raises:
            RecoError: there is none.
        """
        served = self._follower.served
        if served.copy is None:
            assert served.problem is not None
            notes.current().rung = NONE
            raise served.problem
        return served.copy, served.problem

    def _answer(self, ask: Callable[[MemorySnapshot], Answer], question: "Question") -> Answer:
        copy, problem = self.held()
        try:
            body = ask(copy)
        except (SnapshotDamaged, ItemNotFound) as error:
            if isinstance(error, ItemNotFound) and copy.whole:
                raise
            notes.current().rung = NONE  # until there is something
            route, parameters, controls, texts = question
            body = copy.stand_in(route, parameters, texts, controls, self.hides())
            body["metadata"]["degraded_reason"] = SnapshotDamaged.code
        return self._labelled(body, problem)

    def _labelled(self, body: Answer, problem: RecoError | None) -> Answer:
        if problem is not None:
            metadata = body["metadata"]
            # What stands in keeps its own label: it says more about the answer than the age of the copy does.
            metadata["source"] = metadata["source"] if metadata["degraded"] else MEMORY
            since = utc_text(self._follower.served.since)
            metadata |= {"degraded": True, "degraded_reason": problem.code, "degraded_since": since}
        notes.current().rung = body["metadata"]["source"] if body["metadata"]["degraded"] else CURRENT
        return body


class Question(NamedTuple):
    """A route with its parameters, what is asked of the list, and the ids or names that were asked about."""

    route: str
    parameters: dict[str, Any]
    controls: Controls
    texts: list[str]
