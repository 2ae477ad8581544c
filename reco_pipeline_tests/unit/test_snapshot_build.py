import datetime as dt
import json
from decimal import Decimal

import polars as pl
import pytest

from reco.errors import LakeError
from reco.snapshot.build import SnapshotBuild
from reco_pipeline_tests.snapshot_lake import write_tables

BASKETS = [{"a", "b"}, {"a", "b", "c"}, {"a"}, {"d"}, {"a", "c"}]
SOLD_AT = dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - the lake has UTC without a zone
NAMES = {"a": "Anemometer", "c": "Same", "d": "Same"}


def build(tables):
    return SnapshotBuild.from_lake(tables.item_stats, tables.similar_items)


def values(tables):
    return dict(build(tables).entries())


def test_every_value_of_a_small_shop(tmp_path):
    """Keys and values of a shop small enough to count by hand."""
    figures = {
        "a": {
            "units": 9,
            "revenue": Decimal("0.0000"),
            "customers": 2,
            "first_sold_at": SOLD_AT,
            "last_sold_at": SOLD_AT.replace(microsecond=678),
        }
    }
    tables = write_tables(tmp_path, BASKETS, names=NAMES, categories={"a": "X", "d": "X", "b": "all"}, figures=figures)
    got = values(tables)
    assert {key: json.loads(value) for key, value in got.items() if isinstance(value, bytes)} == {
        "item:a:stats": [
            1,
            "Anemometer",
            "X",
            4,
            9,
            "0.0000",
            2,
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.000678",
            2,
        ],
        "item:a:similar": [[2, 2, 2], [3, 2, 2]],
        "item:b:stats": [2, None, "all", 2, 2, None, None, None, None, 2],
        "item:b:similar": [[1, 2, 4], [3, 1, 2]],
        "item:c:stats": [3, "Same", None, 2, 2, None, None, None, None, 2],
        "item:c:similar": [[1, 2, 4], [2, 1, 2]],
        "item:d:stats": [4, "Same", "X", 1, 1, None, None, None, None, 0, 3],  # c has the same name
        "popular:all": [1, 2, 3, 4],
        "popular:X": [1, 4],
        "popular:%61ll": [2],
        "categories": [["X", 2, 2], ["all", 1, 1]],
        "search:0": [["a", [1]], ["anemometer", [1]], ["b", [2]], ["c", [3]], ["d", [4]], ["same", [3, 1]]],
    }
    assert {key: value for key, value in got.items() if isinstance(value, dict)} == {
        "ranks:0": {
            b"1": b'["a","Anemometer",4,0]',
            b"2": b'["b",null,2,1]',
            b"3": b'["c","Same",2]',
            b"4": b'["d","Same",1,0]',
        },
        "names:0": {b"Anemometer": b"[1]", b"Same": b"[3,4]"},
    }


def test_the_digest_does_not_depend_on_the_order_of_rows(tmp_path):
    """Equal data in another row order gives an equal digest."""
    tables = write_tables(tmp_path, BASKETS, names=NAMES)
    digest = build(tables).digest
    for path in (tables.item_stats, tables.similar_items):
        pl.read_parquet(path).reverse().write_parquet(path)
    assert build(tables).digest == digest


@pytest.mark.parametrize(
    "changes",
    [
        {"baskets": [*BASKETS, {"e"}]},
        {"baskets": [*BASKETS[:-1], {"a", "b"}]},
        {"names": NAMES | {"b": "Barometer"}},
        {"categories": {"a": "Y"}},
        {"figures": {"a": {"units": 5}}},
        {"figures": {"a": {"last_sold_at": SOLD_AT}}},
    ],
    ids=["item", "pair", "name", "category", "units", "time"],
)
def test_the_digest_changes_with_any_figure(tmp_path, changes):
    """A difference in items, pairs, names, categories or figures is a difference of the digest."""
    given = {"baskets": BASKETS, "names": NAMES} | changes
    assert (
        build(write_tables(tmp_path / "new", **given)).digest
        != build(write_tables(tmp_path / "old", BASKETS, names=NAMES)).digest
    )


def test_the_number_of_orders_is_part_of_the_digest(tmp_path):
    """Lift and shares depend on all orders, so the same counts in more orders are other data."""
    few = write_tables(tmp_path / "few", BASKETS)
    many = write_tables(tmp_path / "many", BASKETS)
    pl.read_parquet(many.item_stats).with_columns(pl.col("share") / 2).write_parquet(many.item_stats)
    pl.read_parquet(many.similar_items).with_columns(pl.col("lift") * 2).write_parquet(many.similar_items)
    assert (build(few).orders, build(many).orders) == (5, 10)
    assert dict(build(few).entries()) == dict(build(many).entries())
    assert build(few).digest != build(many).digest


def test_an_empty_shop_can_be_drafted(tmp_path):
    """Without orders there is a draft with an empty popular list; refusing it is the gate's business."""
    tables = write_tables(tmp_path, [])
    assert values(tables) == {"popular:all": b"[]"}
    assert build(tables).orders is None


def test_popular_lists_are_bounded(tmp_path):
    """The shop's list holds 1,000 items and a category's 200; every item keeps its figures."""
    baskets = [{f"i{number:04}"} for number in range(1100)]
    got = values(write_tables(tmp_path, baskets, categories={f"i{number:04}": "C" for number in range(1100)}))
    assert json.loads(got["popular:all"]) == list(range(1, 1001))
    assert json.loads(got["popular:C"]) == list(range(1, 201))
    assert sum(key.startswith("item:") for key in got) == 1100
    assert sum(len(value) for key, value in got.items() if key.startswith("ranks:")) == 1100


def test_long_name_lookups_are_split(tmp_path):
    """Names spread over several hashes, each small enough for Redis to keep in its compact form."""
    items = [f"i{number}" for number in range(1000)]
    got = values(write_tables(tmp_path, [{item} for item in items], names={item: f"Name of {item}" for item in items}))
    sizes = [len(value) for key, value in got.items() if key.startswith("names:")]
    assert sum(sizes) == 1000
    assert len(sizes) == 16
    assert max(sizes) <= 128


SPOILT = {
    "a rank missing": ("item_stats", pl.col("rank") + 1, "rank", "ranks are not 1"),
    "an item twice": ("item_stats", pl.lit("a"), "item_id", "twice"),
    "no name": ("item_stats", pl.lit(None, dtype=pl.String), "item_name", "no name"),
    "no orders": ("item_stats", pl.lit(0, dtype=pl.Int64), "orders", "no orders"),
    "other shares": ("item_stats", pl.col("share") * pl.col("rank"), "share", "one number of orders"),
    "unknown neighbour": ("similar_items", pl.lit("zz"), "other_id", "does not know"),
    "another score": ("similar_items", pl.col("score") * 1.001, "score", "scores are not those"),
    "another lift": ("similar_items", pl.col("lift") * 1.001, "lift", "scores are not those"),
    "another confidence": ("similar_items", pl.col("confidence") * 1.001, "confidence", "scores are not those"),
    "another count": ("similar_items", pl.col("pair_orders") + 1, "pair_orders", "scores are not those"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_tables_that_do_not_belong_together_are_refused(tmp_path, name):
    """What the two tables say about each other is checked before anything is written."""
    table, expression, column, message = SPOILT[name]
    tables = write_tables(tmp_path, BASKETS, names=NAMES)
    path = getattr(tables, table)
    pl.read_parquet(path).with_columns(expression.alias(column)).write_parquet(path)
    with pytest.raises(LakeError, match=message) as caught:
        build(tables)
    assert "again" in caught.value.hint


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"not Parquet")])
def test_a_table_that_cannot_be_read_is_named(tmp_path, damage):
    """A missing or damaged file is an error of the lake that names the file."""
    tables = write_tables(tmp_path, BASKETS)
    damage(tables.similar_items)
    with pytest.raises(LakeError, match=r"similar_items\.parquet cannot be read"):
        build(tables)


def test_top_lists_hold_ids_in_the_order_of_the_list(tmp_path):
    """The gate sees the ids of the first neighbours, of known items only."""
    assert build(write_tables(tmp_path, BASKETS)).top_lists(["a", "d", "zz", "b"], 1) == {"a": ("b",), "b": ("a",)}
