"""One run at a time in a home.

Belongs here: the lock that a run from the command line holds throughout, and a step run by Dagster while it works. Does
not belong here: the locks of the embedded server (`reco.local`) or of a publish (`reco.snapshot`), which guard other
things.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reco.errors import Busy, ConfigError

_POLL_SECONDS = 0.2
_held: dict[Path, int] = {}
_guard = threading.Lock()


@contextmanager
def home_lock(home: Path, *, wait_seconds: float = 0) -> Iterator[None]:
    """Holds the run lock of a home for the length of the block; the kernel frees it when the process dies.

    Inside one process it may be taken again: a run from the command line executes steps that take it too.

    Raises:
        Busy: another process had it for all of `wait_seconds`; its process id is named.
        ConfigError: the home cannot be made or written to.
    """
    with _guard:
        inner = home in _held
        if inner:
            _held[home] += 1
    if inner:
        try:
            yield
        finally:
            with _guard:
                _held[home] -= 1
        return
    handle = _open(home)
    try:
        _take(handle, home, wait_seconds)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        with _guard:
            _held[home] = 1
        try:
            yield
        finally:
            with _guard:
                del _held[home]
    finally:
        os.close(handle)


def _open(home: Path) -> int:
    try:
        home.mkdir(parents=True, exist_ok=True)
        return os.open(home / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"The home {home} cannot be used: {error.strerror}.",
            hint="Set RECO_HOME to a folder you can write to.",
            settings=["RECO_HOME"],
        ) from error


def _take(handle: int, home: Path, wait_seconds: float) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
                continue
            owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            raise Busy(
                f"Another run of {home} is at work (process {owner}).", hint="Wait for it to end, then run again."
            ) from None
        return
