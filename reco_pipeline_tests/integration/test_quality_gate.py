"""Promises of the gate on quality: a broken model and a worse score stay out; what is served stays; an alert tells."""

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest
import redis
from structlog.testing import capture_logs

from reco.audit.trail import Event, events
from reco.model.choice import SCORE_CHOICE, read_choice
from reco.model.cooccurrence import read_kept
from reco.model.evaluation.table import MODEL_EVALUATION
from reco.model.scores import ScoreSettings
from reco.model.similar import SimilarReport
from reco.model.tables import ITEM_COOCCURRENCE, ITEM_STATS, SIMILAR_ITEMS, make_similar
from reco.snapshot.release import served_state, verify_current
from reco.snapshot.store import SnapshotStore
from reco.storage.lake import Lake
from reco_pipeline.forgetting import forget
from reco_pipeline_tests.graph import Graph
from reco_pipeline_tests.servers import running_valkey

HEADER = "order_id,item_name,customer_id,ordered_at"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as client:
        yield client


@pytest.fixture
def graph(tmp_path: Path, valkey: redis.Redis) -> Iterator[Graph]:
    """A home whose gate looks at nothing but quality."""
    folder = tmp_path / f"quality{abs(hash(tmp_path)) % 10**6}"
    folder.mkdir()
    only_quality = {"gate_max_item_loss": "1", "gate_max_order_loss": "1", "gate_min_overlap": "0"}
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(folder, valkey, instance, only_quality)


def drop(month: int, orders: int = 1500, *, large: bool = False) -> str:
    """Orders of two to four items of one of eight themes, through a month; and a tenth of thirty at random."""
    chance, lines = random.Random(month), [HEADER]
    for n in range(orders):
        theme = chance.randrange(8)
        items = {f"i{theme}{chance.randrange(10)}" for _ in range(chance.randint(2, 4))}
        if large and n % 10 == 0:
            items |= {f"i{chance.randrange(8)}{chance.randrange(10)}" for _ in range(30)}
        at = f"2025-{month:02d}-{1 + n * 28 // orders:02d} {n % 24:02d}:00:00"
        lines += [f"{month}-{n},{item},c{n % 300},{at}" for item in sorted(items)]
    return "\n".join(lines) + "\n"


def served(graph: Graph) -> str | None:
    """The snapshot that is served."""
    return SnapshotStore(graph.client, graph.folder.name).current_id()


def answer_of(graph: Graph, item: str) -> list[str]:
    """The ids that are recommended beside an item."""
    body = SnapshotStore(graph.client, graph.folder.name).current().similar(item, 5)
    return [one["item_id"] for one in body["recommendations"]]


def shuffled(lake: Lake, scores: ScoreSettings | None = None) -> tuple[SimilarReport, str]:
    """`make_similar`, whose neighbours then become random items: a table that is sound in every figure but wrong."""
    report, _ = make_similar(lake, scores)
    stamp = lake.read_stamp(SIMILAR_ITEMS)
    assert stamp is not None
    stats = pl.read_parquet(lake.path(ITEM_STATS))
    orders = dict(stats.select("item_id", "orders").iter_rows())
    total = round(stats["orders"][0] / stats["share"][0])
    chance, rows = np.random.default_rng(1), []
    for item in sorted(orders):
        others = chance.choice(sorted(set(orders) - {item}), 20, replace=False)
        own = [(item, str(o), 1 / (orders[item] * orders[str(o)]) ** 0.5, 1, orders[str(o)]) for o in others]
        own.sort(key=lambda row: (-row[2], row[1]))
        rows += [(*row[:2], rank, *row[2:]) for rank, row in enumerate(own, start=1)]
    table = pl.DataFrame(rows, ["item_id", "other_id", "rank", "score", "pair_orders", "n"], orient="row")
    n_i = pl.col("item_id").replace_strict(orders)
    table = table.with_columns((1 / n_i).alias("confidence"), (total / (n_i * pl.col("n"))).alias("lift")).drop("n")
    with lake.replace(SIMILAR_ITEMS) as path:
        table.write_parquet(path)
    return report, lake.stamp(SIMILAR_ITEMS, stamp.inputs).digest


def test_a_broken_model_is_refused_and_an_alert_raised(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours shuffled by a defect: the gate refuses, the old snapshot answers as before, an alert says why."""
    first = graph.give(a=drop(1))
    assert first.success, first.errors
    assert first.evaluations["quality_held"].passed
    before, answers = served(graph), answer_of(graph, "i00")
    monkeypatch.setattr("assets.model.make_similar", shuffled)
    with capture_logs() as told:
        second = graph.give(b=drop(2))
    assert not second.success
    assert "the lists to publish reach" in second.errors[0]
    assert not second.evaluations["quality_held"].passed
    assert second.evaluations["scores_bounded"].passed  # nothing but their quality is wrong with them
    assert (served(graph), answer_of(graph, "i00")) == (before, answers)
    (alert,) = [one for one in told if one["event"] == "gate_refused"]
    assert alert["log_level"] == "error"
    assert before is not None
    assert before in alert["subject"]
    assert "--force" in alert["next_step"]
    (refusal,) = events(graph.home.ledger.engine, event=Event.GATE_REFUSED)
    verdicts = {one["name"]: one["passed"] for one in refusal.details["checks"]}
    assert [name for name, passed in verdicts.items() if not passed] == ["lists_answer"]
    monkeypatch.undo()
    assert graph.run("rebuild_recommendations").success
    assert served(graph) != before


def test_a_worse_score_is_refused_until_forced(graph: Graph) -> None:
    """Settings that find less than the served ones, learnt from the same orders, are published only on purpose."""
    assert graph.give(a=drop(1)).success
    before = served(graph)
    worse = Graph(graph.folder, graph.client, graph.instance, graph.settings | {"score_min_pair_orders": "40"})
    refused = worse.run("rebuild_recommendations")
    assert "the served cosine reaches" in refused.errors[0]
    assert not refused.evaluations["best_score_configured"].passed
    assert served(graph) == before
    assert worse.run("rebuild_recommendations", force=True).success
    manifest = SnapshotStore(graph.client, graph.folder.name).current().manifest
    assert manifest["forced"]
    assert {one["name"]: one["passed"] for one in manifest["gate"]}["quality_kept"] is False
    assert manifest["score_settings"] == {"score": "cosine", "top": 100, "min_pair_orders": 40}


@pytest.mark.parametrize("score", ["powers", "regression"])
def test_another_score_is_served_with_exact_evidence(graph: Graph, score: str) -> None:
    """A score that counts do not give is stored: answers have it to a thousandth, and evidence as counted."""
    graph.settings["score"] = score
    outcome = graph.give(a=drop(1))
    assert outcome.success, outcome.errors
    assert verify_current(graph.client, graph.folder.name, graph.home.lake).passed
    snapshot = SnapshotStore(graph.client, graph.folder.name).current()
    assert (snapshot.manifest["format"], snapshot.manifest["score_settings"]["score"]) == (2, score)
    table = pl.read_parquet(graph.home.lake.path(SIMILAR_ITEMS)).filter(item_id="i00").sort("rank")
    body = snapshot.similar("i00", 100)["recommendations"]
    assert [one["item_id"] for one in body] == table["other_id"].to_list()
    assert [one["similarity_score"] for one in body] == pytest.approx(table["score"].to_list(), rel=1.1e-3)
    for name in ("pair_orders", "confidence", "lift"):
        assert [one["evidence"][name] for one in body] == pytest.approx(table[name].to_list(), rel=1e-12)
    basket = snapshot.basket(["i00", "i01"], 5)["recommendations"]
    assert {one["item_id"][:2] for one in basket} == {"i0"}


def test_the_orders_choose_the_score(graph: Graph) -> None:
    """RECO_SCORE=auto: pairs, lists, snapshot, trail and UI all have the score that the orders chose, and why."""
    graph.settings["score"] = "auto"
    outcome = graph.give(a=drop(1, large=True))
    assert outcome.success, outcome.errors
    manifest = SnapshotStore(graph.client, graph.folder.name).current().manifest
    chosen = read_choice(graph.home.lake, graph.home.settings)
    assert (best := chosen.scores.score) != "cosine"
    assert manifest["score_settings"] == read_kept(graph.home.lake.path(ITEM_COOCCURRENCE)).settings.as_dict()
    assert manifest["score_choice"] == chosen.as_dict()
    assert graph.run("rebuild_recommendations").success
    (mark,) = events(graph.home.ledger.engine, event=Event.SCORE_CHOSEN)
    assert mark.details["reason"] == chosen.reason
    assert "takes over from cosine" in chosen.reason
    event = graph.instance.get_latest_materialization_event(dg.AssetKey(SCORE_CHOICE))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert shown["score"].value == best
    assert f"{best} stays: it is the best" in str(shown["why"].value)
    assert "jaccard" in str(shown["contenders"].value)
    assert served_state(graph.home, graph.client).current  # nothing waits: the choice is no new input
    forget(graph.home, "c1", source=None, remove_raw=False, now=dt.datetime.now(dt.UTC), agreed=lambda *_: True)
    assert verify_current(graph.client, graph.folder.name, graph.home.lake).passed


def test_the_evaluation_is_shown_as_numbers_and_a_table(graph: Graph) -> None:
    """Each run leaves the figures that the UI plots over time, and all contenders side by side."""
    assert graph.give(a=drop(1)).success
    event = graph.instance.get_latest_materialization_event(dg.AssetKey(MODEL_EVALUATION))
    assert event is not None
    assert event.asset_materialization is not None
    shown = event.asset_materialization.metadata
    assert shown["split"].value == "newest orders"
    for name in ("hit_rate", "ndcg", "mrr", "coverage", "hit_rate/popularity", "hit_rate/jaccard"):
        assert 0 < shown[name].value <= 1  # type: ignore[operator]
    assert {"novelty", "popularity_bias", "repeat_rate", "explore_rate", "ndcg_error"} <= set(shown)
    table = str(shown["contenders"].value)
    assert all(name in table for name in ("popularity", "count", "cosine", "powers", "similar_items"))
