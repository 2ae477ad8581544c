"""Promises of RECO_SCORE=auto: the orders decide, near ties do not, and what decided can be read afterwards."""

import datetime as dt
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reco.audit.trail import Event, events
from reco.errors import LakeError, UsageError
from reco.model.choice import SCORE_CHOICE, read_choice, score_is_known, scores_in_force, scoring_rule
from reco.model.columns import TABLES
from reco.model.evaluation.choosing import choose, keep_choice, make_choice, record_choice
from reco.model.scores import SCORES, ScoreSettings
from reco.settings import Settings
from reco.storage.lake import Lake
from reco.storage.sql import open_database
from reco_pipeline_tests.model_tables import types
from reco_pipeline_tests.unit.test_evaluation import shop_of, themed

AUTO = Settings(score="auto")
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def with_large_orders(count: int = 2000) -> list[list[str]]:
    """Small orders of things that belong together, and a tenth that hold thirty at random: those must not decide."""
    chance, found = random.Random(1), []
    for n in range(count):
        theme = chance.randrange(8)
        items = {f"i{theme}{chance.randrange(10)}" for _ in range(chance.randint(2, 4))}
        more = {f"i{chance.randrange(8)}{chance.randrange(10)}" for _ in range(30)} if n % 10 == 0 else set()
        found.append(sorted(items | more))
    return found


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a shop in which other scores find far more than the cosine."""
    return shop_of(tmp_path_factory.mktemp("large"), with_large_orders()).orders


@pytest.fixture
def lake(tmp_path: Path, orders: Path) -> Lake:
    """A lake with these orders."""
    found = Lake(tmp_path / "lake")
    with found.replace("orders") as target:
        target.write_bytes(orders.read_bytes())
    return found


def test_the_best_score_takes_over_and_stays(orders: Path) -> None:
    """A score that is ahead by more than the error is chosen; chosen again from the same orders, it is the same."""
    choice, found = choose(orders, None, AUTO)
    best = choice.scores.score
    assert (choice.scores, choice.before) == (ScoreSettings.of(AUTO, best), "cosine")
    assert best == found.champion != "cosine"
    assert choice.ahead > 3 * choice.error > 0
    assert f"{best} takes over from cosine" in choice.reason
    assert {one.contender for one in found.entrants} == set(SCORES)
    assert choose(orders, None, AUTO) == (choice, found)
    again, _ = choose(orders, choice.scores, AUTO)
    assert (again.scores, again.before, again.ahead) == (choice.scores, best, 0.0)
    assert f"{best} stays: it is the best" in again.reason


def test_near_ties_change_nothing(tmp_path: Path) -> None:
    """A better score that the error explains leaves the served one in force, whichever that is."""
    built = shop_of(tmp_path, themed(3000))
    for served in (None, ScoreSettings(score="jaccard")):
        choice, found = choose(built.orders, served, AUTO)
        before = served.score if served else "cosine"
        assert found.champion != before
        assert (choice.scores.score, choice.before) == (before, before)
        assert f"{before} stays: {found.champion} has" in choice.reason
    bold, found = choose(built.orders, None, Settings(score="auto", score_change_errors=0.01))
    assert bold.scores.score == found.champion


def test_too_few_questions_change_nothing(tmp_path: Path) -> None:
    """A shop that cannot be evaluated keeps its score, and is told why."""
    choice, found = choose(shop_of(tmp_path, themed(100)).orders, ScoreSettings(score="llr"), AUTO)
    assert choice.scores.score == "llr"
    assert "not evaluated" in choice.reason
    assert not found.entrants


def test_settings_of_the_shop_apply_to_what_is_chosen(orders: Path) -> None:
    """Support, shrinkage and half-life are those of the shop, whichever score it becomes."""
    choice, _ = choose(orders, None, AUTO.model_copy(update={"score_min_pair_orders": 4, "score_shrinkage": 2.0}))
    assert (choice.scores.min_pair_orders, choice.scores.shrinkage) == (4, 2.0)


def test_a_configured_score_is_not_compared(lake: Lake) -> None:
    """The table says which score is in force and that a setting chose it; nothing else is read."""
    choice, found, _ = make_choice(lake, ScoreSettings(score="llr"), Settings(score="jaccard"))
    assert (choice.scores.score, choice.reason, found.entrants) == ("jaccard", "RECO_SCORE is jaccard", ())
    assert scores_in_force(lake, Settings(score="llr")).score == "llr"
    with pytest.raises(UsageError, match="auto"):
        ScoreSettings.of(AUTO)


def test_the_choice_is_read_from_the_lake(lake: Lake) -> None:
    """What stands is in force for all that comes after; without it, or under other settings, nothing is guessed."""
    assert not score_is_known(lake, AUTO)
    with pytest.raises(LakeError, match="score_choice is not in the lake"):
        scores_in_force(lake, AUTO)
    choice, _, digest = make_choice(lake, None, AUTO)
    assert read_choice(lake, AUTO) == choice
    assert scores_in_force(lake, AUTO) == choice.scores != ScoreSettings()
    assert make_choice(lake, None, AUTO)[2] == digest
    columns = types(lake.path(SCORE_CHOICE))
    assert columns == {one.name: one.sql_type for one in TABLES[SCORE_CHOICE]}
    assert pq.read_table(lake.path(SCORE_CHOICE)).num_rows == len(SCORES)
    other = Settings(score="auto", evaluation_metric="mrr")
    assert not score_is_known(lake, other)
    with pytest.raises(LakeError, match="other settings") as caught:
        scores_in_force(lake, other)
    assert "rebuild_recommendations" in str(caught.value.hint)


def test_a_lake_made_anew_keeps_the_choice_of_then(lake: Lake) -> None:
    """A drill or a return in time takes the score of that moment, not what today's orders would choose."""
    keep_choice(lake, ScoreSettings(score="llr"), Settings())
    assert not lake.path(SCORE_CHOICE).exists()
    keep_choice(lake, ScoreSettings(score="llr"), AUTO)
    assert scores_in_force(lake, AUTO) == ScoreSettings(score="llr")


def test_the_rule_is_part_of_what_a_snapshot_is_made_of() -> None:
    """What could choose another score makes other inputs; the score that came out does not, or runs would chase it."""
    assert scoring_rule(Settings()) == str(ScoreSettings().as_dict())
    others = Settings(score="auto", score_shrinkage=1), Settings(score="auto", evaluation_lines=9)
    assert len({scoring_rule(one) for one in (Settings(), AUTO, *others)}) == 4


def test_the_trail_has_each_change_once(tmp_path: Path, orders: Path) -> None:
    """A mark where another score comes into force, none where it stays."""
    engine = open_database(f"sqlite:///{tmp_path / 'state.db'}")
    choice, _ = choose(orders, None, AUTO)
    assert record_choice(engine, choice, run_id="r", now=NOW)
    stays, _ = choose(orders, choice.scores, AUTO)
    assert not record_choice(engine, stays, run_id="s", now=NOW)
    (mark,) = events(engine, event=Event.SCORE_CHOSEN)
    assert (mark.run_id, mark.details["scores"], mark.details["before"]) == ("r", choice.scores.as_dict(), "cosine")
    assert mark.details["reason"] == choice.reason
    engine.dispose()
