"""Promises of what keeps the shop: a failed backup, check, drill or cleanup is tried again by itself, and told once."""

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from reco.alerts.outbox import Outbox
from reco.audit.trail import Event, events
from reco.errors import BackupDamaged, BackupError, ConfigError, ObjectStoreUnavailable
from reco.orders.home import open_home
from reco.settings import load_settings
from reco_pipeline.attempts import UPKEEP_ATTEMPTS, UPKEEP_TAGS
from reco_pipeline.definitions import build_defs, defs
from reco_pipeline.upkeep import REPEATED, Look, look, tell_well
from reco_pipeline_tests.integration.test_telling import Watched
from reco_pipeline_tests.receivers import running_webhook

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")
AWAY = ObjectStoreUnavailable("the bucket is away", hint="bring it back")


@dataclass
class Kept(Watched):
    """A home whose upkeep is looked at; the clock is the test's."""

    later: float = 0.0

    @property
    def now(self) -> dt.datetime:
        """The time as the sensor is told it."""
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.later)

    def asked(self) -> Look:
        """One look."""
        return look(self.instance, now=self.now)

    def run(
        self, job: str = "backup_job", tags: "dict[str, str] | None" = None, error: Exception | None = None
    ) -> dg.ExecuteInProcessResult:
        """A run of this name that ends so; told, where it failed."""

        @dg.op
        def step() -> None:
            if error is not None:
                raise error

        @dg.job(name=job)
        def made() -> None:
            step()

        done = made.execute_in_process(
            instance=self.instance, tags=UPKEEP_TAGS if tags is None else tags, raise_on_error=False
        )
        if not done.success:
            self.hear_of(done)
        return done

    def tell(self) -> None:
        """What a look finds well is told."""
        tell_well(self.asked().well, load_settings(**self.overrides), self.now)


@pytest.fixture
def kept(tmp_path: os.PathLike[str]) -> Iterator[Kept]:
    """A new home whose alerts go to a webhook."""
    with dg.DagsterInstance.ephemeral() as instance, running_webhook() as hook:
        yield Kept({"home": f"{tmp_path}/home", "alert_targets": hook.url}, instance, hook)


def test_a_failed_backup_is_tried_again_with_growing_pauses_and_told_once(kept: Kept) -> None:
    """Seven attempts within hours, one run at a time; one alert at the first, one at the last; then it rests until its
    next time, which has seven of its own.
    """
    kept.run(error=AWAY)
    pauses = []
    for attempt in range(2, UPKEEP_ATTEMPTS + 1):
        while not (found := kept.asked()).runs:
            assert "is due in" in found.why[0]
            kept.later += 15
        pauses.append(kept.later)
        (request,) = found.runs
        assert (request.job_name, request.tags["reco/attempt"]) == ("backup_job", str(attempt))
        assert request.tags["dagster/max_retries"] == "0"
        kept.later = 0  # what is made now ends now, by the clock of the machine
        kept.run(tags=dict(request.tags), error=AWAY)
    assert pauses == [15, 60, 240, 960, 3840, 15360]
    kept.later = 86400
    assert kept.asked().runs == []
    assert "failed 7 times" in kept.asked().why[0]
    assert [title.split(":")[0] for title in kept.titles] == ["run_failed", "run_left"]
    kept.run(error=AWAY)  # by the schedule of the next day
    assert len(kept.asked().runs) == 1
    assert len(kept.titles) == 2
    engine = open_home(load_settings(**kept.overrides)).ledger.engine
    assert len(events(engine, event=Event.RUN_FAILED)) == UPKEEP_ATTEMPTS + 1, "the trail has each"


def test_a_success_ends_the_story_and_is_told(kept: Kept) -> None:
    """Whoever made it; the next failure is news again."""
    kept.run(error=AWAY)
    kept.later = 20
    (request,) = kept.asked().runs
    assert kept.run(tags=dict(request.tags)).success
    assert kept.asked().runs == []
    for _ in range(2):
        kept.tell()
    assert [title.split(":")[0] for title in kept.titles] == ["run_failed", "run_recovered"]
    assert not any(
        "backup_job" in key for key in Outbox(load_settings(**kept.overrides).home).told() if "failed" in key
    )
    kept.run(error=AWAY)
    kept.run(tags={})  # by hand
    assert kept.asked().runs == []
    kept.tell()
    assert [title.split(":")[0] for title in kept.titles] == ["run_failed", "run_recovered"] * 2


def test_what_was_never_told_to_fail_is_not_told_to_be_well(kept: Kept) -> None:
    """A success alone is no news."""
    kept.run()
    kept.tell()
    assert kept.titles == []


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (AWAY, True),
        (OSError("connection reset"), True),
        (BackupDamaged("part 3 is damaged", hint="look"), False),
        (ConfigError("no bucket", hint="set one"), False),
        (BackupError("it cannot be made", hint="look"), False),
        (dg.Failure("backup A is damaged", allow_retries=False), False),
    ],
)
def test_only_what_may_pass_is_tried_again(kept: Kept, error: Exception, again: bool) -> None:
    """A verdict, or a setting that is wrong, is as it is; the alert says which of both it is."""
    kept.run("backup_verify_job", error=error)
    kept.later = 20
    assert [one.job_name for one in kept.asked().runs] == ["backup_verify_job"] * again
    assert ("tried again by itself" in kept.hook.got[0]["message"]) is again


def test_a_killed_process_is_made_good(kept: Kept) -> None:
    """No step says why it ended; the config of the run comes with it."""
    config = {"ops": {"redis_backup": {"config": {"reason": "after publish"}}}}
    create_run_for_test(
        kept.instance, "backup_job", run_config=config, status=dg.DagsterRunStatus.FAILURE, tags=UPKEEP_TAGS
    )
    kept.later = 20
    (request,) = kept.asked().runs
    assert request.run_config == config


@pytest.mark.parametrize(
    ("status", "tags"),
    [
        (dg.DagsterRunStatus.CANCELED, UPKEEP_TAGS),
        (dg.DagsterRunStatus.FAILURE, {}),
        (dg.DagsterRunStatus.NOT_STARTED, UPKEEP_TAGS),
        (dg.DagsterRunStatus.STARTED, UPKEEP_TAGS),
    ],
)
def test_what_people_did_and_what_is_at_work_is_left_alone(
    kept: Kept, status: dg.DagsterRunStatus, tags: "dict[str, str]"
) -> None:
    """Ended by hand, started by hand, waiting, or running."""
    create_run_for_test(kept.instance, "cleanup", status=status, tags=tags)
    kept.later = 20
    assert kept.asked().runs == []


def test_each_scheduled_job_that_is_no_order_work_is_marked_and_repeated() -> None:
    """A schedule that forgets the tag, or a job that nobody repeats, is seen here; health looks again within hours."""
    repository = defs.get_repository_def()
    marked = {one.job_name for one in repository.schedule_defs if one.tags.items() >= UPKEEP_TAGS.items()}
    assert marked == set(REPEATED)
    others = {one.job_name for one in repository.schedule_defs} - marked
    assert others == {"receive_drops", "drops_to_recommendations", "health_job"}


def test_the_sensor_asks_for_the_run(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Dagster evaluates it: not before the pause is over."""
    run = create_run_for_test(kept.instance, "retention_job", status=dg.DagsterRunStatus.FAILURE, tags=UPKEEP_TAGS)
    made = build_defs(kept.overrides)

    def tick() -> "list[dg.RunRequest]":
        with dg.build_sensor_context(instance=kept.instance, resources=made.resources) as context:
            return list(made.get_repository_def().get_sensor_def("upkeep").evaluate_tick(context).run_requests or [])

    assert tick() == []
    monkeypatch.setattr("reco_pipeline.attempts.FIRST_PAUSE_SECONDS", -1)
    assert [one.tags["reco/subject"] for one in tick()] == [run.run_id]
