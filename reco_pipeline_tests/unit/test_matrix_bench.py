"""The benchmark of the matrix: what it calls equal is equal, and its table and plot show what was found."""

import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contenders.matrix import KIND, neighbours, stage
from benchmarks.matrix import peers
from benchmarks.matrix.compare import agreement
from benchmarks.matrix.results import Result, draw, keep, load, markdown
from benchmarks.matrix.shapes import Codes, save, write_csv, write_orders_table
from reco.model.item_stats import build_item_stats
from reco_pipeline_tests.model_tables import rows

ORDERS: Codes = (np.array([0, 1, 0, 1, 2, 3], np.int32), np.array([0, 2, 5, 6]))


def test_both_of_ours_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours from numbers in memory are those of the stage with its tables, counted either way."""
    save(ORDERS, tmp_path)
    write_orders_table(ORDERS, tmp_path / "orders.parquet")
    build_item_stats(tmp_path / "orders.parquet", [], None, tmp_path / "stats.parquet")
    assert neighbours(tmp_path, tmp_path / "one.npy") == stage(tmp_path, tmp_path / "two.npy") == 3
    monkeypatch.setattr("benchmarks.contenders.matrix.KERNEL_EVENTS", 0)
    assert neighbours(tmp_path, tmp_path / "kernel.npy") == 3
    found = np.load(tmp_path / "one.npy")
    assert agreement(tmp_path / "one.npy", tmp_path / "kernel.npy") == "all equal"
    written = rows(tmp_path / "two.similar")
    assert [(int(one[0][1:]), int(one[1][1:]), one[3]) for one in written] == found.tolist()
    write_csv(ORDERS, tmp_path / "orders.csv")
    assert len((tmp_path / "orders.csv").read_text().splitlines()) == 1 + 6


def test_agreement_tells_ties_from_errors(tmp_path: Path) -> None:
    """Another neighbour of the same score is a tie at the cut; another score or another number of rows is not."""
    lists = {
        "ours": [(0, 1, 0.5), (0, 2, 0.25), (1, 0, 0.5), (2, 0, 0.25)],
        "ties": [(0, 1, 0.5), (0, 3, 0.25), (1, 0, 0.5), (2, 0, 0.25)],
        "wrong": [(0, 1, 0.5), (0, 2, 0.2), (1, 0, 0.5), (2, 0, 0.25)],
        "short": [(0, 1, 0.5), (1, 0, 0.5), (2, 0, 0.25)],
    }
    for name, found in lists.items():
        np.save(tmp_path / f"{name}.npy", np.array(found, KIND))
    said = {name: agreement(tmp_path / "ours.npy", tmp_path / f"{name}.npy") for name in lists}
    assert said["ours"] == "all equal"
    assert said["ties"] == "scores equal, 25.0% other neighbours in ties"
    assert said["wrong"] == "scores of 75.00% of the rows equal"
    assert said["short"] == "3 rows where we have 4"


def test_results_are_kept_and_shown(tmp_path: Path) -> None:
    """A result takes the place of an earlier one of its shape and contender; who did not run says why."""
    file = tmp_path / "results.json"
    first = Result("x1", "a shape", 10, 5, 100, "reco", 1.0, 0.5, 100.0, 7)
    keep([first, Result("x1", "a shape", 10, 5, 100, "sar", why_not="not installed")], file)
    keep([Result("x1", "a shape", 10, 5, 100, "reco", 2.0, 1.5, 100.0, 7)], file)
    assert [(one.contender, one.cpu_seconds) for one in load(file)] == [("reco", 2.0), ("sar", None)]
    shown = list(markdown(load(file)))
    assert "7 pairs" in shown[2]
    assert "| 2.00 | 1.50 | 100 |" in shown[2]
    assert "not installed" in shown[3]
    draw(load(file), tmp_path / "plot.svg")
    assert ET.parse(tmp_path / "plot.svg").getroot().tag.endswith("svg")  # noqa: S314 - a file of ours


def test_a_peer_that_does_not_install_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is installed unless asked for, and what pip says at the end is the reason."""
    monkeypatch.setenv("RECO_BENCH_CACHE", str(tmp_path))
    assert "--make-peers" in peers.find_peer("implicit", make=False).why_not
    refused = subprocess.CompletedProcess([], 1, "", "first\nno matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: refused)
    found = peers.find_peer("implicit", make=True)
    assert (found.python, found.why_not) == (None, "does not install: no matching distribution")
