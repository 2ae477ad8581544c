"""Promises of the supervisor of `reco dev`: what dies is started again, what dies for ever is told, nothing is left."""

import os
import signal
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reco.errors import ServiceEnded
from reco.settings import load_settings
from reco_pipeline.dev import revive, watch
from reco_pipeline.services import ENDS_SECONDS, MOST_ENDS, Running, Service

LIVES = "import sys, time; print('at work', flush=True); open(sys.argv[1], 'a').write('x'); time.sleep(600)"
DIES = "print('no such table', flush=True); raise SystemExit(7)"


class Stop(Exception):
    """Ends `watch`, which returns never."""


def service(folder: Path, code: str) -> tuple[Service, Path, list[str]]:
    """A service that marks each of its starts in a file, and what was done between them."""
    starts, between = folder / "starts", []
    command = [sys.executable, "-c", code, str(starts)]
    ready = starts.is_file
    made = Service(
        "Dagster UI",
        command,
        folder,
        dict(os.environ),
        folder / "dev.log",
        "http://here",
        ready,
        lambda: between.append("closed"),
    )
    return made, starts, between


def test_a_service_that_is_killed_is_started_again(tmp_path: Path) -> None:
    """With a clear line, after what it left was ended and its runs closed; it is told once, and its log goes on."""
    made, _, between = service(tmp_path, LIVES)
    settings = load_settings(home=tmp_path / "home")
    running = Running(made)
    said: list[str] = []
    pauses: list[float] = []

    def say(line: str) -> None:
        said.append(line)
        if line.endswith("http://here") and len(pauses) == 2:
            raise Stop
        if line.endswith("http://here"):
            os.kill(running.pid, signal.SIGKILL)

    try:
        running.wait_until_ready(60)
        first = running.pid
        os.kill(first, signal.SIGKILL)
        with capture_logs() as logs, pytest.raises(Stop):
            watch([running], settings, say, sleep=pauses.append)
        assert running.pid != first
        assert pauses == [1.0, 2.0]
        assert between == ["closed", "closed"]
        assert said[:2] == [
            "Dagster UI ended by itself (exit code -9). Starting it again in 1 s.",
            "Dagster UI is up again: http://here",
        ]
        assert [one["event"] for one in logs if one["log_level"] == "error"] == ["service_ended"]
        assert made.log.read_text().count("at work") >= 1
    finally:
        running.stop()


def test_a_service_that_ends_again_and_again_is_given_up_with_its_reason(tmp_path: Path) -> None:
    """Five times it is started again; then the reason it gave last is the error, and people are told."""
    made, _, between = service(tmp_path, DIES)
    running = Running(made)
    pauses: list[float] = []
    said: list[str] = []
    try:
        with pytest.raises(ServiceEnded) as first:
            running.wait_until_ready(60)
        with capture_logs() as logs, pytest.raises(ServiceEnded, match="no such table"):
            revive(running, first.value, load_settings(home=tmp_path / "home"), said.append, sleep=pauses.append)
        assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]
        assert len(between) == MOST_ENDS
        assert [one["event"] for one in logs if one["log_level"] == "error"] == ["service_ended", "service_lost"]
    finally:
        running.stop()


def test_ends_that_are_long_ago_do_not_count(tmp_path: Path) -> None:
    """One end an hour is started again for ever, after a second each time."""
    made, _, _ = service(tmp_path, DIES)
    running = Running(made)
    try:
        assert [running.pause(number * (ENDS_SECONDS + 1)) for number in range(20)] == [1.0] * 20
    finally:
        running.stop()


def test_a_service_that_lives_and_does_not_answer_counts_as_ended(tmp_path: Path) -> None:
    """Silence of a minute, not one missed answer: Dagster's UI outlives its code server, and does nothing."""
    made, starts, _ = service(tmp_path, LIVES)
    running = Running(made)
    try:
        running.wait_until_ready(60)
        content = starts.read_text()
        for now, silent in ((10, True), (65, True), (66, True), (80, False), (100, True), (155, True)):
            starts.unlink(missing_ok=True) if silent else starts.write_text(content)
            running.probe(now)
        with pytest.raises(ServiceEnded, match="has not answered for 70 seconds"):
            running.probe(170)
        running.check()
    finally:
        running.stop()
