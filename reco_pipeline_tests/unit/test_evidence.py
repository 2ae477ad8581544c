"""Promises of the evidence: what it counts is what the orders view holds, and its lines are those that count."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from reco.orders.accepted import OrderPart
from reco.orders.evidence import find_evidence
from reco.orders.view import build_orders
from reco_pipeline_tests.model_tables import line, part, rows

ITEMS = ["pid", "cal", "hose"]
LINES = st.tuples(
    st.sampled_from(["1", "2", "3"]), st.sampled_from(ITEMS), st.sampled_from([1, 2, -1]), st.sampled_from("ab")
)


@settings(max_examples=30)
@given(st.lists(st.lists(LINES, max_size=6), min_size=1, max_size=4))
def test_every_count_is_that_of_the_orders_view(
    tmp_path_factory: object, batches: list[list[tuple[str, str, int, str]]]
) -> None:
    """For any lines in any batches, with returns and replaced orders: each item and each pair in as many orders."""
    folder = Path(tmp_path_factory.mktemp("evidence"))  # type: ignore[attr-defined]  # pytest's own type is private
    parts = [
        part(folder, f"d{n}", [line(order, item, quantity=q, source=s) for order, item, q, s in lines], n)
        for n, lines in enumerate(batches, start=1)
    ]
    build_orders(parts, folder / "orders")
    held: dict[tuple[str, str], set[str]] = {}
    for row in rows(folder / "orders"):
        held.setdefault(row[:2], set()).add(row[2])
    for item in ITEMS:
        for other in ITEMS:
            if item == other:
                continue
            found = find_evidence(parts, item, other, limit=100)
            assert found.purchases == sum(item in items for items in held.values())
            assert found.other_purchases == sum(other in items for items in held.values())
            assert found.pair_orders == sum({item, other} <= items for items in held.values())
            assert [(one.source, one.order_id) for one in found.shown] == sorted(
                order for order, items in held.items() if {item, other} <= items
            )
            assert sum(len(one.lines) for one in found.shown) == found.lines == sum(found.lines_by_drop.values())
            assert all({at.item_id for at in one.lines} == {item, other} for one in found.shown)


def test_a_return_is_part_of_the_evidence(tmp_path: Path) -> None:
    """What came back is shown where it stands; an order of which nothing is left is no evidence."""
    parts = [
        part(tmp_path, "d1", [line("1", "pid", quantity=2), line("2", "pid"), line("3", "pid")]),
        part(tmp_path, "d2", [line("1", "pid", quantity=-1), line("2", "pid", quantity=-1)], 2),
    ]
    found = find_evidence(parts, "pid", None, limit=1)
    assert (found.purchases, found.pair_orders, found.lines) == (2, None, 3)
    assert found.lines_by_drop == {"d1": 2, "d2": 1}
    (order,) = found.shown
    assert [(at.file, at.line, at.quantity) for at in order.lines] == [("d1.csv", 2, 2), ("d2.csv", 2, -1)]


def test_ids_that_mean_one_item_are_shown_as_they_stand(tmp_path: Path) -> None:
    """Where a source lets ids differ in case, the lines of all of them are evidence."""
    made = part(tmp_path, "d1", [line("1", "PID"), line("2", "pid"), line("3", "PID")])
    merged = OrderPart(made.path, made.drop_key, made.batch, made.name, ("case",))
    found = find_evidence([merged], "PID", None, limit=5)
    assert (found.purchases, [at.item_id for one in found.shown for at in one.lines]) == (3, ["PID", "pid", "PID"])


def test_an_item_nobody_bought_has_no_evidence(tmp_path: Path) -> None:
    """Neither has anything without any drop."""
    assert find_evidence([part(tmp_path, "d", [line("1", "pid")])], "other", "pid", limit=5).pair_orders == 0
    assert find_evidence([], "pid", None, limit=5).shown == ()
