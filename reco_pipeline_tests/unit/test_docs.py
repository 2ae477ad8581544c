"""Promises of the reference: what code writes is current, each setting and exit code is in it, its profile loads."""

import re
import subprocess
import sys

import click
import pytest
import typer

from reco import errors
from reco.orders.profiles import load_profile
from reco.settings import CONFIG_FILE, PREFIX, Settings
from reco_pipeline.cli.app import app
from reco_pipeline_tests.shop import ROOT
from scripts.manual import pages

PAGES = pages()
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def _commands(group: click.Group, before: str = "reco") -> list[str]:
    found = []
    for name, command in group.commands.items():
        whole = f"{before} {name}"
        found += _commands(command, whole) if isinstance(command, click.Group) else [whole]
    return found


ROOT_GROUP = typer.main.get_command(app)
assert isinstance(ROOT_GROUP, click.Group)
COMMANDS = _commands(ROOT_GROUP)


@pytest.mark.parametrize(("name", "text"), PAGES.items(), ids=list(PAGES))
def test_what_code_writes_is_current(name: str, text: str) -> None:
    """Commands, metrics, reasons, jobs: the committed page is what `python -m scripts.manual` writes now."""
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_reference(command: str) -> None:
    """A command that is not described does not exist for its users: each says what it does and shows an example."""
    page = PAGES["commands.md"].split(f"\n## `{command}`\n")[1].split("\n## ")[0]
    assert re.search(r"^    .*\breco ", page, re.MULTILINE)
    assert re.findall(r"\| +\|$", page, re.MULTILINE) == []


@pytest.mark.parametrize("name", [*(PREFIX + name.upper() for name in Settings.model_fields), CONFIG_FILE])
def test_every_setting_is_in_the_reference(name: str) -> None:
    """So does a setting; and one that is gone must not stay in it."""
    assert f"`{name}`" in REFERENCE


def test_the_reference_knows_no_other_setting() -> None:
    """A setting that was removed is removed here too."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {CONFIG_FILE}
    mentioned = set(re.findall(r"`(RECO_[A-Z_]+)`", REFERENCE))
    assert mentioned <= known


def test_the_table_of_settings_is_current() -> None:
    """Name, default, values and meaning of each are those of `reco/settings.py`; `make settings` writes them."""
    done = subprocess.run(
        [sys.executable, "scripts/settings_table.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_where_a_setting_leads_for_more_there_is_more() -> None:
    """Each link of the table names a heading that exists."""
    table = REFERENCE.split("<!-- settings")[1].split("<!-- end")[0]
    links = re.findall(r"\(\[more\]\(([^)#]*)(?:#([^)]*))?\)\)", table)
    assert len(links) > 10
    for page, anchor in links:
        text = (ROOT / "docs" / (page or "reference.md")).read_text(encoding="utf-8")
        headings = [
            re.sub(r"[^\w -]", "", one).strip().lower().replace(" ", "-")
            for one in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        ]
        assert not anchor or anchor in headings, f"{page}#{anchor}"


def test_every_exit_code_is_in_the_reference() -> None:
    """Each code an error of ours can end with is in the table."""
    codes = {c.exit_code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.RecoError)}
    table = REFERENCE.split("### Exit codes")[1].split("###")[0]
    assert {int(code) for code in re.findall(r"^\| (\d) \|", table, re.MULTILINE)} == codes | {0}


def test_the_example_profile_loads(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What people copy from the reference is a valid profile."""
    text = REFERENCE.split("```toml\n")[1].split("```")[0]
    path = tmp_path_factory.mktemp("profile") / "takeaway.toml"
    path.write_text(text, encoding="utf-8")
    assert load_profile(path).columns.order_id == ("OrderNumber",)
