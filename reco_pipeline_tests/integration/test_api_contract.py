"""Schemathesis against a running service: what /openapi.json says is what happens, whatever is sent, in every state.

Asked are a service with everything, one whose Redis is gone, and one that has no snapshot; each is closed, so that it
is also asked without the key, and with one that is not right.
"""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from reco.api.problems import MEDIA_TYPE, Problem
from reco_pipeline_tests.api_server import PATIENCE_SECONDS, running_api, settings_for
from reco_pipeline_tests.integration.test_api_lists import home_at, publish
from reco_pipeline_tests.servers import running_valkey
from reco_pipeline_tests.shop import ROOT
from reco_pipeline_tests.snapshot_lake import SHOP

SEED = "20260304"
STATES = ("whole", "without Redis", "without a snapshot")
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
CONFIG = ROOT / "reco_pipeline_tests" / "schemathesis.toml"


@contextmanager
def running_in(state, folder):
    """A service in this state, and a key for everything."""
    with running_valkey(folder) as valkey:
        home = home_at(folder / "home", valkey)
        if state != "without a snapshot":
            publish(home, valkey)
        settings = {"RECO_HOME": str(home.settings.home), "RECO_NAMESPACE": SHOP, "RECO_API_RATE_LIMIT": "0"}
        settings |= {"RECO_REDIS_URL": home.settings.redis_url.get_secret_value()}
        with running_api(settings) as api:
            scopes = [word for one in ("read", "admin", "ops") for word in ("--scope", one)]
            key = api.reco("keys", "create", "contract", *scopes, "--json").json["key"]
            deadline = time.monotonic() + PATIENCE_SECONDS
            while api.client.get("/health/").status_code != 401:  # from then on it is closed
                assert time.monotonic() < deadline
                time.sleep(0.02)
            api.client.headers["X-API-Key"] = key
            if state == "without Redis":
                valkey.shutdown(nosave=True)
                api.wait_for(redis_connected=False, problem="redis_unavailable")
            yield api, key


def ask_everything(api, key, *options, cwd, missing=""):
    """Runs Schemathesis; fails with what it prints where it found something."""
    command = [SCHEMATHESIS, "--config-file", CONFIG, "run", f"{api.client.base_url}/openapi.json"]
    command += ["-H", f"Authorization: Bearer {key}", "--seed", SEED, "--generation-database", "none", *options]
    # A server error is looked at by code: on a busy machine the service may refuse as overloaded, as it says.
    command += ["--exclude-checks", "not_a_server_error"]
    hooks = {
        "SCHEMATHESIS_HOOKS": "reco_pipeline_tests.api_contract",
        "PYTHONPATH": str(ROOT),
        "MAY_BE_MISSING": missing,
    }
    done = subprocess.run(
        list(map(str, command)), env=os.environ | hooks, cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_examples_and_bounds_of_every_route_are_answered_as_documented(tmp_path):
    """Every example, every bound met and missed, every way to leave the key out, of every route."""
    with running_in("whole", tmp_path) as (api, key):
        ask_everything(api, key, "--phases", "examples,coverage", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("state", STATES)
def test_whatever_is_sent_is_answered_as_documented(tmp_path, state):
    """Drawn requests, right and wrong ones, and sequences of them, in every state of the service."""
    missing = "snapshot_not_found" if state == "without a snapshot" else ""
    with running_in(state, tmp_path) as (api, key):
        ask_everything(api, key, "--max-examples", "100", cwd=tmp_path, missing=missing)


def test_what_is_no_http_is_a_problem_document_too(tmp_path):
    """Bytes that are no HTTP, and an address that is too long to be read."""
    with running_valkey(tmp_path) as valkey, running_api(settings_for(valkey, tmp_path / "home")) as api:
        url = api.client.base_url
        for bytes_sent in (b"\x16\x03\x01 is not HTTP\r\n\r\n", b"GET /livez?" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n"):
            with socket.create_connection((url.host, url.port), timeout=PATIENCE_SECONDS) as wire:
                wire.sendall(bytes_sent)
                head, _, body = b"".join(iter(lambda: wire.recv(65536), b"")).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            fields = {
                name.lower(): text for name, _, text in (one.partition(": ") for one in head.decode().split("\r\n"))
            }
            assert (fields["content-type"], fields["x-frame-options"]) == (MEDIA_TYPE, "DENY")
            told = Problem.model_validate_json(body)
            assert (told.code, told.request_id) == ("request_refused", fields["x-request-id"])


def test_a_route_with_several_methods_names_them_all(tmp_path):
    """`Allow` of a 405 has every method of the path, wherever they are defined."""
    with running_valkey(tmp_path) as valkey, running_api(settings_for(valkey, tmp_path / "home")) as api:
        allowed = {
            path: api.client.put(path).headers["allow"] for path in ("/api/v1/hidden", "/api/v1/items/x", "/docs")
        }
        assert allowed == {"/api/v1/hidden": "GET, POST", "/api/v1/items/x": "GET", "/docs": "GET"}
