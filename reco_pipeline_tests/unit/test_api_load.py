"""Promises of the parts that a request passes before its route: bounds on the work, and answers given before."""

import asyncio
import json
import time

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response

from reco.api import notes
from reco.api.cache import AnswerCache
from reco.api.edge import Bounds
from reco.api.load import Load
from reco.api.metrics import Metrics
from reco.api.problems import MEDIA_TYPE, install_handlers
from reco_pipeline_tests.unit.test_api_metrics import value

SIMILAR = "/api/v1/similar-items/p"
BASKET = "/api/v1/basket-recommendations"


class Arriving:
    """Requests that were read so many seconds ago."""

    def __init__(self, app, seconds):
        self.app, self.seconds = app, seconds

    async def __call__(self, scope, receive, send):
        """Passes on."""
        await self.app({**scope, "reco.arrived_at": time.perf_counter() - self.seconds}, receive, send)


def client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost", timeout=60)


def ask(app, *questions, **fields):
    async def asked():
        async with client(app) as caller:
            return [await caller.request(method, path, **fields) for method, path in questions]

    return asyncio.run(asked())


# ----------------------------------------------------------------------------------------------------------------- load


def bounded(metrics, waited=0.0, **bounds):
    app = FastAPI()
    app.add_middleware(Load, metrics, **bounds)
    install_handlers(app)

    @app.get("/quick")
    async def quick() -> dict[str, bool]:
        return {"done": True}

    @app.get("/never")
    async def never() -> None:
        await asyncio.Event().wait()

    @app.post("/body")
    async def body(request: Request) -> int:
        return len(await request.body())

    return Arriving(app, waited)


def refused(answer, code):
    assert (answer.status_code, answer.json()["code"]) == (503, code)
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert int(answer.headers["retry-after"]) > 0


def test_a_request_that_waited_too_long_is_refused_at_once():
    """It is refused when its turn comes; what tells how the service is is answered all the same."""
    metrics = Metrics()
    quick, alive = ask(bounded(metrics, waited=3600), ("GET", "/quick"), ("GET", "/livez"))
    refused(quick, "overloaded")
    assert alive.status_code == 404  # this application has no such route, and it was asked
    assert value(metrics, "recs_requests_shed_total", reason="waited") == 1
    assert ask(bounded(metrics), ("GET", "/quick"))[0].json() == {"done": True}


def test_no_more_than_so_many_are_under_way():
    """The one too many is refused; when one is done, the next is answered."""
    metrics = Metrics()
    app = bounded(metrics, in_flight=2)

    async def asked():
        async with client(app) as caller:
            waiting = [asyncio.create_task(caller.get("/never")) for _ in range(2)]
            for _ in range(20):
                await asyncio.sleep(0)
            refused(await caller.get("/quick"), "overloaded")
            for one in waiting:
                one.cancel()
            await asyncio.wait(waiting)
            return await caller.get("/quick")

    assert asyncio.run(asked()).status_code == 200
    assert value(metrics, "recs_requests_shed_total", reason="in_flight") == 1


def test_a_request_has_a_budget_of_time():
    """What is not done within it is given up: a route that hangs, and a body that never comes."""
    metrics = Metrics()
    app = bounded(metrics, budget_seconds=0.01)

    async def slow_body():
        yield b"x"
        await asyncio.Event().wait()

    refused(ask(app, ("GET", "/never"))[0], "time_over")
    refused(ask(app, ("POST", "/body"), content=slow_body())[0], "time_over")
    assert value(metrics, "recs_requests_shed_total", reason="time_over") == 2


# ---------------------------------------------------------------------------------------------------------------- cache


class Shop:
    """An application with a cache in front, whose answers are numbered."""

    def __init__(self, most_bytes=1_000_000, max_age=0):
        self.made = 0
        self.version = 0
        self.rung = "current"
        self.gate = asyncio.Event()
        self.metrics = Metrics()
        app = FastAPI()
        app.add_middleware(AnswerCache, self.metrics, lambda: self.version, most_bytes, max_age)
        app.add_middleware(Bounds)
        install_handlers(app)

        @app.get("/api/v1/similar-items/{item}")
        async def similar(item: str) -> dict[str, object]:
            if item == "broken":
                raise httpx.HTTPError("no")
            if item == "slow":
                await self.gate.wait()
            notes.current().rung = self.rung
            self.made += 1
            return {"item": item, "made": self.made}

        @app.post(BASKET)
        async def basket(request: Request) -> dict[str, object]:
            notes.current().rung = self.rung
            body = await request.body()
            self.made += 1
            return {"length": len(body), "made": self.made}

        @app.get("/api/v1/popular-items")
        async def popular() -> Response:
            self.made += 1
            return Response(b"{}", 503)

        self.app = app

    async def __call__(self, scope, receive, send):
        """Passes requests on, each with notes of its own."""
        if scope["type"] == "http":
            notes.begin(None)
        await self.app(scope, receive, send)

    @property
    def kept(self):
        """Entries and bytes of the cache, as the metrics tell them."""
        return value(self.metrics, "recs_cache_entries"), value(self.metrics, "recs_cache_size_bytes")


def test_the_same_question_is_answered_with_the_same_bytes():
    """Made once, given again; another parameter is another question, and so is another snapshot."""
    shop = Shop()
    first, again, other = ask(shop, ("GET", SIMILAR), ("GET", SIMILAR), ("GET", SIMILAR + "?limit=3"))
    assert first.content == again.content
    assert first.headers == again.headers
    assert first.headers["cache-control"] == "private, no-cache"
    assert other.json()["made"] == 2
    shop.version += 1
    assert ask(shop, ("GET", SIMILAR))[0].json()["made"] == 3
    assert shop.kept[0] == 1


def test_a_basket_is_a_question_of_its_body():
    """Equal bodies are one question; the route reads the body as it came, large ones too."""
    shop = Shop()
    sent = [json.dumps(one).encode() for one in (["p"], ["p"], ["p", "w"], ["x" * 20_000], ["x" * 20_000])]
    answers = [ask(shop, ("POST", BASKET), content=one)[0].json() for one in sent]
    assert [one["made"] for one in answers] == [1, 1, 2, 3, 4]
    assert [one["length"] for one in answers] == [len(one) for one in sent]
    (large,) = ask(shop, ("POST", BASKET), content=b"x" * 1_000_001)
    assert (large.status_code, large.json()["code"]) == (413, "body_too_large")


def test_who_has_an_answer_already_gets_304():
    """With the ETag of the answer there is no body; with another one, or for a POST, there is."""
    shop = Shop()
    (first,) = ask(shop, ("GET", SIMILAR))
    tag = first.headers["etag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        (answer,) = ask(shop, ("GET", SIMILAR), headers={"If-None-Match": given})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == tag
        assert answer.headers["cache-control"] == "private, no-cache"
    assert ask(shop, ("GET", SIMILAR), headers={"If-None-Match": '"other"'})[0].status_code == 200
    assert ask(shop, ("POST", BASKET), content=b"[]", headers={"If-None-Match": "*"})[0].status_code == 200


def test_only_good_answers_are_kept():
    """What is no success is asked for again, and passes as it is; a degraded answer is not for the caller to keep."""
    shop = Shop()
    for _ in range(2):
        (answer,) = ask(shop, ("GET", "/api/v1/popular-items"))
        assert answer.status_code == 503
        assert "etag" not in answer.headers
    assert shop.made == 2
    shop.rung = "memory"
    assert ask(shop, ("GET", SIMILAR))[0].headers["cache-control"] == "no-store"


def test_the_cache_holds_no_more_than_its_bound():
    """The one unused for longest goes first."""
    shop = Shop(most_bytes=2_000)
    ask(shop, *[("GET", f"/api/v1/similar-items/{number}") for number in range(100)])
    entries, taken = shop.kept
    assert 1 <= entries <= 3
    assert taken <= 2_000
    made = shop.made
    ask(shop, ("GET", "/api/v1/similar-items/99"), ("GET", "/api/v1/similar-items/0"))
    assert shop.made == made + 1
    nothing = Shop(most_bytes=0)
    assert [one.json()["made"] for one in ask(nothing, ("GET", SIMILAR), ("GET", SIMILAR))] == [1, 2]


def test_how_long_an_answer_may_be_used_is_a_setting():
    """Never by a cache between, which would answer without a key."""
    (answer,) = ask(Shop(max_age=60), ("GET", SIMILAR))
    assert answer.headers["cache-control"] == "private, max-age=60"


def test_an_answer_made_while_the_snapshot_changed_is_not_kept():
    """It was begun before the change and ended after it, when others had been answered anew: it holds for neither."""
    shop = Shop()
    slow = "/api/v1/similar-items/slow"

    async def asked():
        async with client(shop) as caller:
            begun = asyncio.create_task(caller.get(slow))
            for _ in range(20):
                await asyncio.sleep(0)
            shop.version += 1
            between = await caller.get(SIMILAR)
            shop.gate.set()
            return [between, await begun, await caller.get(slow), await caller.get(slow)]

    assert [one.json()["made"] for one in asyncio.run(asked())] == [1, 2, 3, 3]


@pytest.mark.parametrize("path", ["/api/v1/similar-items/broken"])
def test_an_error_passes_through(path):
    """The cache swallows nothing."""
    with pytest.raises(httpx.HTTPError):
        ask(Shop(), ("GET", path))
