"""What the product defines and never uses: functions, classes, methods, attributes and constants.

    python scripts/dead_code.py

Exit code 1 where something is unused that `ALLOWED` does not name, or where `ALLOWED` names what is used or gone.
Fields of records and documents are not looked at: they are read by name, from JSON, tables and templates. A use by
tests alone is none.
"""

import ast
import sys
from pathlib import Path

from vulture import Vulture

PATHS = ["reco", "resources", "assets", "reco_pipeline", "benchmarks", "docker", "scripts"]
EXCLUDED = ["*/migrations/versions/*"]  # Alembic calls its versions by path
CALLED_BY_OTHERS = [
    "@*.callback*",  # typer
    "@*.command*",  # typer
    "@*_validator*",  # pydantic
    "@app.*",  # FastAPI
    "@router.*",  # FastAPI
    "@dg.*",  # Dagster
]
ALLOWED = {
    "benchmarks/client.py:connection_lost": "called by asyncio",
    "benchmarks/client.py:connection_made": "called by asyncio",
    "benchmarks/client.py:data_received": "called by asyncio",
    "reco/api/paths.py:convert": "Starlette's word for a path parameter",
    "reco/api/paths.py:to_string": "see above",
    "reco/api/serve.py:should_exit": "read by uvicorn",
    "reco/api/worker.py:Arrival": "named by PROTOCOL, loaded by uvicorn",
    "reco/api/worker.py:application": "named by APPLICATION, loaded by uvicorn",
    "reco/api/worker.py:handlers": "of the standard library's logging",
    "reco/api/worker.py:send_400_response": "called by uvicorn",
    "reco/orders/sample.py:sample_rows": "the sample as rows, for those who import it",
    "reco/settings.py:dotenv_settings": "the signature is pydantic's",
    "reco/settings.py:file_secret_settings": "see above",
    "reco/settings.py:settings_customise_sources": "called by pydantic",
    "reco/storage/sql.py:process_bind_param": "called by SQLAlchemy",
    "reco/storage/sql.py:process_result_value": "called by SQLAlchemy",
    "reco_pipeline/cli/controls.py:__annotations__": "read by typer",
    "reco_pipeline/cli/controls.py:__signature__": "see above",
    "reco_pipeline/cli/options.py:default_map": "read by click",
    "reco_pipeline/cli/output.py:on_broken_pipe": "called by rich",
    "reco_pipeline/dagster_storage.py:PostgresOfSettings": "named in dagster.yaml",
    "reco_pipeline/dagster_storage.py:config_type": "called by Dagster",
    "reco_pipeline/dagster_storage.py:config_value": "see above",
    "reco_pipeline/dagster_storage.py:from_config_value": "see above",
    "scripts/site.py:on_config": "called by MkDocs",
    "scripts/site.py:on_files": "see above",
    "scripts/site.py:on_page_content": "see above",
    "scripts/site.py:on_page_markdown": "see above",
}


def main() -> int:
    """Tells what is unused; returns the exit code."""
    look = Vulture(ignore_decorators=CALLED_BY_OTHERS)
    look.scavenge(PATHS, exclude=EXCLUDED)
    found = {}
    for one in look.get_unused_code(min_confidence=60):
        path = Path(one.filename).resolve().relative_to(Path.cwd())
        if one.typ != "variable" or one.first_lineno not in fields_of(path):
            found[f"{path}:{one.name}"] = one.first_lineno
    for name in sorted(found.keys() - ALLOWED.keys()):
        module, _, word = name.partition(":")
        print(f"{module}:{found[name]}: {word} is never used. Delete it, or name in scripts/dead_code.py who calls it.")
    for name in sorted(ALLOWED.keys() - found.keys()):
        print(f"scripts/dead_code.py: {name} is used, or gone. Take it out of ALLOWED.")
    return int(found.keys() != ALLOWED.keys())


def fields_of(path: Path) -> set[int]:
    """The lines on which classes of a module have their fields and constants."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {one.lineno for each in classes for one in each.body if isinstance(one, ast.Assign | ast.AnnAssign)}


if __name__ == "__main__":
    sys.exit(main())
