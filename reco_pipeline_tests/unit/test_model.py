"""Promises of the model: exact counts, reproducible files, and answers known by construction."""

import datetime as dt
import math
import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import LakeError, UsageError
from reco.model.checks import check_key_nulls, check_similar_bounds, check_symmetry
from reco.model.cooccurrence import build_cooccurrence
from reco.model.item_stats import build_item_stats
from reco.model.scores import ScoreSettings
from reco.model.similar import build_similar
from reco.orders.merging import write_merged
from reco.orders.view import build_orders
from reco_pipeline_tests.model_tables import Built, baskets, build, line, part, rows, types, write_lines

ROW_GROUP = 122_880  # rows; only files of several groups show an order that depends on threads
DAY = [dt.datetime(2026, 1, day, tzinfo=dt.UTC).replace(tzinfo=None) for day in (1, 2, 3)]


@pytest.fixture
def shop(tmp_path: Path) -> Built:
    """Four orders: pid+cal, pid+cal+pump, pid, hose."""
    return build(
        tmp_path / "shop", [part(tmp_path, "d", baskets([["pid", "cal"], ["pid", "cal", "pump"], ["pid"], ["hose"]]))]
    )


# ------------------------------------------------------------------------------------------------------- item stats
def test_item_stats_known_answer(tmp_path: Path) -> None:
    """Orders, units, revenue, customers and times of an item are what a person counts."""
    lines = [
        line("1", "pid", quantity=2, total="20", customer_id="a", ordered_at=DAY[1]),
        line("1", "pid", quantity=1, total="10", customer_id="a", ordered_at=DAY[1]),
        line("2", "pid", total="9.5", customer_id="a", ordered_at=DAY[0]),
        line("3", "pid", customer_id="b", ordered_at=DAY[2]),
        line("3", "cal", quantity=7, customer_id="b", ordered_at=DAY[2]),
        line("4", "ant", customer_id=None),
    ]
    made = build(tmp_path / "out", [part(tmp_path, "d", lines)])
    assert rows(made.stats) == [
        ("pid", "pid", None, 3, 4 + 1, Decimal("39.5"), 2, DAY[0], DAY[2], 1, 0.75),
        ("ant", "ant", None, 1, 1, None, None, None, None, 2, 0.25),
        ("cal", "cal", None, 1, 7, None, 1, DAY[2], DAY[2], 3, 0.25),
    ]
    report = made.stats_report
    assert (report.items, report.orders, report.units, report.named) == (3, 4, 13, 0)
    assert (report.first_sold_at, report.last_sold_at) == (DAY[0], DAY[2])


def test_customers_of_two_sources_are_not_mixed(tmp_path: Path) -> None:
    """Customer 1 of the till and customer 1 of the web shop are two people."""
    lines = [line("1", "pid", source="till", customer_id="1"), line("1", "pid", source="web", customer_id="1")]
    assert rows(build(tmp_path / "out", [part(tmp_path, "d", lines)]).stats)[0][6] == 2


def test_the_most_frequent_name_wins_and_ties_go_to_the_smallest(tmp_path: Path) -> None:
    """The name of an item is what most lines say, blank text is none, and without any it is the id."""
    lines = [
        *(line(str(n), "1", item_name=name, category=group) for n, (name, group) in enumerate(
            [("Hose", None), ("Pump", "B"), ("Pump", "A"), (None, None), (" ", ""), ("", None), (None, None)]
        )),
        line("9", "2", item_name="b"),
        line("9", "2", item_name="a"),
        line("9", "3"),
    ]  # fmt: skip
    made = build(tmp_path / "out", [part(tmp_path, "d", lines)])
    assert {r[0]: r[1:3] for r in rows(made.stats)} == {"1": ("Pump", "A"), "2": ("a", None), "3": ("3", None)}
    assert (made.stats_report.named, made.stats_report.categorised) == (2, 1)


def test_the_catalogue_names_first(tmp_path: Path) -> None:
    """A catalogue's name beats the lines', its gaps are filled from them, and it adds no item that nobody ordered."""
    lines = [line("1", "1", item_name="old", category="c"), line("1", "2", item_name="two")]
    one = part(tmp_path, "d", lines)
    build_orders([one], tmp_path / "orders")
    names = tmp_path / "names.parquet"
    pl.DataFrame(
        {"item_id": ["1", "1", "2", "9"], "item_name": ["new", "newer", None, "nobody's"], "category": [None] * 4},
        schema={"item_id": pl.String, "item_name": pl.String, "category": pl.String},
    ).write_parquet(names)
    report = build_item_stats(tmp_path / "orders", [one.path], names, tmp_path / "out")
    assert [r[:3] for r in rows(tmp_path / "out")] == [("1", "new", "c"), ("2", "two", None)]
    assert (report.items, report.named_by_catalogue) == (2, 1)


def test_lines_of_a_replaced_order_name_nothing(tmp_path: Path) -> None:
    """A full export sent again with a corrected name shows the corrected name."""
    old = [line(str(n), "1", item_name="A typo") for n in range(3)]
    new = [line(str(n), "1", item_name="Pump") for n in range(3)]
    parts = [part(tmp_path, "a", old, 1), part(tmp_path, "b", new, 2)]
    assert rows(build(tmp_path / "out", parts).stats)[0][1] == "Pump"
    build_item_stats(tmp_path / "out/orders.parquet", [p.path for p in parts], None, tmp_path / "all")
    assert rows(tmp_path / "all")[0][1] == "A typo", "without batches every line has a say, and ties go to the smallest"


def test_lines_of_a_merged_id_name_the_item_it_stands_under(tmp_path: Path) -> None:
    """A name that came with another spelling of the id is the item's; an equal id of another source keeps its own."""
    lines = [line("1", "a", item_name="Pump"), line("2", "A"), line("3", "A")]
    one = replace(part(tmp_path, "d", lines), merge=("case",))
    other = part(tmp_path, "e", [line("4", "a", source="till", item_name="Hose")])
    report = build_orders([one, other], tmp_path / "orders")
    write_merged(report.merged, tmp_path / "merged")
    build_item_stats(tmp_path / "orders", [one.path, other.path], None, tmp_path / "out", merged=tmp_path / "merged")
    assert {r[0]: r[1] for r in rows(tmp_path / "out")} == {"A": "Pump", "a": "Hose"}


def test_a_catalogue_names_an_item_under_any_of_its_ids(tmp_path: Path) -> None:
    """An id that no line has, or another than the item stands under, names it too; its own row goes first."""
    lines = [line("1", "PID"), line("2", "PID"), line("3", "pid"), line("4", "Cal"), line("5", "hose")]
    one = replace(part(tmp_path, "d", [*lines, line("6", "pump", source="till")]), merge=())
    build_orders([replace(one, merge=("case",))], tmp_path / "orders")
    listed: list[tuple[str, str | None, str | None]] = [
        ("pid", "Detector", "Gas"),
        ("PiD", "Aaa", None),
        ("CAL", "Kit", None),
        ("cAL", "Zzz", "Tests"),
    ]
    listed += [("hose", None, None), ("HOSE", "Hose", "Parts"), ("Hose", None, "Parts"), ("PUMP", "Pump", None)]
    names = tmp_path / "names.parquet"
    pl.DataFrame(listed, schema=["item_id", "item_name", "category"], orient="row").write_parquet(names)
    rules = {"shop": ("case",)}
    build_item_stats(tmp_path / "orders", [one.path], names, tmp_path / "out", rules=rules)
    assert {r[0]: r[1:3] for r in rows(tmp_path / "out")} == {
        "PID": ("Aaa", "Gas"),
        "Cal": ("Kit", "Tests"),
        "hose": ("Hose", "Parts"),
        "pump": ("pump", None),
    }


def test_one_batch_number_for_each_part(tmp_path: Path, shop: Built) -> None:
    """Batches that do not match the parts are refused before any work."""
    with pytest.raises(UsageError, match="2 batch numbers for 0 parts"):
        build_item_stats(shop.orders, [], None, tmp_path / "out", batches=[1, 2])


# ----------------------------------------------------------------------------------------------------- co-occurrence
def test_cooccurrence_known_answer(shop: Built) -> None:
    """Pairs are counted by order, in both directions, sorted."""
    assert rows(shop.pairs) == [
        ("cal", "pid", 2, None),
        ("cal", "pump", 1, None),
        ("pid", "cal", 2, None),
        ("pid", "pump", 1, None),
        ("pump", "cal", 1, None),
        ("pump", "pid", 1, None),
    ]
    report = shop.pairs_report
    assert (report.orders, report.baskets_with_pairs, report.pairs) == (4, 2, 3)
    assert (report.pair_occurrences, report.items_with_neighbour) == (4, 3)


def test_repeats_and_equal_order_ids_of_two_sources_make_no_pair(tmp_path: Path) -> None:
    """An item is no neighbour of itself, and two shops' order 1 are two baskets."""
    lines = [line("1", "a", source="s"), line("1", "a", source="s"), line("1", "b", source="t")]
    assert rows(build(tmp_path / "out", [part(tmp_path, "d", lines)]).pairs) == []
    lines += [line("1", "a", source="t"), line("1", "b", source="t")]
    assert rows(build(tmp_path / "both", [part(tmp_path, "d", lines)]).pairs) == [
        ("a", "b", 1, None),
        ("b", "a", 1, None),
    ]


@pytest.mark.parametrize("damage", ["repeated", "unsorted items", "unsorted orders", "unsorted sources"])
def test_orders_that_are_not_in_their_order_are_refused(tmp_path: Path, damage: str) -> None:
    """Pairs are counted in one pass over sorted orders: a table that is not sorted is an error, never a wrong count."""
    lines = [line("1", "a"), line("1", "b"), line("2", "a"), line("2", "c", source="till")]
    orders = build(tmp_path / "out", [part(tmp_path, "d", lines)]).orders
    order = {"repeated": [0, 1, 1, 2, 3], "unsorted items": [1, 0, 2, 3], "unsorted orders": [2, 0, 1, 3]}
    pl.read_parquet(orders)[order.get(damage, [3, 0, 1, 2])].write_parquet(orders)
    with pytest.raises(LakeError, match="not sorted by order and item, or repeats a row"):
        build_cooccurrence(orders, tmp_path / "pairs")


def test_portions_do_not_show(tmp_path: Path, shop: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting one item after another gives the file that counting all at once gives."""
    monkeypatch.setattr("reco.model.pairs.PORTION", 1)
    assert build_cooccurrence(shop.orders, tmp_path / "pairs") == shop.pairs_report
    assert (tmp_path / "pairs").read_bytes() == shop.pairs.read_bytes()


def test_ids_are_sorted_by_bytes_whatever_they_hold(tmp_path: Path) -> None:
    """Ids that look like numbers, differ in case or hold other scripts stay apart and sort by their bytes."""
    ids = ["10", "9", "009", "a", "A", "é", "e\u0301", "日本", "it's", 'say "x"', " ", "Z", "😀", "\\"]
    made = build(tmp_path / "out", [part(tmp_path, "d", baskets([ids]))])
    expected = sorted(
        ((i, j, 1, None) for i in ids for j in ids if i != j), key=lambda r: (r[0].encode(), r[1].encode())
    )
    assert rows(made.pairs) == expected


def test_a_giant_order_is_counted(tmp_path: Path) -> None:
    """An order of 1,110 lines makes its 615,495 pairs, and leaves no other file behind."""
    ids = [f"item-{n:05}" for n in range(1110)]
    one = part(tmp_path, "d", baskets([ids, ids[:2]]))
    folder = tmp_path / "small"
    made = build(folder, [one])
    assert made.pairs_report.pairs == 1110 * 1109 // 2
    assert made.similar_report.rows == 1110 * 100
    assert sorted(p.name for p in folder.iterdir()) == [
        "orders.parquet",
        "pairs.parquet",
        "similar.parquet",
        "stats.parquet",
    ]


# -------------------------------------------------------------------------------------------------------- similarity
def test_similar_known_answer(shop: Built) -> None:
    """Score, confidence and lift are the textbook's, computed by hand for four orders."""
    assert rows(shop.similar) == [
        ("cal", "pid", 1, 2 / math.sqrt(6), 2, 1.0, 2 * 4 / 6),
        ("cal", "pump", 2, 1 / math.sqrt(2), 1, 0.5, 1 * 4 / 2),
        ("pid", "cal", 1, 2 / math.sqrt(6), 2, 2 / 3, 2 * 4 / 6),
        ("pid", "pump", 2, 1 / math.sqrt(3), 1, 1 / 3, 1 * 4 / 3),
        ("pump", "cal", 1, 1 / math.sqrt(2), 1, 1.0, 1 * 4 / 2),
        ("pump", "pid", 2, 1 / math.sqrt(3), 1, 1.0, 1 * 4 / 3),
    ]
    report = shop.similar_report
    assert (report.items, report.items_without, report.rows, report.orders, report.full) == (3, 1, 6, 4, 0)
    assert report.mean_neighbours == 2


def test_equal_scores_rank_by_pair_orders_then_id(tmp_path: Path) -> None:
    """Ties are settled by evidence, then by id, so that a rank never depends on chance."""
    # n_x = 4; a and b: one order each, with x: 1/sqrt(4). d: four orders, two with x: 2/sqrt(16). All score one half.
    orders = [["x", "b"], ["x", "a"], ["x", "d"], ["x", "d"], ["d"], ["d"]]
    made = build(tmp_path / "out", [part(tmp_path, "d", baskets(orders))])
    assert [(r[1], r[3]) for r in rows(made.similar) if r[0] == "x"] == [("d", 0.5), ("a", 0.5), ("b", 0.5)]


def test_top_keeps_the_first_neighbours(tmp_path: Path, shop: Built) -> None:
    """A smaller top is the head of the full list, and below one it is refused."""
    report = build_similar(shop.stats, shop.pairs, tmp_path / "one", ScoreSettings(top=1))
    assert rows(tmp_path / "one") == [r for r in rows(shop.similar) if r[2] == 1]
    assert (report.rows, report.full) == (3, 3)
    with pytest.raises(UsageError, match="top and min_pair_orders"):
        ScoreSettings(top=0)


def test_checkerboard(tmp_path: Path) -> None:
    """Orders of one parity hold items of that parity but one each: the item withheld most never leaves its colour."""
    items = [f"i{n:02}" for n in range(20)]
    orders = [[items[i] for i in range(o % 2, 20, 2) if i != o % 20] for o in range(200)]
    made = build(tmp_path / "out", [part(tmp_path, "d", baskets(orders))])
    neighbours: dict[str, list[str]] = {}
    for row in rows(made.similar):
        neighbours.setdefault(row[0], []).append(row[1])
    for n, item in enumerate(items):
        assert sorted(neighbours[item]) == [i for m, i in enumerate(items) if m % 2 == n % 2 and m != n]


def test_lift_never_ranks(tmp_path: Path) -> None:
    """A pair of two rare items has the highest lift, and still stands below a well proven neighbour."""
    orders = [["pid", "cal"]] * 9 + [["pid", "rare"]] + [["other"]] * 10
    ranked = [r for r in rows(build(tmp_path / "out", [part(tmp_path, "d", baskets(orders))]).similar) if r[0] == "pid"]
    assert [r[1] for r in ranked] == ["cal", "rare"]
    assert ranked[1][6] >= ranked[0][6]


def test_similar_refuses_tables_of_different_orders(tmp_path: Path, shop: Built) -> None:
    """Pairs of items that the stats do not know are an error, not a gap."""
    other = build(tmp_path / "other", [part(tmp_path, "e", baskets([["pid", "stranger"]]))])
    with pytest.raises(LakeError, match="item_stats does not know"):
        build_similar(shop.stats, other.pairs, tmp_path / "out")


# ------------------------------------------------------------------------------------------------- all of the tables
def test_no_orders_make_empty_tables(tmp_path: Path, shop: Built) -> None:
    """An empty lake gives empty tables with the schemas of full ones, and every check passes."""
    made = build(tmp_path / "empty", [])
    for name in ("orders", "stats", "pairs", "similar"):
        assert rows(getattr(made, name)) == []
        assert types(getattr(made, name)) == types(getattr(shop, name))
    assert (made.pairs_report.pairs, made.similar_report.rows, made.stats_report.items) == (0, 0, 0)
    assert made.similar_report.median_best_score is None
    assert check_symmetry(made.pairs, made.stats).passed
    assert check_similar_bounds(made.similar).passed


def test_schemas_are_the_contract(shop: Built) -> None:
    """Columns and types of the model's tables are those that other stages rely on."""
    text, count, real, time = "VARCHAR", "BIGINT", "DOUBLE", "TIMESTAMP"
    assert list(types(shop.stats).items()) == [
        ("item_id", text), ("item_name", text), ("category", text), ("orders", count), ("units", count),
        ("revenue", "DECIMAL(38,4)"), ("customers", count), ("first_sold_at", time), ("last_sold_at", time),
        ("rank", count), ("share", real),
    ]  # fmt: skip
    assert list(types(shop.pairs).items()) == [
        ("item_id", text), ("other_id", text), ("pair_orders", count), ("pair_weight", real),
    ]  # fmt: skip
    assert list(types(shop.similar).items()) == [
        ("item_id", text), ("other_id", text), ("rank", count), ("score", real), ("pair_orders", count),
        ("confidence", real), ("lift", real),
    ]  # fmt: skip


def test_files_are_the_same_bytes_for_any_order(tmp_path: Path) -> None:
    """Shuffled lines and drops of another order give the same files, to the byte."""
    chance = random.Random(20260101)
    orders = [[f"i{chance.randrange(1500)}" for _ in range(chance.randint(1, 9))] for _ in range(20_000)]
    lines = [
        {**one, "customer_id": f"c{n % 70}", "line_total": Decimal(n % 97)} for n, one in enumerate(baskets(orders))
    ]
    half = len(lines) // 2
    first = build(
        tmp_path / "one",
        [part(tmp_path, "a", lines[:half]), part(tmp_path, "b", lines[half:])],
    )
    assert first.similar_report.rows > ROW_GROUP
    assert first.orders_report.rows < len(lines)
    left, right = lines[:half], lines[half:]
    chance.shuffle(left)
    chance.shuffle(right)
    folder = tmp_path / "two"
    again = build(folder, [part(folder, "b", right), part(folder, "a", left)])
    assert again.contents() == first.contents()


@settings(max_examples=40)
@given(orders=st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6), min_size=1, max_size=12))
def test_the_model_is_what_a_plain_count_says(
    orders: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Random baskets give exactly what counting them one by one gives, and pass every check."""
    folder = tmp_path_factory.mktemp("model")
    made = build(folder, [part(folder, "d", baskets(orders))], scores=ScoreSettings(top=3))
    n = Counter(item for items in orders for item in set(items))
    pair = Counter(p for items in orders for i, j in combinations(sorted(set(items)), 2) for p in ((i, j), (j, i)))
    assert [(r[0], r[3], r[9]) for r in rows(made.stats)] == [
        (item, n[item], rank) for rank, item in enumerate(sorted(n, key=lambda i: (-n[i], i)), start=1)
    ]
    expected = []
    for item in sorted(n):
        scored = sorted((-pair[item, j] / math.sqrt(n[item] * n[j]), -pair[item, j], j) for j in n if pair[item, j])
        expected += [
            (item, j, rank, -score, -count, -count / n[item], -count * len(orders) / (n[item] * n[j]))
            for rank, (score, count, j) in enumerate(scored[:3], start=1)
        ]
    assert rows(made.similar) == expected
    assert rows(made.pairs) == sorted((item, j, count, None) for item, j, _, _, count, *_ in expected)
    assert made.pairs_report.pairs == len(pair) // 2
    assert check_symmetry(made.pairs, made.stats).passed
    assert check_similar_bounds(made.similar).passed


# ------------------------------------------------------------------------------------------------------------ checks
def damage(path: Path, *expressions: pl.Expr, keep: pl.Expr | None = None, extra: int | None = None) -> Path:
    """A copy of a table with a fault: columns changed, rows dropped, or one row twice."""
    frame = pl.read_parquet(path)
    frame = frame.filter(keep) if keep is not None else frame
    frame = pl.concat([frame, frame[extra : extra + 1]]) if extra is not None else frame
    target = path.with_name(f"damaged-{path.name}")
    said = {key: value for key, value in pl.read_parquet_metadata(path).items() if key == "item_cooccurrence"}
    frame.with_columns(*expressions).write_parquet(target, metadata=said)
    return target


PUMP_CAL = (pl.col("item_id") == "pump") & (pl.col("other_id") == "cal")
CAL_PUMP = (pl.col("item_id") == "cal") & (pl.col("other_id") == "pump")


def test_a_sound_table_passes_every_check(shop: Built) -> None:
    """Checks find nothing where nothing is wrong, and say how much they looked at."""
    pairs, similar = check_symmetry(shop.pairs, shop.stats), check_similar_bounds(shop.similar)
    assert (pairs.pairs, pairs.offenders, pairs.passed) == (3, (), True)
    assert (similar.rows, similar.items, similar.offenders, similar.passed) == (6, 3, (), True)


@pytest.mark.parametrize(
    ("fault", "asymmetric", "over_bound", "self_pairs"),
    [
        ({"keep": ~CAL_PUMP}, 1, 0, 0),
        ({"extra": 1}, 1, 0, 0),
        ({"keep": ~PUMP_CAL, "extra": 1}, 1, 0, 0),  # twice in one direction
        ({"expression": pl.when(CAL_PUMP).then(0).otherwise("pair_orders").alias("pair_orders")}, 1, 1, 0),
        ({"expression": pl.when(CAL_PUMP).then(2).otherwise("pair_orders").alias("pair_orders")}, 1, 1, 0),
        ({"expression": pl.when(CAL_PUMP).then(None).otherwise("pair_orders").alias("pair_orders")}, 1, 1, 0),
        ({"expression": pl.col("pair_orders") + 9}, 0, 6, 0),
        ({"expression": pl.when(CAL_PUMP).then(pl.lit("cal")).otherwise("other_id").alias("other_id")}, 1, 0, 1),
        ({"expression": pl.when(CAL_PUMP).then(pl.lit("new")).otherwise("other_id").alias("other_id")}, 2, 1, 0),
        ({"expression": pl.when(CAL_PUMP).then(None).otherwise("other_id").alias("other_id")}, 1, 1, 0),
    ],
)  # fmt: skip
def test_every_fault_of_pairs_is_found(shop: Built, fault, asymmetric: int, over_bound: int, self_pairs: int) -> None:
    """A lost, doubled, changed, unknown or self-joined pair is counted under its kind and shown."""
    expressions = [fault.pop("expression")] if "expression" in fault else []
    found = check_symmetry(damage(shop.pairs, *expressions, **fault), shop.stats)
    assert (found.asymmetric, found.over_bound, found.self_pairs) == (asymmetric, over_bound, self_pairs)
    assert not found.passed
    assert len(found.offenders) == asymmetric + over_bound + self_pairs
    assert {one["problem"] for one in found.offenders} <= {"asymmetric", "over_bound", "self_pair"}


def test_a_pair_may_lack_a_direction_only_where_that_list_is_full(tmp_path: Path) -> None:
    """The best of an item are kept: a pair whose mirror gave way to better ones is sound, a lost mirror is not."""
    orders = [["hub", f"i{n}"] for n in range(4)] * 2 + [["hub", "i4"], ["i0", "i1"]]
    made = build(tmp_path / "out", [part(tmp_path, "d", baskets(orders))], scores=ScoreSettings(top=3))
    found = check_symmetry(made.pairs, made.stats)
    assert ("hub", "i4") not in {row[:2] for row in rows(made.pairs)}
    assert (found.pairs, found.kept, found.passed) == (6, 6, True)
    short = damage(made.pairs, keep=(pl.col("item_id") != "i1") | (pl.col("other_id") != "i0"))
    assert check_symmetry(short, made.stats).asymmetric == 1


def test_a_table_of_another_version_is_refused(tmp_path: Path, shop: Built) -> None:
    """A file that does not say what was counted has no total and no settings: it is named, never guessed about."""
    pl.read_parquet(shop.pairs).write_parquet(tmp_path / "old.parquet")
    with pytest.raises(LakeError, match=r"old\.parquet does not say what was counted"):
        build_similar(shop.stats, tmp_path / "old.parquet", tmp_path / "out")
    found = check_symmetry(tmp_path / "old.parquet", shop.stats)
    assert (found.pairs, found.asymmetric, found.passed) == (None, 0, False)


@pytest.mark.parametrize(
    ("column", "value", "counted"),
    [
        ("score", 1.01, {"out_of_bounds": 1, "misranked": 0}),
        ("score", 0.0, {"out_of_bounds": 1, "misranked": 2}),
        ("score", None, {"out_of_bounds": 1, "misranked": 2}),
        ("score", math.nan, {"out_of_bounds": 1, "misranked": 0}),
        ("confidence", 1.5, {"out_of_bounds": 1}),
        ("lift", math.inf, {"out_of_bounds": 1}),
        ("lift", -1.0, {"out_of_bounds": 1}),
        ("pair_orders", 0, {"out_of_bounds": 1}),
        ("other_id", "cal", {"self_pairs": 1}),
        ("other_id", "pump", {"repeated": 1}),
        ("rank", 3, {"misranked": 1}),
    ],
)
def test_every_fault_of_similar_items_is_found(
    shop: Built, column: str, value: object, counted: dict[str, int]
) -> None:
    """A value out of bounds, an item beside itself, a repeated neighbour or a wrong rank is counted and shown."""
    first = (pl.col("item_id") == "cal") & (pl.col("other_id") == "pid")
    changed = pl.when(first).then(pl.lit(value)).otherwise(column).alias(column)
    found = check_similar_bounds(damage(shop.similar, changed))
    assert {name: getattr(found, name) for name in counted} == counted
    assert not found.passed
    assert any(one["item_id"] == "cal" for one in found.offenders)


def test_key_nulls_are_counted_and_named(tmp_path: Path) -> None:
    """A missing or empty key is counted for its column and shown with file and line."""
    good = write_lines(tmp_path / "good.parquet", [line("1", "pid")])
    bad = write_lines(tmp_path / "bad.parquet", [line("1", "pid"), line("", "pid"), line("2", None, quantity=None)])  # type: ignore[arg-type]
    assert check_key_nulls([good]).passed
    assert check_key_nulls([]).passed
    found = check_key_nulls([good, bad])
    assert (found.lines, found.passed) == (4, False)
    assert found.nulls == {"source": 0, "line": 0, "order_id": 1, "item_id": 1, "quantity": 1}
    assert [(one["file"], one["line"]) for one in found.offenders] == [("bad.parquet", 3), ("bad.parquet", 4)]


@pytest.mark.parametrize("lost", ["orders", "stats", "pairs", "similar"])
def test_a_missing_table_is_named(tmp_path: Path, shop: Built, lost: str) -> None:
    """Whatever needs a table that is gone says which file it is."""
    getattr(shop, lost).unlink()
    users = {
        "orders": lambda: build_cooccurrence(shop.orders, tmp_path / "out"),
        "stats": lambda: build_similar(shop.stats, shop.pairs, tmp_path / "out"),
        "pairs": lambda: check_symmetry(shop.pairs, shop.stats),
        "similar": lambda: check_similar_bounds(shop.similar),
    }
    with pytest.raises(LakeError, match=rf"{lost}\.parquet does not exist"):
        users[lost]()
