"""From waiting files to a run that can be launched: the steps that the command line and automation share.

Belongs here: taking waiting files in, telling usable drops from unusable ones, and making a batch of drops one range of
partitions. Does not belong here: when to do it (`reco_pipeline.automation`, `reco_pipeline.run`).
"""

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reco.errors import Busy, DropError, ProfileError
from reco.orders.dialect import probe
from reco.orders.home import Home
from reco.orders.inbox import Inbox, InboxFile, is_catalogue
from reco.orders.intake import profiles_of, take_in
from reco.orders.ledger import Drop, DropLedger, DropStatus, Registration, Seen
from reco.orders.outcomes import enter_failure
from reco.orders.profiles import SAMPLE, SourceProfile, load_profile
from reco.progress import report
from reco.storage.homelock import inbox_lock, services_up

if TYPE_CHECKING:
    from dagster import DagsterInstance

    from reco.catalog.ledger import CatalogueDrop, CatalogueLedger, GivenCatalogue

SAMPLE_ORDERS = 5_000
AUTOMATION_SECONDS = 300.0
POLL_SECONDS = 0.5
COUNTING = (DropStatus.PENDING, DropStatus.INGESTED)
LAUNCHER = {"reco/launcher": "command-line"}
NOT_REPEATED = {"dagster/max_retries": "0"}
"""The tag of runs that Dagster does not repeat when their process is lost: somebody else does, or nobody may."""


@dataclass(frozen=True)
class Received:
    """What became of the files that were taken in."""

    orders: "list[Registration]" = field(default_factory=list)
    catalogues: "list[GivenCatalogue]" = field(default_factory=list)

    @property
    def files(self) -> int:
        """How many there were."""
        return len(self.orders) + len(self.catalogues)

    @property
    def refused(self) -> int:
        """How many of them could not be read."""
        errors = [one.error for one in self.orders] + [one.error for one in self.catalogues]
        return sum(error is not None for error in errors)


def receive(
    home: Home,
    inbox: Inbox,
    files: Sequence[InboxFile],
    *,
    now: dt.datetime,
    wait_seconds: float,
    source: str | None = None,
) -> Received:
    """Takes files of the inbox into the ledgers, those of orders as one batch; `source` names one profile for all.

    Raises:
        Busy: somebody else is at it.
        ProfileError: `RECO_SOURCE` names no profile, or an item file that is not there; nothing was taken in.
    """
    if not files:
        return Received()
    profiles = [load_profile(source)] * len(files) if source else profiles_of(files, home)
    given = list(zip(files, profiles, strict=True))
    listed, sold = ([one for one in given if is_catalogue(one[0]) is wanted] for wanted in (True, False))
    with inbox_lock(home.settings.home, wait_seconds):
        named = take_item_files(home, profiles, now=now)
        orders = take_in(
            home,
            inbox,
            [file for file, _ in sold],
            [profile for _, profile in sold],
            lambda fetched: home.ledger.register(fetched, now=now, by_hand=False),
            now=now,
        )
        catalogues = take_in(
            home,
            inbox,
            [file for file, _ in listed],
            [profile for _, profile in listed],
            lambda fetched: catalogue_ledger(home).register(fetched, now=now, by_hand=False),
            now=now,
        )
        retire_sample(home, now)
        return Received(orders, [*named, *catalogues])


def take_item_files(home: Home, profiles: Sequence[SourceProfile], *, now: dt.datetime) -> "list[GivenCatalogue]":
    """Takes in the catalogues that profiles name as `items.file`; those that are known and unchanged are left out.

    Raises:
        ProfileError: a profile names a file that is not there.
    """
    found = []
    for profile in {profile.digest: profile for profile in profiles}.values():
        if profile.items is None or profile.items.file is None:
            continue
        if not profile.items.file.is_file():
            raise ProfileError(
                f"The item file {profile.items.file} of source profile {profile.name} is not there.",
                hint="Correct items.file in the source profile, or bring the file there.",
                file=str(profile.items.file),
            )
        found += catalogue_ledger(home).register([(profile.items.file, profile)], now=now, by_hand=False)
    return [one for one in found if one.seen is not Seen.KNOWN]


def catalogue_ledger(home: Home) -> "CatalogueLedger":
    """The ledger of the catalogues of a home."""
    from reco.catalog.ledger import CatalogueLedger

    return CatalogueLedger(home.ledger.engine, home.lake)


def waiting_catalogues(home: Home) -> "list[CatalogueDrop]":
    """The catalogues that were taken in and not read yet, oldest first."""
    return catalogue_ledger(home).drops(status=DropStatus.PENDING)


def write_first_sample(home: Home) -> list[tuple[Path, SourceProfile]]:
    """The generated sample, only where a local home has never seen a drop: see `retire_sample`."""
    if home.settings.profile != "local" or home.ledger.drops():
        return []
    from reco.orders.sample import write_sample

    path = home.settings.home / "sample" / f"sample-{SAMPLE_ORDERS}-orders.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_sample(path, orders=SAMPLE_ORDERS, prototype=False)
    return [(path, load_profile("prototype").model_copy(update={"name": SAMPLE}))]


def sample_in_use(home: Home) -> list[Drop]:
    """The drops of the generated sample that count."""
    return [drop for drop in home.ledger.drops() if drop.source == SAMPLE and drop.status in COUNTING]


def retire_sample(home: Home, now: dt.datetime) -> None:
    """Takes the sample out as soon as a drop of the shop is there: real orders never mix with it."""
    sample = sample_in_use(home)
    if sample and any(drop.source != SAMPLE and drop.status in COUNTING for drop in home.ledger.drops()):
        for drop in sample:
            home.ledger.retract(drop.key, now=now, reason="orders of the shop have come")


def split_pending(ledger: DropLedger, waiting: Sequence[Drop], now: dt.datetime) -> tuple[list[Drop], list[Drop]]:
    """The waiting drops that can be read, and those a first look shows to be unusable, which fail here."""
    unusable: list[Drop] = []
    for done, drop in enumerate(waiting, start=1):
        try:
            file = ledger.file(drop)
            probe(file.path, file.profile)
        except DropError as error:
            enter_failure(ledger, drop.key, error, now=now)
            unusable.append(drop)
        report("raw_orders", done, len(waiting))
    return [drop for drop in waiting if drop not in unusable], unusable


def waiting_drops(ledger: DropLedger) -> list[Drop]:
    """The drops that were taken in and not read yet, oldest batch first."""
    return ledger.drops(status=DropStatus.PENDING)


def partition_range(pending: Sequence[Drop]) -> dict[str, str]:
    """The run tags that say which partitions a run takes: one, or an unbroken range."""
    if not pending:
        return {}
    if len(pending) == 1:
        return {"dagster/partition": pending[0].key}
    return {
        "dagster/asset_partition_range_start": pending[0].key,
        "dagster/asset_partition_range_end": pending[-1].key,
    }


def register_partitions(instance: "DagsterInstance", pending: Sequence[Drop], unusable: Sequence[Drop]) -> None:
    """Makes each drop a partition, the readable ones last and side by side: a run takes one unbroken range of them.

    A waiting drop has no result yet, so that removing its key and adding it again loses nothing.
    """
    import dagster as dg

    from assets.common import order_drops

    name = order_drops.name or ""
    known = instance.get_dynamic_partitions(name)
    wanted = [drop.key for drop in (*unusable, *pending)]
    if known[-len(wanted) :] != wanted:
        for key in set(wanted) & set(known):
            instance.delete_dynamic_partition(name, key)
        instance.add_dynamic_partitions(name, wanted)
    for drop in (*unusable, *pending):
        if drop.key not in known:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    "raw_orders",
                    partition=drop.key,
                    metadata={"name": drop.name, "source": drop.source, "size_bytes": drop.size_bytes},
                    tags={"dagster/data_version": drop.sha256},
                )
            )


def close_runs_of_dead_services(instance: "DagsterInstance") -> None:
    """Closes the runs that were at work when services ended with their machine: they would block the queue for hours.

    To be called by who holds the right to keep services up, before there are any: nobody else works on these runs.
    """
    from dagster import DagsterRunStatus, RunsFilter

    alive = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.CANCELING]
    for run in instance.get_runs(RunsFilter(statuses=alive)):
        if not LAUNCHER.items() <= run.tags.items():
            instance.report_run_failed(run, "The services ended while this run was at work; its drops are taken over.")


def wait_for_automation(home: Path, seconds: float = AUTOMATION_SECONDS) -> None:
    """Waits until no run that services of this home started is at work.

    Raises:
        Busy: one was at work for too long.
    """
    if not services_up(home):
        return
    from dagster import RunsFilter

    from reco_pipeline.attempts import UNFINISHED
    from reco_pipeline.instance import open_instance

    deadline = time.monotonic() + seconds
    with open_instance(home) as instance:
        fail_dead_runs(instance)
        while runs := instance.get_runs(RunsFilter(statuses=UNFINISHED), limit=1):
            if time.monotonic() >= deadline:
                raise Busy(
                    f"Run {runs[0].run_id} of the services of {home} is at work.",
                    hint="Wait for it to end, or cancel it in the Dagster UI.",
                )
            time.sleep(POLL_SECONDS)


def fail_dead_runs(instance: "DagsterInstance") -> None:
    """Closes the runs of command lines that were killed; to be called only when none is at work."""
    from dagster import DagsterRunStatus, RunsFilter

    alive = [DagsterRunStatus.STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.NOT_STARTED]
    for dead in instance.get_runs(RunsFilter(statuses=alive, tags=LAUNCHER)):
        if "dagster/parent_run_id" in dead.tags:
            continue  # a run that the UI repeats carries the tags of the first one, and is not ours to end
        instance.report_run_failed(dead, "The process of this run was killed; a later run took its drops over.")
