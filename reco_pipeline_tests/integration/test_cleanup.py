"""Promises of the cleanup: what is past its time goes, what anything refers to stays, and it says how much that was."""

import datetime as dt
import fcntl
import json
import os
from pathlib import Path

import dagster as dg
import pytest
import redis

from reco import cleanup
from reco.orders.home import open_home
from reco.settings import load_settings
from reco.storage.makers import maker
from reco_pipeline.cleanup import clean, old_runs
from reco_pipeline.definitions import build_defs
from reco_pipeline.instance import open_instance
from reco_pipeline_tests.backup_shop import IDENTITY, NOON, BackupShop
from reco_pipeline_tests.commands import printed
from reco_pipeline_tests.object_store import S3Server

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")
DAY = dt.timedelta(days=1)


@pytest.fixture
def shop(tmp_path: Path, client: redis.Redis, server: S3Server) -> BackupShop:
    """A shop with a published drop."""
    found = BackupShop(tmp_path, client, server)
    found.give()
    found.publish()
    return found


def overrides(shop: BackupShop, **more: str) -> dict[str, str]:
    assert shop.settings.redis_url is not None
    url = shop.settings.redis_url.get_secret_value()
    return {"home": str(shop.settings.home), "redis_url": url, "namespace": shop.settings.namespace, **more}


def age(path: Path, days: float) -> None:
    """Makes a file look as old."""
    then = dt.datetime.now(dt.UTC).timestamp() - days * 86400
    os.utime(path, (then, then))


def test_parts_that_no_drop_knows_go_a_day_later(shop: BackupShop) -> None:
    """A part of a killed run is removed, one of a run that may be at work is not, and those of drops never."""
    lines = shop.home.lake.path("order_lines").parent
    (known,) = lines.glob("*.parquet")
    dead, fresh = lines / "gone-0123456789ab.parquet", lines / "new-0123456789ab.parquet"
    for path in (dead, fresh):
        path.write_bytes(known.read_bytes())
    for path in (known, dead):
        age(path, 2)
    now = dt.datetime.now(dt.UTC)
    would = cleanup.unreferenced_parts(shop.home, now=now, dry_run=True)
    assert (would.files, would.size_bytes) == (1, known.stat().st_size)
    assert dead.exists()
    assert cleanup.unreferenced_parts(shop.home, now=now, dry_run=False) == would
    assert sorted(path.name for path in lines.iterdir()) == sorted([known.name, fresh.name])


def test_leftovers_of_processes_that_are_gone_go(shop: BackupShop) -> None:
    """Those of a living process stay."""
    table = shop.home.lake.path("orders").parent
    dead, alive = (table / f".orders.parquet.{maker(pid)}.ab.tmp" for pid in (99999999, os.getpid()))
    for path in (dead, alive):
        path.write_bytes(b"12345")
    found = cleanup.scratch(shop.home, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert (found.files, found.size_bytes) == (1, 5)
    assert (dead.exists(), alive.exists()) == (False, True)


def test_a_log_is_cut_under_its_writer_and_its_end_stays(tmp_path: Path) -> None:
    """The writer goes on at the start of the file; what it said last stands in the older part."""
    settings = load_settings(home=tmp_path, keep_log_mb=1)
    log = tmp_path / "api.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"first\n" + b"x" * 2**20 + b"last\n")
        assert cleanup.logs(settings, dry_run=True).files == 1
        found = cleanup.logs(settings, dry_run=False)
        writer.write(b"after\n")
    assert (found.files, found.size_bytes) == (1, 11)
    assert log.read_bytes() == b"after\n"
    older = (tmp_path / "api.log.1").read_bytes()
    assert (len(older), older[-5:]) == (2**20, b"last\n")
    assert cleanup.logs(settings, dry_run=False).files == 0


def test_snapshots_go_by_the_setting_with_the_orders_behind_them(shop: BackupShop) -> None:
    """A publish keeps three; with a lower setting the rest goes, with its file, and what is served stays."""
    for number in range(2):
        shop.give(f"day-{number}", {f"x{number}": ["PID", "Kit", "Hose"]})
        shop.publish()
    home = open_home(load_settings(**overrides(shop, keep_snapshots="1")))
    would = cleanup.snapshots(home, shop.client, dry_run=True)
    assert (would.rows, would.files) == (2, 2)
    shop.client.set(f"{shop.namespace}:20200101T000000Z-00000000:item:PID:stats", "an orphan")
    assert cleanup.snapshots(home, shop.client, dry_run=True).rows == 3
    assert cleanup.snapshots(home, shop.client, dry_run=False).rows == 3
    assert cleanup.snapshots(home, shop.client, dry_run=True).rows == 0
    assert len(list(home.lake.path("redis_snapshot").parent.glob("*.parquet"))) == 1


def test_old_runs_go_but_for_what_the_newest_state_refers_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two runs that made an asset the older goes; one that made another partition, and the newest of a job, stay."""
    monkeypatch.setenv("DAGSTER_HOME", "set by open_instance")
    days = dg.DynamicPartitionsDefinition(name="days")

    @dg.asset(partitions_def=days)
    def lines() -> None: ...

    @dg.asset
    def table() -> None: ...

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def other() -> None:
        nothing()

    settings = load_settings(home=tmp_path, keep_run_days=10)
    with open_instance(tmp_path) as instance:
        instance.add_dynamic_partitions("days", ["a", "b"])
        made = {
            name: dg.materialize([asset], instance=instance, partition_key=key).run_id
            for name, asset, key in (
                ("a of lines", lines, "a"),
                ("b of lines", lines, "b"),
                ("first table", table, None),
                ("second table", table, None),
            )
        }
        made |= {name: other.execute_in_process(instance=instance).run_id for name in ("older job", "newest job")}
        now = dt.datetime.now(dt.UTC)
        assert old_runs(instance, settings, now=now + 9 * DAY, dry_run=False).rows == 0
        would = old_runs(instance, settings, now=now + 11 * DAY, dry_run=True)
        done = old_runs(instance, settings, now=now + 11 * DAY, dry_run=False)
        assert done == would
        assert (done.rows, done.files) == (2, 2)
        assert done.size_bytes > 0
        left = {run.run_id for run in instance.get_runs()}
        assert {name for name, run_id in made.items() if run_id not in left} == {"first table", "older job"}
        assert instance.get_materialized_partitions(dg.AssetKey("lines")) == {"a", "b"}
        assert old_runs(instance, settings, now=now + 11 * DAY, dry_run=False).rows == 0


def test_what_cannot_be_cleaned_now_stops_nothing_else(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run holds the home its tables are left and named; the rest is done, and the job fails with the reason."""
    monkeypatch.setattr("reco_pipeline.cleanup.PATIENCE_SECONDS", 0)
    with dg.DagsterInstance.ephemeral() as instance:
        with (shop.settings.home / "run.lock").open("w") as other:  # as another process would hold it
            fcntl.flock(other, fcntl.LOCK_EX)
            found = clean(shop.home, instance, now=dt.datetime.now(dt.UTC), dry_run=False)
        assert {one.kind for one in found if one.problem} == {"quarantined text", "parts of the lake", "scratch files"}
        job = build_defs(overrides(shop)).resolve_job_def("cleanup")
        assert job.execute_in_process(instance=instance).success
        away = build_defs(overrides(shop) | {"redis_url": "redis://127.0.0.1:1/0"}).resolve_job_def("cleanup")
        failed = away.execute_in_process(instance=instance, raise_on_error=False)
        assert not failed.success


def test_the_command_says_what_would_go(
    shop: BackupShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind with its rule, backups among them; a dry run removes nothing."""
    monkeypatch.setenv("DAGSTER_HOME", "set by open_instance")
    shop.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60) - 5
    shop.back_up()
    given = overrides(
        shop, s3_bucket=shop.server.bucket, s3_endpoint_url=shop.server.url, backup_identity=str(IDENTITY)
    )
    for name, value in given.items():
        monkeypatch.setenv(f"RECO_{name.upper()}", value)
    dead = shop.home.lake.path("orders").with_name(f".orders.parquet.{maker(99999999)}.ab.tmp")
    dead.write_bytes(b"12345")
    told = json.loads(printed(capsys, "cleanup", "--dry-run", "--json"))
    kinds = {one["kind"]: one for one in told["removed"]}
    assert set(kinds) == {
        "quarantined text",
        "parts of the lake",
        "scratch files",
        "logs",
        "runs",
        "snapshots",
        "backups",
    }
    assert [one["problem"] for one in kinds.values() if not one["rule"]] == []
    assert (kinds["scratch files"]["files"], dead.exists()) == (1, True)
    assert "scratch files" in printed(capsys, "cleanup")
    assert not dead.exists()
