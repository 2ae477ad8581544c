"""Promises of the second bucket: what is said of backups goes with them, and retention decides alike on both."""

import datetime as dt
import json
from pathlib import Path

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from reco.backup.create import create
from reco.backup.marks import Checked
from reco.backup.prune import prune
from reco.backup.redate import redate
from reco.backup.replicate import behind, replicate
from reco.backup.restore import make_plan
from reco.backup.retention import Policy
from reco.backup.status import protection
from reco.backup.vault import Vault
from reco.backup.verify import verify
from reco.errors import BackupError, BackupNotFound, RetentionRefused
from reco.orders.home import open_home
from reco.settings import Settings
from reco.storage.objects import ObjectStore
from reco_pipeline.cleanup import old_backups
from reco_pipeline.cli.app import app
from reco_pipeline_tests.backup_shop import IDENTITY, KEYS, NOON, BackupShop
from reco_pipeline_tests.faulty_store import QUICK, Fault
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a backup takes long
]
ZERO = dt.timedelta(0)
TIGHT = Policy(days=1, daily=0, weekly=0, monthly=0, minimum=1)
DAYS = 24 * 60


@pytest.fixture
def second(shop: BackupShop, server: S3Server) -> Vault:
    """The second bucket of the shop."""
    found = Vault(ObjectStore("replica", server.url, patience=QUICK), shop.namespace, KEYS)
    found.store.make_bucket()
    return found


def real_now(shop: BackupShop, *, days_ago: int = 0) -> None:
    """Sets the clock of the shop to so many days ago."""
    shop.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60) - days_ago * DAYS


def clean(vault: Vault, *, elsewhere: list[str] | None = None) -> tuple[str, ...]:
    """Prunes a bucket by tight rules; the ids that went."""
    now = dt.datetime.now(dt.UTC)
    return prune(vault, TIGHT, grace=ZERO, now=now, elsewhere=elsewhere or (), dry_run=False).plan.remove


def test_retention_decides_alike_and_nothing_is_copied_twice(shop: BackupShop, second: Vault) -> None:
    """The pinned, the proven and the newest good one stay in both; no round copies what another one removed."""
    vault = shop.vault()
    real_now(shop, days_ago=40)
    gone, pinned, proven, bad = (shop.back_up().manifest for _ in range(4))
    vault.pin(pinned.backup_id, now=shop.now, why="the books")
    vault.mark_checked(Checked(proven.backup_id, "drill", shop.now, passed=True))
    vault.mark_checked(Checked(bad.backup_id, "drill", shop.now, passed=False))
    real_now(shop, days_ago=3)
    newest = shop.back_up().manifest
    stay = {one.backup_id for one in (pinned, proven, newest)}
    for number in range(2):
        done = replicate(vault, second, shop.settings.home, now=shop.now)
        assert bool(done.backups) is (number == 0)
        assert bool(done.marks) is (number == 0)
        removed = clean(vault)
        assert (
            clean(second, elsewhere=vault.ids()) == removed == ((gone.backup_id, bad.backup_id) if number == 0 else ())
        )
        assert {*vault.ids()} == {*second.ids()} == stay
    vault.unpin(pinned.backup_id)
    assert clean(second, elsewhere=vault.ids()) == (), "what the first bucket has would be copied again"


def test_a_new_first_bucket_counts_on_from_the_second(shop: BackupShop, second: Vault) -> None:
    """Its backups are the newest in both; one that began anew is not copied, since old ones would count as newer."""
    old = [shop.back_up().manifest for _ in range(2)][-1]
    replicate(shop.vault(), second, shop.settings.home, now=shop.now)
    store = ObjectStore("another", shop.server.url, patience=QUICK)
    store.make_bucket()
    first = Vault(store, shop.namespace, KEYS)
    anew = create(shop.home, shop.client, first, now=shop.now).manifest
    assert anew.seq == 1
    with pytest.raises(BackupError, match="begins anew"):
        replicate(first, second, shop.settings.home, now=shop.now)
    assert second.newest_good() == old
    key = first.manifest_key(anew.backup_id)
    second.store.put_bytes(first.store.get_bytes(key), key)
    (note,) = make_plan(second, shop.settings).notes
    assert anew.backup_id in note, "as versions before this one copied it"
    second.store.remove(key)
    made = create(open_home(both_buckets(shop)), shop.client, first, now=shop.now).manifest
    assert made.seq == old.seq + 1
    assert replicate(first, second, shop.settings.home, now=shop.now).backups == (anew.backup_id, made.backup_id)
    assert first.newest_good() == second.newest_good() == made


@pytest.mark.parametrize("then", ["empty", "in use"])
def test_a_lost_first_bucket_is_filled_from_the_second(shop: BackupShop, second: Vault, then: str) -> None:
    """With pins and findings, also where backups were made since; what began anew there is refused this way too."""
    old = [shop.back_up().manifest for _ in range(2)]
    shop.vault().pin(old[0].backup_id, now=shop.now, why="the books")
    shop.vault().mark_checked(Checked(old[1].backup_id, "drill", shop.now, passed=True))
    replicate(shop.vault(), second, shop.settings.home, now=shop.now)
    store = ObjectStore(f"filled-{then.replace(' ', '-')}", shop.server.url, patience=QUICK)
    store.make_bucket()
    first = Vault(store, shop.namespace, KEYS)
    home = open_home(both_buckets(shop))
    made = [create(home, shop.client, first, now=shop.now).manifest] if then == "in use" else []
    done = replicate(second, first, shop.settings.home, now=shop.now, back=True)
    assert (done.backups, done.marks) == (tuple(one.backup_id for one in old), 2)
    assert first.ids() == [one.backup_id for one in (*old, *made)]
    assert first.pins() == {old[0].backup_id}
    assert verify(first, old[1], shop.settings.home, part=(1, 1), now=shop.now).passed
    assert replicate(second, first, shop.settings.home, now=shop.now, back=True).objects == 0
    made += [create(home, shop.client, first, now=shop.now).manifest]
    assert made[-1].seq == len(old) + len(made)
    copied = replicate(first, second, shop.settings.home, now=shop.now).backups
    assert copied == tuple(one.backup_id for one in made)


def test_a_first_bucket_that_began_anew_is_not_mixed_with_the_second(shop: BackupShop, second: Vault) -> None:
    """Filled from there, its newer backups would count as the older ones."""
    for _ in range(2):
        shop.back_up()
    replicate(shop.vault(), second, shop.settings.home, now=shop.now)
    store = ObjectStore("began-anew", shop.server.url, patience=QUICK)
    store.make_bucket()
    first = Vault(store, shop.namespace, KEYS)
    anew = create(shop.home, shop.client, first, now=shop.now).manifest
    with pytest.raises(BackupError, match="begins anew"):
        replicate(second, first, shop.settings.home, now=shop.now, back=True)
    assert first.ids() == [anew.backup_id]


def test_an_empty_home_in_a_new_first_bucket_is_no_good_backup(shop: BackupShop, second: Vault, tmp_path: Path) -> None:
    """The last good backup is then in the second one: what brings the shop back stays the newest good one there."""
    whole = shop.back_up().manifest
    replicate(shop.vault(), second, shop.settings.home, now=shop.now)
    store = ObjectStore("new-and-empty", shop.server.url, patience=QUICK)
    store.make_bucket()
    first = Vault(store, shop.namespace, KEYS)
    shop.client.flushdb()
    empty = open_home(both_buckets(shop).model_copy(update={"home": tmp_path / "empty"}))
    made = create(empty, shop.client, first, now=shop.now).manifest
    assert len(made.suspicious) == 4
    assert replicate(first, second, empty.settings.home, now=shop.now).backups == (made.backup_id,)
    assert second.newest_good() == whole
    meant = create(empty, shop.client, first, now=shop.now, accept_smaller=True).manifest
    assert meant.good


def test_a_copied_manifest_that_cannot_be_read_is_put_anew(shop: BackupShop, second: Vault) -> None:
    """It counts as behind until then."""
    vault, made = shop.vault(), shop.back_up().manifest
    replicate(vault, second, shop.settings.home, now=shop.now)
    second.store.put_bytes(b"junk", second.manifest_key(made.backup_id))
    assert protection(vault, None, now=shop.now, replica=second).replica_behind == 1
    assert replicate(vault, second, shop.settings.home, now=shop.now).backups == (made.backup_id,)
    assert second.newest_good() == made
    assert behind(vault, second) == []


@pytest.mark.parametrize(("call", "first"), [("put_object", 0), ("get_object", 3)])
def test_a_prune_in_the_midst_of_a_replication_keeps_no_other_backup_away(
    shop: BackupShop, second: Vault, call: str, first: int
) -> None:
    """What the first bucket has no more is left out, whether it went before it was held or while it is read."""
    gone, newest = (shop.back_up().manifest for _ in range(2))
    vault = shop.vault()
    pruned = Fault(call, first, before=lambda _: vault.store.remove(vault.manifest_key(gone.backup_id)))
    copied = replicate(shop.vault(pruned), second, shop.settings.home, now=shop.now)
    assert not pruned.times
    assert copied.backups == (newest.backup_id,)
    assert second.ids() == [newest.backup_id]


def test_a_second_bucket_that_does_not_answer_keeps_no_backup_away(shop: BackupShop) -> None:
    """The backup is made, and counts on from what the first bucket knows."""
    shop.back_up()
    missing = both_buckets(shop).model_copy(update={"s3_replica_bucket": "none-of-that-name"})
    assert create(open_home(missing), shop.client, shop.vault(), now=shop.now).manifest.seq == 2


def test_a_backup_that_cannot_be_copied_stops_no_retention(shop: BackupShop, second: Vault) -> None:
    """It is in the first bucket: that the second one lacks it is no loss."""
    vault = shop.vault()
    real_now(shop, days_ago=40)
    old, broken = shop.back_up().manifest, shop.back_up().manifest
    replicate(vault, second, shop.settings.home, now=shop.now)
    second.store.remove(second.manifest_key(broken.backup_id))  # as if its objects had been damaged by then
    second.store.remove(f"{second.namespace}/lease.json")
    real_now(shop, days_ago=3)
    newest = shop.back_up().manifest
    key = second.manifest_key(newest.backup_id)
    second.store.put_bytes(vault.store.get_bytes(key), key)
    with pytest.raises(RetentionRefused, match=broken.backup_id):
        clean(second)
    assert clean(second, elsewhere=[broken.backup_id, newest.backup_id]) == (old.backup_id,)


def both_buckets(shop: BackupShop) -> Settings:
    """Settings of the shop that name both buckets, with tight rules."""
    rules = {f"backup_keep_{name}": getattr(TIGHT, name) for name in ("days", "daily", "weekly", "monthly", "minimum")}
    buckets = {
        "s3_bucket": shop.server.bucket,
        "s3_replica_bucket": "replica",
        "backup_identity": SecretStr(str(IDENTITY)),
    }
    urls = {"s3_endpoint_url": shop.server.url, "s3_replica_endpoint_url": shop.server.url}
    return shop.settings.model_copy(update={**rules, **buckets, **urls})


def test_a_cleanup_leaves_the_second_bucket_what_the_first_one_has(shop: BackupShop, second: Vault) -> None:
    """As the job and the command do; where the first one refuses, it leaves the second one as it is."""
    vault = shop.vault()
    real_now(shop, days_ago=40)
    old = shop.back_up().manifest
    real_now(shop, days_ago=3)
    newest = shop.back_up().manifest
    replicate(vault, second, shop.settings.home, now=shop.now)
    vault.hold(old.backup_id, "another", "A restore")  # it stays in the first bucket for now
    now = dt.datetime.now(dt.UTC)
    for dry_run in (True, False):
        done = old_backups(both_buckets(shop), now=now, dry_run=dry_run)
        assert [(one.problem, one.rows) for one in done] == [("", 0), ("", 0)]
    vault.release(old.backup_id, "another")
    raw = vault.store.get_bytes(vault.manifest_key(newest.backup_id))
    vault.store.remove(vault.manifest_key(newest.backup_id))
    refused, left = old_backups(both_buckets(shop), now=now, dry_run=False)
    assert "lacks" in refused.problem
    assert "first bucket" in left.problem
    assert second.ids() == [old.backup_id, newest.backup_id]
    vault.store.put_bytes(raw, vault.manifest_key(newest.backup_id))
    for dry_run in (True, False):
        done = old_backups(both_buckets(shop), now=now, dry_run=dry_run)
        assert [(one.problem, one.rows) for one in done] == [("", 1), ("", 1)]
    assert vault.ids() == second.ids() == [newest.backup_id]


def test_findings_of_the_first_bucket_say_nothing_of_objects_of_the_second(shop: BackupShop, second: Vault) -> None:
    """Damage in one bucket does not speak against the copy, nor does a whole object in the first for a damaged copy."""
    vault, home = shop.vault(), shop.settings.home
    made = shop.back_up().manifest
    replicate(vault, second, home, now=shop.now)
    key = second.object_key(made.entry("sql.jsonl").object)
    whole = second.store.get_bytes(key)
    second.store.put_bytes(b"other", key)
    assert not verify(second, made, home, part=(1, 1), now=shop.now).passed
    assert verify(vault, made, home, part=(1, 1), now=shop.now).passed
    replicate(vault, second, home, now=shop.now)
    assert second.standing(second.list()).backups == {made.backup_id}
    vault.store.put_bytes(b"other", key)
    assert not verify(vault, made, home, part=(1, 1), now=shop.now).passed
    second.store.put_bytes(whole, key)
    assert verify(second, made, home, part=(1, 1), now=shop.now).passed
    replicate(vault, second, home, now=shop.now)
    assert second.standing(second.list()).backups == frozenset()
    assert vault.standing(vault.list()).backups == {made.backup_id}


def test_a_damaged_copy_is_put_anew_with_the_next_backup(shop: BackupShop, second: Vault) -> None:
    """Found by its size at once, by its bytes once a check has read it; the copy of then is whole again."""
    vault, home = shop.vault(), shop.settings.home
    first = shop.back_up().manifest
    replicate(vault, second, home, now=shop.now)
    cut, flipped = (first.entry(name) for name in ("sql.jsonl", "redis.resp"))
    second.store.put_bytes(b"cut", second.object_key(cut.object))
    data = bytearray(second.store.get_bytes(second.object_key(flipped.object)))
    data[-1] ^= 1
    second.store.put_bytes(bytes(data), second.object_key(flipped.object))
    assert not verify(second, first, home, part=(1, 1), now=shop.now).passed
    assert {cut.object, flipped.object} <= {one.object for one in shop.back_up().manifest.entries}
    assert replicate(vault, second, home, now=shop.now).objects == 2
    assert verify(second, first, home, part=(1, 1), now=shop.now).passed


@pytest.mark.slow
def test_a_date_that_was_put_right_holds_in_both(shop: BackupShop, second: Vault) -> None:
    """The second bucket's own time of it is when it was copied: that of the first one counts."""
    vault = shop.vault()
    real_now(shop, days_ago=-3650)
    wrong = shop.back_up().manifest
    done = redate(vault, shop.home.ledger.engine, wrong.backup_id, now=shop.now, why="the clock")
    replicate(vault, second, shop.settings.home, now=shop.now)
    assert second.dates() == vault.dates() == {wrong.backup_id: done.at}


@pytest.mark.slow
def test_the_command_pins_in_both(shop: BackupShop, second: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the copy is there; and takes both pins off. `--replica` is about the second bucket alone."""
    for name, value in {
        "RECO_HOME": str(shop.settings.home),
        "RECO_NAMESPACE": shop.namespace,
        "RECO_REDIS_URL": f"redis://127.0.0.1:{port_of(shop.client)}/0",
        "RECO_S3_BUCKET": shop.server.bucket,
        "RECO_S3_ENDPOINT_URL": shop.server.url,
        "RECO_S3_REPLICA_BUCKET": "replica",
        "RECO_S3_REPLICA_ENDPOINT_URL": shop.server.url,
        "RECO_BACKUP_IDENTITY": str(IDENTITY),
    }.items():
        monkeypatch.setenv(name, value)
    vault, made = shop.vault(), shop.back_up().manifest

    def pin(*more: str) -> tuple[bool, bool]:
        done = CliRunner().invoke(app, ["backup", "pin", made.backup_id, *more, "--json"])
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["backup_id"] == made.backup_id
        return bool(vault.pins()), bool(second.pins())

    assert pin() == (True, False)
    replicate(vault, second, shop.settings.home, now=shop.now)
    assert second.pins() == {made.backup_id}
    assert pin("--remove") == (False, False)
    assert pin() == (True, True)
    assert pin("--replica", "--remove") == (True, False)
    vault.store.remove(vault.manifest_key(made.backup_id))
    vault.unpin(made.backup_id)
    refused = CliRunner().invoke(app, ["backup", "pin", made.backup_id])
    assert isinstance(refused.exception, BackupNotFound)
    assert not second.pins(), "refused as a whole"
