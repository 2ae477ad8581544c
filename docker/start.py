"""What every container of ours starts with: where Dagster keeps its runs, then the command of the role.

Belongs here: what a role needs before its command that no setting of `reco` can say. Does not belong here: settings of
`reco` (environment and secret files), or what Dagster does with its runs (`reco_pipeline.instance`).

Dagster reads a secret from its environment or from nowhere. So the URL of its database comes from the file that
DAGSTER_POSTGRES_URL_FILE names, and stands in no image and in nothing that `docker inspect` shows.
"""

import os
import sys
from pathlib import Path

URL = "DAGSTER_POSTGRES_URL"
STORAGE = f"""\
storage:
  postgres:
    postgres_url: {{env: {URL}}}
"""


def prepare_dagster(home: Path, secret: Path) -> None:
    """Writes `dagster.yaml` as `reco` does for one machine, but with its storage in Postgres."""
    from reco_pipeline.instance import DAGSTER_YAML  # noqa: PLC0415 - the API and the store must not wait for it

    os.environ[URL] = secret.read_text(encoding="utf-8").strip()
    config, text = home / "dagster.yaml", DAGSTER_YAML + STORAGE
    home.mkdir(parents=True, exist_ok=True)
    if not config.exists() or config.read_text(encoding="utf-8") != text:
        whole = home / f".dagster.yaml.{os.getpid()}"
        whole.write_text(text, encoding="utf-8")
        whole.replace(config)


def main() -> None:
    """Prepares, then becomes the command."""
    secret = os.environ.get(f"{URL}_FILE")
    if secret:
        prepare_dagster(Path(os.environ["DAGSTER_HOME"]), Path(secret))
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - the command of the role, from compose.yaml


if __name__ == "__main__":
    main()
