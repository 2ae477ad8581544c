"""The Dagster instance of a home.

Belongs here: where Dagster keeps its runs, and its settings. Does not belong here: definitions.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from reco.errors import ConfigError
from reco.settings import Settings, load_settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

# One run at a time: two runs of one home would replace each other's tables. Where a person raises that, the pool still
# keeps backups, drills, retention and publishes apart; by runs, since a killed step would keep its place, and a run
# that a command makes in its own process would wait for it without end. A run that outlives its machine would
# hold that place for ever without max_runtime_seconds. Dagster repeats, once, a run whose process was lost; what
# automation asked for carries `NOT_REPEATED`, since automation counts its attempts by itself. Sensors look in threads:
# one that waits for a bucket keeps no other from looking. Steps print nothing, they report events: capturing their
# output would start two helper processes a step, which also die aloud on Ctrl-C.
_BODY = """\
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
run_retries: {enabled: true, max_retries: 1, retry_on_asset_or_op_failure: false}
sensors: {use_threads: true, num_workers: 4}
schedules: {use_threads: true, num_workers: 2}
compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
retention:
  schedule: {purge_after_days: %(days)d}
  sensor:
    purge_after_days: {skipped: 3, failure: %(days)d, success: %(days)d}
"""
# The password stands in no file and no command line: the class asks the settings for it.
_STORAGE = """\
storage:
  custom: {module: reco_pipeline.dagster_storage, class: PostgresOfSettings, config: {}}
"""
_HEADER = "# Written by reco ({digest}); yours to change: a changed file is left alone.\n"


# What `dagster.yaml` was before it named its own digest, by sha256; the last one in containers.
_FORMER = frozenset(
    {
        "954fc671c57a48db077f319015c97877426d3adcb5379a98352d7de3f80f20b8",
        "65a59949c5f10304dca1a5e5a5b8e36d2865887fffb59cc5b9fc239d4da16a12",
        "6e3d652f702536d4878a85d5ee2492c7b8948dcb984e6ce3eea00f034b466293",
    }
)


def dagster_yaml(settings: Settings) -> str:
    """The configuration of Dagster for a home, the same for one machine and for production.

    Where RECO_DAGSTER_DATABASE_URL is set, runs, events and schedules are kept there, else in SQLite files of the home.
    """
    body = _BODY % {"days": settings.keep_run_days}
    if settings.dagster_database_url is not None:
        body += _STORAGE
    return _HEADER.format(digest=_digest(body)) + body


def dagster_home(home: Path) -> Path:
    """The folder of Dagster in a home, with the `dagster.yaml` of the effective settings.

    It is written where there is none, or one that we wrote and nobody changed.

    Raises:
        ConfigError: Dagster is to keep its records in Postgres, and what that needs is not installed.
    """
    settings = load_settings(home=home)
    if settings.dagster_database_url is not None:
        require_postgres()
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    config, text = folder / "dagster.yaml", dagster_yaml(settings)
    found = config.read_text(encoding="utf-8") if config.exists() else None
    if found is None or (found != text and _ours(found)):
        temporary = config.with_name(f".{config.name}.{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(config)
    return folder


def require_postgres() -> None:
    """Ends where Dagster cannot keep its records in Postgres.

    Raises:
        ConfigError: what that needs is not installed.
    """
    if find_spec("dagster_postgres") is None:
        raise ConfigError(
            "RECO_DAGSTER_DATABASE_URL needs dagster-postgres, which is not installed.",
            hint="Install `reco-pipeline[postgres]`, or unset it.",
            settings=["RECO_DAGSTER_DATABASE_URL"],
        )


def _ours(text: str) -> bool:
    """Whether we wrote this and nobody changed it since."""
    header, _, body = text.partition("\n")
    return _HEADER.format(digest=_digest(body)).rstrip("\n") == header or _sha256(text) in _FORMER


def _digest(body: str) -> str:
    return _sha256(body)[:16]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
