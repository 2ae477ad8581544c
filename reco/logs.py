"""Where log events go: to stderr, so that stdout holds nothing but results.

Belongs here: the one configuration of structlog. Does not belong here: any event.
"""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Events at or above `level` (debug, info, warning, error) go to stderr, one a line."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.dev.set_exc_info,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            # Plain, since the default one prints the local variables of every frame: headers with keys, customers.
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up with each event: whoever replaces stderr for a while gets the events of that while, and no others.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
