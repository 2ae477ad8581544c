"""The Dagster instance of a home.

Belongs here: where Dagster keeps its runs, and its settings for one machine. Does not belong here: definitions.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from dagster import DagsterInstance

# One run at a time: two runs of one home would replace each other's tables. Where a person raises that, the pool still
# keeps backups, drills, retention and publishes apart; by runs, since a killed step would keep its place, and a run
# that a command makes in its own process would wait for it without end. A run that outlives its machine would
# hold that place for ever without max_runtime_seconds. Steps print nothing, they report events: capturing their output
# would start two helper processes a step, which also die aloud on Ctrl-C.
DAGSTER_YAML = """\
# Written by reco when the home was made; yours to change.
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  runs: {max_concurrent_runs: 1}
  pools: {default_limit: 1, granularity: run}
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  max_runtime_seconds: 21600
  free_slots_after_run_end_seconds: 60
compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
retention:
  schedule: {purge_after_days: 90}
  sensor:
    purge_after_days: {skipped: 3, failure: 30, success: 90}
"""


# What `dagster.yaml` was before, by sha256: one that nobody changed is replaced, one that a person changed is theirs.
_FORMER = frozenset({"954fc671c57a48db077f319015c97877426d3adcb5379a98352d7de3f80f20b8"})


def dagster_home(home: Path) -> Path:
    """The folder of Dagster in a home, with its `dagster.yaml`: written where there is none, or an old one of ours."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "dagster.yaml"
    if not config.exists() or hashlib.sha256(config.read_bytes()).hexdigest() in _FORMER:
        config.write_text(DAGSTER_YAML, encoding="utf-8")
    return folder


@contextmanager
def open_instance(home: Path) -> Iterator["DagsterInstance"]:
    """The persistent Dagster instance of a home; the UI started on the same home shows its runs."""
    os.environ["DAGSTER_HOME"] = str(dagster_home(home))
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    from dagster import DagsterInstance

    with DagsterInstance.get() as instance:
        _limit_pool(instance)
        yield instance


def _limit_pool(instance: "DagsterInstance") -> None:
    """Gives the pool its limit now: Dagster would do so when it first meets it, one look at the queue too late."""
    from assets.common import POOL

    events = instance.event_log_storage
    limited = instance.global_op_concurrency_default_limit and events.supports_global_concurrency_limits
    if limited and POOL not in events.get_concurrency_keys():
        events.initialize_concurrency_limit_to_default(POOL)


@contextmanager
def _one_engine_a_database() -> Iterator[None]:
    """Lets Dagster's SQLite storages keep the engine they would make anew for each event.

    With its engine goes what SQLAlchemy has compiled: in a run of many events that is a third of their time.
    """
    from dagster._core.storage.event_log.sqlite import sqlite_event_log
    from dagster._core.storage.runs.sqlite import sqlite_run_storage

    storages: tuple[Any, ...] = (sqlite_event_log, sqlite_run_storage)
    make = storages[0].create_engine
    engines: dict[str, sa.Engine] = {}

    def kept(url: str, **options: Any) -> sa.Engine:
        if url not in engines:
            engines[url] = make(url, **options)
        return engines[url]

    try:
        for storage in storages:
            storage.create_engine = kept
        yield
    finally:
        for storage in storages:
            storage.create_engine = make


@contextmanager
def held_open(instance: "DagsterInstance", run_id: str) -> Iterator[None]:
    """Keeps the SQLite databases of an instance open for the block, that of a new run among them, and their engines.

    Dagster opens and closes a connection for each event. Closing the last one of a database makes SQLite write its log
    back and wait for the disk, which takes longer than the event itself. On another kind of storage this does nothing.
    """
    for own in (run_id, ""):  # events without a run have a database too; asking for its events makes it
        instance.all_logs(own)
    with ExitStack() as stack:
        stack.enter_context(_one_engine_a_database())
        for path in Path(instance.root_directory).rglob("*.db"):
            connection = sqlite3.connect(path)
            stack.callback(connection.close)
            # Only a connection that has read holds the log.
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        yield
