"""Promises of making a backup: what it holds, what it sends, and what makes it one."""

import datetime as dt
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from reco.backup.create import suspicions
from reco.backup.keys import Keyring
from reco.backup.lease import BackupLease
from reco.backup.prepare import prepare
from reco.backup.prune import prune
from reco.backup.redis_dump import live_facts
from reco.backup.retention import Policy
from reco.backup.verify import verify
from reco.errors import BackupKeyWrong, BackupNotFound, Busy
from reco.settings import Settings
from reco.snapshot.garbage import collect_garbage
from reco.snapshot.keys import Keys
from reco.snapshot.order_book import SERVED_ORDERS
from reco_pipeline_tests.backup_shop import IDENTITY, NOON, OTHER, BackupShop

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]


def test_a_backup_holds_everything_once(shop: BackupShop) -> None:
    """Its manifest counts what there is; a second backup sends only what changed since."""
    made = shop.back_up()
    facts = made.manifest.facts
    assert facts["redis"]["digest"] == live_facts(shop.client, Keys(shop.settings.namespace)).as_dict()["digest"]
    assert facts["served"]["orders"] == 4
    assert facts["drops"]["ingested"] == 1
    assert made.objects_sent == len(made.manifest.entries)
    names = {entry.name.split("/")[0] for entry in made.manifest.entries}
    assert names == {"redis.resp", "sql.jsonl", "settings.json", "lake"}
    again = shop.back_up()
    assert again.objects_sent == 0
    assert again.manifest.predecessors == (made.manifest.backup_id,)
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    third = shop.back_up()
    assert 0 < third.objects_sent < len(third.manifest.entries)
    assert [one.backup_id for one in shop.vault().list()] == [one.manifest.backup_id for one in (made, again, third)]


def test_who_may_open_a_backup_is_who_it_was_made_for(shop: BackupShop) -> None:
    """Another's key does not authenticate the manifest; other recipients get objects of their own."""
    made = shop.back_up()
    (listed,) = shop.vault(keys=Keyring((str(OTHER.to_public()),), (str(OTHER),))).list()
    assert listed.manifest is None
    assert "not authenticated" in listed.problem
    both = Keyring((*shop.vault().keys.recipients, str(OTHER.to_public())), ())
    again = shop.back_up(keys=both)
    assert again.objects_sent == len(made.manifest.entries)
    (_, second) = shop.vault(keys=Keyring((), (str(OTHER),))).list()
    assert second.manifest == again.manifest
    with pytest.raises(BackupKeyWrong, match="no key"):
        shop.back_up(keys=Keyring((), ()))


def test_keys_are_changed_without_losing_a_backup(shop: BackupShop, tmp_path: Path) -> None:
    """Old alone, then both, then new alone: each backup opens with whom it was made for, and all stay believed."""
    old, new = (str(IDENTITY.to_public()), str(IDENTITY)), (str(OTHER.to_public()), str(OTHER))
    first = shop.back_up(keys=Keyring(old[:1], ())).manifest
    both = shop.back_up(keys=Keyring((old[0], new[0]), ())).manifest
    last = shop.back_up(keys=Keyring(new[:1], (), former=old[:1])).manifest
    assert not {one.object for one in last.entries} & {one.object for one in (*first.entries, *both.entries)}
    opens = {old[1]: (first, both), new[1]: (both, last)}
    for identity in (old[1], new[1]):
        ring = Keyring((), (identity,), former=(old[0], new[0]))
        for number, manifest in enumerate((first, both, last)):
            vault, folder = shop.vault(keys=ring), tmp_path / f"{identity[-6:]}-{number}"
            if manifest in opens[identity]:
                assert prepare(vault, vault.read(manifest.backup_id), folder).redis.stat().st_size > 0
            else:
                with pytest.raises(BackupKeyWrong, match="does not open"):
                    prepare(vault, vault.read(manifest.backup_id), folder)
    now = dt.datetime.now(dt.UTC)
    policy = Policy(days=1, daily=0, weekly=0, monthly=0, minimum=1)
    shop.minute = int((now - NOON).total_seconds() // 60)
    shop.back_up(keys=Keyring(new[:1], (), former=old[:1]))
    for former, kept in (((), {first.backup_id}), (old[:1], set())):
        done = prune(shop.vault(keys=Keyring(new[:1], (), former=former)), policy, grace=dt.timedelta(0), now=now)
        assert first.backup_id in {*done.plan.keep, *done.plan.remove}
        assert kept <= set(done.plan.keep)
        assert (first.backup_id in done.plan.remove) == (not kept)


def test_a_key_that_is_made_is_told_whatever_becomes_of_the_backup(tmp_path: Path) -> None:
    """Once, by whoever makes it; and the status names it until a setting names a key."""
    settings = Settings(home=tmp_path, profile="local")
    assert Keyring.in_home(settings) is None
    with capture_logs() as logs:
        file = Keyring.of(settings, make=True).made
        assert Keyring.of(settings, make=True).made is None
    assert [one["event"] for one in logs] == ["backup_identity_made"]
    assert file is not None
    assert str(file) in logs[0]["next_step"]
    assert Keyring.in_home(settings) == file
    assert Keyring.in_home(settings.model_copy(update={"backup_recipients": SecretStr("age1")})) is None


def test_far_less_than_before_is_no_good_backup(shop: BackupShop) -> None:
    """An emptied Redis is backed up and marked, is not the newest good one, and can be accepted by a person."""
    good = shop.back_up().manifest
    for name in shop.client.scan_iter(match=f"{shop.settings.namespace}:*"):
        shop.client.delete(name)
    poor = shop.back_up().manifest
    assert not poor.good
    assert [one.split(",")[0] for one in poor.suspicious] == ["0 orders served", "0 keys of the served snapshot"]
    assert shop.vault().newest_good() == good
    accepted = shop.back_up(accept_smaller=True).manifest
    assert shop.vault().newest_good() == accepted


def test_fewer_kept_snapshots_are_no_loss(shop: BackupShop) -> None:
    """How many earlier snapshots are kept is a setting: neither their keys nor their orders count."""
    for number in range(3):
        shop.give(f"day {number}", {f"1{number}": ["PID", "Kit", "Lamp"]})
        shop.publish()
    before = shop.back_up().manifest
    assert len(collect_garbage(shop.client, shop.namespace, 1).retired) == 2
    for path in sorted((shop.settings.home / "lake" / SERVED_ORDERS).glob("*.parquet"))[:-1]:
        path.unlink()
    after = shop.back_up().manifest
    assert after.facts["redis"]["keys"] < before.facts["redis"]["keys"] / 2
    assert after.facts["content"]["served_keys"] == before.facts["content"]["served_keys"] > 0
    assert after.facts["content"]["lake_bytes"] == before.facts["content"]["lake_bytes"] > 0
    assert after.good
    earlier = {name: value for name, value in before.facts.items() if name != "content"}
    assert suspicions(after.facts, earlier) == (), "a backup of an earlier version does not tell them apart"


def test_two_at_once_one_wins(shop: BackupShop) -> None:
    """While somebody holds the lease nobody else begins; an ended one is taken over with a higher generation."""
    vault = shop.vault()
    with BackupLease(vault.store, vault.namespace, "A backup") as lease:
        with pytest.raises(Busy, match="A backup is at work"):
            shop.back_up()
        assert lease.generation == 1
    assert shop.back_up().manifest.generation == 2
    late = BackupLease(vault.store, vault.namespace, "A backup", ttl_seconds=0)
    with late as slow, BackupLease(vault.store, vault.namespace, "A prune", ttl_seconds=0) as fast:
        assert fast.generation == slow.generation + 1
        with pytest.raises(Busy, match="lost its lease"):
            slow.renew()


def test_an_object_that_went_missing_is_sent_again(shop: BackupShop) -> None:
    """A backup refers to no object that the bucket does not hold whole, whatever earlier manifests say."""
    vault = shop.vault()
    entry = shop.back_up().manifest.entry("settings.json")
    vault.store.remove(vault.object_key(entry.object))
    again = shop.back_up().manifest.entry("settings.json")
    assert vault.store.exists(vault.object_key(again.object))


def test_an_object_known_to_be_damaged_is_put_anew(shop: BackupShop) -> None:
    """No backup builds on it, whatever its size says; one that was mended since is used as before."""
    vault, home = shop.vault(), shop.settings.home
    first = shop.back_up().manifest
    key = vault.object_key(first.entry("sql.jsonl").object)
    whole = vault.store.get_bytes(key)
    vault.store.put_bytes(whole[:-1] + bytes([whole[-1] ^ 1]), key)
    assert shop.back_up().objects_sent == 0, "nobody has looked yet"
    assert not verify(vault, first, home, part=(1, 1), now=shop.now).passed
    with pytest.raises(BackupNotFound, match="no good backup"):  # both name it
        vault.newest_good()
    again = shop.back_up()
    assert again.objects_sent == 1
    assert again.manifest.entry("sql.jsonl").object != first.entry("sql.jsonl").object
    assert vault.newest_good() == again.manifest
    assert verify(vault, again.manifest, home, part=(1, 1), now=shop.now).passed
    assert prepare(vault, again.manifest, shop.folder / "prepared").database.exists()
    assert shop.back_up().objects_sent == 0


def test_what_backups_have_in_common_is_held_once(shop: BackupShop) -> None:
    """A list of many backups takes the memory of what differs in them."""
    for _ in range(3):
        shop.back_up()
    entries = [entry for one in shop.vault().list() if one.manifest for entry in one.manifest.entries]
    assert len({id(one) for one in entries}) == len(set(entries)) < len(entries)


def test_a_key_with_a_time_is_kept_with_it(shop: BackupShop) -> None:
    """Strings, lists, sets, hashes and sorted sets come with their members and the moment they end."""
    name = f"{shop.settings.namespace}:cache:"
    ends = int((dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).timestamp() * 1000)
    shop.client.set(f"{name}a", b"\x00\xff\r\n", pxat=ends)
    shop.client.rpush(f"{name}b", "x", "y", "x")
    shop.client.sadd(f"{name}c", *map(str, range(1500)))
    shop.client.zadd(f"{name}d", {"x": 0.1, "y": float("-inf")})
    facts = shop.back_up().manifest.facts["redis"]
    assert facts["with_ttl"] == 1
    assert {"list", "set", "zset"} < set(facts["types"])
