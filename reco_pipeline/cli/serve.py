"""The command that answers over HTTP.

Does not belong here: the service (`reco.api`).
"""

from typing import Annotated

import typer

from reco_pipeline.cli.output import print_json, say


def serve(
    workers: Annotated[
        int | None, typer.Option(min=1, max=64, help="Processes that answer; RECO_API_WORKERS if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Tell the address as one JSON object on stdout.")] = False,
) -> None:
    """Answer over HTTP from the current snapshot, until Ctrl-C.

    Example: reco serve --workers 2
    """
    import sys

    from reco.api.serve import serve as run
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.production import require_ready

    def ready(url: str) -> None:
        if as_json:
            print_json({"url": url})
        else:
            say(f"API at {url}/api/v1/ (documentation: {url}/docs, health: {url}/health/). Ctrl-C stops it.")
        sys.stdout.flush()

    settings = settings_of_command(uses_home=False)
    require_ready(settings)
    run(settings, ready, workers or settings.api_workers)
