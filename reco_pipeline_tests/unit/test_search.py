"""Promises of the search: what is found, in which order, and that the index is small and whole."""

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import FactsMissing, SnapshotDamaged, UsageError
from reco.snapshot.controls import Controls
from reco.snapshot.index import Index, index_parts
from reco.snapshot.keys import Keys
from reco.snapshot.memory import MemorySnapshot
from reco.snapshot.search import find, search_answer
from reco.snapshot.words import fold, words_of

SHOP = ["Water Level Meter", "PID", "Cal Kit", "Wasserprüfgerät", "Water Sampler", "Crème brûlée STRASSE", "SKU-1001"]


def index_of(names, **arguments):
    made = Index()
    parts, _ = index_parts([(rank, f"id{rank}", name) for rank, name in enumerate(names, 1)], **arguments)
    for number, part in enumerate(parts):
        made.add(part, f"search:{number}".encode())
    return made.close()


def names_of(text, names=SHOP):
    return [names[hit.rank - 1] for hit in find(index_of(names), text).best()]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("water level meter", ["Water Level Meter"]),
        ("WATER", ["Water Level Meter", "Water Sampler"]),
        ("wat", ["Water Level Meter", "Water Sampler"]),
        ("lev wat", ["Water Level Meter"]),
        ("ampl", ["Water Sampler"]),
        ("pruf", ["Wasserprüfgerät"]),
        ("creme brulee", ["Crème brûlée STRASSE"]),
        ("straße", ["Crème brûlée STRASSE"]),
        ("\uff30\uff29\uff24", ["PID"]),
        ("1001", ["SKU-1001"]),
        ("id2", ["PID"]),
        ("watre", ["Water Level Meter", "Water Sampler"]),
        ("wter levl", ["Water Level Meter"]),
        ("mmeter", ["Water Level Meter"]),
        ("metar", ["Water Level Meter"]),
        ("samplr wat", ["Water Sampler"]),
        ("water pid", []),
        ("xyzzy", []),
    ],
)
def test_what_people_type_is_found(text, found):
    """Words, beginnings, parts, one typo; without case, accents and width; every word must fit."""
    assert names_of(text) == found


def test_better_fits_come_first_then_what_is_bought_more():
    """A whole word before a beginning before a part before a typo; equal ones by rank."""
    names = ["salt", "tale", "talented", "stale", "take", "tale of"]
    assert names_of("tale", names) == ["tale", "tale of", "talented", "stale"]
    assert [hit.match for hit in find(index_of(names), "tale").best()] == ["word", "word", "beginning", "part"]
    assert {hit.match for hit in find(index_of(["level"]), "lvel").best()} == {"typo"}


def test_a_word_that_fits_is_no_typo():
    """Where another word of the query must be misspelt, one that fits as it is keeps its score."""
    hits = find(index_of(["tales wxyz", "wxyy"]), "tales wxyy")
    assert [(hit.score, hit.match) for hit in hits.best()] == [(0.75, "typo")]


@pytest.mark.parametrize("text", ["", "   ", "!?", "x" * 201])
def test_nothing_to_look_for_is_said(text):
    """A query without a letter or digit, or a very long one, is refused."""
    with pytest.raises(UsageError):
        find(index_of(SHOP), text)


@given(
    st.lists(st.text(alphabet="abcdé ", min_size=1, max_size=9), min_size=1, max_size=8),
    st.text("abcd", min_size=3, max_size=5),
)
@settings(max_examples=100, deadline=None)
def test_every_name_that_holds_a_text_in_a_word_is_found(names, text):
    """Nothing is missed: what a plain look through all names finds is found."""
    expected = {
        place for place, name in enumerate(names, 1) if any(text in word for word in words_of(f"{name} id{place}"))
    }
    assert expected <= find(index_of(names), text).scores.keys()


@given(st.text("abcdefgh", min_size=5, max_size=9), st.integers(0, 8), st.sampled_from("adg"), st.sampled_from("drix"))
@settings(max_examples=100, deadline=None)
def test_one_typo_is_forgiven(word, at, letter, kind):
    """A letter missing, wrong, too many, or two exchanged, anywhere in a word."""
    at %= len(word)
    typo = {
        "d": word[:at] + word[at + 1 :],
        "r": word[:at] + letter + word[at + 1 :],
        "i": word[:at] + letter + word[at:],
        "x": word[:at] + word[at : at + 2][::-1] + word[at + 2 :],
    }[kind]
    assert [*find(index_of([word, "zzzz"]), typo).scores] == [1]


def test_folding_is_done_once():
    """A folded text folds to itself."""
    for text in (*SHOP, "ŁÓDŹ", "Ⅷ", "ﬁ", "İstanbul", "ΣΊΣΥΦΟΣ"):
        assert fold(fold(text)) == fold(text)
    assert fold("ŁÓDŹ") == "lodz"


def test_a_large_index_is_small_and_fits_its_parts():
    """20,000 names of five words: a rank takes four bytes, a part has a thousand words, and all are found again."""
    shuffled = random.Random(3)
    words = ["".join(shuffled.choices(string.ascii_lowercase, k=8)) for _ in range(3000)]
    names = [" ".join(shuffled.choices(words, k=5)) for _ in range(20_000)]
    parts, failures = index_parts([(rank, name, name) for rank, name in enumerate(names, 1)])
    assert (len(parts), failures) == (3, {})
    assert sum(map(len, parts)) < 12 * 5 * len(names)
    index = index_of(names)
    for name in names[::4000]:
        assert names[find(index, name).best(1)[0].rank - 1].split() == name.split()


@pytest.mark.parametrize(
    "raw", [b"{", b"[1]", b'[["b",[1]],["a",[1]]]', b'[["a",[-1]]]', b"[[1,[1]]]", b'[["a",["x"]]]', b"null"]
)
def test_a_damaged_part_is_told(raw):
    """Whatever is not what a publish wrote is damage that names its key."""
    with pytest.raises(SnapshotDamaged, match="search:0"):
        Index().add(raw, b"shop:search:0")


def test_an_item_that_cannot_be_indexed_keeps_no_other_out():
    """A name with too many words, and one that breaks the folding, are left out and named; all others are found."""

    def broken(text):
        if "Kit" in text:
            raise MemoryError("planted")
        return words_of(text)

    long = " ".join(f"w{number}" for number in range(201))
    parts, failures = index_parts([(1, "a", "PID"), (2, "b", "Cal Kit"), (3, "c", long)], split=broken)
    assert failures == {"b": "MemoryError", "c": "more than 200 words"}
    assert b"pid" in parts[0]
    assert b"w7" not in parts[0]


def test_a_snapshot_of_an_older_version_says_that_it_has_no_index():
    """It answers everything else; a search is told what to do instead of finding nothing."""
    manifest = {"snapshot_id": "20260304T050607Z-01234567", "format": 1, "counts": {}}
    older = MemorySnapshot({}, Keys("shop"), manifest, whole=True)
    with pytest.raises(FactsMissing, match="without a search index"):
        search_answer(older, "pid", Controls())
