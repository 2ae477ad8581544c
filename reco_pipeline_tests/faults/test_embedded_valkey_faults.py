"""The embedded Redis server when something goes wrong: kills, hangs, damaged files, a second server."""

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from structlog.testing import capture_logs

from reco.errors import RedisUnavailable
from reco.local import conf, locks, process, wire
from reco.local.endpoint import Endpoint, recorded_pid
from reco.local.valkey import EmbeddedValkey
from reco_pipeline_tests.embedded import User, clean_home, eventually, kill_server, server_runs


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home nobody uses yet."""
    with clean_home(tmp_path / "home") as path:
        yield path


def client_of(endpoint: Endpoint) -> redis.Redis:
    """A client that tries everything once, so that what it says was acknowledged was acknowledged."""
    return redis.Redis.from_url(endpoint.url, retry=Retry(NoBackoff(), 0), socket_timeout=5)


def write_keys(home: Path, count: int) -> None:
    """Fills the server of a home and leaves it stopped."""
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        writes = client.pipeline(transaction=False)
        for number in range(count):
            writes.set(f"key:{number}", "x" * 50)
        writes.execute()


def test_the_server_of_a_killed_owner_is_taken_over(home: Path) -> None:
    """After kill -9 of the process that started it, the next command shares the server and stops it; data stays."""
    with User(home) as owner:
        pid = owner.hear()["pid"]
        with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
            client.set("kept", "yes")
        assert owner.kill() == -signal.SIGKILL
    assert server_runs(home)
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert endpoint.pid == pid
        assert client.get("kept") == b"yes"
    assert not server_runs(home)


def test_a_killed_owner_and_a_killed_server_are_started_anew(home: Path) -> None:
    """When both are gone without a word, the next command starts a server with the data."""
    with User(home) as owner:
        owner.hear()
        with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
            client.set("kept", "yes")
        owner.kill()
    kill_server(home)
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert client.get("kept") == b"yes"


def test_no_acknowledged_write_is_lost_when_the_server_is_killed(home: Path) -> None:
    """Kill -9 in the middle of writing: after the restart every write that was answered is there."""
    acknowledged = 0
    enough = threading.Event()

    def write_on(client: redis.Redis) -> None:
        nonlocal acknowledged
        while acknowledged < 1_000_000:
            client.set(f"key:{acknowledged}", acknowledged)
            acknowledged += 1
            if acknowledged == 2_000:
                enough.set()

    def kill_when_busy() -> None:
        enough.wait(30)
        kill_server(home)

    killer = threading.Thread(target=kill_when_busy)
    with EmbeddedValkey(home, "64mb").lease() as endpoint:
        killer.start()
        with client_of(endpoint) as client, pytest.raises(redis.ConnectionError):
            write_on(client)
        killer.join()
        with EmbeddedValkey(home, "64mb").lease() as again, client_of(again) as client:
            assert again.port == endpoint.port
            assert again.pid != endpoint.pid
            found = client.mget([f"key:{number}" for number in range(acknowledged)])
    assert acknowledged >= 2_000
    assert found == [str(number).encode() for number in range(acknowledged)]


def test_a_second_server_on_the_same_data_is_impossible(home: Path) -> None:
    """As long as a server lives nobody can lock its data, also when its owner is dead and its records are gone."""
    with User(home) as owner:
        pid = owner.hear()["pid"]
        owner.kill()
    for name in ("endpoint.json", "gate.lock", "users.lock"):
        (home / "redis" / name).unlink()
    assert locks.try_exclusive(home / "redis" / "data.lock") is None
    with EmbeddedValkey(home, "64mb").lease() as endpoint:
        assert endpoint.pid == pid
        assert recorded_pid(home / "redis" / "endpoint.json") == pid
    assert (home / "redis" / "server.log").read_text().count("Ready to accept connections") == 1


def test_a_server_that_cannot_be_found_is_not_doubled(home: Path) -> None:
    """With redis.conf removed under a running server the error names the server; once that has ended all is well."""
    with User(home) as owner:
        owner.hear()
        owner.kill()
    (home / "redis" / "redis.conf").unlink()
    with pytest.raises(RedisUnavailable, match=r"process \d+\) holds .* does not answer") as caught:
        EmbeddedValkey(home, "64mb", start_seconds=0.1).lease().__enter__()
    assert "try again" in caught.value.hint
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert client.ping()


def test_a_lost_password_file_is_survived(home: Path) -> None:
    """A server that does not know the new password is ended by the command that meets it; the next one starts anew."""
    write_keys(home, 1)
    with User(home) as owner:
        owner.hear()
        owner.kill()
    (home / "redis" / "password").unlink()
    with pytest.raises(RedisUnavailable, match="refuses our password"):
        EmbeddedValkey(home, "64mb").lease().__enter__()
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert client.exists("key:0")


def test_a_hung_server_is_said_and_then_killed(home: Path) -> None:
    """A stopped server: a new command says which process does not answer, the last one out kills it and logs that."""
    impatient = EmbeddedValkey(home, "64mb", start_seconds=0.1, stop_seconds=0.1)
    with User(home) as owner:
        pid = owner.hear()["pid"]
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(RedisUnavailable, match=rf"process {pid}\) holds .* does not answer on port \d+"):
            impatient.lease().__enter__()
        assert server_runs(home)
        os.kill(pid, signal.SIGCONT)
        with capture_logs() as logs, impatient.lease():
            owner.leave()
            os.kill(pid, signal.SIGSTOP)
    assert not server_runs(home)
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [
        ("embedded_redis_killed", "warning"),
        ("embedded_redis_stopped", "info"),
    ]


def test_a_server_that_is_still_loading_is_waited_for(home: Path) -> None:
    """A server whose owner died while it reads its files is shared once it is ready, and not before."""
    write_keys(home, 3_000)
    folder = home / "redis"
    held = locks.try_exclusive(folder / "data.lock")
    assert held is not None
    slow = folder / "slow.conf"
    slow.write_bytes(
        (folder / "redis.conf").read_bytes() + b"key-load-delay 300\nloading-process-events-interval-bytes 1024\n"
    )
    server = process.spawn_valkey(slow, folder / "server.log", held.fileno())
    (folder / "endpoint.json").write_text(json.dumps({"pid": server.pid}))
    held.close()
    port = conf.configured_port(folder / "redis.conf")
    assert port is not None
    password = (folder / "password").read_text().strip()
    assert eventually(lambda: wire.probe(port, password).state == "loading")
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert endpoint.pid == server.pid
        assert client.dbsize() == 3_000


def test_a_start_that_takes_too_long_is_given_up_and_leaves_no_server(home: Path) -> None:
    """A server that is not ready in time is stopped, and the error says how long was waited."""
    write_keys(home, 100)
    with pytest.raises(RedisUnavailable, match="was not ready within 0 seconds"):
        EmbeddedValkey(home, "64mb", start_seconds=0.0).lease().__enter__()
    assert not server_runs(home)


def aof_file(home: Path, kind: str) -> Path:
    """The one append-only file of a kind, `base.rdb` or `incr.aof`."""
    (found,) = (home / "redis" / "data" / "appendonlydir").glob(f"*.{kind}")
    return found


@pytest.mark.parametrize("kind", ["base.rdb", "incr.aof"])
def test_a_manifest_that_names_a_lost_file_is_said(home: Path, kind: str) -> None:
    """The error names the file the manifest misses, shows the server's own words, and says what to do."""
    write_keys(home, 10)
    lost = aof_file(home, kind)
    lost.unlink()
    with pytest.raises(RedisUnavailable, match="did not start: it ended with exit code 1") as caught:
        EmbeddedValkey(home, "64mb").lease().__enter__()
    assert lost.name in caught.value.hint
    assert "backup" in caught.value.hint
    assert lost.name in caught.value.message
    assert caught.value.details["log"]


def test_a_damaged_append_only_file_is_said_and_left_as_it_is(home: Path) -> None:
    """Damage in the middle of the file stops the start with the server's words; the file is not touched."""
    write_keys(home, 10)
    damaged = aof_file(home, "incr.aof")
    content = bytearray(damaged.read_bytes())
    middle = content.index(b"\r\n$", len(content) // 2) + 2
    content[middle : middle + 1] = b"!"
    damaged.write_bytes(content)
    with pytest.raises(RedisUnavailable, match="did not start") as caught:
        EmbeddedValkey(home, "64mb").lease().__enter__()
    assert "append only file" in caught.value.message
    assert str(home / "redis" / "server.log") in caught.value.hint
    assert damaged.read_bytes() == content


def test_a_torn_end_of_the_append_only_file_is_survived(home: Path) -> None:
    """The last write cut short, as by a power cut, costs that write only, and the start says so."""
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        client.set("first", "1")
        client.set("last", "2")
    torn = aof_file(home, "incr.aof")
    torn.write_bytes(torn.read_bytes()[:-3])
    with capture_logs() as logs, EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert client.get("first") == b"1"
        assert client.get("last") is None
    (told,) = [entry for entry in logs if entry["event"] == "embedded_redis_cut_off"]
    assert any("short read" in line for line in told["said"])


def test_a_dump_put_into_an_empty_home_is_read_and_kept(home: Path) -> None:
    """A dump without append-only files, as a restore leaves it, is read, and from then on every write is kept."""
    write_keys(home, 50)
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        client.save()
    shutil.rmtree(home / "redis" / "data" / "appendonlydir")
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert client.dbsize() == 50
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        client.set("later", "yes")
        kill_server(home)
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert client.dbsize() == 51
        assert client.get("later") == b"yes"


def test_append_only_files_without_their_manifest_are_not_started_over(home: Path) -> None:
    """Where the manifest is lost a server would start empty beside its data: the error names the files."""
    write_keys(home, 10)
    (manifest,) = (home / "redis" / "data" / "appendonlydir").glob("*.manifest")
    content = manifest.read_bytes()
    manifest.unlink()
    with pytest.raises(RedisUnavailable, match=r"incr\.aof.* but no manifest"):
        EmbeddedValkey(home, "64mb").lease().__enter__()
    manifest.write_bytes(content)
    with EmbeddedValkey(home, "64mb").lease() as endpoint, client_of(endpoint) as client:
        assert client.dbsize() == 10


def test_a_setting_the_server_refuses_is_said(home: Path) -> None:
    """A start that fails on its configuration shows the server's words."""
    with pytest.raises(RedisUnavailable, match="did not start") as caught:
        EmbeddedValkey(home, "64elephants").lease().__enter__()
    assert "maxmemory 64elephants" in caught.value.message


def test_damaged_records_do_not_matter(home: Path) -> None:
    """An endpoint file that does not parse or names an impossible process is replaced, never acted upon."""
    write_keys(home, 1)
    for content in ("", "{", "[]", '{"pid": -1}', '{"pid": "x"}'):
        (home / "redis" / "endpoint.json").write_text(content)
        assert recorded_pid(home / "redis" / "endpoint.json") is None
        with EmbeddedValkey(home, "64mb").lease() as endpoint:
            assert recorded_pid(home / "redis" / "endpoint.json") == endpoint.pid


def test_an_interrupted_start_leaves_no_server(home: Path) -> None:
    """Ctrl-C while the server is being started ends the server as well."""
    write_keys(home, 1)
    code = """
def interrupted(*_):
    raise KeyboardInterrupt
server._wait_ready = interrupted
try:
    with server.lease():
        pass
except KeyboardInterrupt:
    say(interrupted=True)
"""
    with User(home, code) as user:
        assert user.hear() == {"interrupted": True}
        assert user.leave() == 0
    assert not server_runs(home)


def test_a_start_that_fails_leaves_no_process_id_behind(home: Path) -> None:
    """When the server cannot be started, no record names the process of an earlier one, which may be another's now."""
    write_keys(home, 1)
    (home / "redis" / "server.log").unlink()
    (home / "redis" / "server.log").mkdir()
    with pytest.raises(RedisUnavailable, match=r"server\.log"):
        EmbeddedValkey(home, "64mb").lease().__enter__()
    assert recorded_pid(home / "redis" / "endpoint.json") is None
