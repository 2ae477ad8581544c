"""The body of an answer: the same for the API, the command line and tests.

Belongs here: fields, sentences and ids of an answer, as pure functions. Does not belong here: reading Redis.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from reco.snapshot.codec import Evidence, Neighbour, RankEntry
from reco.snapshot.manifest import Manifest

SIMILAR = "similar"
BASKET = "basket"
SIMILAR_NAME = "similar_name"
POPULAR = "popular"
POPULAR_CATEGORY = "popular_category"


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


class Pick(NamedTuple):
    """A recommended item, and for which item of the question it was picked (None: because it is popular).

    score: 0..1; None: the one of the evidence. source: what it comes from, where that is not the answer's own kind.
    """

    entry: RankEntry
    rank: int
    proof: Evidence | None
    because: Item | None
    score: float | None = None
    source: str | None = None


def similar_answer(manifest: Manifest, item: Item, picks: Sequence[Pick], limit: int) -> dict[str, Any]:
    """The body of `similar-items`."""
    extra: dict[str, Any] = {"item_id": item.item_id, "item_name": item.item_name}
    if not item.neighbours:
        extra["note"] = f"{item.item_name} {_alone(manifest, item)}: these are stand-ins."
    body = [_own_or_stand_in(manifest, pick, SIMILAR, item) for pick in picks]
    source = (picks[0].source if picks else None) or SIMILAR
    return _answer(manifest, body, "similar-items", {"item": item.item_id, "limit": limit}, source=source, extra=extra)


def popular_answer(
    manifest: Manifest, picks: Sequence[Pick], limit: int, *, category: str | None = None
) -> dict[str, Any]:
    """The body of `popular-items`."""
    source = POPULAR if category is None else POPULAR_CATEGORY
    parameters = {"category": category, "limit": limit}
    body = _popular(manifest, picks, source)
    return _answer(manifest, body, "popular-items", parameters, source=source, extra=parameters)


def basket_answer(
    manifest: Manifest,
    picks: Sequence[Pick],
    limit: int,
    *,
    asked: Sequence[str],
    known: Sequence[str],
    unknown: Sequence[str],
) -> dict[str, Any]:
    """The body of `basket-recommendations`; picks with a source of their own stand in."""
    source = (picks[0].source if picks else POPULAR) or BASKET
    extra: dict[str, Any] = {"known_items": list(known), "unknown_items": list(unknown)}
    if source != BASKET:
        what = "has neighbours outside it" if known else "is known"
        stand_ins = "the popular items" if source == POPULAR else "stand-ins"
        extra["note"] = f"No item of the basket {what}: these are {stand_ins}."
    body = [_own_or_stand_in(manifest, pick, BASKET, pick.because) for pick in picks]
    # The order of a basket changes nothing, so it does not change the id either.
    parameters = {"items": sorted(asked), "limit": limit}
    return _answer(manifest, body, "basket-recommendations", parameters, source=source, extra=extra)


def stand_in_answer(
    manifest: Manifest, picks: Sequence[Pick], route: str, parameters: dict[str, Any], *, source: str
) -> dict[str, Any]:
    """The body of any route whose own answer cannot be given: popular items, said to be degraded."""
    body = _popular(manifest, picks, source)
    extra = {"degraded": True, "note": "The answer itself cannot be read: these are the popular items."}
    return _answer(manifest, body, route, parameters, source=source, extra=extra)


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


def _recommendation(pick: Pick, source: str, reason: str, score: float | None = None) -> dict[str, Any]:
    proof = pick.proof
    if score is None:
        score = pick.score if pick.score is not None or proof is None else proof.score
    return {
        "item_id": pick.entry.item_id,
        "item_name": pick.entry.item_id if pick.entry.name is None else pick.entry.name,
        # Rounding of doubles may leave a hair above 1.
        "similarity_score": min(score or 0.0, 1.0),
        "reason": reason,
        "popularity_rank": pick.rank,
        "purchases": pick.entry.orders,
        "evidence": proof and {"pair_orders": proof.pair_orders, "lift": proof.lift, "confidence": proof.confidence},
        "source": source,
    }


def _own_or_stand_in(manifest: Manifest, pick: Pick, own: str, item: Item | None) -> dict[str, Any]:
    """A recommendation by evidence, or of what stands in for it, said to be so."""
    if pick.source is None:
        return _recommendation(pick, own, _bought_together(pick))
    if pick.source == SIMILAR_NAME:
        assert pick.because is not None
        assert item is not None
        return _recommendation(pick, SIMILAR_NAME, f"{_bought_together(pick)}, an item with a similar name")
    what = "Popular in its category: in" if pick.source == POPULAR_CATEGORY else "In"
    return _recommendation(pick, pick.source, _in_orders(manifest, pick, what), pick.score)


def _popular(manifest: Manifest, picks: Sequence[Pick], source: str) -> list[dict[str, Any]]:
    first = picks[0].entry.orders if picks else 1
    return [_recommendation(pick, source, _in_orders(manifest, pick), pick.entry.orders / first) for pick in picks]


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
    route: str,
    parameters: dict[str, Any],
    *,
    source: str,
    extra: dict[str, Any],
) -> dict[str, Any]:
    metadata = {
        "limit": parameters["limit"],
        "total_recommendations": len(recommendations),
        "snapshot_id": manifest["snapshot_id"],
        "generated_at": manifest["published_at"],
        "source": source,
        "degraded": False,
        "recommendation_id": recommendation_id(manifest["snapshot_id"], route, parameters),
        **extra,
    }
    return {"recommendations": recommendations, "metadata": metadata}
