"""The processes that `reco dev` keeps up.

Belongs here: starting, watching and ending them as process groups. Does not belong here: which there are
(`reco_pipeline.dev`), or the embedded Redis server, which belongs to the home (`reco.local`).
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reco.errors import ServiceEnded

POLL_SECONDS = 0.2
STOP_SECONDS = 20.0
TAIL_LINES = 15


@dataclass(frozen=True)
class Service:
    """One process to keep up: `ready` tells whether it answers, or raises where it never will."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    log: Path
    url: str
    ready: Callable[[], bool]


class Running:
    """A service that was started, in a process group of its own: a Ctrl-C in the terminal reaches only us."""

    def __init__(self, service: Service, keep: Sequence[int] = ()) -> None:
        self.service = service
        service.log.parent.mkdir(parents=True, exist_ok=True)
        with service.log.open("wb") as log:
            self._process = subprocess.Popen(
                service.command,
                cwd=service.folder,
                env=dict(service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=keep,
            )

    def check(self) -> None:
        """Raises ServiceEnded where the process has ended by itself."""
        code = self._process.poll()
        if code is not None:
            raise self._failed(f"ended by itself (exit code {code})")

    def wait_until_ready(self, seconds: float) -> None:
        """Waits until the service answers.

        Raises:
            ServiceEnded: it ended, or did not answer in time; the message holds the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not self.service.ready():
            self.check()
            if time.monotonic() >= deadline:
                raise self._failed(f"did not answer within {seconds:.0f} seconds")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Ends the process as Ctrl-C would, then whatever is left of its group."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + STOP_SECONDS / 4
            while self._signal_group(number if time.monotonic() < deadline else signal.SIGKILL):
                if time.monotonic() >= deadline:
                    break
                time.sleep(POLL_SECONDS)
        self._process.wait()

    def _signal_group(self, number: signal.Signals) -> bool:
        """Whether there was anybody left to signal."""
        self._process.poll()
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def _failed(self, what: str) -> ServiceEnded:
        log = self.service.log
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        said = "".join(f"\n  {line}" for line in lines) or " nothing."
        return ServiceEnded(
            f"{self.service.name} {what}. It said last:{said}\n",
            hint=f"Its whole log is {log}; start again with `reco dev`.",
            service=self.service.name,
        )
