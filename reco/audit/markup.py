"""Tables and cells of the report page. Every text that is not markup of ours is escaped here.

Belongs here: how a value looks in a table. Does not belong here: which values (`reco.audit.page`).
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any


class Html(str):
    """Markup of ours, escaped already."""

    __slots__ = ()


class Nowrap(str):
    """A text that is not broken over lines."""

    __slots__ = ()


class Words(str):
    """A text that needs room."""

    __slots__ = ()


class Note(str):
    """A row of its own below the one it explains, over all columns."""

    __slots__ = ()


def code(text: str) -> Html:
    """A name that machines read."""
    return Html(f"<code>{escape(text)}</code>")


def digest(sha256: str) -> Html:
    """A sha256 in two lines, which fit beside many columns."""
    return Html(f"<code>{escape(sha256[:32])}</code><br><code>{escape(sha256[32:])}</code>")


def run_start(run_id: str | None) -> Html:
    """The start of a run's id, which is enough to name it; the table of runs has it whole."""
    return code((run_id or "-")[:8])


def yes_or_no(*, right: bool) -> Html:
    """Whether something is as it ought to be."""
    return Html('<span class="ok">yes</span>' if right else '<span class="no">NO</span>')


def time_text(at: dt.datetime) -> str:
    """A time in UTC; the page says once that all are."""
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"


def when(at: dt.datetime) -> Html:
    """A time in a table: in two lines where there is no room for one."""
    day, clock = time_text(at).split(" ")
    return Html(f'<span class="nb">{day}</span> <span class="nb">{clock}</span>')


def _cell(value: Any, *, number: bool) -> str:
    markup = str(value) if isinstance(value, Html) else escape(str(value))
    text = f"{value:,}" if isinstance(value, int) else markup
    kind = "n" if number else "nowrap" if isinstance(value, Nowrap) else "words" if isinstance(value, Words) else ""
    return f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>"


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any] | Note],
    total: Sequence[Any] | None = None,
) -> str:
    """A table; columns whose name begins with # hold numbers."""
    numbers = [name.startswith("#") for name in columns]
    head = "".join(
        f'<th scope="col"{" class=n" if number else ""}>{escape(name.lstrip("#"))}</th>'
        for name, number in zip(columns, numbers, strict=True)
    )

    def cells(row: Sequence[Any] | Note) -> str:
        if isinstance(row, Note):
            return f'<td class="note" colspan="{len(columns)}">{escape(row)}</td>'
        return "".join(_cell(value, number=number) for value, number in zip(row, numbers, strict=True))

    body = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    body = body or f'<tr><td colspan="{len(columns)}">none</td></tr>'
    foot = f"<tfoot><tr>{cells(total)}</tr></tfoot>" if total is not None else ""
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody>{foot}</table></div>"
    )
