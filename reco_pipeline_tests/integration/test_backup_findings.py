"""Promises of findings over time: what was read right stays so, whatever goes and whatever a clock said."""

import datetime as dt
import time

import pytest

from reco.backup.drill import drill
from reco.backup.manifest import HISTORY, Manifest
from reco.backup.marks import Checked
from reco.backup.prune import prune
from reco.backup.retention import Policy
from reco.backup.status import protection
from reco.backup.vault import Vault
from reco.backup.verify import verify
from reco.errors import BackupDamaged, BackupNotFound
from reco_pipeline_tests.backup_shop import NOON, BackupShop

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a backup takes long
]
TIGHT = Policy(days=1, daily=0, weekly=0, monthly=0, minimum=1)
WHOLE = (1, 1)
YEARS = dt.timedelta(days=3650)


def back_up(shop: BackupShop, *, days_ago: int) -> Manifest:
    """Makes a backup of so many days ago, by the real clock."""
    shop.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60) - days_ago * 24 * 60 - 10
    return shop.back_up().manifest


def shared(*manifests: Manifest) -> str:
    """An object that all of these name, and that a drill reads."""
    named = [{one.object for one in m.entries if not one.name.startswith(HISTORY)} for m in manifests]
    return min(set.intersection(*named))


def clean(vault: Vault) -> tuple[str, ...]:
    """Prunes by tight rules; the ids that went."""
    return prune(vault, TIGHT, grace=dt.timedelta(0), now=dt.datetime.now(dt.UTC), dry_run=False).plan.remove


def test_what_was_read_right_stays_so_when_the_backup_goes_that_was_read(shop: BackupShop) -> None:
    """A check of another backup cleared the object; retention removes that one, and the object is no worse for it."""
    vault, home = shop.vault(), shop.settings.home
    found, read, newest = (back_up(shop, days_ago=days) for days in (40, 39, 0))
    key = vault.object_key(shared(found, read, newest))
    whole = vault.store.get_bytes(key)
    vault.store.put_bytes(b"other", key)
    assert not verify(vault, found, home, part=WHOLE, now=shop.now).passed
    vault.store.put_bytes(whole, key)
    assert verify(vault, read, home, part=WHOLE, now=shop.now).passed
    vault.pin(found.backup_id, now=shop.now, why="the books")
    # The last one that was proven, elsewhere: which says nothing of an object here.
    vault.mark_checked(Checked(newest.backup_id, "drill", shop.now, passed=True, copied=True))
    assert clean(vault) == (read.backup_id,)
    assert vault.standing(vault.list()).objects == frozenset()
    assert vault.newest_good() == newest
    vault.store.put_bytes(b"other", key)
    assert not verify(vault, newest, home, part=WHOLE, now=shop.now).passed
    assert vault.standing(vault.list()).backups == {found.backup_id, newest.backup_id}, "damaged anew"


@pytest.mark.slow
def test_what_a_drill_found_is_cleared_for_good(shop: BackupShop) -> None:
    """A drill is kept for a year; what it found damaged was read right before its backup went."""
    vault = shop.vault()
    old, newest = (back_up(shop, days_ago=days) for days in (40, 0))
    key = vault.object_key(shared(old, newest))
    whole = vault.store.get_bytes(key)
    vault.store.put_bytes(b"other", key)
    with pytest.raises(BackupDamaged):
        drill(vault, shop.settings, old, now=shop.now)
    vault.store.put_bytes(whole, key)
    assert verify(vault, old, shop.settings.home, part=WHOLE, now=shop.now).passed
    vault.mark_checked(Checked(newest.backup_id, "drill", shop.now, passed=True, copied=True))
    assert clean(vault) == (old.backup_id,)
    assert vault.standing(vault.list()).backups == frozenset()


def test_the_next_check_clears_what_read_wrong_once(shop: BackupShop) -> None:
    """A finding against every backup, new ones too, since they share what is right by now: it is what is checked."""
    vault, home = shop.vault(), shop.settings.home
    with pytest.raises(BackupNotFound):
        vault.newest_to_check()
    made = shop.back_up().manifest
    key = vault.object_key(made.entries[0].object)
    whole = vault.store.get_bytes(key)
    vault.store.put_bytes(b"other", key)
    assert not verify(vault, vault.newest_to_check(), home, part=WHOLE, now=shop.now).passed
    vault.store.put_bytes(whole, key)
    newest = shop.back_up().manifest
    with pytest.raises(BackupNotFound, match="against each"):
        vault.newest_good()
    assert vault.newest_to_check() == newest
    assert verify(vault, vault.newest_to_check(), home, part=WHOLE, now=shop.now).passed
    assert vault.newest_good() == newest


@pytest.mark.parametrize("wrong", [YEARS, -YEARS])
def test_no_wrong_clock_hides_what_was_found_later(shop: BackupShop, wrong: dt.timedelta) -> None:
    """The order of findings is that of the store: of a check that passed, and of the one after it that did not."""
    vault, home = shop.vault(), shop.settings.home
    made = shop.back_up().manifest
    assert verify(vault, made, home, part=WHOLE, now=shop.now + max(wrong, dt.timedelta(0))).passed
    time.sleep(1.1)  # a store's times may be to the second
    vault.store.put_bytes(b"other", vault.object_key(made.entries[0].object))
    assert not verify(vault, made, home, part=WHOLE, now=shop.now + min(wrong, dt.timedelta(0))).passed
    assert vault.standing(vault.list()).backups == {made.backup_id}


def test_a_drill_of_a_time_to_come_hides_no_missing_one(shop: BackupShop) -> None:
    """Its age counts from when the store took it."""
    vault, now = shop.vault(), dt.datetime.now(dt.UTC)
    made = shop.back_up().manifest
    vault.mark_checked(Checked(made.backup_id, "drill", now + YEARS, passed=True))
    found = protection(vault, None, now=now + dt.timedelta(days=9))
    assert found.drill_age_seconds == pytest.approx(9 * 86400, abs=60)
