"""The Dagster instance of a home."""

import uuid
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster._core.events import RunFailureReason
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.instance.config import PoolGranularity
from dagster._core.op_concurrency_limits_counter import GlobalOpConcurrencyLimitsCounter
from dagster._core.test_utils import create_run_for_test

from reco.errors import ConfigError
from reco.settings import load_settings
from reco_pipeline.dagster_storage import postgres_url
from reco_pipeline.definitions import build_defs
from reco_pipeline.instance import dagster_home, dagster_yaml, held_open, open_instance
from reco_pipeline.pending import NOT_REPEATED


def test_databases_are_written_back_once_a_run_not_once_an_event(tmp_path: Path, monkeypatch) -> None:
    """While a run is held open each event stays in the databases' logs; at its end the logs are written back."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))  # so that the old value comes back afterwards
    log = tmp_path / "dagster/history/runs/index.db-wal"
    with open_instance(tmp_path) as instance:
        with held_open(instance, str(uuid.uuid4())):
            instance.report_runless_asset_event(dg.AssetMaterialization("raw_orders", partition="a"))
            assert log.stat().st_size > 0
        assert not log.exists()
        event = instance.get_latest_materialization_event(dg.AssetKey("raw_orders"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.partition == "a"


APART = ["backup_job", "backup_verify_job", "restore_drill_job", "restore_job", "retention_job"]
PUBLISHING = ["drops_to_recommendations", "rebuild_recommendations"]


def test_no_work_on_backups_leaves_the_queue_beside_a_publish(tmp_path: Path, monkeypatch) -> None:
    """Both need the one place of the pool, which a home's instance has from the start, by runs and not by steps."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    defs = build_defs({"home": str(tmp_path)})
    with open_instance(tmp_path) as instance:
        limits = instance.event_log_storage.get_pool_limits()
        assert [(one.name, one.limit) for one in limits] == [("redis", 1)]
        granularity = instance.get_concurrency_config().pool_config.pool_granularity
        assert granularity is PoolGranularity.RUN
        waiting = [instance.create_run_for_job(defs.resolve_job_def(job)) for job in APART]

        def blocked(*running: dg.DagsterRun) -> list[bool]:
            records = [instance.get_run_record_by_id(run.run_id) for run in running]
            queue = GlobalOpConcurrencyLimitsCounter(
                instance,
                waiting,
                [record for record in records if record is not None],
                concurrency_keys=instance.event_log_storage.get_concurrency_keys(),
                pool_limits=limits,
                pool_granularity=granularity,
            )
            return [queue.is_blocked(run) for run in waiting]

        for job in PUBLISHING:
            publish = instance.create_run_for_job(defs.resolve_job_def(job), status=dg.DagsterRunStatus.STARTED)
            assert blocked(publish) == [True] * len(APART)
        assert blocked() == [False] * len(APART)


def test_an_old_configuration_of_ours_is_replaced_and_one_of_a_person_is_not(tmp_path: Path, monkeypatch) -> None:
    """It follows the settings for as long as nobody changed it, also from a version that named no digest yet."""
    config = dagster_home(tmp_path) / "dagster.yaml"
    first = config.read_text()
    assert yaml.safe_load(first)["retention"]["schedule"] == {"purge_after_days": 90}
    monkeypatch.setenv("RECO_KEEP_RUN_DAYS", "30")
    dagster_home(tmp_path)
    second = config.read_text()
    assert yaml.safe_load(second)["retention"]["schedule"] == {"purge_after_days": 30}
    config.write_text(FORMER)
    dagster_home(tmp_path)
    assert config.read_text() == second
    for mine in (second + "# mine\n", FORMER.replace("21600", "600"), first.replace("90", "91")):
        config.write_text(mine)
        dagster_home(tmp_path)
        assert config.read_text() == mine


def test_a_lost_run_is_bounded_and_leaves_its_place(tmp_path: Path) -> None:
    """What keeps one lost run from blocking the next: monitoring, an end to each run, slots freed, one repetition."""
    settings = yaml.safe_load(dagster_yaml(load_settings(home=tmp_path)))
    assert settings["run_monitoring"] == {
        "enabled": True,
        "start_timeout_seconds": 180,
        "max_runtime_seconds": 21600,
        "free_slots_after_run_end_seconds": 60,
    }
    assert settings["run_retries"] == {"enabled": True, "max_retries": 1, "retry_on_asset_or_op_failure": False}
    assert settings["run_coordinator"]["config"] == {"dequeue_interval_seconds": 1}
    assert settings["telemetry"] == {"enabled": False}
    assert "storage" not in settings


def test_the_password_of_the_database_stands_in_no_file(tmp_path: Path, monkeypatch) -> None:
    """With Postgres, `dagster.yaml` names a class of ours; its URL, driver and all, comes from the secret."""
    secret = tmp_path / "url"
    secret.write_text("postgresql+psycopg://shop:planted@db.example:5432/runs\n")
    secret.chmod(0o600)
    monkeypatch.setenv("RECO_DAGSTER_DATABASE_URL_FILE", str(secret))
    text = (dagster_home(tmp_path / "home") / "dagster.yaml").read_text()
    assert "planted" not in text
    assert yaml.safe_load(text)["storage"]["custom"]["class"] == "PostgresOfSettings"
    assert postgres_url() == "postgresql+psycopg2://shop:planted@db.example:5432/runs"
    secret.write_text("mysql://shop:planted@db.example/runs")
    with pytest.raises(ConfigError, match="no URL of Postgres") as error:
        postgres_url()
    assert "planted" not in str(error.value)


def test_runs_that_somebody_else_repeats_are_not_repeated_by_dagster(tmp_path: Path) -> None:
    """A lost run is repeated once; not one of automation, of a command line, or a restore."""
    home = dagster_home(tmp_path)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        lost = [
            create_run_for_test(instance, status=dg.DagsterRunStatus.FAILURE, tags=tags) for tags in ({}, NOT_REPEATED)
        ]
        lost_again = create_run_for_test(
            instance,
            status=dg.DagsterRunStatus.FAILURE,
            parent_run_id=lost[0].run_id,
            root_run_id=lost[0].run_id,
            tags={"dagster/root_run_id": lost[0].run_id, "dagster/parent_run_id": lost[0].run_id},
        )
        crashed = RunFailureReason.RUN_EXCEPTION
        assert [auto_reexecution_should_retry_run(instance, run, crashed) for run in lost] == [False, False]
        instance.delete_run(lost_again.run_id)
        assert [auto_reexecution_should_retry_run(instance, run, crashed) for run in lost] == [True, False]
        assert not auto_reexecution_should_retry_run(instance, lost[0], RunFailureReason.STEP_FAILURE)
    assert build_defs({"home": str(tmp_path)}).resolve_job_def("restore_job").tags == NOT_REPEATED


FORMER = """\
# Written by reco when the home was made; yours to change.
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  runs: {max_concurrent_runs: 1}
  pools: {default_limit: 1, granularity: run}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  max_runtime_seconds: 21600
  free_slots_after_run_end_seconds: 60
compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
retention:
  schedule: {purge_after_days: 90}
  sensor:
    purge_after_days: {skipped: 3, failure: 30, success: 90}
"""
