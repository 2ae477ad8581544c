"""The locks of a home that commands and automation hold.

Belongs here: one run of a command line at a time, one taker of inbox files at a time, one `reco dev`; who uses a home,
so that a restore replaces nothing under them; refusing a home whose restore was cut short. Does not belong here: the
locks of the embedded server (`reco.local`) or of a publish (`reco.snapshot`), which guard other things.
"""

import errno
import fcntl
import itertools
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from reco.errors import BackupError, Busy, ConfigError

RESTORING = "restoring.json"
"""Stands in a home while a restore replaces its parts: what is there is of two times until it is gone."""
POLL_SECONDS = 0.05
# Whoever asks whether a lock is held holds it for a moment; that moment must not turn a command away.
ASKING_SECONDS = 0.5
USERS = "users"
_MAY_NOT_WRITE = (errno.EACCES, errno.EPERM, errno.EROFS)
_ANY_RESTORE = "reco backup restore --force"

_inside: dict[Path, int] = {}
_staying: dict[Path, AbstractContextManager[None]] = {}
_guard = threading.Lock()
_numbers = itertools.count()


def require_whole(home: Path) -> None:
    """Refuses a home whose parts may be of two times.

    Raises:
        BackupError: a restore of it was cut short; the hint names the command that finishes it.
    """
    try:
        text = (home / RESTORING).read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    command = _ANY_RESTORE
    with suppress(ValueError, KeyError, TypeError):  # cut off, or of an older version: any restore finishes it
        command = str(json.loads(text)["command"])
    raise BackupError(
        f"A restore of {home} was cut short: its parts may be of two times.",
        hint=f"Finish it with `{command}`: it begins anew and ends whole.",
        command=command,
    )


@contextmanager
def in_use(home: Path, who: str) -> Iterator[None]:
    """Keeps a restore from replacing a home for the length of the block; any number of users may hold it at once.

    A home that this account may not write to is only looked at: it holds nothing there that could be lost.

    Args:
        home: it is made where it is missing.
        who: what a restore that has to wait names, such as `reco serve`.

    Raises:
        Busy: a restore is at work.
        BackupError: one was cut short.
        ConfigError: the home cannot be made.
    """
    with _lock(home, "use.lock", ASKING_SECONDS, "A restore of {home} is at work (process {owner}).", shared=True):
        require_whole(home)
        with _named(home, who):
            yield


def stay_in_use(home: Path, who: str) -> None:
    """As `in_use`, until this process ends: for processes that others start and end.

    Raises:
        Busy, BackupError, ConfigError: see `in_use`.
    """
    with _guard:
        if home in _staying:
            return
        using = in_use(home, who)
        using.__enter__()
        _staying[home] = using


@contextmanager
def sole_use(home: Path, wait_seconds: float) -> Iterator[None]:
    """Holds a home alone for the length of the block; nobody else begins to use it.

    Raises:
        Busy: others use it and did not end within `wait_seconds`; `details["users"]` names them.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(_lock(home, "use.lock", wait_seconds, "{home} is in use."))
        except Busy as error:
            users = users_of(home)
            raise Busy(
                f"{home} is in use: {', '.join(users) or 'by a process that may not write to it'}.",
                hint="End what uses it, then try again.",
                users=users,
            ) from error
        yield


def users_of(home: Path) -> list[str]:
    """Who uses a home now, in words; what users that were killed have left is removed."""
    found = []
    for path in sorted((home / USERS).glob("*")):
        with suppress(FileNotFoundError):
            handle = os.open(path, os.O_RDWR)
            try:
                if _taken(handle, fcntl.LOCK_EX):
                    path.unlink()
                else:
                    found.append(path.read_text(encoding="utf-8"))
            finally:
                os.close(handle)
    return [one for one in found if one]


@contextmanager
def _named(home: Path, who: str) -> Iterator[None]:
    """Notes who uses a home. The lock is what counts; the note is for people."""
    path = home / USERS / f"{os.getpid()}-{next(_numbers)}"
    try:
        path.parent.mkdir(exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno not in _MAY_NOT_WRITE:
            raise
        yield
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.pwrite(handle, f"{who} (process {os.getpid()})".encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


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
def _lock(home: Path, name: str, wait_seconds: float, busy: str, *, shared: bool = False) -> Iterator[int]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = os.open(home / name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        if shared and error.errno in _MAY_NOT_WRITE:
            yield -1
            return
        raise ConfigError(
            f"The home {home} cannot be used: {error.strerror}.",
            hint="Set RECO_HOME to a folder you can write to.",
            settings=["RECO_HOME"],
        ) from error
    try:
        deadline = time.monotonic() + wait_seconds
        while not _taken(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                owner = os.pread(handle, 20, 0).decode(errors="replace").strip() or "unknown"
                raise Busy(busy.format(home=home, owner=owner), hint="Wait for it to end, then try again.") from None
            time.sleep(POLL_SECONDS)
        if not shared:
            with suppress(OSError):  # a full disk: the lock holds, and only its owner is not told
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
