"""Promises of the checks as people meet them: the real UI and daemon, in a browser."""

import os
from pathlib import Path
from typing import Any

import pytest

from reco_pipeline_tests.dagster_ui import DagsterUi, running_ui
from reco_pipeline_tests.e2e.test_dagster_ui import CHROMIUM, FLAGS
from reco_pipeline_tests.shop import Shop, new_shop

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]

MESSAGE = "thursday.csv: quality score 76.9, below 95."
WAIT_SECONDS = 90


def day(number: int, bad: int) -> str:
    """A drop of 100 good lines of one day and some with a quantity that is none."""
    good = [
        f"{number}-{order},{item},1,2024-03-{number:02d} 10:{order:02d}:00"
        for order in range(40)
        for item in (("PID", "Cal Kit") if order % 2 else ("PID", "Hose", "Pump"))
    ]
    poor = [f"{number}-x{line},PID,zero,2024-03-{number:02d} 11:00:00" for line in range(bad)]
    return "\n".join(["order_id,item_name,quantity,ordered_at", *good, *poor]) + "\n"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with three good drops, taken together, and a poor one after them."""
    made = new_shop(tmp_path)
    names = ("monday", "tuesday", "wednesday")
    week = [made.write(f"{name}.csv", day(number, 1)) for number, name in enumerate(names, start=1)]
    assert made.reco("run", *(part for path in week for part in ("--orders", path))).code == 0
    poor = made.reco("run", "--orders", made.write("thursday.csv", day(4, 30)))
    assert poor.code == 0, poor.err
    return made


def test_a_failing_check_shows_its_message_plots_and_can_be_run_again(shop: Shop) -> None:
    """The page of a failing check tells drop and figures, plots them over the drops, and its button runs it again."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium (Debian package chromium)")
    with running_ui(shop) as ui, sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 1000})

        open_check(page, ui, "quality_score")
        page.get_by_text(MESSAGE).wait_for()
        page.get_by_text("offenders").first.wait_for()
        assert points(ui, "quality_score") == pytest.approx([100 * (1 - 3 / 303), 100 * (1 - 33 / 433)], abs=1e-5)
        screenshot(page, "failing-check")
        known = len(ui.runs())
        page.get_by_role("button", name="Execute").filter(has_not_text="all").first.click()
        wait_for_run(page, ui, known)
        assert len(points(ui, "quality_score")) == 3

        open_check(page, ui, "drop_quality")
        page.get_by_text("quarantine_rate").first.wait_for()
        page.locator("canvas").first.wait_for()
        good, poor = 100 * (1 - 1 / 101), 100 * (1 - 30 / 130)
        assert sorted(points(ui, "drop_quality")) == pytest.approx([poor, good, good, good], abs=1e-5)
        screenshot(page, "drop-quality")
        known = len(ui.runs())
        page.get_by_role("button", name="Execute all").click()
        wait_for_run(page, ui, known)
        assert "PLANNED" not in statuses(ui, "drop_quality")

        known = len(ui.runs())
        page.goto(f"{ui.url}/locations/{location(ui)}/jobs/recheck_drops/playground", wait_until="domcontentloaded")
        page.get_by_role("button", name="Launch Run").click()
        wait_for_run(page, ui, known)
        assert ui.runs()[0]["jobName"] == "recheck_drops"
        assert len(points(ui, "quality_score")) == 5
        assert "PLANNED" not in statuses(ui, "drop_quality")

        page.goto(f"{ui.url}/assets/similar_items?view=events", wait_until="domcontentloaded")
        page.get_by_text("pair_orders").first.wait_for()
        screenshot(page, "preview")
        browser.close()


def location(ui: DagsterUi) -> str:
    """The code location as it stands in the address of its jobs."""
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
    (node,) = ui.ask(query)["repositoriesOrError"]["nodes"]
    return f"{node['name']}@{node['location']['name']}"


def open_check(page: Any, ui: DagsterUi, name: str) -> None:
    """The page of a check of the order lines."""
    page.goto(f"{ui.url}/assets/order_lines?view=checks&checkDetail={name}", wait_until="domcontentloaded")
    page.get_by_text("Latest execution").wait_for()


def wait_for_run(page: Any, ui: DagsterUi, known: int) -> None:
    """Waits until a run after the `known` ones has succeeded."""
    for _ in range(WAIT_SECONDS):
        runs = ui.runs()
        if len(runs) > known and runs[0]["status"] in ("SUCCESS", "FAILURE"):
            break
        page.wait_for_timeout(1000)
    assert len(ui.runs()) > known
    assert ui.runs()[0]["status"] == "SUCCESS"


def executions(ui: DagsterUi, name: str) -> list[dict[str, Any]]:
    """All executions of a check of the order lines, oldest first."""
    query = """query ($name: String!) { assetCheckExecutions(
        assetKey: {path: ["order_lines"]}, checkName: $name, limit: 50) {
            status evaluation { metadataEntries { label ... on FloatMetadataEntry { floatValue } } } } }"""
    found: list[dict[str, Any]] = ui.ask(query, name=name)["assetCheckExecutions"]
    return found[::-1]


def statuses(ui: DagsterUi, name: str) -> set[str]:
    """The states of all executions of a check."""
    return {one["status"] for one in executions(ui, name)}


def points(ui: DagsterUi, name: str) -> list[float]:
    """The quality scores that the page of a check plots."""
    entries = [one["evaluation"]["metadataEntries"] for one in executions(ui, name)]
    return [entry["floatValue"] for found in entries for entry in found if entry["label"] == "quality_score"]


def screenshot(page: Any, name: str) -> None:
    """Keeps a picture where SCREENSHOTS names a folder."""
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        page.wait_for_timeout(2500)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))
