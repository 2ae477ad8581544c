"""Thirty days of a real shop, unattended: every tick is the sensor's own, every run the one it asked for.

The ticks are evaluated one after the other instead of waiting for a daemon, so that a month takes minutes; `reco dev`
with its daemon is held by `e2e/test_reco_dev.py` and `faults/test_killed_services.py`. The clock of backups is given.
"""

import datetime as dt
import os
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
import redis

from assets.checks.standing import failing_now
from reco.backup.create import create
from reco.backup.place import open_vault
from reco.orders.home import open_home
from reco.settings import load_settings
from reco.snapshot.store import SnapshotStore
from reco_pipeline.cleanup import clean, old_backups
from reco_pipeline.definitions import build_defs
from reco_pipeline.instance import held_open, open_instance
from reco_pipeline_tests.backup_shop import IDENTITY
from reco_pipeline_tests.graph import QUIET
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
]
DAYS = 30
KEEP = {"backup_keep_days": "7", "backup_keep_daily": "10", "backup_keep_weekly": "0", "backup_keep_monthly": "0"}


@dataclass
class Month:
    """A shop that is looked at day by day, and what each day left behind."""

    overrides: dict[str, str]
    instance: dg.DagsterInstance
    client: redis.Redis
    cursor: str | None = None
    served: list[str] = field(default_factory=list)
    disk: list[int] = field(default_factory=list)
    redis_bytes: list[int] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def tick(self, defs: dg.Definitions) -> list[dg.RunRequest]:
        """One look of the sensor `inbox`; the runs it asks for."""
        made = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources=defs.resources)
        with made as context:
            found = defs.get_repository_def().get_sensor_def("inbox").evaluate_tick(context)
        self.cursor = found.cursor
        return list(found.run_requests or [])

    def day(self) -> None:
        """Looks until nothing is waiting, executing what is asked for, as a command line would; notes what there is."""
        defs = build_defs(self.overrides)
        assert self.tick(defs) == [], "the first look only notes the file"
        (request,) = self.tick(defs)
        run_id = str(uuid.uuid4())
        with held_open(self.instance, run_id):
            job = defs.resolve_job_def(str(request.job_name))
            done = job.execute_in_process(
                instance=self.instance, run_config=QUIET, tags=dict(request.tags), run_id=run_id
            )
        assert done.success
        assert self.tick(defs) == [], "one run a day does it all"
        home = Path(self.overrides["home"])
        self.served.append(str(SnapshotStore(self.client, self.overrides["namespace"]).current_id()))
        self.disk.append(sum(path.stat().st_size for path in home.rglob("*") if path.is_file()))
        self.redis_bytes.append(int(self.client.info("memory")["used_memory"]))
        self.memory.append(rss())


def rss() -> int:
    """The memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def month(tmp_path: Path, client: redis.Redis, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Month]:
    """A new shop whose inbox takes daily exports of the UCI shop."""
    overrides = {
        "home": str(tmp_path / "home"),
        "redis_url": f"redis://127.0.0.1:{port_of(client)}/0",
        "namespace": "month",
        "s3_bucket": server.bucket,
        "s3_endpoint_url": server.url,
        "backup_identity": str(IDENTITY),
        "source": "uci-online-retail",
        **KEEP,
    }
    monkeypatch.setenv("DAGSTER_HOME", "set by open_instance")
    with open_instance(tmp_path / "home") as instance:
        yield Month(overrides, instance, client)


def test_thirty_days_of_drops_unattended(month: Month, real_data: Path, tmp_path: Path) -> None:
    """Every drop is read once, every invariant holds every day, the snapshot moves daily, backups go by the plan, and
    disk and memory stay bounded.
    """
    inbox = tmp_path / "home" / "inbox"
    inbox.mkdir(parents=True)
    settings = load_settings(**month.overrides)
    now = dt.datetime.now(dt.UTC)
    with tarfile.open(real_data / "online_retail_by_day.tar.gz") as archive:
        drops = sorted((one for one in archive.getmembers() if one.isfile()), key=lambda one: one.name)[:DAYS]
        for number, member in enumerate(drops, start=1):
            content = archive.extractfile(member)
            assert content is not None
            (inbox / Path(member.name).name).write_bytes(content.read())
            month.day()
            assert [one for one in failing_now(month.instance) if one.weight != "warning"] == [], member.name
            at = now - dt.timedelta(days=DAYS - number)
            with open_vault(settings, make_key=True) as vault:
                create(open_home(settings), month.client, vault, now=at, reason="daily")
    ledger = open_home(settings).ledger.drops()
    assert [drop.status.value for drop in ledger] == ["ingested"] * DAYS
    for drop in ledger:
        counts = (drop.lines_accepted or 0) + (drop.lines_excluded or 0) + (drop.lines_quarantined or 0)
        assert drop.lines_read == counts > 0
    runs = month.instance.get_runs(dg.RunsFilter(job_name="drops_to_recommendations"))
    assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS] * DAYS
    assert len(set(month.served)) == DAYS
    assert len(SnapshotStore(month.client, "month").list()) == settings.keep_snapshots

    bytes_in = sum(drop.size_bytes for drop in ledger)
    assert month.disk[-1] < 40 * 2**20 + 6 * bytes_in
    assert month.redis_bytes[-1] < 2.5 * month.redis_bytes[9]
    assert month.memory[-1] < month.memory[9] + 400 * 2**20

    (backups,) = old_backups(settings, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert (backups.problem, backups.rows) == ("", DAYS - 10)
    with open_vault(settings) as vault:
        assert len(vault.ids()) == 10
    done = clean(open_home(settings), month.instance, now=now + dt.timedelta(days=91), dry_run=False)
    assert [one.problem for one in done if one.problem] == []
    materialized = month.instance.get_materialized_partitions(dg.AssetKey("order_lines"))
    assert len(materialized) == DAYS, "the cleanup left every drop as read"
    print(f"disk {month.disk[-1]:,} bytes for {bytes_in:,} of drops; Redis {month.redis_bytes}; RSS {month.memory}")
