"""The parts of the benchmark: who takes turns with whom, on which data, and which ratios come of it.

Belongs here: contenders, targets and tolerances. Does not belong here: measuring, keeping ratios, printing.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.measure import Contender, run, take_turns
from benchmarks.ratios import Ratio
from benchmarks.reading import write_orders
from benchmarks.snapshot import measure_snapshot

if TYPE_CHECKING:
    from benchmarks.api import ApiFigures

Tell = Callable[[str], None]

CPU, MEMORY, LATENCY = 0.10, 0.10, 0.25
"""Tolerances: how far apart two quiet runs of the same code were seen to be, and some more."""

PROTOTYPE_BYTES = 16_460_000
SAMPLE_ORDERS = 5_000
API_SECONDS = 4.0
KEPT_OF_A_CONSTANT = 1 / 0.6  # at least 60 % of the requests that a constant is answered
RECO_RUN = (str(Path(sys.executable).with_name("reco")), "run", "--source", "prototype", "--json", "--orders")


@dataclass(frozen=True)
class Part:
    """What one part measured: lines for people (a title, a head, rows), and its ratios."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    ratios: tuple[Ratio, ...]


@dataclass(frozen=True)
class Data:
    """The order files of one benchmark and the server that both sides of a run publish to."""

    prototype: Path
    sample: Path
    redis_url: str
    empty_server: Callable[[], object]
    lines: Sequence[int] = (500_000,)
    soak_seconds: float = 0.0


def similar_items(data: Data, rounds: int, tell: Tell) -> Part:
    """From a CSV file of the prototype's shape to similar items."""
    csv = str(data.prototype)
    ours = Contender("reco, no Dagster", _always(_module("ours", csv)), _home)
    pandas = Contender("prototype: pandas, nested dicts", _always(_module("prototype", csv)))
    lists = Contender("the same, grouped as lists", _always(_module("prototype", csv, "--lists")))
    duckdb = Contender("plain DuckDB", lambda folder: _module("plain_duckdb", csv, str(folder / "similar.parquet")))
    take_turns([ours, pandas, lists, duckdb], rounds, tell)
    return Part(
        "CSV to similar items: 486,620 lines (only reco audits, checks and keeps them)",
        COSTS,
        _rows(ours, [ours, pandas, lists, duckdb]),
        (
            _ratio("similar_items: CPU, reco / prototype", ours, pandas, target=0.25),
            _ratio("similar_items: CPU, reco / prototype grouped as lists", ours, lists),
            _ratio("similar_items: CPU, reco / plain DuckDB", ours, duckdb),
            _ratio("similar_items: peak memory, reco / prototype", ours, pandas, of="peak_bytes", tolerance=MEMORY),
        ),
    )


def whole_run(data: Data, rounds: int, tell: Tell) -> Part:
    """`reco run` from its start to the published snapshot, against the same library calls without Dagster."""
    rows: list[tuple[str, ...]] = []
    ratios: list[Ratio] = []
    for shape, csv in (("prototype", data.prototype), ("sample", data.sample)):
        prepare = _publishing(data)
        bare = Contender(f"{shape}: bare process", _always(_module("ours", str(csv), "--publish")), prepare)
        full = Contender(f"{shape}: reco run", _always((*RECO_RUN, str(csv))), prepare)
        take_turns([full, bare], rounds, tell)
        rows += _rows(full, [full, bare])
        ratios += [
            _ratio(f"run, {shape}: CPU, reco run / bare process", full, bare, target=3),
            _ratio(
                f"run, {shape}: wall, reco run / bare process",
                full,
                bare,
                of="wall_seconds",
                tolerance=LATENCY,
                target=3,
            ),
        ]
    title = f"reco run on a new home, to the published snapshot: 486,620 lines, and {SAMPLE_ORDERS:,} orders"
    return Part(title, COSTS, tuple(rows), tuple(ratios))


def snapshot(data: Data, rounds: int, tell: Tell) -> Part:
    """Memory, publish and reads of one snapshot of the prototype's shape."""
    from reco.orders.home import open_home  # noqa: PLC0415 - only this part works inside this process
    from reco.settings import load_settings  # noqa: PLC0415 - see above
    from reco.storage.redis import open_redis  # noqa: PLC0415 - see above

    folder = data.prototype.parent / "snapshot"
    run(_module("ours", str(data.prototype)), _home(folder))
    settings = load_settings(home=folder / "home", redis_url=data.redis_url)
    with open_redis(settings) as client:
        seen = measure_snapshot(open_home(settings), client, rounds, tell)
    ratios = (
        Ratio("snapshot: bytes / the prototype's 16.46 MB", (seen.size_bytes / PROTOTYPE_BYTES,), 0.02, 1),
        _of("snapshot: CPU, publish / plain load of the same values", seen.publish_cpu, seen.plain_load_cpu),
        _of("snapshot: GET of one item / PING", seen.get, seen.ping),
        _of("snapshot: whole similar answer / PING", seen.similar, seen.ping),
    )
    rows = (
        ("memory of one snapshot", f"{seen.size_bytes / 1e6:.2f} MB", f"{seen.keys:,} keys; the prototype: 16.46 MB"),
        ("publish", _time(seen.publish), "written, read back, gated, pointer moved"),
        ("publish, CPU", _time(seen.publish_cpu), "of the publishing process"),
        ("plain load of the same values", _time(seen.plain_load), "read from the lake, then written in pipelines"),
        ("PING", _time(seen.ping), "median of 1,000, same connection"),
        ("GET of one item's neighbours", _time(seen.get), "the prototype: 10 ms"),
        ("whole answer of `similar`", _time(seen.similar), "lookup, neighbours, names, evidence"),
    )
    return Part("One snapshot of the prototype's shape in Redis", ("", "median", ""), rows, ratios)


def reading(data: Data, rounds: int, tell: Tell) -> Part:
    """From an order file to the ledger and the lake, against plain reads of the same file."""
    rows: list[tuple[str, ...]] = []
    ratios: list[Ratio] = []
    for lines in data.lines:
        name = f"{lines:,} lines"
        clean, faulty = (data.prototype.with_name(f"{kind}-{lines}.csv") for kind in ("clean", "faulty"))
        write_orders(clean, lines)
        write_orders(faulty, lines, faulty=True)
        ours = Contender(f"{name}: reco", _always(_module("reading", "reco", str(clean))), _home)
        plain = [
            Contender(f"{name}: plain {way}", _always(_module("reading", way, str(clean))))
            for way in ("duckdb", "polars", "pyarrow", "pandas")
        ]
        mending = Contender(f"{name}, faulty: reco", _always(_module("reading", "reco", str(faulty))), _home)
        take_turns([ours, *plain], rounds, tell)
        take_turns([mending], rounds, tell)
        clean.unlink()
        faulty.unlink()
        rows += _rows(ours, [ours, *plain, mending])
        ratios += [
            _ratio(f"reading, {name}: CPU, reco / plain DuckDB", ours, plain[0], target=2),
            _ratio(f"reading, {name}, faulty: CPU, reco / plain DuckDB, clean", mending, plain[0], target=3),
            _ratio(f"reading, {name}: CPU, reco / plain pandas", ours, plain[3]),
            _ratio(
                f"reading, {name}: peak memory, reco / plain pandas", ours, plain[3], of="peak_bytes", tolerance=MEMORY
            ),
        ]
    title = (
        "Reading an order file of five columns (only reco keeps account of every line, checks rules and stores lines)"
    )
    return Part(title, COSTS, tuple(rows), tuple(ratios))


def api(data: Data, rounds: int, tell: Tell) -> Part:
    """The service under load: of a constant's requests a second, how many are left; and what else may not change."""
    from benchmarks.api import measure_api  # noqa: PLC0415 - only this part asks over HTTP
    from reco.settings import load_settings  # noqa: PLC0415 - see above
    from reco.snapshot.store import SnapshotStore  # noqa: PLC0415 - see above
    from reco.storage.redis import open_redis  # noqa: PLC0415 - see above

    data.empty_server()
    folder = data.prototype.parent / "api"
    given = {**_home(folder), "RECO_REDIS_URL": data.redis_url}
    run((*_module("ours", str(data.prototype)), "--publish"), given)
    with open_redis(load_settings(home=folder / "home", redis_url=data.redis_url)) as client:
        items = SnapshotStore(client, "reco").current().item_ids()
    seen = measure_api(data.redis_url, items, rounds, tell, seconds=API_SECONDS, soak=data.soak_seconds)
    rows = [
        (
            name,
            f"{median(values):,.0f}",
            f"{median(seen.cpu[name]) * 1e6:.0f}",
            f"{seen.client_busy[name]:.0%}",
            *_paced(seen.paced.get(name)),
        )
        for name, values in seen.per_second.items()
    ]
    if seen.redis_get is not None:
        rows.append(("redis-benchmark GET", f"{seen.redis_get:,.0f}", "", "", "", "", ""))
    rows += [
        (f"{seen.zipf['requests']:,.0f} questions by Zipf", f"{seen.zipf['hit_rate']:.1%} cached", "", "", "", "", ""),
        (
            f"Redis killed 5 times, {seen.kills['requests']:,} asked",
            f"{seen.kills['failed']} failed",
            "",
            "",
            "",
            "",
            "",
        ),
    ]
    if seen.soak:
        grown = f"{(seen.soak['last'] - seen.soak['middle']) / 1e6:+.1f} MB"
        rows.append((f"soak, {seen.soak['seconds']:.0f} s: last third / second", grown, "", "", "", "", ""))
    head = ("", "a second", "CPU us", "client busy", "p50 ms", "p95 ms", "p99 ms at half of it")
    title = f"The API, {len(items):,} items, one process, 16 connections"
    return Part(title, head, tuple(rows), tuple(_api_ratios(seen)))


def _api_ratios(seen: "ApiFigures") -> list[Ratio]:
    asked, cpu = seen.per_second, seen.cpu
    found = []
    for name in asked:
        if not name.startswith("constant"):
            target = KEPT_OF_A_CONSTANT if name.endswith("cached") else None
            bare = _each(cpu[name], cpu["constant, bare"])
            less, more = _each(asked["constant, framework"], asked[name]), _each(cpu[name], cpu["constant, framework"])
            found += [
                Ratio(f"api: {name}: requests a second, a constant / ours", less, LATENCY, target),
                Ratio(f"api: {name}: CPU of an answer, ours / a constant", more, CPU, target),
                Ratio(f"api: {name}: CPU of an answer, ours / a bare constant", bare, CPU),
            ]
    counted = _each(cpu["similar, counted"], cpu["similar, with a key"])
    found.append(Ratio("api: similar, CPU of an answer, counted / with a key alone", counted, CPU))
    if seen.redis_get is not None:
        gets = tuple(seen.redis_get / one for one in asked["similar, cached"])
        found.append(Ratio("api: similar, cached, GETs of redis-benchmark a second / ours", gets, LATENCY))
    found.append(Ratio("api: share of Zipf questions not from the cache", (1 - seen.zipf["hit_rate"],), CPU, 0.15))
    found.append(Ratio("api: requests that failed while Redis was killed", (float(seen.kills["failed"]),), 0.0, 0))
    return found


def _paced(seen: Mapping[str, float] | None) -> tuple[str, str, str]:
    if seen is None:
        return "", "", ""
    p50, p95, p99 = (f"{seen[at] * 1e3:.2f}" for at in ("p50", "p95", "p99"))
    return p50, p95, p99


def _each(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, ...]:
    return tuple(one / other for one, other in zip(ours, theirs, strict=True))


PARTS: dict[str, Callable[[Data, int, Tell], Part]] = {
    "reading": reading,
    "similar-items": similar_items,
    "run": whole_run,
    "snapshot": snapshot,
    "api": api,
}

COSTS = ("", "CPU s", "wall s", "peak MB", "CPU against reco")


def _always(command: Sequence[str]) -> Callable[[Path], Sequence[str]]:
    return lambda _: command


def _module(name: str, *arguments: str) -> Sequence[str]:
    return (sys.executable, "-m", f"benchmarks.contenders.{name}", *arguments)


def _home(folder: Path) -> Mapping[str, str]:
    return {"RECO_HOME": str(folder / "home")}


def _publishing(data: Data) -> Callable[[Path], Mapping[str, str]]:
    def prepare(folder: Path) -> Mapping[str, str]:
        data.empty_server()
        return {**_home(folder), "RECO_REDIS_URL": data.redis_url}

    return prepare


def _ratio(
    name: str,
    ours: Contender,
    theirs: Contender,
    *,
    of: str = "cpu_seconds",
    tolerance: float = CPU,
    target: float | None = None,
) -> Ratio:
    pairs = zip(ours.costs, theirs.costs, strict=True)
    return Ratio(name, tuple(getattr(one, of) / getattr(other, of) for one, other in pairs), tolerance, target)


def _of(name: str, ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    return Ratio(name, tuple(one / other for one, other in zip(ours, theirs, strict=True)), LATENCY)


def _rows(against: Contender, contenders: Sequence[Contender]) -> tuple[tuple[str, ...], ...]:
    base = against.median("cpu_seconds")
    return tuple(
        (
            one.name,
            f"{one.median('cpu_seconds'):.2f}",
            f"{one.median('wall_seconds'):.2f}",
            f"{one.median('peak_bytes') / 1e6:.0f}",
            f"{one.median('cpu_seconds') / base:.2f}",
        )
        for one in contenders
    )


def _time(seconds: Sequence[float]) -> str:
    middle = sorted(seconds)[len(seconds) // 2]
    return f"{middle:.2f} s" if middle >= 0.01 else f"{middle * 1e3:.3f} ms"
