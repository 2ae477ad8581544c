"""Promises of the one look at everything: what `reco status` shows and the asset `pipeline_health` keeps."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import redis

from reco.alerts.outbox import Outbox
from reco.alerts.tell import TELL_AGAIN
from reco.audit.standing import FailingCheck
from reco.health import disk_short, examine, redis_memory_short
from reco.orders.home import open_home
from reco.settings import load_settings
from reco_pipeline.definitions import build_defs
from reco_pipeline_tests.backup_shop import IDENTITY, BackupShop
from reco_pipeline_tests.commands import printed
from reco_pipeline_tests.graph import QUIET
from reco_pipeline_tests.object_store import S3Server

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")
BROKEN = FailingCheck("order_lines", "key_fields_present", "error", "3 lines lack an item.", 0.0)
POOR = FailingCheck("order_lines", "quality_score", "warning", "monday.csv: 76.9, below 95.", 0.0)


@pytest.fixture
def shop(tmp_path: Path, client: redis.Redis, server: S3Server) -> BackupShop:
    """A shop with a published drop and a backup."""
    found = BackupShop(tmp_path, client, server)
    found.give()
    found.publish()
    found.back_up()
    return found


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory."""
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def overrides(shop: BackupShop, **more: str) -> dict[str, str]:
    assert shop.settings.redis_url is not None
    return {
        "home": str(shop.settings.home),
        "redis_url": shop.settings.redis_url.get_secret_value(),
        "namespace": shop.settings.namespace,
        "s3_bucket": shop.server.bucket,
        "s3_endpoint_url": shop.server.url,
        "backup_identity": str(IDENTITY),
        "disk_warn_free": "0",
        **more,
    }


def test_a_shop_that_is_well_has_no_problem(shop: BackupShop) -> None:
    """Right after a publish and a backup nothing is to be done; a poor drop that only warns is no problem either."""
    home = open_home(load_settings(**overrides(shop)))
    found = examine(home, shop.client, [POOR], now=shop.now)
    assert found.problems == []
    assert (found.drops, found.snapshots_kept, found.alerts_waiting) == ({"ingested": 1}, 1, 0)
    assert found.redis_memory_bytes is not None
    assert found.snapshot_id is not None
    assert found.backups["last_good"] is not None


def test_each_thing_to_act_upon_is_a_sentence(shop: BackupShop) -> None:
    """Old snapshot, failing check, no backup or drill, full disk, an alert that waits, Redis away: all are named."""
    late = shop.now + dt.timedelta(days=9)
    settings = load_settings(**overrides(shop, disk_warn_free="1"))
    home = open_home(settings)
    with Outbox(settings.home).first("key", at=shop.now, again=TELL_AGAIN, message=("title", "text")):
        pass
    found = examine(home, shop.client, [BROKEN], now=late)
    told = " ".join(found.problems)
    for part in (
        "of the disk",
        "hours old",
        "key_fields_present of order_lines fails: 3 lines",
        "last good backup was made",
        "last drill that passed was never",
        "1 alerts could not be sent",
    ):
        assert part in told
    assert [one.what for one in disk_short(settings)] == ["disk_short"]
    away = examine(home, None, [], now=shop.now, trouble="Redis does not answer. Start it.")
    assert away.problems[0] == "Redis does not answer. Start it."
    assert away.snapshot_id is None


def test_redis_that_fills_up_is_told_before_a_publish_is_refused(shop: BackupShop) -> None:
    """From nine tenths of its limit on."""
    used = int(shop.client.info("memory")["used_memory"])
    assert disk_short(shop.settings.model_copy(update={"disk_warn_free": 0.0})) == []
    try:
        shop.client.config_set("maxmemory", int(used * 1.05))
        assert [one.what for one in redis_memory_short(shop.client)] == ["redis_memory_short"]
        shop.client.config_set("maxmemory", used * 4)
        assert redis_memory_short(shop.client) == []
    finally:
        shop.client.config_set("maxmemory", 0)


def test_the_asset_keeps_the_figures_and_its_check_says_what_is_wrong(
    shop: BackupShop, instance: dg.DagsterInstance
) -> None:
    """A look is a run of its own; with Redis away it succeeds and its check names that."""

    def look(**more: str) -> tuple[dict[str, object], dg.AssetCheckEvaluation]:
        job = build_defs(overrides(shop, **more)).resolve_job_def("health_job")
        done = job.execute_in_process(instance=instance, run_config=QUIET)
        assert done.success
        (made,) = done.asset_materializations_for_node("pipeline_health")
        (check,) = done.get_asset_check_evaluations()
        return {name: value.value for name, value in made.metadata.items()}, check

    figures, check = look()
    assert figures["snapshots_kept"] == 1
    assert figures["last_backup"] != "none"
    figures, check = look(redis_url="redis://127.0.0.1:1/0")
    assert not check.passed
    assert check.severity is dg.AssetCheckSeverity.WARN
    assert "127.0.0.1:1" in str(check.description)
    assert "127.0.0.1:1" in str(figures["to_act_upon"])


def test_the_screen_shows_it_all(
    shop: BackupShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Disk, memory, backups and problems stand beside drops and snapshot."""
    for name, value in overrides(shop).items():
        monkeypatch.setenv(f"RECO_{name.upper()}", value)
    told = json.loads(printed(capsys, "status", "--json"))
    assert told["disk_free_bytes"] > 0
    assert told["redis_memory_bytes"] > 0
    assert (told["snapshots_kept"], told["snapshots_stale"], told["alerts_waiting"]) == (1, 0, 0)
    assert isinstance(told["problems"], list)
    shown = printed(capsys, "status")
    assert "redis memory" in shown
    assert "last backup" in shown
