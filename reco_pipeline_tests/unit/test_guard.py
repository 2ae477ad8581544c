"""The start-up guard: a stranger named like one of our packages is refused by name, and harmless folders are not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECK = "from reco_pipeline.guard import check_top_level_packages as check; check()"
LOADED = (
    "import sys; print(sorted(m for m in ('dagster', 'polars', 'duckdb', 'pydantic', 'redis') if m in sys.modules))"
)


def python(code: str, cwd: Path, *flags: str, pythonpath: str = "") -> subprocess.CompletedProcess[str]:
    """Runs code in a Python of its own; without flags as an installed command: the working folder is not searched."""
    environment = {**os.environ, "PYTHONPATH": pythonpath or str(ROOT)}
    return subprocess.run(
        [sys.executable, *(flags or ("-P", "-c")), code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def shadow(folder: Path, name: str, *, package: bool) -> Path:
    """A folder that holds something called `name`: a package, or a mere folder with a file in it."""
    (folder / name).mkdir(parents=True)
    (folder / name / ("__init__.py" if package else "logo.txt")).touch()
    return folder


def test_our_own_packages_pass_and_nothing_heavy_is_imported(tmp_path: Path) -> None:
    """The guard accepts our packages, and costs no import of Dagster, Polars or the like."""
    done = python(f"{CHECK}; {LOADED}", tmp_path)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


@pytest.mark.parametrize("package", [True, False])
def test_a_working_folder_with_assets_of_its_own_is_no_matter(tmp_path: Path, package: bool) -> None:
    """A command started in a folder that has an `assets/` or `resources/` of its own simply works."""
    shadow(tmp_path, "assets", package=package)
    shadow(tmp_path, "resources", package=package)
    done = python(CHECK, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", [True, False])
def test_python_m_takes_the_working_folder_first(tmp_path: Path, package: bool) -> None:
    """With the working folder on the path a package `assets` in it is refused; a mere folder of files is no matter."""
    shadow(tmp_path, "assets", package=package)
    done = python(CHECK, tmp_path, "-c")
    assert done.returncode == (1 if package else 0), done.stderr
    assert (f"Python found {tmp_path / 'assets'}" in done.stderr) is package


@pytest.mark.parametrize("name", ["assets", "resources"])
def test_a_package_that_hides_ours_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """A package found before ours is refused with its path, ours, and what to do, as a usage error."""
    intruder = shadow(tmp_path / "elsewhere", name, package=True)
    code = """
from reco_pipeline.guard import check_top_level_packages
from reco.errors import ShadowedPackageError
try:
    check_top_level_packages()
except ShadowedPackageError as error:
    print(error.code, error.exit_code, error.details["package"], error.details["found"], error.details["expected"])
    print(error)
"""
    done = python(code, tmp_path, pythonpath=f"{intruder}{os.pathsep}{ROOT}")
    facts, text = done.stdout.splitlines()
    assert facts == f"package_shadowed 2 {name} {intruder / name} {ROOT / name}", done.stderr
    assert str(intruder / name) in text
    assert "PYTHONPATH" in text


def test_a_module_file_hides_ours_too(tmp_path: Path) -> None:
    """A single file `assets.py` found before ours is refused with the path of the file."""
    (tmp_path / "assets.py").touch()
    done = python(CHECK, tmp_path, pythonpath=f"{tmp_path}{os.pathsep}{ROOT}")
    assert done.returncode == 1
    assert f"Python found {tmp_path / 'assets.py'}" in done.stderr


def test_a_stranger_already_imported_is_refused(tmp_path: Path) -> None:
    """A stranger that was imported before the check, and so would be used, is refused even when the path is right."""
    intruder = shadow(tmp_path / "elsewhere", "assets", package=True)
    code = f"import sys; sys.path.insert(0, {str(intruder)!r}); import assets; del sys.path[0]; {CHECK}"
    done = python(code, tmp_path)
    assert done.returncode == 1
    assert f"Python found {intruder / 'assets'}" in done.stderr


def test_a_hidden_library_is_told_without_its_own_errors(tmp_path: Path) -> None:
    """When `reco` itself is hidden, our exceptions cannot be had: an ImportError says the same."""
    intruder = shadow(tmp_path / "elsewhere", "reco", package=True)
    done = python(CHECK, tmp_path, pythonpath=f"{intruder}{os.pathsep}{ROOT}")
    assert done.returncode == 1
    assert f"ImportError: Another package hides our `reco`: Python found {intruder / 'reco'}" in done.stderr


def test_a_missing_package_is_told(tmp_path: Path) -> None:
    """An installation without one of the packages, as a wrong wheel would make, is told with the next step."""
    copy = tmp_path / "copy"
    for file in ("reco/__init__.py", "reco/errors.py", "reco_pipeline/__init__.py", "reco_pipeline/guard.py"):
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        (copy / file).write_text((ROOT / file).read_text(encoding="utf-8"), encoding="utf-8")
    (copy / "resources").mkdir()
    (copy / "resources/__init__.py").touch()
    code = f"import sys; sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]; {CHECK}"
    done = python(code, tmp_path, pythonpath=str(copy))
    assert done.returncode == 1
    assert "The package `assets` is missing" in done.stderr
    assert "scripts/bootstrap.sh" in done.stderr
