"""Promises of the supervisor of `reco dev`: what dies is started again, what dies for ever is told, nothing is left."""

import os
import signal
import socket
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from reco.errors import ServiceEnded
from reco.settings import load_settings
from reco_pipeline.dev import _api, _dagster_ready, watch
from reco_pipeline.services import ENDS_SECONDS, MOST_ENDS, Running, Service
from reco_pipeline_tests.servers import port_of, running_valkey

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


def test_a_service_that_ends_again_and_again_rests_and_the_others_stay_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five times it is started again; then people are told why, and what else died meanwhile is still started again."""
    monkeypatch.setattr("reco_pipeline.dev.WATCH_SECONDS", 0.01)
    (tmp_path / "api").mkdir()
    made, _, between = service(tmp_path, DIES)
    other, _, _ = service(tmp_path / "api", LIVES)
    lost, kept = Running(made), Running(replace(other, name="API"))
    pauses: list[float] = []
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "left alone for 10 minutes" in line:
            os.kill(kept.pid, signal.SIGKILL)
        if line.startswith("API is up again"):
            raise Stop

    try:
        kept.wait_until_ready(60)
        with capture_logs() as logs, pytest.raises(Stop):
            watch([lost, kept], load_settings(home=tmp_path / "home"), say, sleep=pauses.append)
        assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 1.0]
        assert len(between) == MOST_ENDS
        assert [one["event"] for one in logs if one["log_level"] == "error"] == [
            "service_ended",
            "service_lost",
            "service_ended",
        ]
        with pytest.raises(ServiceEnded, match="no such table"):
            lost.check()
        now = time.monotonic()
        assert (lost.rests(now), lost.rests(now + ENDS_SECONDS), kept.rests(now)) == (True, False, False)
    finally:
        lost.stop()
        kept.stop()


def test_what_cannot_be_started_yet_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is away while the runs of a dead Dagster are closed counts as one more end, and ends nothing."""
    monkeypatch.setattr("reco_pipeline.dev.WATCH_SECONDS", 0.01)
    made, _, _ = service(tmp_path, LIVES)
    tries: list[str] = []

    def close_runs() -> None:
        tries.append("closed")
        if len(tries) < 3:
            raise LookupError("too many retries for DB connection\nand a trace")

    running = Running(replace(made, before_again=close_runs))
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        if "is up again" in line:
            raise Stop

    try:
        running.wait_until_ready(60)
        os.kill(running.pid, signal.SIGKILL)
        with pytest.raises(Stop):
            watch([running], load_settings(home=tmp_path / "home"), say, sleep=lambda _: None)
        reason = "Dagster UI could not be started: LookupError: too many retries for DB connection"
        assert said[1:] == [
            f"{reason} Starting it again in 2 s.",
            f"{reason} Starting it again in 4 s.",
            "Dagster UI is up again: http://here",
        ]
        running.check()
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


def test_an_api_that_hangs_counts_as_ended_and_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds its port, and the system takes connections for it: only an answer counts."""
    monkeypatch.setattr("reco_pipeline.services.STOP_SECONDS", 0.4)
    with running_valkey(tmp_path) as valkey, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        monkeypatch.setenv("RECO_REDIS_URL", f"redis://127.0.0.1:{port_of(valkey)}/0")
        monkeypatch.setenv("RECO_API_PORT", str(port))
        (home := tmp_path / "home").mkdir()
        running = Running(_api(load_settings(home=home), print))
        try:
            running.wait_until_ready(60)
            hung = running.pid
            os.kill(hung, signal.SIGSTOP)
            with monkeypatch.context() as hurried:
                hurried.setattr("reco_pipeline.dev.ANSWER_SECONDS", 0.2)
                running.probe(1000)
                running.check()
                with pytest.raises(ServiceEnded, match="API has not answered for 60 seconds"):
                    running.probe(1060)
            running.again(60)
            assert running.pid != hung
            running.probe(1200)
            running.probe(1260)
        finally:
            running.stop()


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"da',
        b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"data":null}',
        b'HTTP/1.1 200 OK\r\nContent-Length: 37\r\n\r\n{"data":{"workspaceOrError":null}}    ',
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_dagster_that_answers_nonsense_is_not_ready(answer: bytes) -> None:
    """As while it starts, or while its database is away: it is asked again, and `reco dev` goes on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def reply() -> None:
            wire, _ = listener.accept()
            with wire:
                wire.recv(65536)
                wire.sendall(answer)

        replying = threading.Thread(target=reply)
        replying.start()
        ready = _dagster_ready(listener.getsockname()[1])
        replying.join()
    assert not ready
