"""Text of somebody else's file is shown and never obeyed, by any command."""

import json
import re
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from reco.errors import UsageError
from reco.safetext import break_formulas, join_formulas, printable, printable_json
from reco_pipeline.cli import inspect as command
from reco_pipeline.cli import output
from reco_pipeline_tests.shop import ROOT

OBEYED = "\x1b\x9b\x07\x08\x7f\x00\x85\u202e\u2066\u200f\u2028"


@given(st.text() | st.text(st.sampled_from(OBEYED + "a\r\n\t\\"), max_size=12))
def test_what_is_printed_has_nothing_a_terminal_obeys(text: str) -> None:
    """Control characters and marks of direction are written as escapes; JSON stays the same JSON."""
    assert not set(printable(text)) & set(OBEYED + "\r\n\t")
    assert not set(printable(text, one_line=False)) & set(OBEYED + "\r")
    as_json = json.dumps(text, ensure_ascii=False)
    assert not set(printable_json(as_json)) & set(OBEYED)
    assert json.loads(printable_json(as_json)) == text
    printable_json(as_json).encode()


@given(st.text(st.sampled_from(";, \t\n\"'=-a\u200b"), max_size=14))
def test_broken_formulas_are_joined_again(text: str) -> None:
    """Taking the apostrophes away gives the text back; a text that never had any stays as it is."""
    assert join_formulas(break_formulas(text)) == text
    if "'" not in text:
        assert join_formulas(text) == text


def test_long_runs_of_blanks_take_no_time() -> None:
    """The work grows with the text: a cell of blanks is looked at once from its start."""
    text = " " * 32_000 + '"' * 32_000
    assert break_formulas(text) == text


def test_every_way_of_printing_is_safe(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines, warnings, facts, tables and JSON."""
    evil = "PID\x1b[2J\u202e"
    output.say(evil)
    output.warn(evil)
    output.facts([(evil, f"{evil}\nnext")])
    output.table(evil, [evil], [[evil]])
    output.print_json({evil: evil})
    told = capsys.readouterr()
    text = told.out + told.err
    assert not set(text) & set(OBEYED)
    assert text.count("\\x1b[2J\\u202e") == 7  # JSON has its own escapes
    assert "next" in text


def test_no_command_prints_around_it() -> None:
    """Every command prints through `reco_pipeline.cli.output`."""
    files = (ROOT / "reco_pipeline" / "cli").glob("*.py")
    direct = {path.name for path in files if re.search(r"(?<![\w.])print\(|echo\(", path.read_text(encoding="utf-8"))}
    assert direct == {"__init__.py", "app.py", "output.py"}  # two that run before anything else can be imported


def test_inspect_prints_no_control_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither names of columns nor cells nor raw lines of a file reach the terminal as they are."""
    path = tmp_path / "evil.csv"
    path.write_bytes("order_id,item_id,\x1b[31mnote\n1,\x1b]0;x\x07,\u202ea\n2,b\x9b2J\n,c,\x1b[0m\n".encode())
    with pytest.raises(typer.Exit):
        command.inspect([path])
    text = capsys.readouterr().out
    assert not set(text) & set(OBEYED)
    assert "\\x1b]0;x\\x07" in text
    with pytest.raises(UsageError):
        command.inspect([tmp_path / "none"], profile_out=path)
