"""The Dagster UI and daemon of a shop, for tests: the real processes, asked over GraphQL as the browser does.

Belongs here: starting, asking and stopping them. Does not belong here: any claim.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reco_pipeline.instance import dagster_home
from reco_pipeline_tests.shop import Shop

ROOT = Path(__file__).parent.parent
START_SECONDS = 180
RUN_SECONDS = 400

LOCATION = {"repositoryLocationName": "reco_pipeline", "repositoryName": "__repository__"}
LOADED = (
    "{ workspaceOrError { ... on Workspace { locationEntries { loadStatus locationOrLoadError { __typename } } } } }"
)
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
RUNS = "{ runsOrError { ... on Runs { results { runId status jobName stepKeysToExecute tags { key value } } } } }"


@dataclass(frozen=True)
class DagsterUi:
    """A running UI."""

    url: str

    def ask(self, query: str, **variables: Any) -> Any:
        """The data of a GraphQL answer; fails on its errors."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310 - our own server
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - our own server
                result = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert "errors" not in result, result["errors"]
        return result["data"]

    def runs(self) -> list[dict[str, Any]]:
        """All runs, newest first."""
        found: list[dict[str, Any]] = self.ask(RUNS)["runsOrError"]["results"]
        return found

    def wait_for_runs(self, tag: tuple[str, str], least: int = 1) -> list[dict[str, Any]]:
        """The runs with a tag, once there are `least` of them and all have ended."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            mine = [run for run in self.runs() if {"key": tag[0], "value": tag[1]} in run["tags"]]
            if len(mine) >= least and all(run["status"] in ("SUCCESS", "FAILURE", "CANCELED") for run in mine):
                return mine
            time.sleep(0.5)
        raise AssertionError(f"no {least} ended runs with {tag}: {self.runs()}")

    def wait_for_backfill(self, backfill: str) -> list[dict[str, Any]]:
        """The runs of a backfill, once it has ended."""
        query = """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
            ... on PartitionBackfill { status error { message } } } }"""
        deadline = time.monotonic() + RUN_SECONDS
        state: dict[str, Any] = {}
        while time.monotonic() < deadline:
            state = self.ask(query, id=backfill)["partitionBackfillOrError"]
            if state["status"] not in ("REQUESTED", "CANCELING", "FAILING"):
                return self.wait_for_runs(("dagster/backfill", backfill))
            time.sleep(0.5)
        raise AssertionError(f"backfill {backfill} did not end: {state}, {self.runs()}")

    def error_of(self, run_id: str) -> str:
        """All error text of a run."""
        query = """query ($id: ID!) { logsForRun(runId: $id) { ... on EventConnection { events {
            ... on ExecutionStepFailureEvent { stepKey error { message cause { message } } } } } } }"""
        return json.dumps(self.ask(query, id=run_id))

    def launch_backfill(self, assets: list[str], partitions: list[str] | None) -> str:
        """Launches a backfill as the button "Materialize" does for assets with partitions."""
        query = """mutation ($p: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $p) {
            __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
            ... on PartitionKeysNotFoundError { message } ... on UnauthorizedError { message } } }"""
        parameters: Mapping[str, Any] = {
            "assetSelection": [{"path": [name]} for name in assets],
            "partitionNames": partitions,
            "tags": [],
        }
        answer = self.ask(query, p=parameters)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        backfill: str = answer["backfillId"]
        return backfill

    def launch_job(self, job: str, assets: list[str] | None = None, tags: Mapping[str, str] | None = None) -> str:
        """Launches a job, or some of its assets; returns the run's id."""
        query = """mutation ($p: ExecutionParams!) { launchPipelineExecution(executionParams: $p) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
        selector: dict[str, Any] = {"jobName": job, **LOCATION}
        if assets is not None:
            selector["assetSelection"] = [{"path": [name]} for name in assets]
        tag_list = [{"key": key, "value": value} for key, value in (tags or {}).items()]
        parameters = {
            "selector": selector,
            "runConfigData": {},
            "executionMetadata": {"tags": tag_list},
            "mode": "default",
        }
        answer = self.ask(query, p=parameters)["launchPipelineExecution"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run: str = answer["run"]["runId"]
        return run

    def _up(self) -> bool:
        try:
            entries = self.ask(LOADED)["workspaceOrError"]["locationEntries"]
            daemons = self.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        except OSError:
            return False
        loaded = [entry["loadStatus"] == "LOADED" and entry["locationOrLoadError"] for entry in entries]
        if any(one and one["__typename"] == "PythonError" for one in loaded):
            raise AssertionError("the code location does not load")
        return bool(loaded) and all(loaded) and all(d["healthy"] for d in daemons if d["required"])


@contextmanager
def running_ui(shop: Shop) -> Iterator[DagsterUi]:
    """`dagster dev -w workspace.yaml` on the shop's home, from the project's folder, until the block ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = shop.environment | {"DAGSTER_HOME": str(dagster_home(shop.home))}
    command = [
        Path(sys.executable).with_name("dagster"),
        "dev",
        "-w",
        str(ROOT / "workspace.yaml"),
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
    ]
    log = (shop.files / "dagster.log").open("w", encoding="utf-8")
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=shop.home / "dagster",
        env=environment,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    ui = DagsterUi(f"http://127.0.0.1:{port}")
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ui._up():
            assert process.poll() is None, (shop.files / "dagster.log").read_text()[-3000:]
            assert time.monotonic() < deadline, (shop.files / "dagster.log").read_text()[-3000:]
            time.sleep(0.5)
        yield ui
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()
