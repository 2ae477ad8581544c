"""A small shop for tests of the whole: its home, its order files and the `reco` command as people start it.

Belongs here: builders with defaults. Does not belong here: any claim.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECO = Path(sys.executable).with_name("reco")
PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout; fails where there is anything else."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Shop:
    """One home and the folder its order files come from."""

    home: Path
    files: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What a command of this shop finds in its environment."""
        fixed = {"RECO_HOME": str(self.home), "DAGSTER_DISABLE_TELEMETRY": "1"}
        return os.environ | fixed | database_of(self.home) | dict(self.settings)

    def write(self, name: str, text: str | bytes) -> Path:
        """A file of these bytes in the folder of order files."""
        path = self.files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def orders(self, name: str, baskets: Mapping[str, Iterable[str]]) -> Path:
        """A file of `order_id,item_name` lines, one a basket and item."""
        lines = [f"{order},{item}" for order, items in baskets.items() for item in items]
        return self.write(name, "\n".join(["order_id,item_name", *lines]) + "\n")

    def reco(self, *arguments: str | Path, cwd: Path | None = None) -> Finished:
        """Runs the installed command and waits for its end."""
        done = subprocess.run(
            [str(RECO), *map(str, arguments)],
            env=self.environment,
            cwd=cwd or self.files,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Finished(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts the installed command in a process group of its own, as a terminal does."""
        return subprocess.Popen(
            [str(RECO), *map(str, arguments)],
            env=self.environment,
            cwd=self.files,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def database_of(home: Path) -> dict[str, str]:
    """The setting that leads a command to the database of a home, where the tests run on Postgres."""
    on_postgres = sys.modules.get("reco_pipeline_tests.on_postgres")
    return on_postgres.environment_of(home) if on_postgres else {}


def new_shop(folder: Path, **settings: str) -> Shop:
    """A shop that has never seen a drop."""
    files = folder / "exports"
    files.mkdir(parents=True)
    return Shop(folder / "home", files, settings)
