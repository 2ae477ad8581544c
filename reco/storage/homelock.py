"""One run at a time in a home.

Belongs here: the lock that a run started from a command line holds. Does not belong here: the locks of the embedded
server (`reco.local`) or of a publish (`reco.snapshot`), which guard other things.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reco.errors import Busy, ConfigError


@contextmanager
def home_lock(home: Path) -> Iterator[None]:
    """Holds the run lock of a home for the length of the block; the kernel frees it when the process dies.

    Raises:
        Busy: another run of this home is at work; its process id is named.
        ConfigError: the home cannot be made or written to.
    """
    path = home / "run.lock"
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigError(
            f"The home {home} cannot be used: {error.strerror}.",
            hint="Set RECO_HOME to a folder you can write to.",
            settings=["RECO_HOME"],
        ) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
            raise Busy(
                f"Another run of {home} is at work (process {owner}).", hint="Wait for it to end, then run again."
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)
