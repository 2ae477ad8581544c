"""Promises of a killed run: the old snapshot serves, and the next run ends where an undisturbed one would have."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from reco_pipeline_tests.shop import PATIENCE_SECONDS, Shop, new_shop

pytestmark = pytest.mark.timeout(400)

# What a run makes, in this order: the kill comes as soon as the file is there or is a new one.
STAGES = (
    "run.lock",
    "lake/raw_orders/second-*",
    "lake/order_lines/second-*.parquet",
    "lake/orders/orders.parquet",
    "lake/item_stats/item_stats.parquet",
    "lake/item_cooccurrence/item_cooccurrence.parquet",
    "lake/similar_items/similar_items.parquet",
    "lake/similar_items/stamp.json",
    "redis/data/appendonlydir/*.incr.aof",  # the publish has begun to write
)
IN_EVERY_RUN = ("lake/orders/orders.parquet",)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop that has published its first file; the second, ten times as large, waits beside it."""
    shop = new_shop(tmp_path_factory.mktemp("prepared"))
    shop.reco("sample", "--orders", "2000", "--seed", "1", "--out", shop.files / "first.csv")
    shop.reco("sample", "--orders", "20000", "--seed", "2", "--out", shop.files / "second.csv")
    assert shop.reco("run", "--orders", shop.files / "first.csv").code == 0
    return shop


@pytest.fixture(scope="module")
def undisturbed(prepared: Shop, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The digest after the second file when nothing goes wrong."""
    shop = _copy(prepared, tmp_path_factory.mktemp("undisturbed"))
    assert shop.reco("run", "--orders", shop.files / "second.csv").code == 0
    digest: str = shop.reco("snapshot", "show", "--json").json["digest"]
    return digest


@pytest.mark.parametrize(
    "stage", [pytest.param(s, marks=[] if s in IN_EVERY_RUN else pytest.mark.slow) for s in STAGES]
)
def test_kill_at_any_stage_then_run_again(stage: str, prepared: Shop, undisturbed: str, tmp_path: Path) -> None:
    """After SIGKILL the first snapshot is served; a plain `reco run` of the same file gives the undisturbed digest."""
    shop = _copy(prepared, tmp_path)
    second = shop.files / "second.csv"
    served = shop.reco("snapshot", "show", "--json").json["snapshot_id"]
    before = _state(shop, stage)
    running = shop.start("run", "--orders", second)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _state(shop, stage) == before:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
    os.kill(running.pid, signal.SIGKILL)
    running.communicate(timeout=60)
    assert shop.reco("snapshot", "show", "--json").json["snapshot_id"] == served
    again = shop.reco("run", "--orders", second, "--json")
    assert again.code == 0, again.err
    assert again.json["published"]
    assert shop.reco("snapshot", "show", "--json").json["digest"] == undisturbed
    assert not list(shop.home.glob("lake/*/.*.tmp*"))


def _copy(shop: Shop, folder: Path) -> Shop:
    shutil.copytree(shop.home, folder / "home")
    return Shop(folder / "home", shop.files)


def _state(shop: Shop, stage: str) -> list[tuple[str, int, int]]:
    found = []
    for path in sorted(shop.home.glob(stage)):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue
        found.append((path.name, facts.st_ino, facts.st_mtime_ns))
    return found
