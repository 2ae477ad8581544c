"""The Dagster instance of a home."""

import uuid
from pathlib import Path

import dagster as dg

from reco_pipeline.instance import held_open, open_instance


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
