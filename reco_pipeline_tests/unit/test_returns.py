"""Promises of lines that take units back: what a shop's rule makes of them, from the text of a line to the orders."""

from pathlib import Path
from typing import Any

import pytest

from reco.errors import ProfileError
from reco.orders.accepted import OrderPart
from reco.orders.profiles import SourceProfile
from reco.orders.view import build_orders
from reco_pipeline_tests.model_tables import rows
from reco_pipeline_tests.reading import ReadDrop, read_bytes


def profile(**rules: Any) -> SourceProfile:
    """A profile with these rules."""
    return SourceProfile.checked({"name": "shop", "rules": rules}, "a test")


def read(text: str, folder: Path, **rules: Any) -> ReadDrop:
    """Reads lines of a shop."""
    return read_bytes(text.encode(), folder, profile(**rules))


HEADER = "order_id,item_id,quantity,unit_price,cancels\n"
CANCELLED = {"column": "order_id", "prefix": "C"}


def test_a_cancellation_without_its_order_is_left_out(tmp_path: Path) -> None:
    """As long as nothing names the order, a cancellation is excluded and counted, also where others name theirs."""
    text = HEADER + "1,pid,2,10,\nC9,pid,1,10,\nC8,pid,1,10,1\n"
    assert read(text, tmp_path, cancelled=CANCELLED).result.reasons == {"cancelled": 2}
    some = read(text, tmp_path, cancelled=CANCELLED | {"order": "cancels"})
    assert some.result.reasons == {"cancelled": 1}
    assert some.faults == {3: "cancelled"}


@pytest.mark.parametrize("quantity", ["1", "-1"])
def test_a_cancellation_takes_back_what_its_order_bought(tmp_path: Path, quantity: str) -> None:
    """Whichever sign the shop writes, the line stands in the named order with units and total below zero."""
    text = HEADER + f"1,pid,3,10,\nC9,pid,{quantity},10,1\n"
    got = read(text, tmp_path, cancelled=CANCELLED | {"order": "cancels"})
    assert got.column("order_id") == ["1", "1"]
    assert got.column("quantity") == [3, -1]
    assert [float(total) for total in got.column("line_total")] == [30, -10]


def test_a_cancellation_needs_no_order_id_of_its_own(tmp_path: Path) -> None:
    """Where a column names the order, the line stands in that order, also without an id of its own."""
    text = "order_id,item_id,quantity,kind,cancels\n1,a,2,,\n,a,1,C,1\n,a,1,,\n"
    got = read(text, tmp_path, cancelled={"column": "kind", "prefix": "C", "order": "cancels"})
    assert got.faults == {4: "missing_order_id"}
    assert (got.column("order_id"), got.column("quantity")) == (["1", "1"], [2, -1])


def test_the_order_may_stand_behind_the_prefix(tmp_path: Path) -> None:
    """`C 1` cancels lines of order 1; a prefix with nothing behind it names none."""
    rule = CANCELLED | {"order_after_prefix": True}
    got = read(HEADER + "1,pid,3,10,\nC 1,pid,1,10,\nC,pid,1,10,\n", tmp_path, cancelled=rule)
    assert (got.column("order_id"), got.column("quantity")) == (["1", "1"], [3, -1])
    assert got.faults == {4: "cancelled"}


def test_returns_are_quarantined_unless_the_profile_nets_them(tmp_path: Path) -> None:
    """A quantity below zero is a fault by default; with `returns = "net"` only zero and what is no number are."""
    text = HEADER + "1,pid,3,10,\n1,pid,-1,10,\n1,cal,0,10,\n1,hose,x,10,\n"
    assert read(text, tmp_path).faults == {
        3: "nonpositive_quantity",
        4: "nonpositive_quantity",
        5: "invalid_quantity",
    }
    got = read(text, tmp_path, returns="net")
    assert got.faults == {4: "nonpositive_quantity", 5: "invalid_quantity"}
    assert got.column("quantity") == [3, -1]
    assert [float(total) for total in got.column("line_total")] == [30, -10]


def test_a_negative_price_stays_a_fault(tmp_path: Path) -> None:
    """Taking back is said by quantity or cancellation: a price below zero is one in no case."""
    text = "order_id,item_id,quantity,unit_price,line_total\n1,pid,1,-5,5\n1,cal,1,5,-5\n1,hose,-1,5,5\n"
    got = read(text, tmp_path, returns="net")
    assert got.faults == {2: "negative_price", 3: "negative_price"}
    assert [float(total) for total in got.column("line_total")] == [-5]


def test_what_is_taken_back_is_gone_from_the_orders(tmp_path: Path) -> None:
    """From the lines of a file to the orders view: net units, and no item of which nothing is left."""
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "1,pid,3,10,\n1,cal,1,5,\nC9,cal,1,5,1\nC9,pid,1,10,1\n")
    got = read(path.read_text(), tmp_path, cancelled=CANCELLED | {"order": "cancels"})
    part = tmp_path / "part.parquet"
    got.accepted.write_parquet(part)
    report = build_orders([OrderPart(part, "d", 1, "orders.csv")], tmp_path / "out")
    assert [(r[1], r[2], r[3], float(r[4])) for r in rows(tmp_path / "out")] == [("1", "pid", 2, 20.0)]
    assert (report.lines_taken_back, report.rows_netted_out) == (2, 1)


def test_two_ways_to_name_the_order_are_refused() -> None:
    """A profile says it in one way."""
    with pytest.raises(ProfileError, match="two ways to name the cancelled order"):
        profile(cancelled=CANCELLED | {"order": "cancels", "order_after_prefix": True})
