"""Reading the values of one snapshot: items by id or name, entries by rank, and what goes with them.

Belongs here: which keys are read, and that they are what a publish wrote. Does not belong here: what is made of them
(`reco.snapshot.read`).

A snapshot never changes, but it can be removed while a reader holds it. The manifest goes first; so each round trip
ends with a look at the manifest, and if it is still there everything read before it was whole.
"""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from reco.errors import ItemNotFound, SnapshotDamaged
from reco.snapshot.answers import Found, Item
from reco.snapshot.codec import (
    STORED,
    CategoryEntry,
    Evidence,
    Neighbour,
    RankEntry,
    Trends,
    decode_categories,
    decode_entry,
    decode_figures,
    decode_neighbours,
    decode_ranks,
    decode_trends,
    evidence,
)
from reco.snapshot.filters import shown
from reco.snapshot.hiding import NOTHING, Hides, labels_of
from reco.snapshot.index import Index
from reco.snapshot.keys import (
    CATEGORIES,
    TRENDING,
    Keys,
    name_suffix,
    popular_suffix,
    rank_suffix,
    search_suffix,
    similar_suffix,
    stats_suffix,
)
from reco.snapshot.manifest import Manifest
from reco.snapshot.source import Source
from reco.snapshot.wire import Command, batches

NEAR_AMONG = 300  # of the most popular items; a look at more would make unknown names expensive to ask for
NEAR_LENGTH = 80
RANKS_AT_ONCE = 10_000


class SnapshotValues:
    """The values of one published snapshot.

    All methods raise RedisUnavailable when Redis does not answer, SnapshotNotFound when the snapshot was removed
    meanwhile (ask the store for the current one), and SnapshotDamaged for a value that is gone or not ours.

    manifest: as published, see `reco.snapshot.manifest`.
    """

    def __init__(self, source: Source, keys: Keys, manifest: Manifest) -> None:
        self._source = source
        self._keys = keys
        self.manifest = manifest
        self.snapshot_id: str = manifest["snapshot_id"]
        self._labels: Sequence[Sequence[str]] | None = None

    def resolve(self, text: str, hides: Hides = NOTHING) -> Item:
        """The item with this id, else the most popular one with exactly this name.

        Raises:
            ItemNotFound: there is neither; the hint names near ones that are not hidden.
        """
        found = self.find([text])[0]
        if found is None:
            raise self._unknown(text, hides)
        return found.item

    def categories(self) -> list[CategoryEntry]:
        """Every category with its number of items, by name; empty where the shop has none."""
        key = self._key(CATEGORIES)
        raw = self._fetch([("GET", key)])[0]
        return [] if raw is None else decode_categories(raw, key)

    def labels(self) -> Sequence[Sequence[str]]:
        """What an item of each category is of, by the category's place."""
        if self._labels is None:
            self._labels = [labels_of(one.name) for one in self.categories()]
        return self._labels

    def category_name(self, place: int | None) -> str | None:
        """The name of the category at a place."""
        if place is None:
            return None
        labels = self.labels()
        return labels[place][0] if place < len(labels) and labels[place] else None

    def trends(self) -> Trends | None:
        """The items that grow, most first; None where the orders have no times, or too few days."""
        key = self._key(TRENDING)
        raw = self._fetch([("GET", key)])[0]
        return None if raw is None else decode_trends(raw, key)

    def index(self) -> Index:
        """The search index."""
        found = Index()
        keys = [self._key(search_suffix(part)) for part in range(self.manifest.get("search_parts", 0))]
        for key, raw in zip(keys, self._fetch([("GET", key) for key in keys]) if keys else (), strict=True):
            if raw is None:
                raise gone(key)
            found.add(raw, key)
        return found.close()

    def entry_of(self, item: Item) -> RankEntry:
        """The entry of an item, which has its price and stock."""
        return self.entries([item.rank])[item.rank]

    def item_ids(self) -> list[str]:
        """The ids of all items, most popular first. For operators: it reads as many entries as there are items."""
        ranks = range(1, self.manifest["counts"]["items"] + 1)
        return [entry.item_id for some in batches(ranks, RANKS_AT_ONCE) for entry in self.entries(some).values()]

    def top_lists(self, items: int, depth: int) -> dict[str, list[str]]:
        """For the most popular items with neighbours: the ids of the first `depth`; damaged lists are left out."""
        ranks = range(1, min(items, self.manifest["counts"]["items"]) + 1)
        return self.lists_of([entry.item_id for entry in self._readable_entries(ranks).values()], depth)

    def lists_of(self, item_ids: Sequence[str], depth: int) -> dict[str, list[str]]:
        """The ids of the first `depth` neighbours of these items; unknown items and damaged lists are left out."""
        keys = {item_id: self._key(similar_suffix(item_id)) for item_id in item_ids}
        lists: dict[str, list[int]] = {}
        for (item_id, key), raw in zip(keys.items(), self._fetch([("GET", key) for key in keys.values()]), strict=True):
            try:
                lists[item_id] = (
                    [one.rank for one in decode_neighbours(raw, key, stored=self.stored)[:depth]]
                    if raw is not None
                    else []
                )
            except SnapshotDamaged:
                continue
        names = self._readable_entries({rank for ranks in lists.values() for rank in ranks})
        known = {item_id: [names[rank].item_id for rank in ranks if rank in names] for item_id, ranks in lists.items()}
        return {item_id: ids for item_id, ids in known.items() if ids}

    @property
    def _orders(self) -> int:
        return int(self.manifest["counts"]["orders"])

    @property
    def stored(self) -> bool:
        """Whether its scores are stored, and not computed from counts."""
        return bool(self.manifest["format"] == STORED)

    def _evidence(self, item: Item, neighbour: Neighbour, other: RankEntry) -> Evidence:
        return evidence(item.orders, other.orders, neighbour, self._orders, stored=self.stored)

    def _key(self, suffix: str) -> bytes:
        return self._keys.key(self.snapshot_id, suffix)

    def _fetch(self, commands: Sequence[Command]) -> list[Any]:
        return self._source.fetch(commands)

    def find(self, texts: Sequence[str]) -> list[Found | None]:
        """Items by id, else by name, each with its neighbours: one round trip, two more when some are given by name."""
        found = self._by_id(texts)
        missing = [text for text in texts if text not in found]
        blocks = self.manifest["name_blocks"]
        if missing and blocks:
            commands: list[Command] = [
                ("HGET", self._key(name_suffix(text, blocks)), text.encode("utf-8", "surrogatepass"))
                for text in missing
            ]
            ranks = {
                text: decode_ranks(raw, command[1])[0]  # type: ignore[arg-type]
                for text, command, raw in zip(missing, commands, self._fetch(commands), strict=True)
                if raw is not None
            }
            entries = self.entries(ranks.values())
            named = self._by_id([entries[rank].item_id for rank in ranks.values()])
            found |= {text: named[entries[rank].item_id] for text, rank in ranks.items()}
        return [found.get(text) for text in texts]

    def _by_id(self, item_ids: Sequence[str]) -> dict[str, Found]:
        pairs = [(self._key(stats_suffix(one)), self._key(similar_suffix(one))) for one in item_ids]
        replies = iter(self._fetch([("GET", key) for pair in pairs for key in pair]))
        found = {}
        for item_id, (stats_key, similar_key) in zip(item_ids, pairs, strict=True):
            stats, similar = next(replies), next(replies)
            if stats is None:
                continue
            figures = decode_figures(stats, stats_key)
            neighbours = decode_neighbours(similar, similar_key, stored=self.stored) if similar is not None else []
            if len(neighbours) != figures.neighbours:
                raise gone(similar_key)
            name = item_id if figures.name is None else figures.name
            found[item_id] = Found(Item(item_id, name, figures.category, figures.rank, *figures[3:]), neighbours)
        return found

    def entries(self, ranks: Iterable[int]) -> dict[int, RankEntry]:
        """The entries of these ranks."""
        wanted = list(ranks)
        entries = self._readable_entries(wanted)
        for rank in wanted:
            if rank not in entries:
                raise gone(self._key(rank_suffix(rank)))
        return entries

    def _readable_entries(self, ranks: Iterable[int]) -> dict[int, RankEntry]:
        blocks: dict[str, list[int]] = {}
        for rank in dict.fromkeys(ranks):
            blocks.setdefault(rank_suffix(rank), []).append(rank)
        if not blocks:
            return {}
        replies = self._fetch([("HMGET", self._key(suffix), *wanted) for suffix, wanted in blocks.items()])
        return {
            rank: decode_entry(raw, self._key(suffix))
            for (suffix, wanted), fields in zip(blocks.items(), replies, strict=True)
            for rank, raw in zip(wanted, fields, strict=True)
            if raw is not None
        }

    def _popular_ranks(self, category: str | None) -> list[int]:
        """The ranks of the popular items.

        Raises:
            ItemNotFound: no item of the snapshot that was sold is of that category.
        """
        key = self._key(popular_suffix(category))
        raw = self._fetch([("GET", key)])[0]
        if raw is None and category is None:
            raise gone(key)
        if raw is None:
            raise ItemNotFound(
                f"No item of snapshot {self.snapshot_id} is of the category {category!r}.",
                hint="Categories are matched exactly; leave the category out for all items.",
                category=category,
            )
        return decode_ranks(raw, key)

    def _unknown(self, text: str, hides: Hides) -> ItemNotFound:
        entries = self._readable_entries(range(1, min(NEAR_AMONG, self.manifest["counts"]["items"]) + 1)).values()
        labels = self.labels() if hides.by_category else ()
        told = [(one.item_id, one.name or one.item_id) for one in entries if shown(one, hides, labels)]
        names = {word.casefold(): word for words in told for word in words}
        near = difflib.get_close_matches(text[:NEAR_LENGTH].casefold(), names, n=3, cutoff=0.6)
        return ItemNotFound(
            f"Snapshot {self.snapshot_id} knows no item {text[:NEAR_LENGTH]!r}, neither as id nor as name.",
            hint=f"Near: {', '.join(names[one] for one in near)}." if near else "Names are matched exactly.",
            item=text[:NEAR_LENGTH],
            near=[names[one] for one in near],
        )


def gone(key: bytes) -> SnapshotDamaged:
    """The error for a key that should be there."""
    name = key.decode("utf-8", "replace")
    return SnapshotDamaged(
        f"{name} is not what its snapshot needs: something removed or changed it in Redis.",
        hint="Run `reco run`: it publishes the lake anew when the served snapshot is damaged.",
        key=name,
    )
