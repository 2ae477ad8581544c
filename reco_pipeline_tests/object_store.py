"""An S3 server of a test's own.

Belongs here: starting and ending a real server. Does not belong here: any claim.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from reco.errors import RecoError
from reco.storage.objects import ObjectStore
from reco.storage.steady import Patience

START_SECONDS = 60
BUCKET = "reco-inbox"
KEY, SECRET = "reco-test-key", "reco-test-secret"


@dataclass(frozen=True)
class S3Server:
    """A running server with one bucket."""

    url: str
    bucket: str


def _free_ports(count: int) -> list[int]:
    """Ports that are free now; a server's gRPC port is 10,000 above unless it is named."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


@contextmanager
def running_s3(folder: Path) -> Iterator[S3Server]:
    """A server on free ports of the loopback, with its credentials in the environment; ended with the block."""
    names = [f"{role}.port{kind}" for role in ("master", "volume", "filer", "s3", "admin") for kind in ("", ".grpc")]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    keys = [{"accessKey": KEY, "secretKey": SECRET}]
    actions = ["Admin", "Read", "List", "Tagging", "Write"]
    users = {"identities": [{"name": "test", "credentials": keys, "actions": actions}]}
    (folder / "s3.json").write_text(json.dumps(users))
    (folder / "data").mkdir()
    command = [
        Path(sys.executable).with_name("weed"),
        "mini",
        "-dir",
        folder / "data",
        "-ip",
        "127.0.0.1",
        "-ip.bind",
        "127.0.0.1",
        *(part for name, port in ports.items() for part in (f"-{name}", port)),
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg",
        "0",
        "-s3.port.lance",
        "0",
        "-s3.config",
        folder / "s3.json",
        "-s3.autoCreateBucket=false",
        "-master.telemetry=false",
        "-master.electionTimeout",
        "1s",
        "-master.heartbeatInterval",
        "100ms",
        "-master.volumeSizeLimitMB",
        "64",
    ]
    with (folder / "weed.log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=folder)
        try:
            url = f"http://127.0.0.1:{ports['s3.port']}"
            _make_bucket(url, process, folder / "weed.log")
            yield S3Server(url, BUCKET)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _make_bucket(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    port = int(url.rpartition(":")[2])
    deadline = time.monotonic() + START_SECONDS
    made = False
    while not made:
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                made = _try(url)


def _try(url: str) -> bool:
    store = ObjectStore(BUCKET, url, patience=Patience(attempts=1))
    try:
        store.make_bucket()
        return list(store.list("")) == []
    except RecoError:
        return False
