"""Promises of what is told by itself: failed runs, failing checks, a day without a run; each once."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import StepMaterializationData

from assets.checks.standing import failing_now
from reco.alerts.outbox import Outbox
from reco.alerts.tell import Alert, tell
from reco.audit.trail import Event, append, events, recording
from reco.orders.home import open_home
from reco.settings import load_settings
from reco_pipeline.definitions import build_defs
from reco_pipeline_tests.receivers import Webhook, running_webhook

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")


@dataclass
class Watched:
    """A home, its Dagster instance and the receiver of its alerts."""

    overrides: dict[str, str]
    instance: dg.DagsterInstance
    hook: Webhook

    @property
    def titles(self) -> list[str]:
        """What was received, by what and of what."""
        return [one["title"].removeprefix("[reco] ") for one in self.hook.got]

    def sensor(self, name: str) -> dg.SensorDefinition:
        """A sensor of this home."""
        return build_defs(self.overrides).get_repository_def().get_sensor_def(name)

    def look(self, cursor: str | None = None) -> str:
        """One tick of the sensor `alerts`; returns its cursor."""
        made = dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources=build_defs(self.overrides).resources
        )
        with made as context:
            found = self.sensor("alerts").evaluate_tick(context)
        assert found.cursor is not None
        return found.cursor

    def hear_of(self, failed: dg.ExecuteInProcessResult) -> None:
        """One tick of the sensor `run_failed` over this run."""
        heard = dg.build_run_status_sensor_context(
            "run_failed",
            failed.get_run_failure_event(),
            self.instance,
            failed.dagster_run,
            resources=build_defs(self.overrides).resources,
        )
        with heard.for_run_failure() as context:
            self.sensor("run_failed")(context)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """A new home whose alerts go to a webhook."""
    with dg.DagsterInstance.ephemeral() as instance, running_webhook() as hook:
        overrides = {"home": str(tmp_path / "home"), "alert_targets": hook.url, "run_attempts": "3"}
        yield Watched(overrides, instance, hook)


def broken_job() -> dg.JobDefinition:
    @dg.op
    def fails() -> None:
        raise ValueError("bad value 'anna@shop.test'")

    @dg.job
    def broken() -> None:
        fails()

    return broken


def test_the_attempts_at_one_thing_are_told_once_and_once_more_at_the_end(watched: Watched) -> None:
    """Three attempts at the same drops: two alerts, the second asks for people; other runs tell for themselves."""
    tags = {"reco/automation": "drops", "reco/subject": "4-4"}
    attempts = [
        broken_job().execute_in_process(
            instance=watched.instance, tags=tags | {"reco/attempt": attempt}, raise_on_error=False
        )
        for attempt in ("1", "2", "3")
    ]
    for failed in attempts:
        watched.hear_of(failed)
        watched.hear_of(failed)
    assert [title.split(" ")[0] for title in watched.titles] == ["run_failed:", "run_left:"]
    assert f"/runs/{attempts[-1].run_id}" in watched.hook.got[1]["message"]
    assert "anna" not in str(watched.hook.got)
    engine = open_home(load_settings(home=watched.overrides["home"])).ledger.engine
    assert len(events(engine, event=Event.RUN_FAILED)) == 3, "the trail has each of them"
    by_hand = [broken_job().execute_in_process(instance=watched.instance, raise_on_error=False) for _ in range(2)]
    for failed in by_hand:
        watched.hear_of(failed)
    assert len(watched.titles) == 4


def test_a_blocking_check_is_told_as_a_check_and_not_as_a_run_too(watched: Watched) -> None:
    """One cause, one alert: the run it failed is in the trail, the check is what is told."""

    @dg.asset_check(asset="order_lines", blocking=True)
    def lines_reconcile() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False, description="monday.csv: 3 lines are missing.")

    job = dg.Definitions(
        asset_checks=[lines_reconcile], jobs=[dg.define_asset_job("check", dg.AssetSelection.all_asset_checks())]
    ).resolve_job_def("check")
    failed = job.execute_in_process(instance=watched.instance, raise_on_error=False)
    watched.hear_of(failed)
    cursor = watched.look()
    assert watched.titles == ["check_failed: order_lines:lines_reconcile (blocking)"]
    assert "3 lines are missing" in watched.hook.got[0]["message"]
    assert "/assets/order_lines?view=checks&checkDetail=lines_reconcile" in watched.hook.got[0]["message"]
    watched.look(cursor)
    watched.look()
    assert len(watched.titles) == 1


def test_a_run_that_a_check_ended_is_told_where_no_check_is(watched: Watched) -> None:
    """A blocking check that is not told for itself, or that passed in a later run before anybody looked."""

    @dg.asset_check(asset="order_lines", blocking=True)
    def not_of_the_catalogue() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    @dg.asset_check(asset="order_lines", blocking=True)
    def lines_reconcile() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=False)

    for check in (not_of_the_catalogue, lines_reconcile):
        job = dg.Definitions(
            asset_checks=[check], jobs=[dg.define_asset_job("check", dg.AssetSelection.all_asset_checks())]
        ).resolve_job_def("check")
        failed = job.execute_in_process(instance=watched.instance, raise_on_error=False)
        judge(watched, "lines_reconcile", passed=True, severity=dg.AssetCheckSeverity.ERROR)
        watched.hear_of(failed)
    assert [title.split(" ")[0] for title in watched.titles] == ["run_failed:", "run_failed:"]


def reconciling_job(*, passed: bool) -> dg.JobDefinition:
    """A job that makes an asset and checks it."""

    @dg.asset(name="order_lines", check_specs=[dg.AssetCheckSpec("lines_reconcile", asset="order_lines")])
    def made() -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster reads no argument here
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=passed, description="3 lines.")])

    return dg.Definitions(
        assets=[made], jobs=[dg.define_asset_job("make", dg.AssetSelection.assets("order_lines"))]
    ).resolve_job_def("make")


def test_a_check_that_a_run_only_plans_says_nothing_yet(watched: Watched) -> None:
    """What failed is neither over nor told again while runs wait, or when one ended before it made anything."""
    job = reconciling_job(passed=False)
    job.execute_in_process(instance=watched.instance, raise_on_error=False)
    watched.look()
    assert watched.titles == ["check_failed: order_lines:lines_reconcile (blocking)"]
    waits = watched.instance.create_run_for_job(job)
    watched.look()
    watched.instance.report_run_failed(waits)
    watched.look()
    job.execute_in_process(instance=watched.instance, raise_on_error=False)
    watched.look()
    assert len(watched.titles) == 1
    reconciling_job(passed=True).execute_in_process(instance=watched.instance)
    watched.look()
    watched.instance.report_run_failed(watched.instance.create_run_for_job(job))
    assert failing_now(watched.instance) == []
    assert "check_failed:order_lines:lines_reconcile" not in Outbox(Path(watched.overrides["home"])).told()


def test_what_was_made_and_not_checked_is_told(watched: Watched) -> None:
    """A run that was lost between making an asset and checking it leaves a failing check, until a run checks it."""
    job = reconciling_job(passed=True)
    job.execute_in_process(instance=watched.instance)
    lost = watched.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    made = StepMaterializationData(dg.AssetMaterialization("order_lines"))
    event = dg.DagsterEvent(dg.DagsterEventType.ASSET_MATERIALIZATION.value, "make", event_specific_data=made)
    watched.instance.report_dagster_event(event, lost.run_id)
    assert failing_now(watched.instance) == [], "it is at work"
    watched.instance.report_run_failed(lost)
    watched.look()
    assert watched.titles == ["check_failed: order_lines:lines_reconcile (blocking)"]
    assert "the run ended before the check did" in watched.hook.got[0]["message"]
    watched.instance.create_run_for_job(job)
    assert len(failing_now(watched.instance)) == 1, "the one that is to check it waits"
    job.execute_in_process(instance=watched.instance)
    assert failing_now(watched.instance) == []


def judge(watched: Watched, name: str, *, passed: bool, severity: dg.AssetCheckSeverity) -> None:
    watched.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            dg.AssetKey("order_lines"), name, passed, {}, severity=severity, description="what it found"
        )
    )


def test_a_warning_is_told_by_choice_and_what_passed_again_is_new(watched: Watched) -> None:
    """Checks that warn are told with RECO_ALERT_CHECKS=warning; a failure after a success is told the same day."""
    warn, error = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
    judge(watched, "quality_score", passed=False, severity=warn)
    judge(watched, "key_fields_present", passed=False, severity=error)
    watched.look()
    assert watched.titles == ["check_failed: order_lines:key_fields_present (error)"]
    watched.overrides["alert_checks"] = "warning"
    watched.look()
    assert watched.titles[1:] == ["check_failed: order_lines:quality_score (warning)"]
    for passed in (True, False):
        judge(watched, "key_fields_present", passed=passed, severity=error)
        watched.look()
    assert watched.titles[2:] == ["check_failed: order_lines:key_fields_present (error)"]


def test_a_day_without_a_run_is_told_and_the_watcher_outside_hears_us(watched: Watched) -> None:
    """Of a home that has had something to do for longer; the heartbeat goes out every five minutes, not every look."""
    watched.overrides["alert_heartbeat_url"] = f"http://127.0.0.1:{watched.hook.port}/beat"
    cursor = watched.look()
    assert watched.titles == []
    engine = open_home(load_settings(home=watched.overrides["home"])).ledger.engine
    old = dt.datetime.now(dt.UTC) - dt.timedelta(hours=27)
    with recording(engine) as connection:
        append(connection, Event.DROP_SEEN, at=old, drop_key="monday-1", name="monday.csv")
    cursor = watched.look(cursor)
    assert [title.split(": ")[0] for title in watched.titles] == ["no_run"]
    assert watched.hook.asked == ["/beat"]

    @dg.job
    def anything() -> None:
        pass

    assert anything.execute_in_process(instance=watched.instance).success
    watched.look(cursor)
    assert len(watched.titles) == 1
    assert "no_run:pipeline" not in Outbox(Path(watched.overrides["home"])).told()


def test_a_receiver_that_is_away_is_asked_once_a_look(watched: Watched) -> None:
    """However much stands: a look stays short."""
    watched.hook.status = 503
    for name in ("key_fields_present", "lines_reconcile"):
        judge(watched, name, passed=False, severity=dg.AssetCheckSeverity.ERROR)
    watched.look()
    assert watched.hook.tried == 1
    assert len(Outbox(Path(watched.overrides["home"])).waiting()) == 2


def test_an_alert_that_waits_is_sent_by_the_sensor(watched: Watched) -> None:
    """A receiver that was away gets it once it is back and the attempt is due, without a person."""
    watched.hook.status = 503
    judge(watched, "key_fields_present", passed=False, severity=dg.AssetCheckSeverity.ERROR)
    cursor = watched.look()
    (waiting,) = Outbox(Path(watched.overrides["home"])).waiting()
    assert "503" in waiting.answer
    watched.hook.status = 200
    state = Path(watched.overrides["home"]) / "alerts" / "state.json"
    state.write_text(state.read_text().replace(waiting.due_at, waiting.at))
    watched.look(cursor)
    assert len(watched.titles) == 1


def test_the_disk_is_looked_at_without_redis(watched: Watched) -> None:
    """A disk that is short is told while Redis is away, and once; what was told of Redis is not over then."""
    watched.overrides |= {"redis_url": "redis://127.0.0.1:1/0", "disk_warn_free": "0.9999"}
    settings = load_settings(**watched.overrides)
    tell(Alert("redis_memory_short", "redis", "It is full.", "Give it more."), settings)
    for _ in range(2):
        with dg.build_sensor_context(
            instance=watched.instance, resources=build_defs(watched.overrides).resources
        ) as context:
            watched.sensor("protection_overdue").evaluate_tick(context)
    assert watched.titles == ["redis_memory_short: redis", "disk_short: home"]
    assert set(Outbox(settings.home).told()) == {"redis_memory_short:redis", "disk_short:home"}
