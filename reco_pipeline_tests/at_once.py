"""Several processes that do the same at once.

Belongs here: starting them and waiting for what they return. Not `multiprocessing.Pool`, which ends its processes by a
signal and then waits for ever for one that missed it.
"""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def at_once(function: Callable[[str], T], argument: str, processes: int = 3) -> list[T]:
    """What each of the processes returns; an error of one is raised here."""
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(function, [argument] * processes))
