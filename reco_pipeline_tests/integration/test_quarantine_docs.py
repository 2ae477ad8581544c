"""Promise of docs/quarantine.md: its commands, run in its order on its file, print what it shows."""

import csv
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest

from reco_pipeline.cli.app import app
from reco_pipeline_tests.shop import ROOT, Shop, new_shop
from scripts.pages import commands, fits

PAGE = (ROOT / "docs" / "quarantine.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```(console|toml)\n(.*?)```|(?:^\|[^\n]*\|\n)+", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.timeout(300)


def test_the_walk_through_works_as_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each command succeeds with the output shown, `...` standing for anything, and each table is typed in."""
    shop = new_shop(tmp_path)
    monkeypatch.setenv("RECO_HOME", str(shop.home))
    monkeypatch.chdir(shop.files)
    shutil.copy(ROOT / "docs" / "examples" / "april.csv", shop.files)
    ran = 0
    for block in BLOCK.finditer(PAGE):
        if block[1] == "toml":
            (shop.files / "shop.toml").write_text(block[2], encoding="utf-8")
        elif block[1] == "console":
            for command, expected in commands(block[2]):
                found = _run(shop, shlex.split(command)[1:], capsys)
                assert fits(expected, found), f"$ {command}\n{found}"
                ran += 1
        else:
            _type_in(shop, block[0])
    assert ran == 11


def _run(shop: Shop, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that succeeds prints; the many small ones run in this process, which spares a second each."""
    if arguments[0] != "quarantine":
        done = shop.reco(*arguments)
        assert done.code == 0, done.err
        return done.out
    assert not app(arguments, standalone_mode=False)
    return capsys.readouterr().out


def _type_in(shop: Shop, table: str) -> None:
    """Changes the cells of mend.csv that a table names, as a spreadsheet would."""
    path = shop.files / "mend.csv"
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    by_line = {row["reco_physical_line"]: row for row in rows}
    for line in table.splitlines()[2:]:
        number, column, cell = (part.strip() for part in line.strip("|").split("|"))
        assert column.strip("`") in by_line[number]
        by_line[number][column.strip("`")] = cell
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
