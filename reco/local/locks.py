"""File locks that decide who may start and stop the embedded server of a home.

Belongs here: taking, sharing and dropping `flock` locks, in threads and across fork. Does not belong here: what a lock
protects, or any process handling.

`flock` belongs to an open file description: two opens exclude each other even inside one process, so leases need no
counter, and the kernel drops every lock of a process that dies. A forked child shares the descriptions of its parent:
for a seat that is wanted, since the lock lasts until both have closed it; for the other locks a fork hook undoes it.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.02
EXEC_SECONDS = 0.01

_guard = threading.Lock()
_transient: set[int] = set()


class LockTimeout(Exception):
    """Another process held the lock for longer than we were ready to wait."""


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _try_flock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class HeldLock:
    """An exclusive lock, held until closed by us and by every process we handed the descriptor to."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def fileno(self) -> int:
        """The descriptor, to hand to a child."""
        return self._handle

    def close(self) -> None:
        """Drops our share of the lock; closing twice is harmless."""
        with _guard:
            if self._handle in _transient:
                _transient.remove(self._handle)
                os.close(self._handle)
        self._handle = -1


def try_exclusive(path: Path) -> HeldLock | None:
    """Takes the exclusive lock of a file now, or returns None because someone else holds it."""
    with _guard:
        handle = _open(path)
        _transient.add(handle)
    lock = HeldLock(handle)
    taken = False
    try:
        taken = _try_flock(handle, fcntl.LOCK_EX)
    finally:
        if not taken:
            lock.close()
    return lock if taken else None


@contextmanager
def exclusive(path: Path, wait_seconds: float) -> Iterator[None]:
    """Holds the exclusive lock of a file for the block.

    Raises:
        LockTimeout: it was not free within `wait_seconds`.
    """
    deadline = time.monotonic() + wait_seconds
    while (lock := try_exclusive(path)) is None:
        if time.monotonic() >= deadline:
            raise LockTimeout(str(path))
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        lock.close()


class Seat:
    """A shared lock: one user of the server, and its forked children, until each of them has left."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle = _open(path)
        try:
            fcntl.flock(self._handle, fcntl.LOCK_SH)
        except BaseException:  # also Ctrl-C: the file must not stay open; raised again
            self.close()
            raise

    @property
    def taken(self) -> bool:
        """Whether this seat is still held."""
        return self._handle >= 0

    def give_up(self) -> bool:
        """Gives the seat up and returns whether it was the last one.

        It is asked through a fresh description, since a forked child that has not left holds ours; and asked twice,
        because a child on its way to another program, started by another thread, holds a copy for about a millisecond
        and is no user.
        """
        self.close()
        for pause in (0.0, EXEC_SECONDS):
            time.sleep(pause)
            held = try_exclusive(self.path)
            if held is not None:
                held.close()
                return True
        return False

    def is_alone(self) -> bool:
        """Whether no other process has a seat, for a lock file that is no longer at its path.

        A seat that is not alone is given up by asking. Forked children are not seen.
        """
        return _try_flock(self._handle, fcntl.LOCK_EX)

    def is_current(self) -> bool:
        """Whether the lock file is still the one at its path: a home that was removed has another one, or none."""
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self._handle))
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Gives the seat up; closing twice is harmless."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def _after_fork_in_child() -> None:
    # Locks that a thread of the parent was just using are not ours: keeping them would hold the gate for our lifetime.
    for handle in _transient:
        os.close(handle)
    _transient.clear()
    _guard.release()


os.register_at_fork(before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_after_fork_in_child)
