"""Promises of the orders view: every order stands once, however its lines came."""

import datetime as dt
import random
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import LakeError, UsageError
from reco.orders.view import REPLACED_SHOWN, build_orders
from reco.snapshot.build import SnapshotBuild
from reco_pipeline_tests.model_tables import build, line, part, rows, types

LATE = dt.datetime(2026, 1, 1, 10, tzinfo=dt.UTC).replace(tzinfo=None)  # the lake holds UTC without a zone
EARLY = LATE - dt.timedelta(hours=1)


def test_repeats_of_an_item_in_an_order_are_one_row(tmp_path: Path) -> None:
    """Quantities and totals of a repeated item add up; customer and time belong to the whole order."""
    lines = [
        line("1", "pid", quantity=2, total="10.50", customer_id="z", ordered_at=LATE),
        line("1", "pid", quantity=3, total="0.0001", customer_id="a"),
        line("1", "cal", ordered_at=EARLY),
        line("2", "cal", quantity=4),
    ]
    report = build_orders([part(tmp_path, "d1", lines)], tmp_path / "out")
    assert rows(tmp_path / "out") == [
        ("shop", "1", "cal", 1, None, "a", EARLY, "d1"),
        ("shop", "1", "pid", 5, Decimal("10.5001"), "a", EARLY, "d1"),
        ("shop", "2", "cal", 4, None, None, None, "d1"),
    ]
    assert (report.lines, report.rows, report.orders, report.items, report.replaced_orders) == (4, 3, 2, 2, 0)


def test_the_same_order_id_of_two_sources_is_two_orders(tmp_path: Path) -> None:
    """Order identity is source and order id."""
    report = build_orders(
        [part(tmp_path, "d1", [line("1", "pid", source="till")]), part(tmp_path, "d2", [line("1", "pid")], 2)],
        tmp_path / "out",
    )
    assert (report.orders, report.rows, report.replaced_orders) == (2, 2, 0)


def test_within_a_batch_an_order_is_united_over_drops(tmp_path: Path) -> None:
    """Two drops of one batch each bring lines of one order: it has them all."""
    report = build_orders(
        [
            part(tmp_path, "d2", [line("1", "pid", quantity=2), line("1", "cal")]),
            part(tmp_path, "d1", [line("1", "pid", quantity=5)]),
        ],
        tmp_path / "out",
    )
    assert [(r[2], r[3], r[7]) for r in rows(tmp_path / "out")] == [("cal", 1, "d2"), ("pid", 7, "d1")]
    assert report.replaced_orders == 0


def test_a_later_batch_replaces_the_whole_order(tmp_path: Path) -> None:
    """What only the earlier batch had of the order is gone, other orders stay, and the report names the replacement."""
    parts = [
        part(tmp_path, "d1", [line("1", "pid", customer_id="a"), line("1", "cal"), line("2", "cal")], batch=3),
        part(tmp_path, "d2", [line("1", "pump", quantity=9)], batch=7),
        part(tmp_path, "d0", [line("1", "old")], batch=1),
    ]
    report = build_orders(parts, tmp_path / "out")
    assert [r[1:4] + r[5:6] for r in rows(tmp_path / "out")] == [("1", "pump", 9, None), ("2", "cal", 1, None)]
    assert (report.lines, report.lines_replaced, report.replaced_orders) == (5, 3, 1)
    assert report.replaced == (("shop", "1", 3, 7),)


def test_only_the_first_replaced_orders_are_named(tmp_path: Path) -> None:
    """All replaced orders are counted, the first twenty by id are named."""
    lines = [line(f"{n:03}", "pid") for n in range(50)]
    report = build_orders([part(tmp_path, "a", lines), part(tmp_path, "b", lines, 2)], tmp_path / "out")
    assert report.replaced_orders == 50
    assert [one.order_id for one in report.replaced] == [f"{n:03}" for n in range(REPLACED_SHOWN)]


def test_no_parts_make_an_empty_table_of_the_same_schema(tmp_path: Path) -> None:
    """An empty lake has the tables of a full one."""
    empty = build_orders([], tmp_path / "empty")
    build_orders([part(tmp_path, "d", [line("1", "pid")])], tmp_path / "full")
    build_orders([part(tmp_path, "none", [])], tmp_path / "no_lines")
    assert (empty.lines, empty.rows, empty.orders, empty.replaced) == (0, 0, 0, ())
    assert rows(tmp_path / "empty") == rows(tmp_path / "no_lines") == []
    expected = {
        "source": "VARCHAR",
        "order_id": "VARCHAR",
        "item_id": "VARCHAR",
        "quantity": "BIGINT",
        "revenue": "DECIMAL(38,4)",
        "customer_id": "VARCHAR",
        "ordered_at": "TIMESTAMP",
        "drop_key": "VARCHAR",
    }
    assert types(tmp_path / "empty") == types(tmp_path / "full") == types(tmp_path / "no_lines") == expected


def test_many_parts_are_one_scan(tmp_path: Path) -> None:
    """A year of daily drops gives every order its own drop."""
    parts = [part(tmp_path, f"day-{n:03}", [line(f"{n:03}", "pid")], batch=n) for n in range(320)]
    build_orders(parts, tmp_path / "out")
    assert [(r[1], r[7]) for r in rows(tmp_path / "out")] == [(f"{n:03}", f"day-{n:03}") for n in range(320)]


# ------------------------------------------------------------------------------------------------- taking units back
def test_what_is_taken_back_nets_out(tmp_path: Path) -> None:
    """Units taken back leave the order; an item of which nothing is left is no part of it."""
    lines = [
        line("1", "pid", quantity=3, total="30"),
        line("1", "pid", quantity=-1, total="-10"),
        line("1", "cal", quantity=2, total="8"),
        line("1", "cal", quantity=-2, total="-8"),
        line("2", "cal", quantity=1),
        line("2", "cal", quantity=-5),
    ]
    report = build_orders([part(tmp_path, "d", lines)], tmp_path / "out")
    assert [r[1:5] for r in rows(tmp_path / "out")] == [("1", "pid", 2, Decimal(20))]
    assert (report.rows, report.orders, report.items) == (1, 1, 1)
    assert (report.lines_taken_back, report.rows_netted_out, report.lines_unmatched) == (3, 2, 0)


def test_a_return_of_a_later_batch_leaves_the_rest_of_the_order(tmp_path: Path) -> None:
    """A return that comes alone nets with the order it names instead of replacing it; a new export replaces both."""
    first = part(tmp_path, "a", [line("1", "pid", quantity=2), line("1", "cal")], 1)
    back = part(tmp_path, "b", [line("1", "pid", quantity=-1)], 2)
    report = build_orders([first, back], tmp_path / "out")
    assert [r[2:4] for r in rows(tmp_path / "out")] == [("cal", 1), ("pid", 1)]
    assert (report.lines_taken_back, report.replaced_orders, report.lines_replaced) == (1, 0, 0)
    again = part(tmp_path, "c", [line("1", "pid", quantity=5)], 3)
    report = build_orders([first, back, again], tmp_path / "out")
    assert [r[2:4] for r in rows(tmp_path / "out")] == [("pid", 5)]
    assert (report.lines_taken_back, report.replaced_orders, report.lines_replaced) == (0, 1, 3)


def test_what_was_not_bought_cannot_be_taken_back(tmp_path: Path) -> None:
    """A return without its order, or of another item, counts for nothing and is counted."""
    lines = [line("1", "pid"), line("1", "cal", quantity=-1), line("9", "pid", quantity=-1)]
    report = build_orders([part(tmp_path, "d", lines)], tmp_path / "out")
    assert [r[1:4] for r in rows(tmp_path / "out")] == [("1", "pid", 1)]
    assert (report.lines, report.lines_taken_back, report.lines_unmatched) == (3, 0, 2)
    nothing = build_orders([part(tmp_path, "e", [line("1", "pid", quantity=-1)])], tmp_path / "none")
    assert (nothing.rows, nothing.orders, nothing.lines_unmatched) == (0, 0, 1)


# ------------------------------------------------------------------------------------------------------- merging items
def test_ids_that_differ_as_allowed_are_one_item(tmp_path: Path) -> None:
    """The most frequent id stands for all, among equals the smallest; the report names what stands under which."""
    lines = [line("1", "85123a"), line("1", "85123A"), line("2", "85123A"), line("2", "x"), line("3", "X")]
    one = replace(part(tmp_path, "d", lines), merge=("case",))
    report = build_orders([one], tmp_path / "out")
    assert [r[1:4] for r in rows(tmp_path / "out")] == [
        ("1", "85123A", 2),
        ("2", "85123A", 1),
        ("2", "X", 1),
        ("3", "X", 1),
    ]
    assert report.merged == (("shop", "85123a", "85123A", 1), ("shop", "x", "X", 1))
    assert report.items == 2


def test_only_what_the_source_allows_is_merged(tmp_path: Path) -> None:
    """Case, blanks and the form of characters are three differences, and a source without the rule keeps its ids."""
    ids = ["Caf\u00e9 au lait", "Cafe\u0301 au lait", "Caf\u00e9  au lait ", "caf\u00e9 au lait"]
    parts = [part(tmp_path, "d", [line(str(n), one) for n, one in enumerate(ids)])]
    for merge, items in (((), 4), (("unicode",), 3), (("unicode", "spaces"), 2), (("case", "unicode", "spaces"), 1)):
        assert build_orders([replace(parts[0], merge=merge)], tmp_path / "out").items == items
    other = part(tmp_path, "e", [line("9", "CAF\u00c9 AU LAIT", source="till")])
    report = build_orders([replace(parts[0], merge=("case", "unicode", "spaces")), other], tmp_path / "out")
    assert report.items == 2
    assert {one.source for one in report.merged} == {"shop"}


def test_a_source_merges_as_its_newest_drops_say(tmp_path: Path) -> None:
    """All lines of a source are merged alike, whatever rule stood when they came and however a rule is written."""
    old, other = part(tmp_path, "a", [line("1", "pid x")], 1), part(tmp_path, "t", [line("9", "pid x", source="till")])
    new = [
        part(tmp_path, key, [line(key, one), line(key, "PID X")], 2) for key, one in (("b", "Pid X"), ("c", "pid  x"))
    ]
    rules = ("case", "spaces"), ("spaces", "case")
    both = [old, other, *(replace(one, merge=rule) for one, rule in zip(new, rules, strict=True))]
    expected = [("shop", one, "PID X", 1) for one in ("Pid X", "pid  x", "pid x")]
    assert [tuple(one) for one in build_orders(both, tmp_path / "out").merged] == expected
    assert {r[:3] for r in rows(tmp_path / "out")} == {
        *(("shop", order, "PID X") for order in "1bc"),
        ("till", "9", "pid x"),
    }
    split = [replace(one, merge=(rule,)) for one, rule in zip(new, ("case", "spaces"), strict=True)]
    assert [tuple(one) for one in build_orders([old, other, *split], tmp_path / "out").merged] == expected
    later = part(tmp_path, "d", [line("d", "cal")], 3)
    assert build_orders([*both, later], tmp_path / "out").merged == ()


def test_sources_that_merge_choose_the_same_id(tmp_path: Path) -> None:
    """An id that most lines of merging sources have stands for the item in each of them."""
    one = replace(part(tmp_path, "a", [line("1", "pid"), line("2", "pid"), line("3", "PID")]), merge=("case",))
    lines = [line(str(n), "PID", source="till") for n in range(3)] + [line("9", "pid ", source="till")]
    two = replace(part(tmp_path, "b", lines), merge=("spaces", "case"))
    assert build_orders([one, two], tmp_path / "out").items == 1


def test_ranges_of_orders_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sorting a few orders at a time gives the file that sorting all at once gives, whatever an order's size."""
    chance = random.Random(7)
    lines = [
        line(f"o{chance.randrange(40)}", f"i{chance.randrange(9)}", source=f"s{chance.randrange(3)}")
        for _ in range(900)
    ] + [line("large", f"i{n}") for n in range(60)]
    parts = [part(tmp_path, "a", lines[:500]), part(tmp_path, "b", lines[500:], 2)]
    report = build_orders(parts, tmp_path / "whole")
    for portion in (1, 7, 100):
        monkeypatch.setattr("reco.orders.view.PORTION", portion)
        assert build_orders(parts, tmp_path / "ranges") == report
        assert (tmp_path / "ranges").read_bytes() == (tmp_path / "whole").read_bytes()


def test_no_amount_of_money_is_too_large_to_add_up(tmp_path: Path) -> None:
    """The largest totals a line may have, in one order and over many, are added up exactly and stop nothing."""
    most = Decimal("99999999999999.9999")
    lines = [line("1", "pid", quantity=999_999_999, total=most)] * 3000 + [line("2", "pid", total=most)]
    lines += [
        line("3", "pid", total=most),
        line("3", "pid", quantity=-1, total=-most),
        line("3", "pid", total="0.0001"),
    ]
    made = build(tmp_path / "out", [part(tmp_path, "d", lines)])
    assert [(r[1], r[4]) for r in rows(made.orders)] == [("1", most * 3000), ("2", most), ("3", Decimal("0.0001"))]
    assert rows(made.stats)[0][4:6] == (999_999_999 * 3000 + 2, most * 3001 + Decimal("0.0001"))
    assert SnapshotBuild.from_lake(made.stats, made.similar).items == 1


def test_a_table_holds_no_text_of_lines_that_are_not_in_effect(tmp_path: Path) -> None:
    """What was replaced or netted out leaves no name behind in the file, and nothing downstream meets it."""
    lines = [line("1", "gone-item", customer_id="gone-customer"), line("2", "pid"), line("2", "cal"), line("3", "pid")]
    parts = [part(tmp_path, "a", lines), part(tmp_path, "b", [line("1", "pid"), line("1", "cal")], 2)]
    made = build(tmp_path / "out", parts)
    for table in (made.orders, made.stats, made.pairs, made.similar):
        found: Any = pq.ParquetFile(table, read_dictionary=["item_id"]).read(columns=["item_id"])["item_id"]
        assert {text for chunk in found.chunks for text in chunk.dictionary.to_pylist()} == {"cal", "pid"}, table
        assert b"gone" not in table.read_bytes()


def test_parts_of_several_writers_are_read_alike(tmp_path: Path) -> None:
    """How a Parquet file stores its columns is no matter: the types of the table are."""
    ours, other = part(tmp_path, "a", [line("1", "pid")]), part(tmp_path, "b", [line("2", "pid", total="3")])
    with duckdb.connect() as con:
        con.execute(f"COPY (FROM '{other.path}') TO '{tmp_path / 'copy'}' (FORMAT parquet)")
    (tmp_path / "copy").replace(other.path)
    assert build_orders([ours, other], tmp_path / "out").orders == 2


def test_a_path_may_hold_any_character(tmp_path: Path) -> None:
    """Quotes, brackets and stars in the home's name are only characters."""
    folder = tmp_path / "it's [my] *shop? é"
    part(folder, "d1", [line("2", "a file that d[1] would match")])
    build_orders([part(folder, "d[1]", [line("1", "pid")])], folder / "out[x]'.parquet")
    assert len(rows(folder / "out[x]'.parquet")) == 1
    assert sorted(p.name for p in folder.iterdir()) == ["d1.parquet", "d[1].parquet", "out[x]'.parquet"]


def test_a_part_given_twice_is_refused(tmp_path: Path) -> None:
    """Counting a drop twice would double its quantities, so it is an error that names the drop."""
    one = part(tmp_path, "d1", [line("1", "pid")])
    with pytest.raises(UsageError, match="d1"):
        build_orders([one, one], tmp_path / "out")


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    """A lost file stops the view and says which it is."""
    gone = part(tmp_path / "order_lines", "d1", [line("1", "pid")])
    gone.path.unlink()
    with pytest.raises(LakeError, match=r"d1\.parquet.*Materialize order_lines first"):
        build_orders([gone], tmp_path / "out")


def test_a_damaged_part_is_an_error_of_the_lake(tmp_path: Path) -> None:
    """Bytes that are not Parquet stop the view; callers never see the engine's own exception."""
    bad = part(tmp_path, "d1", [line("1", "pid")])
    bad.path.write_bytes(b"PAR1 but not really")
    with pytest.raises(LakeError, match="orders could not be computed"):
        build_orders([bad], tmp_path / "out")


def test_a_part_of_another_shape_is_an_error_of_the_lake(tmp_path: Path) -> None:
    """A file without the columns of order lines stops the view."""
    first = part(tmp_path, "d1", [line("1", "pid")])
    build_orders([first], tmp_path / "other.parquet")
    with pytest.raises(LakeError, match="line_total"):
        build_orders([type(first)(tmp_path / "other.parquet", "k", 1, "other")], tmp_path / "out")


LINES = st.builds(
    line,
    st.sampled_from(["1", "2", "3"]),
    st.sampled_from(["a", "b", "é"]),
    quantity=st.integers(1, 5),
    total=st.none() | st.integers(0, 999),
    customer_id=st.sampled_from([None, "x", "y"]),
    source=st.sampled_from(["s", "t"]),
)


@settings(max_examples=40)
@given(drops=st.lists(st.tuples(st.integers(1, 3), st.lists(LINES, max_size=6)), min_size=1, max_size=3))
def test_the_view_is_what_a_plain_loop_says_whatever_the_order(
    drops: list[tuple[int, list[dict[str, object]]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Random drops and batches give what the rules give by hand, byte for byte the same in any order of parts."""
    folder = tmp_path_factory.mktemp("view")
    parts = [part(folder, f"d{n}", lines, batch) for n, (batch, lines) in enumerate(drops)]
    latest: dict[tuple[object, object], int] = {}
    for batch, lines in drops:
        for one in lines:
            order = (one["source"], one["order_id"])
            latest[order] = max(latest.get(order, 0), batch)
    units: dict[tuple[object, object, object], object] = {}
    revenue: dict[tuple[object, object, object], object] = {}
    for batch, lines in drops:
        for one in lines:
            key = (one["source"], one["order_id"], one["item_id"])
            if latest[key[:2]] == batch:
                units[key] = units.get(key, 0) + one["quantity"]  # type: ignore[operator]
                if one["line_total"] is not None:
                    revenue[key] = revenue.get(key, 0) + one["line_total"]  # type: ignore[operator]
    outputs = set()
    for shuffled in (parts, parts[::-1], parts[1:] + parts[:1]):
        build_orders(shuffled, folder / "out")
        outputs.add((folder / "out").read_bytes())
    assert [r[:5] for r in rows(folder / "out")] == [(*key, units[key], revenue.get(key)) for key in sorted(units)]
    assert len(outputs) == 1
