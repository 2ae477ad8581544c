"""The asset that says how the shop is doing: the roll-up that open-source Dagster lacks.

Does not belong here: the figures and what they mean (`reco.health`).
"""

import datetime as dt
from typing import TYPE_CHECKING

import dagster as dg

from assets.checks.standing import failing_now
from assets.common import HEALTH, OWNERS
from assets.serving import redis_snapshot
from assets.tables import markdown_table
from resources.home import DatabaseResource, RedisResource

if TYPE_CHECKING:
    from reco.health import Health

PIPELINE_HEALTH, HEALTHY = "pipeline_health", "pipeline_healthy"


@dg.asset(
    name=PIPELINE_HEALTH,
    deps=[redis_snapshot],
    group_name=HEALTH,
    owners=OWNERS,
    code_version="1",
    check_specs=[
        dg.AssetCheckSpec(HEALTHY, asset=PIPELINE_HEALTH, description="Nothing waits for somebody to act upon it.")
    ],
)
def pipeline_health(
    context: dg.AssetExecutionContext, database: DatabaseResource, redis: RedisResource
) -> dg.MaterializeResult:
    """Today's drops, the age of what is served, failing checks, backup, drill, disk and memory: `reco status`."""
    from reco.errors import RecoError
    from reco.health import examine

    home, now, failing = database.home(), dt.datetime.now(dt.UTC), failing_now(context.instance)
    try:
        with redis.client() as client:
            found = examine(home, client, failing, now=now)
    except RecoError as error:  # Redis is away, which is what this is to tell
        found = examine(home, None, failing, now=now, trouble=str(error))
    check = dg.AssetCheckResult(
        check_name=HEALTHY,
        passed=not found.problems,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(found.problems) or "All is well.",
        metadata={"problems": len(found.problems)},
    )
    return dg.MaterializeResult(metadata=_figures(found), check_results=[check])


def _figures(found: "Health") -> dict[str, dg.MetadataValue]:
    """The figures as curves over the looks, the rest as text."""
    numbers = {
        "drops_today": found.drops_today,
        "drops_failed_today": found.drops_failed_today,
        "quality_score": found.quality_score,
        "snapshot_age_hours": found.snapshot_age_seconds / 3600 if found.snapshot_age_seconds is not None else None,
        "items": found.items,
        "orders": found.orders,
        "snapshots_kept": found.snapshots_kept,
        "snapshots_stale": found.snapshots_stale,
        "failing_checks": len(found.failing),
        "problems": len(found.problems),
        "alerts_waiting": found.alerts_waiting,
        "last_backup_age_hours": _hours(found.backups.get("age_seconds")),
        "last_drill_age_hours": _hours(found.backups.get("drill_age_seconds")),
        "rpo_seconds": found.backups.get("rpo_seconds"),
        "disk_free_bytes": found.disk_free_bytes,
        "redis_memory_bytes": found.redis_memory_bytes,
    }
    texts = {"snapshot_id": found.snapshot_id or "none", "last_backup": found.backups.get("last_good") or "none"}
    rows = [(one.asset, one.check, one.weight, one.message) for one in found.failing]
    told = [(sentence,) for sentence in found.problems]
    return {
        **{
            name: dg.MetadataValue.float(round(float(value), 3)) for name, value in numbers.items() if value is not None
        },
        **{name: dg.MetadataValue.text(str(value)) for name, value in texts.items()},
        **({"failing": markdown_table(("asset", "check", "weight", "found"), rows)} if rows else {}),
        **({"to_act_upon": markdown_table(("problem",), told)} if told else {}),
    }


def _hours(seconds: float | None) -> float | None:
    return None if seconds is None else seconds / 3600
