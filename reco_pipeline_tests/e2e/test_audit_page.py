"""Promises of the report page in a real browser: it runs nothing, asks nobody, fits, in light, dark and on paper."""

from pathlib import Path

import pytest

from reco.audit.page import html_page
from reco.orders.home import Home
from reco_pipeline_tests.e2e.test_dagster_ui import CHROMIUM, FLAGS
from reco_pipeline_tests.unit.test_audit_report import HOSTILE, home, report

__all__ = ["home"]  # the fixture
pytestmark = pytest.mark.browser
A4_PIXELS = 688
"""The width of A4 between margins of 14 mm, at 96 pixels an inch."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_still_and_fits(home: Home, tmp_path: Path, scheme: str) -> None:
    """No dialog, no message, no request but the file itself; no text is cut off at the width of a laptop or on A4."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium (Debian package chromium)")
    path = tmp_path / "report.html"
    path.write_text(html_page(report(home)), encoding="utf-8")
    heard: list[str] = []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        page = browser.new_page(viewport={"width": 1366, "height": 900}, color_scheme=scheme)
        page.on("dialog", lambda one: heard.append(f"dialog {one.message}"))
        page.on("console", lambda one: heard.append(f"console {one.text}"))
        page.on("request", lambda one: heard.append(one.url))
        page.goto(path.as_uri())
        assert heard == [path.as_uri()]
        assert page.locator("svg").count() == 3
        assert page.locator("td", has_text=HOSTILE).count() >= 2
        wide = "[...document.querySelectorAll('main, .scroll')].filter(e => e.scrollWidth > e.clientWidth).length"
        assert page.evaluate(wide) == 0
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 23, 29)")
        page.emulate_media(media="print")
        page.set_viewport_size({"width": A4_PIXELS, "height": 1000})
        cut = f"[...document.querySelectorAll('table, svg, dl')].filter(e => e.scrollWidth > {A4_PIXELS}).length"
        assert page.evaluate(cut) == 0
        page.pdf(path=str(tmp_path / "report.pdf"), format="A4")
        browser.close()
    assert (tmp_path / "report.pdf").stat().st_size > 10_000
