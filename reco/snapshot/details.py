"""The bodies about an item and about categories.

Belongs here: their fields. Does not belong here: lists of recommendations (`reco.snapshot.answers`).
"""

from collections.abc import Mapping
from typing import Any

from reco.model.growth import growth
from reco.snapshot.controls import Controls, read_cursor, write_cursor
from reco.snapshot.hiding import NOTHING, Hides, labels_of
from reco.snapshot.read import PublishedSnapshot

MAX_CATEGORY_LIMIT = 1000


def item_answer(snapshot: PublishedSnapshot, text: str, hides: Hides = NOTHING) -> dict[str, Any]:
    """The body of `items/{item}`: what the snapshot knows of one item, given by id or exact name.

    Raises:
        ItemNotFound: there is none; near ones are named, but for hidden ones.
    """
    item = snapshot.resolve(text, hides)
    entry = snapshot.entry_of(item)
    orders = snapshot.manifest["counts"]["orders"]
    found = {
        "item_id": item.item_id,
        "item_name": item.item_name,
        "category": item.category,
        "categories": list(labels_of(item.category)),
        "price": entry.price,
        "in_stock": None if entry.in_stock is None else bool(entry.in_stock),
        "popularity_rank": item.rank,
        "purchases": item.orders,
        "purchase_frequency": item.orders / orders if orders else 0.0,
        "units": item.units,
        "units_per_order": item.units / item.orders if item.orders else None,
        "revenue": item.revenue,
        "customers": item.customers,
        "orders_per_customer": item.orders / item.customers if item.customers and item.orders else None,
        "first_sold_at": item.first_sold_at,
        "last_sold_at": item.last_sold_at,
        "neighbours": item.neighbours,
        "trend": _trend(snapshot, item.rank),
    }
    return {"item": found, "metadata": metadata_of(snapshot)}


def categories_answer(snapshot: PublishedSnapshot, controls: Controls) -> dict[str, Any]:
    """The body of `categories`: by name, with how many items each has. Of the controls limit and cursor count."""
    question = {"route": "categories"}
    start = read_cursor(controls.cursor, snapshot.snapshot_id, question)
    whole = snapshot.categories()
    found = [
        {"category": one.name, "categories": list(labels_of(one.name)), "items": one.items, "sold_items": one.sold}
        for one in whole[start : start + controls.limit]
    ]
    more: dict[str, Any] = {"limit": controls.limit, "total_categories": len(whole)}
    if start + controls.limit < len(whole):
        more["next_cursor"] = write_cursor(snapshot.snapshot_id, question, start + controls.limit)
    return {"categories": found, "metadata": metadata_of(snapshot, more)}


def metadata_of(snapshot: PublishedSnapshot, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What every body about the snapshot itself tells of where it comes from."""
    manifest = snapshot.manifest
    return {
        "snapshot_id": manifest["snapshot_id"],
        "generated_at": manifest["published_at"],
        "source": "snapshot",
        "degraded": False,
        **(more or {}),
    }


def _trend(snapshot: PublishedSnapshot, rank: int) -> dict[str, Any] | None:
    trends = snapshot.trends()
    for one in trends.items if trends is not None else ():
        if one.rank == rank and trends is not None:
            ratio = growth(one.recent, one.before, trends.recent, trends.before)
            return {"recent_orders": one.recent, "before_orders": one.before, "growth": ratio, "days": trends.days}
    return None
