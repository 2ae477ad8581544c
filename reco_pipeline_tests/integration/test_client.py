"""Promises of the Python client and of the examples in docs/api.md, on a running service."""

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import get_type_hints

import pytest

from reco.api import documents as served_documents
from reco.api import item_documents
from reco.client import Client, documents
from reco.errors import ApiKeyRefused, ApiLimited, ApiNotFound, ApiProblem, ApiUnavailable, UsageError
from reco_pipeline_tests.api_server import PATIENCE_SECONDS, running_api
from reco_pipeline_tests.integration.test_api_lists import home_at, publish
from reco_pipeline_tests.servers import running_valkey
from reco_pipeline_tests.shop import ROOT
from reco_pipeline_tests.snapshot_lake import SHOP

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
MODELS = {
    "Evidence": served_documents.EvidenceDocument,
    "Trend": served_documents.TrendDocument,
    "Recommendation": served_documents.Recommendation,
    "Metadata": served_documents.Metadata,
    "Answer": served_documents.Answer,
    "Health": served_documents.Health,
    **{
        name: getattr(item_documents, name)
        for name in (
            *("Facts", "ItemFacts", "ItemDocument", "CategoryFacts", "CategoriesDocument", "FoundItem"),
            *("SearchDocument", "WhyDocument", "SnapshotDocument", "HideDocument", "HiddenDocument"),
        )
    },
}


@pytest.fixture(scope="module")
def api():
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as valkey:
        home = home_at(Path(folder) / "shop" / "home", valkey)
        publish(home, valkey)
        settings = {"RECO_HOME": str(home.settings.home), "RECO_NAMESPACE": SHOP}
        with running_api(settings | {"RECO_REDIS_URL": home.settings.redis_url.get_secret_value()}) as running:
            yield running


@pytest.fixture
def shop(api):
    with Client(str(api.client.base_url), timeout_seconds=PATIENCE_SECONDS) as client:
        yield client


@contextmanager
def answering(*answers):
    """A server that gives these answers (status, header fields, body) one after the other; and what it was asked."""
    asked, left = [], list(answers)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.command, self.path, self.headers.get("Authorization")))
            status, fields, body = left.pop(0)
            self.send_response(status)
            for name, value in {**fields, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the name that the library looks for

        def log_message(self, *_arguments):
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


# ------------------------------------------------------------------------------------------------------------- answers


def test_types_of_the_client_are_the_models_of_the_service():
    """Each field of a body is in its type, and required where the service always gives it."""
    assert {name for name, kind in vars(documents).items() if hasattr(kind, "__total__")} - {"TypedDict"} == set(MODELS)
    for name, model in MODELS.items():
        kind = getattr(documents, name)
        assert get_type_hints(kind).keys() == model.model_fields.keys(), name
        required = {field for field, told in model.model_fields.items() if told.is_required()}
        assert kind.__required_keys__ == required, name


def test_every_route_is_a_method(api, shop):
    """What the client gives is what the route gives, with every control as it was meant."""
    same = {
        "/api/v1/popular-items?category=Gas": shop.popular(category="Gas"),
        "/api/v1/trending-items?limit=2": shop.trending(limit=2),
        "/api/v1/similar-items/PID?exclude_ids=Hose&exclude_ids=Lamp&explain=true&min_price=12": shop.similar(
            "PID", exclude_ids=["Hose", "Lamp"], explain=True, min_price="12"
        ),
        "/api/v1/recommendations/1001": shop.order("1001"),
        "/api/v1/items/Water%20Level%20Meter": shop.item("Water Level Meter"),
        "/api/v1/categories?limit=2": shop.categories(limit=2),
        "/api/v1/search?q=wter+lev&in_stock=false": shop.search("wter lev", in_stock=False),
        "/api/v1/why/Hose?basket=PID&basket=Lamp": shop.why("Hose", ["PID", "Lamp"]),
        "/api/v1/snapshots/current": shop.snapshot(),
    }
    for path, body in same.items():
        assert api.ask(path) == body
    items = [{"item": "PID", "quantity": 3}]
    posted = api.client.post("/api/v1/basket-recommendations", json={"items": items, "limit": 2}).json()
    assert shop.basket({"PID": 3}, limit=2) == posted
    assert shop.basket(["PID"])["metadata"]["known_items"] == ["PID"]
    assert shop.health()["status"] == "healthy"
    rule = shop.hide("item", "Lamp", "season")
    assert [one["rule_id"] for one in shop.hidden()] == [rule["rule_id"]]
    assert shop.show(rule["rule_id"])["state"] == "removed"


def test_a_list_page_by_page(shop):
    """Every item once, in the order of the whole list."""
    whole = shop.similar("PID", limit=100)["recommendations"]
    assert len(whole) == 4
    assert list(shop.each(shop.similar, "PID", limit=1)) == whole


def test_problems_are_errors_with_their_document(api, shop):
    """Each status has its class, the code and near names are at hand."""
    with pytest.raises(ApiNotFound) as unknown:
        shop.item("PDI")
    assert (unknown.value.status, unknown.value.problem["code"]) == (404, "item_not_found")
    assert "PID" in unknown.value.problem["near"]
    with pytest.raises(ApiProblem) as invalid:
        shop.popular(limit=0)
    assert (type(invalid.value), invalid.value.problem["code"]) == (ApiProblem, "request_invalid")
    with Client(str(api.client.base_url), key="reco_wrong") as other:
        assert other.health()["status"] == "healthy"  # an open service asks for none
    with pytest.raises(UsageError):
        Client("redis://127.0.0.1")


def test_an_answer_that_did_not_change_is_not_sent_again(api, shop):
    """The second time the ETag is sent and 304 comes; the answer is the same, and a caller's own."""
    first = shop.similar("Hose", limit=7)
    first["recommendations"].clear()
    before = _not_modified(api)
    assert shop.similar("Hose", limit=7)["recommendations"]
    assert _not_modified(api) == before + 1


def _not_modified(api):
    text = api.client.get("/metrics").text
    return sum(
        float(n)
        for n in re.findall(r'^recs_http_requests_total\{.*(?:status|code)="304".*\} (\S+)$', text, re.MULTILINE)
    )


def test_the_command_line_asks_by_the_same_code(api):
    """Every control as an option: equal questions, equal bodies; a wrong one is a usage error that names it."""
    same = {
        "similar-items/PID?exclude_ids=Hose&categories=Gas&categories=Light&explain=true": (
            *("similar", "PID", "--exclude", "Hose", "--in-category", "Gas", "--in-category", "Light", "--explain"),
        ),
        "popular-items?categories=Gas&categories=Detectors&categories_match=all&max_per_category=1": (
            *("popular", "--in-category", "Gas", "--in-category", "Detectors", "--match", "all"),
            *("--max-per-category", "1"),
        ),
        "popular-items?min_price=12.50&max_price=400&in_stock=false": (
            *("popular", "--min-price", "12.50", "--max-price", "400", "--out-of-stock"),
        ),
        "trending-items?limit=1": ("trending", "-n", "1"),
        "search?q=wter+lev&min_score=0.1": ("search", "wter lev", "--min-score", "0.1"),
    }
    for path, words in same.items():
        done = api.reco(*words, "--json")
        assert done.code == 0, done.err
        assert done.json == api.ask(f"/api/v1/{path}"), words
    wrong = api.reco("popular", "--min-price", "1e3")
    assert (wrong.code, "min_price: " in wrong.err) == (2, True)
    shown = api.reco("basket", "PID", "--min-score", "0.3", "--explain")
    assert shown.code == 0, shown.err
    assert "by min_score" in shown.out + shown.err
    assert "Water Level Meter" in api.reco("search", "wter").out


# -------------------------------------------------------------------------------------------------------------- faults


def told(status, code, **fields):
    body = json.dumps({"status": status, "code": code, "detail": "d"}).encode()
    return status, {"Content-Type": "application/problem+json", **fields}, body


GOOD = (200, {"ETag": '"1"'}, b'{"recommendations": [], "metadata": {}}')


def test_it_waits_as_long_as_the_service_asks_and_no_longer_than_its_patience():
    """429 and 503 are tried again after Retry-After, what has none after growing pauses; a long one is an error."""
    slept: list[float] = []
    late = [told(429, "rate_limited", **{"Retry-After": "2"}), told(503, "overloaded"), GOOD]
    with answering(*late, told(429, "rate_limited", **{"Retry-After": "60"})) as (url, asked):
        with Client(url, sleep=slept.append) as shop:
            assert shop.popular()["recommendations"] == []
            assert slept == [2.0, 0.2]
            with pytest.raises(ApiLimited) as limited:
                shop.trending()
            assert limited.value.retry_after == 60
        assert len(asked) == 4


def test_a_change_is_asked_once():
    """A rule may have been made although its answer is lost: it is not made twice."""
    with answering(told(503, "time_over", **{"Retry-After": "0"})) as (url, asked), Client(url) as shop:
        with pytest.raises(ApiUnavailable):
            shop.hide("item", "PID", "recalled")
        assert len(asked) == 1


def test_a_service_that_is_away_or_none_of_ours_is_told():
    """Nothing listens; something else answers; a refused key."""
    slept: list[float] = []
    with answering() as (url, _):
        gone = url
    with Client(gone, sleep=slept.append) as shop, pytest.raises(ApiUnavailable, match="cannot be reached"):
        shop.health()
    assert slept == [0.1, 0.2]
    answers = [(200, {}, b"<html>"), (502, {}, b"<html>"), told(401, "key_expired"), (302, {"Location": "/"}, b"")]
    kinds = (ApiUnavailable, ApiUnavailable, ApiKeyRefused, ApiProblem)
    with answering(*answers) as (url, _), Client(url, tries=1) as shop:
        for kind in kinds:
            with pytest.raises(kind):
                shop.health()


@pytest.mark.parametrize("key", ["", " ", "reco_one\nreco_two", "reco_one two", "reco_one\N{HORIZONTAL ELLIPSIS}"])
def test_a_key_that_cannot_be_one_is_refused_and_not_quoted(key):
    """Before anything is asked, and without a trace that names it."""
    with pytest.raises(UsageError, match="characters that no key has") as refused:
        Client("http://127.0.0.1:9", key)
    assert "reco_one" not in f"{refused.value}{refused.value.hint}{refused.value.details}"
    assert refused.value.__cause__ is refused.value.__context__ is None


def test_a_key_may_come_with_the_end_of_its_line():
    """As it does from a file: it is sent without."""
    with answering(GOOD) as (url, asked):
        with Client(url, "reco_one\n") as shop:
            shop.popular()
        assert asked == [("GET", "/api/v1/popular-items", "Bearer reco_one")]


def test_it_needs_the_standard_library_alone():
    """A shop that imports the client loads no library of the service."""
    code = (
        "import sys; before = set(sys.modules); import reco.client; "
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['reco']\n"


# ------------------------------------------------------------------------------------------------------------ the page


def test_every_curl_line_of_the_page_works(api):
    """Each line with $URL, in its order, by curl itself: what it asks succeeds."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    lines = re.findall(r"^\$ (curl .*\$URL.*)$", PAGE, flags=re.MULTILINE)
    assert len(lines) >= 10
    environment = os.environ | {"URL": str(api.client.base_url).rstrip("/")}
    rule = "1"  # as on a new service, which the page has in mind
    for line in lines:
        command = line.replace("curl ", "curl --silent --show-error --fail-with-body --noproxy '*' ", 1)
        command = command.replace("/hidden/1", f"/hidden/{rule}")
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        rule = str(json.loads(done.stdout).get("rule_id", rule))


def test_the_python_of_the_page_works(api, capsys):
    """The example runs as it stands, and prints what it is about."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    exec(code.replace("http://127.0.0.1:8000", str(api.client.base_url)), {})  # noqa: S102 - an example of ours
    out = capsys.readouterr().out
    assert "Bought together in" in out
    assert "item_not_found" in out
    assert "Water Level Meter" in out
