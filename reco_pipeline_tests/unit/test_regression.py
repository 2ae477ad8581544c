"""Promises of the regression: it solves what it says, to the bit alike, from the candidates alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from reco.errors import UsageError
from reco.model import regression, solving
from reco.model.baskets import Baskets
from reco.model.choice import candidates
from reco.model.cooccurrence import build_cooccurrence, read_kept
from reco.model.evaluation.choosing import choose
from reco.model.evaluation.table import evaluate
from reco.model.pairs import Pairs, count_pairs
from reco.model.ranking import Items, Ranked, keep_best
from reco.model.regression import BACK, SCALE, regress
from reco.model.scores import ScoreSettings
from reco.model.similar import build_similar
from reco.settings import Settings
from reco_pipeline_tests.model_tables import Built
from reco_pipeline_tests.unit.test_evaluation import shop_of, themed

SETTINGS = ScoreSettings.of(Settings(score="regression"))
FEW = replace(SETTINGS, candidates=12)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Orders of items that belong together in tens."""
    return shop_of(tmp_path_factory.mktemp("themed"), themed(900))


@pytest.fixture(scope="module")
def kept(built: Built) -> tuple[Pairs, np.ndarray[Any, Any]]:
    """The twelve candidates of each item, and the orders of the items."""
    baskets = Baskets.read(built.orders)
    items = Items.of(baskets, FEW.keeping)
    parts = [keep_best(FEW.keeping, items, pairs) for pairs in count_pairs(baskets, baskets.weights(FEW))]
    return Pairs.joined(parts), items.orders


def columns(ranked: Ranked) -> list[bytes]:
    """All that was found, to the bit."""
    return [getattr(ranked, name).tobytes() for name in ("item", "other", "rank", "score", "pair_orders")]


def written_out(kept: Pairs, orders: np.ndarray[Any, Any], item: int, ridge: float) -> tuple[Any, ...]:
    """Candidates, matrix and right side of one item, by the formula in the module's first lines, pair by pair."""
    pairs = list(zip(kept.item.tolist(), kept.other.tolist(), strict=True))
    assert kept.weight is not None
    counts = dict(zip(pairs, kept.orders.tolist(), strict=True))
    weights = dict(zip(pairs, kept.weight.tolist(), strict=True))
    mine = [other for one, other in pairs if one == item]
    d = orders**-SCALE
    both = {**{(i, q): n for (q, i), n in counts.items()}, **counts}
    matrix = np.array([[orders[i] if i == q else both.get((i, q), 0) for q in mine] for i in mine])
    matrix = matrix * np.outer(d[mine], d[mine]) + ridge * np.eye(len(mine))
    return mine, matrix, np.array([weights[item, i] for i in mine]) * d[mine] * d[item]


def test_it_solves_what_it_says(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many rounds no weight can be bettered: the gradient is 0, or would lead below 0. Four rounds come close."""
    pairs, orders = kept
    ratio = orders**BACK

    def weights_of(item: int, mine: list[int], ranked: Ranked) -> Any:
        score = {(int(i), int(j)): s for i, j, s in zip(ranked.item, ranked.other, ranked.score, strict=True)}
        found = np.array([score.get((i, item), 0.0) for i in mine])
        return found / (1 - found) * ratio[mine] / ratio[item]

    soon = regress(FEW, orders, pairs)
    monkeypatch.setattr(regression, "ROUNDS", 300)
    late = regress(FEW, orders, pairs)
    for item in (0, 17, 42, 79):
        mine, matrix, right = written_out(pairs, orders, item, FEW.ridge)
        x = weights_of(item, mine, late)
        gradient = matrix @ x - right
        assert np.abs(gradient[x > 0]).max() < 1e-9
        assert gradient.min() > -1e-9
        assert (x > 0).any()
        assert np.abs(weights_of(item, mine, soon) - x).max() < 0.02 * x.max()


def test_python_and_the_compiler_agree_to_the_bit(kept: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled loop gives what the same function gives when Python runs it."""
    compiled = columns(regress(FEW, kept[1], kept[0]))
    monkeypatch.setattr(regression, "_functions", lambda _: [solving.solve_block])
    assert columns(regress(FEW, kept[1], kept[0])) == compiled


@pytest.mark.parametrize(("threads", "block"), [(1, 512), (3, 7), (2, 1)])
def test_no_result_depends_on_threads_or_blocks(
    kept: Any, monkeypatch: pytest.MonkeyPatch, threads: int, block: int
) -> None:
    """Items do not depend on each other."""
    whole = columns(regress(FEW, kept[1], kept[0]))
    monkeypatch.setattr(regression, "BLOCK", block)
    assert columns(regress(FEW, kept[1], kept[0], threads=threads)) == whole


def test_without_pairs_there_are_no_neighbours() -> None:
    """A shop whose orders hold one item each has empty lists; so has one without any item."""
    for width in (0, 3):
        assert not len(regress(SETTINGS, np.ones(width), Pairs.joined([])).item)


def test_tables_are_made_of_the_candidates(built: Built, tmp_path: Path) -> None:
    """Both engines keep the same candidates; lists hold at most `top`, ranked, within 0..1, with exact evidence."""
    pairs, out, sorting = (tmp_path / f"{name}.parquet" for name in ("pairs", "similar", "sorting"))
    build_cooccurrence(built.orders, sorting, FEW, engine="sort")
    build_cooccurrence(built.orders, pairs, FEW, engine="kernel")
    assert pairs.read_bytes() == sorting.read_bytes()
    build_similar(built.stats, pairs, out, FEW)
    assert read_kept(pairs).settings == FEW
    assert max(np.unique(pq.read_table(pairs)["item_id"].to_numpy(), return_counts=True)[1]) == 12
    lists = pq.read_table(out).to_pylist()
    counts = {(row["item_id"], row["other_id"]): row["pair_orders"] for row in pq.read_table(pairs).to_pylist()}
    assert lists == sorted(lists, key=lambda row: (row["item_id"], -row["score"], -row["pair_orders"], row["other_id"]))
    assert all(0 < row["score"] <= 1 for row in lists)
    assert all(row["pair_orders"] == counts[row["other_id"], row["item_id"]] for row in lists)


def test_it_finds_what_belongs_together(built: Built) -> None:
    """Evaluated like any other where it is configured; otherwise it takes no part, since loading it takes a second."""
    found = evaluate(built.orders, built.similar, None, Settings(score="regression", evaluation_min_questions=50))
    assert found.configured == "regression as configured"
    mine, cosine = (found.entrant(name).figures.hit_rate for name in (found.configured, "cosine"))
    assert mine > 0.9 * cosine > 0.5
    plain = evaluate(built.orders, built.similar, None, Settings(evaluation_min_questions=50))
    assert "regression" not in {one.contender for one in plain.entrants}


def test_without_the_compiler_it_is_refused_and_not_chosen(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what is missing and what to do; `auto` chooses among the others."""
    monkeypatch.setattr(regression, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="needs numba") as caught:
        choose(built.orders, None, Settings(score="regression"))
    assert "RECO_SCORE=powers" in str(caught.value.hint)
    assert "regression" not in candidates(Settings(score="auto"))
    assert choose(built.orders, SETTINGS, Settings(score="auto"))[0].before == "cosine"
    found = evaluate(built.orders, built.similar, SETTINGS, Settings(evaluation_min_questions=50))
    assert (found.configured, found.served) == ("cosine", None)


def test_settings_that_regress_nothing_are_refused() -> None:
    """No candidates, or no ridge, is no regression."""
    for wrong in ({"candidates": 0, "ridge": 1.0}, {"candidates": 5, "ridge": 0.0}):
        with pytest.raises(UsageError, match="a regression has"):
            ScoreSettings(score="regression", **wrong)  # type: ignore[arg-type]
