"""The locks of a home that commands and automation hold.

Belongs here: one run of a command line at a time, one taker of inbox files at a time, one `reco dev`. Does not belong
here: the locks of the embedded server (`reco.local`) or of a publish (`reco.snapshot`), which guard other things.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reco.errors import Busy, ConfigError

RESTORING = "restoring.json"
"""Stands in a home while a restore replaces its parts: what is there is of two times until it is gone."""
POLL_SECONDS = 0.05
# Whoever asks whether a lock is held holds it for a moment; that moment must not turn a command away.
ASKING_SECONDS = 0.5


_inside: dict[Path, int] = {}
_guard = threading.Lock()


@contextmanager
def home_lock(home: Path, *, wait_seconds: float = ASKING_SECONDS) -> Iterator[None]:
    """Holds the run lock of a home for the length of the block; the kernel frees it when the process dies.

    A run from the command line holds it throughout, a step run by Dagster while it works. Inside one process it may be
    taken again: the steps of a run from the command line take it too.

    Raises:
        Busy: another process had it for all of `wait_seconds`; its process id is named.
        ConfigError: the home cannot be made or written to.
    """
    with _guard:
        again = home in _inside
        if again:
            _inside[home] += 1
    if again:
        try:
            yield
        finally:
            with _guard:
                _inside[home] -= 1
        return
    with _lock(home, "run.lock", wait_seconds, "Another run of {home} is at work (process {owner})."):
        with _guard:
            _inside[home] = 1
        try:
            yield
        finally:
            with _guard:
                del _inside[home]


@contextmanager
def inbox_lock(home: Path, wait_seconds: float) -> Iterator[None]:
    """Holds the right to take files out of the inbox into the ledger.

    Raises:
        Busy: somebody else took files for longer than `wait_seconds`.
    """
    with _lock(home, "inbox.lock", wait_seconds, "Process {owner} is taking the files of the inbox of {home} in."):
        yield


@contextmanager
def dev_lock(home: Path) -> Iterator[int]:
    """Holds the right to keep services up on a home; yields the descriptor, for a child that must hold it too.

    Raises:
        Busy: services of this home are up.
    """
    with _lock(home, "dev.lock", ASKING_SECONDS, "The services of {home} are up already (process {owner}).") as handle:
        yield handle


def run_at_work(home: Path) -> bool:
    """Whether a run from a command line holds the run lock of a home."""
    return _held(home / "run.lock")


def services_up(home: Path) -> bool:
    """Whether services are kept up on a home."""
    return _held(home / "dev.lock")


def _held(path: Path) -> bool:
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        return not _taken(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


@contextmanager
def _lock(home: Path, name: str, wait_seconds: float, busy: str) -> Iterator[int]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"The home {home} cannot be used: {error.strerror}.",
            hint="Set RECO_HOME to a folder you can write to.",
            settings=["RECO_HOME"],
        ) from error
    try:
        deadline = time.monotonic() + wait_seconds
        while not _taken(handle, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
                raise Busy(busy.format(home=home, owner=owner), hint="Wait for it to end, then try again.") from None
            time.sleep(POLL_SECONDS)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield handle
    finally:
        os.close(handle)


def _taken(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
