"""Promises of the audit checks: all pass on good drops, and each is seen failing on data made to fail it."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest
import redis
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from reco.audit.catalogue import CATALOGUE, Weight
from reco.orders.mending import export_open
from reco.orders.quarantine import Selection
from reco.orders.replay import replay_file
from reco.snapshot.release import unpublished
from reco_pipeline_tests.graph import Graph, Outcome
from reco_pipeline_tests.servers import running_valkey

HEADER = "order_id,item_name,quantity,customer_id,ordered_at"
WARNINGS = {one.name for one in CATALOGUE if one.weight is Weight.WARNING}


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with running_valkey(tmp_path_factory.mktemp("valkey")) as client:
        yield client


@pytest.fixture
def graph(tmp_path: Path, valkey: redis.Redis) -> Iterator[Graph]:
    """The graph of a home that has never seen a drop, with a gate that lets everything pass."""
    folder = tmp_path / f"shop{abs(hash(tmp_path)) % 10**6}"
    folder.mkdir()
    open_gate = {"gate_max_item_loss": "1", "gate_max_order_loss": "1", "gate_min_overlap": "0"}
    with dg.DagsterInstance.ephemeral() as instance:
        yield Graph(folder, valkey, instance, open_gate)


def day(number: int, *more: str, items: tuple[str, ...] = ("PID", "Hose", "Pump")) -> str:
    """A drop of 40 orders of one day with a customer each, and further lines."""
    lines = [
        f"{number}-{order},{item},1,c{order},2024-03-{number:02d} 10:{order:02d}:00"
        for order in range(40)
        for item in (items[0], items[1 + order % (len(items) - 1)])
    ]
    return "\n".join([HEADER, *lines, *more]) + "\n"


def offenders(outcome: Outcome, check: str) -> list[dict[str, object]]:
    """The records of the table that a failing check shows."""
    table = outcome.evaluations[check].metadata["offenders"]
    assert isinstance(table, dg.TableMetadataValue)
    return [dict(record.data) for record in table.records]


def test_good_drops_pass_every_check(graph: Graph) -> None:
    """Three good drops in one run: every check of the catalogue says so, the one by partition for each drop."""
    outcome = graph.give(a=day(1), b=day(2), c=day(3))
    assert outcome.errors == ()
    assert outcome.failed() == set()
    assert set(outcome.evaluations) == {one.name for one in CATALOGUE} - {"drop_quality"}
    assert [(name, one.passed) for (name, _), one in outcome.by_partition.items()] == [("drop_quality", True)] * 3
    key = dg.AssetCheckKey(dg.AssetKey("order_lines"), "drop_quality")
    history = graph.instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
    assert {(one.partition is not None, one.status) for one in history} == {(True, Status.SUCCEEDED)}
    assert all(one.evaluation and one.evaluation.target_materialization_data for one in history)


def test_a_poor_drop_warns_in_numbers_and_is_published(graph: Graph) -> None:
    """Bad, repeated, incomplete and future lines: each check warns, names the drop and its figures; nothing stops."""
    graph.give(a=day(1), b=day(2), c=day(3))
    ahead = f"{dt.datetime.now(dt.UTC) + dt.timedelta(days=1.5):%Y-%m-%d %H:%M:%S}"
    bad = [f"x-{n},PID,zero,c,2024-03-04" for n in range(40)]
    anonymous = [f"y-{n},Hose,1,,2024-03-04" for n in range(200)]
    repeated = ["z-1,Pump,1,c,2024-03-04"] * 40
    outcome = graph.give(d=day(4, *bad, *anonymous, *repeated, f"w-1,PID,1,c,{ahead}"), e="order_id,item_name\n")
    assert outcome.errors == ()
    poor = {"quality_score", "columns_complete", "few_duplicates", "dates_sane", "quarantine_rate", "quarantine_steady"}
    assert outcome.failed() == {*poor, "drops_usable"}
    for name in outcome.failed():
        assert outcome.evaluations[name].severity is dg.AssetCheckSeverity.WARN, name
    told = {name: str(outcome.evaluations[name].description) for name in poor}
    assert told["quality_score"] == "d.csv: quality score 88.9, below 95."
    assert "customer_id has a value in 37.69% of lines" in told["columns_complete"]
    assert "10.80% of lines repeat another exactly" in told["few_duplicates"]
    assert "newest order at" in told["dates_sane"]
    assert "11.08% of lines quarantined, in the 3 drops before it 0.00%" in told["quarantine_steady"]
    assert offenders(outcome, "few_duplicates") == [
        {"drop": "d.csv", "duplicate_rate": pytest.approx(39 / 361), "lines_duplicate": 39}
    ]
    assert [one["name"] for one in offenders(outcome, "drops_usable")] == ["e.csv"]
    verdicts = {key.split("-")[0]: one for (_, key), one in outcome.by_partition.items()}
    assert {name: one.passed for name, one in verdicts.items()} == {"d": False, "e": False}
    assert "quality score 88.9" in str(verdicts["d"].description)
    assert "is failed" in str(verdicts["e"].description)


def test_all_checks_of_an_asset_can_be_run_again_without_a_partition(graph: Graph) -> None:
    """The button "Execute all" judges every drop, and leaves no evaluation open."""
    graph.give(a=day(1), b=day(2, "x,PID,zero,c,2024-03-02", "y,PID,zero,c,2024-03-02"))
    outcome = graph.check("order_lines")
    assert outcome.errors == ()
    assert len(outcome.evaluations) == 8
    assert outcome.evaluations["drop_quality"].description == "2 drops judged, 1 worse than the limits: b.csv."
    assert sorted(one.passed for one in outcome.by_partition.values()) == [False, True]


def test_damaged_lines_fail_the_invariants(graph: Graph) -> None:
    """A stored line that is gone breaks the blocking equality, one without its order id is named by file and line."""
    graph.give(a=day(1))
    (path,) = (graph.folder / "home" / "lake" / "order_lines").glob("*.parquet")
    duckdb.sql(
        f"COPY (SELECT * REPLACE (CASE line WHEN 7 THEN NULL ELSE order_id END AS order_id) FROM '{path}' "
        f"WHERE line <> 9 ORDER BY line) TO '{path}' (FORMAT parquet)"
    )
    keys = graph.check("order_lines", "key_fields_present")
    assert keys.failed() == {"key_fields_present"}
    assert keys.evaluations["key_fields_present"].severity is dg.AssetCheckSeverity.ERROR
    assert offenders(keys, "key_fields_present")[0]["line"] == 7
    whole = graph.check("order_lines", "lines_reconcile")
    assert not whole.success
    assert "80 lines read, 79 accepted" in str(whole.evaluations["lines_reconcile"].description)


def test_damaged_tables_of_the_model_fail_their_checks(graph: Graph) -> None:
    """A pair without its mirror and a score above 1 are found and shown, as errors."""
    graph.give(a=day(1))
    lake = graph.folder / "home" / "lake"
    pairs, similar = (lake / name / f"{name}.parquet" for name in ("item_cooccurrence", "similar_items"))
    duckdb.sql(f"COPY (SELECT * FROM '{pairs}' OFFSET 1) TO '{pairs}' (FORMAT parquet)")
    duckdb.sql(f"COPY (SELECT * REPLACE (score + 1 AS score) FROM '{similar}') TO '{similar}' (FORMAT parquet)")
    for asset, check in (("item_cooccurrence", "pairs_symmetric_and_bounded"), ("similar_items", "scores_bounded")):
        outcome = graph.check(asset, check)
        assert outcome.failed() == {check}
        assert outcome.evaluations[check].severity is dg.AssetCheckSeverity.ERROR
        assert offenders(outcome, check)


def test_a_shrunk_and_shuffled_snapshot_warns_although_the_gate_let_it_pass(graph: Graph) -> None:
    """Most items and orders gone and other neighbours than before: three warnings with the counts of both snapshots."""
    graph.give(a=day(1, items=("PID", "Hose", "Pump", "Tape", "Mask")), b=day(2))
    ledger = graph.home.ledger
    for drop in ledger.drops():
        ledger.retract(drop.key, now=dt.datetime.now(dt.UTC), reason="test")
    outcome = graph.give(c="order_id,item_name\n1,PID\n1,Gloves\n2,Hose\n2,Gloves\n")
    assert outcome.errors == ()
    assert {"items_kept", "orders_kept", "lists_overlap"} == outcome.failed() & {one.name for one in CATALOGUE}
    assert outcome.failed() <= WARNINGS
    assert "5 items before, 3 now: 40.0% lost" in str(outcome.evaluations["items_kept"].description)
    assert "80 orders before, 2 now: 97.5% lost" in str(outcome.evaluations["orders_kept"].description)
    assert "overlap by 0.0%" in str(outcome.evaluations["lists_overlap"].description)
    assert {one["gone"] for one in offenders(outcome, "lists_overlap")} >= {"PID"}
    again = graph.check("redis_snapshot", "orders_kept")
    assert again.evaluations["orders_kept"].description == outcome.evaluations["orders_kept"].description


def test_a_lost_key_of_the_served_snapshot_is_an_error(graph: Graph) -> None:
    """What Redis no longer holds as the lake says fails the blocking check by the key's name."""
    graph.give(a=day(1))
    namespace = graph.overrides["namespace"]
    (key,) = graph.client.scan_iter(f"{namespace}:*:item:PID:similar".encode())
    graph.client.delete(key)
    outcome = graph.check("redis_snapshot", "published_keys_equal")
    assert not outcome.success
    assert outcome.failed() == {"published_keys_equal"}
    assert offenders(outcome, "published_keys_equal") == [{"key": key.decode()}]


def test_replayed_lines_reach_the_snapshot_and_are_seen(graph: Graph) -> None:
    """After a replay a publish is pending; the rebuild takes the lines in and tells it on the drop's partition."""
    assert graph.give(a=day(1, "1-0,Probe,none,c0,2024-03-01 10:00:00")).success
    assert unpublished(graph.home) is None
    export_open(graph.home, Selection(), graph.folder / "mend.csv", now=dt.datetime.now(dt.UTC))
    mended = (graph.folder / "mend.csv").read_bytes().replace(b",none,", b",1,")
    (graph.folder / "mend.csv").write_bytes(mended)
    replay_file(graph.home, graph.folder / "mend.csv", now=dt.datetime.now(dt.UTC), actor="a test")
    assert unpublished(graph.home) is not None
    assert graph.run("rebuild_recommendations").success
    assert unpublished(graph.home) is None
    stats = pl.read_parquet(graph.home.lake.path("item_stats"))
    assert stats.filter(pl.col("item_id") == "Probe")["orders"].to_list() == [1]
    (drop,) = graph.home.ledger.drops()
    (seen,) = graph.instance.fetch_observations(
        dg.AssetRecordsFilter(asset_key=dg.AssetKey("order_lines"), asset_partitions=[drop.key]), 5
    ).records
    assert seen.asset_observation is not None
    assert seen.asset_observation.metadata["lines_replayed"].value == 1
    figures = graph.check("order_lines", "lines_reconcile").evaluations["lines_reconcile"].metadata
    assert [figures[name].value for name in ("lines_quarantined", "lines_replayed", "lines_open")] == [1, 1, 0]
