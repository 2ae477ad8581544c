"""Promises of the site of the documents: every page is there, every link leads somewhere, nobody outside is asked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from reco_pipeline_tests.shop import ROOT
from scripts.site import site_path

FOREIGN = re.compile(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?(?:https?:)?//[^>]*>""")


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """What `make docs` does, into another folder."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(out)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is built from the pages of now."""
    out = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", out)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_on_the_site_and_loads_nothing_from_elsewhere(site: Path) -> None:
    """A strict build takes every page, link and anchor; no page names a script, style or image of another host."""
    pages = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert {Path(str(page).replace("README", "index")) for page in pages} - built == set()
    assert (site / "repository/CONTRIBUTING.html").is_file()
    assert (site / "repository/reco/orders/headers.py").read_bytes() == (ROOT / "reco/orders/headers.py").read_bytes()
    foreign = {found for path in site.rglob("*.html") for found in FOREIGN.findall(path.read_text(encoding="utf-8"))}
    assert foreign == set()


@pytest.mark.parametrize(
    ("link", "told"),
    [("../NOWHERE.md", "NOWHERE.md"), ("csv.md#nowhere", "nowhere"), ("other.md", "other.md")],
    ids=["outside", "anchor", "page"],
)
def test_a_dead_link_ends_the_build(tmp_path: Path, link: str, told: str) -> None:
    """A link to a file that is not there, in docs/ or outside, or to a heading that is not, fails with its name."""
    pages = tmp_path / "docs"
    pages.mkdir()
    (pages / "README.md").write_text(f"# Start\n\n[one]({link})\n", encoding="utf-8")
    (pages / "csv.md").write_text("# Files\n", encoding="utf-8")
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: {pages}\nhooks: [{ROOT / 'scripts/site.py'}]\n"
        "theme: {name: mkdocs}\nplugins: []\nextra_css: []\nnav: [README.md, csv.md]\n",
        encoding="utf-8",
    )
    done = build(config, tmp_path / "site")
    assert done.returncode == 1
    assert told in done.stderr


@pytest.mark.parametrize(
    ("page", "link", "expected"),
    [
        ("csv.md", "api.md", "api.md"),
        ("decisions/0001-x.md", "../csv.md", "csv.md"),
        ("csv.md", "../CONTRIBUTING.md", "repository/CONTRIBUTING.md"),
        ("howto/upgrade.md", "../../CHANGELOG.md", "repository/CHANGELOG.md"),
        ("repository/CONTRIBUTING.md", "docs/api.md", "api.md"),
        ("repository/docker/README.md", "../reco/errors.py", "repository/reco/errors.py"),
    ],
)
def test_links_leave_and_enter_the_documents(page: str, link: str, expected: str) -> None:
    """A link that is right in the repository's file view is right on the site."""
    assert site_path(page, link) == expected
