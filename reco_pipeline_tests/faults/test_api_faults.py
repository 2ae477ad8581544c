import asyncio
import os
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from reco.api.metrics import Metrics
from reco.api.problems import MEDIA_TYPE, LastResort
from reco.local.endpoint import recorded_pid
from reco.logs import configure_logs
from reco.settings import load_settings
from reco.snapshot.keys import Keys
from reco.storage.redis import open_redis
from reco_pipeline_tests.api_server import running_api, settings_for
from reco_pipeline_tests.embedded import eventually, server_runs
from reco_pipeline_tests.servers import port_of, running_valkey
from reco_pipeline_tests.snapshot_lake import SHOP, write_tables

BASKETS = [{"p", "w", "c"}, {"p", "w"}, {"p", "c"}, {"p"}, {"w", "s"}, {"x"}]
CATEGORIES = {"p": "gas", "c": "gas", "w": "water", "s": "water"}
SIMILAR = "/api/v1/similar-items/p?limit=2"


@pytest.fixture
def valkey(tmp_path):
    with running_valkey(tmp_path) as client:
        yield client


@pytest.fixture
def published(valkey, tmp_path):
    return write_tables(tmp_path / "lake", BASKETS, categories=CATEGORIES).publish(valkey).snapshot_id


def ids(answer):
    return [one["item_id"] for one in answer["recommendations"]]


def pid_of(valkey):
    return int(valkey.info("server")["process_id"])


@contextmanager
def paused(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def key(sid, suffix):
    return Keys(SHOP).key(sid, suffix)


def as_stale(body, reason, since):
    """What an answer of the current snapshot becomes when it is told from memory."""
    labels = {"source": "memory", "degraded": True, "degraded_reason": reason, "degraded_since": since}
    return body | {"metadata": body["metadata"] | labels}


# ------------------------------------------------------------------------------------- rung: last snapshot in memory


def test_a_paused_redis_leaves_every_answer_labelled(valkey, published, tmp_path):
    """While Redis hangs, the same recommendations come from memory, said to be degraded; then all is as before."""
    with running_api(settings_for(valkey, tmp_path / "home")) as api:
        questions = (lambda: api.ask(SIMILAR), lambda: api.ask("/api/v1/popular-items"), lambda: api.basket("p", "s"))
        before = [ask() for ask in questions]
        with paused(pid_of(valkey)):
            health = api.wait_for(status="degraded", redis_connected=False, problem="redis_unavailable")
            since = health["degraded_since"]
            assert [ask() for ask in questions] == [as_stale(body, "redis_unavailable", since) for body in before]
            assert api.ask("/readyz") == {"status": "ready", "degraded": True}
            assert api.ask("/livez") == {"status": "alive"}
        api.wait_for(status="healthy")
        assert [ask() for ask in questions] == before


def test_a_killed_redis_that_comes_back_empty_and_then_with_a_snapshot(tmp_path):
    """Killed, restarted without its data, published to again: served throughout, each state told, nothing restarted."""
    with running_valkey(tmp_path) as valkey:
        tables = write_tables(tmp_path / "lake", BASKETS, categories=CATEGORIES)
        first = tables.publish(valkey).snapshot_id
        port = port_of(valkey)
        with running_api(settings_for(valkey, tmp_path / "home")) as api:
            before = api.ask(SIMILAR)
            os.kill(pid_of(valkey), signal.SIGKILL)
            health = api.wait_for(problem="redis_unavailable", redis_connected=False)
            assert api.ask(SIMILAR) == as_stale(before, "redis_unavailable", health["degraded_since"])
            with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder), port=port) as again:
                health = api.wait_for(problem="snapshot_not_found", redis_connected=True, snapshot_id=first)
                assert api.ask(SIMILAR) == as_stale(before, "snapshot_not_found", health["degraded_since"])
                write_tables(tmp_path / "new", [{"p", "new"}]).publish(again)
                api.wait_for(status="healthy", items=2)
                assert ids(api.ask(SIMILAR)) == ["new"]


def test_a_killed_embedded_server_is_started_again_by_the_service(tmp_path):
    """Nobody but the service uses the home: it brings the server back with its data, and follows publishes again."""
    settings = load_settings(home=tmp_path / "home")
    file = settings.home / "redis" / "endpoint.json"
    with running_api({"RECO_HOME": str(settings.home), "RECO_NAMESPACE": SHOP}) as api:
        with open_redis(settings) as client:
            first = write_tables(tmp_path / "one", BASKETS).publish(client).snapshot_id
        api.wait_for(status="healthy", snapshot_id=first)
        killed = recorded_pid(file)
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        assert eventually(lambda: recorded_pid(file) not in {None, killed})
        api.wait_for(status="healthy", snapshot_id=first)
        with open_redis(settings) as client:
            second = write_tables(tmp_path / "two", [{"p", "new"}]).publish(client).snapshot_id
        api.wait_for(status="healthy", snapshot_id=second)
        assert api.stop(signal.SIGTERM)[0] == 0
    assert not server_runs(settings.home)


def test_a_damaged_new_snapshot_does_not_replace_a_whole_one(valkey, published, tmp_path):
    """When the pointer moves to a snapshot that lost a key, the one in memory goes on answering, and says why."""
    with running_api(settings_for(valkey, tmp_path / "home")) as api:
        before = api.ask(SIMILAR)
        with paused(api.process.pid):
            second = write_tables(tmp_path / "two", [{"p", "z"}]).publish(valkey).snapshot_id
            valkey.delete(key(second, "item:p:similar"))
        health = api.wait_for(problem="snapshot_damaged", snapshot_id=published)
        assert api.ask(SIMILAR) == as_stale(before, "snapshot_damaged", health["degraded_since"])


# ------------------------------------------------------------------------------ rungs: popular of the category, popular


def test_what_is_lost_is_replaced_by_popular_items_of_its_category(valkey, published, tmp_path):
    """An item whose list is gone gets the popular items of its category; the others are answered as always."""
    valkey.delete(key(published, "item:p:similar"))
    valkey.set(key(published, "item:w:similar"), b"not ours")
    with running_api(settings_for(valkey, tmp_path / "home")) as api:
        assert api.health()["snapshot_complete"] is False
        for body in (api.ask(SIMILAR), api.basket("s", "p", limit=2)):
            assert body["metadata"]["source"] == "popular_category"
            assert body["metadata"]["degraded"] is True
            assert body["metadata"]["degraded_reason"] == "snapshot_damaged"
        assert ids(api.ask(SIMILAR)) == ["c"]
        assert ids(api.basket("s", "p", limit=2)) == ["w"]
        assert ids(api.ask("/api/v1/similar-items/w")) == ["s"]
        whole = api.ask("/api/v1/similar-items/c?limit=1")
        assert (ids(whole), whole["metadata"]["degraded"]) == (["p"], False)
        assert api.ask("/readyz") == {"status": "ready", "degraded": True}


def test_without_a_category_it_is_the_popular_items_of_the_shop(valkey, published, tmp_path):
    """Items without a category, lost lists of categories and of all items end on the last rung before 503."""
    for suffix in ("item:x:stats", "popular:all", "popular:gas", "item:p:similar"):
        valkey.delete(key(published, suffix))
    valkey.rename(key(published, "popular:water"), key(published, "moved"))
    valkey.hset(key(published, "popular:water").decode(), "of another", "kind")
    with running_api(settings_for(valkey, tmp_path / "home")) as api:
        for path, expected in (
            ("/api/v1/similar-items/x?limit=2", ["p", "w"]),
            (SIMILAR, ["w", "c"]),
            ("/api/v1/popular-items?limit=2", ["p", "w"]),
            ("/api/v1/popular-items?limit=2&category=water", ["p", "w"]),
        ):
            body = api.ask(path)
            assert ids(body) == expected
            assert (body["metadata"]["source"], body["metadata"]["degraded"]) == ("popular", True)


# ------------------------------------------------------------------------------------------------------------ rung: 503


@pytest.mark.parametrize("state", ["empty", "no manifest", "nothing left", "not there"])
def test_with_nothing_to_answer_from_it_is_a_503_that_says_when_to_try_again(valkey, tmp_path, state):
    """The last rung: a problem with its reason, Retry-After, not ready, and alive."""
    code = {"empty": "snapshot_not_found", "not there": "redis_unavailable"}.get(state, "snapshot_damaged")
    settings = settings_for(valkey, tmp_path / "home")
    if state == "not there":
        settings["RECO_REDIS_URL"] = "redis://user:planted-secret@127.0.0.1:1/0"
    elif state != "empty":
        sid = write_tables(tmp_path / "lake", BASKETS).publish(valkey).snapshot_id
        gone = list(valkey.scan_iter(f"{SHOP}:{sid}:*")) if state == "nothing left" else [Keys(SHOP).manifest(sid)]
        valkey.delete(*gone)
    with running_api(settings) as api:
        for path in (SIMILAR, "/api/v1/popular-items", *(["/readyz"] if state != "nothing left" else [])):
            answer = api.client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (503, code)
            assert answer.headers["content-type"] == MEDIA_TYPE
            assert int(answer.headers["retry-after"]) > 0
            assert "127.0.0.1" not in answer.text
        assert api.ask("/livez") == {"status": "alive"}
        assert api.health()["status"] == ("degraded" if state == "nothing left" else "unhealthy")
        assert "planted-secret" not in "".join(map(str, api.stop(signal.SIGTERM)))


# ------------------------------------------------------------------------------------------------------------ boundary


def test_an_error_that_nobody_named_is_a_500_without_its_text(capfd):
    """A defect becomes a problem document; its text goes to the log and not to the caller, a key to neither."""
    configure_logs("info")
    app = FastAPI()
    app.add_middleware(LastResort, Metrics())

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("planted-secret")

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get(
                "/broken", headers={"X-API-Key": "planted-key", "Authorization": "Bearer planted-key"}
            )

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert "planted-secret" not in answer.text
    log = "".join(capfd.readouterr())
    assert "planted-secret" in log
    assert "planted-key" not in log
