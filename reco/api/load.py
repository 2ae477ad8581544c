"""Too much to do: what is not answered, so that the rest is answered in time.

Belongs here: when a request is refused or given up for lack of time. Does not belong here: the limit of one caller
(`limits`).

A request is refused when it has waited for its turn longer than answers should take, or when too many are under way:
whoever asked is better served by a quick 503 and its own fallback than by a late answer, and the queue stays short. A
request that takes longer than its budget, such as one whose body never comes, is given up. What tells how the service
is must be answered above all when there is too much to do, and is never refused.
"""

import asyncio
import time

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reco.api.metrics import SHED, Metrics
from reco.api.problems import problem

WAITED_SECONDS = 0.25
IN_FLIGHT = 256
BUDGET_SECONDS = 10.0
RETRY_SECONDS = 1
_ALWAYS = frozenset({"/livez", "/readyz", "/health", "/health/", "/metrics"})
_WAITED, _IN_FLIGHT, _TIME_OVER = SHED


def never_refused(path: str) -> bool:
    """Whether this path is answered whatever there is to do."""
    return path in _ALWAYS


class Load:
    """Keeps the work of one process within bounds.

    The server tells when the first byte of a request was read (`reco.arrived_at`); without it nothing has waited.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        waited_seconds: float = WAITED_SECONDS,
        in_flight: int = IN_FLIGHT,
        budget_seconds: float = BUDGET_SECONDS,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._waited_seconds = waited_seconds
        self._most = in_flight
        self._budget_seconds = budget_seconds
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes on, or answers 503."""
        if scope["type"] != "http" or never_refused(scope["path"]):
            await self._app(scope, receive, send)
            return
        waited = time.perf_counter() - scope.get("reco.arrived_at", float("inf"))
        reason = _WAITED if waited > self._waited_seconds else _IN_FLIGHT if self._in_flight >= self._most else None
        if reason is not None:
            self._metrics.shed.labels(reason).inc()
            await _too_much()(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._within_budget(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _within_budget(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def remember(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        budget = asyncio.timeout(self._budget_seconds)
        try:
            async with budget:
                await self._app(scope, receive, remember)
        except TimeoutError:
            if started or not budget.expired():
                raise  # half an answer is out, or it is an error of the route itself
            self._metrics.shed.labels(_TIME_OVER).inc()
            late = problem(
                503,
                "time_over",
                f"The request was not done within {self._budget_seconds:g} seconds.",
                headers={"Retry-After": str(RETRY_SECONDS)},
                hint="Send the whole body at once, and try again.",
            )
            await late(scope, receive, send)


def _too_much() -> Response:
    return problem(
        503,
        "overloaded",
        "There is more to do than can be done in time.",
        headers={"Retry-After": str(RETRY_SECONDS)},
        hint="Try again a little later, and each time after a longer pause.",
    )
