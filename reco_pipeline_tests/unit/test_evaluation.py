"""Promises of the offline evaluation: no answer is seen before it is asked; ranks and figures are plain counts."""

import datetime as dt
import math
import random
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.model.baskets import Baskets
from reco.model.columns import TABLES
from reco.model.evaluation.answers import Answers, Lists, answer, most_popular
from reco.model.evaluation.contenders import learn, lists_of_table
from reco.model.evaluation.figures import difference, figures_of
from reco.model.evaluation.protocol import Protocol, Questions, Split, make_split
from reco.model.evaluation.table import MODEL_EVALUATION, Evaluation, current_evaluation, evaluate, make_evaluation
from reco.model.scores import ScoreSettings
from reco.settings import Settings
from reco.snapshot.quality import LISTS, SCORE, judge_quality
from reco.storage.lake import Lake
from reco_pipeline_tests.model_tables import Built, build, line, part, rows, types

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - times of the lake have no zone
EASY = Protocol(min_item_orders=1)


def shop_of(folder: Path, orders: list[list[str]], *, times: bool = True, customers: int = 3) -> Built:
    """One order an hour, customers in turn."""
    lines = [
        line(
            f"o{n:05}",
            item,
            ordered_at=START + dt.timedelta(hours=n) if times else None,
            customer_id=f"c{n % customers}" if customers else None,
        )
        for n, items in enumerate(orders)
        for item in items
    ]
    return build(folder, [part(folder, "d", lines)])


def themed(count: int, seed: int = 1) -> list[list[str]]:
    """Orders of items that belong together in tens, and now and then one that everybody buys."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        theme = chance.randrange(8)
        items = {f"i{theme}{chance.randrange(10)}" for _ in range(chance.randint(2, 4))}
        found.append(sorted(items | ({f"i{chance.randrange(8)}0"} if chance.random() < 0.3 else set())))
    return found


def read(built: Built) -> Baskets:
    """Its orders, with all there is to know."""
    return Baskets.read(built.orders, times=True, customers=True)


def names(split: Split) -> list[str]:
    """The item ids by code."""
    return [str(name) for name in split.learnt.items.values.to_pylist()]


def of_question(questions: Questions, n: int) -> list[int]:
    """The basket of one question."""
    begin = questions.starts[n]
    return list(questions.items[begin : begin + questions.sizes[n]])


# ------------------------------------------------------------------------------------------------------------ questions
def test_a_model_learns_from_older_orders_only(tmp_path: Path) -> None:
    """Every question is of an order newer than all that is learnt; its hidden item is not in its basket."""
    orders = themed(200)
    split = make_split(read(shop_of(tmp_path, orders)), EASY)
    assert split.by_time
    assert len(split.learnt.starts) == 160
    assert split.learnt.ordered_at is not None
    assert split.learnt.ordered_at.max() < np.datetime64(START + dt.timedelta(hours=160), "us").astype(np.int64)
    word = names(split)
    asked = {
        frozenset(word[i] for i in [*of_question(split.questions, n), h]) for n, h in enumerate(split.questions.hidden)
    }
    assert asked == {frozenset(items) for items in orders[160:] if len(items) > 1}
    assert all(h not in of_question(split.questions, n) for n, h in enumerate(split.questions.hidden))


def test_orders_without_times_are_split_at_random_and_the_same_every_time(tmp_path: Path) -> None:
    """Where nothing says what is newer, a seeded share is asked about, and the split says so."""
    baskets = read(shop_of(tmp_path, themed(300), times=False))
    one, two = make_split(baskets, EASY), make_split(baskets, EASY)
    other = make_split(baskets, replace(EASY, seed=2))
    assert not one.by_time
    assert 200 < len(one.learnt.starts) < 280
    assert (one.questions.hidden == two.questions.hidden).all()
    assert list(one.questions.hidden) != list(other.questions.hidden)


def test_rare_items_take_no_part_and_questions_are_bounded(tmp_path: Path) -> None:
    """An item in too few learnt orders is neither hidden nor counted; at most so many questions are asked."""
    orders = [["a", "b", "c"]] * 40 + [["a", "b", "rare"]] * 2 + [["a", "c", "new", "rare"]] * 12
    split = make_split(read(shop_of(tmp_path, orders)), Protocol(min_item_orders=5, max_questions=5))
    word = names(split)
    assert {word[i] for i in split.questions.items} | {word[h] for h in split.questions.hidden} <= {"a", "b", "c"}
    assert split.known == 3
    assert len(split.questions) == 5


def test_repeats_are_told_from_what_is_new_to_the_customer(tmp_path: Path) -> None:
    """A hidden item counts as repeated only if the same customer had it in a learnt order."""
    orders = [["a", "b"], ["c", "d"]] * 40 + [["a", "b"], ["a", "b"]] * 10
    split = make_split(read(shop_of(tmp_path, orders, customers=2)), EASY)
    asked_of_first = np.arange(len(split.questions)) % 2 == 0
    assert split.questions.repeated is not None
    assert (split.questions.repeated == asked_of_first).all()
    unknown = make_split(read(shop_of(tmp_path / "unknown", orders, customers=0)), EASY)
    assert unknown.questions.repeated is None


# -------------------------------------------------------------------------------------------------------------- answers
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_ranks_are_what_a_plain_count_says(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every rank and every first ten, of lists and of popularity, as counted candidate by candidate."""
    split = make_split(read(shop_of(tmp_path_factory.mktemp("shop"), themed(120, seed))), EASY)
    lists = learn(split.learnt, {"cosine": ScoreSettings(top=5)})["cosine"]
    found, popular = answer(lists, split), most_popular(split)
    shown, shown_popular = [], []
    for n, hidden in enumerate(split.questions.hidden):
        basket = of_question(split.questions, n)
        scores: dict[int, float] = defaultdict(float)
        for item in basket:
            for place in range(lists.starts[item], lists.starts[item + 1]):
                scores[int(lists.other[place])] += lists.score[place]
        ranked = sorted((i for i in scores if i not in basket), key=lambda i: (-scores[i], split.place[i]))
        assert found.rank[n] == (ranked.index(hidden) + 1 if hidden in ranked else 0)
        shown += ranked[:10]
        known = [i for i in np.argsort(split.place)[: split.known] if i not in basket]
        assert popular.rank[n] == known.index(hidden) + 1
        shown_popular += known[:10]
    assert sorted(found.first) == sorted(shown)
    assert sorted(popular.first) == sorted(shown_popular)


def test_portions_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answering question by question gives what answering all at once gives."""
    split = make_split(read(shop_of(tmp_path, themed(200))), EASY)
    lists = learn(split.learnt, {"cosine": ScoreSettings()})["cosine"]
    whole = answer(lists, split)
    monkeypatch.setattr("reco.model.evaluation.answers.PORTION", 1)
    apart = answer(lists, split)
    assert (whole.rank == apart.rank).all()
    assert (whole.first == apart.first).all()


@pytest.mark.parametrize(
    "scores", [ScoreSettings(), ScoreSettings(score="powers", order_size_power=0.5, half_life_days=9)]
)
def test_what_is_evaluated_is_what_is_published(scores: ScoreSettings, tmp_path: Path) -> None:
    """The lists of a contender are those that the pipeline makes of the same orders."""
    orders = themed(200)
    split = make_split(read(shop_of(tmp_path / "all", orders)), EASY)
    lines = [line(f"o{n:05}", item, ordered_at=START + dt.timedelta(hours=n)) for n in range(160) for item in orders[n]]
    table = build(tmp_path / "older", [part(tmp_path, "older", lines)], scores=scores).similar
    mine = learn(split.learnt, {"it": scores})["it"]
    published = lists_of_table(table, split.learnt, split.orders > 0)
    assert (mine.starts == published.starts).all()
    assert (mine.other == published.other).all()
    assert mine.score == pytest.approx(published.score, rel=1e-12)


# -------------------------------------------------------------------------------------------------------------- figures
def test_figures_by_hand(tmp_path: Path) -> None:
    """Hidden items at places 1, 3 and 11 and one not found: a person with a pencil gets the same."""
    split = make_split(
        read(shop_of(tmp_path, [["a", "b"]] * 4 + [["a", "b"]] * 4, customers=0)), replace(EASY, test_share=0.5)
    )
    figures = figures_of(Answers(np.array([1, 3, 11, 0]), split.questions.hidden), split)
    assert figures.questions == 4
    assert figures.hit_rate == 0.5
    assert figures.hit_rate_error == pytest.approx(math.sqrt(4 * 0.25 / 3) / 2)
    assert figures.ndcg == pytest.approx((1 + 1 / 2) / 4)
    assert figures.mrr == pytest.approx((1 + 1 / 3 + 1 / 11) / 4)
    assert (figures.novelty, figures.popularity_bias) == (0.0, 1.0)
    assert figures.repeat_rate is None
    ahead, error = difference(
        Answers(np.array([1, 1]), split.place), Answers(np.array([1, 0]), split.place), "hit_rate"
    )
    assert (ahead, error) == (0.5, 0.5)


def test_no_question_has_no_figures(tmp_path: Path) -> None:
    """A shop whose orders hold one item each cannot be asked anything."""
    split = make_split(read(shop_of(tmp_path, [["a"], ["b"]] * 5)), EASY)
    lists = learn(split.learnt, {"cosine": ScoreSettings()})["cosine"]
    assert figures_of(answer(lists, split), split).questions == 0
    assert figures_of(most_popular(split), split).hit_rate == 0.0
    assert isinstance(lists, Lists)


# ----------------------------------------------------------------------------------------------------------- contenders
@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Of a shop of 3,000 orders whose items belong together in tens, while a Jaccard snapshot is served."""
    built = shop_of(tmp_path_factory.mktemp("evaluated"), themed(3000))
    return evaluate(built.orders, built.similar, ScoreSettings(score="jaccard"), Settings())


def test_all_contenders_answer_the_same_questions(evaluation: Evaluation) -> None:
    """Every score, counts, popularity and the table itself; the champion is the best that can be configured."""
    assert {one.contender for one in evaluation.entrants} == {
        "popularity", "count", "cosine", "jaccard", "confidence", "llr", "powers", "similar_items",
    }  # fmt: skip
    assert len({one.figures.questions for one in evaluation.entrants}) == 1
    assert (evaluation.configured, evaluation.served, evaluation.by_time) == ("cosine", "jaccard", True)
    rates = [one.figures.hit_rate for one in evaluation.entrants]
    assert rates == sorted(rates, reverse=True)
    assert evaluation.entrant("cosine").ahead == 0
    assert evaluation.entrant(evaluation.champion).settings is not None
    assert evaluation.entrant("cosine").figures.hit_rate > 2 * evaluation.entrant("popularity").figures.hit_rate
    assert all(check.passed for check in judge_quality(evaluation, errors=3, share=0.8))


def test_a_small_shop_is_told_why_it_is_not_evaluated(tmp_path: Path) -> None:
    """Too few questions say nothing, and nothing is refused for it."""
    built = shop_of(tmp_path, themed(100))
    found = evaluate(built.orders, built.similar, None, Settings())
    assert "200 are wanted" in found.skipped
    assert [check.message.split(":")[0] for check in judge_quality(found, errors=3, share=0.8)] == ["not evaluated"] * 2
    assert (
        evaluate(built.orders, built.similar, None, Settings(evaluation_lines=0)).skipped
        == "RECO_EVALUATION_LINES is 0"
    )


def test_only_the_newest_lines_are_used(tmp_path: Path) -> None:
    """The evaluation of a large shop is bounded."""
    built = shop_of(tmp_path, themed(2000))
    found = evaluate(built.orders, built.similar, None, Settings(evaluation_lines=2000, evaluation_min_questions=10))
    sizes = [size for _, size in sorted(Counter(row[1] for row in rows(built.orders)).items(), reverse=True)]
    assert found.orders == int(np.searchsorted(np.cumsum(sizes), 2000, side="right"))


# ------------------------------------------------------------------------------------------------------------- verdicts
def shifted(evaluation: Evaluation, contender: str, **changes: Any) -> Evaluation:
    """The evaluation with other figures of one contender."""
    own = {name: changes.pop(name) for name in ("ahead", "ahead_error") if name in changes}
    one = evaluation.entrant(contender)
    other = replace(one, figures=replace(one.figures, **changes), **own)
    return replace(evaluation, entrants=tuple(other if each is one else each for each in evaluation.entrants))


@pytest.mark.parametrize(("ahead", "passed"), [(-0.02, True), (0.0, True), (0.0299, True), (0.0301, False)])
def test_a_worse_score_is_refused_beyond_the_error(evaluation: Evaluation, ahead: float, passed: bool) -> None:
    """The served score may be ahead by three standard errors of the difference, not more."""
    found = shifted(evaluation, "jaccard", ahead=ahead, ahead_error=0.01)
    (score, _) = judge_quality(found, errors=3, share=0.8)
    assert (score.name, score.passed) == (SCORE, passed)
    assert "jaccard" in score.message
    assert judge_quality(found, errors=0, share=0.8)[0].passed


@pytest.mark.parametrize(("rate", "passed"), [(0.9, True), (0.5, True), (0.41, True), (0.39, False), (0.0, False)])
def test_lists_that_answer_poorly_are_refused(evaluation: Evaluation, rate: float, passed: bool) -> None:
    """Lists to be published reach at least eight tenths of what the score reaches without having seen the answers."""
    found = shifted(evaluation, "jaccard", hit_rate=0.5, hit_rate_error=0.001)
    found = shifted(found, "similar_items", hit_rate=rate, hit_rate_error=0.001)
    (_, lists) = judge_quality(found, errors=3, share=0.8)
    assert (lists.name, lists.passed) == (LISTS, passed)
    assert judge_quality(found, errors=3, share=0)[1].passed


def test_the_table_is_the_described_one(tmp_path: Path) -> None:
    """Columns are those of the description, and what was written reads back as it was, also where it was left out."""
    lake = Lake(tmp_path / "lake")
    built = shop_of(tmp_path, themed(1500))
    for name, path in (("orders", built.orders), ("similar_items", built.similar)):
        with lake.replace(name) as target:
            target.write_bytes(path.read_bytes())
    for shop in (Settings(), Settings(evaluation_lines=0)):
        made, _ = make_evaluation(lake, None, shop)
        assert current_evaluation(lake, None, shop) == made
        columns = types(lake.path(MODEL_EVALUATION))
        assert columns == {one.name: one.sql_type for one in TABLES[MODEL_EVALUATION]}
    before = lake.path(MODEL_EVALUATION).read_bytes()
    assert current_evaluation(lake, ScoreSettings(score="llr"), Settings()).served == "llr"
    assert lake.path(MODEL_EVALUATION).read_bytes() != before
