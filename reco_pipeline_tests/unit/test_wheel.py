"""The wheel: everything the installed product needs is in it, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("reco", "reco_pipeline", "assets", "resources")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel as `make wheel` builds it, without a network."""
    out = tmp_path_factory.mktemp("dist")
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def content(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def shipped(package: str) -> set[str]:
    """The files of a package in the tree, caches left out."""
    files = (path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in files}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_the_four_packages_is_in_it(content: set[str], package: str) -> None:
    """Modules, source profiles, migrations and other files that are not Python all reach the installed product."""
    assert f"{package}/__init__.py" in content
    assert shipped(package) - content == set()


def test_files_that_are_not_python_are_looked_for(content: set[str]) -> None:
    """The check above means something: there are profiles and migration templates, and they are in the wheel."""
    kinds = {Path(name).suffix for name in content if not name.startswith("reco_pipeline-")}
    assert {".toml", ".mako"} <= kinds


def test_nothing_else_is_in_it(content: set[str]) -> None:
    """Tests, documents and state stay out: what is installed is the four packages and the metadata."""
    roots = {name.split("/")[0] for name in content}
    assert {root for root in roots if not root.endswith(".dist-info")} == set(PACKAGES)


def test_it_installs_the_command(wheel: Path) -> None:
    """The wheel declares the `reco` command, the licence and the supported Pythons."""
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        assert "reco = reco_pipeline.cli:command" in archive.read(entry).decode()
        folder = entry.rsplit("/", 1)[0]
        metadata = archive.read(f"{folder}/METADATA").decode()
        assert f"{folder}/licenses/LICENSE" in archive.namelist()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: <3.14,>=3.11" in metadata
