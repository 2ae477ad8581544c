"""When something is told: runs that failed, checks that fail, and what did not happen.

Belongs here: the sensors that notice, and how their findings become alerts. Does not belong here: the channels and what
is told once (`reco.alerts`), what is overdue (`reco.backup.status`), or which checks fail (`assets.checks.standing`).
"""

import datetime as dt
import json
import urllib.request
from collections.abc import Iterable

import dagster as dg
import structlog

from assets.checks.standing import failing_now
from reco.alerts.outbox import Outbox
from reco.alerts.tell import Alert, note, over, send_waiting
from reco.audit.trail import Event, append, events, recording
from reco.backup.status import absences, home_seconds, look, may_be_overdue
from reco.container import container
from reco.errors import RecoError, error_names
from reco.health import crowded, disk_short, redis_memory_short
from reco.settings import Settings
from reco_pipeline.attempts import ATTEMPT, KIND, SUBJECT, UPKEEP, UPKEEP_ATTEMPTS, may_pass, upkeep_key
from reco_pipeline.jobs import restore_drill_job
from resources.home import DatabaseResource, RedisResource

log = structlog.get_logger(__name__)
SECONDS_BETWEEN_LOOKS = 3600
ALERT_SECONDS = 30
HEARTBEAT_SECONDS = 300
HEARTBEAT_PATIENCE_SECONDS = 5
RUN_HOURS = 26
"""A day and its delays: the daily schedules alone make several runs a day."""
BROKEN_CHECK = "DagsterAssetCheckFailedError"
CHECK, NO_RUN, ABSENT = "check_failed", "no_run", ("backup_missing", "drill_missing", "replica_behind")

CROWDED = ("memory_short", "processor_busy")


def failure_sensor() -> dg.SensorDefinition:
    """The sensor on failed runs: it hears of crashed processes too, which a hook inside the run would not survive."""

    @dg.run_failure_sensor(
        name="run_failed",
        monitor_all_code_locations=False,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks every failed run in the audit trail and tells it.",
    )
    def run_failed(context: dg.RunFailureSensorContext, database: DatabaseResource) -> None:
        run, home = context.dagster_run, database.home()
        engine, now = home.ledger.engine, dt.datetime.now(dt.UTC)
        if events(engine, event=Event.RUN_FAILED, run_id=run.run_id, limit=1):
            return
        reason, kind = _reason(context)
        # First told, then marked: killed in between, it is neither lost nor told twice.
        checks = _checks_that_ended_it(context, home.settings) if kind == BROKEN_CHECK else []
        passing = may_pass([one.step_failure_data for one in context.get_step_failure_events()])
        note(checks or [_run_alert(run, reason, home.settings, passing=passing)], home.settings, now=now)
        send_waiting(home.settings, now=now)
        with recording(engine) as connection:
            append(
                connection,
                Event.RUN_FAILED,
                at=now,
                run_id=run.run_id,
                job=run.job_name,
                reason=reason,
                attempt=run.tags.get(ATTEMPT),
            )

    return run_failed


def _checks_that_ended_it(context: dg.RunFailureSensorContext, settings: Settings) -> list[Alert]:
    """Of the checks that failed in this run those that fail still and are told: then the run need not be.

    None where a check is not told for itself, such as one of a single drop, or passed in a later run already.
    """
    run_id = context.dagster_run.run_id
    found = context.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    made = [one.event_log_entry.get_dagster_event().asset_check_evaluation_data for one in found]
    failed = {f"{CHECK}:{one.asset_key.to_user_string()}:{one.check_name}" for one in made if not one.passed}
    return [alert for alert in check_alerts(context.instance, settings) if alert.told_as in failed]


def _run_alert(run: dg.DagsterRun, reason: str, settings: Settings, *, passing: bool) -> Alert:
    """The alert of a failed run. The attempts at one thing are told once, and once more when no other follows."""
    subject = f"{run.job_name} {run.run_id}"
    work = f"{run.tags[KIND]}:{run.tags.get(SUBJECT, '')}" if KIND in run.tags else run.run_id
    page = f"/runs/{run.run_id}"
    if run.tags.get(KIND) == UPKEEP:
        return _upkeep_alert(run, subject, reason, page, passing=passing)
    if int(run.tags.get(ATTEMPT, "0")) >= settings.run_attempts:
        step = f"After {settings.run_attempts} attempts it is left to people: mend the cause, then `reco run`."
        return Alert("run_left", subject, reason, step, page, f"run_left:{work}")
    step = "Open the run in the Dagster UI; automation tries again what it asked for."
    return Alert("run_failed", subject, reason, step, page, f"run_failed:{run.job_name}:{work}")


def _upkeep_alert(run: dg.DagsterRun, subject: str, reason: str, page: str, *, passing: bool) -> Alert:
    """Of what keeps the shop: however many runs of a job fail in a row, that is told once, and once that it is left."""
    if not passing:
        step = "It is not tried again before its next time, since that would mend nothing: mend the cause."
    elif int(run.tags.get(ATTEMPT, "1")) >= UPKEEP_ATTEMPTS:
        step = f"After {UPKEEP_ATTEMPTS} attempts it rests until its next time: mend the cause, then start it by hand."
        return Alert("run_left", subject, reason, step, page, upkeep_key("run_left", run.job_name))
    else:
        step = "Open the run in the Dagster UI; it is tried again by itself, and told when it succeeds."
    return Alert("run_failed", subject, reason, step, page, upkeep_key("run_failed", run.job_name))


def _reason(context: dg.RunFailureSensorContext) -> tuple[str, str]:
    """Why the run failed, as it may be kept for ever and sent to others, and the kind of the error.

    Of the first step that failed: the message of an error of ours; of any other the kind of the innermost one alone,
    since its message may quote a value of a file, and the trail can never be mended.
    """
    ours = error_names()
    for failed in context.get_step_failure_events():
        error, kept = failed.step_failure_data.error, ""
        while error is not None:
            kept = kept or (error.message.strip() if error.cls_name in ours else "")
            if error.cause is None:
                kind = error.cls_name or "an error"
                return kept or f"{kind}: the run's page in the Dagster UI has it", kind
            error = error.cause
    message = context.failure_event.message or "no reason is known"
    return message, ""


def alert_sensor() -> dg.SensorDefinition:
    """What stands and what waits: checks that fail, no run for a day, alerts that could not be sent, the heartbeat."""

    @dg.sensor(
        name="alerts",
        job=restore_drill_job,
        minimum_interval_seconds=ALERT_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells which checks fail and that no run succeeded for a day, once a day each; sends what waits.",
    )
    def alerts(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SensorResult:
        home, now = database.home(), dt.datetime.now(dt.UTC)
        settings = home.settings
        mark, beat = _cursor(context.cursor)
        changed = str(context.instance.event_log_storage.get_maximum_record_id() or 0)
        standing = [one for one in (_no_run(context.instance, home_seconds(home.ledger.engine, now=now), now),) if one]
        prefixes = [NO_RUN]
        if changed != mark or now.minute == 0:  # what is told once a day is looked at though nothing happened
            standing += check_alerts(context.instance, settings)
            prefixes.append(CHECK)
        tell_standing(standing, prefixes, settings, now)
        sent = send_waiting(settings, now=now)
        waiting = len(Outbox(settings.home).waiting())
        if settings.alert_heartbeat_url is not None and now.timestamp() - beat >= HEARTBEAT_SECONDS:
            beat = now.timestamp() if _beat(settings.alert_heartbeat_url.get_secret_value()) else beat
        return dg.SensorResult(
            skip_reason=f"{len(standing)} to tell, {sent} sent late, {waiting} waiting.", cursor=f"{changed} {beat:.0f}"
        )

    return alerts


def check_alerts(instance: dg.DagsterInstance, settings: Settings) -> list[Alert]:
    """An alert for each check that fails now and weighs enough (RECO_ALERT_CHECKS)."""
    least = {"warning": {"warning", "error", "blocking"}, "error": {"error", "blocking"}}[settings.alert_checks]
    return [
        Alert(
            CHECK,
            f"{one.asset}:{one.check} ({one.weight})",
            one.message,
            "Open the check: it shows figures and offenders. docs/quality.md says what each means.",
            f"/assets/{one.asset}?view=checks&checkDetail={one.check}",
            f"{CHECK}:{one.asset}:{one.check}",
        )
        for one in failing_now(instance)
        if one.weight in least
    ]


def tell_standing(standing: list[Alert], prefixes: Iterable[str], settings: Settings, now: dt.datetime) -> None:
    """Tells what stands, once a day each; what was told under these prefixes and stands no more is over.

    What is new then waits for `send_waiting`: a receiver that is silent is waited for once, however much stands.
    """
    note(standing, settings, now=now)
    names = {alert.told_as for alert in standing}
    ours = tuple(f"{prefix}:" for prefix in prefixes)
    over([key for key in Outbox(settings.home).told() if key.startswith(ours) and key not in names], settings)


def _crowded(context: dg.SensorEvaluationContext, now: dt.datetime) -> list[Alert]:
    """What the container is short of: memory now, processor time since the look before, which the cursor holds."""
    found = container()
    if found is None:
        return []
    at, cpu_seconds = json.loads(context.cursor) if context.cursor else (now.timestamp(), found.cpu_seconds)
    context.update_cursor(json.dumps([now.timestamp(), found.cpu_seconds]))
    passed = now.timestamp() - at
    if passed < SECONDS_BETWEEN_LOOKS / 2:  # so short a while would tell of a peak
        return crowded(found, None)
    return crowded(found, (found.cpu_seconds - cpu_seconds) / passed)  # less than nothing: the container began anew


def _no_run(instance: dg.DagsterInstance, home_age_seconds: float | None, now: dt.datetime) -> Alert | None:
    if (home_age_seconds or 0.0) < RUN_HOURS * 3600:
        return None
    found = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1)
    ended = found[0].end_time if found else None
    if ended is not None and now.timestamp() - ended < RUN_HOURS * 3600:
        return None
    told = "at all" if ended is None else f"for {(now.timestamp() - ended) / 3600:.0f} hours"
    step = "See the schedules and the runs of the Dagster UI: are they on, and why did runs fail?"
    return Alert(
        NO_RUN, "pipeline", f"No run succeeded {told}; the daily ones alone make several a day.", step, "/runs"
    )


def _beat(url: str) -> bool:
    """Tells a watcher outside that automation is at work; it is the one to miss us."""
    try:
        with urllib.request.urlopen(url, timeout=HEARTBEAT_PATIENCE_SECONDS):  # noqa: S310 - a setting of the operator
            return True
    except (OSError, ValueError) as error:
        log.warning("heartbeat_not_sent", reason=type(error).__name__)
        return False


def _cursor(text: str | None) -> tuple[str, float]:
    """Up to where events were seen, and the last heartbeat; nothing of both where it is not ours."""
    mark, _, beat = (text or "").partition(" ")
    return mark, float(beat) if beat.replace(".", "", 1).isdigit() else 0.0


def protection_sensor() -> dg.SensorDefinition:
    """What did not happen is told: a machine that is down sends no failure."""

    @dg.sensor(
        name="protection_overdue",
        job=restore_drill_job,
        minimum_interval_seconds=SECONDS_BETWEEN_LOOKS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells, once a day each, that no good backup was made for 26 hours, no drill passed for 8 days, "
        "the second bucket is behind, the buckets do not say, disk or Redis are nearly full, or the container of the "
        "runs has little left.",
    )
    def overdue(context: dg.SensorEvaluationContext, database: DatabaseResource, redis: RedisResource) -> dg.SkipReason:
        now, home = dt.datetime.now(dt.UTC), database.home()
        if home.settings.profile == "production":  # elsewhere the container is not one for the runs
            tell_standing(_crowded(context, now), CROWDED, home.settings, now)
        prefixes: tuple[str, ...] = (*ABSENT, "protection_unknown")
        looked = {"disk_short": disk_short(home.settings)}
        try:
            with redis.client() as client:
                looked["redis_memory_short"] = redis_memory_short(client)
        except RecoError as error:  # it holds what it held; a run that needs it fails, and is told
            log.warning("redis_not_looked_at", reason=error.message)
        tell_standing([alert for found in looked.values() for alert in found], looked, home.settings, now)
        if not may_be_overdue(home.ledger.engine, now=now):
            send_waiting(home.settings, now=now)
            return dg.SkipReason("There is nothing to protect, or not for long enough that anything could be overdue.")
        try:
            standing = absences(look(home.settings, home.ledger.engine, now=now))
        except RecoError as error:
            standing = [Alert("protection_unknown", "backups", error.message, error.hint)]
            prefixes = ()  # what stood before may still stand
        tell_standing(standing, prefixes, home.settings, now)
        send_waiting(home.settings, now=now)
        return dg.SkipReason(f"{len(standing)} overdue.")

    return overdue
