"""Promises of how pages are read: no command is missed, files and terminals are told apart, outputs are compared."""

import re
from pathlib import Path

import click
import pytest

from reco_pipeline_tests.shop import ROOT
from reco_pipeline_tests.unit.test_docs import ROOT_GROUP
from scripts.pages import Step, fits, steps

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "howto").glob("*.md"))]
TYPED = re.compile(r"^ *(?:\$ )?(?:\.venv/bin/)?reco ([a-z][^#|\n]*)", re.MULTILINE)
BLOCK = re.compile(r"^ *```(?:console)?[^\n]*\n(.*?)^ *```$|((?:^    reco .*\n)+)", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`reco ([a-z][^`\n]*)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def test_the_steps_of_a_page_are_those_it_shows() -> None:
    """Commands with their output, a file by its title, a service by the title of its terminal; also inside of lists."""
    page = (
        "# Title\n\n## One\n\n```console\n$ reco a\nout\n$ reco b\n```\n\n## Two\n\n- text\n\n"
        '    ```toml title="x.toml"\n'
        '    name = "x"\n    ```\n\n```console title="Other"\n$ reco dev\n```\n\n```toml\nno = 1\n```\n'
    )
    assert steps(page) == [
        Step("One", "reco a", "out\n"),
        Step("One", "reco b", ""),
        Step("Two", "", 'name = "x"\n', file="x.toml"),
        Step("Two", "reco dev", "", terminal="Other"),
    ]


@pytest.mark.parametrize(
    ("shown", "output", "fit"),
    [
        ("a  1\n", "a 1   \n\n", True),
        ("...\nb\n", "a\nb\n", True),
        ("a ... c\n", "a b c\n", True),
        (" ──── \n", " ────────\n", True),
        ("a 1\n", "a 2\n", False),
        ("a\n", "a\nb\n", False),
        ("", "a\n", False),
    ],
)
def test_an_output_is_held_to_the_page(shown: str, output: str, fit: bool) -> None:
    """`...` stands for anything, the width of columns for nothing; all else must be the same, to its end."""
    assert fits(shown, output) is fit


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_on_a_page_is_one_that_reco_takes(page: Path) -> None:
    """In any block and in any sentence: a command that exists, with options that it has."""
    text = page.read_text(encoding="utf-8")
    typed = [line for block in BLOCK.finditer(text) for line in TYPED.findall(block[1] or block[2])]
    for line in (*typed, *INLINE.findall(text)):
        command, words = _meant(line)
        assert command is not ROOT_GROUP, line
        known = {name for parameter in command.params for name in parameter.opts}
        assert set(OPTION.findall(" ".join(words))) - known == set(), line


def _meant(line: str) -> tuple[click.Command, list[str]]:
    """The command of a line, and the words behind it; `reco drops --json list` is the command `list`."""
    words, command = line.split(), ROOT_GROUP
    while isinstance(command, click.Group):
        name = next((word for word in words if not word.startswith("-")), "").split("|")[0]
        if name not in command.commands:
            break
        words.remove(next(word for word in words if word.split("|")[0] == name))
        command = command.commands[name]
    return command, words
