"""Promise of the how-to guides: their commands, typed page by page in one shop, all work."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from reco.errors import DatabaseUnavailable
from reco_pipeline.cli.app import app
from reco_pipeline_tests.backup_shop import IDENTITY
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of
from reco_pipeline_tests.shop import ROOT
from scripts.pages import Step, steps

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
]
FOLDER = ROOT / "docs" / "howto"
PAGES = ("map-your-export", "schedule", "alert", "restore", "roll-back", "scale-out", "upgrade")


def test_the_guides_are_typed_here() -> None:
    """A new guide takes its place in this test, and every line of it that looks like a command is one."""
    assert {path.stem for path in FOLDER.glob("*.md")} == set(PAGES)
    for page in PAGES:
        text = (FOLDER / f"{page}.md").read_text(encoding="utf-8")
        assert sum(1 for step in steps(text) if step.command) == len(re.findall(r"^ *\$ ", text, re.MULTILINE)) > 0


def test_every_guide_works_as_it_is_written(
    tmp_path: Path, client: redis.Redis, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Typed in their order on one home that has published before; placeholders stand for what the shop has."""
    shutil.copy(ROOT / "docs" / "examples" / "depot.csv", tmp_path)
    for name, value in {
        "RECO_REDIS_URL": f"redis://127.0.0.1:{port_of(client)}/0",
        "RECO_NAMESPACE": "howto",
        "RECO_S3_BUCKET": server.bucket,
        "RECO_S3_ENDPOINT_URL": server.url,
        "RECO_BACKUP_IDENTITY": str(IDENTITY),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    early = b"\r\n".join((tmp_path / "depot.csv").read_bytes().split(b"\r\n")[:120])
    for page in PAGES:
        if page == "roll-back":  # a second drop, of orders that the first does not have
            (tmp_path / "late.csv").write_bytes(early.replace(b"\r\nH4", b"\r\nL4"))
            _reco("run --orders late.csv --source shop.toml")
        for step in steps((FOLDER / f"{page}.md").read_text(encoding="utf-8")):
            if step.file:
                (tmp_path / step.file).write_text(step.shown, encoding="utf-8")
            else:
                _type(step, tmp_path)
    monkeypatch.setenv("RECO_HOME", str(tmp_path / "stopped"))
    shutil.copytree(tmp_path / ".reco", tmp_path / "stopped")  # this very process still uses the other one
    _back_to_the_version_before(tmp_path / "stopped")


def _type(step: Step, folder: Path) -> None:
    words = step.command.replace("DROP", _key_of("late.csv") if "DROP" in step.command else "")
    if words.startswith("reco "):
        _reco(words.removeprefix("reco "))
    else:
        subprocess.run(["/bin/sh", "-c", words], cwd=folder, check=True, env=os.environ)


def _reco(words: str) -> str:
    done = CliRunner().invoke(app, shlex.split(words))
    assert done.exit_code == 0, (words, done.output, done.exception)
    return done.stdout


def _key_of(name: str) -> str:
    drops = json.loads(_reco("drops list --json"))["drops"]
    return str(next(drop["key"] for drop in drops if drop["name"] == name))


def _back_to_the_version_before(home: Path) -> None:
    """The guide on upgrades: a database that a newer version has opened is refused, and replaced by a restore."""
    backup = json.loads(_reco("backup list --json"))["backups"][0]["backup_id"]
    (database,) = home.glob("*.sqlite")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE reco_alembic_version SET version_num = '9999'")
    connection.close()
    refused = CliRunner().invoke(app, ["status"])
    assert isinstance(refused.exception, DatabaseUnavailable), refused.output
    assert "was made by a newer reco" in str(refused.exception)
    _reco(f"backup restore --id {backup} --force")
    assert _key_of("depot.csv").startswith("depot-")
