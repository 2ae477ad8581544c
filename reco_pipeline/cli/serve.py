"""The command that answers over HTTP.

Does not belong here: the service (`reco.api`).
"""

from typing import Annotated

import typer

from reco_pipeline.cli.output import print_json, say


def serve(
    as_json: Annotated[bool, typer.Option("--json", help="Tell the address as one JSON object on stdout.")] = False,
) -> None:
    """Answer over HTTP from the current snapshot, until Ctrl-C.

    Example: reco serve
    """
    import sys

    from reco.api.serve import serve as run
    from reco_pipeline.cli.start import settings_of_command

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url})
        else:
            say(f"API at {url}/api/v1/ (documentation: {url}/docs, health: {url}/health/). Ctrl-C stops it.")
        sys.stdout.flush()

    run(settings_of_command(), ready)
