"""Promises of the site of the documents in a real browser: from the disk, alone, on a laptop and on a phone."""

from pathlib import Path

import pytest

from reco_pipeline_tests.e2e.test_dagster_ui import CHROMIUM, FLAGS
from reco_pipeline_tests.unit.test_site import build, site

__all__ = ["build", "site"]  # the fixture
pytestmark = pytest.mark.browser
WIDTHS = {"laptop": 1366, "phone": 390}


@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_the_site_works_from_the_disk_alone(site: Path, width: int) -> None:
    """Every page fits the screen and asks no host; the search finds a page by its words; nothing is complained of."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium (Debian package chromium)")
    asked: list[str] = []
    said: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.on("request", lambda one: asked.append(one.url))
        page.on("console", lambda one: said.append(one.text))
        wide = []
        for path in sorted(set(site.rglob("*.html")) - {site / "404.html"}):  # that one is for a web server
            page.goto(path.as_uri())
            if page.evaluate("document.documentElement.scrollWidth") > width:
                wide.append(path.name)
        page.goto((site / "index.html").as_uri() + "?q=spreadsheet")
        found = page.locator(".md-search-result__item", has_text="Lines that were not accepted").first
        found.wait_for(state="visible", timeout=60_000)
        browser.close()
    assert wide == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
