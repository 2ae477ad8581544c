"""How long work tells whoever watches how far it is.

Belongs here: the one channel between a stage and a listener. Does not belong here: how progress is drawn.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report(stage: str, done: int, total: int) -> None:
    """Tells the listener, if there is one, that `done` of `total` units of a stage are done."""
    if (listener := _listener.get()) is not None:
        listener(stage, done, total)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Reports the beginning and the end of a stage that has no units of its own."""
    report(name, 0, 1)
    yield
    report(name, 1, 1)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Sends every report made inside the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
