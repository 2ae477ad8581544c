"""The sensors: what makes a run start by itself, and what happens when one fails.

Belongs here: how often they look and their Dagster clothes. Does not belong here: the decision
(`reco_pipeline.automation`), or the channels of an alert (`reco.alerts`).
"""

import datetime as dt
import json
from collections.abc import Sequence

import dagster as dg

from reco.alerts.tell import Alert, tell
from reco.audit.trail import Event, append, events, recording
from reco.errors import error_names
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


def failure_sensor() -> dg.SensorDefinition:
    """The sensor on failed runs: it hears of crashed processes too, which a hook inside the run would not survive."""

    @dg.run_failure_sensor(
        name="run_failed",
        monitor_all_code_locations=False,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks every failed run in the audit trail and tells it.",
    )
    def run_failed(context: dg.RunFailureSensorContext, database: DatabaseResource) -> None:
        run, engine = context.dagster_run, database.ledger().engine
        if events(engine, event=Event.RUN_FAILED, run_id=run.run_id, limit=1):
            return
        reason, kept = _reason(context)
        with recording(engine) as connection:
            append(
                connection,
                Event.RUN_FAILED,
                at=dt.datetime.now(dt.UTC),
                run_id=run.run_id,
                job=run.job_name,
                reason=kept,
                attempt=run.tags.get("reco/attempt"),
            )
        tell(Alert("run_failed", f"{run.job_name} {run.run_id}", reason, "Open the run in the Dagster UI, page Runs."))

    return run_failed


def _reason(context: dg.RunFailureSensorContext) -> tuple[str, str]:
    """Why the run failed, in full and as the trail may keep it for ever: from the first step that failed.

    In full it is the innermost error. The trail, which can never be mended, keeps the message of an error of ours, and
    of any other its kind alone: its message may quote a value of a file.
    """
    ours = error_names()
    for failed in context.get_step_failure_events():
        error, kept = failed.step_failure_data.error, ""
        while error is not None:
            kept = kept or (error.message.strip() if error.cls_name in ours else "")
            if error.cause is None:
                message = error.message.strip()
                return message, kept or f"{error.cls_name or 'an error'}: the run's page in the Dagster UI has it"
            error = error.cause
    message = context.failure_event.message or "no reason is known"
    return message, message


def _read(cursor: str | None) -> dict[str, str]:
    """What the last look saw; nothing where the cursor was reset or is not ours, which costs one more look."""
    try:
        seen = json.loads(cursor or "{}")
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in seen.items()} if isinstance(seen, dict) else {}
