"""The API under load: how much of the server's own speed is left, what limits cost, and what a dying Redis does to it.

Belongs here: servers, questions and phases of the measurement. Does not belong here: the client (`benchmarks.client`),
and the form of the result (`benchmarks.parts`).

Client and server are processes of their own and share the machine: on two cores each has one, and the client says how
busy it was. What it cannot send, no server could answer: its figures bound all others from above.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil  # type: ignore[import-untyped]  # ships no types
import redis
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.measure import ROOT
from reco.errors import RecoError

SEED = 20260304
CONNECTIONS = 16
ZIPF_REQUESTS = 100_000
ASKED_AGAIN = 1_000  # different questions of the other phases, each asked before its time counts
CACHED, NEVER_CACHED = ("popular", "similar", "basket"), ("item", "search", "why")
KILLS = 5
ALLOWED_REFUSED = 0.01
PATIENCE_SECONDS = 60
RECO = str(Path(sys.executable).with_name("reco"))
Tell = Callable[[str], None]
Question = list[Any]


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """Processor time it has used."""
        used = self.process.cpu_times()
        return float(used.user + used.system)


@dataclass
class ApiFigures:
    """What was seen. per_second: a value each round, by what was asked of whom; paced: of the last, at half of that.

    cpu: seconds of the server's processor time for one answer; hardly changed by what else the machine does.
    """

    per_second: dict[str, list[float]] = field(default_factory=dict)
    paced: dict[str, dict[str, float]] = field(default_factory=dict)
    client_busy: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    redis_get: float | None = None
    zipf: dict[str, float] = field(default_factory=dict)
    kills: dict[str, Any] = field(default_factory=dict)
    soak: dict[str, float] = field(default_factory=dict)


def measure_api(
    redis_url: str, items: Sequence[str], rounds: int, tell: Tell, *, seconds: float, soak: float
) -> ApiFigures:
    """Measures the snapshot that is published on this Redis, whose items are given most popular first."""
    figures = ApiFigures()
    with tempfile.TemporaryDirectory(prefix="reco-bench-api-") as folder:
        root = Path(folder)
        files = _write_questions(root, items)
        uncached = {"RECO_API_CACHE_MB": "0"}
        for turn in range(1, rounds + 1):
            say = _prefixed(tell, f"round {turn}/{rounds}")
            for kind in ("bare", "framework"):
                with _server([sys.executable, "-m", "benchmarks.contenders.constant", kind], {}) as server:
                    _both(figures, f"constant, {kind}", server, files["popular"], seconds=seconds, tell=say)
            for state, given, more in (("cached", {}, ()), ("made anew", uncached, NEVER_CACHED)):
                with _reco(root / f"home-{turn}-{state}", redis_url, given) as server:
                    for name in (*CACHED, *more):
                        _both(figures, f"{name}, {state}", server, files[name], seconds=seconds, tell=say)
            _limited(figures, root / f"limited-{turn}", redis_url, files["similar"], seconds=seconds, tell=say)
        figures.redis_get = _redis_get(redis_url)
        _zipf(figures, root / "zipf", redis_url, files["zipf"], tell)
        _kills(figures, root / "kills", redis_url, files["zipf"], tell)
        if soak:
            _soak(figures, root / "soak", redis_url, items, seconds=soak, tell=tell)
    return figures


# ----------------------------------------------------------------------------------------------------------- questions


def _write_questions(root: Path, items: Sequence[str]) -> dict[str, Path]:
    """Questions as a shop asks them: an item the more often the more popular it is (Zipf, exponent 1), seeded."""
    draw = random.Random(SEED)  # noqa: S311 - not for secrets
    weights = list(accumulate(1 / rank for rank in range(1, len(items) + 1)))
    similar: list[Question] = [
        ["GET", f"/api/v1/similar-items/{quote(item, safe='')}?limit=10"]
        for item in draw.choices(items, cum_weights=weights, k=ZIPF_REQUESTS)
    ]
    baskets: list[Question] = [
        ["POST", "/api/v1/basket-recommendations", {"items": draw.choices(items[:200], k=2), "limit": 10}]
        for _ in range(ASKED_AGAIN)
    ]
    popular: list[Question] = [["GET", "/api/v1/popular-items?limit=10"]]
    texts = [quote(item, safe="") for item in draw.choices(items, cum_weights=weights, k=ASKED_AGAIN)]
    item: list[Question] = [["GET", f"/api/v1/items/{text}"] for text in texts]
    # As somebody types: the beginning of a name.
    search: list[Question] = [
        ["GET", f"/api/v1/search?limit=8&q={quote(one[: draw.randint(2, 8)], safe='')}"]
        for one in draw.choices(items, cum_weights=weights, k=ASKED_AGAIN)
        if any(letter.isalnum() for letter in one[:2])
    ]
    why: list[Question] = [
        ["GET", f"/api/v1/why/{one}?basket={two}"] for one, two in zip(texts, texts[1:] + texts[:1], strict=True)
    ]
    sets = {"item": item, "search": search, "why": why} | {
        "popular": popular,
        "similar": similar[:ASKED_AGAIN],
        "basket": baskets,
        "zipf": similar,
    }
    return {name: _write(root / f"{name}.jsonl", questions) for name, questions in sets.items()}


def _write(file: Path, questions: Sequence[Question]) -> Path:
    file.write_text("".join(json.dumps(one) + "\n" for one in questions), encoding="utf-8")
    return file


# --------------------------------------------------------------------------------------------------------------- phases


def _full(figures: ApiFigures, name: str, server: Server, file: Path, *, seconds: float, **more: Any) -> float:
    """As fast as it goes; returns the answers a second."""
    _ask(server.url, file, seconds=PATIENCE_SECONDS, requests=ASKED_AGAIN, **more)
    before = server.cpu_seconds()
    seen = _ask(server.url, file, seconds=seconds, **more)
    cpu = (server.cpu_seconds() - before) / seen["requests"]
    _require_good(name, seen)
    figures.per_second.setdefault(name, []).append(seen["per_second"])
    figures.cpu.setdefault(name, []).append(cpu)
    figures.client_busy[name] = seen["client_busy"]
    return float(seen["per_second"])


def _both(figures: ApiFigures, name: str, server: Server, file: Path, *, seconds: float, tell: Tell) -> None:
    """As fast as it goes, then at half of that: the first is what there is, the second how long an answer takes."""
    full = _full(figures, name, server, file, seconds=seconds)
    half = _ask(server.url, file, seconds=seconds, rate=full / 2)
    _require_good(name, half)
    figures.paced[name] = {at: half[at] for at in ("p50", "p95", "p99")}
    tell(
        f"{name:<22} {full:8,.0f}/s, {figures.cpu[name][-1] * 1e6:5.0f} CPU us (client {figures.client_busy[name]:.0%} "
        f"busy), at half of it p50 {half['p50'] * 1e3:.2f}, p95 {half['p95'] * 1e3:.2f}, p99 {half['p99'] * 1e3:.2f} ms"
    )


def _limited(figures: ApiFigures, home: Path, redis_url: str, file: Path, *, seconds: float, tell: Tell) -> None:
    """The same with a key, first without and then with a limit, which is counted in Redis."""
    environment = _environment(home, redis_url, {})
    made = subprocess.run(
        [RECO, "keys", "create", "bench", "--scope", "read", "--json"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    key = json.loads(made.stdout)["key"]
    for name, limit in (("similar, with a key", "0"), ("similar, counted", "1000000")):
        with _reco(home, redis_url, {"RECO_API_RATE_LIMIT": limit}) as server:
            full = _full(figures, name, server, file, seconds=seconds, key=key)
        tell(f"{name:<22} {full:8,.0f}/s, {figures.cpu[name][-1] * 1e6:5.0f} CPU us")


def _zipf(figures: ApiFigures, home: Path, redis_url: str, file: Path, tell: Tell) -> None:
    """The share of cache hits of so many questions to a service that has answered none yet."""
    with _reco(home, redis_url, {}) as server:
        seen = _ask(server.url, file, seconds=600, requests=ZIPF_REQUESTS)
        _require_good("zipf", seen)
        told = _metrics(server.url)
    hits, misses = (told[f'recs_cache_requests_total{{result="{result}"}}'] for result in ("hit", "miss"))
    figures.zipf = {"requests": hits + misses, "hit_rate": hits / (hits + misses)}
    tell(f"zipf: {hits / (hits + misses):.1%} of {hits + misses:,.0f} questions were answered from the cache")


def _kills(figures: ApiFigures, home: Path, redis_url: str, file: Path, tell: Tell) -> None:
    """Redis is killed and started again five times under load; it keeps its data, as a server of a shop would."""
    with tempfile.TemporaryDirectory(prefix="reco-bench-redis-") as folder, _own_redis(Path(folder)) as own:
        _copy_all(redis_url, own.url)
        with _reco(home, own.url, {}) as server:
            asking = _start_client(server.url, file, ["--seconds", "3600", "--rate", "500"])
            try:
                for _ in range(KILLS):
                    own.kill()
                    _wait(server.url, healthy=False)
                    own.start()
                    _wait(server.url, healthy=True)
            finally:
                asking.send_signal(signal.SIGTERM)
            said, _ = asking.communicate(timeout=PATIENCE_SECONDS)
            seen = json.loads(said)
            told = _metrics(server.url)
    failed = seen["broken"] + sum(count for status, count in seen["statuses"].items() if status != "200")
    memory = told['recs_served_total{rung="memory"}']
    figures.kills = {"requests": seen["requests"], "failed": failed, "from_memory": memory}
    tell(f"Redis killed {KILLS} times: {failed} of {seen['requests']:,} requests failed, {memory:,.0f} from memory")


def _soak(figures: ApiFigures, home: Path, redis_url: str, items: Sequence[str], *, seconds: float, tell: Tell) -> None:
    """Questions of every kind for a long time, known and unknown ones; how the memory of the service grows."""
    draw = random.Random(SEED)  # noqa: S311 - not for secrets
    questions: list[Question] = []
    for _ in range(100_000):
        one, two, limit = draw.choice(items), draw.choice(items), draw.randint(1, 100)
        questions.append(["GET", f"/api/v1/similar-items/{quote(one, safe='')}?limit={limit}"])
        questions.append(["POST", "/api/v1/basket-recommendations", {"items": [one, two], "limit": limit}])
        if draw.random() < 0.1:
            questions.append(["GET", f"/api/v1/similar-items/none-{draw.randint(1, 10**9)}"])
    file = _write(home.parent / "soak.jsonl", questions)
    samples: list[float] = []
    with _reco(home, redis_url, {}) as server:
        asking = _start_client(server.url, file, ["--seconds", str(seconds), "--rate", "500"])
        while asking.poll() is None:
            samples.append(_metrics(server.url)["recs_process_resident_memory_bytes"])
            time.sleep(min(5.0, seconds / 20))
        seen = json.loads(asking.communicate(timeout=PATIENCE_SECONDS)[0])
    third = max(1, len(samples) // 3)
    middle, last = max(samples[third : 2 * third] or samples), max(samples[-third:])
    figures.soak = {"seconds": seconds, "requests": seen["requests"], "middle": middle, "last": last}
    tell(
        f"soak of {seconds:.0f} s, {seen['requests']:,} requests: at most {middle / 1e6:.1f} MB in the second third, "
        f"{last / 1e6:.1f} MB in the last"
    )


# -------------------------------------------------------------------------------------------------- servers and clients


@contextmanager
def _server(command: Sequence[str], given: Mapping[str, str]) -> Iterator[Server]:
    """A server that prints its address as JSON; ended with the block."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECO_")} | dict(given)
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RecoError(
                f"{' '.join(command)} did not start.", hint="Start it by itself; without it nothing can be measured."
            )
        yield Server(str(json.loads(line)["url"]), psutil.Process(process.pid))
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_SECONDS)


@contextmanager
def _reco(home: Path, redis_url: str, given: Mapping[str, str]) -> Iterator[Server]:
    with _server([RECO, "serve", "--json"], _settings(home, redis_url, given)) as server:
        _wait(server.url, healthy=True)
        yield server


def _settings(home: Path, redis_url: str, given: Mapping[str, str]) -> dict[str, str]:
    return {
        "RECO_HOME": str(home),
        "RECO_REDIS_URL": redis_url,
        "RECO_API_PORT": "0",
        "RECO_LOG_LEVEL": "error",
        **given,
    }


def _environment(home: Path, redis_url: str, given: Mapping[str, str]) -> dict[str, str]:
    return os.environ | _settings(home, redis_url, given)


def _wait(url: str, *, healthy: bool) -> None:
    """Waits for what /readyz tells: it needs no key."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS) as client:
        while True:
            answer = client.get(f"{url}/readyz")
            if answer.status_code == 200 and answer.json()["degraded"] is not healthy:
                return
            if time.monotonic() > deadline:
                raise RecoError(f"{url} says {answer.text}.", hint="Look at the server's messages above.")
            time.sleep(0.02)


def _metrics(url: str) -> dict[str, float]:
    text = httpx.get(f"{url}/metrics", trust_env=False, timeout=PATIENCE_SECONDS).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {
        one.name + ("{" + ",".join(f'{k}="{v}"' for k, v in one.labels.items()) + "}" if one.labels else ""): one.value
        for one in samples
    }


def _ask(url: str, file: Path, *, seconds: float, **options: Any) -> dict[str, Any]:
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    asking = _start_client(url, file, ["--seconds", str(seconds), *given])
    said, _ = asking.communicate(timeout=seconds + PATIENCE_SECONDS)
    if asking.returncode != 0:
        raise RecoError("The client of the benchmark failed.", hint="Its messages stand above.")
    found: dict[str, Any] = json.loads(said)
    return found


def _start_client(url: str, file: Path, options: Sequence[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.client", url, str(file), "--connections", str(CONNECTIONS), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _require_good(name: str, seen: Mapping[str, Any]) -> None:
    """Figures of failing answers mean nothing. A stalled machine may make the service refuse a few as too late."""
    bad = seen["broken"] + sum(count for status, count in seen["statuses"].items() if status != "200")
    if bad > ALLOWED_REFUSED * seen["requests"]:
        raise RecoError(
            f"{name}: not every answer was good: {seen['statuses']}, {seen['broken']} cut off.",
            hint="Look at the server's messages above; on a machine that does other work, try again when it is quiet.",
        )


def _prefixed(tell: Tell, before: str) -> Tell:
    return lambda text: tell(f"{before}  {text}")


# --------------------------------------------------------------------------------------------------------------- Redis


def _redis_get(redis_url: str) -> float | None:
    """Requests a second of redis-benchmark's GET with as many connections; None where it is not installed."""
    tool = shutil.which("redis-benchmark")
    if tool is None:
        return None
    with closing(redis.Redis.from_url(redis_url)) as client:
        given = client.connection_pool.connection_kwargs
    command = [tool, "-h", given["host"], "-p", str(given["port"]), "-t", "get", "-n", "100000", "--csv"]
    command += ["-c", str(CONNECTIONS), "-d", "400"]
    if given.get("password"):
        command += ["-a", given["password"], *(["--user", given["username"]] if given.get("username") else [])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith('"GET"'))
    return float(line.split(",")[1].strip('"'))


class _OwnRedis:
    """A server that keeps its data when it is killed."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{port}/0"

    def start(self) -> None:
        """Starts it on its data, and waits for it."""
        from reco.local.process import server_binary  # noqa: PLC0415 - `--help` of the benchmark needs no server

        options = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(self._folder)]
        command = [str(server_binary()), "--bind", "127.0.0.1", "--port", str(self._port), *options]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_SECONDS
        with closing(redis.Redis.from_url(self.url)) as client:
            while time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.RedisError:
                    time.sleep(0.02)
                else:
                    return
        raise RecoError("The Redis of the benchmark did not start.", hint="Is its port taken?")

    def kill(self) -> None:
        """Kills it, as a machine that fails would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def _own_redis(folder: Path) -> Iterator[_OwnRedis]:
    import socket  # noqa: PLC0415 - for a free port, here only

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = _OwnRedis(folder, port)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _copy_all(source: str, target: str) -> None:
    """Every key of one server to another one of the same version."""
    with closing(redis.Redis.from_url(source)) as one, closing(redis.Redis.from_url(target)) as other:
        pipe = other.pipeline(transaction=False)
        for key in one.scan_iter(count=1000):
            pipe.restore(key, 0, one.dump(key))  # type: ignore[arg-type]  # there: nobody else writes
        pipe.execute()
