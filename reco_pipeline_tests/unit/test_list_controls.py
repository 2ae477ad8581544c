"""Promises of controls, cursors, filters and hidden items, on lists made up here."""

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import CursorExpired, CursorInvalid, UsageError
from reco.snapshot.answers import Pick
from reco.snapshot.codec import RankEntry
from reco.snapshot.controls import Controls, read_cursor, write_cursor
from reco.snapshot.filters import choose, filters_of, judge
from reco.snapshot.hiding import Hide, Hides, labels_of, read_rules, write_rules

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
CATEGORIES = ["Home > Tools", "Home", "Garden|Tools", "Toys"]
LABELS = [labels_of(one) for one in CATEGORIES]
PRICES = [None, "0.5", "9.99", "10", "250"]

entries = st.builds(
    RankEntry,
    st.sampled_from([f"i{number}" for number in range(12)]),
    st.none(),
    st.integers(1, 9),
    st.sampled_from([None, 0, 1, 2, 3]),
    st.sampled_from(PRICES),
    st.sampled_from([None, 0, 1]),
)
candidates = st.lists(
    st.builds(Pick, entries, st.integers(1, 99), st.none(), st.none(), st.floats(0, 1)),
    max_size=30,
    unique_by=lambda pick: pick.entry.item_id,
)
controls = st.builds(
    Controls,
    limit=st.integers(1, 5),
    exclude_ids=st.lists(st.sampled_from([f"i{number}" for number in range(12)]), max_size=3).map(tuple),
    categories=st.lists(st.sampled_from(["Home", "Tools", "Toys", "none"]), max_size=2, unique=True).map(tuple),
    categories_match=st.sampled_from(["any", "all"]),
    min_price=st.none() | st.just(Decimal("9.99")),
    max_price=st.none() | st.just(Decimal("10.00")),
    in_stock=st.none() | st.booleans(),
    min_score=st.sampled_from([0.0, 0.5]),
)
rules = st.lists(
    st.builds(Hide, st.integers(1, 99), st.just("item"), st.sampled_from(["i1", "i2"]))
    | st.builds(Hide, st.integers(1, 99), st.just("category"), st.sampled_from(["Tools", "Toys"])),
    max_size=3,
)


def fits(pick, asked, hides):
    """What the parameters mean, said once more."""
    entry, labels = pick.entry, () if pick.entry.category is None else LABELS[pick.entry.category]
    price = None if entry.price is None else Decimal(entry.price)
    inside = [one in labels for one in asked.categories]
    return (
        not any(one.value == entry.item_id if one.kind == "item" else one.value in labels for one in hides.rules)
        and entry.item_id not in asked.exclude_ids
        and (not inside or (any(inside) if asked.categories_match == "any" else all(inside)))
        and (asked.min_price is None or (price is not None and price >= asked.min_price))
        and (asked.max_price is None or (price is not None and price <= asked.max_price))
        and (asked.in_stock is None or entry.in_stock == asked.in_stock)
        and pick.score >= asked.min_score
    )


@given(candidates, controls, rules)
@settings(max_examples=50, deadline=None)
def test_what_passes_is_what_was_asked_for(picks, asked, hidden):
    """Exactly the items that fit every parameter pass, in their order; nothing that is hidden ever does."""
    hides = Hides(hidden)
    judged = list(judge(picks, filters_of(asked, hides, LABELS), None))
    assert [one.pick for one in judged if one.removed_by is None] == [one for one in picks if fits(one, asked, hides)]


@given(candidates, controls, rules, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_filters_commute(picks, asked, hidden, random):
    """Whatever the order of the filters, the same items pass."""
    filters = filters_of(asked, Hides(hidden), LABELS)
    shuffled = random.sample(filters, len(filters))
    assert [one.removed_by is None for one in judge(picks, filters, None)] == [
        one.removed_by is None for one in judge(picks, shuffled, None)
    ]


@given(candidates, controls, rules, st.none() | st.integers(1, 3))
@settings(max_examples=40, deadline=None)
def test_pages_together_are_the_list(picks, asked, hidden, most):
    """Page by page everything that passes comes once, in order, also with at most so many of a category."""
    filters = filters_of(asked, Hides(hidden), LABELS)
    whole = [one.pick for one in judge(picks, filters, most) if one.removed_by is None]
    page = choose(judge(picks, filters, most), 0, asked.limit)
    found = list(page.picks)
    while page.following is not None:
        page = choose(judge(picks, filters, most), page.following, asked.limit)
        assert 0 < len(page.picks) <= asked.limit
        found += page.picks
    assert found == whole
    if most is not None:
        counts = [one.entry.category for one in whole]
        assert all(counts.count(category) <= most for category in counts)


def test_an_item_hidden_between_two_pages_shifts_nothing():
    """The second page begins where the first one ended, whatever was hidden meanwhile."""
    picks = [Pick(RankEntry(f"i{number}", None, 1), number, None, None, 1.0) for number in range(6)]
    first = choose(judge(picks, [], None), 0, 2)
    hides = Hides([Hide(1, "item", "i0"), Hide(2, "item", "i3")])
    assert first.following == 2
    second = choose(judge(picks, filters_of(Controls(), hides, ()), None), first.following, 2)
    assert [one.entry.item_id for one in second.picks] == ["i2", "i4"]


def test_a_lost_list_of_categories_shows_nothing_that_may_be_hidden():
    """Where a category is hidden and the names of categories are lost, what has a category stays out."""
    picks = [Pick(RankEntry("a", None, 1, 0), 1, None, None), Pick(RankEntry("b", None, 1), 2, None, None)]
    judged = judge(picks, filters_of(Controls(), Hides([Hide(1, "category", "Toys")]), ()), None)
    assert [one.removed_by for one in judged] == ["hidden", None]


@pytest.mark.parametrize("cursor", ["nonsense", "", "bnVsbA", "W10", "é", "[" * 300])
def test_a_cursor_that_is_none_is_refused(cursor):
    """Whatever a caller makes up is told to be no cursor."""
    with pytest.raises(CursorInvalid):
        read_cursor(cursor, "s1", {})


def test_a_cursor_belongs_to_one_snapshot_and_question():
    """It leads back to its place; another snapshot, or another question, is told apart."""
    cursor = write_cursor("s1", {"item": "p"}, 7)
    assert read_cursor(cursor, "s1", {"item": "p"}) == 7
    assert read_cursor(None, "s1", {}) == 0
    with pytest.raises(CursorExpired):
        read_cursor(cursor, "s2", {"item": "p"})
    with pytest.raises(CursorInvalid):
        read_cursor(cursor, "s1", {"item": "w"})


def test_controls_that_contradict_themselves_are_refused():
    """A limit below one, and a least price above the most."""
    with pytest.raises(UsageError):
        Controls(limit=0)
    with pytest.raises(UsageError):
        Controls(min_price=Decimal(2), max_price=Decimal(1))


def test_parameters_name_what_differs_from_the_default():
    """So the id of a plain question stays what it was, and the order of ids in a list changes nothing."""
    assert Controls(limit=3).parameters() == {"limit": 3}
    assert Controls(exclude_ids=("b", "a"), min_price=Decimal("1.50")).parameters() == {
        "limit": 10,
        "exclude_ids": ["a", "b"],
        "min_price": "1.5",
    }


def test_a_category_is_also_of_its_parts():
    """Parts are parted by `>` and bars, and stand without blanks."""
    assert list(labels_of("Home > Tools")) == ["Home > Tools", "Home", "Tools"]
    assert list(labels_of("Wine, Beer & Spirits")) == ["Wine, Beer & Spirits"]
    assert list(labels_of(None)) == list(labels_of("")) == []


def test_a_rule_ends_when_it_expires():
    """Without another reading: the clock decides when an answer is made."""
    hides = Hides([Hide(1, "item", "a", NOW), Hide(2, "item", "b", NOW + dt.timedelta(hours=1)), Hide(3, "item", "c")])
    later = hides.at(NOW + dt.timedelta(minutes=1))
    assert [bool(later.rule_of(one, ())) for one in "abc"] == [False, True, True]
    assert later.at(NOW + dt.timedelta(minutes=2)) is later
    assert not Hides([Hide(1, "item", "a", NOW)], now=NOW)


def test_rules_survive_the_way_through_redis():
    """What is written is read; what is not ours is an error that names no content."""
    rules = (Hide(1, "item", "Wässer:\n%"), Hide(2, "category", "Toys", NOW))
    assert read_rules(write_rules(reversed(rules))) == rules
    for raw in (b"", b"{}", b"[[1]]", b'[[1,"user","a",null]]', b'[[1,"item","a","soon"]]', b"\xff"):
        with pytest.raises(ValueError):  # noqa: PT011 - whichever of its kinds
            read_rules(raw)
