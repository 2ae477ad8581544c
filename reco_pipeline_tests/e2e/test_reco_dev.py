"""Promises of `reco dev`, as a person starts it: the real services on a real home."""

import os
import queue
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reco_pipeline_tests.dagster_ui import DagsterUi
from reco_pipeline_tests.embedded import server_runs
from reco_pipeline_tests.shop import Shop, new_shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

START_SECONDS = 150
DROP_SECONDS = 150
"""Patience on a busy machine. On an idle one a drop is served within 30 s; the benchmark says how long it takes."""


class Dev:
    """A running `reco dev` and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self.errors: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        self._readers = [threading.Thread(target=read) for read in (self._read, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            for line in out:
                self._lines.put(line.rstrip())

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as err:
            self.errors.extend(err)

    def end(self, seconds: float = 60) -> str:
        """Waits until it ended by itself or by a signal; what it said on stderr. Each pipe has one reader, which the
        end of the process ends: `communicate` would close them under it.
        """
        self.process.wait(timeout=seconds)
        for reader in self._readers:
            reader.join(timeout=seconds)
            assert not reader.is_alive(), "a child of reco dev still holds its output"
        return "".join(self.errors)

    def hear(self, pattern: str) -> re.Match[str]:
        """Waits for a line that matches."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.said.append(self._lines.get(timeout=0.5))
            except queue.Empty:
                assert self.process.poll() is None, self.said
                continue
            found = re.search(pattern, self.said[-1])
            if found:
                return found
        raise AssertionError(f"{pattern} was not said: {self.said}")


@contextmanager
def running_dev(shop: Shop) -> Iterator[Dev]:
    """`reco dev` that is up; whatever the test leaves is ended."""
    dev = Dev(shop.start("dev"))
    try:
        yield dev
    finally:
        if dev.process.poll() is None:
            dev.process.send_signal(signal.SIGINT)
        dev.end()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A new home; its UI has a port of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return new_shop(tmp_path, RECO_DAGSTER_PORT=str(free.getsockname()[1]))


def states(shop: Shop) -> dict[str, str]:
    """The state of each drop by name."""
    return {drop["name"]: drop["status"] for drop in shop.reco("drops", "list", "--json").json["drops"]}


def within(seconds: float, what: Callable[[], bool]) -> bool:
    """Whether something becomes true in time."""
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def processes_of(home: Path) -> list[str]:
    """The processes that name the home, in their command line or environment, or work in it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            around = (process / "environ").read_bytes().decode(errors="replace")
            folder = str((process / "cwd").readlink())
        except OSError:
            continue
        if line and (str(home) in line + around or folder.startswith(str(home))):
            found.append(f"{process.name}: {line}")
    return found


def test_a_day_with_reco_dev(shop: Shop) -> None:
    """A new home goes green by itself; dropped files become snapshots, a broken one fails alone, one that is still
    written waits; a second `reco dev` is turned away; Ctrl-C leaves no process; the next start has no new sample.
    """
    inbox = shop.home / "inbox"
    with running_dev(shop) as dev:
        ui = DagsterUi(dev.hear(r"Dagster UI: (http://\S+)")[1])
        dev.hear("^Ready")
        assert within(DROP_SECONDS, lambda: list(states(shop).values()) == ["ingested"])
        assert within(DROP_SECONDS, lambda: bool(shop.reco("status", "--json").json["snapshot_id"]))
        first = shop.reco("status", "--json").json["snapshot_id"]

        second = shop.reco("dev")
        assert second.code == 4
        assert "up already" in second.err

        good = shop.orders("monday.csv", {f"m{n}": ["PID", "Cal Kit"] for n in range(50)})
        assert shop.reco("drop", good).code == 0
        dropped = time.monotonic()
        assert within(DROP_SECONDS, lambda: shop.reco("status", "--json").json["snapshot_id"] != first)
        print(f"from drop to snapshot: {time.monotonic() - dropped:.1f} s")

        started = len(ui.runs())
        shop.reco("drop", shop.orders("tuesday.csv", {"t1": ["PID", "Hose"]}))
        assert within(DROP_SECONDS, lambda: len(ui.runs()) > started)
        stop = threading.Event()
        growing = inbox / "growing.csv"
        writer = threading.Thread(target=_keep_writing, args=(growing, stop))
        writer.start()
        shop.reco("drop", shop.orders("wednesday.csv", {"w1": ["PID", "Pump"]}))
        shop.reco("drop", shop.write("broken.csv", "colour,weight\nred,3\n"))
        wanted = {"tuesday.csv": "ingested", "wednesday.csv": "ingested", "broken.csv": "failed"}
        assert within(DROP_SECONDS, lambda: wanted.items() <= states(shop).items()), states(shop)
        assert "growing.csv" not in states(shop)
        stop.set()
        writer.join()
        assert within(DROP_SECONDS, lambda: states(shop).get("growing.csv") == "ingested"), states(shop)
        lines = {d["name"]: d["lines_read"] for d in shop.reco("drops", "list", "--json").json["drops"]}
        assert lines["growing.csv"] == growing.read_text().count("\n") - 1
        assert within(DROP_SECONDS, lambda: {run["status"] for run in ui.runs()} == {"SUCCESS"}), ui.runs()
    assert dev.process.returncode == 0
    assert processes_of(shop.home) == []
    assert not server_runs(shop.home)
    assert shop.reco("status", "--json").json["drops"] == {"ingested": 4, "retracted": 1, "failed": 1}  # the sample


def _keep_writing(path: Path, stop: threading.Event) -> None:
    """Adds an order every half second, as a slow upload does."""
    with path.open("w", encoding="utf-8") as handle:
        handle.write("order_id,item_name\n")
        number = 0
        while not stop.wait(0.5):
            number += 1
            handle.write(f"g{number},PID\ng{number},Hose\n")
            handle.flush()


def test_a_port_asked_for_and_taken_is_an_error(shop: Shop) -> None:
    """RECO_DAGSTER_PORT that another program holds: nothing is started, the setting is named, exit 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(shop.settings["RECO_DAGSTER_PORT"])))
        taken.listen()
        done = shop.reco("dev")
    assert done.code == 2
    assert "RECO_DAGSTER_PORT" in done.err
    assert not server_runs(shop.home)


def test_a_definition_error_is_told(tmp_path: Path) -> None:
    """When the graph cannot be loaded, `reco dev` says why and ends instead of waiting."""
    shop = new_shop(tmp_path, RECO_DAGSTER_PORT="1", RECO_TIMEZONE="Mars/Olympus")
    done = shop.reco("dev")
    assert done.code == 2
    assert "RECO_TIMEZONE" in done.err
