"""The command that looks at order files without taking them in.

Does not belong here: the looking (`reco.orders.inspect`).
"""

import datetime as dt
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_pipeline.cli.options import JsonFlag, SourceOption
from reco_pipeline.cli.output import facts, print_json, progress, say, table, warn

if TYPE_CHECKING:
    from reco.orders.inspection import Inspection

UNREADABLE = 3
_COLUMNS_SHOWN = 12
_CELL = 40


def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Order files or folders to look at.")],
    source: SourceOption = None,
    profile_out: Annotated[
        Path | None,
        typer.Option("--profile-out", metavar="FILE.toml", help="Write the starter profile there; for one file."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Look at order files as a run would read them, and change nothing.

    Tells encoding, delimiter, columns, what would be accepted, what not and why, and offers a source profile to start
    from. With --json one object a file, each on a line of its own.

    Example: reco inspect export.csv --profile-out shop.toml
    """
    from reco.orders.files import find_files
    from reco.orders.inspect import inspect_file
    from reco.orders.profiles import load_profile
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command(uses_home=False)
    profile = load_profile(source or settings.source)
    found = [path for file in files for path in find_files(file)]
    _check_target(profile_out, found)
    unreadable = 0
    for path in found:
        with tempfile.TemporaryDirectory(prefix="reco-inspect-") as scratch, progress():
            seen = inspect_file(path, profile, now=dt.datetime.now(dt.UTC), scratch=Path(scratch))
        unreadable += seen.error is not None
        if as_json:
            print_json(seen.to_json())
        else:
            _show(seen, offered=profile_out is None)
        if profile_out is not None and seen.profile is not None:
            _write(profile_out, seen.profile)
            if not as_json:
                say(f"Starter profile: {profile_out}; correct it and give it with --source {profile_out}.")
    raise typer.Exit(UNREADABLE if unreadable else 0)


def _check_target(profile_out: Path | None, found: list[Path]) -> None:
    from reco.errors import UsageError

    if profile_out is None:
        return
    if len(found) != 1:
        raise UsageError(
            f"--profile-out is for one file, and {len(found)} are given.", hint="Give the file the profile is for."
        )
    if profile_out.exists():
        raise UsageError(f"{profile_out} exists and is left alone.", hint="Name another file, or remove it first.")


def _write(target: Path, text: str) -> None:
    from reco.errors import UsageError

    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"The starter profile cannot be written to {target}: {error.strerror or error}.",
            hint="Name a file in a folder that exists and can be written.",
        ) from error


def _show(seen: "Inspection", *, offered: bool) -> None:
    say(seen.file)
    found = seen.found
    if found is None:
        warn(f"cannot be read: {seen.error}")
        return
    sure = found.confidence
    facts(
        [
            ("encoding", f"{found.encoding} (confidence {sure['encoding']:.2f})"),
            ("delimiter", f"{found.dialect['delimiter']!r} (confidence {sure['delimiter']:.2f})"),
            ("quote, decimal sign", f"{found.dialect['quote']!r}, {found.dialect['decimal']!r}"),
            *(
                [("times", found.dialect["times"])]
                if "ordered_at" in found.mapping and "times" in found.dialect
                else []
            ),
            *((name, value if isinstance(value, str) else " + ".join(value)) for name, value in found.mapping.items()),
        ]
    )
    say()
    names = [name[:_CELL] for name in found.header[:_COLUMNS_SHOWN]]
    rows = [(str(line), *(text[:_CELL] for text in fields[:_COLUMNS_SHOWN])) for line, fields in seen.first_lines]
    table("First lines", ("line", *names), rows)
    counts = [(name.replace("_", " "), count) for name, count in seen.counts.items() if count is not None]
    facts([*counts, *((f"  {reason}", count) for reason, count in seen.reasons.items())])
    say()
    if seen.examples:
        rejected = [(str(one.line), one.reason, one.column or "", one.message, one.raw) for one in seen.examples]
        table("Lines that would not be accepted", ("line", "reason", "column", "why", "text"), rejected)
    if seen.refusal is not None:
        say(f"A run would refuse this file: {seen.refusal.message}")
        say(f"  next: {seen.refusal.hint}")
    if offered and seen.profile is not None:
        say()
        say("A source profile to start from:")
        say()
        say(seen.profile)
