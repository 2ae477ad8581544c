"""The Redis of a container, started as there: what it keeps, who may do what, and the traps of its files.

Each test runs on Valkey, and on Redis 7 where the machine has it.
"""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reco.backup.redis_dump import dump
from reco.local import acl, conf
from reco.snapshot.build import SnapshotBuild
from reco.snapshot.garbage import collect_garbage
from reco.snapshot.keys import Keys
from reco.snapshot.lease import Lease
from reco.snapshot.publish import verify
from reco.snapshot.store import SnapshotStore, stands
from reco_pipeline_tests.own_redis import FOLDER, OwnRedis, own_redis, server_of, words_of
from reco_pipeline_tests.snapshot_lake import SHOP, LakeTables, write_tables


@pytest.fixture(params=["valkey", "redis"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnRedis]:
    """A server of each kind."""
    with own_redis(tmp_path / "own", server_of(request.param)) as server:
        yield server


@pytest.fixture
def tables(tmp_path: Path) -> LakeTables:
    """A small shop."""
    return write_tables(tmp_path / "lake", [{"a", "b"}, {"a", "b", "c"}, {"b", "c"}, {"c", "d"}] * 5)


def test_the_container_and_the_embedded_server_keep_data_alike() -> None:
    """Both configurations hold the same lines about keeping data, and the same rules for the same users."""
    static = words_of((FOLDER / "redis.conf").read_text())
    made = words_of(conf.render(1, "pw", Path("/d"), Path("/l"), "2gb").decode())
    kept = {line.split()[0]: line.split()[1:] for line in conf.KEEPING}
    assert {name: static[name] for name in kept} == kept == {name: made[name] for name in kept}
    assert set(static) - set(kept) == {"bind", "protected-mode", "port", "daemonize"}
    lines = (FOLDER / "users.acl").read_text().splitlines()
    rules = {words[1]: words[3:] for words in map(str.split, lines) if words[1] in acl.USERS}
    assert rules == {user: acl.rules(user, "{namespace}") for user in acl.USERS}


def test_what_was_written_is_there_after_a_restart_and_after_a_kill(own: OwnRedis) -> None:
    """A clean stop loses nothing; neither does kill -9 in the middle of writing, of all that was acknowledged."""
    with own.start() as client, client.pipeline(transaction=True) as together:
        # A server reads its files as the user `default`, whose rights decide about transactions.
        together.set("shop:kept", "yes").set("shop:too", "yes").execute()
    own.end()
    done: list[int] = []
    enough = threading.Event()

    def write_on(client: redis.Redis) -> None:
        for number in range(1_000_000):
            client.set(f"shop:{number}", number)
            done.append(number)
            if number == 2_000:
                enough.set()

    def kill_when_busy() -> None:
        enough.wait(60)
        own.end(kill=True)

    killer = threading.Thread(target=kill_when_busy)
    with own.start() as client:
        assert client.mget("shop:kept", "shop:too") == [b"yes", b"yes"]
        killer.start()
        with pytest.raises(redis.ConnectionError):
            write_on(client)
        killer.join()
    with own.start() as client:
        found = client.mget([f"shop:{number}" for number in done])
    assert len(done) > 2_000
    assert found == [str(number).encode() for number in done]


READS = [
    ("GET", "shop:k"),
    ("TYPE", "shop:k"),
    ("PEXPIRETIME", "shop:k"),
    ("HGETALL", "shop:h"),
    ("LRANGE", "shop:l", "0", "-1"),
    ("SMEMBERS", "shop:s"),
    ("ZRANGE", "shop:z", "0", "-1"),
    ("SCAN", "0"),
    ("MEMORY", "USAGE", "shop:k"),
    ("INFO",),
]
ALLOWED = {
    "loader": [
        *READS,
        ("SET", "shop:k", "v"),
        ("HSET", "shop:h", "f", "v"),
        ("RPUSH", "shop:l", "v"),
        ("SADD", "shop:s", "v"),
        ("ZADD", "shop:z", "1", "v"),
        ("PEXPIREAT", "shop:k", "4102444800000"),
        ("UNLINK", "shop:k"),
        ("EVAL", "return 1", "0"),
    ],
    "reader": [
        *READS,
        ("LPUSH", "shop:limits:key", "v"),
        ("LTRIM", "shop:limits:key", "0", "9"),
        ("EXPIRE", "shop:limits:key", "60"),
        ("EVAL", "return redis.call('LPUSH', KEYS[1], 'v')", "1", "shop:limits:key"),
        ("EVAL", "return redis.call('SET', KEYS[1], 'v', 'EX', 60)", "1", "shop:rules:hidden"),
    ],
    "backup": [
        *READS,
        ("DUMP", "shop:k"),
        ("EVAL", "return redis.call('SET', KEYS[1], 'v', 'PX', 60000)", "1", "shop:snapshot:lease"),
        ("INCR", "shop:snapshot:generation"),
        ("DEL", "shop:snapshot:lease"),
        ("BGSAVE",),
        ("LASTSAVE",),
    ],
}
NEVER = [
    ("CONFIG", "GET", "requirepass"),
    ("CONFIG", "SET", "dir", "/"),
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("KEYS", "*"),
    ("SLOWLOG", "GET"),
    ("SHUTDOWN", "NOSAVE"),
    ("REPLICAOF", "NO", "ONE"),
    ("ACL", "LIST"),
    ("MONITOR",),
    ("MODULE", "LIST"),
    ("SCRIPT", "FLUSH"),
    ("MIGRATE", "127.0.0.1", "1", "shop:k", "0", "1"),
    ("GET", "other:k"),
    ("PUBLISH", "channel", "x"),
]
WRITES = [
    ("SET", "shop:k", "v"),
    ("DEL", "shop:k"),
    ("EXPIRE", "shop:k", "1"),
    ("LPUSH", "shop:l", "v"),
    ("SET", "shop:limits:key", "v"),
    ("EVAL", "return redis.call('LPUSH', KEYS[1], 'v')", "1", "shop:l"),
    ("EVAL", "return redis.call('SET', KEYS[1], 'v')", "1", "shop:snapshot:current"),
]


def test_each_user_may_do_its_work_and_nothing_else(own: OwnRedis) -> None:
    """Every forbidden command is refused to every user, writes also to those who read, and strangers altogether."""
    own.start().close()
    for user, commands in ALLOWED.items():
        with own.client(user) as client:
            for command in commands:
                client.execute_command(*command)
            for command in [*NEVER, *([] if user == "loader" else WRITES)]:
                with pytest.raises(redis.exceptions.NoPermissionError):
                    client.execute_command(*command)
    with own.client("loader") as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command("BGSAVE")
    once = Retry(NoBackoff(), 0)
    with redis.Redis(port=own.port, retry=once) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.get("shop:k")


def test_the_users_can_publish_serve_and_copy(own: OwnRedis, tables: LakeTables) -> None:
    """The loader publishes and collects, the reader reads, the backup dumps every key under the lease of publishing."""
    own.start().close()
    with own.client("loader") as loader, own.client("reader") as reader:
        published = tables.publish(loader)
        assert SnapshotStore(reader, SHOP).current().similar("a")["recommendations"]
        assert SnapshotStore(reader, SHOP).list()[0].snapshot_id == published.snapshot_id
        assert stands(reader, SHOP, published.snapshot_id)
        assert collect_garbage(loader, SHOP, 3).retired == ()
    with own.client("backup") as copier, Lease(copier, Keys(SHOP)) as lease:
        facts = dump(copier, Keys(SHOP), own.folder / "redis.resp", lambda *_: lease.keep())
        lease.renew()
        assert facts.keys == copier.dbsize() - 2  # but the two keys of the lease


def test_a_second_server_on_the_same_data_is_refused(own: OwnRedis) -> None:
    """While one server has the folder another one does not start; after kill -9 the folder is free."""
    own.start().close()
    second = subprocess.run(**own.command(), capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 75
    assert "another server is using" in second.stderr
    own.end(kill=True)
    own.start().close()


@pytest.mark.parametrize(("content", "words"), [(None, "must stand in"), ("\n", "is empty")])
def test_a_missing_password_is_said(own: OwnRedis, content: str | None, words: str) -> None:
    """Without the password of every user the server does not start."""
    (own.folder / "secrets" / "reader").unlink()
    if content is not None:
        (own.folder / "secrets" / "reader").write_text(content)
    done = subprocess.run(**own.command(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_dump_alone_is_read_and_not_left(own: OwnRedis) -> None:
    """The classic restore mistake: with the append-only file on, a server leaves a dump alone and starts empty."""
    with own.start() as client:
        client.mset({f"shop:{number}": number for number in range(50)})
        client.save()
    own.end()
    for path in (own.data / "appendonlydir").iterdir():
        path.unlink()
    (own.data / "appendonlydir").rmdir()
    with own.start() as client:
        assert client.dbsize() == 50
        assert "no append-only file" in own.log.read_text()
        client.config_set("appendonly", "yes")


def test_a_cut_append_only_file_loads_and_is_found_out(own: OwnRedis, tables: LakeTables) -> None:
    """Cut in the middle it loads without an error, with less data: the count of keys tells, and publishing repairs."""
    with own.start() as client:
        published = tables.publish(client)
        whole = client.dbsize()
    own.end()
    cut = own.aof("incr.aof")
    content = cut.read_bytes()
    cut.write_bytes(content[: content.index(b":popular:") + 3])  # in the middle of a command
    with own.start() as client:
        assert 0 < client.dbsize() < whole
        assert b"Truncating the AOF" in own.log.read_bytes()
        client.delete(f"{SHOP}:snapshot:lease")  # the cut took its release; it would end by itself in half a minute
        assert not stands(client, SHOP, published.snapshot_id)
        assert tables.publish(client).changed
        current = SnapshotStore(client, SHOP).current_id()
        assert current is not None
        assert stands(client, SHOP, current)
    own.end()
    cut = own.aof("incr.aof")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    strict = subprocess.run(
        **own.command("--aof-load-truncated", "no"), capture_output=True, text=True, timeout=60, check=False
    )
    assert strict.returncode == 1


def test_a_byte_changed_in_a_value_loads_and_is_found_out(own: OwnRedis, tables: LakeTables) -> None:
    """The append-only file has no checksums: only reading every value back finds the change, and publishing repairs."""
    with own.start() as client:
        published = tables.publish(client)
    own.end()
    changed = own.aof("incr.aof")
    value = next(value for suffix, value in _entries(tables) if suffix == "item:a:similar")
    content = changed.read_bytes()
    assert content.count(value) == 1
    changed.write_bytes(content.replace(value, value[:-2] + bytes([value[-2] ^ 1]) + value[-1:]))
    with own.start() as client:
        assert stands(client, SHOP, published.snapshot_id)
        report = verify(client, SHOP, published.snapshot_id, tables.item_stats, tables.similar_items)
        assert not report.passed
        assert tables.publish(client).changed


def _entries(tables: LakeTables) -> Iterator[tuple[str, bytes]]:
    for suffix, value in SnapshotBuild.from_lake(tables.item_stats, tables.similar_items).entries():
        if isinstance(value, bytes):
            yield suffix, value


def test_expired_keys_are_not_counted_after_a_restart(own: OwnRedis) -> None:
    """Keys whose time is over are gone after loading: a count to compare with leaves them out."""
    later = b"4102444800000"
    with own.start() as client:
        client.mset({f"shop:{number}": number for number in range(20)})
        client.execute_command("SET", "shop:short", "1", "PXAT", later)
        client.execute_command("SET", "shop:long", "1", "EX", 100_000)
        assert client.dbsize() == 22
    own.end()
    aof = own.aof("incr.aof")
    content = aof.read_bytes()
    assert content.count(later) == 1
    aof.write_bytes(content.replace(later, b"1000000000000"))  # as if that time had passed while the server was down
    with own.start() as client:
        assert client.info("persistence")["rdb_last_load_keys_expired"] >= 0
        assert client.dbsize() == 21
        assert client.info("keyspace")["db0"]["expires"] == 1
