"""The edge of the command line: every error becomes a message with a next step and an exit code.

Belongs here: that translation and the handling of signals. Does not belong here: any command.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

import click

from reco.errors import RecoError

INTERRUPTED = 130
TERMINATED = 143


def guarded(start: Callable[[], int]) -> int:
    """Runs `start` and returns the exit code; an error of ours is told in one sentence and its next step."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return start()
    except RecoError as error:
        _tell(error)
        return error.exit_code
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        print("Interrupted: nothing half done is kept, the next run takes over.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`reco popular | head`): nothing is wrong. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    # As an exception, so that leases are given back and an embedded server without users is stopped.
    raise SystemExit(TERMINATED)


def _tell(error: RecoError) -> None:
    if "--json" in sys.argv:
        body = {"code": error.code, "message": error.message, "hint": error.hint, "details": error.details}
        print(json.dumps({"error": body}, ensure_ascii=False, default=str))
        return
    print(f"error: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  next: {error.hint}", file=sys.stderr)
