"""The `reco` command.

Belongs here: arguments, the text people read, exit codes. Does not belong here: any work. Each command imports what it
needs when it runs, so that `reco similar --help` loads no Dagster.
"""

import sys

from reco_pipeline.guard import check_top_level_packages

USAGE = 2


def command() -> None:
    """The process of the command line: runs it and leaves with its exit code."""
    try:
        from reco.lean import run_process
    except ImportError:
        _say_what_hides_us()
        raise
    run_process(main)


def main() -> int:
    """Runs the command line; returns its exit code."""
    try:
        from reco_pipeline.cli.boundary import guarded
    except ImportError:
        _say_what_hides_us()
        raise
    return guarded(_start)


def _start() -> int:
    check_top_level_packages()
    from reco_pipeline.cli.app import app

    return int(app(standalone_mode=False) or 0)


def _say_what_hides_us() -> None:
    """Ends the command where another package hides `reco` itself, so that not even our errors can be imported."""
    try:
        check_top_level_packages()
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(USAGE)
