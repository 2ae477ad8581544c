"""How results look on a terminal and as JSON.

Belongs here: tables, figures and progress bars. Does not belong here: what is printed.

What is printed may come from somebody else's file: a terminal gets it without characters that it would obey.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from reco.safetext import printable, printable_json

WIDTH_WITHOUT_TERMINAL = 140


def print_json(value: Any) -> None:
    """One JSON object on stdout, nothing else."""
    print(printable_json(json.dumps(value, ensure_ascii=False, default=str)))


def say(text: str = "") -> None:
    """Text on stdout."""
    print(printable(text, one_line=False))


def warn(text: str) -> None:
    """A warning on stderr."""
    complain(f"warning: {text}")


def complain(text: str) -> None:
    """Text on stderr."""
    print(printable(text, one_line=False), file=sys.stderr)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table on stdout; numbers to the right, with thousands separators."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    numeric = [
        bool(rows) and all(isinstance(row[i], int | float) or row[i] is None for row in rows)
        for i in range(len(columns))
    ]
    # Text, not markup, everywhere: an item may be called "[bold]".
    drawn = Table(
        title=Text(printable(title)) if title else None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    for column, right in zip(columns, numeric, strict=True):
        drawn.add_column(Text(printable(column)), justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(figure(value))) for value in row))

    class Quiet(Console):
        """Leaves a closed pipe to the edge of the command line, which knows that nothing is wrong."""

        def on_broken_pipe(self) -> None:
            """Python is in the middle of handling the error: let it pass."""
            raise  # noqa: PLE0704 - called from inside the handler

    console = Quiet(highlight=False)
    if not console.is_terminal:
        console = Quiet(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    console.print(drawn)


def facts(pairs: Sequence[tuple[str, Any]]) -> None:
    """Names and values, one a line."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        say(f"  {printable(name).ljust(width)}  {printable(figure(value))}")


def figure(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return str(value)


def size(count: int) -> str:
    """Bytes as people read them."""
    amount = float(count)
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"


@contextmanager
def progress() -> Iterator[None]:
    """Shows on stderr, where that is a terminal, how far each stage is."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    from reco.progress import listening

    bar = Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    tasks: dict[str, TaskID] = {}

    def show(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bar.add_task(stage, total=total)
        bar.update(tasks[stage], completed=done, total=total)

    with bar, listening(show):
        yield
