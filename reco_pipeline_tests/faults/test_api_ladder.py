"""The service behind a network that misbehaves, with keys and limits on: it answers, says how, and recovers."""

import asyncio
import datetime as dt
import json
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
import uvicorn

from reco.api.keybook import open_book
from reco.api.worker import PROTOCOL
from reco.settings import load_settings
from reco_pipeline_tests.api_server import PATIENCE_SECONDS, running_api, settings_for
from reco_pipeline_tests.embedded import eventually
from reco_pipeline_tests.integration.test_api_observed import read
from reco_pipeline_tests.servers import faulty_proxy, port_of, running_valkey
from reco_pipeline_tests.snapshot_lake import SHOP, write_tables

SIMILAR = "/api/v1/similar-items/p?limit=2"
FAULTS = ["refuse", "reset", "cut", "hole", "latency"]


@pytest.fixture(scope="module")
def valkey():
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as client:
        yield client


def make_key(home, *scopes):
    settings = load_settings(home=home)
    book = open_book(settings)
    return book.create("key", scopes, now=dt.datetime.now(dt.UTC), actor="test").text


def test_whatever_the_network_does_answers_go_on_from_memory(valkey, tmp_path):
    """Refused, reset, cut, silent, slow: each time the same answer, labelled and counted; afterwards all is as before.

    Requests are counted in the same Redis, so each of them would wait for it, were there no breaker.
    """
    write_tables(tmp_path / "lake", [{"p", "w"}, {"p", "w", "c"}, {"p"}]).publish(valkey)
    home = tmp_path / "home"
    text = make_key(home, "read", "ops")
    with faulty_proxy(port_of(valkey)) as network:
        url = f"redis://127.0.0.1:{network.port}/0"
        settings = {"RECO_HOME": str(home), "RECO_NAMESPACE": SHOP, "RECO_REDIS_URL": url}
        with running_api(settings | {"RECO_API_RATE_LIMIT": "1000000"}) as api:
            api.client.headers["X-API-Key"] = text
            api.wait_for(status="healthy")
            before = api.ask(SIMILAR)
            assert eventually(lambda: "ratelimit" in api.client.get(SIMILAR).headers)
            for number, fault in enumerate(FAULTS, 1):
                network.set(fault, seconds=3600)
                valkey.client_kill_filter(_type="normal", skipme=True)
                api.wait_for(problem="redis_unavailable", redis_connected=False)
                for _ in range(5):
                    answer = api.ask(SIMILAR)
                    assert answer["recommendations"] == before["recommendations"], fault
                    labels = answer["metadata"]
                    assert (labels["degraded"], labels["source"]) == (True, "memory"), fault
                assert api.ask("/readyz") == {"status": "ready", "degraded": True}
                told = api.client.get("/metrics").text
                assert read(told, "recs_breaker_state", name="snapshot") == 2
                assert read(told, "recs_degraded") == 1
                assert read(told, "recs_served_total", rung="memory") == 5 * number
                assert read(told, "recs_ratelimit_errors_total") > 0
                assert read(told, "recs_redis_errors_total", operation="look") >= number
                network.set("")
                api.wait_for(status="healthy")
                assert api.ask(SIMILAR) == before
            told = api.client.get("/metrics").text
            assert read(told, "recs_degraded") == 0
            assert read(told, "recs_http_requests_total", status="500") == 0


def test_a_publish_under_load_is_never_half_seen(valkey, tmp_path):
    """While snapshots change, every answer of every worker is one of a whole snapshot, and names it.

    How soon the new one is seen is printed, and no claim on a busy machine: each worker looks four times a second.
    """
    shops = [[{"p", f"only {number}"}, {"p", f"only {number}"}, {"p", "w"}] for number in range(4)]
    expected = {write_tables(tmp_path / "0", shops[0]).publish(valkey).snapshot_id: "only 0"}
    seen, wrong, over = set(), [], threading.Event()
    settings = settings_for(valkey, tmp_path / "home") | {"RECO_API_WORKERS": "2"}
    with running_api(settings) as api:
        api.wait_for(status="healthy")

        def keep_asking():
            while not over.is_set():
                answer = api.client.get("/api/v1/similar-items/p?limit=1")
                body = answer.json()
                found = body["recommendations"][0]["item_id"] if answer.status_code == 200 else answer.text
                seen.add((body.get("metadata", {}).get("snapshot_id"), found))
                if answer.status_code != 200:
                    wrong.append(found)

        asking = threading.Thread(target=keep_asking)
        asking.start()
        try:
            for number, shop in enumerate(shops[1:], 1):
                sid = write_tables(tmp_path / str(number), shop).publish(valkey).snapshot_id
                expected[sid] = f"only {number}"
                published = time.monotonic()
                while (sid, expected[sid]) not in seen:
                    assert time.monotonic() < published + PATIENCE_SECONDS, seen
                    time.sleep(0.01)
                print(f"seen {time.monotonic() - published:.2f} s after the publish")
        finally:
            over.set()
            asking.join()
    assert not wrong
    assert seen <= set(expected.items())


def test_the_workers_end_with_whoever_keeps_them(valkey, tmp_path):
    """A supervisor that is killed leaves no process behind that holds the port."""
    with running_api(settings_for(valkey, tmp_path / "home") | {"RECO_API_WORKERS": "2"}) as api:
        assert api.ask("/livez") == {"status": "alive"}
        place = (api.client.base_url.host, api.client.base_url.port)
        api.process.kill()

        def is_free():
            with socket.socket() as probe:
                return probe.connect_ex(place) != 0

        assert eventually(is_free)


def test_the_server_notes_when_a_request_arrived():
    """What was read before its turn came has waited since then, and not since its turn."""

    async def app(scope, receive, send):
        if scope["type"] == "http":
            body = json.dumps("reco.arrived_at" in scope).encode()
            await send(
                {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
            )
            await send({"type": "http.response.body", "body": body})

    async def asked():
        config = uvicorn.Config(app, http=PROTOCOL, lifespan="off", log_config=None, port=0)
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        port = server.servers[0].sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        said = await reader.read()
        writer.close()
        await server.shutdown()
        return said

    assert asyncio.run(asked()).endswith(b"true")
