"""Promises of the page at `/`, in a real browser on a real service: what is sold together, why, and how the shop is.

With SCREENSHOTS a folder keeps what the tests saw, for people to judge.
"""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from reco_pipeline_tests.api_server import PATIENCE_SECONDS, running_api
from reco_pipeline_tests.e2e.test_dagster_ui import CHROMIUM, FLAGS
from reco_pipeline_tests.outdoor_shop import catalogue_csv, orders_csv
from reco_pipeline_tests.servers import port_of, running_valkey
from reco_pipeline_tests.shop import new_shop

pytestmark = pytest.mark.browser
WIDE = {"width": 1360, "height": 1000}
PHONE = {"width": 360, "height": 760}
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
REFUSED = "Failed to load resource"
"""What the browser itself says of an answer that is a problem document."""


@pytest.fixture(scope="module")
def valkey():
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as client:
        yield client


@pytest.fixture(scope="module")
def shop(valkey, tmp_path_factory):
    made = new_shop(tmp_path_factory.mktemp("walkers"), RECO_REDIS_URL=f"redis://127.0.0.1:{port_of(valkey)}/0")
    orders, catalogue = made.write("orders.csv", orders_csv()), made.write("catalogue.csv", catalogue_csv())
    done = made.reco("run", "--orders", orders, "--catalogue", catalogue)
    assert done.code == 0, done.err
    return made


@pytest.fixture(scope="module")
def api(shop):
    with running_api(dict(shop.settings) | {"RECO_HOME": str(shop.home)}) as running:
        yield running


@contextmanager
def page_of(api, *, size=WIDE, scheme="light", address=""):
    """The page, and what was heard of it: messages, errors, and requests to elsewhere."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium (Debian package chromium)")
    home, heard = str(api.client.base_url), []
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        page = browser.new_page(viewport=size, color_scheme=scheme)
        page.set_default_timeout(1000 * PATIENCE_SECONDS)
        # On a busy machine the service may refuse a question as late; the page asks again, and the browser tells of it.
        page.on(
            "console",
            lambda one: (
                None if f"{REFUSED}: the server responded with a status of 503" in one.text else heard.append(one.text)
            ),
        )
        page.on("pageerror", lambda one: heard.append(str(one)))
        page.on("request", lambda one: None if one.url.startswith((home, "data:")) else heard.append(one.url))
        page.goto(f"{home}/{address}")
        yield page, heard
        browser.close()


def keep(page, name):
    """A picture of what is seen, where somebody wants it."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def row(page, name):
    """The row of an item in the list of what is sold with the open one."""
    return page.locator("#item tbody tr", has=page.get_by_role("button", name=name, exact=True))


def test_an_item_is_found_by_keys_alone_and_its_numbers_are_those_of_the_api(api):
    """From `/` to what is sold with it: a typo does not matter, arrows and Enter choose, and nothing is made up."""
    with page_of(api) as (page, heard):
        page.wait_for_selector("#item h2")
        assert (
            page.locator("#item h2").inner_text()
            == api.ask("/api/v1/popular-items?limit=1")["recommendations"][0]["item_name"]
        )
        page.keyboard.press("/")
        page.keyboard.type("gass stov")
        page.wait_for_selector("[role=option]")
        assert "one typo away" in page.locator("#found").inner_text()
        page.keyboard.press("ArrowDown")
        assert page.locator("#find").get_attribute("aria-activedescendant") == "option0"
        page.keyboard.press("Enter")
        page.locator("#item h2", has_text="Gas Stove").wait_for()
        for one in api.ask("/api/v1/similar-items/Gas%20Stove?limit=2&explain=true")["recommendations"]:
            told = row(page, one["item_name"]).inner_text()
            for number in (
                one["evidence"]["pair_orders"],
                f"{100 * one['evidence']['confidence']:.0f} %",
                f"{one['evidence']['lift']:.1f}",
            ):
                assert str(number) in told
            assert f"chance alone would make {one['explain']['expected_pair_orders']:.1f}" in told
        page.go_back()
        page.locator("#item h2", has_text="Gas Stove").wait_for(state="detached")
        assert heard == []


def test_a_basket_is_built_by_keys_and_kept_in_the_address(api):
    """`+` on a row puts it in, quantities count, the answer is the API's, and a reload shows the same."""
    with page_of(api, address="#item=Gas+Stove") as (page, heard):
        row(page, "Gas Cartridge 230 g").get_by_role("button", name="Gas Cartridge 230 g", exact=True).focus()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowUp")
        page.keyboard.press("+")
        page.locator("#rows li", has_text="Gas Cartridge 230 g").wait_for()
        page.get_by_role("button", name="Put into the basket", exact=True).click()
        page.locator("#rows li", has_text="Gas Stove").wait_for()
        page.get_by_label("How many of Gas Stove").fill("3")
        page.keyboard.press("Tab")
        page.wait_for_url("**n=3")
        items = [{"item": "Gas Cartridge 230 g", "quantity": 1}, {"item": "Gas Stove", "quantity": 3}]
        body = api.client.post("/api/v1/basket-recommendations", json={"items": items, "limit": 8}).json()
        first = body["recommendations"][0]["item_name"]
        page.locator("#goes li").first.get_by_role("button", name=first, exact=True).wait_for()
        page.reload()
        page.locator("#goes li").first.get_by_role("button", name=first, exact=True).wait_for()
        assert page.locator("#rows li").count() == 2
        keep(page, "basket")
        page.get_by_role("button", name="Take Gas Stove out of the basket").click()
        page.locator("#rows li", has_text="Gas Stove").wait_for(state="detached")
        page.get_by_role("button", name="Empty it").click()
        page.get_by_text("Nothing is in it.").wait_for()
        assert heard == []


def test_what_the_shop_knows_of_itself_is_on_the_page(api):
    """Popular and trending items, the snapshot, its checks, its files with every line accounted for."""
    with page_of(api) as (page, heard):
        snapshot = api.ask("/api/v1/snapshots/current")
        (drop,) = snapshot["drops"]
        page.locator("#quality", has_text=drop["name"]).wait_for()
        told = page.locator("#quality").inner_text()
        for number in (drop["lines_read"], drop["lines_accepted"], drop["lines_quarantined"]):
            assert f"{number:,}" in told
        page.locator("#fresh", has_text="Newest order").wait_for()
        assert snapshot["manifest"]["snapshot_id"] in page.locator("#fresh").inner_text()
        assert page.locator("#fresh .gate li").count() == len(snapshot["manifest"]["gate"])
        page.locator("#trending li").first.wait_for()
        first = api.ask("/api/v1/trending-items?limit=1")["recommendations"][0]
        assert first["item_name"] in page.locator("#trending li").first.inner_text()
        assert page.locator("#popular li").count() == 8
        page.get_by_role("button", name="Show 10 more").click()
        page.locator("#item tbody tr").nth(19).wait_for()
        keep(page, "desktop")
        assert heard == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(api, scheme):
    """360 pixels: nothing is cut off or scrolls sideways, a hand can hit the buttons, and dark is dark."""
    with page_of(api, size=PHONE, scheme=scheme, address="#item=Gas+Stove&basket=Rucksack+55+l&n=1") as (page, heard):
        page.locator("#goes li").first.wait_for()
        page.locator("#quality .legend").wait_for()
        assert not page.evaluate(TOO_WIDE)
        box = page.locator("#item button.add").first.bounding_box()
        assert min(box["width"], box["height"]) >= 32
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 26)"
        assert dark is (scheme == "dark")
        keep(page, f"phone-{scheme}")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        assert heard == []


def test_an_unknown_item_is_told_with_a_next_step(api):
    """An old link to an item that is gone says so in its place; the rest of the page goes on."""
    with page_of(api, address="#item=Nothing+such") as (page, heard):
        page.locator("#item .notice", has_text="Nothing such").wait_for()
        page.locator("#popular li").first.wait_for()
        assert all(REFUSED in one for one in heard)


def test_a_closed_service_asks_for_a_key_and_keeps_it_in_the_tab(valkey, shop, tmp_path):
    """The page is for everybody, the data is not: a wrong key is told, a right one shows the shop till forgotten."""
    other = new_shop(tmp_path, **shop.settings)
    with running_api(dict(other.settings) | {"RECO_HOME": str(other.home)}) as api:
        key = api.reco("keys", "create", "page", "--scope", "read", "--json").json["key"]
        api.client.headers["X-API-Key"] = key
        api.wait_for(redis_connected=True)
        with page_of(api) as (page, heard):
            page.get_by_role("heading", name="This service asks for an API key").wait_for()
            assert not page.locator("#shop").is_visible()
            keep(page, "key")
            page.get_by_label("API key", exact=True).fill(key[:12] + "\N{HORIZONTAL ELLIPSIS}")
            page.keyboard.press("Enter")
            page.get_by_text("copy the whole of it").wait_for()
            assert page.evaluate("sessionStorage.length") == 0
            page.get_by_label("API key", exact=True).fill(key[:-1])
            page.keyboard.press("Enter")
            page.get_by_role("heading", name="The API key was refused").wait_for()
            page.get_by_label("API key", exact=True).fill(key)
            page.keyboard.press("Enter")
            page.locator("#popular li").first.wait_for()
            page.locator("#quality", has_text="a key with the scope ops").wait_for()
            kept = (
                "[Object.values(sessionStorage), Object.values(localStorage), document.cookie, "
                "location.href.includes('reco_')]"
            )
            assert page.evaluate(kept) == [[key], [], "", False]
            page.get_by_role("button", name="Forget the API key").click()
            page.get_by_role("heading", name="This service asks for an API key").wait_for()
            assert page.evaluate("sessionStorage.length") == 0
            assert all(REFUSED in one for one in heard)
            page.evaluate("sessionStorage.setItem('reco-api-key', 'reco_\\u2026')")  # as a version before kept it
            page.reload()
            page.get_by_role("button", name="Forget the API key").click()
            page.get_by_role("heading", name="This service asks for an API key").wait_for()


def test_it_shows_what_is_missing_and_recovers_by_itself(shop, tmp_path):
    """Nothing published, then published, then Redis gone, then the service gone: each is told, without a reload."""
    with running_valkey(tmp_path) as valkey:
        other = new_shop(tmp_path / "other", RECO_REDIS_URL=f"redis://127.0.0.1:{port_of(valkey)}/0")
        with running_api(dict(other.settings) | {"RECO_HOME": str(other.home)}) as api, page_of(api) as (page, _):
            page.get_by_role("heading", name="Nothing is published yet").wait_for()
            keep(page, "nothing")
            done = other.reco("run", "--orders", other.orders("few.csv", {"1": ["Tent", "Pegs"], "2": ["Tent"]}))
            assert done.code == 0, done.err
            page.locator("#item h2", has_text="Tent").wait_for()
            page.locator("#trending", has_text="have no times").wait_for()
            valkey.shutdown(nosave=True)
            page.locator("#notice", has_text="Degraded.").wait_for()
            assert page.locator("#notice a", has_text="redis_unavailable").count() == 1
            keep(page, "degraded")
            api.process.terminate()
            page.locator("#notice", has_text="The service does not answer.").wait_for()
            keep(page, "gone")
