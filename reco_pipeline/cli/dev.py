"""The command that keeps everything up: dev.

Does not belong here: the services themselves (`reco_pipeline.dev`).
"""

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from reco_pipeline.cli.output import say

TERMINATED = 143


def dev(
    once: Annotated[bool, typer.Option("--once", help="Stop as soon as everything is up.")] = False,
) -> None:
    """Keep everything up until Ctrl-C: Dagster UI and daemon, embedded Redis server, API.

    New files of the inbox are then processed by themselves, and a service that ends by itself is started again.

    Example: reco dev
    """
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.dev import services, watch

    settings = settings_of_command(uses_home=False)
    signal.signal(signal.SIGHUP, _hang_up)
    _line(f"Starting on {settings.home}.")
    try:
        with services(settings, _line) as running:
            _line(f"Ready. Order files put into {settings.inbox_place} are processed by themselves. Ctrl-C stops.")
            if not once:
                watch(running, settings, _line)
            _line("Stopping.")
    except KeyboardInterrupt:
        _line("Stopped.")


def _line(text: str) -> None:
    say(text)
    sys.stdout.flush()


def _hang_up(_signal: int, _frame: FrameType | None) -> None:
    # The terminal was closed: as for TERM, the services go too.
    raise SystemExit(TERMINATED)
