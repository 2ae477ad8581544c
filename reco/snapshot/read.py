"""A published snapshot: reads only.

Belongs here: questions to one snapshot, in few round trips. Does not belong here: which snapshot is current (`store`),
where its values are read from (`source`), and the form of an answer (`answers`).

A snapshot never changes, but it can be removed while a reader holds it. The manifest goes first; so each round trip
ends with a look at the manifest, and if it is still there everything read before it was whole.
"""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from reco.errors import ItemNotFound, SnapshotDamaged, UsageError
from reco.snapshot.answers import (
    POPULAR,
    POPULAR_CATEGORY,
    SIMILAR_NAME,
    Found,
    Item,
    Pick,
    basket_answer,
    popular_answer,
    similar_answer,
)
from reco.snapshot.codec import (
    STORED,
    Evidence,
    Neighbour,
    RankEntry,
    decode_entry,
    decode_figures,
    decode_neighbours,
    decode_ranks,
    evidence,
    score_of,
)
from reco.snapshot.keys import Keys, name_suffix, popular_suffix, rank_suffix, similar_suffix, stats_suffix
from reco.snapshot.manifest import Manifest
from reco.snapshot.source import Source
from reco.snapshot.wire import Command, batches

NEAR_AMONG = 300  # of the most popular items; a look at more would make unknown names expensive to ask for
NEAR_LENGTH = 80
RANKS_AT_ONCE = 10_000


class PublishedSnapshot:
    """One published snapshot.

    All methods raise RedisUnavailable when Redis does not answer, SnapshotNotFound when the snapshot was removed
    meanwhile (ask the store for the current one), and SnapshotDamaged for a value that is gone or not ours.

    manifest: as published, see `reco.snapshot.manifest`.
    """

    def __init__(self, source: Source, keys: Keys, manifest: Manifest) -> None:
        self._source = source
        self._keys = keys
        self.manifest = manifest
        self.snapshot_id: str = manifest["snapshot_id"]

    def resolve(self, text: str) -> Item:
        """The item with this id, else the most popular one with exactly this name.

        Raises:
            ItemNotFound: there is neither; the hint names near ones.
        """
        found = self._find([text])[0]
        if found is None:
            raise self._unknown(text)
        return found.item

    def similar(self, text: str, limit: int = 10) -> dict[str, Any]:
        """The answer of `similar-items`: what is bought together with an item, most similar first.

        For an item without neighbours others stand in, each labelled by its source: what is bought together with the
        item of the most similar name, then popular items of its category, then popular ones; `metadata.note` says so.

        Raises:
            ItemNotFound: see `resolve`.
        """
        _require_limit(limit)
        found = self._find([text])[0]
        if found is None:
            raise self._unknown(text)
        neighbours = found.neighbours[:limit]
        entries = self._entries(one.rank for one in neighbours)
        picks = [
            Pick(entries[one.rank], one.rank, self._evidence(found.item, one, entries[one.rank]), found.item)
            for one in neighbours
        ]
        return similar_answer(self.manifest, found.item, picks or self._stand_ins([found.item], limit), limit)

    def popular(self, limit: int = 10, category: str | None = None) -> dict[str, Any]:
        """The answer of `popular-items`: the items in most orders, of a category or of the whole shop.

        Raises:
            ItemNotFound: no item of the snapshot is of that category.
        """
        _require_limit(limit)
        return popular_answer(self.manifest, self._popular(limit, category), limit, category=category)

    def basket(self, texts: Sequence[str], limit: int = 10) -> dict[str, Any]:
        """The answer of `basket-recommendations`: what goes with all the items together.

        The score of a candidate is the sum of its scores with the known items, over their number. Nothing that is in
        the basket is recommended. When no item is known, or none has a neighbour outside the basket, others stand in,
        as for a single item; for unknown items the popular ones, with source `popular`.
        """
        _require_limit(limit)
        asked = list(dict.fromkeys(texts))
        found = self._find(asked)
        known = {one.item.item_id: one for one in found if one is not None}
        unknown = [text for text, one in zip(asked, found, strict=True) if one is None]
        picks = self._merge(list(known.values()), limit)
        if not picks:
            picks = self._stand_ins([one.item for one in known.values()], limit)
        return basket_answer(self.manifest, picks, limit, asked=asked, known=list(known), unknown=unknown)

    def item_ids(self) -> list[str]:
        """The ids of all items, most popular first. For operators: it reads as many entries as there are items."""
        ranks = range(1, self.manifest["counts"]["items"] + 1)
        return [entry.item_id for some in batches(ranks, RANKS_AT_ONCE) for entry in self._entries(some).values()]

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
                    [one.rank for one in decode_neighbours(raw, key, stored=self._stored)[:depth]]
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
    def _stored(self) -> bool:
        return bool(self.manifest["format"] == STORED)

    def _evidence(self, item: Item, neighbour: Neighbour, other: RankEntry) -> Evidence:
        return evidence(item.orders, other.orders, neighbour, self._orders, stored=self._stored)

    def _key(self, suffix: str) -> bytes:
        return self._keys.key(self.snapshot_id, suffix)

    def _fetch(self, commands: Sequence[Command]) -> list[Any]:
        return self._source.fetch(commands)

    def _find(self, texts: Sequence[str]) -> list[Found | None]:
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
            entries = self._entries(ranks.values())
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
            neighbours = decode_neighbours(similar, similar_key, stored=self._stored) if similar is not None else []
            if len(neighbours) != figures.neighbours:
                raise _gone(similar_key)
            name = item_id if figures.name is None else figures.name
            found[item_id] = Found(Item(item_id, name, figures.category, figures.rank, *figures[3:]), neighbours)
        return found

    def _entries(self, ranks: Iterable[int]) -> dict[int, RankEntry]:
        wanted = list(ranks)
        entries = self._readable_entries(wanted)
        for rank in wanted:
            if rank not in entries:
                raise _gone(self._key(rank_suffix(rank)))
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

    def _popular(self, limit: int, category: str | None) -> list[Pick]:
        key = self._key(popular_suffix(category))
        raw = self._fetch([("GET", key)])[0]
        if raw is None and category is None:
            raise _gone(key)
        if raw is None:
            raise ItemNotFound(
                f"No item of snapshot {self.snapshot_id} is of the category {category!r}.",
                hint="Categories are matched exactly; leave the category out for all items.",
                category=category,
            )
        ranks = decode_ranks(raw, key)[:limit]
        entries = self._entries(ranks)
        return [Pick(entries[rank], rank, None, None) for rank in ranks]

    def _stand_ins(self, items: Sequence[Item], limit: int) -> list[Pick]:
        """What is shown for items that nothing was bought with: by name, by category, popular."""
        taken = {item.rank for item in items}
        depth = limit + len(taken)
        picks: list[Pick] = []
        for some in self._rungs(items, depth):
            for pick in some:
                if pick.rank not in taken and len(picks) < limit:
                    taken.add(pick.rank)
                    picks.append(pick)
            if len(picks) >= limit:
                break
        return picks

    def _rungs(self, items: Sequence[Item], depth: int) -> Iterator[list[Pick]]:
        for item in items:
            if item.like:
                yield self._by_name(item, depth)
        for category in dict.fromkeys(item.category for item in items if item.category):
            yield self._popular_or_none(2 * depth, category)
        yield self._popular_or_none(3 * depth, None)

    def _by_name(self, item: Item, limit: int) -> list[Pick]:
        """What is bought together with the item whose name is most like this one's."""
        assert item.like is not None
        like = self._by_id([self._entries([item.like])[item.like].item_id])
        found = next(iter(like.values()))
        neighbours = found.neighbours[:limit]
        entries = self._entries(one.rank for one in neighbours)
        return [
            Pick(
                entries[one.rank],
                one.rank,
                self._evidence(found.item, one, entries[one.rank]),
                found.item,
                source=SIMILAR_NAME,
            )
            for one in neighbours
        ]

    def _popular_or_none(self, limit: int, category: str | None) -> list[Pick]:
        """Popular items that stand in, scored against the first; none where a category never sold anything."""
        try:
            picks = self._popular(limit, category)
        except ItemNotFound:
            return []
        source = POPULAR if category is None else POPULAR_CATEGORY
        return [pick._replace(score=pick.entry.orders / picks[0].entry.orders, source=source) for pick in picks]

    def _merge(self, basket: Sequence[Found], limit: int) -> list[Pick]:
        scores: dict[int, float] = {}
        best: dict[int, tuple[float, Found, Neighbour]] = {}
        for one in basket:
            for neighbour in one.neighbours:
                score = score_of(one.item.orders, neighbour, stored=self._stored)
                scores[neighbour.rank] = scores.get(neighbour.rank, 0.0) + score
                if neighbour.rank not in best or score > best[neighbour.rank][0]:
                    best[neighbour.rank] = (score, one, neighbour)
        for one in basket:
            scores.pop(one.item.rank, None)
        chosen = sorted(scores, key=lambda rank: (-scores[rank], rank))[:limit]
        entries = self._entries(chosen)
        picks = []
        for rank in chosen:
            _, one, neighbour = best[rank]
            proof = self._evidence(one.item, neighbour, entries[rank])
            picks.append(Pick(entries[rank], rank, proof, one.item, scores[rank] / len(basket)))
        return picks

    def _unknown(self, text: str) -> ItemNotFound:
        entries = self._readable_entries(range(1, min(NEAR_AMONG, self.manifest["counts"]["items"]) + 1)).values()
        names = {word.casefold(): word for entry in entries for word in (entry.item_id, entry.name or entry.item_id)}
        near = difflib.get_close_matches(text[:NEAR_LENGTH].casefold(), names, n=3, cutoff=0.6)
        return ItemNotFound(
            f"Snapshot {self.snapshot_id} knows no item {text[:NEAR_LENGTH]!r}, neither as id nor as name.",
            hint=f"Near: {', '.join(names[one] for one in near)}." if near else "Names are matched exactly.",
            item=text[:NEAR_LENGTH],
            near=[names[one] for one in near],
        )


def _require_limit(limit: int) -> None:
    if limit < 1:
        raise UsageError(f"A limit of {limit} items makes no sense.", hint="Ask for at least 1.")


def _gone(key: bytes) -> SnapshotDamaged:
    name = key.decode("utf-8", "replace")
    return SnapshotDamaged(
        f"{name} is not what its snapshot needs: something removed or changed it in Redis.",
        hint="Run `reco run`: it publishes the lake anew when the served snapshot is damaged.",
        key=name,
    )
