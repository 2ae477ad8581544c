"""Promises of the orders view: every order stands once, however its lines came."""

import datetime as dt
import random
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import LakeError, UsageError
from reco.orders.view import REPLACED_SHOWN, build_orders
from reco_pipeline_tests.model_tables import line, part, rows, types

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
        "revenue": "DECIMAL(18,4)",
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


def test_money_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    """Totals that add up to more than the table's type holds are an error, never a wrong sum."""
    most = "99999999999999.9999"
    fits = build_orders([part(tmp_path, "one", [line("1", "pid", total=most)])], tmp_path / "out")
    assert fits.rows == 1
    assert rows(tmp_path / "out")[0][4] == Decimal(most)
    with pytest.raises(LakeError, match="more than 14 digits"):
        build_orders([part(tmp_path, "two", [line("1", "pid", total=most)] * 20)], tmp_path / "out")


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
