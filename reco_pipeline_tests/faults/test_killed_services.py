"""Promises of a shop whose services are killed at night: it comes back by itself, loses nothing, and tells it once."""

import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from reco.errors import DatabaseUnavailable
from reco.orders.home import Home, open_home
from reco.settings import load_settings
from reco.snapshot.store import SnapshotStore
from reco.storage.redis import open_redis
from reco_pipeline.attempts import ATTEMPT, SUBJECT, UNFINISHED, UPKEEP_TAGS
from reco_pipeline.instance import open_instance
from reco_pipeline_tests.dagster_ui import DagsterUi
from reco_pipeline_tests.e2e.test_reco_dev import Dev, running_dev
from reco_pipeline_tests.embedded import kill_server, server_runs
from reco_pipeline_tests.postgres import Postgres, postgres_server
from reco_pipeline_tests.receivers import Webhook, running_webhook
from reco_pipeline_tests.shop import Shop, new_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # on an idle machine about five minutes
PATIENCE_SECONDS = 400
PROBE_BYTES = 3_000
"""More than the server's own probe of a new bucket, and less than the first objects of a backup."""
WORKER, DAEMON = r"multiprocessing\.spawn", r"dagster\._daemon run"
CODE, WEB = r"dagster api grpc", r"dagster_webserver"


@dataclass
class Night:
    """A shop under `reco dev`, its records in Postgres, its alerts at a webhook."""

    shop: Shop
    postgres: Postgres
    hook: Webhook
    instance: dg.DagsterInstance
    days: int = 0
    dev: Dev = field(init=False)
    ui: DagsterUi = field(init=False)

    @cached_property
    def home(self) -> Home:
        """The home, opened once: opening it looks at the version of the database, which ten times a second is work."""
        return open_home(load_settings())

    def drop(self) -> str:
        """The orders of the next day, whole at once; returns the name of the file."""
        self.days += 1
        name = f"day-{self.days:02d}.csv"
        lines = [
            f"{self.days}-{order},{item}" for order in range(400) for item in ("PID", f"item {order % 40}", "Hose")
        ]
        hidden = self.shop.home / "inbox" / f".{name}.part"
        hidden.parent.mkdir(parents=True, exist_ok=True)
        hidden.write_text("\n".join(["order_id,item_name", *lines]) + "\n")
        hidden.rename(hidden.with_name(name))
        return name

    def process(self, pattern: str) -> int | None:
        """The id of the process of this home whose command line matches, the youngest of several."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                around = (folder / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if re.search(pattern, line) and str(self.shop.home) in line + around:
                found.append(int(folder.name))
        return max(found, default=None)

    def state(self) -> dict[str, str]:
        """The state of each drop by name; empty while the database is away."""
        try:
            return {drop.name: drop.status.value for drop in self.home.ledger.drops()}
        except DatabaseUnavailable:
            return {}

    def is_read(self, name: str) -> bool:
        """Whether this day was read."""
        return self.state().get(name) == "ingested"

    def unfinished(self, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        """The runs that have not ended."""
        return list(self.instance.get_runs(dg.RunsFilter(statuses=list(statuses or UNFINISHED))))


def wait(what: Callable[[], Any], why: str, pause: float = 0.1) -> Any:
    """Waits until something is true; returns it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := what()):
        assert time.monotonic() < deadline, why
        time.sleep(pause)
    return found


def _kill(night: Night, pattern: str) -> None:
    os.kill(wait(lambda: night.process(pattern), f"{pattern} is found"), signal.SIGKILL)


def _backup_through_a_kill(night: Night) -> tuple[int, int]:
    """A backup as its schedule starts it, the object store killed while it takes objects; the next attempt makes it."""
    asked_at = time.monotonic()
    first = night.ui.launch_job("backup_job", tags=UPKEEP_TAGS)
    wait(lambda: server_runs(night.shop.home, "s3") and _stored(night.shop.home) > PROBE_BYTES, "objects come", 0.005)
    kill_server(night.shop.home, "s3")
    killed_at = time.monotonic()
    again = dg.RunsFilter(tags={SUBJECT: first}, statuses=[dg.DagsterRunStatus.SUCCESS])
    (made,) = wait(lambda: night.instance.get_runs(again), "the backup is made by itself", 0.5)
    killed = night.instance.get_run_by_id(first)
    assert killed is not None
    assert (killed.status, made.tags[ATTEMPT]) == (dg.DagsterRunStatus.FAILURE, "2")
    found = night.shop.reco("backup", "verify", "--json").json
    assert found["passed"], found
    wait(lambda: [one for one in night.hook.got if "run_recovered: backup_job" in one["title"]], "that is told")
    assert len([one for one in night.hook.got if "run_failed: backup_job" in one["title"]]) == 1
    return round(killed_at - asked_at), round(time.monotonic() - killed_at)


def _stored(home: Path) -> int:
    """The bytes of the objects of the bucket."""
    return sum(path.stat().st_size for path in (home / "s3" / "data").glob("reco_*.dat"))


def _crash(postgres: Postgres) -> None:
    """The database dies and its supervisor starts it again."""
    postgres.kill()
    postgres.start()


VICTIMS: dict[str, Callable[[Night], None]] = {
    "run worker": lambda night: _kill(night, WORKER),
    "Redis": lambda night: kill_server(night.shop.home),
    "code server": lambda night: _kill(night, CODE),
    "web server": lambda night: _kill(night, WEB),
    "daemon": lambda night: _kill(night, DAEMON),
    "Postgres": lambda night: _crash(night.postgres),
}


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    """A shop that is up, with one day published."""
    with running_webhook() as hook, postgres_server() as postgres, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        settings = {
            "RECO_DATABASE_URL": postgres.url,
            "RECO_DAGSTER_DATABASE_URL": postgres.url,
            "RECO_ALERT_TARGETS": hook.url,
            "RECO_DAGSTER_PORT": str(free.getsockname()[1]),
            "RECO_INBOX_SECONDS": "1",
            "RECO_DISK_WARN_FREE": "0",
        }
        free.close()
        shop = new_shop(tmp_path, **settings)
        monkeypatch.setenv("DAGSTER_HOME", "set by open_instance")
        for name, value in (settings | {"RECO_HOME": str(shop.home)}).items():
            monkeypatch.setenv(name, value)
        with open_instance(shop.home) as instance:
            found = Night(shop, postgres, hook, instance)
            name = found.drop()  # before the start, so that there is no generated sample
            with running_dev(shop) as found.dev:
                found.ui = DagsterUi(found.dev.hear(r"Dagster UI: (http://\S+)")[1])
                found.dev.hear("^Ready")
                wait(lambda: found.is_read(name), "the first day is read")
                wait(lambda: not found.unfinished(), "and published")
                yield found
            found.home.ledger.engine.dispose()


def test_a_shop_survives_the_kill_of_each_of_its_services(night: Night) -> None:
    """Killed one after the other, each while a run is at work: every day is read once and served, runs end, alerts are
    told once, and a person does nothing.
    """
    took = {}
    for victim, kill in VICTIMS.items():
        name = night.drop()
        dropped_at = time.monotonic()
        wait(lambda: night.unfinished(dg.DagsterRunStatus.STARTED), f"a run starts before the kill of {victim}")
        kill(night)
        killed_at = time.monotonic()
        wait(partial(night.is_read, name), f"{name} is read after the kill of {victim}", 0.5)
        wait(lambda: not night.unfinished(), f"all runs end after the kill of {victim}", 0.5)
        took[victim] = (round(killed_at - dropped_at), round(time.monotonic() - killed_at))
        assert night.dev.process.poll() is None, (victim, night.dev.said, night.dev.errors)
    took["S3"] = _backup_through_a_kill(night)
    print(f"seconds from the drop to the kill, and from there to the end of all runs: {took}")
    assert night.state() == {f"day-{number:02d}.csv": "ingested" for number in range(1, len(VICTIMS) + 2)}
    settings = load_settings()
    with open_redis(settings, "reader") as client:
        wait(
            lambda: (
                SnapshotStore(client, settings.namespace).current().manifest["counts"]["orders"] == 400 * night.days
            ),
            "every day is served",
            0.5,
        )
    assert night.shop.reco("audit", "trail", "--verify", "--json").json["proven"]
    told = Counter((one["title"], one["message"].splitlines()[0]) for one in night.hook.got)
    assert told, "nobody was told"
    assert max(told.values()) == 1, told
    assert any("service_ended: Dagster UI" in title for title, _ in told), told
