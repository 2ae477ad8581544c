"""Promises of the compiled kernel: whatever it counts, scores and keeps is what the plain way gives, to the byte."""

import datetime as dt
import json
import logging
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import metadata
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import CompilerUnavailable, UsageError
from reco.model import compiled, cooccurrence, formulas, kernel, regression
from reco.model.baskets import Baskets
from reco.model.checks import check_symmetry
from reco.model.cooccurrence import Engine, build_cooccurrence, read_kept
from reco.model.scores import PAIR_SCORES, ScoreName, ScoreSettings
from reco_pipeline_tests.model_tables import build, line, part, rows

START = dt.datetime(2026, 1, 1)  # noqa: DTZ001 - times of the lake have no zone


def orders_file(folder: Path, orders: Sequence[Sequence[str]], *, dated: bool = False) -> Path:
    """The `orders` table of these orders, a day apart."""
    lines = [
        line(f"o{n:05}", item, ordered_at=START + dt.timedelta(days=n) if dated else None)
        for n, items in enumerate(orders)
        for item in items
    ]
    return build(folder, [part(folder, "d", lines)]).orders


def made_by_both(folder: Path, orders: Path, scores: ScoreSettings) -> Path:
    """The table of both engines, which are compared."""
    engines: tuple[Engine, ...] = ("sort", "kernel")
    reports = [build_cooccurrence(orders, folder / engine, scores, engine=engine) for engine in engines]
    assert reports[0] == reports[1]
    assert (folder / "sort").read_bytes() == (folder / "kernel").read_bytes()
    return folder / "kernel"


def settings_of(name: ScoreName, **more: float) -> ScoreSettings:
    return ScoreSettings(
        score=name,
        order_size_power=0.5,
        item_power=0.75,
        other_power=0.35,
        sharpness=1.2,
        **more,  # type: ignore[arg-type]
    )


def random_orders(seed: int, orders: int, items: int, largest: int) -> list[list[str]]:
    chance = random.Random(seed)
    return [
        [f"i{int(items * chance.random() ** 2):04}" for _ in range(chance.randint(1, largest))] for _ in range(orders)
    ]


@settings(max_examples=30, deadline=None)
@given(orders=st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=7), min_size=1, max_size=12))
def test_the_kernel_is_what_a_plain_count_says(
    orders: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Random baskets, with repeats, ties and single items: counts, cosine and ties are those of a dictionary."""
    folder = tmp_path_factory.mktemp("kernel")
    table = folder / "kernel"
    report = build_cooccurrence(orders_file(folder, orders), table, ScoreSettings(top=2), engine="kernel")
    n = Counter(item for items in orders for item in set(items))
    pair = Counter(p for items in orders for p in permutations(set(items), 2))
    kept = []
    for item in n:
        near = sorted((-pair[item, j] / math.sqrt(n[item] * n[j]), -pair[item, j], j) for j in n if pair[item, j])
        kept += [(item, j, -count, None) for _, count, j in near[:2]]
    assert rows(table) == sorted(kept)
    assert (report.pairs, report.pair_occurrences) == (len(pair) // 2, sum(pair.values()) // 2)
    assert report.items_with_neighbour == len({item for item, _ in pair})
    assert (report.rows, report.orders) == (len(kept), len(orders))


@pytest.mark.parametrize("more", [{}, {"half_life_days": 20}, {"shrinkage": 2}, {"min_pair_orders": 2}])
@pytest.mark.parametrize("name", PAIR_SCORES)
def test_every_score_is_equal_to_the_byte(tmp_path: Path, name: ScoreName, more: dict[str, float]) -> None:
    """Each score, with shrinkage, least support and decay: the kernel gives the file of sorting, whatever is cut."""
    orders = orders_file(tmp_path, random_orders(7, 400, 60, 9), dated=True)
    for top in (1, 7, 100):
        made_by_both(tmp_path, orders, settings_of(name, top=top, **more))


def test_rows_that_use_few_of_many_items_are_equal_too(tmp_path: Path) -> None:
    """A long catalogue in small orders, where the counters that were used are noted, and a hub, where they are not."""
    orders = [*random_orders(3, 900, 1500, 3), *(["hub", f"i{n:04}"] for n in range(900))]
    made_by_both(tmp_path, orders_file(tmp_path, orders), settings_of("powers", top=5))
    made_by_both(tmp_path, orders_file(tmp_path, orders), settings_of("llr", top=5))


def test_an_order_of_the_whole_catalogue(tmp_path: Path) -> None:
    """It makes every pair, of which the best of each item are kept, the well proven ones before those of one order."""
    items = [f"i{n:04}" for n in range(700)]
    orders = [items, *([f"i{n:04}", f"i{n + 1:04}"] for n in range(0, 700, 2))]
    table = made_by_both(tmp_path, orders_file(tmp_path, orders), ScoreSettings(top=3))
    assert read_kept(table).report.pairs == 700 * 699 // 2
    assert {row[2] for row in rows(table) if row[0] == "i0000" and row[1] == "i0001"} == {2}
    assert [row[1] for row in rows(table) if row[0] == "i0000"] == ["i0001", "i0002", "i0003"]


@pytest.mark.parametrize("orders", [[], [["a"]], [["a"], ["b"], ["a"]]])
def test_orders_without_a_pair(tmp_path: Path, orders: list[list[str]]) -> None:
    """No order, one item, no two items together: an empty table, and a total of none."""
    table = made_by_both(tmp_path, orders_file(tmp_path, orders), ScoreSettings())
    assert rows(table) == []
    assert read_kept(table).report.pairs == 0


@pytest.mark.parametrize("half_life", [0, 30])
def test_threads_and_blocks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_life: float) -> None:
    """One thread or three, all rows at once or each alone: the same pairs in the same order, weights to the bit."""
    baskets = Baskets.read(orders_file(tmp_path, random_orders(5, 500, 80, 8), dated=True), times=True)
    scores = ScoreSettings(top=9, half_life_days=half_life)

    def run(threads: int) -> list[list[float]]:
        blocks = list(kernel.best_pairs(baskets, baskets.weights(scores), scores, threads=threads))
        columns = [
            np.concatenate([getattr(one.kept, name) for one in blocks]).tolist()
            for name in ("item", "other", "orders", *(["weight"] if half_life else []))
        ]
        return [*columns, [sum(one.distinct for one in blocks), sum(one.neighbours for one in blocks)]]

    whole = run(1)
    assert run(3) == whole
    for name in ("BLOCK_EVENTS", "BLOCK_ITEMS"):
        monkeypatch.setattr(kernel, name, 1)
        assert run(1) == run(3) == whole


def test_the_engine_is_chosen_by_the_pair_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few events are sorted, without the time that loading the kernel takes; many are the kernel's."""
    orders = orders_file(tmp_path, [["a", "b", "c"]])
    used: list[object] = []

    def note(*given: object, **_: object) -> list[kernel.Block]:
        used.extend(given)
        return []

    monkeypatch.setattr(kernel, "best_pairs", note)
    build_cooccurrence(orders, tmp_path / "few")
    assert not used
    monkeypatch.setattr("reco.model.cooccurrence.KERNEL_EVENTS", 6)
    build_cooccurrence(orders, tmp_path / "many")
    assert used
    loaded = "import reco.model.tables, reco.model.cooccurrence, sys; print('numba' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"


def test_the_check_of_pairs_takes_what_the_kernel_made(tmp_path: Path) -> None:
    """Lists that are full, and mirrors that gave way, pass; the total is that of all pairs."""
    folder = tmp_path / "tables"
    lines = [line(f"o{n}", item) for n, items in enumerate(random_orders(9, 300, 50, 9)) for item in items]
    scores = settings_of("confidence", top=4)
    made = build(folder, [part(tmp_path, "d", lines)], scores=scores)
    build_cooccurrence(made.orders, made.pairs, scores, engine="kernel")
    found = check_symmetry(made.pairs, made.stats)
    assert (found.passed, found.pairs) == (True, made.pairs_report.pairs)
    assert found.kept < made.pairs_report.pairs


# ----------------------------------------------------------------------------------------------------------- formulas
def test_logarithm_and_power_are_accurate() -> None:
    """They are those of numpy but for the last bits, over the range of any weight, and exact where they can be."""
    chance = np.random.default_rng(1)
    x = np.exp(chance.uniform(-60, 60, 20_000))
    np.testing.assert_allclose(formulas.log2(x), np.log2(x), rtol=2e-15)
    near = 1 + chance.uniform(-1e-4, 1e-4, 20_000)
    np.testing.assert_allclose(formulas.log2(near), np.log2(near), rtol=2e-15, atol=1e-300)
    for exponent in (0.35, 0.5, 1.2, 3.0):
        np.testing.assert_allclose(formulas.power(x, exponent), x**exponent, rtol=5e-14)
    assert formulas.log2(np.array([0.25, 1.0, 2.0, 1024.0])).tolist() == [-2, 0, 1, 10]
    assert formulas.power(np.array([1.0, 4.0]), 0.5).tolist() == [1, 2]


# ------------------------------------------------------------------------------------------------------ compiled code
TWICE = compiled.Loop("twice", ("int64", "int64*"))


def twice(size: int, numbers: Any) -> None:
    for place in range(size):
        numbers[place] *= 2


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment in which set-up compiled nothing yet, and made no folder."""
    folder = tmp_path / "environment"
    monkeypatch.setattr(compiled, "ENVIRONMENT", folder)
    return folder


def compiles(caplog: pytest.LogCaptureFixture, otherwise: Path | None) -> bool:
    """Whether a function had to be compiled, which is said; either way it works."""
    caplog.clear()
    (function,) = compiled.load(__name__, [TWICE], [], otherwise)
    numbers = np.array([1, 20])
    function(2, numbers)
    assert numbers.tolist() == [2, 40]
    return "Compiling" in caplog.text


def test_compiled_code_is_found_again(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What set-up made is used; else the caller's folder keeps it; without either it serves the process."""
    home, blocked = tmp_path / "home", tmp_path / "file"
    blocked.touch()
    assert compiles(caplog, home)
    assert not compiles(caplog, home)
    assert not environment.exists(), "only set-up makes it"
    environment.mkdir()
    assert not compiles(caplog, home)
    assert compiles(caplog, None)
    assert not compiles(caplog, blocked)
    monkeypatch.setattr(compiled, "ENVIRONMENT", blocked)
    assert compiles(caplog, blocked / "home"), "a folder that refuses is done without"


def test_a_home_keeps_one_version(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Code for versions of before goes when new code is kept; that of other modules, and what set-up made, stay."""
    environment.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    others = (home / "other-0.o", home / f"{__name__}-notes.txt", environment / f"{__name__}-0.o")
    for path in (*others, home / f"{__name__}-0.o"):
        path.touch()
    keep = compiled._keep
    monkeypatch.setattr(compiled, "_keep", lambda code, path: path.parent == home and keep(code, path))
    assert compiles(caplog, home)
    (made,) = home.glob(f"{__name__}-*.o")
    assert compiled._read(made)
    assert all(path.exists() for path in others)
    assert compiled._numba_version() == metadata.version("numba")
    assert not compiles(caplog, home)


def test_damaged_code_is_not_run(environment: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is cut short, changed, empty or no machine code is compiled anew and replaced."""
    environment.mkdir()
    compiles(caplog, None)
    (made,) = environment.iterdir()
    whole = made.read_bytes()
    other = b"no machine code"
    foreign = json.dumps(compiled._header(other)).encode() + b"\n" + other
    flipped = whole[:400] + bytes([whole[400] ^ 1]) + whole[401:]
    for damaged in (whole[:-1], flipped, b"", b"\n", foreign):
        made.write_bytes(damaged)
        assert compiles(caplog, None)
        assert compiled._read(made)
    assert list(environment.iterdir()) == [made]


def test_code_of_other_sources_or_processors_is_other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of any file that takes part, another processor (environments are copied), another numba."""
    source = tmp_path / "formulas.py"
    versions = set()
    for content in ("1", "2"):
        source.write_text(content, encoding="utf-8")
        versions.add(compiled._version([TWICE], [source]))
    monkeypatch.setattr(compiled._llvm(), "get_host_cpu_name", lambda: "another")
    versions.add(compiled._version([TWICE], [source]))
    for installed in ("0.1", None):
        monkeypatch.setattr(compiled, "_numba_version", lambda installed=installed: installed)
        versions.add(compiled._version([TWICE], [source]))
    assert len(versions) == 5


@pytest.mark.usefixtures("environment")
def test_code_that_needs_python_is_refused() -> None:
    """What allocates would need numba when it is loaded. An array of another kind than the code is for is refused."""
    from reco.model import compiling  # noqa: PLC0415 - imports numba

    with pytest.raises(RuntimeError, match="allocating needs NRT"):
        compiling.compile_object(__name__, [compiled.Loop("allocating", ("int64", "int64*"))])
    (function,) = compiled.load(__name__, [TWICE], [], None)
    for wrong in (np.zeros(2), np.zeros(4, np.int64)[::2]):
        with pytest.raises(TypeError, match="no contiguous one of int64"):
            function(2, wrong)


def allocating(size: int, numbers: Any) -> None:
    numbers[0] = np.ones(size).sum()


def without_features() -> Any:
    raise RuntimeError("Unable to determine host CPU features.")


@pytest.fixture(params=["numpy is too new", "no llvmlite"])
def broken(request: pytest.FixtureRequest, environment: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that set-up left empty, where numba refuses its numpy, or llvmlite is missing."""
    if request.param == "no llvmlite":
        monkeypatch.setitem(sys.modules, "llvmlite", None)
        compiled._llvm.cache_clear()
    else:
        monkeypatch.setitem(sys.modules, "reco.model.compiling", None)
    return environment


def test_a_compiler_of_no_use_is_done_without(
    broken: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Pairs are sorted, with one warning; the regression is refused and not chosen; set-up says a sentence."""
    orders = orders_file(tmp_path, [["a", "b", "c"], ["a", "b"]])
    monkeypatch.setattr(cooccurrence, "KERNEL_EVENTS", 1)
    for name in ("one", "two"):
        build_cooccurrence(orders, tmp_path / name, compiled=tmp_path / "code")
    assert caplog.text.count("Pairs are counted by sorting") == 1
    build_cooccurrence(orders, tmp_path / "sort", engine="sort")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == (tmp_path / "sort").read_bytes()
    with pytest.raises(CompilerUnavailable, match="neither loaded nor compiled here"):
        build_cooccurrence(orders, tmp_path / "kernel", engine="kernel", compiled=tmp_path / "code")
    with pytest.raises(UsageError, match="neither loaded nor compiled here"):
        regression.require_compiler()
    assert not regression.can_regress()
    kernel._functions.cache_clear()
    caplog.set_level(logging.WARNING, compiled.__name__)  # and back to what it was, after the command
    assert compiled.main() == CompilerUnavailable.exit_code
    assert broken.is_dir()
    said = capsys.readouterr().err
    assert said.startswith("Loops can be neither loaded nor compiled here: ")
    assert said.count("\n") == 1


def test_a_processor_that_cannot_be_told_is_compiled_for(
    environment: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where LLVM knows no features of the host, code is for its name alone, as numba does it."""
    monkeypatch.setattr(compiled._llvm(), "get_host_cpu_features", without_features)
    environment.mkdir()
    assert compiles(caplog, None)
    assert not compiles(caplog, None)


def test_loading_needs_no_compiler(tmp_path: Path) -> None:
    """What was compiled once is loaded by LLVM's linker alone: a process counts and regresses without numba."""
    program = (
        "import sys; from pathlib import Path; from reco.model import kernel, regression\n"
        "kernel.try_out(Path(sys.argv[1])); regression.try_out(Path(sys.argv[1])); print('numba' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    subprocess.run(command, capture_output=True, text=True, check=True)  # may have to compile
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert said.stdout == "False\n", said.stderr
