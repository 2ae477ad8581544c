"""A lake that kills its process, for tests of what a kill leaves behind.

Belongs here: dying at a chosen place. Does not belong here: what is expected afterwards.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reco.orders.home import Home
from reco.orders.ledger import DropLedger
from reco.orders.pseudonyms import Pseudonyms
from reco.settings import Settings
from reco.storage.lake import Lake


class KilledLake(Lake):
    """A lake whose process dies before its n-th table is replaced, or just after."""

    def __init__(self, root: Path, at: int, *, after: bool) -> None:
        super().__init__(root)
        self._left, self._after = at, after

    @contextmanager
    def replace(self, table: str, part: str | None = None) -> Iterator[Path]:
        """As `Lake.replace`, until it is time."""
        self._left -= 1
        last = self._left == 0
        with super().replace(table, part) as path:
            yield path
            if last and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)


def home_of(home: Path, engine: sa.Engine, lake: Lake) -> Home:
    """The home in a folder, on this database and lake."""
    settings = Settings(home=home)
    return Home(settings, lake, DropLedger(engine, lake, Pseudonyms.of_home(settings)))


def run_until_killed(target: Callable[..., None], *arguments: Any, **named: Any) -> None:
    """Runs a function of a test module in a process of its own, which has to be killed."""
    process = multiprocessing.get_context("spawn").Process(target=target, args=arguments, kwargs=named)
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
