"""The embedded Redis server: one for a home, shared while it is used, gone when it is not."""

import datetime as dt
import json
import os
import re
import shutil
import signal
import socket
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from structlog.testing import capture_logs

from reco.errors import RedisUnavailable
from reco.local import conf, history, locks, process, rewind, wire
from reco.local.valkey import EmbeddedValkey
from reco_pipeline_tests.embedded import PATIENCE_SECONDS, User, clean_home, eventually, server_runs


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home nobody uses yet."""
    with clean_home(tmp_path / "home") as path:
        yield path


def test_a_lease_starts_a_server_that_wants_its_password(home: Path) -> None:
    """The server answers at the endpoint's URL and refuses a client without the password."""
    with EmbeddedValkey(home, "64mb").lease() as endpoint:
        with redis.Redis.from_url(endpoint.url) as client:
            assert client.ping()
        once = Retry(NoBackoff(), 0)
        with (
            redis.Redis(endpoint.host, endpoint.port, retry=once) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
    assert not server_runs(home)


def test_the_password_is_nowhere_but_in_its_two_private_files(home: Path) -> None:
    """Only the password file and redis.conf hold the password; both, like the folder, are for their owner alone."""
    with EmbeddedValkey(home, "64mb").lease() as endpoint:
        assert endpoint.password not in repr(endpoint) + str(endpoint)
        folder = home / "redis"
        holders = {path.name for path in folder.iterdir() if path.is_file() and endpoint.password in path.read_text()}
        assert holders == {"password", "redis.conf"}
        assert all(stat.S_IMODE((folder / name).stat().st_mode) == 0o600 for name in holders)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        facts = json.loads((folder / "endpoint.json").read_text())
        assert facts == {"host": "127.0.0.1", "port": endpoint.port, "pid": endpoint.pid}


def test_data_stays_from_one_start_to_the_next(home: Path) -> None:
    """What was written under one lease is there under the next, on the same port and password."""
    server = EmbeddedValkey(home, "64mb")
    with server.lease() as first, redis.Redis.from_url(first.url) as client:
        client.set("kept", "yes")
    with server.lease() as second, redis.Redis.from_url(second.url) as client:
        assert client.get("kept") == b"yes"
    assert first.url == second.url
    assert first.pid != second.pid


def test_two_processes_share_one_server_and_the_last_one_out_stops_it(home: Path) -> None:
    """A second process finds the server of the first, and keeps it when the first leaves."""
    with User(home) as first, User(home) as second:
        one, two = first.hear(), second.hear()
        assert one == two
        assert first.leave() == 0
        assert wire.probe(two["port"], (home / "redis" / "password").read_text().strip()).state == "ready"
        assert second.leave() == 0
    assert not server_runs(home)
    log = (home / "redis" / "server.log").read_text()
    assert log.count("Ready to accept connections") == 1
    assert "bye bye" in log


def test_leases_of_one_process_are_counted(home: Path) -> None:
    """Nested leases and leases of threads share the server, whichever object they come from."""

    def pid_seen(_: int) -> int:
        with EmbeddedValkey(home, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
            client.incr("seen")
            return endpoint.pid

    with EmbeddedValkey(home, "64mb").lease() as outer, ThreadPoolExecutor(4) as pool:
        assert set(pool.map(pid_seen, range(12))) == {outer.pid}
        with redis.Redis.from_url(outer.url) as client:
            assert client.get("seen") == b"12"
    assert not server_runs(home)


def test_starters_that_race_get_one_server(home: Path) -> None:
    """Five processes that start at the same moment all get the same server."""
    users = [User(home) for _ in range(5)]
    try:
        assert len({user.hear()["pid"] for user in users}) == 1
    finally:
        codes = [user.leave() for user in users]
        for user in users:
            user.__exit__()
    assert codes == [0] * 5
    assert not server_runs(home)


FORK = """
def forked(endpoint):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)     # until the parent says so, or is gone
        return None
    os.close(reader)
    return child, writer
"""


def test_a_forked_child_has_a_lease_of_its_own(home: Path) -> None:
    """The parent leaves first: the server stays for the child, and the child, last out, stops it."""
    code = (
        FORK
        + """
with server.lease() as endpoint:
    parent = forked(endpoint)
    if parent is None:
        import redis
        say(child_pings=redis.Redis.from_url(endpoint.url).ping())
if parent is not None:
    say(left=True)
    os.write(parent[1], b".")
    say(child_code=os.waitpid(parent[0], 0)[1])
"""
    )
    with User(home, code) as user:
        assert user.hear() == {"left": True}
        assert user.hear() == {"child_pings": True}
        assert user.hear() == {"child_code": 0}
        assert user.leave() == 0
    assert not server_runs(home)


def test_a_child_that_ends_does_not_take_the_server_from_its_parent(home: Path) -> None:
    """A forked child that ends at once, as a worker of a pool does, leaves the parent's lease as it was."""
    code = (
        FORK
        + """
with server.lease() as endpoint:
    parent = forked(endpoint)
    if parent is None:
        os._exit(0)
    os.write(parent[1], b".")
    os.waitpid(parent[0], 0)
    with server.lease() as again:
        say(same=again.pid == endpoint.pid)
say(left=True)
"""
    )
    with User(home, code) as user:
        assert user.hear() == {"same": True}
        assert user.hear() == {"left": True}
        assert user.leave() == 0
    assert not server_runs(home)


def test_a_fork_in_the_middle_of_a_start_does_not_keep_the_gate_shut(tmp_path: Path) -> None:
    """A child forked while a thread of its parent holds a lock is no holder of that lock."""
    with locks.exclusive(tmp_path / "gate.lock", 1):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        os.close(reader)
    try:
        with locks.exclusive(tmp_path / "gate.lock", PATIENCE_SECONDS):  # the child lets go a moment after the fork
            pass
    finally:
        os.close(writer)
        os.waitpid(child, 0)


def test_ctrl_c_leaves_no_process_behind(home: Path) -> None:
    """SIGINT to the whole process group, as a terminal sends it, ends the command, which then stops the server."""
    with User(home, new_session=True) as user:
        user.hear()
        os.killpg(user.process.pid, signal.SIGINT)
        user.process.communicate(timeout=30)
        assert user.process.returncode != 0
    assert not server_runs(home)
    log = (home / "redis" / "server.log").read_text()
    assert "Received SIGTERM" in log
    assert "Received SIGINT" not in log


def test_a_process_that_forgets_to_leave_leaves_at_exit(home: Path) -> None:
    """A lease of a thread that is cut off by the end of the interpreter ends with it."""
    code = """
import threading
def forever():
    with server.lease() as endpoint:
        say(pid=endpoint.pid)
        entered.set()
        threading.Event().wait()
entered = threading.Event()
threading.Thread(target=forever, daemon=True).start()
entered.wait()
"""
    with User(home, code) as user:
        user.hear()
        assert user.leave() == 0
    assert not server_runs(home)


@pytest.mark.parametrize("name", ["with blanks and 'quotes'", 'a "shop" [1] * # \\x41 \\', "Läden\n二", "x" * 200])
def test_a_home_may_have_any_path(tmp_path: Path, name: str) -> None:
    """Blanks, quotes, patterns, line ends, other scripts and great length in the path of a home do not matter."""
    with clean_home(tmp_path / name / "home") as home, EmbeddedValkey(home, "64mb").lease() as endpoint:
        with redis.Redis.from_url(endpoint.url) as client:
            assert client.config_get("dir")["dir"] == str(home / "redis" / "data")
        assert list((home / "redis" / "data" / "appendonlydir").glob("*.manifest"))


def test_a_port_that_was_taken_meanwhile_is_replaced(home: Path) -> None:
    """When another program has the port of the last start, the server gets a new one below the ephemeral range."""
    server = EmbeddedValkey(home, "64mb")
    with server.lease() as first:
        pass
    with socket.create_server((first.host, first.port)), server.lease() as second:
        assert second.port != first.port
        assert second.port in conf.PORTS
    with server.lease() as third:
        assert third.port == second.port


def test_a_port_lost_in_the_last_moment_is_replaced(home: Path) -> None:
    """When a port that looked free is taken before the server has it, another one is tried."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        offered = iter([other.getsockname()[1]])
        server = EmbeddedValkey(home, "64mb", choose_port=lambda last: next(offered, None) or conf.choose_port(last))
        with server.lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
            assert client.ping()
            assert endpoint.port != other.getsockname()[1]


def test_no_free_port_is_said(home: Path) -> None:
    """Without a free port the error says so and names the range."""
    with pytest.raises(RedisUnavailable, match=r"No free port .*20000 and 32767"):
        EmbeddedValkey(home, "64mb", choose_port=lambda _: None).lease().__enter__()


def test_the_configuration_is_rewritten_only_when_a_setting_changed(home: Path) -> None:
    """A second start uses redis.conf as it is; another memory limit writes it anew."""
    path = home / "redis" / "redis.conf"
    with EmbeddedValkey(home, "64mb").lease():
        before = path.stat()
    with EmbeddedValkey(home, "64mb").lease():
        assert path.stat() == before
    with EmbeddedValkey(home, "32mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        assert client.config_get("maxmemory")["maxmemory"] == str(32 << 20)
        assert "maxmemory 32mb" in path.read_text()


def test_the_server_is_configured_to_keep_what_it_is_given(home: Path) -> None:
    """Every write goes to the append-only file, nothing is evicted, and only this machine can connect."""
    wanted = {
        "bind": "127.0.0.1",
        "protected-mode": "yes",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-timestamp-enabled": "yes",
        "aof-use-rdb-preamble": "yes",
        "save": "900 1 300 100 60 100000",
        "maxmemory-policy": "noeviction",
        "maxmemory": str(64 << 20),
    }
    with EmbeddedValkey(home, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        assert {name: client.config_get(name)[name] for name in wanted} == wanted


def test_a_larger_memory_limit_counts_at_once_and_a_smaller_one_later(home: Path) -> None:
    """While others use the server its limit can be raised, and is not lowered."""
    with EmbeddedValkey(home, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        with EmbeddedValkey(home, "32mb").lease():
            assert client.config_get("maxmemory")["maxmemory"] == str(64 << 20)
        with EmbeddedValkey(home, "128mb").lease():
            assert client.config_get("maxmemory")["maxmemory"] == str(128 << 20)


def test_its_users_have_the_rights_of_their_work_on_the_keys_of_the_namespace(home: Path) -> None:
    """The reader reads and the loader writes, on keys of the namespace; a second namespace of the home is added."""
    with EmbeddedValkey(home, "64mb", namespace="shop").lease() as endpoint:
        with (
            redis.Redis.from_url(endpoint.url_of("loader")) as loader,
            redis.Redis.from_url(endpoint.url_of("reader")) as reader,
        ):
            loader.set("shop:k", "v")
            assert reader.get("shop:k") == b"v"
            for forbidden in (lambda: reader.set("shop:k", "w"), lambda: loader.set("other:k", "v"), loader.flushall):
                with pytest.raises(redis.exceptions.NoPermissionError):
                    forbidden()
            with EmbeddedValkey(home, "64mb", namespace="other").lease():
                loader.set("other:k", "v")
        secrets = {(home / "redis" / f"password.{user}").read_text().strip() for user in endpoint.users}
        assert secrets == set(endpoint.users.values())
        assert not any(secret in (home / "redis" / "redis.conf").read_text() for secret in secrets)
        assert not any(secret in repr(endpoint) for secret in secrets)


def test_a_running_server_of_an_older_version_gets_the_users(home: Path) -> None:
    """A server that was started without a user knows it once a command of this version has met it."""
    with EmbeddedValkey(home, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        client.acl_deluser("reader")
        with EmbeddedValkey(home, "64mb").lease(), redis.Redis.from_url(endpoint.url_of("reader")) as reader:
            assert reader.get("reco:k") is None


def test_its_past_is_kept_and_another_home_can_start_on_it(home: Path, tmp_path: Path) -> None:
    """Files that the server replaced stay for the days of the setting; a home made of them has the earlier data."""
    before = dt.datetime.now(dt.UTC)
    with EmbeddedValkey(home, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        client.set("k", "early")
    with EmbeddedValkey(home, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        client.bgrewriteaof()
        assert eventually(lambda: len(list((home / "redis" / "data" / "appendonlydir").glob("*.2.base.rdb"))) == 1)
        assert eventually(lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0)
    kept = home / "redis" / "history"
    (folder,) = history.folders(kept)
    index = history.read_index(folder)
    assert [one.file.seq for one in index.bases] == [1, 2]
    assert int(before.timestamp()) <= index.began_at <= index.looked_at
    rewind.cut(_whole(folder, index), tmp_path / "earlier" / "redis" / "data")
    with (
        clean_home(tmp_path / "earlier") as other,
        EmbeddedValkey(other, "64mb").lease() as endpoint,
        redis.Redis.from_url(endpoint.url) as client,
    ):
        assert client.get("k") == b"early"
    with EmbeddedValkey(home, "64mb", history_days=0).lease():
        pass
    assert not kept.exists()


def _whole(folder: Path, index: history.Index) -> rewind.CutPlan:
    """All that follows the first base, whatever the time."""
    first = index.increments[0]
    size = (folder / first.name).stat().st_size
    return rewind.CutPlan(folder, dt.datetime.now(dt.UTC), index.bases[0].file, (first,), size, None)


def test_a_damaged_history_is_told_and_keeps_nobody_from_working(home: Path) -> None:
    """The server starts and stops as always; what is wrong with its history is a warning."""
    with EmbeddedValkey(home, "64mb").lease():
        pass
    (folder,) = history.folders(home / "redis" / "history")
    (folder / history.INDEX).write_text("{")
    with capture_logs() as logs, EmbeddedValkey(home, "64mb").lease() as endpoint:
        assert endpoint.pid
    told = [entry for entry in logs if entry["event"] == "embedded_redis_history_not_kept"]
    assert len(told) == 2
    assert history.INDEX in told[0]["reason"]


def test_a_home_removed_under_its_users_leaves_no_server(home: Path) -> None:
    """When the home is gone, the last user of its server still ends it."""
    with EmbeddedValkey(home, "64mb").lease() as endpoint:
        shutil.rmtree(home)
    assert eventually(lambda: wire.probe(endpoint.port, endpoint.password).state == "absent")


def test_a_home_made_anew_keeps_its_own_server(home: Path) -> None:
    """A user of the removed home that leaves late does not stop the server of the new one."""
    with EmbeddedValkey(home, "64mb").lease() as old:
        shutil.rmtree(home)
        late = EmbeddedValkey(home, "64mb").lease()
        new = late.__enter__()
    assert old.pid != new.pid
    assert eventually(lambda: wire.probe(old.port, old.password).state == "absent")
    assert wire.probe(new.port, new.password).pid == new.pid
    late.__exit__(None, None, None)


def test_leases_leak_nothing(home: Path) -> None:
    """After ten leases the process has as many open files as before, and no ended child unasked for."""
    server = EmbeddedValkey(home, "64mb")
    with server.lease():
        pass
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(10):
        with server.lease():
            pass
    assert len(list(Path("/dev/fd").iterdir())) == before
    process.reap()
    try:
        ended, _ = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:  # nor is there any that lives; other tests of this process may have left some
        ended = 0
    assert ended == 0


def test_a_home_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    """A file where the home should be is an error that names it and the setting to change."""
    (tmp_path / "home").write_text("")
    with pytest.raises(RedisUnavailable, match=re.escape(str(tmp_path / "home"))) as caught:
        EmbeddedValkey(tmp_path / "home", "64mb").lease().__enter__()
    assert "RECO_HOME" in caught.value.hint
    assert caught.value.exit_code == 4


def test_a_lock_that_is_held_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    """Waiting for a lock that another holds ends with an error."""
    with (
        locks.exclusive(tmp_path / "gate.lock", 1),
        pytest.raises(locks.LockTimeout),
        locks.exclusive(tmp_path / "gate.lock", 0.05),
    ):
        pytest.fail("two holders of one lock")
