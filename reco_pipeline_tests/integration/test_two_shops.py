"""Promises of two homes on one Redis and one bucket, such as staging beside production."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from reco.backup.prune import prune
from reco.backup.restore import make_plan, restore
from reco.backup.retention import Policy
from reco.snapshot.garbage import collect_garbage
from reco.snapshot.release import roll_back
from reco.snapshot.store import SnapshotStore
from reco_pipeline_tests.backup_shop import NOON, BackupShop
from reco_pipeline_tests.object_store import S3Server

NONE = Policy(0, 0, 0, 0, 1)
"""Keep nothing but one backup."""


@dataclass
class Named(BackupShop):
    """A shop whose namespace is the name of its folder."""

    @property
    def namespace(self) -> str:
        """`reco` is the beginning of `reco-staging`: a prefix that is cut too short would take the other one in."""
        return self.folder.name

    def held(self) -> tuple[dict[bytes, tuple[object, bool]], dict[str, tuple[int, str]]]:
        """Everything that it has in Redis and in the bucket, with the bytes or what tells of them."""
        keys: dict[bytes, tuple[object, bool]] = {
            key: (self.client.dump(key), self.client.ttl(key) == -1)
            for key in self.client.scan_iter(match=f"{self.namespace}:*", count=1000)
        }
        store = self.vault().store
        return keys, {one.key: (one.size_bytes, one.etag) for one in store.list(f"{self.namespace}/")}


def publish_twice(shop: Named) -> None:
    for name, item in (("tuesday", "Lamp"), ("wednesday", "Hose")):
        shop.give(name, {f"{name}-1": ["PID", item], f"{name}-2": ["Kit", item]})
        assert shop.publish().changed


def go_back_and_collect(shop: Named) -> None:
    store = SnapshotStore(shop.client, shop.namespace)
    roll_back(shop.home.ledger.engine, store, None, now=shop.now)
    assert collect_garbage(shop.client, shop.namespace, keep=1).retired


def lose_what_a_killed_publish_left(shop: Named) -> None:
    shop.client.set(f"{shop.namespace}:20200101T000000Z-00000000:item:PID:stats", b"left")
    assert collect_garbage(shop.client, shop.namespace, keep=1).orphan_keys == 1


def back_up_and_prune(shop: Named) -> None:
    shop.back_up()
    done = prune(shop.vault(), NONE, grace=dt.timedelta(0), now=dt.datetime.now(dt.UTC), dry_run=False)
    assert done.plan.remove


def bring_back(shop: Named) -> None:
    manifest = shop.back_up().manifest
    for key in shop.client.scan_iter(match=f"{shop.namespace}:*"):
        shop.client.delete(key)
    plan = make_plan(shop.vault(), shop.settings, backup_id=manifest.backup_id)
    assert restore(shop.vault(), shop.settings, plan, now=shop.now, force=True).answers_equal


@pytest.mark.parametrize("names", [("reco", "reco-staging"), ("reco-staging", "reco")])
def test_what_one_home_does_changes_nothing_of_the_other(
    names: tuple[str, str], tmp_path: Path, client: redis.Redis, server: S3Server
) -> None:
    """Publish, rollback, gc, sweep, backup, prune and restore: every key and object of the other stays as it was."""
    client.flushall()
    one, other = (Named(tmp_path / name, client, server) for name in names)
    for shop in (one, other):
        shop.folder.mkdir()
        shop.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60) - 60  # near the clock of the store
        shop.give()
        shop.publish()
        shop.back_up()
    before = other.held()
    assert before[0]
    assert before[1]
    deeds: tuple[Callable[[Named], None], ...] = (
        publish_twice,
        go_back_and_collect,
        lose_what_a_killed_publish_left,
        back_up_and_prune,
        bring_back,
    )
    for deed in deeds:
        deed(one)
        assert other.held() == before, deed.__name__
