"""Where log events go: to stderr, so that stdout holds nothing but results.

Belongs here: the one configuration of structlog. Does not belong here: any event.
"""

import logging
import sys
from collections.abc import Sequence
from typing import Any

import structlog

from reco import __version__
from reco.settings import Settings


def configure_logs(level: str, form: str = "text") -> None:
    """Events at or above `level` (debug, info, warning, error) go to stderr, a line each: as `text` or `json`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.dev.set_exc_info,
            *(_JSON if form == "json" else _TEXT),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up with each event: whoever replaces stderr for a while gets the events of that while, and no others.
        # A line is one write, so that lines of several processes do not run into one another.
        logger_factory=lambda *_: structlog.WriteLogger(sys.stderr),
    )


def log_format(settings: Settings) -> str:
    """The form of log events in effect: programs read those of production."""
    return settings.log_format or ("json" if settings.profile == "production" else "text")


def _service(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    return event | {"service": "reco", "version": __version__}


_TEXT: Sequence[Any] = (
    structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
    # Plain, since the default one prints the local variables of every frame: headers with keys, customers.
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
)
_JSON: Sequence[Any] = (
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
    _service,
    structlog.processors.format_exc_info,  # plain too, for the same reason
    structlog.processors.JSONRenderer(ensure_ascii=False),
)
