"""Promises of docs/requirements.md: the files and tests it names are there, and its ports are those of the program."""

import re

from reco.settings import Settings
from reco_pipeline.dev import HOST
from reco_pipeline_tests.shop import ROOT

PAGE = (ROOT / "docs" / "requirements.md").read_text(encoding="utf-8")
PROMISES, REST = PAGE.split("## What is needed")
ROW = re.compile(r"^\| ([^|`]+) \| (.+?) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"^def (test_\w+)\(", re.MULTILINE)


def test_every_promise_names_where_it_lives_and_what_keeps_it() -> None:
    """A file that is moved or a test that is renamed takes its row along."""
    tests = {
        name for path in (ROOT / "reco_pipeline_tests").rglob("test_*.py") for name in TEST.findall(path.read_text())
    }
    rows = [row for row in ROW.findall(PROMISES) if row[0] != "promise"]
    assert len(rows) == len(re.findall(r"^\| (?!promise)", PROMISES, re.MULTILINE)) > 0
    for promise, places, kept in rows:
        named = re.findall(r"`([^`]+)`", places)
        assert named, promise
        assert [place for place in named if not (ROOT / place).exists()] == []
        keepers = re.findall(r"`(test_\w+)`", kept)
        assert keepers or "make bench" in kept, promise
        assert [name for name in keepers if name not in tests] == []


def test_the_ports_are_those_of_the_program() -> None:
    """The table of ports has the defaults of the settings, and says truly who listens on the loopback alone."""
    ports = re.findall(r"^\| (\d+) \| ([^|]+) \| ([\d.]+)", REST, re.MULTILINE)
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert [(int(port), host) for port, _, host in ports] == [
        (defaults["api_port"], defaults["api_host"]),
        (defaults["dagster_port"], HOST),
    ]


def test_the_settings_it_names_are_there() -> None:
    """A setting that goes is taken out here too."""
    known = {f"RECO_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"RECO_[A-Z0-9_]+", PAGE)) - known == set()
