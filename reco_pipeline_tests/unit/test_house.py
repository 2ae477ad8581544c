"""The house: locks, layout, documents and commands say the same thing."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock", "requirements-image.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES = ("reco", "reco_pipeline", "assets", "resources")
ROOMS = ("api", "client", "backup", "orders", "catalog", "audit", "alerts", "model", "snapshot", "storage", "local")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def locked(name: str) -> dict[str, str]:
    """Package name -> version of a lock."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", read(name), flags=re.MULTILINE))


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), flags=re.MULTILINE))


def python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# ----------------------------------------------------------------------------------------------------------- locks
@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_a_hash(lock: str) -> None:
    """Each entry of a lock is one exact version with at least one sha256."""
    entries = re.split(r"\n(?=[^\s#])", read(lock).rstrip())
    assert entries
    without = [e.splitlines()[0] for e in entries if "==" not in e.splitlines()[0] or "--hash=sha256:" not in e]
    assert without == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_address(lock: str) -> None:
    """A lock works with any package index: it names none."""
    assert re.findall(r"\w+://|--(?:extra-)?index-url|--find-links| @ ", read(lock)) == []


def test_the_locks_agree() -> None:
    """The development set is the runtime set and more, in the same versions, so that one can be added to the other."""
    dev = locked("requirements-dev.lock")
    for lock in ("requirements.lock", "requirements-build.lock", "requirements-image.lock"):
        assert {
            name: (version, dev.get(name)) for name, version in locked(lock).items() if dev.get(name) != version
        } == {}


def test_the_locks_hold_what_the_project_asks_for() -> None:
    """Every dependency of pyproject.toml is in its lock."""
    groups = PROJECT["dependency-groups"]
    for wanted, lock in (
        (PROJECT["project"]["dependencies"], "requirements.lock"),
        (
            [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["postgres"]],
            "requirements-image.lock",
        ),
        ([d for d in groups["dev"] if isinstance(d, str)], "requirements-dev.lock"),
        (groups["build"], "requirements-build.lock"),
    ):
        names = {re.match(r"[A-Za-z0-9._-]+", d).group().lower() for d in wanted}  # type: ignore[union-attr]
        assert names - locked(lock).keys() == set()


# ---------------------------------------------------------------------------------------------------------- layout
def test_each_room_has_a_sign() -> None:
    """Every package says in its docstring what belongs in it and what does not."""
    for package in (*PACKAGES, *(f"reco/{room}" for room in ROOMS)):
        sign = ast.get_docstring(ast.parse(read(f"{package}/__init__.py"))) or ""
        assert len(sign) >= 40, package
        assert re.search(r"\b(not|no|nor|never)\b", sign, flags=re.IGNORECASE), package


def test_every_module_says_what_it_is() -> None:
    """Every module of the product has a docstring."""
    modules = [
        p for package in ("reco", "reco_pipeline", "assets", "resources") for p in (ROOT / package).rglob("*.py")
    ]
    assert [str(p) for p in modules if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))] == []


def test_the_code_location_package_imports_nothing() -> None:
    """`reco_pipeline/__init__.py` is free of imports: an import there would turn the one-way arrow into a circle."""
    body = ast.parse(read("reco_pipeline/__init__.py")).body
    assert [node for node in ast.walk(ast.Module(body, [])) if isinstance(node, ast.Import | ast.ImportFrom)] == []


def test_importing_the_library_is_light() -> None:
    """`import reco` and its rooms pull in neither Dagster nor a data library."""
    rooms = ", ".join(f"reco.{room}" for room in ROOMS)
    heavy = ("dagster", "duckdb", "polars", "pandas", "pandera", "numpy", "redis", "sqlalchemy")
    code = f"import sys, reco, {rooms}; print([m for m in {heavy!r} if m in sys.modules])"
    assert python("-c", code) == "[]\n"


def test_dagster_is_told_where_the_definitions_are() -> None:
    """workspace.yaml and the `dg` section name the same module under the same location name."""
    dg = PROJECT["tool"]["dg"]["project"]
    workspace = read("workspace.yaml")
    assert f"module_name: {dg['code_location_target_module']}" in workspace
    assert f"location_name: {dg['code_location_name']}" in workspace
    assert "DAGSTER_HOME=${PWD}/.reco/dagster" in read(".env")


# ------------------------------------------------------------------------------------------------------- documents
@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md", ".ci/run"])
def test_documents_name_only_targets_that_exist(document: str) -> None:
    """Every `make X` that a document or CI names is a target of the Makefile."""
    named = set(re.findall(r"(?:`|^\s*|\$ )make ([a-z-]+)", read(document), flags=re.MULTILINE))
    assert named - targets() == set()


def test_the_two_commands_are_the_first_thing_in_the_readme() -> None:
    """A newcomer finds `make run` and `make test` in the README, and both exist."""
    assert {"run", "test"} <= set(re.findall(r"make ([a-z-]+)", read("README.md"))) & targets()


def test_make_alone_lists_every_target() -> None:
    """`make` without a target is the help, and it leaves out nothing."""
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^  make ([a-z-]+)", done.stdout, flags=re.MULTILINE)) == targets()


def test_every_link_of_the_documents_leads_somewhere() -> None:
    """Relative links in README, CONTRIBUTING, CHANGELOG and docs/ point to files that exist."""
    documents = [
        ROOT / "SECURITY.md",
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
    dead = [
        f"{document.relative_to(ROOT)}: {link}"
        for document in documents
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text(encoding="utf-8"))
        if "://" not in link and not (document.parent / link).exists()
    ]
    assert dead == []


def test_decisions_are_numbered_and_listed() -> None:
    """Each decision has a number of its own and stands in the index."""
    pages = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md"))
    numbers = [page[:5] for page in pages]
    assert [number for number in numbers if not re.fullmatch(r"\d{4}-", number)] == []
    assert len(set(numbers)) == len(numbers)
    index = read("docs/README.md")
    assert [page for page in pages if page not in index] == []
