"""A copy of a snapshot in this process, and what it can still offer where the copy is not whole.

Belongs here: which keys a copy needs, in which order, and the popular items that stand in for a damaged answer. Does
not belong here: the connection the values come through, and which snapshot to copy.
"""

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from reco.errors import SnapshotDamaged
from reco.snapshot.access import gone
from reco.snapshot.answers import POPULAR, POPULAR_CATEGORY, Page, Pick, stand_in_answer
from reco.snapshot.codec import Value, decode_entry, decode_figures, decode_ranks
from reco.snapshot.controls import Controls
from reco.snapshot.filters import choose, judge
from reco.snapshot.hiding import NOTHING, Hides
from reco.snapshot.index import Index
from reco.snapshot.keys import (
    BLOCK,
    CATEGORIES,
    POPULAR_ALL,
    TRENDING,
    Keys,
    name_suffix,
    popular_suffix,
    search_suffix,
    similar_suffix,
    stats_suffix,
)
from reco.snapshot.manifest import Manifest
from reco.snapshot.read import PublishedSnapshot
from reco.snapshot.source import MemorySource
from reco.snapshot.wire import Command, batches

_BLOCKS = 4  # hashes in one round trip: some five hundred items, which take a few milliseconds to look through
_STAND_INS = 1000  # of the most popular items

Asking = Generator[list[Command], list[Any], None]


class MemorySnapshot(PublishedSnapshot):
    """A snapshot whose values are all in memory: it answers without Redis, and as Redis would.

    whole: every key of the snapshot was there when it was copied. If not, "unknown" may also mean "lost".
    lists: how many items have neighbours of their own.
    """

    def __init__(
        self, values: dict[bytes, Value], keys: Keys, manifest: Manifest, *, whole: bool, index: Index | None = None
    ) -> None:
        super().__init__(MemorySource(values), keys, manifest)
        self.whole = whole
        self.lists = sum(key.endswith(b":similar") and b":item:" in key for key in values)
        self._index = index

    def index(self) -> Index:
        """The search index, which was put together while the snapshot was copied.

        Raises:
            SnapshotDamaged: a part of it was lost.
        """
        if self._index is None:
            raise gone(self._key(search_suffix(0)))
        return self._index

    def stand_in(
        self,
        route: str,
        parameters: dict[str, Any],
        texts: Sequence[str],
        controls: Controls,
        hides: Hides = NOTHING,
    ) -> dict[str, Any]:
        """Popular items instead of an answer that cannot be given: of the category of what was asked, else of all.

        Nothing that was asked for (`texts`: ids or names) is among them, and nothing that is hidden.

        Raises:
            SnapshotDamaged: not even the popular items are left.
        """
        filters = self.filters(controls, hides)
        category = next(filter(None, map(self._category_of, texts)), parameters.get("category"))
        lists: list[tuple[str, Sequence[int]]] = (
            [] if category is None else [(POPULAR_CATEGORY, self._ranks_left(category))]
        )
        lists.append((POPULAR, range(1, min(_STAND_INS + len(texts), self.manifest["counts"]["items"]) + 1)))
        looked_at = 0
        for source, ranks in lists:
            judged = judge(self._left(ranks, set(texts)), filters, controls.max_per_category)
            chosen = choose(judged, 0, controls.limit)
            looked_at += chosen.looked_at
            if chosen.picks:
                page = Page(controls, chosen.picks, None, chosen.looked_at, chosen.removed)
                return stand_in_answer(self.manifest, page, route, parameters, source=source)
        if looked_at:
            return stand_in_answer(
                self.manifest, Page(controls, [], removed={"all": 1}), route, parameters, source=POPULAR
            )
        raise SnapshotDamaged(
            f"Too little is left of snapshot {self.snapshot_id} to recommend anything.",
            hint="Run `reco run`: it publishes the lake anew when the served snapshot is damaged.",
            snapshot_id=self.snapshot_id,
        )

    def _left(self, ranks: Iterable[int], taken: Collection[str]) -> Iterator[Pick]:
        first = 0
        for rank in ranks:
            with suppress(SnapshotDamaged):
                entry = self._readable_entries([rank]).get(rank)
                if entry is not None and not {entry.item_id, entry.name} & set(taken):
                    first = first or entry.orders
                    yield Pick(entry, rank, None, None, entry.orders / first if first else 0.0)

    def _ranks_left(self, category: str) -> list[int]:
        key = self._key(popular_suffix(category))
        with suppress(SnapshotDamaged):
            raw = self._fetch([("GET", key)])[0]
            return [] if raw is None else decode_ranks(raw, key)
        return []

    def _category_of(self, text: str) -> str | None:
        """The category of the item with this id or name, as far as the copy still tells."""
        with suppress(SnapshotDamaged):
            for item_id in (text, self._id_of_name(text)):
                if item_id is None:
                    continue
                key = self._key(stats_suffix(item_id))
                raw = self._fetch([("GET", key)])[0]
                if raw is not None:
                    return decode_figures(raw, key).category
        return None

    def _id_of_name(self, name: str) -> str | None:
        if not self.manifest["name_blocks"]:
            return None
        key = self._key(name_suffix(name, self.manifest["name_blocks"]))
        raw = self._fetch([("HGET", key, name.encode("utf-8", "surrogatepass"))])[0]
        ranks = [] if raw is None else decode_ranks(raw, key)[:1]
        return next((entry.item_id for entry in self._readable_entries(ranks).values()), None)


def copy_snapshot(keys: Keys, manifest: Manifest) -> Generator[list[Command], list[Any], MemorySnapshot]:
    """The plan of a copy: yields commands (MGET or HGETALL), is sent their replies, returns the copy.

    A hash of another kind than asked for is to be sent as None; it counts as lost, like a key that is not there.
    Nothing is scanned: which items, names and categories there are follows from the manifest and the values themselves.
    Between two yields little is computed, so that a service can answer while it copies.
    """
    sid, counts = manifest["snapshot_id"], manifest["counts"]
    held: dict[bytes, Value] = {}
    items, categories = 0, set[str]()
    blocks = [keys.key(sid, f"ranks:{block}") for block in range(-(-counts["items"] // BLOCK))]
    for batch in batches(blocks, _BLOCKS):
        yield from _take_hashes(held, batch)
        ids = _item_ids(held, batch)
        items += len(ids)
        stats = [keys.key(sid, stats_suffix(one)) for one in ids]
        yield from _take_texts(held, stats)
        categories |= _categories(held, stats)
        yield from _take_texts(held, [keys.key(sid, similar_suffix(one)) for one in ids])
    # The trends and the categories are not there in every shop: a key that is not there is no loss by itself.
    popular = [POPULAR_ALL, TRENDING, CATEGORIES, *map(popular_suffix, sorted(categories))]
    for some in batches(popular):
        yield from _take_texts(held, [keys.key(sid, suffix) for suffix in some])
    for numbers in batches(range(manifest["name_blocks"]), _BLOCKS):
        yield from _take_hashes(held, [keys.key(sid, f"names:{block}") for block in numbers])
    parts = range(manifest.get("search_parts", 0))
    index: Index | None = Index()
    for part in parts:
        key = keys.key(sid, search_suffix(part))
        index = _with_part(index, key, (yield [("MGET", key)])[0][0])
    found = len(held) + (len(parts) if index is not None else 0)
    whole = items == counts["items"] and found == counts["keys"]
    return MemorySnapshot(held, keys, manifest, whole=whole, index=index and index.close())


def _with_part(index: Index | None, key: bytes, raw: bytes | None) -> Index | None:
    """The index with one more part; None where a part was lost or is not ours: it would not find what it should."""
    if index is None or raw is None:
        return None
    try:
        index.add(raw, key)
    except SnapshotDamaged:
        return None
    return index


def _take_hashes(held: dict[bytes, Value], wanted: Sequence[bytes]) -> Asking:
    replies = yield [("HGETALL", key) for key in wanted]
    held.update((key, reply) for key, reply in zip(wanted, replies, strict=True) if reply)


def _take_texts(held: dict[bytes, Value], wanted: Sequence[bytes]) -> Asking:
    if wanted:
        replies = (yield [("MGET", *wanted)])[0]
        held.update((key, reply) for key, reply in zip(wanted, replies, strict=True) if reply is not None)


def _item_ids(held: dict[bytes, Value], blocks: Iterable[bytes]) -> list[str]:
    ids = []
    for key in blocks:
        value = held.get(key, {})
        for raw in value.values() if isinstance(value, dict) else ():
            with suppress(SnapshotDamaged):
                ids.append(decode_entry(raw, key).item_id)
    return ids


def _categories(held: dict[bytes, Value], stats: Iterable[bytes]) -> set[str]:
    found = set()
    for key in stats:
        value = held.get(key)
        if isinstance(value, bytes):
            with suppress(SnapshotDamaged):
                category = decode_figures(value, key).category
                if isinstance(category, str):
                    found.add(category)
    return found
