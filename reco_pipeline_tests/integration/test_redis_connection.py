"""Connections to Redis: what opens, what an error says, and what is known about the server."""

import dataclasses
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from reco.errors import ConfigError, RedisUnavailable
from reco.local.endpoint import Endpoint
from reco.local.valkey import EmbeddedValkey
from reco.settings import Settings, load_settings
from reco.storage.redis import ServerFacts, address, open_redis, redis_errors, server_facts, warnings
from reco_pipeline_tests.embedded import clean_home, kill_server, server_runs


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home nobody uses yet."""
    with clean_home(tmp_path / "home") as path:
        yield path


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    """A server that stands for one given by URL."""
    with clean_home(tmp_path / "elsewhere") as elsewhere, EmbeddedValkey(elsewhere, "8mb").lease() as found:
        yield found


def given(home: Path, url: str) -> Settings:
    """Settings with a Redis given by URL."""
    return load_settings(home=home, redis_url=url)


def in_pipeline(client: redis.Redis, key: str, value: bytes) -> None:
    """Writes one key by a pipeline, which puts words of its own in front of an error."""
    commands = client.pipeline(transaction=False)
    commands.set(key, value)
    commands.execute()


def test_without_a_url_the_embedded_server_of_the_home_is_used(home: Path) -> None:
    """Values come back as the bytes that were written, in the next block too, and no server is left."""
    settings = load_settings(home=home, redis_max_memory="64mb")
    value = bytes(range(256))
    with open_redis(settings) as client:
        client.set("bytes", value)
    with open_redis(settings) as client:
        assert client.get("bytes") == value
    assert not server_runs(home)


def test_with_a_url_no_embedded_server_is_started(home: Path, endpoint: Endpoint) -> None:
    """A Redis given by URL is used as it is; the home stays untouched."""
    with open_redis(given(home, endpoint.url)) as client:
        client.set("key", "value")
        assert address(client) == f"127.0.0.1:{endpoint.port}"
    assert not home.exists()


@pytest.mark.parametrize("password", ["wr0ng-p4ss", ""])
def test_a_wrong_or_missing_password_is_said_and_not_shown(home: Path, endpoint: Endpoint, password: str) -> None:
    """The error says that the password is refused, by which server, and shows no password."""
    user = f":{password}@" if password else ""
    with pytest.raises(RedisUnavailable, match="refused the user or password") as caught:
        open_redis(given(home, f"redis://{user}127.0.0.1:{endpoint.port}")).__enter__()
    said = repr((str(caught.value), caught.value.details))
    assert f"127.0.0.1:{endpoint.port}" in said
    assert "RECO_REDIS_URL" in caught.value.hint
    assert "wr0ng" not in said
    assert endpoint.password not in said


def test_nobody_at_the_address_is_said(home: Path) -> None:
    """A refused connection is an error with address and next step, at once, and with exit code 4."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(RedisUnavailable, match=f"Redis at {where} does not answer") as caught:
            open_redis(given(home, f"redis://:s3cret@{where}/0")).__enter__()
    assert "s3cret" not in str(caught.value)
    assert "RECO_REDIS_URL" in caught.value.hint
    assert (caught.value.exit_code, caught.value.recoverable) == (4, True)


def test_a_server_that_does_not_answer_is_said(home: Path) -> None:
    """Something that accepts connections and stays silent is not waited for longer than asked."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RedisUnavailable, match=r"did not answer in time|does not answer"):
            open_redis(given(home, url), answer_seconds=0.1).__enter__()


def test_a_socket_path_is_named_in_the_error(home: Path, tmp_path: Path) -> None:
    """For a unix socket the error names its path."""
    with pytest.raises(RedisUnavailable, match=r"none\.sock"):
        open_redis(given(home, f"unix://{tmp_path}/none.sock")).__enter__()


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://:s3cret@host", "redis://:s3cret@host:port", "redis://" + "x" * 70]
)
def test_a_url_that_is_none_stops_with_its_name(home: Path, url: str) -> None:
    """A value that cannot be a Redis URL is an error of configuration that names the setting, not the value."""
    with pytest.raises(ConfigError, match="RECO_REDIS_URL") as caught:
        open_redis(given(home, url)).__enter__()
    assert caught.value.details["settings"] == ["RECO_REDIS_URL"]
    assert "s3cret" not in str(caught.value)


def test_a_server_that_goes_away_inside_the_block_is_said(home: Path) -> None:
    """A connection lost in the middle of the work leaves the block as our error, and the next block works."""
    settings = load_settings(home=home)

    def lose_the_server() -> None:
        with open_redis(settings) as client:
            client.set("kept", "yes")
            kill_server(home)
            client.get("kept")

    with pytest.raises(RedisUnavailable, match="does not answer") as caught:
        lose_the_server()
    assert "Run the command again" in caught.value.hint
    with open_redis(settings) as client:
        assert client.get("kept") == b"yes"


def test_a_full_server_refuses_writes_and_serves_reads(home: Path, endpoint: Endpoint) -> None:
    """Out of memory is said with what to raise, alone and in a pipeline, and reading goes on."""
    with open_redis(given(home, endpoint.url)) as client:
        client.set("small", "kept")
        with pytest.raises(RedisUnavailable, match="no memory left") as caught, redis_errors(client):
            [client.set(f"large:{number}", b"x" * (1 << 20)) for number in range(100)]
        assert "maxmemory" in caught.value.hint
        assert caught.value.details["reason"] == "OOM"
        with pytest.raises(RedisUnavailable, match="no memory left"), redis_errors(client, embedded=True):
            in_pipeline(client, "a", b"x" * (1 << 20))
        assert client.get("small") == b"kept"


def test_a_replica_refuses_writes(home: Path, endpoint: Endpoint) -> None:
    """A read-only replica is said as what it is, and warned of."""
    with open_redis(given(home, endpoint.url)) as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(RedisUnavailable, match="read-only replica"), redis_errors(client):
            client.set("a", "b")
        assert any("replica" in sentence for sentence in warnings(server_facts(client)))


def test_a_server_that_cannot_save_serves_reads_and_refuses_writes(home: Path) -> None:
    """With its data folder gone the server still opens for reading; a write says why it is refused."""
    settings = load_settings(home=home, redis_max_memory="64mb")
    with EmbeddedValkey(home, "64mb").lease(), open_redis(settings) as client:
        client.set("kept", "yes")
        shutil.rmtree(home / "redis" / "data")
        client.bgsave()
        while client.info("persistence")["rdb_bgsave_in_progress"]:
            pass
        with open_redis(settings) as reader:
            assert reader.get("kept") == b"yes"
            assert not server_facts(reader).saves_work
        with pytest.raises(RedisUnavailable, match="cannot save to its disk") as caught, redis_errors(client):
            client.set("a", "b")
        assert caught.value.details["reason"] == "MISCONF"
        with pytest.raises(RedisUnavailable, match="cannot save to its disk"), redis_errors(client):
            in_pipeline(client, "caused error: OK", b"b")


def test_an_error_of_the_caller_stays_what_it_is(home: Path, endpoint: Endpoint) -> None:
    """A wrong type is our defect, not an unavailable server."""
    with open_redis(given(home, endpoint.url)) as client:
        client.set("text", "x")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"), redis_errors(client):
            client.lpush("text", "y")


def test_a_user_without_rights_is_said(home: Path, endpoint: Endpoint) -> None:
    """A command the user may not run is said with the right to give; CONFIG, which we can do without, is not needed."""
    with redis.Redis.from_url(endpoint.url) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "+@all", "-@write", "-config")
    with open_redis(given(home, f"redis://app:pw@127.0.0.1:{endpoint.port}")) as client:
        with pytest.raises(RedisUnavailable, match="does not permit"), redis_errors(client):
            client.set("a", "b")
        facts = server_facts(client)
    assert facts.rdb is None
    assert facts.aof


def test_facts_of_a_server(home: Path, endpoint: Endpoint) -> None:
    """The embedded server tells what it is and gives no reason to warn."""
    with open_redis(given(home, endpoint.url)) as client:
        facts = server_facts(client)
    assert facts.used_memory_bytes > 0
    assert dataclasses.replace(facts, used_memory_bytes=0, version="") == ServerFacts(
        server="valkey",
        version="",
        aof=True,
        rdb=True,
        fsync="everysec",
        saves_work=True,
        max_memory_bytes=8 << 20,
        policy="noeviction",
        used_memory_bytes=0,
        role="master",
        cluster=False,
    )
    assert int(facts.version.split(".")[0]) >= 9
    assert warnings(facts) == []


def test_a_server_without_persistence_that_evicts_is_warned_of(home: Path, endpoint: Endpoint) -> None:
    """No persistence and an evicting policy are told from the server's own words."""
    with open_redis(given(home, endpoint.url)) as client:
        client.config_set("appendonly", "no")
        client.config_set("save", "")
        client.config_set("maxmemory-policy", "allkeys-lru")
        sentences = warnings(server_facts(client))
    assert len(sentences) == 2
    assert "keeps nothing on disk" in sentences[0]
    assert "allkeys-lru" in sentences[1]


GOOD = ServerFacts("redis", "7.0.15", True, True, "everysec", True, 0, "noeviction", 0, "master", False)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"aof": False, "rdb": None}, "does not tell whether it saves"),
        ({"policy": "unknown"}, "does not tell whether it evicts"),
        ({"fsync": "no"}, "everysec"),
        ({"max_memory_bytes": 1000, "used_memory_bytes": 900}, "nearly full"),
        ({"saves_work": False}, "failed"),
        ({"policy": "volatile-ttl"}, "lease"),
        ({"version": "6.2.14"}, "6.2.14"),
        ({"cluster": True}, "cluster"),
        ({"role": "slave"}, "replica"),
    ],
)
def test_each_reason_to_worry_has_one_sentence(change: dict[str, object], word: str) -> None:
    """Every fact that does not suit gives exactly one sentence, which names it."""
    (sentence,) = warnings(dataclasses.replace(GOOD, **change))  # type: ignore[arg-type]
    assert word in sentence


@pytest.mark.parametrize(
    "change", [{}, {"rdb": False}, {"aof": False}, {"version": "unknown", "rdb": None, "fsync": None}]
)
def test_what_suits_or_is_unknown_is_no_worry(change: dict[str, object]) -> None:
    """One kind of persistence is enough, and what a server does not tell is not held against it."""
    assert warnings(dataclasses.replace(GOOD, **change)) == []  # type: ignore[arg-type]
