"""What Dagster knows of this project, in full: nothing of it disappears or changes its weight unnoticed."""

import dagster as dg

from reco.audit.catalogue import CATALOGUE, Weight
from reco_pipeline.definitions import defs

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
BACKUP = {"redis_backup", "restore_drill"}
MODEL = ASSETS - BACKUP - {"raw_orders", "order_lines", "quarantined_lines"}
JUDGED = {"order_lines", "quarantined_lines", "orders", "catalogue"}
JOBS = {
    "drops_to_recommendations": (ASSETS - BACKUP - {"raw_orders"}, CHECKS),
    "rebuild_recommendations": (MODEL, {check for check in CHECKS if check.split(":")[0] in MODEL}),
    "backup_job": ({"redis_backup"}, set()),
    "restore_drill_job": ({"restore_drill"}, set()),
    "recheck_drops": (set(), {check for check in CHECKS if check.split(":")[0] in JUDGED}),
    "read_catalogues": ({"catalogue"}, {check for check in CHECKS if check.split(":")[0] == "catalogue"}),
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
    assert {_words(check) for check in _checks().values()} == CHECKS


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


def test_what_guards_the_shop_is_there() -> None:
    """Jobs, schedules and sensors of backups by name; a restore by config is a dry run unless told."""
    assert {"backup_verify_job", "restore_job", "retention_job"} <= {job.name for job in defs.resolve_all_job_defs()}
    repository = defs.get_repository_def()
    assert {"daily_backup", "daily_backup_verify", "daily_retention", "weekly_restore_drill"} <= {
        one.name for one in repository.schedule_defs
    }
    assert {"backup_after_publish", "protection_overdue"} <= {one.name for one in repository.sensor_defs}
    config = defs.resolve_job_def("restore_job").get_node_named("restore_backup").definition.config_schema
    assert config.config_type.fields["dry_run"].default_value is True  # type: ignore[union-attr]
