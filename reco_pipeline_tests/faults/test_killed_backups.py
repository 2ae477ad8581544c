"""Promises of backups killed at any stage: the list holds only whole ones, and the next attempt succeeds.

One process imports the product and forks a child for each kill, since importing takes longer than a backup.
"""

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from reco.backup.keys import Keyring
from reco.backup.prune import prune
from reco.backup.replicate import replicate
from reco.backup.restore import make_plan, restore
from reco.backup.retention import Policy
from reco.backup.vault import Vault
from reco.backup.verify import verify
from reco.errors import BackupError
from reco.orders.home import open_home
from reco.settings import Settings
from reco.snapshot.store import SnapshotStore
from reco.storage.homelock import RESTORING
from reco_pipeline_tests.backup_shop import IDENTITY, KEYS, NOON, BackupShop
from reco_pipeline_tests.faulty_store import Fault, says
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of
from reco_pipeline_tests.shop import ROOT

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]
TIGHT = Policy(days=1, daily=0, weekly=0, monthly=0, minimum=1)

CHILD = """
import datetime as dt, json, os, signal, sys
from pathlib import Path
import redis
from reco.backup import contents, switch
from reco.backup.keys import Keyring
from reco.backup.prune import prune
from reco.backup.replicate import replicate
from reco.backup.restore import make_plan, restore
from reco.backup.retention import Policy
from reco.settings import Settings
from reco_pipeline_tests import backup_shop
from reco_pipeline_tests.faults.test_killed_backups import replica
from reco_pipeline_tests.backup_shop import BackupShop
from reco_pipeline_tests.faulty_store import Fault
from reco_pipeline_tests.object_store import S3Server

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def work(order):
    client = redis.Redis(port=order["redis"])
    shop = BackupShop(Path(order["folder"]), client, S3Server(order["url"], order["bucket"]), order["minute"])
    identity = order["identity"]
    keys = Keyring((backup_shop.pyrage.x25519.Identity.from_str(identity).to_public().__str__(),), (identity,))
    operation, number = order["kill"]
    if order["do"] == "restore":
        name = operation
        whole = getattr(switch, name)
        def stage(*a, **k):
            done = whole(*a, **k)
            die()
        setattr(switch, name, stage)
        settings = shop.settings
        vault = shop.vault(keys=keys)
        restore(vault, settings, make_plan(vault, settings), now=shop.now, force=True)
    elif order["do"] == "take":
        whole = getattr(contents, operation)
        def part(*a, **k):
            if number == 0:
                die()
            whole(*a, **k)
            die()
        setattr(contents, operation, part)
        shop.back_up(keys=keys)
    else:
        fault = Fault(operation, first=number, times=-1, before=die)
        if number < 0:
            fault = Fault(operation, first=-1 - number, times=-1, after=die)
        if order["do"] == "backup":
            shop.back_up(fault, keys=keys)
        elif order["do"] == "replicate":
            second = replica(shop, order["second"], fault, keys=keys)
            replicate(shop.vault(keys=keys), second, shop.settings.home, now=shop.now)
        else:
            now = dt.datetime.now(dt.UTC)
            zero, vault = dt.timedelta(0), shop.vault(fault, keys=keys)
            prune(vault, Policy(1, 0, 0, 0, 1), grace=zero, keep_versions=zero, now=now, dry_run=False)
    os._exit(0)

for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        work(json.loads(line))
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Zygote:
    """The process that forks."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CHILD],
            cwd=ROOT,
            env=os.environ | {"POLARS_MAX_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, shop: BackupShop, do: str, kill: tuple[str, int], second: str = "") -> int:
        """Lets a child work until it is killed; returns its exit code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {
            "do": do,
            "kill": kill,
            "folder": str(shop.folder),
            "redis": port_of(shop.client),
            "url": shop.server.url,
            "bucket": shop.server.bucket,
            "second": second,
            "minute": shop.minute,
            "identity": str(IDENTITY),
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def close(self) -> None:
        """Ends it."""
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """One for all tests of this file."""
    found = Zygote()
    yield found
    found.close()


@pytest.fixture
def shop(tmp_path: Path, client: redis.Redis, server: S3Server) -> BackupShop:
    """A shop with one published drop and one backup."""
    found = BackupShop(tmp_path, client, server)
    found.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60) - 60
    found.give()
    found.publish()
    found.back_up()
    return found


# The n-th call of an operation is the last thing that does not happen; -1 - n: the last thing that does.
BACKUP_KILLS = [
    ("put_object", 0),  # the lease
    ("put_object", -1),  # after the lease
    ("put_object", 2),  # an object
    ("put_object", -3),  # after an object, before it is read back
    ("list_objects_v2", 0),
]


def replica(shop: BackupShop, bucket: str, *faults: Fault, keys: Keyring = KEYS) -> Vault:
    """A second bucket of the shop, through a client with these faults."""
    vault = BackupShop(shop.folder, shop.client, S3Server(shop.server.url, bucket)).vault(*faults, keys=keys)
    vault.store.make_bucket()
    return vault


@pytest.mark.slow
def test_a_killed_replication_leaves_no_half_backup(shop: BackupShop, zygote: Zygote) -> None:
    """At the lease, an object, its reading back and a manifest: what is listed is whole, and the next one ends it."""
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    shop.back_up()
    wanted, keys = shop.vault().ids(), list[str]()
    count = Fault("put_object", times=-1, before=lambda arguments: keys.append(str(arguments["Key"])))
    replicate(shop.vault(), replica(shop, "replica-whole", count), shop.settings.home, now=shop.now)
    one, other = [number for number, key in enumerate(keys) if key.endswith("manifest.json")]
    puts = [("put_object", number) for number in (0, -1, 2, -3, one, -1 - one, other, -1 - other)]
    for number, kill in enumerate([*puts, ("get_object", 0), ("get_object", 2), ("get_object", -3)]):
        second = replica(shop, f"replica-{number}")
        assert zygote.run(shop, "replicate", kill, second=f"replica-{number}") == -signal.SIGKILL, kill
        there = [listed.manifest for listed in second.list() if listed.manifest is not None]
        expected = {("put_object", -1 - one): 1, ("put_object", other): 1, ("put_object", -1 - other): 2}
        assert [found.backup_id for found in there] == wanted[: expected.get(kill, 0)], kill
        assert len(second.ids()) == len(there), kill
        done = replicate(shop.vault(), second, shop.settings.home, now=shop.now)
        assert [*(found.backup_id for found in there), *done.backups] == wanted == second.ids(), kill
        for backup_id in wanted:
            whole = verify(second, second.read(backup_id), shop.settings.home, part=(1, 1), now=shop.now)
            assert whole.passed, kill


@pytest.mark.slow
def test_a_killed_backup_is_none(shop: BackupShop, zygote: Zygote) -> None:
    """Before the lease, between objects, before the manifest: the list is as before, and the next one succeeds."""
    before = shop.vault().ids()
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    for kill in BACKUP_KILLS:
        assert zygote.run(shop, "backup", kill) == -signal.SIGKILL, kill
        assert shop.vault().ids() == before, kill
    for part in ("link_tree", "dump_sql", "dump", "_take_dagster"):  # before and after it was taken
        for number in (0, 1):
            assert zygote.run(shop, "take", (part, number)) == -signal.SIGKILL, part
            assert shop.vault().ids() == before, part
            shop.client.delete(f"{shop.namespace}:snapshot:lease")  # it ends by itself after half a minute
    assert not [path for path in shop.settings.home.rglob("staged") if path.is_file()]
    puts = _puts_of_a_backup(shop)
    assert zygote.run(shop, "backup", ("put_object", puts[0])) == -signal.SIGKILL  # instead of the manifest
    assert shop.vault().ids() == before
    assert zygote.run(shop, "backup", ("put_object", -1 - puts[0])) == -signal.SIGKILL  # just after it
    assert len(shop.vault().ids()) == 2
    made = shop.back_up().manifest
    for one in shop.vault().list():
        assert one.manifest is not None
        assert verify(shop.vault(), one.manifest, shop.settings.home, part=(1, 1), now=shop.now).passed
    assert made.seq == 3
    stray = prune(shop.vault(), TIGHT, grace=dt.timedelta(0), now=dt.datetime.now(dt.UTC))
    assert stray.objects > 0


def _puts_of_a_backup(shop: BackupShop) -> list[int]:
    """Which put makes the manifest, by counting those of a backup that is refused there."""
    counted: list[str] = []

    def note(arguments: dict[str, object]) -> None:
        counted.append(str(arguments["Key"]))
        if str(arguments["Key"]).endswith("manifest.json"):
            says(403, "AccessDenied")(None)

    with pytest.raises(Exception, match="refuses"):
        shop.back_up(Fault("put_object", times=-1, before=note))
    return [len(counted) - 2]  # the last one gave the lease back


@pytest.mark.slow
def test_a_killed_prune_leaves_whole_backups(shop: BackupShop, zygote: Zygote) -> None:
    """Before and after each removal: whatever is listed can be verified, and the next prune ends the work."""
    vault = shop.vault()  # the backup of today is made to be older than the old ones, as their number says
    vault.mark_dated(vault.ids()[0], dt.datetime.now(dt.UTC) - dt.timedelta(days=41), now=shop.now)
    shop.minute -= 40 * 24 * 60
    old = [shop.back_up().manifest for _ in range(2)]
    shop.minute += 40 * 24 * 60
    shop.give("tuesday", {"9": ["Kit"]})
    newest = shop.back_up().manifest
    shop.vault().store.put_bytes(b"stray", shop.vault().object_key("0" * 64))
    gone: set[str] = set()
    early = [("delete_object", 0), ("delete_object", -1), ("delete_object", 1), ("delete_object", -1)]
    for kill in [*early, ("delete_object", 3), ("delete_object", -4), ("delete_object", 5)]:  # of versions, at the end
        assert zygote.run(shop, "prune", kill) == -signal.SIGKILL, kill
        for one in shop.vault().list():
            assert one.manifest is not None
            assert verify(shop.vault(), one.manifest, shop.settings.home, part=(1, 1), now=shop.now).passed, kill
        there = {*shop.vault().ids(), *(one.key for one in shop.vault().objects())}
        assert not gone & there, kill  # freeing a version brings nothing back
        gone |= _hidden(shop) - there
    prune(shop.vault(), TIGHT, grace=dt.timedelta(0), now=dt.datetime.now(dt.UTC), dry_run=False)
    left = shop.vault().ids()
    assert newest.backup_id in left
    assert not {one.backup_id for one in old} & set(left)


def _hidden(shop: BackupShop) -> set[str]:
    """What was removed of backups and objects, and is kept as a version."""
    store, namespace = shop.vault().store, shop.namespace
    keys = {one.key for one in store.versions(f"{namespace}/objects/")}
    return keys | {one.key.split("/")[-2] for one in store.versions(f"{namespace}/backups/")}


@pytest.mark.parametrize("stage", ["_load_versioned", "write_journal", "_replace_files", "_load_others"])
def test_a_killed_restore_is_done_again(shop: BackupShop, zygote: Zygote, stage: str) -> None:
    """Before the switch nothing has changed; after its begin the home is refused until the restore is done again."""
    namespace = shop.settings.namespace
    first = SnapshotStore(shop.client, namespace).current_id()
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    shop.publish()
    second = SnapshotStore(shop.client, namespace).current_id()
    assert zygote.run(shop, "restore", (stage, 0)) == -signal.SIGKILL
    if stage == "_load_versioned":
        assert SnapshotStore(shop.client, namespace).current_id() == second
        assert len(shop.home.ledger.drops()) == 2
    else:
        assert (shop.settings.home / RESTORING).exists()
        with pytest.raises(BackupError, match="cut short"):
            open_home(shop.settings)
    shop.client.delete(f"{namespace}:snapshot:lease")  # it ends by itself after half a minute
    vault = shop.vault(keys=KEYS)
    restore(vault, shop.settings, make_plan(vault, shop.settings), now=shop.now, force=True)
    assert SnapshotStore(shop.client, namespace).current_id() == first
    assert len(shop.home.ledger.drops()) == 1
    assert not [path for path in shop.settings.home.iterdir() if path.name.startswith(".scratch")]


def test_a_full_disk_makes_no_backup(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part or a sealed file that cannot be written stops the backup with the next step; nothing is listed."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = shop.vault().ids()
    shop.give("tuesday", {"9": ["Kit"]})
    for where in ("reco.backup.contents.dump_sql", "reco.backup.contents.dump", "pyrage.encrypt_io"):
        with monkeypatch.context() as patch:
            patch.setattr(where, full)
            with pytest.raises(BackupError, match="No space left") as caught:
                shop.back_up()
        assert "room" in caught.value.hint
        assert shop.vault().ids() == before
    assert shop.back_up().manifest.good


def test_an_embedded_redis_that_does_not_start_is_moved_aside(shop: BackupShop) -> None:
    """Files that the server refuses are kept beside, and the restore begins on an empty one."""
    settings = Settings(home=shop.folder / "embedded", namespace=shop.settings.namespace)
    data = settings.home / "redis" / "data" / "appendonlydir"
    data.mkdir(parents=True)
    (data / "appendonly.aof.manifest").write_text("file appendonly.aof.1.base.rdb seq 1 type b\n")
    vault = shop.vault()
    plan = make_plan(vault, settings)
    assert "does not start" in plan.lives[0]
    done = restore(vault, settings, plan, now=shop.now, force=True)
    assert done.answers_equal
    assert list((settings.home / "redis").glob("data-damaged-*/appendonlydir/*.manifest"))


@pytest.mark.slow
def test_the_show_of_a_disaster_ends_well() -> None:
    """`make demo-disaster`: Redis killed and wiped under requests is restored, and gives the same answers."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.demo_disaster"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The answers are the same." in done.stdout
    assert "(RTO)" in done.stdout
