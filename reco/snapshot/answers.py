"""The body of an answer: the same for the API, the command line and tests.

Belongs here: fields, sentences and ids of an answer, as pure functions. Does not belong here: reading Redis.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reco.snapshot.codec import Evidence, Neighbour, RankEntry, Trends
from reco.snapshot.controls import Controls
from reco.snapshot.manifest import Manifest, utc_text

SIMILAR = "similar"
BASKET = "basket"
SIMILAR_NAME = "similar_name"
POPULAR = "popular"
POPULAR_CATEGORY = "popular_category"
TRENDING = "trending"
ORDER_ROUTE = "recommendations"


@dataclass(frozen=True, slots=True)
class Item:
    """An item as the snapshot knows it, with the figures of `item_stats`.

    item_name is the id where there is no name; neighbours is the length of its list of similar items; like is the rank
    of the item whose name is most like its own, where it has no neighbours.
    """

    item_id: str
    item_name: str
    category: str | None
    rank: int
    orders: int
    units: int
    revenue: str | None
    customers: int | None
    first_sold_at: str | None
    last_sold_at: str | None
    neighbours: int
    like: int | None = None


class Found(NamedTuple):
    """An item with its whole list of neighbours, most similar first."""

    item: Item
    neighbours: list[Neighbour]


class Growth(NamedTuple):
    """How an item's orders changed: recent orders, those of the window before, and the smoothed ratio to the shop's."""

    recent_orders: int
    before_orders: int
    growth: float
    days: int


class Pick(NamedTuple):
    """A recommended item, and for which item of the question it was picked (None: because it is popular).

    score: 0..1; None: the one of the evidence. source: what it comes from, where that is not the answer's own kind.
    parts: for a basket that is to be explained, id, score and weight of each item that speaks for it.
    """

    entry: RankEntry
    rank: int
    proof: Evidence | None
    because: Item | None
    score: float | None = None
    source: str | None = None
    growth: Growth | None = None
    parts: tuple[tuple[str, float, float], ...] = ()

    @property
    def worth(self) -> float:
        """The score, 0 to 1."""
        score = self.score if self.score is not None or self.proof is None else self.proof.score
        return min(score or 0.0, 1.0)  # rounding of doubles may leave a hair above 1


class Page(NamedTuple):
    """What of a list is shown, and what became of the rest.

    looked_at: candidates up to the end of the page; removed: how many of them each filter took out.
    """

    controls: Controls
    picks: Sequence[Pick]
    next_cursor: str | None = None
    looked_at: int = 0
    removed: Mapping[str, int] = {}


def similar_answer(manifest: Manifest, item: Item, page: Page, *, source: str = SIMILAR) -> dict[str, Any]:
    """The body of `similar-items`; of another source, others stand in."""
    extra: dict[str, Any] = {"item_id": item.item_id, "item_name": item.item_name}
    if not item.neighbours:
        extra["note"] = f"{item.item_name} {_alone(manifest, item)}: these are stand-ins."
    body = [_own_or_stand_in(manifest, pick, SIMILAR, item) for pick in page.picks]
    return _answer(manifest, body, ("similar-items", {"item": item.item_id}), page, source=source, extra=extra)


def popular_answer(manifest: Manifest, page: Page, *, category: str | None = None) -> dict[str, Any]:
    """The body of `popular-items`."""
    source = POPULAR if category is None else POPULAR_CATEGORY
    body = _popular(manifest, page.picks, source)
    question = {"category": category}
    return _answer(manifest, body, ("popular-items", question), page, source=source, extra=question)


def trending_answer(manifest: Manifest, page: Page, *, trends: Trends) -> dict[str, Any]:
    """The body of `trending-items`."""
    body = [_recommendation(pick, TRENDING, _grew(pick)) for pick in page.picks]
    extra = {"window_days": trends.days, "window_end": utc_text(dt.datetime.fromisoformat(trends.newest_at))}
    return _answer(manifest, body, ("trending-items", {}), page, source=TRENDING, extra=extra)


def basket_answer(
    manifest: Manifest,
    page: Page,
    *,
    question: tuple[str, dict[str, Any]],
    known: Sequence[str],
    unknown: Sequence[str],
    source: str = BASKET,
) -> dict[str, Any]:
    """The body of `basket-recommendations` and of `recommendations`; of another source, others stand in.

    What an order holds is not told: who may ask for recommendations may not therefore read orders.
    """
    extra: dict[str, Any] = {"known_items": list(known), "unknown_items": list(unknown)}
    if question[0] == ORDER_ROUTE:
        extra = {"order_items": len(known) + len(unknown)}
    if source != BASKET:
        what = "has neighbours outside it" if known else "is known"
        stand_ins = "the popular items" if source == POPULAR else "stand-ins"
        extra["note"] = f"No item of the basket {what}: these are {stand_ins}."
    body = [_own_or_stand_in(manifest, pick, BASKET, pick.because) for pick in page.picks]
    return _answer(manifest, body, question, page, source=source, extra=extra)


def basket_question(
    asked: Mapping[str, int | None], order: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """Route and parameters of a question about a basket, or about an order.

    The order of a basket changes nothing, so it does not change the id either.
    """
    if order is not None:
        return ORDER_ROUTE, dict(order)
    counted = {text: quantity for text, quantity in asked.items() if quantity is not None}
    return "basket-recommendations", {"items": sorted(asked)} | ({"quantities": counted} if counted else {})


def added(before: int | None, quantity: int | None) -> int | None:
    """The quantity of an item that is named again: those given add up; naming it without one is a repetition only."""
    if before is None or quantity is None:
        return quantity if before is None else before
    return before + quantity


def stand_in_answer(
    manifest: Manifest, page: Page, route: str, parameters: dict[str, Any], *, source: str
) -> dict[str, Any]:
    """The body of any route whose own answer cannot be given: popular items, said to be degraded."""
    body = _popular(manifest, page.picks, source)
    extra = {"degraded": True, "note": "The answer itself cannot be read: these are the popular items."}
    return _answer(manifest, body, (route, parameters), page, source=source, extra=extra)


def recommendation_id(snapshot_id: str, route: str, parameters: dict[str, Any]) -> str:
    """The same for the same question to the same snapshot: 32 hex digits of a sha256."""
    # ASCII, because a text from outside may hold what UTF-8 cannot.
    text = json.dumps([snapshot_id, route, parameters], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def percent(share: float) -> str:
    """A share as people read it: 59 %, 4.2 %, 0.08 %."""
    value = share * 100
    if value >= 9.95:
        return f"{value:.0f} %"
    return f"{value:.1f} %" if value >= 0.095 else f"{value:.1g} %"


def _recommendation(pick: Pick, source: str, reason: str) -> dict[str, Any]:
    proof = pick.proof
    found = {
        "item_id": pick.entry.item_id,
        "item_name": pick.entry.item_id if pick.entry.name is None else pick.entry.name,
        "similarity_score": pick.worth,
        "reason": reason,
        "popularity_rank": pick.rank,
        "purchases": pick.entry.orders,
        "evidence": proof and {"pair_orders": proof.pair_orders, "lift": proof.lift, "confidence": proof.confidence},
        "source": source,
    }
    if pick.growth is not None:
        found["trend"] = pick.growth._asdict()
    return found


def explanation(manifest: Manifest, pick: Pick) -> dict[str, Any]:
    """The numbers behind one recommendation: the counts that its score and evidence follow from."""
    orders = manifest["counts"]["orders"]
    found: dict[str, Any] = {"orders": orders, "purchases": pick.entry.orders}
    if pick.proof is not None and pick.because is not None:
        expected = pick.because.orders * pick.entry.orders / orders
        found |= {"because_of": pick.because.item_id, "because_of_purchases": pick.because.orders}
        found |= {"pair_orders": pick.proof.pair_orders, "expected_pair_orders": expected, "score": pick.proof.score}
    if pick.parts:
        found["parts"] = [{"item_id": one, "score": score, "weight": weight} for one, score, weight in pick.parts]
    return found


def _own_or_stand_in(manifest: Manifest, pick: Pick, own: str, item: Item | None) -> dict[str, Any]:
    """A recommendation by evidence, or of what stands in for it, said to be so."""
    if pick.source is None:
        return _recommendation(pick, own, _bought_together(pick))
    if pick.source == SIMILAR_NAME:
        assert pick.because is not None
        assert item is not None
        return _recommendation(pick, SIMILAR_NAME, f"{_bought_together(pick)}, an item with a similar name")
    what = "Popular in its category: in" if pick.source == POPULAR_CATEGORY else "In"
    return _recommendation(pick, pick.source, _in_orders(manifest, pick, what))


def _popular(manifest: Manifest, picks: Sequence[Pick], source: str) -> list[dict[str, Any]]:
    return [_recommendation(pick, source, _in_orders(manifest, pick)) for pick in picks]


def _grew(pick: Pick) -> str:
    assert pick.growth is not None
    recent, before, growth, days = pick.growth
    return (
        f"In {_orders(recent)} of the newest {days} days after {before:,} in the {days} before: "
        f"{growth:.1f} times what the shop's orders let expect"
    )


def _in_orders(manifest: Manifest, pick: Pick, what: str = "In") -> str:
    share = percent(pick.entry.orders / manifest["counts"]["orders"])
    return f"{what} {_orders(pick.entry.orders)} ({share} of all orders)"


def _alone(manifest: Manifest, item: Item) -> str:
    """Why an item has no neighbours."""
    if not item.orders:
        return "was never sold"
    support = manifest.get("score_settings", {}).get("min_pair_orders", 1)
    if support == 1:
        return "was never in an order with another item"
    return f"was not in {_orders(support)} with any other item"


def _bought_together(pick: Pick) -> str:
    assert pick.proof is not None
    assert pick.because is not None
    share = percent(pick.proof.confidence)
    return f"Bought together in {_orders(pick.proof.pair_orders)} ({share} of orders with {pick.because.item_name})"


def _orders(count: int) -> str:
    return "1 order" if count == 1 else f"{count:,} orders"


def _answer(
    manifest: Manifest,
    recommendations: list[dict[str, Any]],
    question: tuple[str, dict[str, Any]],
    page: Page,
    *,
    source: str,
    extra: dict[str, Any],
) -> dict[str, Any]:
    """The whole body. The question is the route with what it was asked beside the controls."""
    controls, sid, orders = page.controls, manifest["snapshot_id"], manifest["counts"]["orders"]
    for one in recommendations:
        one["purchase_frequency"] = one["purchases"] / orders if orders else 0.0
    if controls.explain:
        for one, pick in zip(recommendations, page.picks, strict=True):
            one["explain"] = explanation(manifest, pick)
    metadata = {
        "limit": controls.limit,
        "total_recommendations": len(recommendations),
        "snapshot_id": sid,
        "generated_at": manifest["published_at"],
        "source": source,
        "degraded": False,
        "recommendation_id": recommendation_id(sid, question[0], question[1] | controls.parameters()),
        **extra,
    }
    if page.next_cursor is not None:
        metadata["next_cursor"] = page.next_cursor
    if controls.explain:
        metadata["explain"] = {"looked_at": page.looked_at, "removed": dict(page.removed)}
    if page.removed and not recommendations:
        metadata["note"] = "Nothing is left: the request, or items taken out of the shop, removed every candidate."
    return {"recommendations": recommendations, "metadata": metadata}
