"""Promises of automation, look by look: what is taken in, which run is wanted, and when none is."""

import datetime as dt
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from reco.audit.trail import Event, events
from reco.errors import Busy, LakeError, ObjectStoreUnavailable
from reco.orders.home import Home, open_home
from reco.orders.intake import TICK_BYTES
from reco.orders.profiles import load_profile
from reco.settings import load_settings
from reco.snapshot.store import SnapshotStore
from reco.storage.homelock import dev_lock, home_lock, inbox_lock
from reco.storage.redis import open_redis
from reco.storage.sql import snapshots
from reco_pipeline.attempts import Wanted
from reco_pipeline.automation import decide
from reco_pipeline.definitions import build_defs
from reco_pipeline.instance import open_instance
from reco_pipeline.pending import LAUNCHER, catalogue_ledger, close_runs_of_dead_services, wait_for_automation

# Dagster calls what it has deprecated itself when it sets resources up.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")

NOW = dt.datetime.now(dt.UTC)
ORDERS = "order_id,item_name\n1,PID\n1,Hose\n2,PID\n2,Hose\n"
MANY = "order_id,item_name\n" + "".join(f"{n},PID\n{n},Hose\n{n},item {n % 5}\n" for n in range(20))


@dataclass
class Shop:
    """A home with an inbox, looked at again and again; the clock is the test's."""

    home: Home
    instance: dg.DagsterInstance
    overrides: dict[str, str]
    seen: dict[str, str] = field(default_factory=dict)
    later: float = 0.0

    def drop(self, name: str, text: str = ORDERS) -> Path:
        """A file put into the inbox."""
        path = self.home.settings.home / "inbox" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def look(self, *, stubborn: bool = False) -> Wanted:
        """One tick; what it saw is what the next one starts from, as the sensor's cursor does."""
        wanted = decide(self.home, self.instance, self.seen, now=self.now, stubborn=stubborn)
        self.seen = wanted.seen
        return wanted

    def wanted(self) -> dg.RunRequest:
        """The run of the second of two looks."""
        self.look()
        found = self.look()
        assert found.run is not None, found.why
        return found.run

    def fail(self, run: dg.RunRequest) -> None:
        """A run of this request that failed, as the daemon would have left it."""
        create_run_for_test(
            self.instance, job_name=str(run.job_name), status=dg.DagsterRunStatus.FAILURE, tags=dict(run.tags)
        )

    def execute(self, run: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run itself."""
        job = build_defs(self.overrides).resolve_job_def(str(run.job_name))
        return job.execute_in_process(instance=self.instance, tags=dict(run.tags), raise_on_error=False)

    def pass_time(self, seconds: float) -> None:
        """Moves the clock."""
        self.later += seconds

    @property
    def now(self) -> dt.datetime:
        """The time as automation is told it."""
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.later)

    def states(self) -> dict[str, str]:
        """The state of each drop in the ledger, by name."""
        return {drop.name: drop.status.value for drop in self.home.ledger.drops()}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop whose inbox is empty."""
    overrides = {"home": str(tmp_path / "home")}
    with dg.DagsterInstance.ephemeral() as instance:
        yield Shop(open_home(load_settings(**overrides)), instance, overrides)


def test_a_file_is_taken_in_once_it_has_held_still(shop: Shop) -> None:
    """The first look only notes a file; the second takes it in and asks for a run; then all is quiet."""
    shop.drop("monday.csv")
    first = shop.look()
    assert first.run is None
    assert "1 files may still be written to" in first.why
    assert shop.states() == {}
    second = shop.look()
    assert second.run is not None
    assert second.run.job_name == "drops_to_recommendations"
    key = shop.home.ledger.drops()[0].key
    assert second.run.tags["dagster/partition"] == key
    assert shop.instance.get_dynamic_partitions("order_drops") == [key]
    assert shop.execute(second.run).success
    assert shop.states() == {"monday.csv": "ingested"}
    assert shop.look().why == "Nothing is waiting."


def test_a_file_still_being_written_is_left_alone(shop: Shop) -> None:
    """A file that grows between two looks is not taken in; hidden and temporary names never are."""
    path = shop.drop("growing.csv")
    for name in (".hidden.csv", "~lock.csv", "upload.csv.part", "notes.pdf", ".tmp/inside.csv"):
        shop.drop(name)
    for number in range(3):
        shop.look()
        assert list(shop.seen) == ["growing.csv"]
        path.write_text(ORDERS + f"{number},Gloves\n" * (number + 1))
    assert shop.states() == {}
    shop.look()
    assert shop.look().run is not None
    assert shop.home.ledger.drops()[0].size_bytes == path.stat().st_size


def test_the_same_content_is_never_a_second_drop(shop: Shop) -> None:
    """The same bytes under another name, touched, or with the cursor reset change nothing and start nothing."""
    path = shop.drop("monday.csv")
    assert shop.execute(shop.wanted()).success
    shop.drop("copy-of-monday.csv")
    path.touch()
    shop.seen = {}
    assert [shop.look().run for _ in range(3)] == [None, None, None]
    assert len(shop.home.ledger.drops()) == 1


def test_a_catalogue_alone_leads_to_a_snapshot_with_its_names(shop: Shop) -> None:
    """It is read by a small run, published by the next one, and quiet follows; the same names publish nothing."""
    shop.drop("monday.csv", "order_id,product_id\n1,a\n1,b\n2,a\n2,b\n")
    assert shop.execute(shop.wanted()).success
    shop.drop("catalogue/items.csv", "item_id,name,price\na,Apple,2\nb,Banana,3\n")
    run = shop.wanted()
    assert run.job_name == "read_catalogues"
    assert shop.execute(run).success
    run = shop.wanted()
    assert run.job_name == "rebuild_recommendations"
    assert shop.execute(run).success
    assert shop.look().why == "Nothing is waiting."
    assert shop.states() == {"monday.csv": "ingested"}
    with open_redis(shop.home.settings) as client:
        top = SnapshotStore(client, shop.home.settings.namespace).current().popular()["recommendations"]
    assert [one["item_name"] for one in top] == ["Apple", "Banana"]
    shop.drop("catalogue/copy.csv", "item_id,name,price\na,Apple,2\nb,Banana,3\n")
    assert [shop.look().run for _ in range(3)] == [None, None, None]


def test_a_damaged_catalogue_is_tried_once_and_stops_nothing(shop: Shop) -> None:
    """It is failed; orders that come with it are published, and no further run is asked for."""
    shop.drop("monday.csv")
    shop.drop("catalogue/items.csv", "nothing,known\n1,2\n")
    assert shop.execute(shop.wanted()).success
    assert [one.status.value for one in catalogue_ledger(shop.home).drops()] == ["failed"]
    assert shop.states() == {"monday.csv": "ingested"}
    assert [shop.look().run for _ in range(2)] == [None, None]


def test_a_retracted_drop_does_not_come_back_by_itself(shop: Shop) -> None:
    """Its file still lies in the inbox; what is asked for is only to publish without it."""
    shop.drop("monday.csv", MANY)
    shop.drop("tuesday.csv", "order_id,item_name\n99,PID\n99,Gloves\n")
    assert shop.execute(shop.wanted()).success
    shop.home.ledger.retract("tuesday.csv", now=shop.now, reason="sent twice")
    run = shop.wanted()
    assert run.job_name == "rebuild_recommendations"
    assert shop.execute(run).success
    assert shop.look().why == "Nothing is waiting."
    assert shop.states() == {"monday.csv": "ingested", "tuesday.csv": "retracted"}


def test_a_broken_file_fails_alone_and_once(shop: Shop) -> None:
    """It is failed in the ledger by name, the good one gets its run, and its file is not read again."""
    shop.drop("broken.csv", "colour,weight\nred,3\n")
    shop.drop("good.csv")
    run = shop.wanted()
    assert shop.states() == {"broken.csv": "failed", "good.csv": "pending"}
    assert run.tags["dagster/partition"].startswith("good-")
    assert shop.execute(run).success
    assert shop.look().run is None
    assert len(events(shop.home.ledger.engine, event=Event.DROP_FAILED)) == 1


def test_files_dropped_during_a_run_wait_for_it_and_go_together(shop: Shop) -> None:
    """While a run is at work nothing is asked for, but files are taken in; then one run takes them all."""
    shop.drop("monday.csv")
    first = shop.wanted()
    create_run_for_test(
        shop.instance, job_name=str(first.job_name), status=dg.DagsterRunStatus.STARTED, tags=first.tags
    )
    shop.drop("tuesday.csv", ORDERS + "3,Pump\n")
    shop.look()
    shop.drop("wednesday.csv", ORDERS + "4,Pump\n")
    shop.look()
    busy = shop.look()
    assert busy.run is None
    assert "at work" in busy.why
    assert set(shop.states().values()) == {"pending"}
    shop.instance.delete_run(shop.instance.get_runs()[0].run_id)
    run = shop.look().run
    assert run is not None
    assert {"dagster/asset_partition_range_start", "dagster/asset_partition_range_end"} <= set(run.tags)
    assert shop.execute(run).success
    assert set(shop.states().values()) == {"ingested"}


def test_a_failed_run_is_tried_again_a_bounded_number_of_times(shop: Shop) -> None:
    """Four attempts, each under a key of its own and after a longer pause; then people are asked; the schedule may."""
    shop.drop("monday.csv")
    keys = set()
    run: dg.RunRequest | None = shop.wanted()
    for attempt in (1, 2, 3, 4):
        assert run is not None
        assert run.tags["reco/attempt"] == str(attempt)
        keys.add(run.run_key)
        shop.fail(run)
        if attempt < 4:
            assert f"attempt {attempt + 1} is due" in shop.look().why
        shop.pass_time(15 * 4 ** (attempt - 1) + 1)
        run = shop.look().run
    assert len(keys) == 4
    assert run is None
    assert "failed 4 times" in shop.look().why
    again = shop.look(stubborn=True).run
    assert again is not None
    assert again.run_key not in keys
    shop.drop("tuesday.csv", ORDERS + "3,Pump\n")
    fresh = shop.wanted()
    assert fresh.tags["dagster/partition"].startswith("tuesday-")


def test_what_was_read_but_not_published_is_published_later(tmp_path: Path) -> None:
    """Redis is away: the drop is read, the publish fails; the next run publishes without reading the drop again."""
    overrides = {"home": str(tmp_path / "home"), "redis_url": "redis://127.0.0.1:1/0"}
    with dg.DagsterInstance.ephemeral() as instance:
        shop = Shop(open_home(load_settings(**overrides)), instance, overrides)
        shop.drop("monday.csv")
        assert not shop.execute(shop.wanted()).success
        assert shop.states() == {"monday.csv": "ingested"}
        run = shop.wanted()
        assert run.job_name == "rebuild_recommendations"
        assert not shop.execute(run).success
        assert "attempt 2 is due" in shop.look().why
        shop.pass_time(16)
        del shop.overrides["redis_url"]
        again = shop.look().run
        assert again is not None
        assert shop.execute(again).success
        assert shop.look().why == "Nothing is waiting."


def test_what_the_gate_refused_is_not_tried_again(shop: Shop) -> None:
    """The same inputs would be refused again: no run is asked for, and the reason says what a person can do."""
    lines = [f"{n},item {m}" for n in range(200) for m in (n % 40, (n * 7 + 1) % 40)]
    shop.drop("big.csv", "\n".join(["order_id,item_name", *lines]) + "\n")
    assert shop.execute(shop.wanted()).success
    shop.home.ledger.retract("big.csv", now=shop.now, reason="a test")
    shop.drop("small.csv")
    assert not shop.execute(shop.wanted()).success
    shop.pass_time(3600)
    assert "--force" in shop.look().why


def test_hundreds_of_files_are_taken_in_by_a_run_as_one_batch(shop: Shop) -> None:
    """305 files: no tick reads them; one run takes them in and one more processes them, each once, as one batch."""
    for number in range(305):
        shop.drop(f"day-{number:03}.csv", f"order_id,item_name\n{number},PID\n{number},Hose\n7,item {number}\n")
    receive = shop.wanted()
    assert receive.job_name == "receive_drops"
    assert shop.states() == {}
    shop_job = build_defs(shop.overrides).resolve_job_def("receive_drops")
    config: dict[str, Any] = {"ops": {"receive_waiting_files": {"config": {"settle_seconds": 0}}}}
    assert shop_job.execute_in_process(instance=shop.instance, run_config=config, tags=dict(receive.tags)).success
    run = shop.look().run
    assert run is not None
    drops = shop.home.ledger.drops()
    assert (len(drops), {drop.batch for drop in drops}) == (305, {1})
    start, end = run.tags["dagster/asset_partition_range_start"], run.tags["dagster/asset_partition_range_end"]
    assert (start, end) == (drops[0].key, drops[-1].key)
    assert shop.instance.get_dynamic_partitions("order_drops") == [drop.key for drop in drops]


def test_a_large_file_is_left_to_a_run(shop: Shop) -> None:
    """A file larger than a tick may read is neither hashed nor copied by the sensor."""
    path = shop.drop("large.csv")
    with path.open("ab") as handle:
        handle.truncate(TICK_BYTES + 1)
    assert shop.wanted().job_name == "receive_drops"
    assert shop.states() == {}


def test_a_command_at_work_is_left_alone_and_a_dead_one_is_closed(shop: Shop) -> None:
    """While `reco run` holds the home nothing starts; the record a killed one left does not block for hours."""
    shop.drop("monday.csv")
    dead = create_run_for_test(shop.instance, status=dg.DagsterRunStatus.STARTED, tags=LAUNCHER)
    with home_lock(shop.home.settings.home):
        shop.look()
        assert shop.look().why == "A run from a command line is at work."
    assert shop.look().run is not None
    record = shop.instance.get_run_by_id(dead.run_id)
    assert record is not None
    assert record.status is dg.DagsterRunStatus.FAILURE


def test_two_takers_do_not_meet(shop: Shop) -> None:
    """While somebody else takes files in, a look takes none and forgets nothing."""
    shop.drop("monday.csv")
    shop.look()
    with inbox_lock(shop.home.settings.home, 0):
        assert shop.look().run is None
        assert shop.states() == {}
    assert shop.look().run is not None


def test_an_inbox_that_cannot_be_listed_fails_the_tick(tmp_path: Path) -> None:
    """The error names the inbox; drops that wait are processed all the same."""
    overrides = {"home": str(tmp_path / "home"), "inbox": "s3://reco-inbox", "s3_endpoint_url": "http://127.0.0.1:1"}
    with dg.DagsterInstance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        home = open_home(load_settings(**overrides))
        with pytest.raises(ObjectStoreUnavailable, match="s3://reco-inbox"):
            decide(home, instance, {}, now=NOW)
        (tmp_path / "waiting.csv").write_text(ORDERS)
        home.ledger.register([(tmp_path / "waiting.csv", load_profile("auto"))], now=NOW)
        assert decide(home, instance, {}, now=NOW).run is not None


# ------------------------------------------------------------------------------------------- in their Dagster clothes
def test_the_sensor_ticks_twice_then_skips(shop: Shop) -> None:
    """Through Dagster: a request and a cursor, then a skip with its reason; a foreign cursor costs only one look."""
    defs = build_defs(shop.overrides)
    sensor = defs.get_repository_def().get_sensor_def("inbox")
    shop.drop("monday.csv")
    cursor, results = "not ours", []
    for _ in range(3):
        with dg.build_sensor_context(shop.instance, cursor=cursor, resources=defs.resources) as context:
            results.append(sensor.evaluate_tick(context))
        cursor = results[-1].cursor or ""
        if results[-1].run_requests:
            assert shop.execute(results[-1].run_requests[0]).success
    assert [len(result.run_requests or ()) for result in results] == [0, 1, 0]
    assert results[2].skip_message == "Nothing is waiting."
    assert json.loads(cursor) == {}
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == 5


def test_the_daily_schedule_processes_what_is_pending(tmp_path: Path) -> None:
    """At its hour in its zone it takes in what lay still for a minute, publishes what was not, and else skips."""
    overrides = {"home": str(tmp_path / "home"), "timezone": "Europe/London", "daily_hour": "3"}
    (tmp_path / "dagster").mkdir()
    defs = build_defs(overrides)
    schedule = defs.get_repository_def().get_schedule_def("daily")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("15 3 * * *", "Europe/London")
    assert defs.get_repository_def().get_schedule_def("daily_inbox").cron_schedule == "0 3 * * *"
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as instance:
        shop = Shop(open_home(load_settings(**overrides)), instance, overrides)

        def tick() -> Any:
            with dg.build_schedule_context(instance, resources=defs.resources) as context:
                return schedule.evaluate_tick(context)

        assert tick().skip_message == "Nothing is waiting."
        path = shop.drop("monday.csv", MANY)
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 120))
        shop.drop("just-now.csv")
        first = tick().run_requests[0]
        assert shop.states() == {"monday.csv": "pending"}
        job = defs.resolve_job_def("drops_to_recommendations")
        assert job.execute_in_process(instance=instance, tags=first.tags).success
        with shop.home.ledger.engine.begin() as connection:
            connection.execute(snapshots.update().values(inputs_digest="of older code"))
        second = tick().run_requests[0]
        done = job.execute_in_process(instance=instance, tags=second.tags, asset_selection=second.asset_selection)
        assert done.success
        assert not done.asset_materializations_for_node("ingest_drops")
        assert tick().skip_message.startswith("Nothing is waiting.")


def test_a_failed_run_is_marked_and_told_once(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The trail has the run, its job and the reason of the step that failed; a second hearing adds nothing."""
    defs = build_defs(shop.overrides | {"redis_url": "redis://:planted-secret@127.0.0.1:1/0"})
    shop.drop("monday.csv")
    run = shop.wanted()
    job = defs.resolve_job_def(str(run.job_name))
    failed = job.execute_in_process(instance=shop.instance, tags=dict(run.tags), raise_on_error=False)
    sensor = defs.get_repository_def().get_sensor_def("run_failed")
    for _ in range(2):
        heard = dg.build_run_status_sensor_context(
            "run_failed",
            failed.get_run_failure_event(),
            shop.instance,
            failed.dagster_run,
            resources=defs.resources,
        )
        with heard.for_run_failure() as context:
            sensor(context)
    marks = events(shop.home.ledger.engine, event=Event.RUN_FAILED)
    assert [(mark.run_id, mark.details["job"]) for mark in marks] == [(failed.run_id, "drops_to_recommendations")]
    assert "127.0.0.1:1" in marks[0].details["reason"]
    told = capsys.readouterr()
    assert (told.out + told.err).count("run_failed") >= 1
    assert "planted-secret" not in str(marks[0].details) + told.out + told.err


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ValueError("bad value 'anna@shop.test'"), "ValueError: the run's page in the Dagster UI has it"),
        (LakeError("orders is not in the lake.", table="orders"), "orders is not in the lake."),
    ],
)
def test_the_trail_keeps_no_message_that_may_quote_a_file(shop: Shop, error: Exception, kept: str) -> None:
    """Of an error that is not ours only its kind is kept: the trail can never be mended, and alerts leave the house."""

    @dg.op
    def fails() -> None:
        raise error

    @dg.job
    def broken() -> None:
        fails()

    failed = broken.execute_in_process(instance=shop.instance, raise_on_error=False)
    defs = build_defs(shop.overrides)
    sensor = defs.get_repository_def().get_sensor_def("run_failed")
    event, run = failed.get_run_failure_event(), failed.dagster_run
    heard = dg.build_run_status_sensor_context("run_failed", event, shop.instance, run, resources=defs.resources)
    with heard.for_run_failure() as context:
        sensor(context)
    reason = events(shop.home.ledger.engine, event=Event.RUN_FAILED)[0].details["reason"]
    assert kept in reason
    assert "anna" not in reason


def test_a_drop_whose_bytes_are_gone_fails_alone(shop: Shop) -> None:
    """It does not stop the others, nor every look from then on."""
    shop.drop("gone.csv", ORDERS + "9,Pump\n")
    shop.drop("monday.csv")
    shop.instance.add_dynamic_partitions("order_drops", ["another"])
    with home_lock(shop.home.settings.home):
        shop.look()
        shop.look()
    for path in shop.home.lake.raw_folder(shop.home.ledger.drops()[0].key).iterdir():
        path.unlink()
    assert shop.look().run is not None
    assert shop.states() == {"gone.csv": "failed", "monday.csv": "pending"}


def test_runs_that_died_with_their_services_are_closed(shop: Shop) -> None:
    """A run that was at work when the machine went down blocks nothing once services start again."""
    shop.drop("monday.csv")
    dead = create_run_for_test(shop.instance, status=dg.DagsterRunStatus.STARTED)
    close_runs_of_dead_services(shop.instance)
    record = shop.instance.get_run_by_id(dead.run_id)
    assert record is not None
    assert record.status is dg.DagsterRunStatus.FAILURE
    assert shop.wanted().job_name == "drops_to_recommendations"


def test_a_command_waits_for_the_run_of_the_services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where services are up and their run is at work, `reco run` does not start beside it; without services it does."""
    monkeypatch.setenv("DAGSTER_HOME", "set by open_instance")
    with open_instance(tmp_path) as instance:
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)
        wait_for_automation(tmp_path, 0)
        with dev_lock(tmp_path):
            with pytest.raises(Busy, match=run.run_id):
                wait_for_automation(tmp_path, 0)
            instance.report_run_canceled(run)
            wait_for_automation(tmp_path, 0)
