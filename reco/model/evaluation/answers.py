"""Answering questions from lists of neighbours, as the basket route does: scores add up, nothing of the basket returns.

Belongs here: ranking candidates. Does not belong here: making the lists (`contenders`), or judging ranks (`figures`).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reco.model.evaluation.protocol import Questions, Split
from reco.storage.columns import Ints

DEPTH = 10
PORTION = 2**21
"""Candidates looked at together, before equal ones are added up."""


@dataclass(frozen=True, slots=True)
class Lists:
    """The neighbours of all items. starts: by item code and one more; other: codes; score: float64, above 0."""

    starts: Ints
    other: Ints
    score: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answers:
    """rank: by question, the place of the hidden item among all candidates, from 1; 0 where it is none of them.

    first: codes of the items in the first ten places, of all questions.
    """

    rank: Ints
    first: Ints


def answer(lists: Lists, split: Split) -> Answers:
    """Ranks every candidate of every question: by the sum of its scores, the more popular first among equals.

    All items that take part are candidates; none is sampled away.
    """
    ranks, first = [], []
    for low, high in _portions(lists, split.questions):
        one = _answer(lists, split, low, high)
        ranks.append(one.rank)
        first.append(one.first)
    empty = np.empty(0, np.int64)
    return Answers(np.concatenate(ranks) if ranks else empty, np.concatenate(first) if first else empty)


def most_popular(split: Split) -> Answers:
    """What naming the most popular items that are not in the basket gives."""
    questions, known = split.questions, split.known
    by_place = np.argsort(split.place)[:known]
    asked = np.repeat(np.arange(len(questions)), questions.sizes)
    place, hidden = split.place[questions.items], split.place[questions.hidden]
    better = np.bincount(asked[place < hidden[asked]], minlength=len(questions))
    depth = min(known, DEPTH + int(questions.sizes.max(initial=0)))
    held = np.zeros((len(questions), depth), bool)
    shown = place < depth
    held[asked[shown], place[shown]] = True
    kept = ~held & (np.cumsum(~held, axis=1) <= DEPTH)
    return Answers(hidden - better + 1, by_place[np.nonzero(kept)[1]])


def _portions(lists: Lists, questions: Questions) -> Iterator[tuple[int, int]]:
    work = np.diff(lists.starts)[questions.items]
    if not len(questions):
        return
    done = np.add.reduceat(work, questions.starts).cumsum()
    low = 0
    while low < len(questions):
        before = done[low - 1] if low else 0
        high = max(low + 1, int(np.searchsorted(done, before + PORTION, side="right")))
        yield low, high
        low = high


def _answer(lists: Lists, split: Split, low: int, high: int) -> Answers:
    questions, width = split.questions, len(split.place)
    begin = questions.starts[low]
    end = questions.starts[high - 1] + questions.sizes[high - 1]
    items = questions.items[begin:end]
    asked = np.repeat(np.arange(high - low), questions.sizes[low:high])
    sizes = np.diff(lists.starts)[items]
    ends = np.cumsum(sizes)
    places = np.repeat(lists.starts[items] - ends + sizes, sizes) + np.arange(ends[-1] if len(ends) else 0)
    key = np.repeat(asked, sizes) * width + split.place[lists.other[places]]
    by_key = np.argsort(key, kind="stable")
    key, score = key[by_key], lists.score[places][by_key]
    starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else key
    key, score = key[starts], np.add.reduceat(score, starts) if len(key) else score
    outside = ~np.isin(key, asked * width + split.place[items])
    key, score = key[outside], score[outside]
    question, place = np.divmod(key, width)
    hidden = split.place[questions.hidden[low:high]]
    return Answers(
        _hidden_rank(question, place, score, hidden, width), _first(question, place, score, np.argsort(split.place))
    )


def _hidden_rank(question: Ints, place: Ints, score: NDArray[np.float64], hidden: Ints, width: int) -> Ints:
    key, wanted = question * width + place, np.arange(len(hidden)) * width + hidden
    if not len(key):
        return np.zeros(len(hidden), np.int64)
    found = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    there = key[found] == wanted
    own = np.where(there, score[found], np.inf)
    ahead = (score > own[question]) | ((score == own[question]) & (place < hidden[question]))
    rank: Ints = np.where(there, np.bincount(question[ahead], minlength=len(hidden)) + 1, 0)
    return rank


def _first(question: Ints, place: Ints, score: NDArray[np.float64], by_place: Ints) -> Ints:
    if not len(question):
        return question
    best = np.lexsort((place, -score, question))
    question, place = question[best], place[best]
    starts = np.flatnonzero(np.concatenate([[True], question[1:] != question[:-1]]))
    sizes = np.diff(np.append(starts, len(question)))
    kept = np.arange(len(question)) - np.repeat(starts, sizes) < DEPTH
    first: Ints = by_place[place[kept]]
    return first
