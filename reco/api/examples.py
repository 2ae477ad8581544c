"""Examples of answers for /openapi.json.

Belongs here: bodies as the service gives them, for a small shop of instruments, and whose they are. Does not belong
here: their form, which a test holds them to (`documents`, `item_documents`).
"""

from collections.abc import Mapping
from typing import Any

from reco import __version__

Body = dict[str, Any]

_SID = "20260304T120000Z-0123abcd"
_FACTS: Body = {
    "snapshot_id": _SID,
    "generated_at": "2026-03-04T12:00:00Z",
    "source": "snapshot",
    "degraded": False,
}

_CAL_KIT: Body = {
    "item_id": "Cal Kit",
    "item_name": "Cal Kit",
    "similarity_score": 0.65,
    "reason": "Bought together in 241 orders (59 % of orders with PID)",
    "popularity_rank": 4,
    "purchases": 337,
    "purchase_frequency": 0.134,
    "evidence": {"pair_orders": 241, "lift": 4.4, "confidence": 0.59},
    "source": "similar",
}


def _list(source: str, item: Body, **told: Any) -> Body:
    """A list of one item."""
    metadata = {
        "limit": 1,
        "total_recommendations": 1,
        "snapshot_id": _SID,
        "generated_at": "2026-03-04T12:00:00Z",
        "source": source,
        "degraded": False,
        "recommendation_id": "9f2c4b0c1d3e5f60718293a4b5c6d7e8",
    }
    cursor = "WyIyMDI2MDMwNFQxMjAwMDBaLTAxMjNhYmNkIiwiMGExYjJjM2Q0ZTVmIiwxXQ"
    return {"recommendations": [item | {"source": source}], "metadata": metadata | told | {"next_cursor": cursor}}


SIMILAR = _list("similar", _CAL_KIT, item_id="PID", item_name="PID")
BASKET = _list("basket", _CAL_KIT, known_items=["PID"], unknown_items=["Unheard of"])
ORDER = _list("basket", _CAL_KIT, order_items=2)
POPULAR = _list(
    "popular",
    {
        "item_id": "Water Level Meter",
        "item_name": "Water Level Meter",
        "similarity_score": 1.0,
        "reason": "In 512 orders (20 % of all orders)",
        "popularity_rank": 1,
        "purchases": 512,
        "purchase_frequency": 0.204,
        "evidence": None,
    },
)
TRENDING = _list(
    "trending",
    {
        "item_id": "Hose",
        "item_name": "Hose",
        "similarity_score": 0.545,
        "reason": "In 52 orders of the newest 28 days after 21 in the 28 before: "
        "2.2 times what the shop's orders let expect",
        "popularity_rank": 9,
        "purchases": 120,
        "purchase_frequency": 0.048,
        "evidence": None,
        "trend": {"recent_orders": 52, "before_orders": 21, "growth": 2.2, "days": 28},
    },
    window_days=28,
    window_end="2026-03-04T11:00:00",
)

ITEM: Body = {
    "item": {
        "item_id": "PID",
        "item_name": "PID",
        "category": "Gas > Detectors",
        "categories": ["Gas > Detectors", "Gas", "Detectors"],
        "price": "950",
        "in_stock": True,
        "popularity_rank": 2,
        "purchases": 408,
        "purchase_frequency": 0.162,
        "units": 455,
        "units_per_order": 1.115,
        "revenue": "432250.0000",
        "customers": 180,
        "orders_per_customer": 2.267,
        "first_sold_at": "2025-03-04T08:00:00",
        "last_sold_at": "2026-03-04T11:00:00",
        "neighbours": 24,
        "trend": {"recent_orders": 52, "before_orders": 31, "growth": 1.5, "days": 28},
    },
    "metadata": _FACTS,
}

CATEGORIES: Body = {
    "categories": [{"category": "Gas", "categories": ["Gas"], "items": 12, "sold_items": 11}],
    "metadata": _FACTS | {"limit": 100, "total_categories": 1},
}

SEARCH: Body = {
    "items": [
        {
            "item_id": "Water Level Meter",
            "item_name": "Water Level Meter",
            "category": "Water",
            "price": "400",
            "in_stock": False,
            "popularity_rank": 1,
            "purchases": 512,
            "score": 0.65,
            "match": "typo",
        }
    ],
    "metadata": _FACTS | {"limit": 10, "query": "wter lev", "total_found": 1, "total_items": 1},
}

WHY: Body = {
    "item": {
        "item_id": "Lamp",
        "item_name": "Lamp",
        "category": "Light",
        "popularity_rank": 40,
        "purchases": 6,
    },
    "basket": [
        {"item_id": "Hose", "item_name": "Hose", "category": "Water", "popularity_rank": 9, "purchases": 120},
    ],
    "recommended": False,
    "rank": None,
    "score": None,
    "removed_by": "no_candidate",
    "source": "similar",
    "hidden_by": None,
    "pairs": [
        {
            "item_id": "Hose",
            "purchases": 120,
            "in_list": False,
            "place": None,
            "list_length": 18,
            "pair_orders": None,
            "score": None,
        }
    ],
    "reasons": ["No order holds it with Hose."],
    "metadata": _FACTS | {"limit": 10, "orders": 2513},
}

SNAPSHOT: Body = {
    "manifest": {"snapshot_id": _SID, "digest": "0123abcd", "run_id": "5b0c", "drops": ["9f86d081"]},
    "drops": [
        {
            "drop_key": "orders-9f86d081884c",
            "name": "orders.csv",
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "source": "auto",
            "status": "ingested",
            "run_id": "5b0c",
            "lines_read": 7560,
            "lines_accepted": 7540,
            "lines_excluded": 12,
            "lines_quarantined": 8,
        }
    ],
    "drops_total": 1,
    "drops_cut": False,
}

HIDE: Body = {
    "rule_id": 3,
    "kind": "item",
    "value": "PID",
    "author": "key 4f0q2m8z1k7c",
    "reason": "recalled by its maker",
    "state": "active",
    "created_at": "2026-03-04T12:00:00Z",
    "expires_at": None,
    "removed_at": None,
    "removed_by": None,
}

HEALTH: Body = {
    "status": "healthy",
    "redis_connected": True,
    "timestamp": "2026-03-04T12:34:56.789Z",
    "snapshot_id": _SID,
    "snapshot_published_at": "2026-03-04T12:00:00Z",
    "snapshot_age_seconds": 2096,
    "snapshot_complete": True,
    "items": 120,
    "orders": 2513,
    "problem": None,
    "degraded_since": None,
    "looked_at": "2026-03-04T12:34:56.600Z",
    "version": __version__,
}

ANSWERS: Mapping[tuple[str, str], Body] = {
    ("get", "/api/v1/popular-items"): POPULAR,
    ("get", "/api/v1/trending-items"): TRENDING,
    ("get", "/api/v1/similar-items/{item}"): SIMILAR,
    ("post", "/api/v1/basket-recommendations"): BASKET,
    ("get", "/api/v1/recommendations/{order_id}"): ORDER,
    ("get", "/api/v1/items/{item}"): ITEM,
    ("get", "/api/v1/categories"): CATEGORIES,
    ("get", "/api/v1/search"): SEARCH,
    ("get", "/api/v1/why/{item}"): WHY,
    ("get", "/api/v1/snapshots/{snapshot_id}"): SNAPSHOT,
    ("get", "/api/v1/hidden"): {"hidden": [HIDE]},
    ("post", "/api/v1/hidden"): HIDE | {"covers_items": True},
    ("delete", "/api/v1/hidden/{rule_id}"): HIDE
    | {"state": "removed", "removed_at": "2026-03-05T09:00:00Z", "removed_by": "key 4f0q2m8z1k7c"},
    ("get", "/health/"): HEALTH,
    ("get", "/livez"): {"status": "alive"},
    ("get", "/readyz"): {"status": "ready", "degraded": False},
}
