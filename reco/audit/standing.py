"""A check that fails now, as screens and alerts show it.

Belongs here: its form. Does not belong here: asking for it (`assets.checks.standing`).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class FailingCheck:
    """A check whose newest execution failed, or could not be ended; `at` is when, in seconds since 1970."""

    asset: str
    check: str
    weight: str
    message: str
    at: float
