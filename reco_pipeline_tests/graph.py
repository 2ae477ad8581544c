"""The whole Dagster graph of a home in this process, for tests: a real Valkey, a real lake, an instance in memory.

Belongs here: giving drops, running jobs and checks, and what they evaluated. Does not belong here: any claim.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import dagster as dg
import redis

from reco.orders.home import Home, open_home
from reco.orders.profiles import load_profile
from reco.settings import load_settings
from reco_pipeline.definitions import build_defs
from reco_pipeline_tests.servers import port_of

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Outcome:
    """What a run evaluated: the results by check name, those with a partition by check name and key."""

    errors: tuple[str, ...]
    evaluations: Mapping[str, dg.AssetCheckEvaluation]
    by_partition: Mapping[tuple[str, str], dg.AssetCheckEvaluation]

    @property
    def success(self) -> bool:
        """Whether every step ended well."""
        return not self.errors

    def failed(self) -> set[str]:
        """The names of the checks that failed."""
        return {name for name, one in self.evaluations.items() if not one.passed}


@dataclass
class Graph:
    """One home and its graph."""

    folder: Path
    client: redis.Redis
    instance: dg.DagsterInstance
    settings: dict[str, str] = field(default_factory=dict)

    @cached_property
    def overrides(self) -> dict[str, str]:
        """The settings of this home."""
        url = f"redis://127.0.0.1:{port_of(self.client)}/0"
        return {"home": str(self.folder / "home"), "redis_url": url, "namespace": self.folder.name} | self.settings

    @cached_property
    def defs(self) -> dg.Definitions:
        """The definitions on this home."""
        return build_defs(self.overrides)

    @property
    def home(self) -> Home:
        """The opened home."""
        return open_home(load_settings(**self.overrides))

    def give(self, **files: str) -> Outcome:
        """Registers these drops as one batch and runs the job from drops to recommendations over all of them."""
        given = []
        for name, text in files.items():
            path = self.folder / f"{name}.csv"
            path.write_text(text)
            given.append((path, load_profile("auto")))
        drops = [one.drop for one in self.home.ledger.register(given, now=dt.datetime.now(dt.UTC))]
        keys = [drop.key for drop in drops if drop is not None]
        self.instance.add_dynamic_partitions("order_drops", keys)
        tags = {"dagster/partition": keys[0]}
        if len(keys) > 1:
            tags = {
                "dagster/asset_partition_range_start": keys[0],
                "dagster/asset_partition_range_end": keys[-1],
            }
        return self.run("drops_to_recommendations", tags)

    def run(self, job: str, tags: Mapping[str, str] | None = None, *, force: bool = False) -> Outcome:
        """Runs a job; a failure is part of the outcome."""
        config = QUIET | ({"ops": {"redis_snapshot": {"config": {"force": True}}}} if force else {})
        return self._outcome(self.defs.resolve_job_def(job), config, tags)

    def check(self, asset: str, *names: str) -> Outcome:
        """Runs only these checks, as "Execute" does in the UI; all of the asset, as "Execute all", without names."""
        keys = self.defs.resolve_asset_graph().asset_check_keys
        wanted = {key for key in keys if key.asset_key == dg.AssetKey(asset) and (not names or key.name in names)}
        job = self.defs.resolve_implicit_global_asset_job_def()
        return self._outcome(job.get_subset(asset_selection=set(), asset_check_selection=wanted), QUIET, None)

    def _outcome(self, job: dg.JobDefinition, config: Mapping[str, object], tags: Mapping[str, str] | None) -> Outcome:
        done = job.execute_in_process(
            instance=self.instance, run_config=dict(config), tags=dict(tags or {}), raise_on_error=False
        )
        evaluations = done.get_asset_check_evaluations()
        return Outcome(
            tuple(
                event.step_failure_data.error.to_string()
                for event in done.all_events
                if event.is_step_failure and event.step_failure_data.error
            ),
            {one.check_name: one for one in evaluations if one.partition is None},
            {(one.check_name, one.partition): one for one in evaluations if one.partition is not None},
        )
