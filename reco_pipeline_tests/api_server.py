"""The API as people start it: `reco serve` in a process of its own, asked over HTTP.

Belongs here: starting, asking and ending it. Does not belong here: any claim.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import redis

from reco_pipeline_tests.servers import port_of
from reco_pipeline_tests.shop import RECO, Finished
from reco_pipeline_tests.snapshot_lake import SHOP

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Api:
    """A running service: its process, and a client of it."""

    process: subprocess.Popen[str]
    client: httpx.Client
    environment: dict[str, str]

    def ask(self, path: str) -> dict[str, Any]:
        """The body of a GET that succeeds."""
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def basket(self, *items: str, limit: int = 10) -> dict[str, Any]:
        """The body of a basket question that succeeds."""
        answer = self.client.post("/api/v1/basket-recommendations", json={"items": items, "limit": limit})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def health(self) -> dict[str, Any]:
        """The body of /health/."""
        return self.ask("/health/")

    def wait_for(self, **facts: Any) -> dict[str, Any]:
        """The health as soon as it has these facts; fails after a generous time."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            health = self.health()
            if facts.items() <= health.items():
                return health
            assert time.monotonic() < deadline, health
            time.sleep(0.02)

    def reco(self, *arguments: str) -> Finished:
        """A command with the same settings."""
        done = subprocess.run(
            [str(RECO), *arguments], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def stop(self, number: signal.Signals) -> tuple[int, str, str]:
        """Sends a signal and waits; the exit code, the rest of stdout, and stderr."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, out, err


def settings_for(valkey: redis.Redis, home: Path) -> dict[str, str]:
    """The settings of the shop whose snapshots `snapshot_lake` publishes to this server."""
    url = f"redis://127.0.0.1:{port_of(valkey)}/0"
    return {"RECO_HOME": str(home), "RECO_NAMESPACE": SHOP, "RECO_REDIS_URL": url}


@contextmanager
def running_api(settings: dict[str, str]) -> Iterator[Api]:
    """`reco serve` with these settings, on a free port; ended with the block."""
    environment = os.environ | {"RECO_API_PORT": "0"} | settings
    process = subprocess.Popen(
        [str(RECO), "serve", "--json"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate(timeout=PATIENCE_SECONDS)[1])
        with httpx.Client(base_url=json.loads(line)["url"], timeout=PATIENCE_SECONDS, trust_env=False) as client:
            yield Api(process, client, environment)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()
