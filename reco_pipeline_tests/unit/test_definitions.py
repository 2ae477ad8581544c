"""What Dagster knows of this project, in full: nothing of it disappears or changes its weight unnoticed."""

import datetime as dt
import tomllib

import dagster as dg
import yaml
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from reco.audit.catalogue import CATALOGUE, Weight
from reco_pipeline.definitions import defs
from reco_pipeline.dev import WORKSPACE
from reco_pipeline_tests.shop import ROOT

ASSETS = {
    "raw_orders",
    "order_lines",
    "quarantined_lines",
    "catalogue",
    "orders",
    "item_stats",
    "score_choice",
    "item_cooccurrence",
    "similar_items",
    "model_evaluation",
    "redis_snapshot",
    "redis_backup",
    "restore_drill",
    "pipeline_health",
}
CHECKS = {
    "order_lines:lines_reconcile blocking",
    "order_lines:drops_usable",
    "order_lines:key_fields_present",
    "order_lines:quality_score",
    "order_lines:columns_complete",
    "order_lines:values_valid",
    "order_lines:few_duplicates",
    "order_lines:items_consistent",
    "order_lines:orders_consistent",
    "order_lines:orders_timely",
    "order_lines:prices_usual",
    "order_lines:quantities_usual",
    "order_lines:mix_steady",
    "order_lines:dates_sane",
    "order_lines:drop_quality by order_drops",
    "quarantined_lines:quarantine_rate",
    "quarantined_lines:quarantine_steady",
    "orders:volume_usual",
    "catalogue:catalogue_lines_reconcile",
    "catalogue:catalogues_usable",
    "catalogue:catalogue_quarantine_rate",
    "catalogue:catalogue_complete",
    "catalogue:catalogue_ids_unique",
    "catalogue:catalogue_prices_steady",
    "catalogue:sold_items_listed",
    "catalogue:listed_items_sold",
    "item_cooccurrence:pairs_symmetric_and_bounded",
    "similar_items:scores_bounded",
    "model_evaluation:best_score_configured",
    "model_evaluation:better_than_popular",
    "model_evaluation:quality_held",
    "redis_snapshot:published_keys_equal blocking",
    "redis_snapshot:items_kept",
    "redis_snapshot:orders_kept",
    "redis_snapshot:lists_overlap",
}
HEALTHY = "pipeline_health:pipeline_healthy"
BACKUP = {"redis_backup", "restore_drill", "pipeline_health"}
MODEL = ASSETS - BACKUP - {"raw_orders", "order_lines", "quarantined_lines"}
JUDGED = {"order_lines", "quarantined_lines", "orders", "catalogue"}
JOBS = {
    "drops_to_recommendations": (ASSETS - BACKUP - {"raw_orders"}, CHECKS),
    "rebuild_recommendations": (MODEL, {check for check in CHECKS if check.split(":")[0] in MODEL}),
    "backup_job": ({"redis_backup"}, set()),
    "restore_drill_job": ({"restore_drill"}, set()),
    "health_job": ({"pipeline_health"}, {HEALTHY}),
    "recheck_drops": (set(), {check for check in CHECKS if check.split(":")[0] in JUDGED}),
    "read_catalogues": ({"catalogue"}, {check for check in CHECKS if check.split(":")[0] == "catalogue"}),
}

OP_JOBS = {"receive_drops", "cleanup", "backup_verify_job", "restore_job", "retention_job"}
SCHEDULES = {
    "daily_inbox: receive_drops at 0 4 * * * UTC RUNNING",
    "daily: drops_to_recommendations at 15 4 * * * UTC RUNNING",
    "daily_backup: backup_job at 30 4 * * * UTC RUNNING",
    "daily_backup_verify: backup_verify_job at 40 4 * * * UTC RUNNING",
    "daily_cleanup: cleanup at 45 4 * * * UTC RUNNING",
    "daily_retention: retention_job at 50 4 * * * UTC RUNNING",
    "health: health_job at 10 5,11,17,23 * * * UTC RUNNING",
    "weekly_restore_drill: restore_drill_job at 55 4 * * 0 UTC RUNNING",
}
SENSORS = {
    "inbox: 5 s RUNNING",
    "upkeep: 15 s RUNNING",
    "run_failed: 30 s RUNNING",
    "backup_after_publish: 30 s STOPPED",
    "protection_overdue: 3600 s RUNNING",
    "alerts: 30 s RUNNING",
}


def _words(check: dg.AssetCheckSpec) -> str:
    partitions = (
        f" by {check.partitions_def.name}" if isinstance(check.partitions_def, dg.DynamicPartitionsDefinition) else ""
    )
    return f"{check.asset_key.to_user_string()}:{check.name}{' blocking' if check.blocking else ''}{partitions}"


def _checks() -> dict[dg.AssetCheckKey, dg.AssetCheckSpec]:
    graph = defs.resolve_asset_graph()
    return {key: graph.get_check_spec(key) for key in graph.asset_check_keys}


def test_assets_and_checks_are_these() -> None:
    """Every asset and check by name, with what blocks and what has partitions."""
    dg.Definitions.validate_loadable(defs)
    assert {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()} == ASSETS
    assert {_words(check) for check in _checks().values()} == CHECKS | {HEALTHY}


def test_jobs_select_these() -> None:
    """The jobs hold these assets and checks: one that no longer publishes, or skips a check, is seen here."""
    checks = _checks()
    for name, (assets, expected) in JOBS.items():
        job = defs.resolve_job_def(name)
        assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == assets, name
        assert {_words(checks[key]) for key in job.asset_layer.asset_graph.asset_check_keys} == expected, name


def test_the_catalogue_is_what_dagster_knows() -> None:
    """Promise and weight of every check come from the one list, which has no other."""
    known = {(key.asset_key.to_user_string(), key.name): spec for key, spec in _checks().items()}
    del known["pipeline_health", "pipeline_healthy"]  # is about the whole, and no check of data
    assert set(known) == {(one.asset, one.name) for one in CATALOGUE}
    for one in CATALOGUE:
        spec = known[one.asset, one.name]
        assert spec.description == one.promise
        assert spec.blocking == (one.weight is Weight.BLOCKING)


def test_what_a_person_may_choose_is_described() -> None:
    """The Launchpad says what every field of the run configuration does."""
    fields = defs.resolve_job_def("rebuild_recommendations").get_node_named("redis_snapshot").definition.config_schema
    config = fields.config_type.fields  # type: ignore[union-attr]
    assert set(config) == {"force"}
    assert "gate" in str(config["force"].description)


def test_schedules_and_sensors_are_these() -> None:
    """Every schedule with its hour and zone and every sensor with its pace, and whether it is on from the start."""
    repository = defs.get_repository_def()
    schedules = {
        f"{one.name}: {one.job_name} at {one.cron_schedule} {one.execution_timezone} {one.default_status.value}"
        for one in repository.schedule_defs
    }
    assert schedules == SCHEDULES
    assert {
        f"{one.name}: {one.minimum_interval_seconds} s {one.default_status.value}" for one in repository.sensor_defs
    } == SENSORS


def test_every_job_is_known() -> None:
    """No job comes or goes unnoticed; of those that are made of assets the parts are held above."""
    assert {job.name for job in defs.resolve_all_job_defs() if not job.name.startswith("__")} == {*JOBS, *OP_JOBS}


def test_what_must_be_fresh_is_watched() -> None:
    """The served snapshot, backups and drills turn stale in the UI when nothing comes for too long."""
    graph = defs.resolve_asset_graph()
    watched = {
        key.to_user_string(): policy.fail_window.to_timedelta()
        for key in graph.get_all_asset_keys()
        if isinstance(policy := graph.get(key).freshness_policy, TimeWindowFreshnessPolicy)
    }
    assert watched == {
        "redis_snapshot": dt.timedelta(hours=50),
        "redis_backup": dt.timedelta(hours=26),
        "restore_drill": dt.timedelta(days=8),
    }


def test_a_restore_is_a_dry_run_unless_told() -> None:
    """A restore by config only shows its plan."""
    config = defs.resolve_job_def("restore_job").get_node_named("restore_backup").definition.config_schema
    assert config.config_type.fields["dry_run"].default_value is True  # type: ignore[union-attr]


def test_the_location_has_one_name() -> None:
    """Schedules and sensors are remembered on or off under the name of their location: it is the same everywhere."""
    (entry,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    (started,) = yaml.safe_load(WORKSPACE)["load_from"]
    names = {one["python_module"]["location_name"] for one in (entry, started)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    assert names | {project["code_location_name"]} == {"reco_pipeline"}
