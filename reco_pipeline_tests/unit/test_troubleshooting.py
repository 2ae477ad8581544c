"""Promises of docs/troubleshooting.md: every code with its exit code, and only messages that the program can write."""

import ast
import re
from collections.abc import Iterator

from reco import errors
from reco_pipeline_tests.shop import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| (\d) \| (.+) \|$", re.MULTILINE)
ANY = "…"
SOURCES = [path for room in ("reco", "reco_pipeline", "resources") for path in (ROOT / room).rglob("*.py")]


def _codes() -> dict[str, int]:
    found = (one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.RecoError))
    # A program that asks the API gets codes of its own, which the page of the API tells.
    return {one.code: one.exit_code for one in found if not one.code.startswith("api_")}


def _texts(tree: ast.AST) -> Iterator[str]:
    """Every text of a module; what is put into it when it runs is `…`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else ANY for one in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_every_code_is_there_once_with_its_exit_code() -> None:
    """A new error, or one that ends otherwise, changes the page."""
    told = [(code, int(exit_code)) for codes, exit_code, _ in ROW.findall(PAGE) for code in re.findall(r"\w+", codes)]
    assert sorted(told) == sorted(_codes().items())


def test_every_message_is_one_of_the_program() -> None:
    """What stands in quotation marks can be searched for: it is in the code, to the letter."""
    templates = {text for path in SOURCES for text in _texts(ast.parse(path.read_text(encoding="utf-8")))}
    messages = [message for row in ROW.findall(PAGE) for message in re.findall(r'"([^"]+)"', row[2])]
    assert len(messages) >= 40
    whole = "\n".join(templates)
    assert [message for message in messages if message not in whole] == []
