"""The benchmark's judgement, and that its contenders do the same work."""

import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.api import CONNECTIONS, _ask, _server
from benchmarks.measure import Contender, Cost, run, take_turns
from benchmarks.ratios import Ratio, load, save
from reco.errors import ConfigError, RecoError
from reco.orders.sample import write_sample


def ratio(*rounds: float) -> Ratio:
    return Ratio("ours / theirs", rounds, tolerance=0.1)


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (ratio(0.50, 0.50, 0.50), "as before"),
        (ratio(0.54, 0.54, 0.54), "as before"),
        (ratio(0.56, 0.56, 0.56), "WORSE"),
        (ratio(0.44, 0.44, 0.44), "better"),
        (ratio(0.40, 0.56, 0.70), "as before"),  # as far apart as that, the rounds prove nothing
        (ratio(0.40, 1.10, 1.90), "WORSE"),  # but no spread hides a doubled cost
    ],
)
def test_a_ratio_is_worse_beyond_its_tolerance_or_its_spread(measured: Ratio, verdict: str) -> None:
    """A ratio above the kept one counts as worse only where neither tolerance nor spread explain it."""
    assert measured.verdict({"ours / theirs": 0.5}) == verdict
    assert measured.verdict({}) == "new"


def test_kept_ratios_outlive_an_update_of_one_part(tmp_path: Path) -> None:
    """Keeping the ratios of one part leaves those of the others as they were."""
    file = tmp_path / "ratios.json"
    save([ratio(0.5), Ratio("other", (2.0,), 0.1)], file)
    save([ratio(0.25)], file)
    assert load(file) == {"ours / theirs": 0.25, "other": 2.0}


def test_a_damaged_file_of_ratios_is_told(tmp_path: Path) -> None:
    """A file that holds no ratios stops the benchmark with the command that writes it anew."""
    file = tmp_path / "ratios.json"
    file.write_text('{"ratios": [1]}', encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert "--update" in caught.value.hint


def contender(name: str, printed: str) -> Contender:
    return Contender(name, lambda _folder: [sys.executable, "-c", printed])


def test_contenders_that_found_different_things_are_not_compared() -> None:
    """Costs are given only where all contenders that say it found the same number of lines, pairs and items."""
    same = 'print(\'{"pairs": 3, "own": 1}\')'
    first, second = contender("first", same), contender("second", same.replace('"own": 1', '"own": 2'))
    take_turns([first, second], 2, lambda _text: None)
    assert [len(first.costs), len(second.costs)] == [2, 2]
    with pytest.raises(RecoError, match="pairs"):
        take_turns([first, contender("third", same.replace("3", "4"))], 1, lambda _text: None)


def test_a_process_that_fails_is_told_with_its_words() -> None:
    """A contender that ends with an error stops the benchmark and is quoted."""
    with pytest.raises(RecoError, match="no such basket"):
        run([sys.executable, "-c", "raise SystemExit('no such basket')"], {})


def test_every_way_finds_the_same_pairs(tmp_path: Path) -> None:
    """On the same orders reco, the prototype's way and plain DuckDB find the same pairs and items with a neighbour."""
    csv = tmp_path / "orders.csv"
    write_sample(csv, orders=300)
    module = [sys.executable, "-m"]
    found: list[dict[str, Any]] = []
    for name, *more in (
        ("ours",),
        ("prototype",),
        ("prototype", "--lists"),
        ("plain_duckdb", str(tmp_path / "out.parquet")),
    ):
        cost: Cost = run(
            [*module, f"benchmarks.contenders.{name}", str(csv), *more], {"RECO_HOME": str(tmp_path / "home")}
        )
        assert cost.cpu_seconds > 0
        found.append(cost.found)
    assert found[0]["pairs"] > 0
    assert found == [found[0]] * 4


def test_the_kept_ratios_are_those_of_the_parts() -> None:
    """The committed file holds a number above zero for every ratio, and each belongs to a part of the benchmark."""
    kept = load()
    assert kept
    assert all(value > 0 for value in kept.values())
    assert {name.partition(":")[0].partition(",")[0] for name in kept} == {
        "api",
        "reading",
        "similar_items",
        "run",
        "snapshot",
    }


@pytest.mark.parametrize("kind", ["bare", "framework"])
def test_the_client_counts_what_was_answered(kind: str, tmp_path: Path) -> None:
    """As many answers as were asked for, each good and timed; as fast as it goes, and at a rate."""
    questions = tmp_path / "questions.jsonl"
    questions.write_text('["GET", "/one"]\n["GET", "/two?x=1"]\n', encoding="utf-8")
    with _server([sys.executable, "-m", "benchmarks.contenders.constant", kind], {}) as server:
        for options in ({}, {"rate": 1000.0}):
            seen = _ask(server.url, questions, seconds=60, requests=200, **options)
            assert 200 - CONNECTIONS <= seen["requests"] <= 200  # the last ones may be under way
            assert seen["statuses"] == {"200": seen["requests"]}
            assert 0 < seen["p50"] <= seen["p95"] <= seen["p99"] <= seen["most"]
            assert seen["broken"] == 0
        assert server.cpu_seconds() > 0
