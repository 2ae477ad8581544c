"""Measuring processes: what each costs, in turns with the others.

Belongs here: starting a process, its CPU, wall time and memory, and the order of the turns. Does not belong here: what
is started, or what a ratio means.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from reco.errors import RecoError

ROOT = Path(__file__).resolve().parent.parent
COMPARED = ("lines_read", "pairs", "items_with_neighbour")
"""What contenders that say it must agree on."""
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Cost:
    """What one process took. CPU is user and system time of it and of the children it waited for."""

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int
    found: dict[str, Any]


@dataclass(frozen=True)
class Contender:
    """One way of doing the work: its command, and what must be made ready before each turn (not measured).

    `prepare` gets an empty folder of this turn and returns the settings the process starts with.
    """

    name: str
    command: Callable[[Path], Sequence[str]]
    prepare: Callable[[Path], Mapping[str, str]] = lambda _folder: {}
    costs: list[Cost] = field(default_factory=list)

    def median(self, of: str) -> float:
        """The median over the turns of one field of `Cost`."""
        return float(median(getattr(cost, of) for cost in self.costs))


def take_turns(contenders: Sequence[Contender], rounds: int, tell: Callable[[str], None]) -> None:
    """Runs each contender once a round, so that a busy minute of the machine meets all of them.

    Raises:
        RecoError: a process failed, or did not find what the others found.
    """
    for turn in range(1, rounds + 1):
        for contender in contenders:
            with tempfile.TemporaryDirectory(prefix="reco-bench-") as folder:
                given = contender.prepare(Path(folder))
                cost = run(contender.command(Path(folder)), given)
            contender.costs.append(cost)
            tell(
                f"round {turn}/{rounds}  {contender.name:<34} {cost.cpu_seconds:6.2f} CPU s {cost.wall_seconds:6.2f} s"
            )
    _require_equal(contenders)


def run(command: Sequence[str], given: Mapping[str, str]) -> Cost:
    """Runs a process to its end, free of any setting of the shell but those given.

    Raises:
        RecoError: it failed; the message ends with what it wrote to stderr.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RECO_", "DAGSTER_"))}
    environment |= {"DAGSTER_DISABLE_TELEMETRY": "1"} | dict(given)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=ROOT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            raise RecoError(
                f"{' '.join(command)} ended with {process.returncode}: {err.read().decode(errors='replace')[-2000:]}",
                hint="Start that command by itself; without it nothing can be compared.",
            )
        found = json.loads(out.read())
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * _RSS_UNIT, found)


def _require_equal(contenders: Sequence[Contender]) -> None:
    """Makes sure that every turn of every contender did the same work, as far as each says what it found."""
    for name in COMPARED:
        said = {cost.found[name]: one.name for one in contenders for cost in one.costs if name in cost.found}
        if len(said) > 1:
            raise RecoError(
                f"The contenders do not agree on {name}: {', '.join(f'{who}: {what}' for what, who in said.items())}.",
                hint="They do not do the same work: their costs must not be compared.",
            )
