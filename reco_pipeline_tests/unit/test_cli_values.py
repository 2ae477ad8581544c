"""Promises about values on the command line: what is out of bounds is a usage error, and `--json` means one thing."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer

from reco.errors import UsageError
from reco_pipeline.cli.app import app
from reco_pipeline.cli.boundary import guarded

USAGE = 2
HUGE = str(10**30)
BOUNDED_BY_THE_WORK = {("sample", "orders"), ("sample", "seed")}
"""Numbers without a bound of their own: the work refuses them by name."""


def commands(group: click.Command | None = None, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with its path."""
    group = group or typer.main.get_command(app)
    yield path, group
    for name, one in getattr(group, "commands", {}).items():
        yield from commands(one, *path, name)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home that was never used; what a command makes of signals ends with the test."""
    monkeypatch.setenv("RECO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def reco(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Runs the command as a person does, in this process; returns its exit code."""
    monkeypatch.setattr("sys.argv", ["reco", *arguments])
    return guarded(lambda: int(app(list(arguments), standalone_mode=False) or 0))


def test_every_number_has_bounds() -> None:
    """No option takes a number that would overflow somewhere behind it."""
    numbers = [
        (path[-1], str(param.name), param.type)
        for path, command in commands()
        for param in command.params
        if isinstance(param.type, click.types.IntParamType | click.types.FloatParamType)
    ]
    assert len(numbers) >= 8
    loose = {(command, name) for command, name, kind in numbers if getattr(kind, "max", None) is None}
    assert loose == BOUNDED_BY_THE_WORK


def test_the_help_says_what_each_argument_is() -> None:
    """What stands behind a command without a name is explained by its `--help`, like each option."""
    explained = 0
    for path, command in commands():
        context = click.Context(command, info_name=" ".join(path), terminal_width=1000)  # so that no line is broken
        shown = " ".join(command.get_help(context).split())
        for param in command.params:
            told = getattr(param, "help", None)
            assert told, (path, param.name)
            assert " ".join(told.split()) in shown, (path, param.name)
            explained += isinstance(param, click.Argument)
    assert explained >= 10


@pytest.mark.parametrize(
    "arguments",
    [
        ("audit", "report", "--until", "9999-12-31"),
        ("audit", "report", "--since", "0001-01-01T00:00+14:00"),
        ("audit", "report", "--since", "2024-13-01"),
        ("audit", "report", "--since", "2024-06-02", "--until", "2024-06-01"),
        ("audit", "report", "--since", HUGE),
        ("audit", "trail", "--since", "9999-12-31T23:59-14:00"),
        ("audit", "trail", "--limit", HUGE),
        ("audit", "trace", "PID", "--limit", HUGE),
        ("quarantine", "expire", "--days", "1000000"),
        ("quarantine", "show", "--limit", HUGE),
        ("popular", "--limit", HUGE),
        ("sample", "--orders", HUGE, "--out", "o.csv"),
        ("sample", "--orders", "-1", "--out", "o.csv"),
        ("sample", "--orders", "9", "--seed", "-1", "--out", "o.csv"),
    ],
)
def test_a_value_out_of_bounds_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Exit code 2 with the option's name or value in the message, and no trace of a defect."""
    assert reco(monkeypatch, *arguments) == USAGE
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err
    assert reco(monkeypatch, *arguments, "--json") == USAGE
    assert json.loads(capsys.readouterr().out)["error"]["message"]


@pytest.mark.parametrize("group", ["drops", "quarantine", "config"])
def test_json_in_front_of_a_subcommand_means_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], group: str
) -> None:
    """`reco drops --json list` prints the object that `reco drops list --json` prints, as does `reco drops --json`."""
    default = "show" if group == "config" else "list"
    said = []
    for arguments in ((group, "--json", default), (group, default, "--json"), (group, "--json")):
        assert reco(monkeypatch, *arguments) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert said[0] == said[1] == said[2]


def test_every_group_takes_json_or_refuses_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In front of a subcommand `--json` is handed on, or it is an unknown option: it is never ignored."""
    groups = {path: one for path, one in commands() if hasattr(one, "commands")}
    assert {path[-1] for path in groups if path} >= {"audit", "config", "drops", "quarantine", "snapshot"}
    for path, group in groups.items():
        if any(param.name == "as_json" for param in group.params):
            silent = [n for n, one in group.commands.items() if not any(p.name == "as_json" for p in one.params)]
            assert silent == []
        else:
            assert reco(monkeypatch, *path, "--json", "trail" if path else "status") == USAGE
            assert "--json" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_date_beyond_the_calendar_says_what_to_do() -> None:
    """The next step is to leave the limit out."""
    with pytest.raises(UsageError, match="beyond the calendar") as caught:
        app(["audit", "report", "--until", "9999-12-31"], standalone_mode=False)
    assert "Leave it out" in caught.value.hint
