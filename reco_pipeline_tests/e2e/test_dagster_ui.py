"""Promises of the graph as people work with it: the real UI and daemon, over GraphQL and in a browser."""

import os
from pathlib import Path

import duckdb
import pytest

from reco_pipeline_tests.dagster_ui import DagsterUi, running_ui
from reco_pipeline_tests.shop import Shop, new_shop

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
BASKETS = {"1": ["PID", "Cal Kit", "Hose"], "2": ["PID", "Cal Kit"], "3": ["PID", "Pump"], "4": ["Pump", "Hose"]}
ALL = [
    "order_lines",
    "quarantined_lines",
    "orders",
    "item_stats",
    "item_cooccurrence",
    "similar_items",
    "redis_snapshot",
]

# Dagster looks at a backfill every half minute only, and one takes several looks.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop with one published drop."""
    made = new_shop(tmp_path)
    done = made.reco("run", "--orders", made.orders("monday.csv", BASKETS))
    assert done.code == 0, done.err
    return made


def served(shop: Shop) -> str:
    """The id of the served snapshot."""
    snapshot: str = shop.reco("status", "--json").json["snapshot_id"]
    return snapshot


def keys(shop: Shop) -> list[str]:
    """The partition keys of the shop's drops."""
    return [drop["key"] for drop in shop.reco("drops", "list", "--json").json["drops"]]


def test_a_backfill_cannot_publish_what_does_not_add_up(shop: Shop) -> None:
    """A backfill splits the graph into runs that no check of another run guards: the publish itself refuses."""
    assert shop.reco("run", "--orders", shop.orders("tuesday.csv", {"9": ["PID", "Gloves"]})).code == 0
    before = served(shop)
    monday, tuesday = sorted(keys(shop))
    lines = shop.home / "lake" / "order_lines" / f"{monday}.parquet"
    whole = lines.read_bytes()
    with running_ui(shop) as ui:
        duckdb.sql(f"COPY (SELECT * FROM '{lines}' LIMIT 3) TO '{lines}' (FORMAT parquet)")
        backfill = ui.launch_backfill(ALL, [tuesday])
        split = ui.wait_for_backfill(backfill)
        assert len(split) > 1, "the backfill is one run: this test no longer shows what it is for"
        errors = [ui.error_of(run["runId"]) for run in split if run["status"] == "FAILURE"]
        assert any("do not add up" in text for text in errors), errors
        assert served(shop) == before
        # Reading the damaged drop again mends it, and everything passes.
        again = ui.launch_backfill(ALL, [monday])
        assert {run["status"] for run in ui.wait_for_backfill(again)} == {"SUCCESS"}
    assert served(shop) == before
    assert lines.read_bytes() == whole


def test_one_of_two_tables_can_be_asked_for(shop: Shop) -> None:
    """A person may choose `order_lines` alone in the UI: the run succeeds and the quarantine still belongs to it."""
    with running_ui(shop) as ui:
        runs = ui.wait_for_backfill(ui.launch_backfill(["order_lines"], keys(shop)))
        assert [run["status"] for run in runs] == ["SUCCESS"]
    assert shop.reco("doctor").code == 0


def test_publishing_alone_refuses_tables_of_two_models(shop: Shop) -> None:
    """Materializing part of the graph leaves tables of two states side by side: the publish says which, and refuses."""
    before = served(shop)
    shop.reco("drops", "retract", "monday.csv")
    shop.home.joinpath("lake", "item_stats", "stamp.json").write_text('{"digest": "0", "inputs": {}}')
    with running_ui(shop) as ui:
        run = ui.launch_job("rebuild_recommendations", ["redis_snapshot"], {"test": "alone"})
        assert [one["status"] for one in ui.wait_for_runs(("test", "alone"))] == ["FAILURE"]
        assert "do not belong together" in ui.error_of(run)
    assert served(shop) == before


@pytest.mark.browser
def test_the_graph_is_materialized_from_its_button_and_turns_green(shop: Shop) -> None:
    """In the browser: the whole graph is there, the button runs the job, every check passes."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium (Debian package chromium)")
    with running_ui(shop) as ui, sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.goto(f"{ui.url}/locations/reco_pipeline/jobs/rebuild_recommendations", wait_until="domcontentloaded")
        page.get_by_text("model").first.wait_for()
        known = len(ui.runs())
        page.get_by_role("button", name="Materialize all").first.click()
        deadline = 120
        while (len(ui.runs()) == known or ui.runs()[0]["status"] != "SUCCESS") and deadline:
            page.wait_for_timeout(1000)
            deadline -= 1
        assert ui.runs()[0]["status"] == "SUCCESS"
        _screenshot(ui, page)
        page.goto(f"{ui.url}/automation", wait_until="domcontentloaded")
        for name in ("protection_overdue", "weekly_restore_drill"):
            page.get_by_text(name).first.wait_for()
        assert _switched_off(ui) == {"backup_after_publish"}, "a home's own bucket dies with its disk"
        _keep(page, "automation")
        browser.close()
        assert _checks(ui) == {"SUCCEEDED"}


def _checks(ui: DagsterUi) -> set[str]:
    """The states of the latest execution of every check of data."""
    query = """{ assetNodes { groupName assetChecksOrError { ... on AssetChecks { checks { name
        executionForLatestMaterialization { status } } } } } }"""
    nodes = ui.ask(query)["assetNodes"]
    checks = [
        check
        for node in nodes
        if node["groupName"] != "health"
        for check in node["assetChecksOrError"].get("checks", [])
    ]
    assert len(checks) >= 7
    return {(check["executionForLatestMaterialization"] or {"status": "NOT RUN"})["status"] for check in checks}


def _switched_off(ui: DagsterUi) -> set[str]:
    """The schedules and sensors that are off."""
    state = "name {0}State {{ status }}"
    query = f"""{{ repositoriesOrError {{ ... on RepositoryConnection {{ nodes {{
        schedules {{ {state.format("schedule")} }} sensors {{ {state.format("sensor")} }} }} }} }} }}"""
    (node,) = ui.ask(query)["repositoriesOrError"]["nodes"]
    states = {one["name"]: one["scheduleState"]["status"] for one in node["schedules"]}
    states |= {one["name"]: one["sensorState"]["status"] for one in node["sensors"]}
    assert len(states) >= 13
    return {name for name, status in states.items() if status != "RUNNING"}


def _screenshot(ui: DagsterUi, page: object) -> None:
    """Keeps a picture of the graph where SCREENSHOTS names a folder."""
    if "SCREENSHOTS" not in os.environ:
        return
    groups = "".join(f"global%40global%3A{name}%2C" for name in ("ingest", "model", "serving", "backup", "health"))
    page.goto(f"{ui.url}/asset-groups?expanded={groups}", wait_until="domcontentloaded")  # type: ignore[attr-defined]
    page.get_by_text("redis_snapshot").first.wait_for()  # type: ignore[attr-defined]
    _keep(page, "asset-graph")


def _keep(page: object, name: str) -> None:
    """Keeps a picture where SCREENSHOTS names a folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.wait_for_timeout(3000)  # type: ignore[attr-defined]
        page.screenshot(path=str(Path(folder) / f"{name}.png"))  # type: ignore[attr-defined]
