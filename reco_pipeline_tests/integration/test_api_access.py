"""Who may ask what: every route of the application, with every kind of key, on a real Redis."""

import asyncio
import datetime as dt
import re
import tempfile
from pathlib import Path

import pytest
from fastapi import FastAPI

from reco.api.access import Access
from reco.api.edge import HEADERS
from reco.api.keys import new_key
from reco.api.limits import RateLimit
from reco.api.metrics import Metrics
from reco.api.problems import MEDIA_TYPE, Problem
from reco.api.scopes import PUBLIC, ROUTES, SCOPES, RouteTable
from reco.api.suspicions import Suspicions
from reco.settings import load_settings
from reco.storage.redis_service import ServiceRedis
from reco_pipeline_tests.api_client import service
from reco_pipeline_tests.api_server import PATIENCE_SECONDS
from reco_pipeline_tests.servers import running_valkey
from reco_pipeline_tests.snapshot_lake import SHOP

NOW = dt.datetime.now(dt.UTC)
GUARDED = [one for one, scope in ROUTES.items() if scope is not PUBLIC]


@pytest.fixture(scope="module")
def valkey():
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as client:
        yield client


@pytest.fixture
def closed(valkey, tmp_path):
    with service(valkey, tmp_path) as made:
        made.book.create("first", ["read"], now=NOW, actor="test")
        made.ring.load()
        yield made


def key(made, *scopes, **values):
    text = made.book.create("key", scopes, now=NOW, actor="test", **values).text
    made.ring.load()
    return text


def routes(app):
    """Every route the application would take a request to, those left out of the documents too."""
    for one in app.routes:
        inner = getattr(one, "effective_route_contexts", None)
        for route in (one,) if inner is None else inner():
            for method in sorted(route.methods - {"HEAD"}):  # which is GET without the body
                yield method, route.path


def path_of(template):
    return re.sub(r"\{\w+(:anytext)?\}", "7", template)


def told(answer):
    assert answer.headers["content-type"] == MEDIA_TYPE
    return answer.status_code, Problem.model_validate(answer.json()).code


# ------------------------------------------------------------------------------------------------------ over all routes


def test_the_table_of_rights_has_every_route_and_no_other(closed):
    """A route that somebody forgets to enter cannot be reached, and fails here."""
    assert {path for _, path in routes(closed.app)} == set(ROUTES)


def test_no_route_answers_without_a_right_key(closed):
    """Without a key, with a wrong one, a cut one, another one's, an expired or revoked one: 401, with a challenge."""
    over = key(closed, "read", expires_at=NOW + dt.timedelta(microseconds=1))
    gone = key(closed, "read", "admin", "ops", "events")
    closed.book.revoke(gone.split("_")[1], now=NOW, actor="test")
    closed.ring.load()
    questions = [(method, path_of(path)) for method, path in routes(closed.app) if ROUTES[path] is not PUBLIC]
    assert len(questions) >= len(GUARDED)
    wrong = {None: "key_missing", new_key().text: "key_invalid", gone[:-1]: "key_invalid", "": "key_invalid"}
    for text, code in {**wrong, over: "key_expired", gone: "key_revoked"}.items():
        for answer in closed.ask(*questions, key=text):
            assert told(answer) == (401, code), answer.request.url
            assert answer.headers["www-authenticate"].startswith('Bearer realm="reco"')


def test_no_route_answers_a_key_of_other_scopes(closed):
    """A key that may do everything else but this: 403, naming the scope."""
    for method, path in routes(closed.app):
        wanted = ROUTES[path]
        if wanted is not PUBLIC:
            other = key(closed, *(one for one in SCOPES if one != wanted))
            (answer,) = closed.ask((method, path_of(path)), key=other)
            assert told(answer) == (403, "scope_missing"), path
            assert f'scope="{wanted}"' in answer.headers["www-authenticate"]


def test_a_key_with_the_scope_is_let_through(closed):
    """Whatever the route then says, it is no refusal; either header field carries the key."""
    for method, path in routes(closed.app):
        text = key(closed, ROUTES[path] or "read")
        (first,) = closed.ask((method, path_of(path)), key=text)
        (second,) = closed.ask((method, path_of(path)), headers={"X-API-Key": text})
        assert {first.status_code, second.status_code}.isdisjoint({401, 403, 429}), path


def test_what_is_no_route_is_hidden_from_who_has_no_key(closed):
    """A stranger learns nothing about which paths exist; a caller gets a 404."""
    paths = [("GET", "/api/v1/nothing"), ("GET", "/api/v1/popular-items/"), ("GET", "/wp-login.php")]
    assert {told(one) for one in closed.ask(*paths)} == {(401, "key_missing")}
    assert {told(one) for one in closed.ask(*paths, key=key(closed, "read"))} == {(404, "route_not_found")}


def test_two_different_keys_are_no_key(closed):
    """A request that says two things is not believed in either; one said twice is."""
    text, other = key(closed, "read"), key(closed, "read")
    (answer,) = closed.ask(("GET", "/health/"), key=text, headers={"X-API-Key": other})
    assert told(answer) == (401, "key_invalid")
    (answer,) = closed.ask(("GET", "/health/"), key=text, headers={"X-API-Key": text})
    assert answer.status_code == 200


def test_load_balancers_need_no_key(closed):
    """Liveness and readiness stay public, and say nothing of the shop."""
    alive, ready = closed.ask(("GET", "/livez"), ("GET", "/readyz"))
    assert alive.json() == {"status": "alive"}
    assert told(ready) == (503, "snapshot_not_found")


# ----------------------------------------------------------------------------------------------------------- being open


def test_the_open_service_closes_with_the_first_key(valkey, tmp_path):
    """Without a key made everybody on this machine may ask; from the first one on nobody without."""
    with service(valkey, tmp_path) as made:
        assert made.ask(("GET", "/health/"))[0].status_code == 200
        key(made, "read")
        assert told(made.ask(("GET", "/health/"))[0]) == (401, "key_missing")


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({}, True),
        ({"Origin": "http://127.0.0.1"}, True),
        ({"Origin": "https://shop.example"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": "http://127.0.0.1:3000"}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_no_web_page_of_another_origin_sends_anything_to_an_open_service(valkey, tmp_path, fields, allowed):
    """A page that is open in a browser of this machine hides nothing; the page of the service may, and a named one."""
    questions = [("POST", "/api/v1/hidden"), ("DELETE", "/api/v1/hidden/7"), ("POST", "/api/v1/basket-recommendations")]
    with service(valkey, tmp_path, api_cors_origins="https://shop.example") as made:
        for answer in made.ask(*questions, headers=fields):
            assert (told(answer)[1] != "origin_not_allowed") is allowed, answer.request.url
        assert made.ask(("GET", "/health/"), headers=fields)[0].status_code == 200
        text = key(made, "read")
        (answer,) = made.ask(questions[0], headers=fields, key=text)  # closed: it has to be a key for it
        assert told(answer) == (403, "scope_missing")


@pytest.mark.parametrize("field", ["Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "CF-Ray"])
def test_what_a_proxy_passed_on_is_not_from_this_machine(valkey, tmp_path, field):
    """A proxy on this machine that rewrites the Host header does not open the service to the world."""
    with service(valkey, tmp_path) as made:
        (answer,) = made.ask(("GET", "/livez"), headers={field: "203.0.113.7"})
        assert told(answer) == (403, "host_not_allowed")


def test_a_caller_from_elsewhere_is_never_this_machine(valkey, tmp_path):
    """Whatever Host header it sends, and however it got here."""
    with service(valkey, tmp_path) as made:
        assert made.ask(("GET", "/livez"))[0].status_code == 200
        assert made.ask(("GET", "/livez"), client="::1")[0].status_code == 200
        assert told(made.ask(("GET", "/livez"), client="203.0.113.7")[0]) == (403, "host_not_allowed")


@pytest.mark.parametrize("settings", [{"api_open": False}, {"api_trusted_proxies": "127.0.0.1"}])
def test_the_service_can_be_kept_closed_without_a_key(valkey, tmp_path, settings):
    """By its setting, or by naming a proxy, whose callers are not of this machine: nobody is answered."""
    with service(valkey, tmp_path, **settings) as made:
        assert told(made.ask(("GET", "/health/"))[0]) == (401, "key_missing")
        assert made.ask(("GET", "/livez"))[0].status_code == 200


def test_with_keys_any_host_header_will_do(closed):
    """The key says who asks; the service may have any name."""
    (answer,) = closed.ask(("GET", "/health/"), key=key(closed, "read"), headers={"Host": "reco.shop.example"})
    assert answer.status_code == 200


# --------------------------------------------------------------------------------------------------------------- limits


def test_a_caller_over_the_limit_is_told_when_to_ask_again(valkey, tmp_path):
    """The limit is per key, the answer says what is left, and one key's limit is not another's."""
    valkey.flushall()
    with service(valkey, tmp_path, limit=3) as made:
        text, other = key(made, "read"), key(made, "read")
        answers = made.ask(*[("GET", "/health/")] * 4, key=text)
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert [one.headers["ratelimit"].split(";")[1] for one in answers] == ["r=2", "r=1", "r=0", "r=0"]
        assert answers[0].headers["ratelimit-policy"] == '"default";q=3;w=60'
        assert told(answers[3]) == (429, "rate_limited")
        assert 1 <= int(answers[3].headers["retry-after"]) <= 60
        assert made.ask(("GET", "/health/"), key=other)[0].status_code == 200
        assert made.ask(*[("GET", "/livez")] * 5, key=text)[-1].status_code == 200
        for name in valkey.scan_iter(f"{SHOP}:limits:*"):
            assert text not in name.decode()
            assert 0 < valkey.ttl(name) <= 60


def test_the_user_of_the_service_may_count_on_the_embedded_server(tmp_path):
    """The least rights of the service are enough for its limit."""

    async def counted(connected):
        limit = RateLimit(connected, SHOP, 1, Metrics(), answer_seconds=PATIENCE_SECONDS)
        found = [await limit.count("key", "one") for _ in range(2)]
        await connected.close()
        return found

    with ServiceRedis(load_settings(home=tmp_path / "home", namespace=SHOP)) as connected:
        first, second = asyncio.run(counted(connected))
    assert (first and first.allowed, second and second.allowed) == (True, False)


def test_wrong_keys_count_against_the_address(valkey, tmp_path):
    """Guessing is slowed down for where it comes from, and for nobody else."""
    valkey.flushall()
    with service(valkey, tmp_path, limit=2) as made:
        text = key(made, "read")
        guesses = made.ask(*[("GET", "/health/")] * 3, key="guess", client="203.0.113.7")
        assert [one.status_code for one in guesses] == [401, 401, 429]
        assert made.ask(("GET", "/health/"), key="guess", client="203.0.113.8")[0].status_code == 401
        assert made.ask(("GET", "/health/"), key=text, client="203.0.113.7")[0].status_code == 200


def test_the_open_service_has_no_limit(valkey, tmp_path):
    """On the open loopback nothing is counted."""
    with service(valkey, tmp_path, limit=1) as made:
        answers = made.ask(*[("GET", "/health/")] * 5)
        assert {one.status_code for one in answers} == {200}
        assert "ratelimit" not in answers[-1].headers


def test_without_redis_reads_go_on_and_changes_are_refused(tmp_path):
    """What cannot be counted is answered if it only reads, and refused if it would change something."""
    table = RouteTable({"/read": "read", "/change": "admin"})

    def make(follower, ring, back, limit, metrics, settings):
        app = FastAPI()
        app.add_middleware(Access, ring, limit, table, Suspicions(metrics, 0))
        for path in ("/read", "/change"):
            app.add_api_route(path, lambda: {"done": True})
        return app

    with running_valkey(tmp_path) as own, service(own, tmp_path / "home", limit=1, make=make) as made:
        text = key(made, "read", "admin")
        assert [one.status_code for one in made.ask(("GET", "/change"), ("GET", "/read"), key=text)] == [200, 429]
        own.shutdown(nosave=True)
        read, change = made.ask(("GET", "/read"), ("GET", "/change"), key=text)
        assert read.json() == {"done": True}
        assert told(change) == (503, "admin_closed")
        assert change.headers["retry-after"] == "2"


# ----------------------------------------------------------------------------------------------------------- the edge


def test_every_answer_has_the_header_fields_for_browsers(closed):
    """Good or bad, before or after a route."""
    asked = [("GET", "/livez"), ("GET", "/health/"), ("GET", "/nothing"), ("GET", "/" + "x" * 20_000)]
    for answer in closed.ask(*asked):
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "server" not in answer.headers


def test_an_endless_address_is_refused_before_anything_else(closed):
    """Path and query together are bounded."""
    long = "x" * 16_384
    for answer in closed.ask(("GET", f"/livez?{long}"), ("GET", f"/api/v1/similar-items/{long}")):
        assert told(answer) == (414, "url_too_long")


def test_no_web_page_of_another_origin_reads_answers_unless_it_is_named(valkey, tmp_path, closed):
    """No CORS header by default; with `RECO_API_CORS_ORIGINS` for those origins only, and a preflight needs no key."""
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    (plain,) = closed.ask(("OPTIONS", "/health/"), headers=asked)
    assert plain.status_code == 401
    assert not [name for name in plain.headers if name.startswith("access-control")]
    with service(valkey, tmp_path / "other", api_cors_origins="https://shop.example") as made:
        text = key(made, "read")
        (allowed,) = made.ask(("OPTIONS", "/health/"), headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
        for other in ({"Origin": "https://evil.example"}, {"Access-Control-Request-Method": "PUT"}):
            (refused,) = made.ask(("OPTIONS", "/health/"), headers=asked | other)
            assert told(refused) == (400, "request_refused")
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["content-length"]) == len(refused.content)
            assert refused.headers.get("access-control-allow-origin") != "https://evil.example"
        (answer,) = made.ask(("GET", "/health/"), key=text, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in answer.headers
