"""What each role of a running shop costs: memory, and processor time idle and at work.

Belongs here: starting `reco dev` on a home of its own, and reading what the kernel counts. Does not belong here: work
measured beside peers (`benchmarks.parts`).

    python -m benchmarks.roles [SECONDS]

Memory is the proportional set size: pages that several processes share are counted once, in parts. Processor time is
that of each process and of the children it has waited for, so that a run counts for the code server that started it.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

RECO = str(Path(sys.executable).with_name("reco"))
IDLE_SECONDS = 60
PATIENCE_SECONDS = 600.0
ROLES = {
    "run": r"multiprocessing\.spawn",
    "code server": r"dagster (code-server start|api grpc)",
    "web server": r"dagster_webserver",
    "daemon": r"dagster\._daemon run",
    "supervisor of Dagster": r"bin/dagster dev",
    "API": r"bin/reco serve",
    "supervisor": r"bin/reco dev",
    "Redis": r"valkey",
}


@dataclass
class Cost:
    """Of all processes of one role: bytes of memory, and seconds of processor time since they started."""

    memory_bytes: int = 0
    cpu_seconds: float = 0.0
    processes: int = 0


def main() -> int:
    """Measures, and prints a table."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else IDLE_SECONDS
    with tempfile.TemporaryDirectory(prefix="reco-roles-") as folder:
        home = Path(folder) / "home"
        ports = {"RECO_DAGSTER_PORT": "43117", "RECO_API_PORT": "43118"}
        environment = os.environ | ports | {"RECO_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}
        log = (Path(folder) / "dev.out").open("wb+")
        dev = subprocess.Popen([RECO, "dev"], env=environment, stdout=log, stderr=log)
        try:
            wait(lambda: b"Ready." in Path(log.name).read_bytes())
            wait(lambda: served(environment) > 0)
            time.sleep(10)
            before = costs(home)
            time.sleep(seconds)
            idle = costs(home)
            sample = Path(folder) / "orders.csv"
            subprocess.run(
                [RECO, "sample", "--orders", "20000", "--out", str(sample), "--seed", "7"], env=environment, check=True
            )
            orders = served(environment)
            started = time.monotonic()
            subprocess.run([RECO, "drop", str(sample)], env=environment, check=True)
            peak = dict(idle)
            while served(environment) == orders:
                peak = {role: larger(peak.get(role), cost) for role, cost in {**peak, **costs(home)}.items()}
            took = time.monotonic() - started
            after = costs(home)
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(PATIENCE_SECONDS)
            log.close()
    show((before, idle, peak, after), seconds, took)
    return 0


def show(moments: Sequence[dict[str, Cost]], seconds: int, took: float) -> None:
    """Prints the table: memory idle and at its highest, processor idle in cores, and of one drop in seconds.

    Args:
        moments: the costs before and after the idle time, the highest ones at work, and those after it.
        seconds: of the idle time.
        took: seconds from a drop to its snapshot.
    """
    before, idle, peak, after = moments
    print(
        f"| role | memory idle | memory at work | processor idle (of a core, over {seconds} s) | processor of a drop |"
    )
    print("|---|---|---|---|---|")
    for role in ROLES:
        if role not in {*idle, *peak}:
            continue
        rest, high = idle.get(role, Cost()), peak.get(role, Cost())
        busy = (rest.cpu_seconds - before.get(role, Cost()).cpu_seconds) / seconds
        work = after.get(role, rest).cpu_seconds - rest.cpu_seconds
        print(
            f"| {role} | {rest.memory_bytes / 2**20:.0f} MiB | {high.memory_bytes / 2**20:.0f} MiB "
            f"| {100 * busy:.1f} % | {work:.1f} s |"
        )
    total = sum(one.memory_bytes for one in idle.values()) / 2**20
    print(f"\n{total:.0f} MiB in all when idle; a drop of 20,000 orders was served {took:.0f} s after it came.")


def costs(home: Path) -> dict[str, Cost]:
    """What the processes of a home cost now, by role."""
    found: dict[str, Cost] = {}
    redis = home / "redis" / "endpoint.json"
    server = json.loads(redis.read_text(encoding="utf-8"))["pid"] if redis.is_file() else 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            ours = int(folder.name) == server or str(home) in (folder / "environ").read_bytes().decode(errors="replace")
            role = next((name for name, pattern in ROLES.items() if re.search(pattern, line)), None) if ours else None
            if role is None:
                continue
            memory = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(encoding="utf-8"), re.MULTILINE)
            ticks = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[11:15]
        except OSError:
            continue  # it has ended since
        cost = found.setdefault(role, Cost())
        cost.memory_bytes += 1024 * int(memory[1]) if memory else 0
        cost.cpu_seconds += sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        cost.processes += 1
    return found


def larger(one: Cost | None, other: Cost) -> Cost:
    """The one with more memory."""
    return other if one is None or other.memory_bytes > one.memory_bytes else one


def served(environment: dict[str, str]) -> int:
    """How many orders the served snapshot has."""
    done = subprocess.run([RECO, "status", "--json"], env=environment, capture_output=True, text=True, check=False)
    return int(json.loads(done.stdout)["orders"]) if done.returncode == 0 else 0


def wait(what: Callable[[], bool]) -> None:
    """Waits until something is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("the shop did not come up")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
