"""Promises of what counts of an order that came in several batches: replaced once, taken back once, in any order."""

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.orders.effect import InEffect, find_in_effect
from reco.orders.view import OrdersReport, build_orders
from reco_pipeline_tests.model_tables import line, part, rows


class Line(NamedTuple):
    """A line of an order; `units` are below zero where it takes them back."""

    order: int
    item: int
    units: int
    batch: int


LINES = st.lists(
    st.builds(Line, st.integers(0, 1), st.integers(0, 1), st.sampled_from([-2, -1, 1, 2]), st.integers(1, 5)),
    max_size=14,
)


def effect(lines: Sequence[Line]) -> InEffect:
    """What counts of these lines."""
    order, item, units, batch = np.array(lines, np.int64).reshape(-1, 4).T
    return find_in_effect(order, batch, units > 0, lambda places: [item[places], units[places]])


def standing(lines: Sequence[Line]) -> dict[int, tuple[Counter[Line], Counter[Line]]]:
    """What an order has in the end, bought and taken back, going through the batches one by one."""
    has: dict[int, tuple[Counter[Line], Counter[Line]]] = {}
    for batch in sorted({one.batch for one in lines}):
        for order in {one.order for one in lines if one.batch == batch}:
            mine = [one._replace(batch=0) for one in lines if (one.batch, one.order) == (batch, order)]
            bought, back = (Counter(one for one in mine if (one.units > 0) is wanted) for wanted in (True, False))
            had_bought, had_back = has.get(order, (Counter(), Counter()))
            if not bought or not had_bought:  # adds to what is taken back, or meets what waited
                has[order] = (bought or had_bought, had_back | back)
            elif bought != had_bought or not back <= had_back:
                has[order] = (bought, back)
    return {order: (bought, back) for order, (bought, back) in has.items() if bought}


@settings(max_examples=400)
@given(lines=LINES)
def test_what_counts_is_what_going_through_the_batches_says(lines: list[Line]) -> None:
    """Random purchases and returns over five batches leave what a plain loop leaves, and every line is counted once."""
    found, expected = effect(lines), standing(lines)
    counting = Counter(one._replace(batch=0) for one, counts in zip(lines, found.lines, strict=True) if counts)
    assert counting == sum((bought + back for bought, back in expected.values()), Counter())
    assert found.unmatched == sum(one.order not in expected for one in lines)
    assert int(found.lines.sum()) + found.replaced + found.repeated + found.unmatched == len(lines)


@settings(max_examples=200)
@given(lines=LINES, seed=st.integers(0, 99))
def test_the_lines_may_come_in_any_order(lines: list[Line], seed: int) -> None:
    """Only the batch of a line matters, never its place."""
    shuffled = random.Random(seed).sample(lines, len(lines))
    both = [effect(lines), effect(shuffled)]
    counted = [
        Counter(x for x, counts in zip(y, e.lines, strict=True) if counts)
        for y, e in zip((lines, shuffled), both, strict=True)
    ]
    assert counted[0] == counted[1]
    assert len({(one.replaced, one.repeated, one.unmatched) for one in both}) == 1


@settings(max_examples=200)
@given(lines=LINES, chosen=st.sets(st.integers(0, 13)))
def test_exporting_again_what_an_order_has_changes_nothing(lines: list[Line], chosen: set[int]) -> None:
    """All lines bought with any of those taken back, or any of those alone, in a later batch: the view stays."""
    before = standing(lines)
    again: list[Line] = []
    for bought, back in before.values():
        some = [one for n, one in enumerate(back.elements()) if n in chosen]
        again += [one._replace(batch=9) for one in ([*bought.elements(), *some] if 13 not in chosen else some)]
    assert standing([*lines, *again]) == before
    found = effect([*lines, *again])
    counting = Counter(x._replace(batch=0) for x, c in zip([*lines, *again], found.lines, strict=True) if c)
    assert counting == sum((bought + back for bought, back in before.values()), Counter())


@settings(max_examples=200)
@given(lines=LINES, order=st.permutations([1, 2, 3, 4, 5]))
def test_batches_of_an_order_bought_once_may_come_in_any_order(lines: list[Line], order: list[int]) -> None:
    """Where no batch replaces an order, its returns count whichever batch came first."""
    bought = {one.order: one.batch for one in lines if one.units > 0}
    once = [one for one in lines if one.units < 0 or one.batch == bought[one.order]]
    moved = [one._replace(batch=order[one.batch - 1]) for one in once]
    assert standing(once) == standing(moved)
    assert [effect(once).repeated, effect(once).lines.sum()] == [effect(moved).repeated, effect(moved).lines.sum()]


# ------------------------------------------------------------------------------------------------ the view made of it
def view(folder: Path, *batches: list[dict[str, Any]]) -> tuple[dict[tuple[str, str], int], OrdersReport]:
    """Units by order and item of these batches of lines, oldest first."""
    parts = [part(folder, f"d{n}", lines, n) for n, lines in enumerate(batches, start=1)]
    report = build_orders(parts, folder / "out")
    return {(r[1], r[2]): r[3] for r in rows(folder / "out")}, report


def test_a_return_exported_again_counts_once(tmp_path: Path) -> None:
    """Two exports that overlap both have the return: it is taken back once, and the other is counted."""
    order, back = line("1", "pid", quantity=3), line("1", "pid", quantity=-1, total="-9")
    found, report = view(tmp_path, [order], [back], [back], [back, line("2", "cal")])
    assert found == {("1", "pid"): 2, ("2", "cal"): 1}
    assert (report.lines_taken_back, report.lines_repeated, report.lines_replaced) == (1, 2, 0)


def test_returns_that_differ_all_count(tmp_path: Path) -> None:
    """Another price, or twice the same line in one export, is another return."""
    order, back = line("1", "pid", quantity=9), line("1", "pid", quantity=-1, total="-9")
    assert view(tmp_path, [order], [back], [{**back, "unit_price": None, "line_total": None}])[0] == {("1", "pid"): 7}
    found, report = view(tmp_path, [order], [back], [back, back])
    assert found == {("1", "pid"): 7}
    assert (report.lines_taken_back, report.lines_repeated) == (2, 1)


def test_a_return_may_come_before_its_order(tmp_path: Path) -> None:
    """It waits, and counts as soon as the order is there; before that it is unmatched, never replaced."""
    order, back = [line("1", "pid", quantity=3), line("1", "cal")], [line("1", "pid", quantity=-1)]
    alone, waiting = view(tmp_path / "a", back)
    assert (alone, waiting.lines_unmatched, waiting.lines_replaced) == ({}, 1, 0)
    found, report = view(tmp_path / "b", back, order)
    assert found == {("1", "cal"): 1, ("1", "pid"): 2}
    assert found == view(tmp_path / "c", order, back)[0]
    assert (report.lines_taken_back, report.lines_unmatched, report.lines_replaced) == (1, 0, 0)


def test_an_order_exported_again_as_it_was_keeps_its_returns(tmp_path: Path) -> None:
    """The same lines again bring nothing new; other lines are the order as it is now, without what was taken back."""
    order, back = [line("1", "pid", quantity=3)], [line("1", "pid", quantity=-1)]
    assert view(tmp_path / "a", order, back, order)[0] == {("1", "pid"): 2}
    changed, report = view(tmp_path / "b", order, back, [line("1", "pid", quantity=2)])
    assert changed == {("1", "pid"): 2}
    assert (report.lines_replaced, report.lines_taken_back) == (2, 0)


def test_more_back_than_was_bought_is_counted_apart(tmp_path: Path) -> None:
    """The item leaves the order, and the units that were never bought are told."""
    lines = [
        line("1", "pid", quantity=2),
        line("1", "pid", quantity=-5),
        line("2", "cal"),
        line("2", "cal", quantity=-1),
    ]
    found, report = view(tmp_path, lines)
    assert found == {}
    assert (report.rows_netted_out, report.rows_overreturned, report.units_overreturned) == (2, 1, 3)
    assert report.lines_unmatched == 0


SHOP_LINES = st.lists(
    st.builds(
        lambda order, item, units, customer: line(order, item, quantity=units, total=units * 3, customer_id=customer),
        st.sampled_from("123"),
        st.sampled_from(["pid", "PID", "cal"]),
        st.sampled_from([-2, -1, 1, 3]),
        st.sampled_from([None, "a", "b"]),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=40)
@given(lines=SHOP_LINES, seed=st.integers(0, 99))
def test_any_files_of_one_batch_give_the_same_view(
    lines: list[dict[str, Any]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same lines in one file or in several, in any order of lines and files, make the same rows and figures."""
    folder, chance = tmp_path_factory.mktemp("split"), random.Random(seed)
    whole = build_orders([part(folder, "whole", lines)], folder / "out")
    expected = [row[:7] for row in rows(folder / "out")]
    files: list[list[dict[str, Any]]] = [[] for _ in range(4)]
    for one in chance.sample(lines, len(lines)):
        chance.choice(files).append(one)
    split = build_orders([part(folder, f"d{n}", some) for n, some in enumerate(files)], folder / "out")
    assert [row[:7] for row in rows(folder / "out")] == expected
    assert split == whole
