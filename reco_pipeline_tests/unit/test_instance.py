"""The Dagster instance of a home."""

import uuid
from pathlib import Path

import dagster as dg
from dagster._core.instance.config import PoolGranularity
from dagster._core.op_concurrency_limits_counter import GlobalOpConcurrencyLimitsCounter

from reco_pipeline.definitions import build_defs
from reco_pipeline.instance import DAGSTER_YAML, dagster_home, held_open, open_instance


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


def test_an_old_configuration_of_ours_is_replaced_and_one_of_a_person_is_not(tmp_path: Path) -> None:
    """A home made before the pool had a limit gets one; a changed `dagster.yaml` is whoever changed it's."""
    config = dagster_home(tmp_path) / "dagster.yaml"
    before = DAGSTER_YAML.replace("  pools: {default_limit: 1, granularity: run}\n", "")
    config.write_text(before)
    dagster_home(tmp_path)
    assert config.read_text() == DAGSTER_YAML
    config.write_text(before + "# mine\n")
    dagster_home(tmp_path)
    assert config.read_text() == before + "# mine\n"
