"""The metrics of the service: their names, their labels, and how they are told.

Belongs here: every metric the service exports, and the text Prometheus reads. Does not belong here: when one changes
(the part it is about), and what follows from a value (docker/prometheus).

Label values come from closed lists: route templates, codes, rungs; never ids of items or callers, paths or addresses.
Those known beforehand start at 0, so that a rule on their absence or their rise works from the first minute.

With several worker processes each writes its values to files of the folder that PROMETHEUS_MULTIPROC_DIR names, and
whichever process is asked adds all of them up. What a process that has ended counted stays counted.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from reco import __version__

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
RUNGS = ("current", "memory", "popular_category", "popular", "none")
REFUSALS = ("key_missing", "key_invalid", "key_expired", "key_revoked", "key_suspended", "scope_missing")
SHED = ("waited", "in_flight", "time_over")
CAUGHT = ("follower", "hides", "keys", "request")
BREAKERS = ("limits", "snapshot")


class Metrics:
    """The metrics of one process, all made at once. An attribute is one metric, named as it is exported."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.snapshot_id: Callable[[], str | None] = lambda: None
        self._registry.register(_Named(self))
        self._of_requests()
        self._of_answers()
        self._of_dependencies()
        self._of_the_process()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request that was answered."""
        known = method if method in METHODS else "_OTHER"
        key = (known, route, status)
        if key not in self._children:  # both label lists are closed, so this cannot grow without end
            self._children[key] = (
                self.requests.labels(known, route, str(status)),
                self.duration.labels(known, route, f"{status // 100}xx"),
            )
        counter, histogram = self._children[key]
        counter.inc()
        histogram.observe(seconds)

    def redis_error(self, operation: str, error: BaseException) -> None:
        """One call to Redis that failed."""
        self.redis_errors.labels(operation, _kind(error)).inc()

    def text(self) -> tuple[bytes, str]:
        """What Prometheus reads, over all processes of the service, and its media type."""
        folder = os.environ.get(FOLDER_VARIABLE)
        if folder is None:
            return generate_latest(self._registry), CONTENT_TYPE_LATEST
        _forget_the_dead(Path(folder))
        whole = CollectorRegistry()
        MultiProcessCollector(whole, folder)  # type: ignore[no-untyped-call]
        whole.register(_Named(self))
        return generate_latest(whole), CONTENT_TYPE_LATEST

    def names(self) -> set[str]:
        """The names of all samples there can be, such as a rule or a dashboard may ask for."""
        found = set()
        for family in self._registry.collect():
            found |= {family.name + suffix for suffix in _SUFFIXES[family.type]}
        return found

    def families(self) -> list[Metric]:
        """Name, type and help of each metric, by name."""
        return sorted(self._registry.collect(), key=lambda one: one.name)

    def _of_requests(self) -> None:
        self.requests = self._counter(
            "recs_http_requests", "Requests answered, by route template.", ("method", "route", "status")
        )
        self.duration = Histogram(
            "recs_http_request_duration_seconds",
            "Time from the first byte of a request to the end of its answer.",
            ("method", "route", "status_class"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.in_progress = self._gauge("recs_requests_in_progress", "Requests under way.", "livesum")
        self.shed = self._counter(
            "recs_requests_shed", "Requests refused or given up because there was too much to do.", ("reason",), SHED
        )
        self.rejections = self._counter(
            "recs_ratelimit_rejections", "Requests over the limit of their caller.", ("policy",), ("default",)
        )
        self.limit_errors = self._counter(
            "recs_ratelimit_errors", "Requests that could not be counted, and were let through.", ("call",), ("hit",)
        )
        self.auth_failures = self._counter(
            "recs_auth_failures", "Requests refused for their key.", ("reason",), REFUSALS
        )
        self.scraping = self._counter(
            "recs_scraping_suspected", "Callers who asked for very many different items within an hour."
        )
        self.caught = self._counter(
            "recs_unexpected_errors", "Errors that nobody had named: defects.", ("where",), CAUGHT
        )

    def _of_answers(self) -> None:
        self.served = self._counter("recs_served", "Recommendation answers, by rung of the ladder.", ("rung",), RUNGS)
        self.cache_requests = self._counter(
            "recs_cache_requests", "Looks into the cache of answers.", ("result",), ("hit", "miss")
        )
        self.cache_bytes = self._gauge("recs_cache_size_bytes", "Bytes of the answers kept in the cache.", "livesum")
        self.cache_entries = self._gauge("recs_cache_entries", "Answers kept in the cache.", "livesum")
        self.snapshot_generated = self._gauge(
            "recs_snapshot_generated_timestamp_seconds", "When the served snapshot was published.", "livemin"
        )
        self.snapshot_age = self._gauge("recs_snapshot_age_seconds", "Age of the served snapshot.", "livemax")
        self.snapshot_items = self._gauge("recs_snapshot_items", "Items of the served snapshot.", "livemin")
        self.snapshot_alone = self._gauge(
            "recs_items_without_recommendations_ratio", "Share of the items for which others stand in.", "livemax"
        )
        self.snapshot_unsearched = self._gauge(
            "recs_items_without_search", "Items of the served snapshot that the search index could not take.", "livemax"
        )
        self.snapshot_whole = self._gauge(
            "recs_snapshot_complete", "1: no key was missing when the served snapshot was copied.", "livemin"
        )
        self.degraded = self._gauge(
            "recs_degraded", "1: the current snapshot is not known to be served whole.", "livemax"
        )

    def _of_dependencies(self) -> None:
        self.redis_errors = self._counter(
            "recs_redis_errors", "Calls to Redis that failed.", ("operation", "error_type")
        )
        for operation in ("look", "limit", "ping"):
            for kind in ("timeout", "connection", "reply"):
                self.redis_errors.labels(operation, kind)
        self.breaker = Gauge(
            "recs_breaker_state",
            "0: closed, Redis is used. 1: half open, one call tries it. 2: open, it is left alone.",
            ("name",),
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        for name in BREAKERS:
            self.breaker.labels(name)
        self.keys_read = self._gauge(
            "recs_keys_read_timestamp_seconds", "When the API keys were last read from the database.", "livemin"
        )

    def _of_the_process(self) -> None:
        self.resident = self._gauge("recs_process_resident_memory_bytes", "Memory of the processes.", "livesum")
        self.largest = self._gauge("recs_process_resident_memory_max_bytes", "Memory of the largest one.", "livemax")
        self.descriptors = self._gauge("recs_process_open_fds", "Open files and sockets of the fullest one.", "livemax")
        self.cpu = self._counter("recs_process_cpu_seconds", "Processor time used.")
        self.started = self._gauge("recs_process_start_time_seconds", "When the youngest one started.", "livemax")
        self.workers = self._gauge("recs_workers", "Processes that answer.", "livesum")
        self.container_memory = self._gauge(
            "recs_container_memory_bytes", "Memory of the container, without what can go at any time.", "livemax"
        )
        self.container_limit = self._gauge(
            "recs_container_memory_limit_bytes", "Memory that the container may hold; 0: no bound.", "livemax"
        )
        self.container_cores = self._gauge(
            "recs_container_cpu_limit_cores", "Processors' worth of time it may use; 0: no bound.", "livemax"
        )

    def _counter(
        self, name: str, told: str, labels: tuple[str, ...] = (), values: Iterable[str] | None = None
    ) -> Counter:
        made = Counter(name, told, labels, registry=self._registry)
        for value in values or ():
            made.labels(value)
        return made

    def _gauge(self, name: str, told: str, mode: str) -> Gauge:
        return Gauge(name, told, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]


class _Named:
    """What is told by name instead of by number, as the process that is asked knows it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """The snapshot and the version; a past snapshot leaves no sample behind."""
        snapshot = GaugeMetricFamily("recs_snapshot_info", "Which snapshot is served.", labels=["snapshot_id"])
        found = self._metrics.snapshot_id()
        if found is not None:
            snapshot.add_metric([found], 1)
        yield snapshot
        build = GaugeMetricFamily("recs_build_info", "The version of the service.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build


_SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
}


def _kind(error: BaseException) -> str:
    """What went wrong in a call to Redis, as one of three words."""
    from redis.exceptions import ConnectionError as RedisConnectionError  # noqa: PLC0415 - beside its builtin namesake
    from redis.exceptions import TimeoutError as RedisTimeoutError  # noqa: PLC0415 - see above

    if isinstance(error, (RedisTimeoutError, TimeoutError)):
        return "timeout"
    return "connection" if isinstance(error, (RedisConnectionError, OSError)) else "reply"


def _forget_the_dead(folder: Path) -> None:
    """Values of the moment that a process left behind, however it ended, are no longer true."""
    for file in folder.glob("gauge_live*.db"):
        pid = int(file.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
        except PermissionError:  # another account has this number now
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
