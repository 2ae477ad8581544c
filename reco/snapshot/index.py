"""The search index of a snapshot: which word stands in the names of which items.

Belongs here: making its parts, and putting them together again in memory. Does not belong here: looking something up in
it (`reco.snapshot.search`), and what a word is (`reco.snapshot.words`).

An item is found by the words of its name and of its id. A part is JSON: pairs of a word and the ranks of its items,
each rank but the first as the distance to the one before. Words are sorted through all parts.
"""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, pairwise

from reco.errors import SnapshotDamaged
from reco.snapshot.codec import encode
from reco.snapshot.words import words_of

WORDS_PER_PART = 1000
MAX_WORDS = 200
"""An item with more words would be an answer to everything."""

LETTERS = 48
"""The most frequent letters: those that a wrong or a missing one is tried with."""

SAMPLE = 10_000  # words that are counted for it

_CHARS = 64
"""A longer word is indexed by its beginning."""


def index_parts(
    items: Iterable[tuple[int, str, str]], *, split: Callable[[str], Sequence[str]] = words_of
) -> tuple[list[bytes], dict[str, str]]:
    """The values of all parts, and why items were left out, by their id.

    Args:
        items: rank, id and name by rising rank.
        split: gives the words of a text.
    """
    found: dict[str, list[int]] = {}
    failures: dict[str, str] = {}
    for rank, item_id, name in items:
        try:
            words = {word[:_CHARS] for word in split(name if item_id == name else f"{name} {item_id}")}
        except Exception as error:  # noqa: BLE001 - the boundary of one item: it must not keep the others out; recorded
            failures[item_id] = type(error).__name__
            continue
        if len(words) > MAX_WORDS:
            failures[item_id] = f"more than {MAX_WORDS} words"
            continue
        for word in words:
            found.setdefault(word, []).append(rank)
    ordered = sorted(found)
    return [
        encode([[word, _distances(found[word])] for word in ordered[start : start + WORDS_PER_PART]])
        for start in range(0, len(ordered), WORDS_PER_PART)
    ], failures


class Index:
    """All parts in memory: sorted words, and their ranks in one array (four bytes a rank)."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.starts = array("I", [0])
        self._ranks = array("I")
        self.text = ""
        self.places = array("I")
        self.letters: list[str] = []

    def add(self, raw: bytes, key: bytes) -> None:
        """Takes the next part.

        Raises:
            SnapshotDamaged: it is not one that a publish wrote, or not the next one.
        """
        try:
            self._take(json.loads(raw))
        except (ValueError, TypeError, OverflowError) as error:
            raise SnapshotDamaged(
                f"The value of {key.decode('utf-8', 'replace')} is not one that a publish wrote.",
                hint="Run `reco run`: it publishes the lake anew when the served snapshot is damaged.",
            ) from error

    def _take(self, part: list[tuple[str, list[int]]]) -> None:
        for word, distances in part:
            if not isinstance(word, str):
                raise TypeError(word)
            if self.words and word <= self.words[-1]:
                raise ValueError(word)
            self._ranks.extend(accumulate(distances))
            self.words.append(word)
            self.starts.append(len(self._ranks))

    def close(self) -> "Index":
        """The index when every part was added: its words also as one text, in which substrings are looked for."""
        at = 0
        for word in self.words:
            self.places.append(at)
            at += len(word) + 1
        self.text = "\n".join(self.words)
        sample = "".join(self.words[:: 1 + len(self.words) // SAMPLE])
        self.letters = [letter for letter, _ in Counter(sample).most_common(LETTERS)]
        return self

    def ranks(self, place: int) -> Sequence[int]:
        """The ranks of the items that have the word at this place, rising."""
        return self._ranks[self.starts[place] : self.starts[place + 1]]


def _distances(ranks: Sequence[int]) -> list[int]:
    return [*ranks[:1], *(later - earlier for earlier, later in pairwise(ranks))]
