"""Starting and ending quickly: imports without optional libraries, fewer collections, no freeing of every object.

Belongs here: these means. Does not belong here: libraries of ours.
"""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

_SPINNING = ("OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS")


class _Absent:
    """A finder to which these packages are not installed."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raises for an absent package; leaves any other to the next finder."""
        del path, target
        if name.partition(".")[0] in self._packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """What is imported inside the block finds these packages not installed, unless they are imported already.

    For a library that works without an optional one and yet imports it whenever it is there, at half a second or more.
    Not for threads that import at the same time.
    """
    finder = _Absent(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def run_process(main: Callable[[], int]) -> None:
    """Runs `main` as all that this process does, and ends it with the exit code `main` returns.

    The cyclic collector waits for 200,000 new objects instead of 700: importing makes as many that stay, and looking
    them through again and again took a twentieth of the CPU of a command. Libraries keep no threads that wait for work
    in a busy loop, which took a tenth (a setting of the user stands): what is worth both cores we share out ourselves.
    And the process ends like one that has ended: threads are joined, exit handlers run, what was printed is out; only
    the freeing of every object, which took a tenth, is left to the system.
    """
    gc.set_threshold(200_000, 20, 50)
    for name in _SPINNING:
        os.environ.setdefault(name, "1")
    code: int | None = None

    def end() -> None:
        if code is None:
            return  # an error is on its way: Python tells it
        try:
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:  # it is None where the process was started without it
                    stream.flush()
        except (OSError, ValueError):
            return  # the reader has gone: Python has its own end for that
        os._exit(code)

    atexit.register(end)  # the first to be registered is the last to run
    code = main()
    sys.exit(code)
