"""One snapshot: its memory, how long it takes to publish, and how long a read takes.

Belongs here: measuring these in this process against a real server. Does not belong here: processes as a whole
(`benchmarks.parts`).
"""

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import redis

from reco.orders.home import Home
from reco.snapshot.build import SnapshotBuild
from reco.snapshot.keys import Keys, similar_suffix
from reco.snapshot.release import release
from reco.snapshot.store import SnapshotStore
from reco.snapshot.wire import batches, run_all, write_command

ITEM = "PID"
READS = 1_000


@dataclass
class SnapshotFigures:
    """One value a round; seconds, for `*_cpu` those of this process. `size_bytes` and `keys` are of the last one."""

    plain_load: list[float] = field(default_factory=list)
    plain_load_cpu: list[float] = field(default_factory=list)
    publish: list[float] = field(default_factory=list)
    publish_cpu: list[float] = field(default_factory=list)
    ping: list[float] = field(default_factory=list)
    get: list[float] = field(default_factory=list)
    similar: list[float] = field(default_factory=list)
    size_bytes: int = 0
    keys: int = 0


def measure_snapshot(home: Home, client: redis.Redis, rounds: int, tell: Callable[[str], None]) -> SnapshotFigures:
    """Publishes the model of a home again and again and reads it; everything on the server is removed on the way."""
    figures = SnapshotFigures()
    for turn in range(1, rounds + 1):
        client.flushall()
        started, cpu = time.perf_counter(), time.process_time()
        _plain_load(home, client)
        figures.plain_load.append(time.perf_counter() - started)
        figures.plain_load_cpu.append(time.process_time() - cpu)
        client.flushall()
        started, cpu = time.perf_counter(), time.process_time()
        result = release(home, client, run_id=None, now=dt.datetime.now(dt.UTC))
        figures.publish.append(time.perf_counter() - started)
        figures.publish_cpu.append(time.process_time() - cpu)
        figures.size_bytes, figures.keys = result.bytes, result.keys
        _read(home, client, figures)
        tell(
            f"round {turn}/{rounds}  publish {figures.publish[-1]:.2f} s, PING {figures.ping[-1] * 1e6:.0f} us, "
            f"GET {figures.get[-1] * 1e6:.0f} us, similar {figures.similar[-1] * 1e6:.0f} us"
        )
    return figures


def _plain_load(home: Home, client: redis.Redis) -> None:
    """The floor of a publish: the same values written in pipelines, nothing read back, no gate and no pointer."""
    build = SnapshotBuild.from_lake(home.lake.existing("item_stats"), home.lake.existing("similar_items"))
    for batch in batches(build.entries()):
        run_all(client, [write_command(f"plain:{suffix}".encode(), value) for suffix, value in batch])


def _read(home: Home, client: redis.Redis, figures: SnapshotFigures) -> None:
    """Reads in turns, on one connection; the median of each kind is the figure of the round."""
    snapshot = SnapshotStore(client, home.settings.namespace).current()
    key = Keys(home.settings.namespace).key(snapshot.snapshot_id, similar_suffix(ITEM))
    kinds: dict[str, tuple[Callable[[], object], list[float]]] = {
        "ping": (client.ping, []),
        "get": (lambda: client.get(key), []),
        "similar": (lambda: snapshot.similar(ITEM, 10), []),
    }
    for _ in range(READS):
        for read, seconds in kinds.values():
            seconds.append(_seconds(read))
    for kind, (_, seconds) in kinds.items():
        getattr(figures, kind).append(median(seconds))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
