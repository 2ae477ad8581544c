"""Promise of docs/tutorial.md: its commands, typed in its order, print what it shows, and bring back what was lost."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.newcomer import PAGE, SETUP, walk
from reco_pipeline_tests.shop import RECO, ROOT
from scripts.pages import steps

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_tutorial_works_as_it_is_written(tmp_path: Path) -> None:
    """Each command, file and service of the page, in a folder like a clone; only the set-up was done before."""
    if shutil.which("curl") is None:
        pytest.skip("the page asks the API with curl, which is not installed")
    clone = tmp_path / "reco-pipeline"
    clone.mkdir()
    (clone / "docs").symlink_to(ROOT / "docs")
    (clone / ".venv").symlink_to(RECO.parents[1])
    page = [
        replace(one, command="reco run") if one.command == SETUP else one
        for one in steps(PAGE.read_text(encoding="utf-8"))
    ]
    seconds = walk(clone, page)
    assert [section[:1] for section in seconds] == ["1", "2", "3", "4", "5"]
    assert not (clone / ".reco" / "restoring.json").exists()
