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
from reco.orders.profiles import load_profile
from reco.orders.quarantine import Selection
from reco.orders.replay import replay_file
from reco.snapshot.release import unpublished
from reco_pipeline.pending import catalogue_ledger
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
    poor = {"quality_score", "columns_complete", "values_valid", "few_duplicates", "dates_sane", "mix_steady"}
    poor |= {"quarantine_rate", "quarantine_steady"}
    assert outcome.failed() == {*poor, "drops_usable"}
    for name in outcome.failed():
        assert outcome.evaluations[name].severity is dg.AssetCheckSeverity.WARN, name
    told = {name: str(outcome.evaluations[name].description) for name in poor}
    assert told["quality_score"] == "d.csv: quality score 88.9, below 95."
    assert "customer_id has a value in 37.69% of lines" in told["columns_complete"]
    assert "quantity is valid in 88.92% of its values, below 98.00%" in told["values_valid"]
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
    assert set(outcome.evaluations) == {one.name for one in CATALOGUE if one.asset == "order_lines"}
    assert outcome.evaluations["drop_quality"].description == "2 drops judged, 1 worse than the limits: b.csv."
    assert sorted(one.passed for one in outcome.by_partition.values()) == [False, True]
    job = graph.run("recheck_drops")
    assert job.errors == ()
    assert {one.asset for one in CATALOGUE if one.name in job.evaluations} == {
        "order_lines",
        "quarantined_lines",
        "orders",
        "catalogue",
    }
    assert sorted(one.passed for one in job.by_partition.values()) == [False, True]


def test_newest_drops_unlike_those_before_are_told_as_severely_as_the_shop_wants(graph: Graph) -> None:
    """Another name, two customers, pence for pounds, dozens for pieces, a week late: each warns, or is an error."""
    graph.settings |= {"error_checks": "prices_usual, mix_steady"}
    head = "order_id,sku,item_name,quantity,unit_price,customer_id,ordered_at"
    lately = dt.datetime.now(dt.UTC) - dt.timedelta(hours=2)  # not midnight: the age must not hang on the hour

    def drop(number: int, name: str, price: int, quantity: int, age: int) -> str:
        when = f"{lately - dt.timedelta(days=age):%Y-%m-%d %H:%M:%S}"
        lines = [
            f"{number}-{order},{item},{(name, 'Hose')[item - 1]},{quantity},{price},c{order}{item * (price > 9)},{when}"
            for order in range(40)
            for item in (1, 2)
        ]
        return "\n".join([head, *lines]) + "\n"

    for number in (1, 2, 3):
        assert not graph.give(**{f"day{number}": drop(number, "PID", 9, 1, 1)}).failed()
    outcome = graph.give(day4=drop(4, "PID meter", 900, 48, 8))
    assert outcome.errors == ()
    found = {"items_consistent", "orders_consistent", "orders_timely", "prices_usual", "quantities_usual", "mix_steady"}
    assert outcome.failed() == found
    severe = {name for name in found if outcome.evaluations[name].severity is dg.AssetCheckSeverity.ERROR}
    assert severe == {"prices_usual", "mix_steady"}
    told = {name: str(outcome.evaluations[name].description) for name in found}
    assert told["items_consistent"].startswith("Of 2 items of the recent drops 1 have two names")
    assert told["orders_consistent"].startswith("Of 40 orders of the newest drops 40 have two customers")
    assert "8.1 days old" in told["orders_timely"]
    assert told["prices_usual"].startswith("80 of 80 prices of the newest drops (100.00%) are more than 5 spreads")
    assert offenders(outcome, "items_consistent")[0]["names"] == "PID | PID meter"
    assert offenders(outcome, "prices_usual")[0]["usual"] == 9.0
    assert {one["of"] for one in offenders(outcome, "mix_steady")} == {"prices"}
    assert "c01" not in str(outcome.evaluations)


def test_a_day_with_half_its_usual_orders_warns(graph: Graph) -> None:
    """Five weeks of one weekday at 40 orders, then one of 4: the day is named with what is usual."""
    first = dt.date(2024, 3, 4)

    def monday(week: int, orders: int) -> str:
        day = first + dt.timedelta(weeks=week)
        return "\n".join([HEADER, *(f"{week}-{n},PID,1,c{n},{day} 10:00:00" for n in range(orders))]) + "\n"

    assert "volume_usual" not in graph.give(**{f"w{week}": monday(week, 40) for week in range(5)}).failed()
    outcome = graph.give(w5=monday(5, 4))
    assert "volume_usual" in outcome.failed()
    assert "Mon 2024-04-08 of auto has 4 orders, usual are 40" in str(outcome.evaluations["volume_usual"].description)
    assert offenders(outcome, "volume_usual")[0]["usual_orders"] == 40


def test_a_poor_catalogue_warns_and_its_names_are_served(graph: Graph) -> None:
    """Gaps, repeated ids, a price jump, orphans both ways and a file that is none: each check tells, nothing stops."""
    ledger = catalogue_ledger(graph.home)

    def give(name: str, *lines: str) -> None:
        path = graph.folder / name
        path.write_text("\n".join(["item_id,name,category,price", *lines]) + "\n")
        ledger.register([(path, load_profile("auto"))], now=dt.datetime.now(dt.UTC))

    give("first.csv", "PID,Meter,Gear,10", "Hose,Hose,Gear,2", "Pump,Pump,Gear,30")
    of_catalogue = {one.name for one in CATALOGUE if one.asset == "catalogue"}
    assert not graph.give(a=day(1)).failed() & of_catalogue
    give("second.csv", "PID,,,100", "PID,,,100", *(f"new-{n},,Gear,1" for n in range(8)), "Hose,Schlauch,Gear,2")
    give("third.csv")
    outcome = graph.run("rebuild_recommendations")
    assert outcome.errors == ()
    found = outcome.failed() & of_catalogue
    assert found == {
        "catalogues_usable",
        "catalogue_complete",
        "catalogue_ids_unique",
        "catalogue_prices_steady",
        "sold_items_listed",
        "listed_items_sold",
    }
    told = {name: str(outcome.evaluations[name].description) for name in found}
    assert told["catalogue_complete"] == "Of 10 listed items 10.0% have a name and 90.0% a category."
    assert told["catalogue_prices_steady"].startswith("1 of 2 prices jumped")
    assert told["sold_items_listed"].startswith("1 of 3 sold items are in no newest catalogue (33.33%, in 20 lines")
    assert told["listed_items_sold"].startswith("8 of 10 listed items were never sold")
    assert offenders(outcome, "sold_items_listed") == [{"item_id": "Pump", "orders": 20}]
    stats = pl.read_parquet(graph.home.lake.existing("item_stats")).select("item_id", "item_name").rows()
    assert dict(stats) == {"PID": "PID", "Hose": "Schlauch", "Pump": "Pump"}


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
    mended = (graph.folder / "mend.csv").read_bytes().replace(b'"none"', b'"1"')
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
