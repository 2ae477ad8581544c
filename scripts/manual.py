"""The pages of the reference that code can write: `python -m scripts.manual` writes them, a test holds them current.

Belongs here: pages made of what the code says of itself (help texts, docstrings, tables). Does not belong here: prose;
what only a person can say stands in a page of its own, or in the code that the page is made of.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click
import typer
from typer.core import TyperArgument

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
USUAL_INTERVAL_SECONDS = 30  # of Dagster, where a sensor names none
NOTE = "<!-- Written by `python -m scripts.manual` from the code: change it there. -->\n\n"


def main() -> int:
    """Writes every page; tells those that changed."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = FOLDER / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"docs/reference/{name}", file=sys.stderr)
    return 0


def pages() -> dict[str, str]:
    """Every page by its file name."""
    made: Mapping[str, Callable[[], str]] = {
        "commands.md": commands,
        "metrics.md": metrics,
        "reasons.md": reasons,
        "automation.md": automation,
    }
    return {name: NOTE + write().rstrip() + "\n" for name, write in made.items()}


# --------------------------------------------------------------------------------------------------------- commands
def commands() -> str:
    """Every command: what it does, an example, its arguments and options."""
    from reco_pipeline.cli.app import app  # noqa: PLC0415 - each page imports what it tells of

    root = typer.main.get_command(app)
    assert isinstance(root, click.Group)
    found = list(_leaves(root, "reco"))
    table = _table(
        ("command", "does"),
        [(f"[`{name}`](#{_anchor(name)})", _sentence(_told(one)[0].split("\n\n")[0])) for name, one in found],
    )
    return _page(
        "Commands",
        """Every command has `--help` and, unless told otherwise, `--json`: one JSON object on stdout and nothing else,
        an error too. What the objects hold, and exit codes: [reference](../reference.md#commands).""",
        table,
        *(_command(name, one) for name, one in found),
    )


def _leaves(group: click.Group, before: str) -> Iterable[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        whole = f"{before} {name}"
        if isinstance(command, click.Group):
            yield from _leaves(command, whole)
        elif not command.hidden:
            yield whole, command


def _command(name: str, command: click.Command) -> str:
    text, example = _told(command)
    rows = [_parameter(one) for one in command.params if one.name not in {"as_json", "help"}]
    shown = [f"## `{name}`", text]
    if example:
        shown.append(f"    {example}")
    if rows:
        shown.append(_table(("argument or option", "is"), rows))
    if "as_json" not in {one.name for one in command.params}:
        shown.append("Has no `--json`.")
    return "\n\n".join(shown)


def _told(command: click.Command) -> tuple[str, str]:
    """The help of a command and its example, apart."""
    text = cleandoc(command.help or "")
    told, _, example = text.partition("Example: ")
    return told.strip(), " ".join(example.split())


def _parameter(parameter: click.Parameter) -> tuple[str, str]:
    if isinstance(parameter, TyperArgument):
        return f"`{parameter.metavar or (parameter.name or '').upper()}`", parameter.help or ""
    assert isinstance(parameter, click.Option)
    kind = "" if parameter.is_flag else f" {parameter.metavar or parameter.type.name.upper()}"
    names = ", ".join(f"`{one}`" for one in (*parameter.opts[:-1], parameter.opts[-1] + kind))
    if parameter.secondary_opts:
        names += ", " + ", ".join(f"`{one}`" for one in parameter.secondary_opts)
    told = [parameter.help or ""]
    if isinstance(parameter.type, click.Choice):
        told.append(f"One of {', '.join(f'`{one}`' for one in parameter.type.choices)}.")
    if isinstance(parameter.default, str | int | float) and not isinstance(parameter.default, bool):
        told.append(f"Default: {parameter.default}.")
    if parameter.multiple:
        told.append("Repeatable.")
    return names, " ".join(one for one in told if one)


# ---------------------------------------------------------------------------------------------------------- metrics
def metrics() -> str:
    """Every metric with its type, its labels and their known values."""
    from reco.api.metrics import Metrics  # noqa: PLC0415 - see above

    made = Metrics()
    made.snapshot_id = lambda: ""
    named = {one._name: one._labelnames for one in vars(made).values() if hasattr(one, "_labelnames")}  # noqa: SLF001 - told nowhere else
    rows = []
    for family in made.families():
        labels: dict[str, list[str]] = {label: [] for label in named.get(family.name, ())}
        for sample in family.samples:
            for label, value in sample.labels.items():
                if label not in {"le", "version"} and value not in labels.setdefault(label, []):
                    labels[label].append(value)
        suffix = "_total" if family.type == "counter" else ""
        known = "; ".join(_label(label, values) for label, values in labels.items())
        rows.append((f"`{family.name}{suffix}`", family.type, known, family.documentation))
    return _page(
        "Metrics",
        """`/metrics` of the service, for Prometheus ([who may read it](../api.md#watching-it), [alerts](../alerts.md)).
        With several workers each value is that of all of them together. Times are seconds since 1970.""",
        _table(("metric", "type", "labels", "is"), rows),
    )


# ---------------------------------------------------------------------------------------------------------- reasons
def reasons() -> str:
    """Every reason for which a line is not accepted."""
    from reco.orders.records import MESSAGES  # noqa: PLC0415 - see above
    from reco.orders.rules import CHECKS, REASONS  # noqa: PLC0415 - see above

    told = {reason: [message] for reason, message in MESSAGES.items()}
    for check in CHECKS:
        told.setdefault(check.reason, []).append(check.message)
    rows = [
        (f"`{reason}`", str(disposition), "; or: ".join(dict.fromkeys(told[reason])))
        for reason, disposition in REASONS.items()
    ]
    return _page(
        "Reasons",
        """Why a line is not accepted: the closed list, in the order in which it decides. The first that applies counts;
        the others are kept as `also`. What can be done about them: [quarantine](../quarantine.md).""",
        _table(("reason", "disposition", "means"), rows),
    )


# ------------------------------------------------------------------------------------------------------- automation
def automation() -> str:
    """Every job, schedule and sensor of the code location."""
    from reco_pipeline.definitions import build_defs  # noqa: PLC0415 - see above

    repository = build_defs().get_repository_def()
    jobs = [one for one in repository.get_all_jobs() if not one.name.startswith("__")]
    schedules = [
        (
            f"`{one.name}`",
            str(one.cron_schedule),
            f"`{one.job_name}`",
            _state(one.default_status),
            _sentence(one.description or repository.get_job(one.job_name).description),
        )
        for one in sorted(repository.schedule_defs, key=_name)
    ]
    sensors = [
        (
            f"`{one.name}`",
            str(one.minimum_interval_seconds or USUAL_INTERVAL_SECONDS),
            _state(one.default_status),
            _sentence(one.description),
        )
        for one in sorted(repository.sensor_defs, key=_name)
    ]
    return _page(
        "Jobs, schedules and sensors",
        """With the settings of a new home. The schedules' hour is `RECO_DAILY_HOUR` in `RECO_TIMEZONE`. Tables and
        checks: [architecture](../architecture.md#the-tables-of-the-lake),
        [quality](../quality.md#checks).""",
        "## Jobs",
        _table(("job", "does"), [(f"`{one.name}`", _sentence(one.description)) for one in sorted(jobs, key=_name)]),
        "## Schedules",
        _table(("schedule", "cron", "job", "on from the start", "does"), schedules),
        "## Sensors",
        _table(("sensor", "looks every (s)", "on from the start", "does"), sensors),
    )


def _name(definition: Any) -> str:
    return str(definition.name)


def _state(status: object) -> str:
    return "yes" if getattr(status, "value", "") == "RUNNING" else "no"


# ------------------------------------------------------------------------------------------------------------- text
def _page(title: str, text: str, *parts: str) -> str:
    return "\n\n".join([f"# {title}", _sentence(text), *parts])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("\n", " ").replace("|", r"\|") for cell in row) + " |" for row in lines
    )


def _sentence(text: str | None) -> str:
    return " ".join((text or "").split())


def _label(label: str, values: Iterable[str]) -> str:
    known = ", ".join(f"`{value}`" for value in values if value)
    return f"`{label}`" + (f" ({known})" if known else "")


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


if __name__ == "__main__":
    raise SystemExit(main())
