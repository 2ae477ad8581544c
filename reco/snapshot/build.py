"""The draft of a snapshot: every value that is to stand in Redis, computed from the lake.

Belongs here: turning `item_stats` and `similar_items` into keys and values, and their digest. Does not belong here:
Redis. A draft can be written but not read by a service; what is published is a `PublishedSnapshot`.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl

from reco.errors import LakeError
from reco.model.trends import GrowingItems, growing_items
from reco.snapshot.codec import CODE_STEPS, COSINE, STORED, Entry, encode, value_parts
from reco.snapshot.index import index_parts
from reco.snapshot.keys import (
    BLOCK,
    POPULAR_ALL,
    name_suffix,
    popular_suffix,
    rank_suffix,
    search_suffix,
    similar_suffix,
    stats_suffix,
)
from reco.snapshot.likeness import most_alike
from reco.snapshot.shelf import Shelf, trend_entries

POPULAR_TOP = 1000
CATEGORY_TOP = 200
NAMES_PER_BLOCK = 64  # on average: a hash stays below 128 fields, so Redis keeps it in its compact form
IDS_PER_NAME = 100
KEY_OVERHEAD = 96  # bytes Redis adds to a key and its value, rounded up: estimates were 7-9 % above what was used
SCORE_TOLERANCE = 1e-12

_ITEM_COLUMNS = (
    "rank",
    "item_id",
    "item_name",
    "category",
    "orders",
    "units",
    "revenue",
    "customers",
    "first_sold_at",
    "last_sold_at",
    "share",
)
_CATALOGUE_COLUMNS = ("item_id", "item_name", "category", "price", "in_stock", "listed")


class SnapshotBuild:
    """All values of one snapshot, in a fixed order.

    digest: sha256 over format, number of orders, keys (without namespace and snapshot id) and values. Equal data gives
    an equal digest, whenever and by whichever run it is computed.
    orders: all orders of the shop (N), as `item_stats` implies it: orders / share; None without items.
    items: all items; unsold: those of them that no order holds.
    shelf: categories, prices and stock; search_parts: how many parts the search index has; search_failures: why
    items are not in it, by their id.
    keys: number of keys; estimated_bytes: about what they will take in Redis.
    """

    def __init__(
        self,
        items: pl.DataFrame,
        lists: pl.DataFrame,
        form: int = COSINE,
        *,
        catalogue: pl.DataFrame | None = None,
        growing: GrowingItems | None = None,
    ) -> None:
        self.format = form
        self._items = items
        self.shelf = Shelf(items, catalogue)
        self._lists = lists
        self._like = _most_alike(items, lists)
        self.items = items.height
        self.unsold = items.filter(pl.col("orders") == 0).height
        self.similar_rows = int(lists["neighbours"].sum()) if lists.height else 0
        self.orders: int | None = round(items["orders"][0] / items["share"][0]) if items.height else None
        self._names = _names_to_ranks(items)
        self.name_blocks = -(-len(self._names) // NAMES_PER_BLOCK)
        # Kept, because a publish goes over them four times: encoding them takes longer than writing them.
        self._entries = [*self._item_entries(), *self._rank_entries(), *self._popular_entries(), *self._name_entries()]
        self._entries += [*self.shelf.entries(), *trend_entries(items, growing)]
        searched, self.search_failures = index_parts(items.select("rank", "item_id", "item_name").iter_rows())
        self.search_parts = len(searched)
        self._entries += [(search_suffix(number), part) for number, part in enumerate(searched)]
        self.keys, self.estimated_bytes, self.digest = self._measure()

    @classmethod
    def from_lake(
        cls,
        item_stats: Path,
        similar_items: Path,
        *,
        catalogue: Path | None = None,
        orders: Path | None = None,
        stored: bool = False,
    ) -> "SnapshotBuild":
        """Reads the tables and checks that the first two belong together.

        Args:
            item_stats: the table.
            similar_items: the table.
            catalogue: the table; items that it lists and nobody bought yet are known too, after all others.
            orders: the table; None: no item has a trend.
            stored: its scores are not the cosine of exact counts, and so are stored.

        Raises:
            LakeError: a file cannot be read; ranks are not 1..n; a neighbour is no item; a score is out of bounds, or,
                like confidence and lift, not the one that the counts give.
        """
        items = _read(item_stats, _ITEM_COLUMNS).sort("rank")
        _require_items(items, item_stats)
        similar = _read(similar_items, ("item_id", "other_id", "rank", "score", "pair_orders", "confidence", "lift"))
        form = STORED if stored else COSINE
        lists = _lists(items, similar, similar_items, form)
        listed = None if catalogue is None else _read(catalogue, _CATALOGUE_COLUMNS)
        growing = None if orders is None else growing_items(orders)
        items = items if listed is None else _with_unsold(items, listed)
        return cls(items, lists, form, catalogue=listed, growing=growing)

    def entries(self) -> Iterator[Entry]:
        """Every key, as suffix, with its value: bytes for a string, a dict of fields for a hash."""
        yield from self._entries

    def top_lists(self, item_ids: Iterable[str], depth: int) -> dict[str, tuple[str, ...]]:
        """The ids of the first `depth` neighbours of each of the given items that this draft knows."""
        wanted = pl.DataFrame({"item_id": list(item_ids)}, schema={"item_id": pl.String})
        ids = self._items["item_id"]
        found = wanted.join(self._lists, on="item_id", how="inner")
        return {
            item_id: tuple(ids.gather([rank - 1 for rank in ranks[:depth]]))
            for item_id, ranks in found.select("item_id", "ranks").iter_rows()
        }

    def _item_entries(self) -> Iterator[Entry]:
        joined = self._items.join(self._lists, on="item_id", how="left", maintain_order="left")
        columns = (*_ITEM_COLUMNS[:-1], "neighbours", "value")
        for rank, item_id, name, *figures, neighbours, value in joined.select(columns).iter_rows():
            own_name = None if name == item_id else name
            like = self._like.get(item_id)
            value_of_stats = [rank, own_name, *map(_plain, figures), neighbours or 0, *([] if like is None else [like])]
            yield stats_suffix(item_id), encode(value_of_stats)
            if value is not None:
                yield similar_suffix(item_id), value.encode()

    def _rank_entries(self) -> Iterator[Entry]:
        for block in self._items.select("rank", "item_id", "item_name", "orders").iter_slices(BLOCK):
            fields = {
                b"%d" % rank: encode([item_id, None if name == item_id else name, orders, *self.shelf.tail(rank)])
                for rank, item_id, name, orders in block.iter_rows()
            }
            yield rank_suffix(block["rank"][0]), fields

    def _popular_entries(self) -> Iterator[Entry]:
        sold = self._items.filter(pl.col("orders") > 0)
        yield POPULAR_ALL, encode(sold["rank"].head(POPULAR_TOP).to_list())
        ranked = sold.filter(pl.col("category").is_not_null()).group_by("category", maintain_order=True)
        tops = dict(ranked.agg(pl.col("rank").head(CATEGORY_TOP)).iter_rows())
        for category in sorted(tops):
            yield popular_suffix(category), encode(tops[category])

    def _name_entries(self) -> Iterator[Entry]:
        blocks: dict[str, dict[bytes, bytes]] = {}
        for name, ranks in self._names:
            blocks.setdefault(name_suffix(name, self.name_blocks), {})[name.encode()] = encode(ranks)
        for suffix in sorted(blocks):
            yield suffix, blocks[suffix]

    def _measure(self) -> tuple[int, int, str]:
        digest = hashlib.sha256(b"reco snapshot %d, %d orders" % (self.format, self.orders or 0))
        keys = size = 0
        for suffix, value in self.entries():
            keys += 1
            parts = [suffix.encode(), *(value_parts(value))]
            for part in parts:
                digest.update(len(part).to_bytes(8, "big") + part)
            size += KEY_OVERHEAD + sum(map(len, parts))
        return keys, size, digest.hexdigest()


def _most_alike(items: pl.DataFrame, lists: pl.DataFrame) -> dict[str, int]:
    """For items without neighbours, the rank of the item with neighbours whose name is most like theirs."""
    columns = items.select("rank", "item_id", "item_name")
    return most_alike(columns.join(lists, on="item_id", how="anti"), columns.join(lists, on="item_id", how="semi"))


def _with_unsold(items: pl.DataFrame, catalogue: pl.DataFrame) -> pl.DataFrame:
    """The items, then those that the catalogue lists and no order holds, by id."""
    if not items.height:
        return items
    unsold = (
        catalogue.filter("listed")
        .unique("item_id", keep="first", maintain_order=True)
        .join(items, on="item_id", how="anti")
    )
    unsold = unsold.sort("item_id").select(
        pl.int_range(items.height + 1, items.height + 1 + pl.len(), dtype=pl.Int64).alias("rank"),
        "item_id",
        pl.coalesce("item_name", "item_id").alias("item_name"),
        "category",
        orders=pl.lit(0, pl.Int64),
        units=pl.lit(0, pl.Int64),
        share=pl.lit(0.0),
    )
    return pl.concat([items, unsold], how="diagonal")


def _plain(value: Any) -> str | int | None:
    if isinstance(value, Decimal):
        return format(value, "f")
    return value.isoformat() if isinstance(value, dt.datetime) else value


def _names_to_ranks(items: pl.DataFrame) -> list[tuple[str, list[int]]]:
    """Names that are not their item's id, each with the ranks of its items, most popular first."""
    named = items.filter(pl.col("item_name") != pl.col("item_id")).group_by("item_name", maintain_order=True)
    return sorted(named.agg(pl.col("rank").head(IDS_PER_NAME)).iter_rows())


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    try:
        return pl.read_parquet(path, columns=list(columns), glob=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise LakeError(
            f"{path} cannot be read: {str(error).splitlines()[0]}.",
            hint="Materialize its asset again, then publish.",
            path=str(path),
        ) from error


def _require_items(items: pl.DataFrame, path: Path) -> None:
    wrong = ""
    if items["rank"].to_list() != list(range(1, items.height + 1)):
        wrong = "ranks are not 1 to the number of items"
    elif items["item_id"].n_unique() != items.height or items["item_id"].null_count():
        wrong = "an item stands there twice, or without an id"
    elif items["item_name"].null_count():
        wrong = "an item has no name"
    elif items.height and (items["orders"].min() < 1 or items["share"].min() <= 0):  # type: ignore[operator]
        wrong = "an item has no orders"
    elif items.height:
        total = round(items["orders"][0] / items["share"][0])
        if (items["orders"] / total - items["share"]).abs().max() > SCORE_TOLERANCE:
            wrong = "the shares are not those of one number of orders"
    if wrong:
        raise LakeError(f"{path} is not usable: {wrong}.", hint="Materialize item_stats again.", path=str(path))


def _lists(items: pl.DataFrame, similar: pl.DataFrame, path: Path, form: int) -> pl.DataFrame:
    """One row per item with neighbours: item_id, value (JSON), neighbours (count), ranks (of the neighbours)."""
    known = items.select("item_id", pl.col("rank").alias("i"), pl.col("orders").alias("n_i"))
    other = items.select(pl.col("item_id").alias("other_id"), pl.col("rank").alias("j"), pl.col("orders").alias("n_j"))
    joined = similar.join(known, on="item_id", how="left").join(other, on="other_id", how="left").sort("i", "rank")
    _require_similar(items, joined, path, form)
    code = (pl.col("score").log() * -CODE_STEPS).round().cast(pl.Int64).clip(0)
    figure = pl.col("n_j") if form == COSINE else code
    triple = pl.concat_str(pl.lit("["), "j", pl.lit(","), "pair_orders", pl.lit(","), figure, pl.lit("]"))
    return (
        joined.group_by("item_id", maintain_order=True)
        .agg(triple.str.join(",").alias("value"), pl.len().alias("neighbours"), pl.col("j").alias("ranks"))
        .with_columns(pl.concat_str(pl.lit("["), "value", pl.lit("]")).alias("value"))
    )


def _require_similar(items: pl.DataFrame, joined: pl.DataFrame, path: Path, form: int) -> None:
    if not joined.height:
        return
    wrong = ""
    if joined["i"].null_count() or joined["j"].null_count():
        wrong = "it names items that item_stats does not know"
    else:
        total = round(items["orders"][0] / items["share"][0])
        pairs, n_i, n_j = (pl.col(name).cast(pl.Float64) for name in ("pair_orders", "n_i", "n_j"))
        score = pl.col("score")
        within = pl.when((score > 0) & (score <= 1)).then(0.0).otherwise(1.0)
        errors = joined.select(
            score=((pairs / (n_i * n_j).sqrt() - score).abs() if form == COSINE else within).max(),
            confidence=(pairs / n_i - pl.col("confidence")).abs().max(),
            lift=(pairs * total / (n_i * n_j) / pl.col("lift") - 1).abs().max(),
        ).row(0)
        if not all(error <= SCORE_TOLERANCE for error in errors):
            wrong = "its scores are not those that the counts of item_stats give"
    if wrong:
        raise LakeError(
            f"{path} does not belong to item_stats: {wrong}.",
            hint="Materialize item_stats, item_cooccurrence and similar_items again, in one run.",
            path=str(path),
        )
