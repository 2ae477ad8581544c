"""Promises of the service behind a proxy, as a real process: whom it believes, and what is its own machine to it."""

import datetime as dt
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from reco.api.keybook import open_book
from reco.settings import load_settings
from reco_pipeline_tests.api_server import Api, running_api, settings_for
from reco_pipeline_tests.servers import running_valkey

FIRST, SECOND, CHOSEN = "203.0.113.7", "203.0.113.8", "198.51.100.1"


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """One Redis for the tests of this file."""
    with running_valkey(tmp_path_factory.mktemp("valkey")) as found:
        yield found


def closed(valkey: redis.Redis, home: Path, proxies: str) -> dict[str, str]:
    """The settings of a service with a key, which lets an address ask twice a minute."""
    valkey.flushall()
    open_book(load_settings(home=home)).create("one", ["read"], now=dt.datetime.now(dt.UTC), actor="test")
    limits = {"RECO_API_RATE_LIMIT": "2", "RECO_API_TRUSTED_PROXIES": proxies}
    return settings_for(valkey, home) | limits


def asked(api: Api, *forwarded: str) -> list[int]:
    """The status of questions without a key that came on behalf of these."""
    return [api.client.get("/health/", headers={"X-Forwarded-For": one}).status_code for one in forwarded]


def test_a_trusted_proxy_says_who_asks(valkey: redis.Redis, tmp_path: Path) -> None:
    """Each of its callers has a limit of his own, and none can pass for another by what he writes himself."""
    with running_api(closed(valkey, tmp_path / "home", "127.0.0.1,10.0.0.0/8")) as api:
        assert asked(api, FIRST, FIRST, FIRST) == [401, 401, 429]
        assert asked(api, SECOND) == [401]
        assert asked(api, f"{CHOSEN}, {FIRST}") == [429]
        assert asked(api, f"{FIRST}, 10.1.2.3") == [429]  # another named proxy on the way


def test_nobody_else_is_believed(valkey: redis.Redis, tmp_path: Path) -> None:
    """Where the peer is no named proxy, the field changes nothing: all count against the peer."""
    with running_api(closed(valkey, tmp_path / "home", "10.0.0.0/8")) as api:
        assert asked(api, FIRST, SECOND, CHOSEN) == [401, 401, 429]


def test_the_open_service_answers_no_proxy_that_speaks_http_1_0(valkey: redis.Redis, tmp_path: Path) -> None:
    """As nginx does unless told otherwise, with a loopback Host and no field of its own."""
    with running_api(settings_for(valkey, tmp_path / "home")) as api:
        said = [_raw(api, version) for version in ("1.0", "1.1")]
    assert b" 403 " in said[0]
    assert b"host_not_allowed" in said[0]
    assert b" 200 " in said[1]


def _raw(api: Api, version: str) -> bytes:
    url = api.client.base_url
    with socket.create_connection((url.host, url.port or 0), timeout=60) as wire:
        wire.sendall(f"GET /livez HTTP/{version}\r\nHost: 127.0.0.1:{url.port}\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: wire.recv(65536), b""))
