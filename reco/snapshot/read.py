"""A published snapshot, to be asked: what is popular, what grows, what goes with an item or a basket.

Belongs here: which items are candidates of an answer, in which order. Does not belong here: reading values
(`reco.snapshot.access`), which candidates pass (`reco.snapshot.filters`), the form of a body (`reco.snapshot.answers`).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from reco.errors import FactsMissing, ItemNotFound
from reco.model.growth import growth
from reco.snapshot.access import SnapshotValues
from reco.snapshot.answers import (
    BASKET,
    POPULAR,
    POPULAR_CATEGORY,
    SIMILAR,
    SIMILAR_NAME,
    Found,
    Growth,
    Item,
    Page,
    Pick,
    added,
    basket_answer,
    basket_question,
    popular_answer,
    similar_answer,
    trending_answer,
)
from reco.snapshot.codec import Neighbour, RankEntry, Trends, score_of
from reco.snapshot.controls import Controls, read_cursor, write_cursor
from reco.snapshot.filters import Filter, Judged, choose, filters_of, judge
from reco.snapshot.hiding import NOTHING, Hides
from reco.snapshot.wire import batches

AHEAD = 100
"""Entries read at once where filters may remove many."""

MAX_ORDER_ITEMS = 100
"""Items of an order that are looked at, as many as a basket may have: an order of thousands must not hold up others."""

Asked = Controls | int


class PublishedSnapshot(SnapshotValues):
    """One published snapshot.

    Every list takes `Controls` (or a number, which is a limit) and the items that are hidden. All of them raise

        UsageError: a control makes no sense; CursorInvalid, CursorExpired: the cursor is of something else;
        FactsMissing: categories, prices or stock are asked for, and the snapshot knows none.
    """

    def similar(self, text: str, asked: Asked = 10, hides: Hides = NOTHING) -> dict[str, Any]:
        """The answer of `similar-items`: what is bought together with an item, most similar first.

        For an item without neighbours others stand in, each labelled by its source: what is bought together with the
        item of the most similar name, then popular items of its category, then popular ones; `metadata.note` says so.

        Raises:
            ItemNotFound: see `resolve`.
        """
        controls = Controls.of(asked)
        found = self.find([text])[0]
        if found is None:
            raise self._unknown(text, hides)
        candidates, source = self.candidates_of([found], controls)
        page = self._page(candidates, controls, hides, ("similar-items", {"item": found.item.item_id}))
        return similar_answer(self.manifest, found.item, page, source=source or SIMILAR)

    def popular(self, asked: Asked = 10, category: str | None = None, hides: Hides = NOTHING) -> dict[str, Any]:
        """The answer of `popular-items`: the items in most orders, of a category or of the whole shop.

        Raises:
            ItemNotFound: no item of the snapshot is of that category.
        """
        controls = Controls.of(asked)
        candidates = self.popular_candidates(controls, category)
        page = self._page(candidates, controls, hides, ("popular-items", {"category": category}))
        return popular_answer(self.manifest, page, category=category)

    def trending(self, asked: Asked = 10, hides: Hides = NOTHING) -> dict[str, Any]:
        """The answer of `trending-items`: the items whose orders grow most, see `reco.model.trends`.

        Raises:
            FactsMissing: the orders have no times, or too few days.
        """
        controls = Controls.of(asked)
        trends = self.trends()
        if trends is None:
            raise FactsMissing(
                "The orders of this snapshot have no times, or too few days to compare: nothing is known to grow.",
                hint="Map a column to `ordered_at` in the source profile; `reco inspect FILE` shows what is mapped.",
            )
        page = self._page(self._growing(trends, controls), controls, hides, ("trending-items", {}))
        return trending_answer(self.manifest, page, trends=trends)

    def basket(
        self,
        items: Sequence[str] | Mapping[str, int | None],
        asked: Asked = 10,
        hides: Hides = NOTHING,
        *,
        order: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The answer of `basket-recommendations`: what goes with all the items together.

        The score of a candidate is the mean of its scores with the known items, each weighted by 1 + ln(quantity).
        Nothing that is in the basket is recommended. When no item is known, or none has a neighbour outside the basket,
        others stand in, as for a single item; for unknown items the popular ones, with source `popular`.

        Args:
            items: ids or exact names; with their quantities, None where none was given, which weighs like one.
            asked: what of the list is wanted.
            hides: what is not to be recommended.
            order: the order that the basket is, for the answer of `recommendations/{order_id}`; then `items` are ids,
                of which the first 100 are looked at. The others are not recommended either.
        """
        controls = Controls.of(asked)
        counted: dict[str, int | None] = dict(items) if isinstance(items, Mapping) else dict.fromkeys(items)
        beyond = list(counted)[MAX_ORDER_ITEMS:] if order is not None else []
        for text in beyond:
            del counted[text]
        found = self.find(list(counted))
        known, weights = _weighed(found, counted)
        unknown = [text for text, one in zip(counted, found, strict=True) if one is None]
        candidates, source = self.candidates_of(known, controls, weights)
        if beyond:
            left_out = frozenset(beyond)
            candidates = (one for one in candidates if one.entry.item_id not in left_out)
        question = basket_question(counted, order)
        page = self._page(candidates, controls, hides, question)
        return basket_answer(
            self.manifest,
            page,
            question=question,
            known=[one.item.item_id for one in known] + beyond,
            unknown=unknown,
            source=source or BASKET,
        )

    def candidates_of(
        self, known: Sequence[Found], controls: Controls, weights: Sequence[float] = ()
    ) -> tuple[Iterator[Pick], str | None]:
        """What may be recommended with these items, best first, and the source of what stands in for them."""
        merged = _merge(known, weights or [1.0] * len(known), stored=self.stored)
        if merged.ranks:
            return self._together(merged, controls), None
        picks = self._stand_ins([one.item for one in known], controls)
        first = next(picks, None)
        return (iter(()), POPULAR) if first is None else (chain([first], picks), first.source)

    def popular_candidates(self, controls: Controls, category: str | None) -> Iterator[Pick]:
        """Popular items, most popular first: of a category, of the categories that are asked for, or of all."""
        by_label = category is None and controls.categories
        ranks = self._ranks_of(controls) if by_label else self._popular_ranks(category)
        return self._by_ranks(ranks, controls, None)

    def verdicts(self, candidates: Iterable[Pick], controls: Controls, hides: Hides) -> Iterator[Judged]:
        """Each candidate with the filter that removed it."""
        return judge(candidates, self.filters(controls, hides), controls.max_per_category)

    def filters(self, controls: Controls, hides: Hides) -> list[Filter]:
        """The filters of a question.

        Raises:
            FactsMissing: the snapshot does not know what they look at.
        """
        labelled = bool(controls.categories or controls.max_per_category) or hides.by_category
        labels = self.labels() if labelled else ()
        for name, missing in (
            ("categories", bool(controls.categories or controls.max_per_category) and not labels),
            ("prices", _priced(controls) and not self.manifest.get("priced_items")),
            ("stock", controls.in_stock is not None and not self.manifest.get("stocked_items")),
        ):
            if missing:
                raise FactsMissing(
                    f"Items cannot be chosen by {name}: no item of this snapshot has any.",
                    hint="Give the shop a catalogue with that column, then run `reco run`.",
                )
        return filters_of(controls, hides, labels)

    def _page(
        self, candidates: Iterable[Pick], controls: Controls, hides: Hides, question: tuple[str, dict[str, Any]]
    ) -> Page:
        whole = {"route": question[0], **question[1], **controls.narrowing()}
        start = read_cursor(controls.cursor, self.snapshot_id, whole)
        chosen = choose(self.verdicts(candidates, controls, hides), start, controls.limit)
        cursor = None if chosen.following is None else write_cursor(self.snapshot_id, whole, chosen.following)
        return Page(controls, chosen.picks, cursor, chosen.looked_at, chosen.removed)

    def _by_ranks(self, ranks: Sequence[int], controls: Controls, source: str | None) -> Iterator[Pick]:
        first = 0
        for rank, entry in self._each(ranks, controls, lambda rank: rank):
            first = first or entry.orders
            yield Pick(entry, rank, None, None, entry.orders / first if first else 0.0, source)

    def _growing(self, trends: Trends, controls: Controls) -> Iterator[Pick]:
        for one, entry in self._each(trends.items, controls, lambda one: one.rank):
            ratio = growth(one.recent, one.before, trends.recent, trends.before)
            known = Growth(one.recent, one.before, ratio, trends.days)
            yield Pick(entry, one.rank, None, None, max(0.0, 1 - 1 / ratio), growth=known)

    def _together(self, merged: "_Merged", controls: Controls) -> Iterator[Pick]:
        several = len(merged.basket) > 1
        parts = merged.parts(stored=self.stored) if controls.explain and several else {}
        for rank, entry in self._each(merged.ranks, controls, lambda rank: rank):
            _, one, neighbour = merged.best[rank]
            proof = self._evidence(one.item, neighbour, entry)
            score = merged.scores[rank] if several else None
            yield Pick(entry, rank, proof, one.item, score, parts=tuple(parts.get(rank, ())))

    def _each(
        self, wanted: Sequence[Any], controls: Controls, rank_of: Callable[[Any], int]
    ) -> Iterator[tuple[Any, RankEntry]]:
        """Each with its entry; as many entries are read at once as are likely to be needed."""
        for some in batches(wanted, controls.limit + 1 if controls.plain else max(AHEAD, controls.limit + 1)):
            entries = self.entries(rank_of(one) for one in some)
            for one in some:
                yield one, entries[rank_of(one)]

    def _ranks_of(self, controls: Controls) -> list[int]:
        """The ranks of what is popular in any category that passes the filter."""
        matches = any if controls.categories_match == "any" else all
        ranks: set[int] = set()
        for one, labels in zip(self.categories(), self.labels(), strict=True):
            if one.sold and matches(wanted in labels for wanted in controls.categories):
                ranks.update(self._popular_ranks(one.name))
        return sorted(ranks)

    def _stand_ins(self, items: Sequence[Item], controls: Controls) -> Iterator[Pick]:
        """What is shown for items that nothing was bought with: by name, by category, popular; as far as it is read."""
        taken = {item.rank for item in items}
        for pick in self._rungs(items, controls):
            if pick.rank not in taken:
                taken.add(pick.rank)
                yield pick

    def _rungs(self, items: Sequence[Item], controls: Controls) -> Iterator[Pick]:
        for item in items:
            if item.like:
                yield from self._by_name(item, controls)
        for category in dict.fromkeys(item.category for item in items if item.category):
            try:
                ranks = self._popular_ranks(category)
            except ItemNotFound:
                continue  # a category in which nothing was sold
            yield from self._by_ranks(ranks, controls, POPULAR_CATEGORY)
        yield from self._by_ranks(self._popular_ranks(None), controls, POPULAR)

    def _by_name(self, item: Item, controls: Controls) -> Iterator[Pick]:
        """What is bought together with the item whose name is most like this one's."""
        assert item.like is not None
        like = self._by_id([self.entries([item.like])[item.like].item_id])
        found = next(iter(like.values()))
        for one, entry in self._each(found.neighbours, controls, lambda one: one.rank):
            proof = self._evidence(found.item, one, entry)
            yield Pick(entry, one.rank, proof, found.item, source=SIMILAR_NAME)


class _Merged:
    """The neighbours of all items of a basket in one list.

    ranks: best first; scores: the weighted mean of a rank's scores; best: the item of the basket that it is most
    similar to.
    """

    def __init__(self, basket: Sequence[Found], weights: Sequence[float]) -> None:
        self.basket = basket
        self._weights = weights
        self.scores: dict[int, float] = {}
        self.best: dict[int, tuple[float, Found, Neighbour]] = {}
        self.ranks: list[int] = []

    def parts(self, *, stored: bool) -> dict[int, list[tuple[str, float, float]]]:
        """By rank, id, score and weight of each item of the basket that speaks for it: each list is read once."""
        found: dict[int, list[tuple[str, float, float]]] = {}
        for one, weight in zip(self.basket, self._weights, strict=True):
            for neighbour in one.neighbours:
                score = score_of(one.item.orders, neighbour, stored=stored)
                found.setdefault(neighbour.rank, []).append((one.item.item_id, score, weight))
        return found


def _merge(basket: Sequence[Found], weights: Sequence[float], *, stored: bool) -> _Merged:
    merged = _Merged(basket, weights)
    scores, best = merged.scores, merged.best
    for one, weight in zip(basket, weights, strict=True):
        for neighbour in one.neighbours:
            score = score_of(one.item.orders, neighbour, stored=stored)
            scores[neighbour.rank] = scores.get(neighbour.rank, 0.0) + weight * score
            if neighbour.rank not in best or score > best[neighbour.rank][0]:
                best[neighbour.rank] = (score, one, neighbour)
    for one in basket:
        scores.pop(one.item.rank, None)
    if len(basket) == 1:  # its list is in order already
        merged.ranks = [one.rank for one in basket[0].neighbours if one.rank in scores]
        return merged
    whole = sum(weights)
    for rank in scores:
        scores[rank] /= whole
    merged.ranks = sorted(scores, key=lambda rank: (-scores[rank], rank))
    return merged


def _weighed(found: Sequence[Found | None], counted: Mapping[str, int | None]) -> tuple[list[Found], list[float]]:
    """The known items, each once, and their weights; an item given by id and by name counts both quantities."""
    known: dict[str, Found] = {}
    quantities: dict[str, int | None] = {}
    for one, quantity in zip(found, counted.values(), strict=True):
        if one is not None:
            quantities[one.item.item_id] = added(quantities.get(one.item.item_id), quantity)
            known[one.item.item_id] = one
    return list(known.values()), [1 + math.log(quantity or 1) for quantity in quantities.values()]


def _priced(controls: Controls) -> bool:
    return controls.min_price is not None or controls.max_price is not None
