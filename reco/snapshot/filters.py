"""The one place where controls and hidden items are applied to a list.

Belongs here: which item passes, and why another does not. Does not belong here: where the list comes from
(`reco.snapshot.read`), and what a caller may ask for (`reco.snapshot.controls`).

Each filter looks at one item alone, so their order changes nothing but the name of the one that is blamed. Only
`max_per_category` looks at what passed before, and so comes last.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from reco.snapshot.answers import Pick
from reco.snapshot.codec import RankEntry
from reco.snapshot.controls import Controls
from reco.snapshot.hiding import Hides

HIDDEN = "hidden"
EXCLUDED = "exclude_ids"
MAX_PER_CATEGORY = "max_per_category"

Labels = Sequence[Sequence[str]]
Filter = tuple[str, Callable[[Pick], bool]]


class Judged(NamedTuple):
    """A candidate with its place in the whole list, and the name of the filter that removed it, if one did."""

    position: int
    pick: Pick
    removed_by: str | None


class Chosen(NamedTuple):
    """A page of a list.

    following: the place of the first item of the next page, None where there is none; looked_at: candidates judged so
    far; removed: how many of them each filter removed.
    """

    picks: list[Pick]
    following: int | None
    looked_at: int
    removed: dict[str, int]


def filters_of(controls: Controls, hides: Hides, labels: Labels) -> list[Filter]:
    """The filters that have something to say. `labels` are those of each category of the snapshot, by its place."""
    found: list[Filter] = []
    if hides:
        found.append((HIDDEN, lambda pick: shown(pick.entry, hides, labels)))
    if controls.exclude_ids:
        excluded = frozenset(controls.exclude_ids)
        found.append((EXCLUDED, lambda pick: pick.entry.item_id not in excluded))
    if controls.categories:
        matches = any if controls.categories_match == "any" else all
        found.append(
            ("categories", lambda pick: matches(one in _labels(pick.entry, labels) for one in controls.categories))
        )
    if controls.min_price is not None:
        least = controls.min_price
        found.append(("min_price", lambda pick: pick.entry.price is not None and Decimal(pick.entry.price) >= least))
    if controls.max_price is not None:
        most = controls.max_price
        found.append(("max_price", lambda pick: pick.entry.price is not None and Decimal(pick.entry.price) <= most))
    if controls.in_stock is not None:
        wanted = int(controls.in_stock)
        found.append(("in_stock", lambda pick: pick.entry.in_stock == wanted))
    if controls.min_score > 0:
        found.append(("min_score", lambda pick: pick.worth >= controls.min_score))
    return found


def judge(candidates: Iterable[Pick], filters: Sequence[Filter], max_per_category: int | None) -> Iterator[Judged]:
    """Every candidate with the filter that removed it. Items without a category count as one category of their own."""
    passed: Counter[Any] = Counter()
    for position, pick in enumerate(candidates):
        blamed = next((name for name, keeps in filters if not keeps(pick)), None)
        if blamed is None and max_per_category is not None:
            passed[pick.entry.category] += 1
            if passed[pick.entry.category] > max_per_category:
                blamed = MAX_PER_CATEGORY
        yield Judged(position, pick, blamed)


def choose(judged: Iterable[Judged], start: int, limit: int) -> Chosen:
    """The first `limit` candidates from the place `start` on that nothing removed."""
    picks: list[Pick] = []
    removed: Counter[str] = Counter()
    looked_at = 0
    for one in judged:
        if one.removed_by is None and one.position >= start:
            if len(picks) == limit:
                return Chosen(picks, one.position, looked_at, dict(removed))
            picks.append(one.pick)
        looked_at += 1
        if one.removed_by is not None:
            removed[one.removed_by] += 1
    return Chosen(picks, None, looked_at, dict(removed))


def shown(entry: RankEntry, hides: Hides, labels: Labels) -> bool:
    """Whether no rule hides an item."""
    place = entry.category
    if hides.by_category and place is not None and place >= len(labels):
        return False  # the list of categories was lost: what may be hidden is not shown
    return hides.rule_of(entry.item_id, _labels(entry, labels)) is None


def _labels(entry: RankEntry, labels: Labels) -> Sequence[str]:
    place = entry.category
    return () if place is None or place >= len(labels) else labels[place]
