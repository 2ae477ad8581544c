"""Tables of the lake for snapshot tests, counted from baskets in plain Python.

Belongs here: making small `item_stats` and `similar_items` files with known content. Does not belong here: anything the
product computes with.
"""

import datetime as dt
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import redis

from reco.snapshot.build import SnapshotBuild
from reco.snapshot.gate import GatePolicy
from reco.snapshot.index import Index
from reco.snapshot.keys import Keys, search_suffix
from reco.snapshot.lease import LeasePolicy
from reco.snapshot.manifest import ManifestFacts
from reco.snapshot.memory import MemorySnapshot
from reco.snapshot.publish import PublishResult, publish

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
SHOP = "shop"
OPEN_GATE = GatePolicy(max_item_loss=1, max_order_loss=1, min_overlap=0)

STATS_SCHEMA: dict[str, Any] = {
    "item_id": pl.String,
    "item_name": pl.String,
    "category": pl.String,
    "orders": pl.Int64,
    "units": pl.Int64,
    "revenue": pl.Decimal(18, 4),
    "customers": pl.Int64,
    "first_sold_at": pl.Datetime("us"),
    "last_sold_at": pl.Datetime("us"),
    "rank": pl.Int64,
    "share": pl.Float64,
}
SIMILAR_SCHEMA: dict[str, Any] = {
    "item_id": pl.String,
    "other_id": pl.String,
    "rank": pl.Int64,
    "score": pl.Float64,
    "pair_orders": pl.Int64,
    "confidence": pl.Float64,
    "lift": pl.Float64,
}


@dataclass
class LakeTables:
    """Two files, the rows in them, and how many orders they come from."""

    item_stats: Path
    similar_items: Path
    orders: int
    pairs: int
    stats: list[dict[str, Any]] = field(default_factory=list)
    similar: list[dict[str, Any]] = field(default_factory=list)

    def facts(self, **changes: Any) -> ManifestFacts:
        """What the manifest is told."""
        values: dict[str, Any] = {"run_id": "run-1", "drops": ("a" * 64,), "orders": self.orders, "pairs": self.pairs}
        return ManifestFacts(**(values | changes))

    def publish(self, client: redis.Redis, **changes: Any) -> PublishResult:
        """Publishes the tables with an open gate and a short wait, unless told otherwise."""
        values: dict[str, Any] = {
            "facts": self.facts(),
            "gate": OPEN_GATE,
            "now": NOW,
            "keep": 3,
            "lease_policy": LeasePolicy(wait_seconds=20, poll_seconds=0.02),
        }
        return publish(client, SHOP, self.item_stats, self.similar_items, **(values | changes))

    def held(self) -> MemorySnapshot:
        """What a service holds of the published tables, without a Redis in between."""
        build = SnapshotBuild.from_lake(self.item_stats, self.similar_items)
        sid, keys = "20260304T050607Z-01234567", Keys(SHOP)
        values = {keys.key(sid, suffix): value for suffix, value in build.entries()}
        index = Index()
        for number in range(build.search_parts):
            key = keys.key(sid, search_suffix(number))
            index.add(values[key], key)  # type: ignore[arg-type]
        manifest: Any = {
            "format": build.format,
            "snapshot_id": sid,
            "published_at": "2026-03-04T05:06:07Z",
            "counts": {"items": build.items, "orders": self.orders},
            "name_blocks": build.name_blocks,
            "search_parts": build.search_parts,
        }
        return MemorySnapshot(values, keys, manifest, whole=True, index=index.close())


def write_tables(
    folder: Path,
    baskets: Sequence[Collection[str]],
    *,
    names: Mapping[str, str] | None = None,
    categories: Mapping[str, str] | None = None,
    figures: Mapping[str, Mapping[str, Any]] | None = None,
) -> LakeTables:
    """Counts baskets by brute force and writes both tables to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    orders = Counter(item for basket in baskets for item in set(basket))
    pairs = Counter(pair for basket in baskets for pair in combinations(sorted(set(basket)), 2))
    stats = []
    for rank, (item, count) in enumerate(sorted(orders.items(), key=lambda one: (-one[1], one[0])), 1):
        row: dict[str, Any] = dict.fromkeys(STATS_SCHEMA)
        row |= {"item_id": item, "item_name": (names or {}).get(item, item), "category": (categories or {}).get(item)}
        row |= {"orders": count, "units": count, "rank": rank, "share": count / len(baskets)}
        stats.append(row | dict((figures or {}).get(item, {})))
    similar = _similar(orders, pairs, len(baskets))
    tables = LakeTables(folder / "item_stats.parquet", folder / "similar_items.parquet", len(baskets), len(pairs))
    tables.stats, tables.similar = stats, similar
    pl.DataFrame(stats, schema=STATS_SCHEMA).write_parquet(tables.item_stats)
    pl.DataFrame(similar, schema=SIMILAR_SCHEMA).write_parquet(tables.similar_items)
    return tables


def _similar(orders: Counter[str], pairs: Counter[tuple[str, str]], total: int) -> list[dict[str, Any]]:
    lists: dict[str, list[dict[str, Any]]] = {}
    for pair, count in pairs.items():
        for item, other in (pair, pair[::-1]):
            n_i, n_j = orders[item], orders[other]
            row = {"item_id": item, "other_id": other, "score": count / math.sqrt(n_i * n_j), "pair_orders": count}
            row |= {"confidence": count / n_i, "lift": count * total / (n_i * n_j)}
            lists.setdefault(item, []).append(row)
    rows = []
    for item in sorted(lists):
        ordered = sorted(lists[item], key=lambda row: (-row["score"], -row["pair_orders"], row["other_id"]))
        rows += [row | {"rank": rank} for rank, row in enumerate(ordered[:100], 1)]
    return rows
