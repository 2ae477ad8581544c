import json
import re
import signal
import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from reco.api.documents import Answer, Health
from reco.api.problems import MEDIA_TYPE, Problem
from reco.snapshot.store import SnapshotStore
from reco_pipeline_tests.api_server import PATIENCE_SECONDS, running_api, settings_for
from reco_pipeline_tests.embedded import server_runs
from reco_pipeline_tests.openapi_document import FROZEN, differences
from reco_pipeline_tests.servers import running_valkey
from reco_pipeline_tests.shop import new_shop
from reco_pipeline_tests.snapshot_lake import SHOP, write_tables

ODD = ["a/b", "/", "50% off", "%2F", "Wasser prüfen 水", "q?x=1&y#z", "+plus+", "a//b/", "two\nlines", 'say "hi"', "\\"]
# p in 6 orders, w in 5, c in 3, s in 2, x in 1 alone; each odd item once, with p.
BASKETS = [{"p", "w"}, {"p", "w"}, {"p", "w", "c"}, {"p", "c"}, {"p"}, {"p", "s"}, {"w"}, {"w", "c"}, {"s"}, {"x"}]
BASKETS += [{"p", one} for one in ODD]
NAMES = {"p": "PID", "w": "Water Level Meter", "c": "Cal Kit"}
CATEGORIES = {"p": "gas", "c": "gas", "w": "water & more"}


@pytest.fixture(scope="module")
def valkey():
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as client:
        yield client


@pytest.fixture(scope="module")
def snapshot(valkey, tmp_path_factory):
    tables = write_tables(tmp_path_factory.mktemp("lake"), BASKETS, names=NAMES, categories=CATEGORIES)
    tables.publish(valkey)
    return SnapshotStore(valkey, SHOP).current()


@pytest.fixture(scope="module")
def api(valkey, snapshot, tmp_path_factory):
    with running_api(settings_for(valkey, tmp_path_factory.mktemp("home"))) as running:
        yield running


def similar(item, limit=10):
    return f"/api/v1/similar-items/{quote(item, safe='')}?limit={limit}"


def ids(answer):
    return [one["item_id"] for one in answer["recommendations"]]


# ------------------------------------------------------------------------------------------------------------- answers


def test_the_three_calls_of_the_prototype(api):
    """Its routes, its parameters, its fields; a basket gets neighbours of its own, and nothing that is in it."""
    assert ids(api.ask("/api/v1/popular-items?limit=2")) == ["p", "w"]
    assert ids(api.ask("/api/v1/similar-items/PID?limit=3"))[:2] == ["w", "c"]
    assert ids(api.basket("PID", "Water Level Meter", limit=1)) == ["c"]
    assert api.basket("PID")["recommendations"] != api.basket("Cal Kit")["recommendations"]
    first = api.ask("/api/v1/similar-items/PID?limit=1")["recommendations"][0]
    assert first["evidence"]["pair_orders"] == 3
    assert first["purchases"] == 5


def test_the_api_answers_what_redis_would(api, snapshot):
    """For every item, basket, category and limit the copy in memory and the reader of Redis give one body."""
    everything = [row for basket in BASKETS for row in basket]
    for item in sorted({*everything, *NAMES.values()}):
        assert api.ask(similar(item, 7)) == snapshot.similar(item, 7)
    for limit in (1, 3, 100):
        assert api.ask(f"/api/v1/popular-items?limit={limit}") == snapshot.popular(limit)
    for category in ("gas", "water & more"):
        assert api.ask(f"/api/v1/popular-items?category={quote(category)}") == snapshot.popular(10, category)
    for basket in (["p"], ["PID", "w", "nothing"], ["x"], ["unknown"], ODD, ["p", "p", "PID"]):
        assert api.basket(*basket) == snapshot.basket(basket)


def test_the_command_line_prints_the_bodies_of_the_api(api):
    """`--json` and the API are one contract: equal questions, equal bodies."""
    assert api.reco("similar", "Cal Kit", "-n", "2", "--json").json == api.ask(similar("Cal Kit", 2))
    assert api.reco("popular", "--category", "gas", "--json").json == api.ask("/api/v1/popular-items?category=gas")
    assert api.reco("basket", "PID", "50% off", "--json").json == api.basket("PID", "50% off")


def test_a_rule_of_the_command_line_holds_in_the_running_service(api):
    """`reco hide` takes an item out of every answer, of the service and of the command line alike, and back again."""
    done = api.reco("hide", "add", " w ", "--reason", "recalled", "--expires", "1h", "--json")
    rule = done.json
    assert (done.code, rule["value"], rule["state"]) == (0, "w", "active")
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "w" in ids(api.ask(similar("PID"))):
            assert time.monotonic() < deadline
        assert api.reco("similar", "PID", "--json").json == api.ask(similar("PID"))
        assert [one["rule_id"] for one in api.reco("hide", "list", "--json").json["hidden"]] == [rule["rule_id"]]
    finally:
        assert api.reco("hide", "remove", str(rule["rule_id"])).code == 0
    while "w" not in ids(api.ask(similar("PID"))):
        assert time.monotonic() < deadline + PATIENCE_SECONDS
    assert api.reco("hide", "add", "w").code == 2
    assert "covered" not in done.err
    nothing = api.reco("hide", "add", "W.", "--reason", "misspelt", "--json")
    assert nothing.json["value"] == "W."
    assert "No item of the served snapshot is covered" in nothing.err
    (wrong,) = api.reco("hide", "list", "--json").json["hidden"]
    assert api.reco("hide", "remove", str(wrong["rule_id"])).code == 0


@pytest.mark.slow
def test_a_rule_holds_on_every_worker(valkey, snapshot, tmp_path):
    """What one process of the service was told to hide is gone from all of them, and comes back to all of them.

    How long it takes is printed and is no claim on a busy machine: each follows the rules every quarter of a second.
    """
    with running_api(settings_for(valkey, tmp_path / "home") | {"RECO_API_WORKERS": "2"}) as api, ExitStack() as held:
        url = api.client.base_url

        def workers():
            found = re.search(r"^recs_workers (\S+)$", api.client.get("/metrics").text, flags=re.MULTILINE)
            return found and float(found[1])

        began = time.monotonic()
        while workers() != 2:  # the first that is up answers alone until the second is
            assert time.monotonic() < began + PATIENCE_SECONDS
        # Each keeps its connection, and so its process; of 24 none of the two is left out.
        many = [
            held.enter_context(httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False)) for _ in range(24)
        ]

        def seen():
            answers = [one.get(similar("PID")) for one in many]  # one that is refused as too late tells nothing
            return {"w" in ids(one.json()) for one in answers if one.status_code == 200}

        def seconds_until(told):
            began = time.monotonic()
            while seen() != told:
                assert time.monotonic() < began + PATIENCE_SECONDS
            return time.monotonic() - began

        assert seen() == {True}
        for turn in range(3):
            rule = many[turn].post("/api/v1/hidden", json={"kind": "item", "value": "w", "reason": "recalled"})
            gone = seconds_until({False})
            assert many[-turn].delete(f"/api/v1/hidden/{rule.json()['rule_id']}").status_code == 200
            print(f"gone from all after {gone:.2f} s, back in all after {seconds_until({True}):.2f} s")
        assert workers() == 2


@pytest.mark.parametrize("item", ODD)
def test_any_item_can_stand_in_the_path(api, item):
    """Slashes, per cent signs, blanks, line breaks and other letters survive the way through the URL, once encoded."""
    assert api.ask(similar(item))["metadata"]["item_id"] == item


def test_a_slash_need_not_be_encoded(api):
    """A client that leaves slashes as they are is understood too."""
    assert api.ask("/api/v1/similar-items/a/b?limit=1")["metadata"]["item_id"] == "a/b"


def test_answers_have_the_documented_form(api):
    """Every body has the fields of the model in /openapi.json, and no others."""
    for body in (api.ask("/api/v1/popular-items"), api.ask(similar("x")), api.ask(similar("p")), api.basket("no", "w")):
        Answer.model_validate(body)
    Health.model_validate(api.health())


# -------------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/api/v1/similar-items/PDI", None, 404, "item_not_found"),
        ("GET", "/api/v1/popular-items?category=none", None, 404, "item_not_found"),
        ("GET", "/api/v1/similar-items/p%FF%FE", None, 404, "item_not_found"),
        ("GET", "/api/v1/similar-items/", None, 422, "request_invalid"),
        ("GET", "/api/v1/similar-items/" + "x" * 1001, None, 422, "request_invalid"),
        ("GET", "/api/v1/popular-items?limit=0", None, 422, "request_invalid"),
        ("GET", "/api/v1/popular-items?limit=101", None, 422, "request_invalid"),
        ("GET", "/api/v1/similar-items/p?limit=many", None, 422, "request_invalid"),
        ("POST", "/api/v1/basket-recommendations", b'{"items":[]}', 422, "request_invalid"),
        ("POST", "/api/v1/basket-recommendations", b'{"items":["p"],"limits":3}', 422, "request_invalid"),
        ("POST", "/api/v1/basket-recommendations", b'{"items":["\\ud800"]}', 422, "request_invalid"),
        ("POST", "/api/v1/basket-recommendations", b'{"items":', 422, "request_invalid"),
        ("POST", "/api/v1/basket-recommendations", b'"\xff"', 400, "request_invalid"),
        ("POST", "/api/v1/basket-recommendations", b"[" * 100_000, 400, "request_invalid"),
        ("POST", "/api/v1/basket-recommendations", b'{"limit":' + b"9" * 5000 + b"}", 400, "request_invalid"),
        ("POST", "/api/v1/basket-recommendations", b'["' + b"x" * 1_000_001 + b'"]', 413, "body_too_large"),
        ("GET", "/api/v1/basket-recommendations", None, 405, "method_not_allowed"),
        ("DELETE", "/health/", None, 405, "method_not_allowed"),
        ("GET", "/api/v1/nothing", None, 404, "route_not_found"),
        ("GET", "/api/v1/popular-items/", None, 404, "route_not_found"),
    ],
)
def test_whatever_fails_is_a_problem_document(api, method, path, body, status, code):
    """Every answer that is no success has the one form, its media type and a stable code."""
    answer = api.client.request(method, path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == MEDIA_TYPE
    told = Problem.model_validate(answer.json())
    assert (told.status, told.code) == (status, code)


def test_an_unknown_item_is_told_with_near_names(api):
    """A misspelt name is answered with names that look like it."""
    assert api.client.get("/api/v1/similar-items/PDI").json()["near"][0] == "PID"


def test_an_invalid_request_names_the_part_and_not_its_content(api):
    """The place and the reason are told; what was sent is not repeated."""
    answer = api.client.post("/api/v1/basket-recommendations", json={"items": ["p"], "limit": "planted-secret"})
    assert answer.json()["errors"][0]["field"] == "body.limit"
    assert "planted-secret" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.2:80", "[::1]:8000", "[::1]"])
def test_any_name_of_the_loopback_is_answered(api, host):
    """However this machine calls itself, with or without a port."""
    assert api.client.get("/livez", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1.shop.example:80", "10.0.0.1", "", "[::1", "::1", "1"])
def test_another_host_is_refused(api, host):
    """A web page that points its own name at this machine gets nothing, not even the documentation."""
    for path in ("/api/v1/popular-items", "/docs", "/livez"):
        answer = api.client.get(path, headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (403, "host_not_allowed")


# ----------------------------------------------------------------------------------------------------- health and docs


def test_health_tells_what_is_served(api, snapshot):
    """The prototype's fields, and which snapshot answers."""
    health = api.health()
    assert health["status"] == "healthy"
    assert health["redis_connected"] is True
    assert health["snapshot_id"] == snapshot.snapshot_id
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", health["timestamp"])
    assert api.client.get("/health").json().keys() == health.keys()
    assert api.ask("/livez") == {"status": "alive"}
    assert api.ask("/readyz") == {"status": "ready", "degraded": False}


def test_the_pages_for_people_need_no_network(api):
    """`/`, `/docs` and `/problems` load nothing from anywhere else, and may run only what stands in them."""
    for path, words in (
        ("/docs", "/openapi.json"),
        ("/problems", 'id="rate_limited"'),
        ("/", "What is bought together"),
    ):
        page = api.client.get(path)
        assert words in page.text
        assert not re.findall(r"(?:src|href)=.?(?:https?:)?//|@import|url\(", page.text)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; connect-src 'self'")
        assert "unsafe" not in policy
    assert api.client.get("/api/v1/nothing").json()["type"] == "/problems#route_not_found"


def test_the_openapi_document_describes_every_route_and_its_problems(api):
    """What is served is what is frozen in docs/openapi.json, and each error has the one form."""
    document = api.ask("/openapi.json")
    assert differences(json.loads(FROZEN.read_text(encoding="utf-8")), document) == []
    for path, ways in document["paths"].items():
        for one in ways.values():
            for status, response in one["responses"].items():
                kinds = [] if status == "304" else ["application/json" if status < "300" else MEDIA_TYPE]
                assert list(response.get("content", ())) == kinds, path
    named = re.findall(r"'#/components/(\w+)/([\w-]+)'", str(document))
    assert [(kind, name) for kind, name in named if name not in document["components"][kind]] == []


# --------------------------------------------------------------------------------------------------- following, serving


def test_a_new_snapshot_and_a_rollback_are_followed_without_a_restart(tmp_path):
    """The service turns to whatever the pointer names, and says so."""
    with running_valkey(tmp_path) as valkey, running_api(settings_for(valkey, tmp_path / "home")) as api:
        assert api.health()["problem"] == "snapshot_not_found"
        first = write_tables(tmp_path / "one", [{"a", "b"}]).publish(valkey).snapshot_id
        api.wait_for(snapshot_id=first, status="healthy")
        assert ids(api.ask("/api/v1/popular-items")) == ["a", "b"]
        second = write_tables(tmp_path / "two", [{"b", "c"}]).publish(valkey).snapshot_id
        api.wait_for(snapshot_id=second, status="healthy")
        assert ids(api.ask("/api/v1/popular-items")) == ["b", "c"]
        assert api.reco("snapshot", "rollback", "--to", first).code == 0
        api.wait_for(snapshot_id=first, status="healthy")
        assert ids(api.ask("/api/v1/similar-items/a")) == ["b"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_service_cleanly(valkey, snapshot, tmp_path, number):
    """Ctrl-C and TERM are how it is meant to end: exit code 0, and nothing on stderr."""
    with running_api(settings_for(valkey, tmp_path)) as api:
        assert api.ask("/readyz")["status"] == "ready"
        assert api.stop(number) == (0, "", "")


def test_a_taken_port_is_told_with_the_next_step(api, tmp_path):
    """The exit code is that of a dependency, and the hint names the setting."""
    port = str(api.client.base_url.port)
    done = new_shop(tmp_path, **(api.environment | {"RECO_API_PORT": port})).reco("serve")
    assert done.code == 4
    assert f"port {port}" in done.err
    assert "next: Set RECO_API_PORT" in done.err


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"RECO_API_HOST": "0.0.0.0"}, "RECO_API_HOST=0.0.0.0"),  # noqa: S104 - what must be refused
        ({"RECO_API_HOST": "shop.example"}, "RECO_API_HOST=shop.example"),
        ({"RECO_PROFILE": "production", "RECO_REDIS_URL": "redis://127.0.0.1:1/0"}, "RECO_PROFILE=production"),
        ({"RECO_API_PORT": "65536"}, "RECO_API_PORT"),
        ({"RECO_REDIS_URL": "nonsense"}, "RECO_REDIS_URL"),
    ],
)
def test_the_service_refuses_to_be_open_to_others(tmp_path, settings, named):
    """Without keys it listens on the loopback only; what would open it stops the start, and is named."""
    done = new_shop(tmp_path, **({"RECO_API_PORT": "0"} | settings)).reco("serve")
    assert done.code == 2
    assert named in done.err


def test_the_embedded_server_is_shared_and_stopped_by_the_last_one_out(tmp_path):
    """Without RECO_REDIS_URL the service brings the server of the home; a publish beside it is seen."""
    shop = new_shop(tmp_path)
    shop.orders("orders.csv", {"1": ["PID", "Cal Kit"], "2": ["PID"]})
    with running_api(dict(shop.settings) | {"RECO_HOME": str(shop.home)}) as api:
        answer = api.client.get("/readyz")
        assert (answer.status_code, answer.json()["code"]) == (503, "snapshot_not_found")
        assert int(answer.headers["retry-after"]) > 0
        assert shop.reco("run", "--orders", "orders.csv").code == 0
        api.wait_for(status="healthy", items=2)
        assert ids(api.ask(similar("Cal Kit"))) == ["PID"]
        assert api.stop(signal.SIGTERM)[0] == 0
    assert not server_runs(shop.home)


def test_nothing_on_the_way_decodes_twice(api):
    """A raw request line with `%252F` means the item `%2F`, not a slash."""
    url = api.client.base_url
    raw = b"GET /api/v1/similar-items/%252F HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection((url.host, url.port)) as wire:
        wire.sendall(raw)
        said = b"".join(iter(lambda: wire.recv(65536), b""))
    assert b"200 OK" in said
    assert b'"item_id":"%2F"' in said
