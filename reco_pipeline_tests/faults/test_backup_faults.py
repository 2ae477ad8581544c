"""Promises of backups when something fails midway: no half backup, no wrong verdict, and the next one works."""

import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
import redis
from structlog.testing import capture_logs

from reco.backup.create import create
from reco.backup.manifest import write_manifest
from reco.backup.prepare import prepare
from reco.backup.verify import verify
from reco.errors import BackupDamaged, BackupError, Busy, ObjectStoreUnavailable, RecoError, RedisUnavailable
from reco.local.process import server_binary
from reco.storage.redis import redis_errors
from reco_pipeline_tests.backup_shop import KEYS, BackupShop
from reco_pipeline_tests.embedded import eventually
from reco_pipeline_tests.faulty_store import Fault, body, says
from reco_pipeline_tests.servers import connect, running_valkey

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a backup takes long
]


FAULTS: dict[str, tuple[Callable[[], Fault], type[RecoError]]] = {
    "the store is busy for good": (
        lambda: Fault("put_object", first=3, times=-1, before=says(503, "SlowDown")),
        ObjectStoreUnavailable,
    ),
    "what was put reads back as something else": (
        lambda: Fault("get_object", first=1, times=-1, after=body(lambda data: data[:-1] + bytes([data[-1] ^ 1]))),
        BackupDamaged,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_fails_midway_leaves_no_backup(shop: BackupShop, fault: str) -> None:
    """It is said with its own exit code, the list is as before, and the next backup is whole."""
    make, error = FAULTS[fault]
    with pytest.raises(error):
        shop.back_up(make())
    assert shop.vault().ids() == []
    shop.vault().store.remove(f"{shop.namespace}/lease.json")  # what could not be given back ends by itself
    made = shop.back_up().manifest
    assert prepare(shop.vault(), made, shop.folder / "prepared").redis.stat().st_size > 0


def test_a_redis_that_is_gone_or_read_only_makes_no_backup(shop: BackupShop, tmp_path: Path) -> None:
    """A dump needs the lease of publishing: a replica is refused, a server that is away is told; nothing is listed."""
    (tmp_path / "replica").mkdir()
    with (
        running_valkey(tmp_path / "replica", "--replicaof", "127.0.0.1", "1") as replica,
        pytest.raises(RedisUnavailable, match="read-only"),
        redis_errors(replica, embedded=False),
    ):
        create(shop.home, replica, shop.vault(), now=shop.now)
    with pytest.raises(RedisUnavailable), redis_errors(replica, embedded=False):
        create(shop.home, replica, shop.vault(), now=shop.now)
    assert shop.vault().ids() == []
    assert shop.back_up().manifest.good


@pytest.mark.slow
def test_a_redis_that_is_loading_makes_no_backup(shop: BackupShop, tmp_path: Path) -> None:
    """What it answers until it has read its files is not what it holds: it is told, and nothing is listed."""
    with running_valkey(tmp_path) as full:
        full.mset({f"{shop.namespace}:{number}": "x" for number in range(3_000)})
        full.save()
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(tmp_path), "--key-load-delay", "100000"]
    command = [str(server_binary()), *words, "--loading-process-events-interval-bytes", "1024"]
    with (tmp_path / "loading.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    loading = connect(port)
    try:
        assert eventually(lambda: is_loading(loading))
        with pytest.raises(RedisUnavailable), redis_errors(loading, embedded=False):
            create(shop.home, loading, shop.vault(), now=shop.now)
        assert is_loading(loading)
    finally:
        process.kill()
        process.wait()
        loading.close()
    assert shop.vault().ids() == []
    assert shop.back_up().manifest.good


def is_loading(client: redis.Redis) -> bool:
    """Whether a server answers that it is reading its files."""
    try:
        client.ping()
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.ConnectionError:  # not there yet
        return False
    return False


def test_a_full_disk_says_nothing_against_a_backup(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room to open it, reading or opening, the error is not that it is damaged."""
    made = shop.back_up().manifest
    full = OSError(28, "No space left on device")

    def refuse(*_: object, **__: object) -> None:
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(pyrage, "decrypt_io", refuse)
        with pytest.raises(BackupError, match="No space left") as caught:
            prepare(shop.vault(), made, shop.folder / "one")
    assert not isinstance(caught.value, BackupDamaged)
    vault = shop.vault()
    monkeypatch.setattr(vault.store, "get", refuse)
    with pytest.raises(BackupError, match="No space left") as caught:
        prepare(vault, made, shop.folder / "two")
    assert not isinstance(caught.value, BackupDamaged)


def test_a_manifest_that_is_another_or_of_a_later_version_is_refused(shop: BackupShop) -> None:
    """A real manifest under the id of another backup is no backup, nor is one of a format that this version lacks."""
    made = shop.back_up().manifest
    vault = shop.vault()
    raw = vault.store.get_bytes(vault.manifest_key(made.backup_id))
    other = made.backup_id.replace("00000001-", "00000002-")
    vault.store.put_bytes(raw, vault.manifest_key(other))
    with pytest.raises(BackupDamaged, match=f"it is that of {made.backup_id}"):
        vault.read(other)
    vault.store.put_bytes(write_manifest(replace(made, backup_id=other, format=2), KEYS), vault.manifest_key(other))
    with pytest.raises(BackupDamaged, match="format 2 is unknown"):
        vault.read(other)
    assert vault.newest_good() == made


def test_a_clock_that_went_back_changes_no_order(shop: BackupShop) -> None:
    """The newest backup is the one made last, whatever it says of the time."""
    first = shop.back_up().manifest
    shop.minute -= 24 * 60
    second = shop.back_up().manifest
    assert second.created_at < first.created_at
    assert shop.vault().newest_good() == second
    assert second.predecessors == (first.backup_id,)


@pytest.mark.parametrize(
    ("junk", "free"),
    [
        (b"", False),
        (b"[1]", False),
        (b'{"owner": 3, "generation": "x"}', False),
        (b'{"owner": "", "generation": null}', True),
        (b'{"generation": []}', True),
    ],
)
def test_a_lease_that_is_not_ours_is_waited_for_or_replaced(shop: BackupShop, junk: bytes, free: bool) -> None:
    """Whoever it names may be at work; where it names nobody the next backup takes it."""
    vault = shop.vault()
    vault.store.put_bytes(junk, f"{shop.namespace}/lease.json")
    if free:
        assert shop.back_up().manifest.generation == 1
    else:
        with pytest.raises(Busy):
            shop.back_up()


def test_a_check_by_who_may_only_read_tells_what_it_found(shop: BackupShop) -> None:
    """Nothing can be entered, and the log says so; damage is told all the same."""
    made = shop.back_up().manifest
    damaged = made.entries[0].object
    shop.vault().store.put_bytes(b"other", shop.vault().object_key(damaged))
    reader = shop.vault(Fault("put_object", times=-1, before=says(403, "AccessDenied")))
    with capture_logs() as logs:
        found = verify(reader, made, shop.settings.home, part=(1, 1), now=shop.now)
    assert len(found.problems) == 1
    assert [one["event"] for one in logs] == ["backup_not_held", "backup_finding_not_entered"]
    assert shop.vault().checks() == []


def test_a_name_that_no_backup_can_have_stops_nothing(shop: BackupShop) -> None:
    """What has no such date is none of the list; one whose number leaves none after it is named, nothing is made."""
    made, vault = shop.back_up().manifest, shop.vault()
    vault.store.put_bytes(b"junk", vault.manifest_key("00000000-99999999T999999Z-0badc0de"))
    assert vault.ids() == [made.backup_id]
    assert shop.back_up().manifest.seq == 2
    last = "99999999-20200101T000000Z-0badc0de"
    vault.store.put_bytes(b"junk", vault.manifest_key(last))
    listed = vault.ids()
    with pytest.raises(BackupError, match=last):
        shop.back_up()
    assert vault.ids() == listed
    vault.store.remove(vault.manifest_key(last))
    assert shop.back_up().manifest.seq == 3
