"""A circuit breaker: what fails is left alone for a while, then tried by one call before all may use it again.

Belongs here: when a dependency may be asked. Does not belong here: asking it.

For one event loop, and without a lock or an await: it is passed by every request. While a try is under way all others
are told not to ask, so that a server that hangs delays one request a pause, and not each of those that come together.
"""

import math
import time
from collections.abc import Callable
from enum import IntEnum


class State(IntEnum):
    """As the metric tells it."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Whether a dependency may be asked. `told` hears each change of the state."""

    def __init__(
        self,
        pause_seconds: float,
        told: Callable[[State], object] = lambda _state: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause_seconds = pause_seconds
        self._told = told
        self._clock = clock
        self._again_at = -math.inf
        self.state = State.CLOSED

    def may_ask(self) -> bool:
        """Whether to ask now. Who gets yes must say `answered` or `failed` afterwards."""
        if self.state is State.CLOSED:
            return True
        if self.state is State.HALF_OPEN or self._clock() < self._again_at:
            return False
        self._turn(State.HALF_OPEN)
        return True

    def answered(self) -> None:
        """It works."""
        if self.state is not State.CLOSED:
            self._turn(State.CLOSED)

    def failed(self) -> None:
        """It does not: nobody asks until the pause is over."""
        self._again_at = self._clock() + self._pause_seconds
        self._turn(State.OPEN)

    def _turn(self, state: State) -> None:
        self.state = state
        self._told(state)
