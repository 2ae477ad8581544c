"""Promises of backups in Dagster: the jobs do what the commands do, after a publish and not beside one."""

import datetime as dt
import json
import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import redis
from structlog.testing import capture_logs

from reco.alerts.outbox import FOLDER, Outbox
from reco.backup.contents import take
from reco.backup.replicate import replicate
from reco.backup.vault import Vault
from reco.errors import Busy
from reco.storage.homelock import home_lock
from reco.storage.objects import ObjectStore
from reco_pipeline.definitions import build_defs
from reco_pipeline_tests.backup_shop import IDENTITY, KEYS, NOON, BackupShop
from reco_pipeline_tests.graph import QUIET
from reco_pipeline_tests.object_store import S3Server
from resources.home import DatabaseResource, RedisResource, SettingsResource

SPAWN = multiprocessing.get_context("spawn")
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]


@pytest.fixture
def shop(tmp_path: Path, client: redis.Redis, server: S3Server) -> BackupShop:
    """A shop with one published drop."""
    return shop_of(tmp_path, client, server, minutes=60)


def shop_of(folder: Path, client: redis.Redis, server: S3Server, *, minutes: int) -> BackupShop:
    """A shop that published its first drop so many minutes ago."""
    found = BackupShop(folder, client, server)
    found.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60) - minutes
    found.give()
    found.publish()
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def overrides(shop: BackupShop) -> dict[str, str]:
    settings = shop.settings
    assert settings.redis_url is not None
    return {
        "home": str(settings.home),
        "redis_url": settings.redis_url.get_secret_value(),
        "namespace": settings.namespace,
        "s3_bucket": shop.server.bucket,
        "s3_endpoint_url": shop.server.url,
        "backup_identity": str(IDENTITY),
        "disk_warn_free": "0",
    }


def definitions(shop: BackupShop) -> dg.Definitions:
    return build_defs(overrides(shop))


def run(
    shop: BackupShop, instance: dg.DagsterInstance, job: str, **config: Any
) -> tuple[dg.ExecuteInProcessResult, list[str]]:
    done = (
        definitions(shop)
        .resolve_job_def(job)
        .execute_in_process(instance=instance, run_config=QUIET | {"ops": config}, raise_on_error=False)
    )
    failed = [one.step_failure_data.error for one in done.all_events if one.is_step_failure]
    return done, [error.to_string() for error in failed if error]


def test_a_backup_and_its_proof_stand_in_the_graph(shop: BackupShop, instance: dg.DagsterInstance) -> None:
    """The jobs make a backup, check a part, prove it and keep it; their figures are metadata of the assets."""
    done, failed = run(shop, instance, "backup_job", redis_backup={"config": {"reason": "test"}})
    assert failed == []
    (made,) = done.asset_materializations_for_node("redis_backup")
    assert made.metadata["rpo_seconds"].value == 0
    assert made.metadata["last_good_age_seconds"].value is not None
    assert shop.vault().newest_good().reason == "test"
    done, failed = run(shop, instance, "restore_drill_job")
    assert failed == []
    (proof,) = done.asset_materializations_for_node("restore_drill")
    assert proof.metadata["rto_seconds"].value > 0  # type: ignore[operator]
    assert proof.metadata["drills_passed_rate"].value == 1
    assert run(shop, instance, "backup_verify_job")[1] == []
    assert shop.vault().checks()[-1].part == "1/7"
    assert run(shop, instance, "retention_job")[1] == []
    assert len(shop.vault().ids()) == 1


def test_the_daily_check_reads_the_second_bucket_too(shop: BackupShop, instance: dg.DagsterInstance) -> None:
    """By turns as the first one; what is damaged there alone fails the job, which names the bucket."""
    second = Vault(ObjectStore("replica", shop.server.url), shop.namespace, KEYS)
    second.store.make_bucket()
    replica = {"s3_replica_bucket": "replica", "s3_replica_endpoint_url": shop.server.url}
    made = shop.back_up().manifest

    def check() -> str:
        job = build_defs(overrides(shop) | replica).resolve_job_def("backup_verify_job")
        done = job.execute_in_process(instance=instance, run_config=QUIET, raise_on_error=False)
        failed = [one.step_failure_data for one in done.all_events if one.is_step_failure]
        return " ".join(str(one.user_failure_data.description) for one in failed if one.user_failure_data)

    assert check() == "", "nothing was copied yet"
    replicate(shop.vault(), second, shop.settings.home, now=shop.now)
    assert check() == ""
    assert [one.part for one in second.checks() if one.kind == "verify" and not one.copied] == ["1/7"]
    second.store.put_bytes(b"cut", second.object_key(made.entry("sql.jsonl").object))
    assert f"Backup {made.backup_id} in the second bucket is damaged: sql.jsonl" in check()
    assert [one.part for one in shop.vault().checks()] == ["1/7", "2/7", "3/7"]
    assert shop.vault().newest_good() == made


def test_a_restore_is_a_dry_run_unless_told(shop: BackupShop, instance: dg.DagsterInstance) -> None:
    """Without a word nothing is touched; with it the keys of Redis are those of the backup."""
    shop.back_up()
    pointer = f"{shop.settings.namespace}:snapshot:current"
    sid = shop.client.get(pointer)
    shop.client.delete(pointer)
    assert run(shop, instance, "restore_job")[1] == []
    assert shop.client.get(pointer) is None
    refused = run(shop, instance, "restore_job", restore_backup={"config": {"dry_run": False}})[1]
    assert "--force" in refused[0]
    done = run(shop, instance, "restore_job", restore_backup={"config": {"dry_run": False, "force": True}})[1]
    assert done == []
    assert shop.client.get(pointer) == sid


def test_no_backup_beside_a_run(shop: BackupShop) -> None:
    """While a run of the home is at work a backup waits, and gives up with its name."""
    ready, end = SPAWN.Event(), SPAWN.Event()
    other = SPAWN.Process(target=hold, args=(shop.settings.home, ready, end))
    other.start()
    try:
        assert ready.wait(100)
        with pytest.raises(Busy, match="at work"):
            take(shop.home, shop.client, shop.folder / "staged", wait_seconds=0.2)
    finally:
        end.set()
        other.join(100)


def hold(home: Path, ready: Any, end: Any) -> None:
    with home_lock(home):
        ready.set()
        end.wait(100)


def test_absence_is_told_once_a_day(
    tmp_path: Path, client: redis.Redis, server: S3Server, instance: dg.DagsterInstance
) -> None:
    """No backup and no drill are two alerts, told once until a day has passed; what was done is told no more."""

    def look(shop: BackupShop) -> list[str]:
        settings = SettingsResource(overrides=overrides(shop))
        sensor = definitions(shop).get_repository_def().get_sensor_def("protection_overdue")
        resources = {"database": DatabaseResource(settings=settings), "redis": RedisResource(settings=settings)}
        made = dg.build_sensor_context(instance=instance, resources=resources)
        with made as context, capture_logs() as logs:
            sensor.evaluate_tick(context)
        return [str(one["event"]) for one in logs if one["log_level"] == "error"]

    (tmp_path / "new").mkdir()
    young = shop_of(tmp_path / "new", client, server, minutes=60)
    assert look(young) == []  # there was no time for any of it yet
    shop = shop_of(tmp_path, client, server, minutes=9 * 24 * 60)
    outbox = Outbox(shop.settings.home)
    assert look(shop) == ["backup_missing", "drill_missing"]
    assert look(shop) == []
    shop.minute += 9 * 24 * 60 - 60
    shop.back_up()
    assert look(shop) == []
    assert set(outbox.told()) == {"drill_missing:backups"}
    state = shop.settings.home / FOLDER / "state.json"
    told = json.loads(state.read_text())
    told["told"]["drill_missing:backups"] = (dt.datetime.now(dt.UTC) - dt.timedelta(hours=25)).isoformat()
    state.write_text(json.dumps(told))
    assert look(shop) == ["drill_missing"]
    away = replace(shop, server=replace(shop.server, bucket="none-of-that-name"))
    assert look(away) == ["protection_unknown"], "a bucket that does not answer says nothing of what is in it"
    assert look(away) == []
    assert look(shop) == []
    assert set(outbox.told()) == {"drill_missing:backups"}


def test_a_backup_follows_a_publish_and_only_that(shop: BackupShop, instance: dg.DagsterInstance) -> None:
    """A run that moved the pointer asks for a backup; one that found everything in place does not."""
    defs = definitions(shop)
    sensor = defs.get_repository_def().get_sensor_def("backup_after_publish")
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    asked = []
    for _ in range(2):
        done, failed = run(shop, instance, "rebuild_recommendations", redis_snapshot={"config": {"force": True}})
        assert failed == []
        event = next(one for one in done.all_events if one.event_type_value == "PIPELINE_SUCCESS")
        context = dg.build_run_status_sensor_context("backup_after_publish", event, instance, done.dagster_run)
        asked.append(sensor(context))
    assert isinstance(asked[0], dg.RunRequest)
    assert isinstance(asked[1], dg.SkipReason)
