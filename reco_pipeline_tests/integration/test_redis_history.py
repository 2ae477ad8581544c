"""Our own Redis cut at a second: files kept while a real server replaces them, and states made of them on another.

The stamps in the files are those of the server's clock. Tests do not wait for it: they move the stamps of finished
increments apart, in the files, as if minutes had passed.
"""

import datetime as dt
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from reco.backup.create import create
from reco.backup.manifest import HISTORY
from reco.backup.place import open_vault
from reco.backup.prepare import prepare
from reco.errors import ConfigError, HistoryDamaged, HistoryMissing, UsageError
from reco.local import aof, history, rewind
from reco.local.valkey import EmbeddedValkey
from reco.orders.home import open_home
from reco.settings import load_settings
from reco_pipeline_tests.backup_shop import IDENTITY
from reco_pipeline_tests.commands import printed
from reco_pipeline_tests.embedded import eventually
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.own_redis import OwnRedis, own_redis, server_of

DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)


@pytest.fixture(params=["valkey", "redis"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnRedis]:
    """A server of each kind."""
    with own_redis(tmp_path / "own", server_of(request.param)) as server:
        yield server


def now() -> dt.datetime:
    """The time."""
    return dt.datetime.now(dt.UTC)


def rewrite(client: redis.Redis, data: Path) -> None:
    """Has the server replace its files, and waits until it has."""
    folder = data / aof.FOLDER
    newest = max(file.seq for file in _files(folder) if file.kind == "b")
    client.bgrewriteaof()
    assert eventually(lambda: any(file == (file.name, newest + 1, "b") for file in _files(folder)))
    assert client.info("persistence")["aof_last_bgrewrite_status"] == "ok"


def _files(folder: Path) -> list[aof.File]:
    return aof.read_manifest(folder / aof.MANIFEST)


def write_with_stamps(path: Path, seconds: list[int]) -> None:
    """Replaces the stamps of an increment, which has one before each of its SETs, by others of the same length."""
    content = path.read_bytes()
    command = re.compile(rb"(?:#TS:\d+\r\n)?(\*3\r\n\$3\r\nSET\r\n)")
    assert len(command.findall(content)) == len(seconds)
    left = iter(seconds)
    path.write_bytes(command.sub(lambda found: b"#TS:%d\r\n" % next(left) + found[1], content))


def state_at(kept: Path, second: int, folder: Path, own: OwnRedis) -> dict[str, str | None]:
    """What a server of the same kind holds that is started, strictly, on the data of a second."""
    with own_redis(folder, own.server) as other:
        made = rewind.plan(kept, dt.datetime.fromtimestamp(second, dt.UTC))
        rewind.cut(made, other.data)
        with other.start("--aof-load-truncated", "no") as client:
            return {key.decode(): (client.get(key) or b"").decode() for key in sorted(client.scan_iter())}


def test_every_second_of_one_increment_can_be_had(own: OwnRedis, tmp_path: Path) -> None:
    """Three writes a minute apart: the state between any two, a deleted key back, and the edges refused."""
    kept = tmp_path / "history"
    with own.start() as client:
        history.keep(own.data, kept, now() - DAY)
        for value in ("one", "two", "three"):
            client.set("shop:k", value)
    own.end()
    t = int(now().timestamp()) + 1000
    write_with_stamps(own.aof("incr.aof"), [t, t + 60, t + 120])
    history.keep(own.data, kept, dt.datetime.fromtimestamp(t + 200, dt.UTC))
    expected: dict[int, str | None] = {
        t - 1: None,
        t: "one",
        t + 59: "one",
        t + 60: "two",
        t + 119: "two",
        t + 120: "three",
        t + 199: "three",
    }
    for number, (second, wanted) in enumerate(expected.items()):
        found = state_at(kept, second, tmp_path / f"at{number}", own)
        assert found.get("shop:k") == wanted, second
    with pytest.raises(HistoryMissing, match="ends at"):
        rewind.plan(kept, dt.datetime.fromtimestamp(t + 200, dt.UTC))
    with pytest.raises(HistoryMissing, match="begins at"):
        rewind.plan(kept, now() - 2 * DAY)


def test_seconds_before_a_rewrite_can_be_had(own: OwnRedis, tmp_path: Path) -> None:
    """What the server deletes when it replaces its files stays, and the right base is taken on each side of it."""
    kept = tmp_path / "history"
    with own.start() as client:
        first = int(now().timestamp())
        client.mset({f"shop:{number}": number for number in range(20)})
        client.delete("shop:3")
        assert history.keep(own.data, kept, now()) == 2
        old = {path.name for path in (own.data / aof.FOLDER).iterdir()}
        client.set("shop:last", "of the first")
        rewrite(client, own.data)
        client.set("shop:later", "yes")
        assert history.keep(own.data, kept, now() + HOUR) == 2
        new = {path.name for path in (own.data / aof.FOLDER).iterdir()}
    assert not (old & new) - {aof.MANIFEST}
    (folder,) = history.folders(kept)
    index = history.read_index(folder)
    assert [base.file.seq for base in index.bases] == [1, 2]
    assert all((folder / name).is_file() for name in (old | new) - {aof.MANIFEST})
    after = state_at(kept, int(now().timestamp()) + 600, tmp_path / "after", own)
    assert {"shop:later", "shop:last", "shop:19"} <= after.keys()
    assert "shop:3" not in after
    own.end()
    # Minutes before the rewrite: the stamps of the first increment are moved back, as is the first look. The second
    # increment gets the stamp that a server leaves out while the second of the one before lasts.
    late = folder / index.increments[1].name
    late.write_bytes(b"#TS:%d\r\n" % first + late.read_bytes())
    early = folder / index.increments[0].name
    text = early.read_bytes()
    early.write_bytes(re.sub(rb"#TS:\d+", b"#TS:%d" % (first - 600), text))
    _alter(folder, index.increments[0].name, first - 3600)
    before = state_at(kept, first - 300, tmp_path / "before", own)
    assert "shop:later" not in before
    assert len(before) == 20  # twenty, less the deleted one, and the last of the first
    assert before["shop:last"] == "of the first"


def _alter(folder: Path, name: str, began_at: int) -> None:
    """Makes the index fit a file that a test changed, and lets it begin earlier."""
    index = history.read_index(folder)
    index.sha256[name] = history.sha256_of(folder / name)
    index.began_at = began_at
    index.bases[0] = index.bases[0]._replace(made_at=began_at)
    history._write(folder, index)


def test_a_transaction_is_never_cut_apart(own: OwnRedis, tmp_path: Path) -> None:
    """A second that ends in the middle of MULTI and EXEC has none of it."""
    with own.start() as client:
        client.set("shop:before", "1")
        with client.pipeline(transaction=True) as pipe:
            pipe.set("shop:a", "1").set("shop:b", "2").execute()
    own.end()
    path = own.aof("incr.aof")
    whole = path.read_bytes()
    middle = whole.index(b"shop:b\r\n")
    middle = whole.rindex(b"*3\r\n", 0, middle)
    late = b"#TS:4000000000\r\n"
    path.write_bytes(whole[:middle] + late + whole[middle:])
    found = aof.cut_at(path, 3_000_000_000)
    assert whole[: found.keep_bytes].count(b"SET") == 3  # a stamp inside belongs to the transaction: it stays whole
    path.write_bytes(whole[: middle + 5])  # cut off inside
    found = aof.cut_at(path, 3_000_000_000)
    assert b"shop:before" in whole[: found.keep_bytes]
    assert b"MULTI" not in whole[: found.keep_bytes]


def test_lost_files_are_told_and_not_jumped_over(own: OwnRedis, tmp_path: Path) -> None:
    """Two rewrites between two looks leave a gap: seconds on both sides can be had, those in it are an error."""
    kept = tmp_path / "history"
    with own.start() as client:
        client.set("shop:k", "first")
        history.keep(own.data, kept, now())
        rewrite(client, own.data)
        client.set("shop:k", "lost")
        rewrite(client, own.data)
        client.set("shop:k", "third")
        history.keep(own.data, kept, now() + HOUR)
    (folder,) = history.folders(kept)
    index = history.read_index(folder)
    assert [one.seq for one in index.increments] == [1, 3]
    made_at = index.bases[1].made_at
    first = folder / index.increments[0].name
    first.write_bytes(re.sub(rb"#TS:\d+", b"#TS:%d" % (made_at - 50), first.read_bytes()))
    _alter(folder, first.name, made_at - 100)
    assert state_at(kept, made_at + 1800, tmp_path / "after", own) == {"shop:k": "third"}
    with pytest.raises(HistoryMissing, match="were not kept"):
        rewind.plan(kept, dt.datetime.fromtimestamp(made_at - 1, dt.UTC))


@pytest.mark.parametrize("kind", ["base.rdb", "incr.aof"])
def test_a_kept_file_that_changed_or_is_gone_is_refused(own: OwnRedis, tmp_path: Path, kind: str) -> None:
    """One byte in a closed file: it is named and nothing is made of it; a server would load such an increment."""
    kept = tmp_path / "history"
    with own.start() as client:
        client.set("shop:k", "value")
        history.keep(own.data, kept, now() - DAY)
        rewrite(client, own.data)
        history.keep(own.data, kept, now() + DAY)
    own.end()
    (folder,) = history.folders(kept)
    index = history.read_index(folder)
    index.bases[0] = index.bases[0]._replace(made_at=index.began_at)
    history._write(folder, index)
    second = now() - DAY / 2
    rewind.plan(kept, second)
    (path,) = folder.glob(f"*.1.{kind}")
    content = bytearray(path.read_bytes())
    content[-10] ^= 1
    path.write_bytes(content)
    with pytest.raises(HistoryDamaged, match=rf"{re.escape(path.name)} is damaged: it is not what was kept"):
        rewind.plan(kept, second)
    path.unlink()
    with pytest.raises(HistoryDamaged, match="it is gone"):
        rewind.plan(kept, second)


def test_a_cut_never_touches_data_that_is_there(own: OwnRedis, tmp_path: Path) -> None:
    """A folder with anything in it is refused; a cut that fails leaves nothing that looks whole."""
    kept = tmp_path / "history"
    with own.start() as client:
        client.set("shop:k", "value")
        history.keep(own.data, kept, now() - DAY)
        history.keep(own.data, kept, now() + DAY)
    made = rewind.plan(kept, now())
    with pytest.raises(ConfigError, match="is not empty"):
        rewind.cut(made, own.data)
    half = tmp_path / "killed" / f".{aof.FOLDER}.0123.tmp"  # as kill -9 leaves it
    half.mkdir(parents=True)
    (half / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS")
    rewind.cut(made, half.parent)
    assert [path.name for path in half.parent.iterdir()] == [aof.FOLDER]
    shutil.rmtree(made.folder)
    with pytest.raises(FileNotFoundError):
        rewind.cut(made, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_old_files_go_and_the_newest_stay(own: OwnRedis, tmp_path: Path) -> None:
    """Pruning removes what only serves older seconds; a folder whose numbers start again is kept apart."""
    kept = tmp_path / "history"
    with own.start() as client:
        client.set("shop:k", "value")
        history.keep(own.data, kept, now())
        rewrite(client, own.data)
        history.keep(own.data, kept, now())
    own.end()
    (folder,) = history.folders(kept)
    (folder / "appendonly.aof.0.incr.aof").write_bytes(b"of a prune that was killed after it wrote the index")
    assert history.prune(kept, now() - DAY) == ["appendonly.aof.0.incr.aof"]
    assert {name.split(".")[2] for name in history.prune(kept, now() + DAY)} == {"1"}
    assert len(list(folder.iterdir())) == 3  # the index, a base and an increment
    shutil.rmtree(own.data / aof.FOLDER)
    own.start().close()
    history.keep(own.data, kept, now())
    own.end()
    own_files = {path.name for path in (own.data / aof.FOLDER).iterdir()} - {aof.MANIFEST}
    assert own_files == {"appendonly.aof.1.base.rdb", "appendonly.aof.1.incr.aof"}
    shutil.rmtree(own.data / aof.FOLDER)
    own.start().close()
    history.keep(own.data, kept, now())
    assert len(history.folders(kept)) == 2


def test_the_commands_cut_the_embedded_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`reco redis history` tells the span; `cut` makes a home whose server has the data; what cannot be had is said."""
    home, then = tmp_path / "home", tmp_path / "then"
    with EmbeddedValkey(home, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        client.set("shop:k", "value")
    (folder,) = history.folders(home / "redis" / "history")
    index = history.read_index(folder)
    index.looked_at += 3600
    history._write(folder, index)
    monkeypatch.setenv("RECO_HOME", str(home))
    (span,) = json.loads(printed(capsys, "redis", "history", "--json"))["history"]
    assert span["from"] < span["until"]
    assert span["until"][:19] in printed(capsys, "redis", "history")
    at = (now() + HOUR / 2).isoformat()
    assert "Would make" in printed(capsys, "redis", "cut", "--at", at, "--into", then, "--dry-run")
    assert not then.exists()
    made = json.loads(printed(capsys, "redis", "cut", "--at", at, "--into", then, "--json"))
    assert [name.split(".", 3)[3] for name in made["files"]] == ["base.rdb", "incr.aof"]
    with EmbeddedValkey(then, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        assert client.get("shop:k") == b"value"
    for wrong in ("2001-01-01", "yesterday"):
        with pytest.raises(UsageError):
            printed(capsys, "redis", "cut", "--at", wrong, "--into", tmp_path / "no")


def test_the_past_is_in_backups_and_comes_back_without_the_machine(
    tmp_path: Path, server: S3Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Closed files are sent once, sealed; where the folder is gone `cut --backups` takes them from the bucket."""
    home, then = tmp_path / "home", tmp_path / "then"
    environment = {
        "RECO_HOME": str(home),
        "RECO_NAMESPACE": "past",
        "RECO_S3_BUCKET": server.bucket,
        "RECO_S3_ENDPOINT_URL": server.url,
        "RECO_BACKUP_IDENTITY": str(IDENTITY),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    with EmbeddedValkey(home, "64mb", namespace="past").lease() as endpoint:
        client = redis.Redis.from_url(endpoint.url)
        client.set("past:snapshot:note", "value")
        (folder,) = history.folders(home / "redis" / "history")
        index = history.read_index(folder)
        index.looked_at += 3600  # as if an hour had passed
        history._write(folder, index)
        with open_vault(settings) as vault:
            first = create(open_home(settings), client, vault, now=now()).manifest
            rewrite(client, home / "redis" / "data")
            second = create(open_home(settings), client, vault, now=now()).manifest
            old = [one for one in first.entries if one.name.endswith(".1.base.rdb")]
            assert old[0] in second.entries
            assert any(one.name.endswith(".2.base.rdb") for one in second.entries)
            assert b"REDIS" not in vault.store.get_bytes(vault.object_key(old[0].object))
            made = prepare(vault, second, tmp_path / "prepared")
            assert not (made.folder / HISTORY).exists()  # a restore leaves it where it is
        client.close()
    shutil.rmtree(home / "redis")
    at = (now() + HOUR / 2).isoformat()
    with pytest.raises(HistoryMissing):
        printed(capsys, "redis", "cut", "--at", at, "--into", then)
    spans = json.loads(printed(capsys, "redis", "history", "--backups", "--json"))["history"]
    assert [one["backup_id"] for one in spans] == [first.backup_id, second.backup_id]
    assert first.backup_id in printed(capsys, "redis", "history", "--backups")
    found = json.loads(printed(capsys, "redis", "cut", "--backups", "--at", at, "--into", then, "--json"))
    assert [name.split(".", 3)[3] for name in found["files"]] == ["base.rdb", "incr.aof"]
    with EmbeddedValkey(then, "64mb").lease() as endpoint, redis.Redis.from_url(endpoint.url) as client:
        assert client.get("past:snapshot:note") == b"value"
    with pytest.raises(HistoryMissing, match="they reach from"):
        printed(capsys, "redis", "cut", "--backups", "--at", "2001-01-01", "--into", tmp_path / "no")
    assert not list(home.glob(".scratch*"))
