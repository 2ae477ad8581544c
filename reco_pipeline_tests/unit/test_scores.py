"""Promises of the scores: each is its formula, whatever weighs; evidence stays exact; settings keep to their range."""

import datetime as dt
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import ConfigError, LakeError, UsageError
from reco.model.baskets import UNIT, Baskets
from reco.model.checks import check_similar_bounds, check_symmetry
from reco.model.cooccurrence import build_cooccurrence
from reco.model.pairs import Pairs
from reco.model.ranking import rank_scored
from reco.model.scores import PAIR_SCORES, ScoreSettings
from reco.model.similar import build_similar
from reco.settings import Settings, load_settings
from reco_pipeline_tests.model_tables import Built, build, line, part, rows

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - times of the lake have no zone
POWERS = ScoreSettings(
    score="powers", order_size_power=0.5, item_power=0.7, other_power=0.35, sharpness=1.2, min_pair_orders=2
)
ORDERS = [["pid", "cal"], ["pid", "cal", "pump"], ["pid", "cal"], ["pid"], ["hose"], ["hose", "pump", "pid", "clamp"]]


def made(folder: Path, orders: list[list[str]], scores: ScoreSettings, *, days: list[int] | None = None) -> Built:
    """The tables of these orders, which lie some days after the first."""
    lines = [
        line(f"o{n}", item, ordered_at=None if days is None else START + dt.timedelta(days=days[n]))
        for n, items in enumerate(orders)
        for item in items
    ]
    return build(folder, [part(folder, "d", lines)], scores=scores)


def scored(tables: Built) -> dict[tuple[str, str], float]:
    """The score of each pair that is kept."""
    return {(row[0], row[1]): row[3] for row in rows(tables.similar)}


def by_hand(orders: list[list[str]], scores: ScoreSettings, days: list[int] | None = None) -> dict[Any, float]:
    """The scores of all pairs, one by one."""
    age = [
        0.0 if days is None else 2 ** ((day - max(days)) / (scores.half_life_days or math.inf)) for day in days or []
    ]
    weight = age if scores.half_life_days and days else [1.0] * len(orders)
    power = scores.order_size_power if scores.score == "powers" else 0
    w, n, pair, both = Counter[str](), Counter[str](), Counter[Any](), Counter[Any]()
    for items, one in zip(orders, weight, strict=True):
        for item in items:
            w[item] += one  # type: ignore[assignment]
            n[item] += 1
        for i, j in permutations(items, 2):
            pair[i, j] += 1
            both[i, j] += one / (len(items) - 1) ** power
    total = sum(weight)
    formulas: dict[str, Callable[[float, float, float], float]] = {
        "cosine": lambda both, one, other: both / math.sqrt(one * other),
        "jaccard": lambda both, one, other: both / (one + other - both),
        "confidence": lambda both, one, _: both / one,
        "powers": lambda both, one, other: (
            (both / (one**scores.item_power * other**scores.other_power)) ** scores.sharpness
        ),
        "llr": lambda both, one, other: information(both, one, other, total) if both * total > one * other else 0.0,
    }
    found = {
        (i, j): formulas[scores.score](both[i, j], w[i], w[j]) * count / (count + scores.shrinkage)
        for (i, j), count in pair.items()
        if count >= scores.min_pair_orders
    }
    return {pair: value for pair, value in found.items() if value > 0}


def information(both: float, one: float, other: float, total: float) -> float:
    """Mutual information from the four cells of the table of two items, in bits."""
    cells = {(1, 1): both, (1, 0): one - both, (0, 1): other - both, (0, 0): total - one - other + both}
    rows_, columns = {1: one, 0: total - one}, {1: other, 0: total - other}
    return sum(
        seen / total * math.log2(seen * total / (rows_[r] * columns[c])) for (r, c), seen in cells.items() if seen > 0
    )


@pytest.mark.parametrize("half_life", [0, 2])
@pytest.mark.parametrize("shrinkage", [0, 3])
@pytest.mark.parametrize("name", PAIR_SCORES)
def test_each_score_is_its_formula(name: Any, shrinkage: float, half_life: float, tmp_path: Path) -> None:
    """Every score, alone and with shrinkage and decay, is what counting by hand gives; the checks pass."""
    scores = ScoreSettings(score=name, shrinkage=shrinkage, half_life_days=half_life, min_pair_orders=1)
    if name == "powers":
        scores = ScoreSettings(**{**POWERS.as_dict(), "shrinkage": shrinkage, "half_life_days": half_life})
    days = [0, 1, 1, 2, 3, 5]
    tables = made(tmp_path, ORDERS, scores, days=days)
    expected = by_hand(ORDERS, scores, days)
    assert expected
    assert scored(tables) == pytest.approx(expected, rel=1e-8)
    assert check_similar_bounds(tables.similar).passed
    assert check_symmetry(tables.pairs, tables.stats).passed


def test_the_log_likelihood_ratio_is_the_mutual_information(tmp_path: Path) -> None:
    """Dunning's G^2 of a table of known counts (both 2, one alone 1, other alone 0, neither 2) is 2 W ln 2 times it."""
    orders = [["a", "b"], ["a", "b"], ["a"], ["c"], ["c"]]
    score = scored(made(tmp_path, orders, ScoreSettings(score="llr")))["a", "b"]
    cells = [(2, 3, 2), (1, 3, 3), (2, 2, 3)]  # seen, row, column; the empty cell adds nothing
    ratio = 2 * sum(seen * math.log(seen * 5 / (row * column)) for seen, row, column in cells)
    assert score * 2 * 5 * math.log(2) == pytest.approx(ratio)


def test_items_that_repel_each_other_are_no_neighbours_by_llr(tmp_path: Path) -> None:
    """The ratio is high for pairs that meet too seldom, too: they are left out, not recommended."""
    orders = [["a"]] * 5 + [["b"]] * 5 + [["a", "b"]]
    assert scored(made(tmp_path, orders, ScoreSettings(score="llr"))) == {}


def test_evidence_is_exact_whatever_weighs(tmp_path: Path) -> None:
    """Pair orders, confidence and lift of the same pairs are the same under every score."""
    plain = made(tmp_path / "plain", ORDERS, ScoreSettings(), days=[0, 1, 1, 2, 3, 5])
    evidence = {row[:2]: row[4:] for row in rows(plain.similar)}
    for name in PAIR_SCORES:
        scores = ScoreSettings(score=name, half_life_days=1, shrinkage=2, order_size_power=1, sharpness=2)
        for row in rows(made(tmp_path / name, ORDERS, scores, days=[0, 1, 1, 2, 3, 5]).similar):
            assert row[4:] == evidence[row[:2]]


def test_a_score_may_differ_by_direction(tmp_path: Path) -> None:
    """Confidence and unequal powers ask from one item's side; pairs and their weights stay symmetric."""
    tables = made(tmp_path, ORDERS, POWERS)
    found = scored(tables)
    assert found["pid", "cal"] != pytest.approx(found["cal", "pid"])
    weights = {row[:2]: row[3] for row in rows(tables.pairs)}
    assert all(weights[i, j] == weights[j, i] for i, j in weights)
    assert weights["pid", "cal"] == pytest.approx(2 + 2**-0.5, abs=3 / UNIT)


def test_support_leaves_weak_pairs_out(tmp_path: Path) -> None:
    """A pair in fewer orders than wanted is kept nowhere, and an item may be left without neighbours."""
    tables = made(tmp_path, ORDERS, ScoreSettings(min_pair_orders=2))
    assert set(scored(tables)) == {("pid", "cal"), ("cal", "pid"), ("pid", "pump"), ("pump", "pid")}
    assert tables.similar_report.items_without == 2


def test_the_age_counts_from_the_newest_order(tmp_path: Path) -> None:
    """The same orders a year later give the same file: no clock takes part. Without any time nothing decays."""
    decay = ScoreSettings(half_life_days=30)
    days = [0, 10, 20, 30, 40, 50]
    first = made(tmp_path / "a", ORDERS, decay, days=days)
    later = made(tmp_path / "b", ORDERS, decay, days=[day + 365 for day in days])
    assert first.similar.read_bytes() == later.similar.read_bytes()
    assert scored(first) != scored(made(tmp_path / "c", ORDERS, ScoreSettings(), days=days))
    timeless = made(tmp_path / "d", ORDERS, decay)
    assert scored(timeless) == scored(made(tmp_path / "e", ORDERS, ScoreSettings()))


def test_an_order_without_a_time_weighs_as_the_oldest(tmp_path: Path) -> None:
    """It is neither lost nor taken for new."""
    lines = [
        line("new", "a", ordered_at=START + dt.timedelta(days=10)),
        line("old", "a", ordered_at=START),
        line("x", "a"),
    ]
    tables = build(tmp_path, [part(tmp_path, "d", lines)])
    weights = Baskets.read(tables.orders, times=True).decay(ScoreSettings(half_life_days=10))
    assert weights is not None
    assert sorted(weights / UNIT) == [0.5, 0.5, 1.0]


@settings(max_examples=25, deadline=None)
@given(
    orders=st.lists(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=5, unique=True), min_size=1, max_size=10),
    name=st.sampled_from(PAIR_SCORES),
)
def test_no_score_leaves_its_bounds(
    orders: list[list[str]], name: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Random baskets: every score lies in 0..1, is ranked by itself, count and id, and is what a plain count says."""
    scores = ScoreSettings(score=name, order_size_power=0.5, item_power=0.7, other_power=0.35, sharpness=1.2)
    tables = made(tmp_path_factory.mktemp("scores"), orders, scores)
    assert check_similar_bounds(tables.similar).passed
    assert scored(tables) == pytest.approx(by_hand(orders, scores), rel=1e-8)


def test_portions_and_order_of_adding_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights are added as integers: counting item by item gives the same file to the byte."""
    tables = made(tmp_path, ORDERS, POWERS)
    monkeypatch.setattr("reco.model.pairs.PORTION", 1)
    build_cooccurrence(tables.orders, tmp_path / "again", POWERS)
    assert (tmp_path / "again").read_bytes() == tables.pairs.read_bytes()


@pytest.mark.parametrize("other", [ScoreSettings(), replace(POWERS, top=101), replace(POWERS, shrinkage=1)])
def test_pairs_of_other_settings_are_refused(tmp_path: Path, other: ScoreSettings) -> None:
    """Pairs that another score chose are not all that this one would rank; fewer of the same are."""
    tables = made(tmp_path, ORDERS, POWERS)
    with pytest.raises(LakeError, match="other score settings"):
        build_similar(tables.stats, tables.pairs, tmp_path / "out", other)
    assert build_similar(tables.stats, tables.pairs, tmp_path / "out", replace(POWERS, top=1)).full > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": "lift"},
        {"min_pair_orders": 0},
        {"shrinkage": -1},
        {"sharpness": 0},
        {"item_power": 0.3, "other_power": 0.3},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    """Lift can never rank, and no power may lift a score above 1."""
    with pytest.raises(UsageError, match="score nothing"):
        ScoreSettings(**wrong)


def test_the_settings_of_a_shop() -> None:
    """Powers stand in the manifest only where they have a meaning, and come back from it."""
    plain = ScoreSettings.of(Settings())
    assert plain.plain
    assert plain.as_dict() == {"score": "cosine", "top": 100}
    powers = ScoreSettings.of(Settings(score="powers"))
    assert powers.min_pair_orders == 2
    assert not powers.plain
    assert ScoreSettings.from_dict(powers.as_dict()) == powers
    with pytest.raises(UsageError, match="another version"):
        ScoreSettings.from_dict({"score": "cosine", "depth": 3})
    with pytest.raises(ConfigError, match="add up to less than 1"):
        load_settings(score="powers", score_item_power=0.2, score_other_power=0.2)
    assert np.isclose(powers.item_power + powers.other_power, 1.1)


@given(
    scored=st.lists(
        st.tuples(
            st.sampled_from([0, 1, 2, 70_000, 2**40]),
            st.sampled_from([0.0, 5e-324, 1e-12, 0.1, 0.1 + 2**-56, 0.30000000000000004, 0.3, 1.0]),
            st.sampled_from([1, 2, 65_536, 65_537, 2**33]),
        ),
        max_size=60,
    ),
    top=st.integers(1, 9),
)
def test_neighbours_are_ranked_by_score_orders_and_id(scored: list[tuple[int, float, int]], top: int) -> None:
    """Whatever is equal, nearly equal or far apart: what a plain sort of tuples says, and ties as they came in."""
    scored = sorted(scored, key=lambda row: row[0])
    item, orders = (np.array([row[n] for row in scored], np.int64) for n in (0, 2))
    score = np.array([row[1] for row in scored], np.float64)
    ranked = rank_scored(Pairs(item, np.arange(len(scored)), orders), score, top)
    best = sorted(range(len(scored)), key=lambda n: (scored[n][0], -scored[n][1], -scored[n][2], n))
    places = [[n for n in best if scored[n][0] == one] for one in sorted({row[0] for row in scored})]
    assert ranked.other.tolist() == [n for of_one in places for n in of_one[:top]]
    assert ranked.rank.tolist() == [n + 1 for of_one in places for n in range(len(of_one[:top]))]
