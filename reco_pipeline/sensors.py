"""The sensor that makes runs start by themselves.

Belongs here: how often it looks and its Dagster clothes. Does not belong here: the decision
(`reco_pipeline.automation`), or what is told of runs that fail (`reco_pipeline.telling`).
"""

import datetime as dt
import json
from collections.abc import Sequence

import dagster as dg

from reco.settings import Settings
from reco_pipeline.automation import decide
from reco_pipeline.jobs import Job
from resources.home import DatabaseResource


def inbox_sensor(settings: Settings, jobs: Sequence[Job]) -> dg.SensorDefinition:
    """The sensor on the inbox: on from the start, in production too, since an inbox nobody looks into is a trap."""

    @dg.sensor(
        name="inbox",
        jobs=jobs,
        minimum_interval_seconds=settings.inbox_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Takes new order files of the inbox in and starts a run over all drops that wait.",
    )
    def inbox(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult:
        wanted = decide(database.home(), context.instance, _read(context.cursor), now=dt.datetime.now(dt.UTC))
        return dg.SensorResult(
            run_requests=[wanted.run] if wanted.run else [],
            skip_reason=None if wanted.run else wanted.why,
            cursor=json.dumps(wanted.seen, sort_keys=True),
        )

    return inbox


def _read(cursor: str | None) -> dict[str, str]:
    """What the last look saw; nothing where the cursor was reset or is not ours, which costs one more look."""
    try:
        seen = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in seen.items()} if isinstance(seen, dict) else {}
