"""Examples of answers for /openapi.json.

Belongs here: bodies as the service gives them, for a small shop of instruments. Does not belong here: their form, which
a test holds them to (`documents`, `item_documents`).
"""

from typing import Any

Body = dict[str, Any]

_SID = "20260304T120000Z-0123abcd"
_FACTS: Body = {
    "snapshot_id": _SID,
    "generated_at": "2026-03-04T12:00:00Z",
    "source": "snapshot",
    "degraded": False,
}

ANSWER: Body = {
    "recommendations": [
        {
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
    ],
    "metadata": {
        "limit": 1,
        "total_recommendations": 1,
        "snapshot_id": _SID,
        "generated_at": "2026-03-04T12:00:00Z",
        "source": "similar",
        "degraded": False,
        "recommendation_id": "9f2c4b0c1d3e5f60718293a4b5c6d7e8",
        "item_id": "PID",
        "item_name": "PID",
        "next_cursor": "WyIyMDI2MDMwNFQxMjAwMDBaLTAxMjNhYmNkIiwiMGExYjJjM2Q0ZTVmIiwxXQ",
    },
}

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

HIDES: Body = {"hidden": [HIDE]}
