"""Why an item is, or is not, recommended with a basket: the numbers, and what took it out.

Belongs here: going the way of an answer and watching one item. Does not belong here: the way (`read`, `filters`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from reco.errors import ItemNotFound
from reco.snapshot.answers import Found, Item, Pick
from reco.snapshot.codec import Neighbour, score_of
from reco.snapshot.controls import Controls
from reco.snapshot.details import metadata_of
from reco.snapshot.filters import HIDDEN
from reco.snapshot.hiding import NOTHING, Hides, labels_of
from reco.snapshot.read import PublishedSnapshot

WALKED = 2000
"""Candidates that are gone through at most."""


def why(
    snapshot: PublishedSnapshot, text: str, basket: Sequence[str], controls: Controls, hides: Hides = NOTHING
) -> dict[str, Any]:
    """The body of `why/{item}`: where the item is in the list for a basket, and if it is not, what keeps it out.

    Without a basket the list is that of the popular items.

    Raises:
        ItemNotFound: the item, or one of the basket, is not known.
    """
    item = snapshot.resolve(text, hides)
    known = _known(snapshot, basket)
    body: dict[str, Any] = {
        "item": _told(item),
        "basket": [_told(one.item) for one in known],
        "recommended": False,
        "rank": None,
        "score": None,
        "removed_by": None,
        "source": None,
        "pairs": [_pair(snapshot, one, item) for one in known],
    }
    rule = hides.rule_of(item.item_id, labels_of(item.category))
    body["hidden_by"] = None if rule is None else {"rule_id": rule.rule_id, "kind": rule.kind, "value": rule.value}
    if item.item_id in {one.item.item_id for one in known}:
        body["removed_by"] = "in_basket"
    else:
        body |= _walk(snapshot, (item, known), controls, hides)
        if body["removed_by"] is None and body["rank"] is None:
            body["removed_by"] = HIDDEN if rule is not None else "no_candidate"
    body["reasons"] = _reasons(snapshot, body, item, controls)
    body["metadata"] = metadata_of(snapshot, {"limit": controls.limit, "orders": snapshot.manifest["counts"]["orders"]})
    return body


def _walk(
    snapshot: PublishedSnapshot, question: tuple[Item, Sequence[Found]], controls: Controls, hides: Hides
) -> dict[str, Any]:
    """Goes through the candidates as an answer does; tells where the item is and what took it out."""
    item, known = question
    if known:
        candidates, stand_in = snapshot.candidates_of(known, controls)
        source = stand_in or ("basket" if len(known) > 1 else "similar")
    else:
        candidates, source = snapshot.popular_candidates(controls, None), "popular"
    told = _seen(snapshot, item, candidates, controls, hides)
    if told is None and not known and controls.categories:
        # Of these categories it is not: the list without them has its place.
        whole = snapshot.popular_candidates(replace(controls, categories=()), None)
        told = _seen(snapshot, item, whole, controls, hides)
        told = told if told is not None and told["removed_by"] not in (None, "limit") else None
    return {"source": source} | (told or {})


def _seen(
    snapshot: PublishedSnapshot, item: Item, candidates: Iterator[Pick], controls: Controls, hides: Hides
) -> dict[str, Any] | None:
    """Where the item is among the candidates, and what took it out; None where it is not one of them."""
    passed = 0
    for one in snapshot.verdicts(islice(candidates, WALKED), controls, hides):
        if one.pick.rank != item.rank:
            passed += one.removed_by is None
            continue
        told: dict[str, Any] = {"place": one.position + 1, "score": one.pick.worth}
        if one.removed_by is not None:
            return told | {"removed_by": one.removed_by}
        inside = passed < controls.limit
        return told | {"rank": passed + 1, "recommended": inside, "removed_by": None if inside else "limit"}
    return None


def _pair(snapshot: PublishedSnapshot, one: Found, item: Item) -> dict[str, Any]:
    """What orders say of an item of the basket and the asked one; from the list of either, where one has it."""
    told: dict[str, Any] = {"item_id": one.item.item_id, "purchases": one.item.orders, "in_list": False}
    told |= {"pair_orders": None, "score": None, "place": None, "list_length": len(one.neighbours)}
    for place, neighbour in enumerate(one.neighbours, 1):
        if neighbour.rank == item.rank:
            score = score_of(one.item.orders, neighbour, stored=snapshot.stored)
            return told | {"in_list": True, "pair_orders": neighbour.pair_orders, "score": score, "place": place}
    back = _neighbour(snapshot, item, one.item.rank)
    return told | {"pair_orders": back.pair_orders if back is not None else None}


def _neighbour(snapshot: PublishedSnapshot, item: Item, rank: int) -> Neighbour | None:
    found = snapshot.find([item.item_id])[0]
    return next((one for one in found.neighbours if one.rank == rank), None) if found is not None else None


def _reasons(snapshot: PublishedSnapshot, body: dict[str, Any], item: Item, controls: Controls) -> list[str]:
    """The answer in sentences."""
    removed, place = body["removed_by"], body.get("place")
    if removed is None:
        return [f"{item.item_name} is number {body['rank']} of the list, with a score of {body['score']:.4g}."]
    said = {
        "in_basket": "It is in the basket: nothing of a basket is recommended.",
        "limit": f"It is number {body['rank']}, and {controls.limit} are asked for.",
        HIDDEN: "A rule of the shop hides it.",
        "exclude_ids": "The request excludes it.",
        "categories": f"Its category ({item.category or 'none'}) is not among those asked for.",
        "min_price": "Its price is not known, or below the least that is asked for.",
        "max_price": "Its price is not known, or above the most that is asked for.",
        "in_stock": "Its stock is not known, or not what is asked for.",
        "min_score": "Its score is below the least that is asked for.",
        "max_per_category": f"{controls.max_per_category} items of its category come before it.",
    }.get(removed)
    reasons = [said] if said else []
    if place is not None:
        reasons.append(f"Without that it would be candidate {place}, with a score of {body['score']:.4g}.")
    if removed == "no_candidate":
        reasons += [_missing(snapshot, one, item) for one in body["pairs"]] or [_unpopular(item)]
    return reasons


def _missing(snapshot: PublishedSnapshot, pair: dict[str, Any], item: Item) -> str:
    """Why the list of an item of the basket does not have the asked one."""
    if not item.orders:
        return f"{item.item_name} was never sold."
    settings = snapshot.manifest.get("score_settings", {})
    least, top = settings.get("min_pair_orders", 1), settings.get("top", 100)
    if pair["pair_orders"] is not None:
        return (
            f"{pair['pair_orders']:,} orders hold it with {pair['item_id']}, whose {pair['list_length']} nearest "
            "items all score higher."
        )
    if pair["list_length"] < top:
        return (
            f"Fewer than {least} orders hold it with {pair['item_id']}."
            if least > 1
            else (f"No order holds it with {pair['item_id']}.")
        )
    return f"It is not among the {top} items nearest to {pair['item_id']}."


def _unpopular(item: Item) -> str:
    return f"{item.item_name} is number {item.rank:,} by orders, beyond the list of popular items."


def _known(snapshot: PublishedSnapshot, basket: Sequence[str]) -> list[Found]:
    texts = list(dict.fromkeys(basket))
    found = snapshot.find(texts) if texts else []
    unknown = [text for text, one in zip(texts, found, strict=True) if one is None]
    if unknown:
        raise ItemNotFound(
            f"The basket holds {unknown[0][:80]!r}, which snapshot {snapshot.snapshot_id} does not know.",
            hint="Give ids or exact names; `/api/v1/search` finds them.",
            near=[],
        )
    return list({one.item.item_id: one for one in found if one is not None}.values())


def _told(item: Item) -> dict[str, Any]:
    return {
        "item_id": item.item_id,
        "item_name": item.item_name,
        "category": item.category,
        "popularity_rank": item.rank,
        "purchases": item.orders,
    }
