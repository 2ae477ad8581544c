"""The edge of the command line: every error becomes a message with a next step and an exit code.

Belongs here: that translation and the handling of signals. Does not belong here: any command.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import click

from reco.errors import RecoError
from reco_pipeline.cli.output import complain, print_json

INTERRUPTED = 130
UNEXPECTED = 1


def guarded(start: Callable[[], int]) -> int:
    """Runs `start` and returns the exit code; an error is told in one sentence and its next step."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    try:
        return start()
    except RecoError as error:
        _tell(error)
        return error.exit_code
    except (click.exceptions.Exit, click.ClickException) as error:
        return _leave(error)
    except (KeyboardInterrupt, click.Abort):
        complain("Interrupted: nothing half done is kept, the next run takes over.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`reco popular | head`): nothing is wrong. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001 - the boundary: a defect of ours is told as one, with its trace
        return _confess(error)


def _leave(error: click.exceptions.Exit | click.ClickException) -> int:
    if isinstance(error, click.ClickException):
        if _as_json():
            print_json(_as_object("usage", error.format_message(), "See --help.", {}))
        else:
            error.show()
    return error.exit_code


def _confess(error: Exception) -> int:
    traceback.print_exception(error)
    if _as_json():
        print_json(_as_object("defect", f"{type(error).__name__}: {error}", "Report the trace on stderr.", {}))
    else:
        complain("error: this is a defect of reco; the lines above say where.")
    return UNEXPECTED


def _terminate(number: int, _frame: FrameType | None) -> None:
    # As an exception, so that leases are given back and an embedded server without users is stopped.
    raise SystemExit(128 + number)


def _as_json() -> bool:
    return "--json" in sys.argv


def _as_object(code: str, message: str, hint: str, details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "hint": hint, "details": details}}


def _tell(error: RecoError) -> None:
    if _as_json():
        print_json(_as_object(error.code, error.message, error.hint, error.details))
        return
    for drop in error.details.get("drops", ()):
        if drop["error"]:
            complain(f"failed: {drop['error']}")
        elif drop["lines_quarantined"]:
            counts = f"{drop['lines_quarantined']:,} of {drop['lines_read']:,} lines quarantined"
            complain(f"{drop['name']}: {counts}")
    for reason, lines in error.details.get("reasons", {}).items():
        complain(f"  {reason}: {lines:,} lines")
    complain(f"error: {error.message}")
    if error.hint:
        complain(f"  next: {error.hint}")
