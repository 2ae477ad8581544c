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
PROBE_SECONDS, SILENT_SECONDS = 10.0, 60.0
ENDS_SECONDS, MOST_ENDS = 600.0, 5
"""So many ends within ten minutes have a cause that starting again at once does not mend: it rests for as long."""


@dataclass(frozen=True)
class Service:
    """One process to keep up.

    ready: tells whether it answers, or raises where it never will; before_again: what must be done between an end that
    nobody asked for and the next start, when nothing of it runs any more.
    """

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    log: Path
    url: str
    ready: Callable[[], bool]
    before_again: Callable[[], None] = lambda: None


class Running:
    """A service that was started, in a process group of its own: a Ctrl-C in the terminal reaches only us."""

    def __init__(self, service: Service, keep: Sequence[int] = ()) -> None:
        self.service = service
        self._keep = tuple(keep)
        self._ends: list[float] = []
        self._probe_at = 0.0
        self._silent_since: float | None = None
        self._rests_until = 0.0
        self._failure: ServiceEnded | None = None
        service.log.parent.mkdir(parents=True, exist_ok=True)
        self._process = self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        self._probe_at, self._silent_since = 0.0, None
        # Added to, since the cleanup may cut it under us, and the end of one process must outlive the next one's start.
        with self.service.log.open("ab") as log:
            return subprocess.Popen(
                self.service.command,
                cwd=self.service.folder,
                env=dict(self.service.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self._keep,
            )

    def pause(self, now: float) -> float | None:
        """For how long to wait before it is started again: 1 s, 2 s, ... 16 s; None where it ends again and again.

        It then rests for as long as ends count: what comes after that begins with 1 s.

        Args:
            now: seconds of a clock that only goes forward.
        """
        self._ends = [*(at for at in self._ends if now - at < ENDS_SECONDS), now]
        if len(self._ends) <= MOST_ENDS:
            return 2.0 ** (len(self._ends) - 1)
        self._rests_until = now + ENDS_SECONDS
        return None

    def rests(self, now: float) -> bool:
        """Whether it is left alone for now, since it ended again and again."""
        return now < self._rests_until

    def again(self, seconds: float) -> None:
        """Ends what is left of it, and starts it anew; returns once it answers.

        Raises:
            ServiceEnded: it ended once more, did not answer in time, or could not be started; `check` raises it again,
                until it was started.
        """
        try:
            self._again(seconds)
        except ServiceEnded as error:
            self._failure = error
            raise
        self._failure = None

    def _again(self, seconds: float) -> None:
        try:
            self.stop()
            self.service.before_again()
            self._process = self._start()
        except Exception as error:  # the boundary: whatever keeps one service down must not end the others
            reason = (str(error).splitlines() or [""])[0]
            raise ServiceEnded(
                f"{self.service.name} could not be started: {type(error).__name__}: {reason}",
                hint=f"Its log is {self.service.log}.",
                service=self.service.name,
            ) from error
        self.wait_until_ready(seconds)

    @property
    def pid(self) -> int:
        """The id of its first process."""
        return self._process.pid

    def check(self) -> None:
        """Raises ServiceEnded where the process has ended by itself, or could not be started again."""
        if self._failure is not None:
            raise self._failure
        code = self._process.poll()
        if code is not None:
            raise self._failed(f"ended by itself (exit code {code})")

    def probe(self, now: float) -> None:
        """Asks now and then whether it still answers: a process may live on after what it needs has died.

        Args:
            now: seconds of a clock that only goes forward.

        Raises:
            ServiceEnded: it has not answered for a minute.
        """
        if now < self._probe_at:
            return
        self._probe_at = now + PROBE_SECONDS
        try:
            answers = self.service.ready()
        except ServiceEnded:
            answers = False
        if answers:
            self._silent_since = None
            return
        self._silent_since = now if self._silent_since is None else self._silent_since
        if now - self._silent_since >= SILENT_SECONDS:
            raise self._failed(f"has not answered for {now - self._silent_since:.0f} seconds")

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
