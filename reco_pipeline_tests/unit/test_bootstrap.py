"""The set-up script, as far as it goes without installing anything: what it refuses, and that it says why."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("sh", "cat", "cksum", "dirname")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment, under a path with blanks and a quote."""
    folder = tmp_path / "it's a check out"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts/bootstrap.sh", folder / "scripts")
    for name in ("pyproject.toml", "requirements.lock", "requirements-build.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, folder)
    return folder


def bootstrap(checkout: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the script from a foreign folder."""
    return subprocess.run(
        [str(checkout / "scripts/bootstrap.sh"), *arguments],
        cwd=checkout.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_kind_it_does_not_know_is_refused(checkout: Path) -> None:
    """A misspelt argument is refused with the two that exist."""
    done = bootstrap(checkout, "devel")
    assert (done.returncode, done.stderr) == (1, "bootstrap: 'devel' is neither 'runtime' nor 'dev'.\n")


def test_an_unsuitable_python_is_named(checkout: Path) -> None:
    """PYTHON naming something that is no Python of the supported range is refused by name, and nothing is made."""
    done = bootstrap(checkout, PYTHON=shutil.which("cat") or "cat")
    assert done.returncode == 1
    assert "cat is not a Python >= 3.11, < 3.14" in done.stderr
    assert not (checkout / ".venv").exists()


def test_without_any_python_it_says_how_to_get_one(checkout: Path) -> None:
    """On a machine without a suitable Python the message says what was looked for and what to install."""
    tools = checkout.parent / "tools"
    tools.mkdir()
    for tool in TOOLS:
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    done = bootstrap(checkout, PATH=str(tools), PYTHON="")
    assert done.returncode == 1
    assert "no Python >= 3.11, < 3.14 found" in done.stderr
    assert "python3-venv" in done.stderr
    assert not (checkout / ".venv").exists()


def test_the_scripts_parse_in_a_plain_shell() -> None:
    """bootstrap.sh is for any POSIX shell, .ci/run for bash; both are executable."""
    for shell, script in (("sh", "scripts/bootstrap.sh"), ("bash", ".ci/run")):
        assert os.access(ROOT / script, os.X_OK), script
        done = subprocess.run([shell, "-n", script], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
