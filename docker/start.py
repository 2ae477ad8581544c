"""What every container of ours starts with: the folder of Dagster for the settings, then the command of the role.

Belongs here: what must be there before Dagster's own programs start, which do not know our settings, and that they do
not start without a graph: a code server would stay up, take connections and count as healthy. Does not belong
here: what Dagster is told (`reco_pipeline.instance`), or where its records lie (RECO_DAGSTER_DATABASE_URL).

A command that starts later, beside the role (a health check, `docker compose exec`), needs none of this: the folder is
there then, and DAGSTER_HOME names it.
"""

import os
import sys


def prepare_dagster() -> None:
    """Writes `dagster.yaml` where there is none, or an older one of ours, as `reco config dagster` does."""
    from reco.errors import RecoError  # noqa: PLC0415 - the API and the stores must not wait for it
    from reco.settings import load_settings  # noqa: PLC0415
    from reco_pipeline.instance import dagster_home  # noqa: PLC0415

    try:
        os.environ["DAGSTER_HOME"] = str(dagster_home(load_settings().home))
    except RecoError as error:
        sys.exit(f"{sys.argv[1]} does not start: {error}")


def require_graph() -> None:
    """Ends here, with the reason, where the settings are none that the graph can be loaded with."""
    from reco.errors import RecoError  # noqa: PLC0415 - as above

    try:
        import reco_pipeline.definitions  # noqa: F401, PLC0415 - that it can be
    except RecoError as error:
        sys.exit(f"{sys.argv[1]} does not start: {error}")


def main() -> None:
    """Prepares a role that works with Dagster, then becomes the command."""
    if "RECO_DAGSTER_DATABASE_URL_FILE" in os.environ:
        prepare_dagster()
    if sys.argv[1:3] == ["dagster", "code-server"]:
        require_graph()
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command of the role, from compose.yaml


if __name__ == "__main__":
    main()
