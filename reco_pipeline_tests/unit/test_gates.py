"""Promises of the gates of `make lint` and `make audit`: each finds what it is there for."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from reco_pipeline_tests.shop import ROOT


def script(name: str) -> ModuleType:
    """A script of scripts/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_a_key_in_a_file_is_found(tmp_path: Path) -> None:
    """Of a real service by its form, wherever; a password made up for a test in tests is none."""
    secrets = script("scan_secrets")
    planted = tmp_path / "settings.py"
    planted.write_text('KEY = "AKIA' + "Q7" * 8 + '"\n')
    (found,) = secrets.scan([str(planted)]).values()
    assert [kind for kind, _ in found] == ["AWS Access Key"]
    assert "reco_pipeline_tests/postgres.py" not in secrets.scan(["reco_pipeline_tests/postgres.py"])


@pytest.mark.parametrize(
    "licence", ["MIT", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception", "PSF-2.0", "ISC", "MPL-2.0"]
)
def test_permissive_licences_are_allowed(licence: str) -> None:
    """As packages write them."""
    assert script("licences").ALLOWED.search(licence)


@pytest.mark.parametrize(
    "licence", ["GPL-3.0-only", "AGPL-3.0", "LGPL-2.1", "Proprietary", "SSPL-1.0", "Elastic-2.0", ""]
)
def test_other_licences_are_not(licence: str) -> None:
    """Copyleft, and what is no open licence, must be named with a reason."""
    assert not script("licences").ALLOWED.search(licence)


def test_code_that_nobody_uses_is_found(tmp_path: Path) -> None:
    """A function and a constant, but no field of a record."""
    for folder in script("dead_code").PATHS:
        (tmp_path / folder).mkdir()
    shutil.copy(ROOT / "scripts" / "dead_code.py", tmp_path / "scripts")
    parts = ("LEFT = 1", "def left() -> None:\n    pass", "class Used:\n    field: int = 1", "Used()")
    (tmp_path / "reco" / "some.py").write_text("\n".join(parts) + "\n")
    call = [sys.executable, "scripts/dead_code.py"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [line.split(" is never")[0] for line in done.stdout.splitlines() if "never used" in line]
    assert (done.returncode, found) == (1, ["reco/some.py:1: LEFT", "reco/some.py:2: left"])
