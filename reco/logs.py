"""Where log events go: to stderr, so that stdout holds nothing but results.

Belongs here: the one configuration of structlog. Does not belong here: any event.
"""

import logging
import sys

import structlog


def configure_logs(level: str) -> None:
    """Events at or above `level` (debug, info, warning, error) go to stderr, one a line."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # Looked up with each event: whoever replaces stderr for a while gets the events of that while, and no others.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
