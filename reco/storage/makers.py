"""Whose a temporary name is: every one in the lake holds the process that made it.

Belongs here: making that part of a name, and judging by it whether a writer is gone. Does not belong here: where
temporary names lie and their removal (`lake`).

Process ids mean something in one namespace of them only: in the next container another process has the same id, or
none. So the name holds the namespace too. The kernel gives the number of a namespace to one at a time.
"""

import datetime as dt
import os
import re
from pathlib import Path

UNWRITTEN_FOR = dt.timedelta(days=1)
"""What another container made may be written to; a day without a write later its writer is gone."""
NAMESPACE = Path("/proc/self/ns/pid")
_MAKER = re.compile(r"\.(\d+)-(\d+)(?=\.)")


def maker(pid: int | None = None) -> str:
    """The part of a temporary name that says who made it; this process unless another of its namespace is named."""
    return f"{os.getpid() if pid is None else pid}-{_namespace()}"


def is_left(path: Path, now: dt.datetime) -> bool:
    """Whether nobody writes a temporary file or folder any more; a process id that was used again only delays it."""
    found = _MAKER.findall(path.name)
    pid, namespace = found[-1] if found else ("", "")
    if namespace != str(_namespace()):
        return _written(path) < (now - UNWRITTEN_FOR).timestamp()
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False


def _namespace() -> int:
    try:
        return NAMESPACE.stat().st_ino
    except OSError:
        return 0  # a system without namespaces


def _written(path: Path) -> float:
    """When something was last written there, in seconds; what goes meanwhile counts as written now."""
    inside = path.rglob("*") if path.is_dir() else ()
    try:
        return max([path.lstat().st_mtime, *(one.lstat().st_mtime for one in inside)])
    except FileNotFoundError:
        return float("inf")
