"""Finding items by what somebody types: whole words, their beginnings, parts of them, and simple typos.

Belongs here: matching and ranking. Does not belong here: the index (`reco.snapshot.index`) and folding (`words`).

Every word of the query must fit a word of the item's name or id: whole (1), as its beginning (0.8), as a part of it
(0.6, from three letters on) or with one typo: a letter too many, missing, wrong, or two exchanged (0.5, from four
letters on; typos are tried only where nothing else fits). A single letter must be a whole word, unless it is the last
one, which may still be being typed. An item's score is the mean over the words; one whose whole name is what was typed
comes first, one whose name begins with it next; equal ones are settled by popularity. The item whose id or name is
exactly what was typed is always found, and comes before all others.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from reco.errors import FactsMissing, SnapshotDamaged, UsageError
from reco.snapshot.answers import Pick
from reco.snapshot.codec import RankEntry
from reco.snapshot.controls import Controls, read_cursor, write_cursor
from reco.snapshot.details import metadata_of
from reco.snapshot.filters import Filter
from reco.snapshot.hiding import NOTHING, Hides
from reco.snapshot.index import Index
from reco.snapshot.read import PublishedSnapshot
from reco.snapshot.words import fold, words_of

MAX_QUERY = 200
MAX_WORDS = 8
MAX_FITTING = 2000
"""Words of the index that one typed word may stand for; more say too little to look through all of them."""

MAX_HITS = 2000
"""Items that can be paged through; more say that the question says too little."""

AT_ONCE = 200
_WHOLE, _BEGINNING, _PART, _TYPO = 1.0, 0.8, 0.6, 0.5
_KINDS = {_WHOLE: "word", _BEGINNING: "beginning", _PART: "part", _TYPO: "typo"}
_LAST = "\U0010ffff"


class Hit(NamedTuple):
    """An item that was found: how well it fits, 0 to 1, and how its worst word does."""

    rank: int
    score: float
    match: str


def search_answer(snapshot: PublishedSnapshot, text: str, controls: Controls, hides: Hides = NOTHING) -> dict[str, Any]:
    """The body of `search`: items by name or id. Hidden items are not found; all controls count.

    Raises:
        UsageError: there is no letter or digit in the text, or it is longer than 200 characters.
        FactsMissing: an older version published the snapshot, without an index.
    """
    if "search_parts" not in snapshot.manifest:
        raise FactsMissing(
            f"Snapshot {snapshot.snapshot_id} was published without a search index.",
            hint="Run `reco run`: it publishes the lake anew.",
        )
    question = {"route": "search", "q": text} | controls.narrowing()
    start = read_cursor(controls.cursor, snapshot.snapshot_id, question)
    hits = find(snapshot.index(), text)
    exact = None
    with suppress(SnapshotDamaged):  # a lost list of neighbours is no reason to find nothing
        exact = snapshot.find([text.strip()])[0]
    best = hits.best() if exact is None else hits.best_after(exact.item.rank)
    filters = snapshot.filters(controls, hides)
    ordered = _ordered(snapshot, best, fold(text).strip(), None if exact is None else exact.item.rank)
    found: list[dict[str, Any]] = []
    missing = exact is not None and exact.item.rank not in hits.scores
    more: dict[str, Any] = {"limit": controls.limit, "query": text, "total_found": len(hits.scores) + missing}
    per_category: dict[int | None, int] = {}
    for position, (hit, entry) in enumerate(ordered):
        if not _passes(hit, entry, filters):
            continue
        if controls.max_per_category is not None:
            per_category[entry.category] = per_category.get(entry.category, 0) + 1
            if per_category[entry.category] > controls.max_per_category:
                continue
        if position < start:
            continue
        if len(found) == controls.limit:
            more["next_cursor"] = write_cursor(snapshot.snapshot_id, question, position)
            break
        found.append(_told(snapshot, hit, entry))
    return {"items": found, "metadata": metadata_of(snapshot, {**more, "total_items": len(found)})}


class Hits:
    """All items that fit. scores: the sum over the words, by rank."""

    def __init__(self, scores: dict[int, float], worst: dict[int, float], words: int) -> None:
        self.scores = scores
        self._worst = worst
        self._words = words

    def best(self, most: int = MAX_HITS) -> list[Hit]:
        """The best ones in order: by score, equal ones by popularity."""
        # There are few different scores and may be many items: sorting numbers of one score is the cheap way.
        ranks: dict[float, list[int]] = {}
        for rank, score in self.scores.items():
            ranks.setdefault(score, []).append(rank)
        found: list[Hit] = []
        for score in sorted(ranks, reverse=True):
            some = sorted(ranks[score])[: most - len(found)]
            found += [Hit(rank, score / self._words, _KINDS[self._worst[rank]]) for rank in some]
        return found

    def best_after(self, exact: int) -> list[Hit]:
        """The item that was named exactly, then the best ones: it may be too unpopular to be among them."""
        return [Hit(exact, 1.0, _KINDS[_WHOLE]), *(hit for hit in self.best() if hit.rank != exact)][:MAX_HITS]


def find(index: Index, text: str) -> Hits:
    """The items that fit.

    Raises:
        UsageError: there is no letter or digit in the text, or it is longer than 200 characters.
    """
    words = list(dict.fromkeys(words_of(text)))[:MAX_WORDS]
    if not words or len(text) > MAX_QUERY:
        raise UsageError(
            "There is nothing to look for.", hint=f"Give 1 to {MAX_QUERY} characters, a letter among them."
        )
    last = words[-1]
    found = _all_fit(index, [_fitting(index, word, word is last) or _misspelt(index, word) for word in words])
    if not found.scores and len(words) > 1:
        found = _all_fit(index, [_misspelt(index, word) | _fitting(index, word, word is last) for word in words])
    return found


def _all_fit(index: Index, fitting: Sequence[dict[int, float]]) -> Hits:
    """The items that have a fitting word for each typed one."""
    scores: dict[int, float] = {}
    worst: dict[int, float] = {}
    for number, places in enumerate(sorted(fitting, key=len)):
        best: dict[int, float] = {}
        for place, score in sorted(places.items(), key=lambda one: one[1]):
            # Better fits come later and take the place of worse ones.
            if not number:
                best.update(dict.fromkeys(index.ranks(place), score))
            else:
                best.update((rank, score) for rank in index.ranks(place) if rank in scores)
        worst = {rank: min(score, worst[rank]) for rank, score in best.items()} if number else best
        scores = {rank: scores[rank] + score for rank, score in best.items()} if number else best
        if not scores:
            break
    return Hits(scores, worst, len(fitting))


def _fitting(index: Index, word: str, last: bool) -> dict[int, float]:  # noqa: FBT001 - whether it is being typed
    """The places of words that are the typed one, begin with it, or hold it."""
    found: dict[int, float] = {}
    if len(word) > 2:
        found.update(dict.fromkeys(_holding(index, word), _PART))
    start, end = _beginning(index, word)
    if last or len(word) > 1:
        found.update(dict.fromkeys(range(start, min(end, start + MAX_FITTING)), _BEGINNING))
    if start < end and index.words[start] == word:
        found[start] = _WHOLE
    return found


def _beginning(index: Index, start: str) -> tuple[int, int]:
    first = bisect_left(index.words, start)
    return first, bisect_right(index.words, start + _LAST, lo=first)


def _holding(index: Index, part: str) -> Iterator[int]:
    at = index.text.find(part)
    for _ in range(MAX_FITTING):
        if at < 0:
            return
        place = bisect_right(index.places, at) - 1
        yield place
        following = index.places[place + 1] if place + 1 < len(index.places) else len(index.text)
        at = index.text.find(part, following)


def _misspelt(index: Index, word: str) -> dict[int, float]:
    """The places of words that are the typed one, or begin with it, but for one typo."""
    if len(word) < 4:
        return {}
    found: dict[int, float] = {}
    for typo in _typos(word, index.letters):
        first = bisect_left(index.words, typo)
        if first == len(index.words) or not index.words[first].startswith(typo):
            continue
        if index.words[first] == typo:
            found[first] = _TYPO
        elif len(typo) > 3:
            first, end = _beginning(index, typo)
            found.update(dict.fromkeys(range(first, min(end, first + MAX_FITTING)), _TYPO))
        if len(found) > MAX_FITTING:
            break
    return found


def _typos(word: str, letters: Sequence[str]) -> Iterator[str]:
    """Every text one typo away."""
    for at in range(len(word)):
        yield word[:at] + word[at + 1 :]
    for at in range(len(word) - 1):
        yield word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    for letter in letters:
        for at in range(len(word)):
            yield word[:at] + letter + word[at + 1 :]
        for at in range(len(word) + 1):
            yield word[:at] + letter + word[at:]


def _ordered(
    snapshot: PublishedSnapshot, hits: Sequence[Hit], folded: str, exact: int | None
) -> Iterator[tuple[Hit, RankEntry]]:
    """The hits with their entries: the one named exactly, then among the best ones those whose whole name fits."""
    first = hits[:AT_ONCE]
    entries = snapshot.entries(hit.rank for hit in first)

    def place(hit: Hit) -> tuple[bool, int, float, int]:
        entry = entries[hit.rank]
        names = [fold(entry.item_id)] if entry.name is None else [fold(entry.name), fold(entry.item_id)]
        whole = 0 if folded in names else 1 if any(name.startswith(folded) for name in names) else 2
        return hit.rank != exact, whole, -hit.score, hit.rank

    yield from ((hit, entries[hit.rank]) for hit in sorted(first, key=place))
    for start in range(AT_ONCE, len(hits), AT_ONCE):
        some = hits[start : start + AT_ONCE]
        entries = snapshot.entries(hit.rank for hit in some)
        yield from ((hit, entries[hit.rank]) for hit in some)


def _passes(hit: Hit, entry: RankEntry, filters: Sequence[Filter]) -> bool:
    pick = Pick(entry, hit.rank, None, None, hit.score)
    return all(keeps(pick) for _, keeps in filters)


def _told(snapshot: PublishedSnapshot, hit: Hit, entry: RankEntry) -> dict[str, Any]:
    return {
        "item_id": entry.item_id,
        "item_name": entry.item_id if entry.name is None else entry.name,
        "category": snapshot.category_name(entry.category),
        "price": entry.price,
        "in_stock": None if entry.in_stock is None else bool(entry.in_stock),
        "popularity_rank": hit.rank,
        "purchases": entry.orders,
        "score": hit.score,
        "match": hit.match,
    }
