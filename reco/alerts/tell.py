"""Telling an alert: as one structured log event.

Belongs here: the channels. Does not belong here: when to tell, or what led to it.
"""

from dataclasses import asdict, dataclass

import structlog

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Alert:
    """What a person on duty needs: what happened, to what, why, and the next step."""

    what: str
    subject: str
    reason: str
    next_step: str


def tell(alert: Alert) -> None:
    """Sends an alert to every channel there is."""
    log.error(alert.what, **{name: value for name, value in asdict(alert).items() if name != "what"})
