"""The `reco` command.

Belongs here: arguments, the text people read, exit codes. Does not belong here: any work. Each command imports what it
needs when it runs, so that `reco similar --help` loads no Dagster.
"""

import sys


def main() -> None:
    """Runs the command line and leaves with its exit code."""
    from reco_pipeline.guard import check_top_level_packages
    from reco_pipeline.cli.boundary import guarded

    def start() -> int:
        check_top_level_packages()
        from reco_pipeline.cli.app import app

        return int(app(standalone_mode=False) or 0)

    sys.exit(guarded(start))
