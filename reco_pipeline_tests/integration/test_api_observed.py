"""What can be seen of the service while it runs: metrics, log events, request ids, and that no secret is among them."""

import datetime as dt
import json
import os
import re
import signal
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from reco.api.keys import new_key
from reco.api.worker import application
from reco.logs import configure_logs
from reco.settings import load_settings
from reco_pipeline_tests.api_client import service
from reco_pipeline_tests.api_server import PATIENCE_SECONDS, running_api, settings_for
from reco_pipeline_tests.production import WHOLE
from reco_pipeline_tests.servers import running_valkey
from reco_pipeline_tests.snapshot_lake import write_tables

NOW = dt.datetime.now(dt.UTC)
POPULAR = ("GET", "/api/v1/popular-items")


@pytest.fixture(scope="module")
def valkey():
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as client:
        yield client


@pytest.fixture(scope="module")
def snapshot_id(valkey, tmp_path_factory):
    tables = write_tables(tmp_path_factory.mktemp("lake"), [{"p", "w"}, {"p"}, {"w", "planted item"}, {"alone"}])
    return tables.publish(valkey).snapshot_id


def key(made, *scopes):
    text = made.book.create("key", scopes, now=NOW, actor="test").text
    made.ring.load()
    return text


def read(text, name, /, **labels):
    """The sum of the samples with this name and these labels."""
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    return sum(s.value for s in samples if s.name == name and labels.items() <= s.labels.items())


def events(capfd, name):
    found = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    return [one for one in found if one["event"] == name]


# -------------------------------------------------------------------------------------------------------------- metrics


def test_metrics_tell_what_was_asked_and_answered(valkey, snapshot_id, tmp_path):
    """Requests by route template and status, answers by rung, refusals, the snapshot, the process."""
    with service(valkey, tmp_path) as made:
        text, ops = key(made, "read"), key(made, "ops")
        made.ask(POPULAR, ("GET", "/api/v1/similar-items/p"), ("GET", "/api/v1/similar-items/none"), key=text)
        made.ask(POPULAR, ("GET", "/nowhere"), ("GET", "/livez"))
        made.ask(("GET", "/nowhere"), key=text)
        (answer,) = made.ask(("GET", "/metrics"), key=ops)
        assert answer.headers["content-type"].startswith("text/plain")
        told = answer.text
    similar = "/api/v1/similar-items/{item:anytext}"
    assert read(told, "recs_http_requests_total", method="GET", route=POPULAR[1], status="200") == 1
    assert read(told, "recs_http_requests_total", route=similar, status="200") == 1
    assert read(told, "recs_http_requests_total", route=similar, status="404") == 1
    assert read(told, "recs_http_requests_total", route="unmatched") == 2
    assert read(told, "recs_http_request_duration_seconds_count", route="/livez", status_class="2xx") == 1
    assert read(told, "recs_served_total", rung="current") == 2
    assert read(told, "recs_auth_failures_total", reason="key_missing") == 2
    assert read(told, "recs_snapshot_info", snapshot_id=snapshot_id) == 1
    assert 0 < read(told, "recs_snapshot_age_seconds") < time.time()
    assert read(told, "recs_snapshot_items") == 4
    assert read(told, "recs_items_without_recommendations_ratio") == 0.25
    assert read(told, "recs_degraded") == 0
    assert read(told, "recs_requests_in_progress") == 1
    assert read(told, "recs_process_cpu_seconds_total") > 0
    assert read(told, "recs_workers") == 1


def test_only_who_runs_the_service_reads_its_metrics(valkey, snapshot_id, tmp_path):
    """On the open loopback anybody of this machine; with keys only those with the scope ops."""
    with service(valkey, tmp_path) as made:
        assert made.ask(("GET", "/metrics"))[0].status_code == 200
        assert made.ask(("GET", "/metrics"), key=key(made, "read", "events", "admin"))[0].status_code == 403
        assert made.ask(("GET", "/metrics"))[0].status_code == 401


def test_an_unexpected_error_anywhere_is_counted(valkey, snapshot_id, tmp_path, monkeypatch, capfd):
    """The three places that go on after a defect count it, each by its name."""
    configure_logs("error")
    with service(valkey, tmp_path) as made:

        def broken(*_args, **_values):
            raise ZeroDivisionError("planted")

        follower = made.app.state.follower
        monkeypatch.setattr(follower, "_pointer", broken)
        made.runner.run(follower.look())
        monkeypatch.setattr(follower, "redis_answers", broken)
        assert made.ask(("GET", "/health/"))[0].status_code == 500
        told = made.metrics.text()[0].decode()
        assert read(told, "recs_unexpected_errors_total", where="follower") >= 1
        assert read(told, "recs_unexpected_errors_total", where="request") == 1
        assert made.ask(POPULAR)[0].json()["metadata"]["degraded"] is True
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_the_workers_of_a_service_are_one_to_prometheus(valkey, snapshot_id, tmp_path):
    """Two processes on one port: whichever is asked tells of both, and of what one had counted before it was killed."""
    settings = settings_for(valkey, tmp_path / "home") | {"RECO_API_WORKERS": "2"}
    with running_api(settings) as api:

        def fresh(path):  # a connection of its own, so that both processes get some
            return httpx.get(api.client.base_url.join(path), timeout=PATIENCE_SECONDS, trust_env=False)

        def wait_for(expected, name, /, **labels):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (found := read(fresh("/metrics").text, name, **labels)) != expected:
                assert time.monotonic() < deadline, found
                time.sleep(0.05)

        def workers():
            children = Path(f"/proc/{api.process.pid}/task/{api.process.pid}/children").read_text().split()
            found = set()
            for pid in children:
                with suppress(OSError):  # it ended meanwhile
                    if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.add(pid)
            return found

        wait_for(2, "recs_workers")
        for _ in range(40):
            assert fresh(POPULAR[1]).status_code == 200
        answered = {"route": POPULAR[1], "status": "200"}
        wait_for(40, "recs_http_requests_total", **answered)
        killed, other = workers()
        youngest = read(fresh("/metrics").text, "recs_process_start_time_seconds")
        os.kill(int(killed), signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while killed in workers():
            time.sleep(0.01)
            assert time.monotonic() < deadline
        while read(text := fresh("/metrics").text, "recs_process_start_time_seconds") <= youngest:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(workers()) == 2
        assert other in workers()
        assert read(text, "recs_workers") == 2
        assert read(text, "recs_http_requests_total", **answered) == 40
        wait_for(4, "recs_snapshot_items")
        assert api.stop(signal.SIGTERM)[0] == 0


# ------------------------------------------------------------------------------------------------------------------ ids


def test_each_answer_names_its_request(valkey, snapshot_id, tmp_path):
    """The id that was sent, else a new one, in the header and in the problem document."""
    with service(valkey, tmp_path) as made:
        good, bad = made.ask(POPULAR, ("GET", "/nowhere"), headers={"X-Request-ID": "shop-0123456789"})
        assert good.headers["x-request-id"] == "shop-0123456789"
        assert bad.headers["x-request-id"] == bad.json()["request_id"] == "shop-0123456789"
        (new,) = made.ask(POPULAR, headers={"X-Request-ID": "no/good"})
        assert re.fullmatch(r"[0-9a-f]{32}", new.headers["x-request-id"])


# ------------------------------------------------------------------------------------------------------------------ log


def test_each_request_leaves_one_event_without_its_texts(valkey, snapshot_id, tmp_path, capfd):
    """Template, status, time, key id, rung, id; no path, query, body, address or key, whatever was asked."""
    with service(valkey, tmp_path) as made:
        configure_logs("info", "json")
        text = key(made, "read")
        asked = [
            ("GET", "/api/v1/similar-items/planted%20item?limit=3"),
            ("GET", "/api/v1/popular-items?category=planted-category"),
            ("GET", "/planted-path"),
        ]
        made.ask(*asked, key=text, client="203.0.113.99", headers={"X-Planted": "planted-header"})
        (basket,) = made.ask(
            ("POST", "/api/v1/basket-recommendations"), key=text, json={"items": ["p", "planted body"]}
        )
        assert basket.status_code == 200
    out, err = capfd.readouterr()
    told = [one for one in map(json.loads, err.splitlines()) if one["event"] == "request"]
    assert [(one["route"], one["status"], one["rung"]) for one in told] == [
        ("/api/v1/similar-items/{item:anytext}", 200, "current"),
        ("/api/v1/popular-items", 404, None),
        ("unmatched", 404, None),
        ("/api/v1/basket-recommendations", 200, "current"),
    ]
    assert [one["code"] for one in told] == [None, "item_not_found", "route_not_found", None]
    for one in told:
        assert one["key_id"] == text.split("_")[1]
        assert one["duration_s"] > 0
        assert len(one["request_id"]) == 32
        assert one["timestamp"].endswith("Z")
    assert "planted" not in out + err
    assert "203.0.113.99" not in out + err


def test_security_events_are_told_and_keys_never(valkey, snapshot_id, tmp_path, capfd):
    """Refused keys, exceeded limits and walks through the catalogue: with address and key id, and no secret."""
    with service(valkey, tmp_path, limit=4, api_scraping_items=3) as made:
        configure_logs("warning", "json")
        text, gone, stranger = key(made, "read"), key(made, "read"), new_key().text
        made.book.revoke(gone.split("_")[1], now=NOW, actor="test")
        made.ring.load()
        for wrong in (stranger, gone, "reco_nonsense", stranger[:-2]):
            made.ask(POPULAR, key=wrong, client="203.0.113.7")
        made.ask(("GET", f"/api/v1/popular-items?api_key={text}"), client="203.0.113.7")
        made.ask(
            *[("GET", f"/api/v1/similar-items/{one}") for one in "pw1"], ("GET", "/livez"), POPULAR, POPULAR, key=text
        )
        told = made.metrics.text()[0].decode()
    out, err = capfd.readouterr()
    found = [json.loads(line) for line in err.splitlines()]
    assert [(one["event"], one.get("reason"), one["key_id"]) for one in found] == [
        ("key_refused", "key_invalid", stranger.split("_")[1]),
        ("key_refused", "key_revoked", gone.split("_")[1]),
        ("key_refused", "key_invalid", None),
        ("limit_exceeded", None, None),
        ("scraping_suspected", None, text.split("_")[1]),
        ("limit_exceeded", None, text.split("_")[1]),
    ]
    for secret in (text, gone, stranger):
        assert secret.split("_")[2][:20] not in out + err
    assert read(told, "recs_scraping_suspected_total") == 1
    assert read(told, "recs_ratelimit_rejections_total") == 2
    assert read(told, "recs_auth_failures_total", reason="key_invalid") == 3


def test_the_service_tells_json_in_production_and_text_at_home(valkey, snapshot_id, tmp_path):
    """In production one JSON event a request without any setting; at home nothing but warnings."""
    settings = settings_for(valkey, tmp_path / "home")
    from reco.api.keybook import open_book  # noqa: PLC0415 - only this test makes keys beside a process

    home = load_settings(home=tmp_path / "home", api_peppers=WHOLE["RECO_API_PEPPERS"])
    text = open_book(home).create("key", ["read"], now=NOW, actor="test").text
    with running_api(WHOLE | settings) as api:
        answer = api.client.get(POPULAR[1], headers={"X-API-Key": text, "X-Request-ID": "shop-0123456789"})
        assert answer.status_code == 200
        with socket.create_connection((api.client.base_url.host, api.client.base_url.port)) as wire:
            wire.sendall(b"planted nonsense\r\n\r\n")
            assert b" 400 " in wire.recv(65536)
        code, _, err = api.stop(signal.SIGTERM)
    assert code == 0
    events = [json.loads(line) for line in err.splitlines()]
    assert [one["request_id"] for one in events if one["event"] == "request"] == ["shop-0123456789"]
    assert [one["text"] for one in events if one["level"] == "warning"] == ["Invalid HTTP request received."]
    assert text not in err
    assert "planted" not in err


def test_a_worker_that_cannot_start_says_why_and_ends(tmp_path, monkeypatch, capfd):
    """Whoever keeps the workers starts another one; the reason is an event, without a trace or the password."""
    monkeypatch.setenv("RECO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECO_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("RECO_DATABASE_URL", "postgresql+psycopg://shop:planted-secret@127.0.0.1:1/reco")
    with pytest.raises(SystemExit) as ended:
        application()
    assert ended.value.code == 1
    said = capfd.readouterr().err
    assert "worker_not_started" in said
    assert "database_unavailable" in said
    assert "planted-secret" not in said
