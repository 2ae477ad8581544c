"""The S3 server that belongs to a home: SeaweedFS.

Belongs here: which configuration it gets, how it is asked, and its one bucket. Does not belong here: how a home shares
a server (`server`), what is stored in it, and object stores given by settings.
"""

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from reco.errors import ObjectStoreUnavailable
from reco.local import conf, diagnose, locks, process, s3conf, s3wire, wire
from reco.local.endpoint import S3Endpoint
from reco.local.server import START_SECONDS, STOP_SECONDS, HomeServer

BUCKET = "reco"
SHELL_SECONDS = 60.0
GARBAGE = 0.1
"""A volume with a larger share of removed bytes is written anew."""
COMPACT_SECONDS, COMPACT_POLL_SECONDS = 60.0, 0.5

log = structlog.get_logger(__name__)


class EmbeddedS3(HomeServer[S3Endpoint]):
    """The one S3 server of a home; its bucket has versioning and object lock.

    The two bounds are in seconds. `choose_ports` is given the last ports and returns those to try next.
    """

    kind = "S3 server"
    event = "embedded_s3"
    instead = "RECO_S3_BUCKET"
    error = ObjectStoreUnavailable

    def __init__(
        self,
        home: Path,
        *,
        start_seconds: float = START_SECONDS,
        stop_seconds: float = STOP_SECONDS,
        choose_ports: Callable[[s3conf.Ports | None], s3conf.Ports | None] = s3conf.choose_ports,
    ) -> None:
        super().__init__(home / "s3", start_seconds, stop_seconds)
        self._users_file = self.folder / "s3.json"
        self._ports_file = self.folder / "ports.json"
        self._choose_ports = choose_ports

    def _configured(self) -> S3Endpoint | None:
        ports = s3conf.read_ports(self._ports_file)
        return self._endpoint(ports["s3.port"], 0) if ports else None

    def _endpoint(self, port: int, pid: int) -> S3Endpoint:
        return S3Endpoint(wire.HOST, port, pid, BUCKET, *s3conf.credentials_of(self._users_file))

    def _configure(self) -> S3Endpoint | None:
        last = s3conf.read_ports(self._ports_file)
        ports = self._choose_ports(last)
        if ports is None:
            return None
        if ports != last:
            conf.write_private(self._ports_file, (json.dumps(ports) + "\n").encode())
        return self._endpoint(ports["s3.port"], 0)

    def _ports(self) -> s3conf.Ports:
        ports = s3conf.read_ports(self._ports_file)
        if ports is None:
            raise FileNotFoundError(f"{self._ports_file} is missing or damaged")
        return ports

    def _launch(self, data_lock: int) -> process.Server:
        return process.spawn(
            s3conf.command(self._ports()),
            self.folder,
            self.log_file,
            data_lock,
            environment={"GOMEMLIMIT": s3conf.MEMORY_LIMIT, "HOME": str(self.folder)},
        )

    def _ask(self, endpoint: S3Endpoint) -> wire.Probe:
        return s3wire.probe(endpoint)

    def _at(self, endpoint: S3Endpoint, pid: int) -> S3Endpoint:
        return self._endpoint(endpoint.port, pid)

    def _ports_free(self, endpoint: S3Endpoint) -> bool:  # noqa: ARG002 - it has nine more
        return s3conf.all_free(self._ports())

    def _ready(self, endpoint: S3Endpoint) -> None:
        """The bucket keeps what it is given. It is made last, so that one that exists was set up whole."""
        if not s3wire.has_bucket(endpoint):
            self._keep_through_power_cuts()
            s3wire.make_bucket(endpoint)
        deadline = time.monotonic() + self._start_seconds
        while not s3wire.keeps_objects(endpoint):
            if time.monotonic() >= deadline:
                raise self.error(
                    f"The embedded S3 server of {self.folder} runs but does not keep what it is given.",
                    hint=self._next_step(),
                    folder=str(self.folder),
                )
            time.sleep(locks.POLL_SECONDS)

    def compact(self, freed_bytes: int) -> None:
        """Gives the room of objects that were just removed back to the disk, where it is a share worth the writing.

        Left to itself the server does so every quarter hour, which no command lives to see. The lease is held.

        Raises:
            ObjectStoreUnavailable: the server does not do what it is told.
        """
        before = self._room()
        if freed_bytes < GARBAGE * before:
            return
        # The server counts what was removed seconds later: only then it finds something to do.
        deadline = time.monotonic() + COMPACT_SECONDS
        while self._room() >= before:
            if time.monotonic() >= deadline:
                log.warning("embedded_s3_not_compacted", folder=str(self.folder), freed_bytes=freed_bytes)
                return
            time.sleep(COMPACT_POLL_SECONDS)
            self._tell("lock", f"volume.vacuum -garbageThreshold={GARBAGE}", "unlock")

    def _room(self) -> int:
        """The bytes of the files that hold objects; one may be replaced while they are looked at."""
        found = 0
        for path in self.data.rglob("*.dat"):
            with suppress(FileNotFoundError):
                found += path.stat().st_size
        return found

    def _keep_through_power_cuts(self) -> None:
        """What is put into the bucket is on the disk before it is acknowledged; left to itself it is in memory."""
        self._tell(f"fs.configure -locationPrefix=/buckets/{BUCKET}/ -fsync=true -apply")

    def _tell(self, *words: str) -> None:
        """Has the server's own shell do something."""
        try:
            subprocess.run(
                s3conf.shell(self._ports()),
                input="\n".join([*words, ""]),
                cwd=self.folder,
                env={"HOME": str(self.folder), "TMPDIR": str(self.folder)},
                capture_output=True,
                text=True,
                timeout=SHELL_SECONDS,
                check=True,
            )
        except subprocess.SubprocessError as error:
            said = getattr(error, "stderr", "") or getattr(error, "output", "") or str(error)
            raise self.error(
                f"The embedded S3 server of {self.folder} did not do `{words[0]}`: {said}",
                hint=f"Try again; if that fails too, read {self.log_file}.",
                folder=str(self.folder),
            ) from error

    def _next_step(self) -> str:
        return diagnose.full_disk(self.folder) or f"Read {self.log_file}, or set RECO_S3_BUCKET to another store."
