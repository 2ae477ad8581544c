"""`make bench ARGS=newcomer`: the way of a newcomer, from a clone to a restore, timed part by part.

It types docs/tutorial.md in a new clone of this repository: the set-up, every command, every file; and fails where an
output is not the one on the page. With RECO_REAL_DATA it also takes in the days of UCI Online Retail found there.

Belongs here: typing, timing, the table. Does not belong here: a kept ratio: seconds belong to a machine.
"""

import argparse
import os
import resource
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from scripts.pages import Step, fits, steps

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
REAL = "online_retail_by_day.tar.gz"
PATIENCE_SECONDS = 1200.0
SETUP = "make run"
FOREIGN = ("RECO_", "DAGSTER_", "MAKE", "MFLAGS", "ARGS")  # settings of a shop, and what `make bench` hands on
PORTS = {"3000": "RECO_DAGSTER_PORT", "8000": "RECO_API_PORT"}


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of processors by commands that have ended."""

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.wall - other.wall, self.cpu - other.cpu)


def _now() -> Spent:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(time.monotonic(), used.ru_utime + used.ru_stime)


class Failed(Exception):
    """A command of the page did not do what the page shows."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Walks the tutorial in a new clone; 0 where every command did what the page shows."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=newcomer", description=__doc__)
    parser.parse_args(arguments)
    print(f"load of this machine before the start: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="reco-newcomer-") as folder:
        clone = Path(folder) / "reco-pipeline"
        seconds = {"clone": _timed(["git", "clone", "--quiet", str(ROOT), str(clone)], ROOT)}
        try:
            seconds |= walk(clone, steps(PAGE.read_text(encoding="utf-8")))
            real = os.environ.get("RECO_REAL_DATA")
            if real and (Path(real) / REAL).is_file():
                seconds["UCI Online Retail, 305 daily files"] = _real_days(clone, Path(real) / REAL)
        except Failed as failure:
            print(failure, file=sys.stderr)
            return 1
    passed = Spent()
    print(f"{'part':45} {'wall s':>8} {'CPU s':>8} {'since the start':>16}")
    for name, spent in seconds.items():
        passed += spent
        print(f"{name:45} {spent.wall:8.1f} {spent.cpu:8.1f} {passed.wall:16.1f}")
    return 0


def walk(clone: Path, page: Sequence[Step], settings: Mapping[str, str] | None = None) -> "dict[str, Spent]":
    """Types the steps of a page in a folder, in one environment; what each section took, and `make run` apart.

    Raises:
        Failed: a command ended otherwise, or with another output, than the page shows.
    """
    ports = {number: str(_free_port()) for number in PORTS}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    environment |= {PORTS[number]: port for number, port in ports.items()} | dict(settings or {})
    environment["PATH"] = f"{clone / '.venv' / 'bin'}{os.pathsep}{environment['PATH']}"
    environment["DAGSTER_DISABLE_TELEMETRY"] = "1"
    seconds: dict[str, Spent] = {}
    for section in dict.fromkeys(step.section for step in page):
        with ExitStack() as services:
            for step in (one for one in page if one.section == section):
                if step.command.startswith(("cd ", ". ")):
                    continue  # the folder and the environment are these already
                started = _now()
                _do(step, clone, environment, ports, services)
                name = SETUP if step.command == SETUP else section
                seconds[name] = seconds.get(name, Spent()) + (_now() - started)
            leaving = _now()
        seconds[section] += _now() - leaving
    return seconds


def _do(step: Step, folder: Path, environment: Mapping[str, str], ports: Mapping[str, str], until: ExitStack) -> None:
    if step.file:
        (folder / step.file).write_text(step.shown, encoding="utf-8")
    elif step.terminal:
        _start(step, folder, environment, ports, until)
    else:
        command = step.command
        for number, port in ports.items():
            command = command.replace(f":{number}/", f":{port}/")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        refused = step.shown.startswith("error:")  # the page shows a failure on purpose
        output = done.stderr if refused else done.stdout
        if (done.returncode != 0) != refused or not fits(step.shown, output):
            raise Failed(
                f"$ {command}\nended with {done.returncode}\n{done.stdout}{done.stderr}\nthe page shows\n{step.shown}"
            )


def _start(
    step: Step, folder: Path, environment: Mapping[str, str], ports: Mapping[str, str], until: ExitStack
) -> None:
    """Starts what goes on in a terminal of its own and waits until the API answers."""
    log = until.enter_context((folder / "terminal.log").open("w+b"))
    process = subprocess.Popen(
        step.command.split(), cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
    )
    until.callback(process.wait, PATIENCE_SECONDS)
    until.callback(process.send_signal, signal.SIGINT)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log.seek(0)
            raise Failed(f"$ {step.command}\nended with {process.returncode}\n{log.read().decode(errors='replace')}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['8000']}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise Failed(f"$ {step.command}\nwas not ready")


def _real_days(clone: Path, archive: Path) -> Spent:
    days = clone / "days"
    with tarfile.open(archive) as packed:
        packed.extractall(days, filter="data")
    return _timed(
        [str(clone / ".venv/bin/reco"), "run", "--orders", str(days), "--source", "uci-online-retail"],
        clone,
        RECO_HOME=str(clone / "uci"),
    )


def _timed(command: Sequence[str], folder: Path, **settings: str) -> Spent:
    started = _now()
    subprocess.run(command, cwd=folder, env=os.environ | settings, stdout=subprocess.DEVNULL, check=True)
    return _now() - started


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
