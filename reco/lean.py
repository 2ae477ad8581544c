"""Importing a library without the optional ones it would drag along.

Belongs here: that one means. Does not belong here: libraries of ours.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType


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
