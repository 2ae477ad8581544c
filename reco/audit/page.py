"""The report as one self-contained HTML page: no script, nothing from a network.

Belongs here: the sections of the page and their words. Does not belong here: figures (`reco.audit.report`) or drawing
(`reco.audit.charts`). Every text is escaped: file names, reasons and messages come from outside.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import Any

from reco.audit.charts import bar_chart, lineage_chart, score_chart
from reco.audit.report import DropEntry, Lines, Report

_POINTS = 60
"""More drops than this are drawn by day."""
_DRAWN = 40
"""Drops in the lineage drawing, the newest; the table has all."""


def html_page(report: Report) -> str:
    """The whole page."""
    css = (resources.files("reco.audit") / "report.css").read_text(encoding="utf-8")
    title = f"Audit report: {report.namespace}"
    sections = (_summary, _scores, _reasons, _drops, _replays, _catalogues, _runs, _days, _snapshots, _lineage, _marks)
    body = "\n".join([*(section(report) for section in sections), _definitions()])
    # The policy makes sure of it: a script in a file name could not run even if it were not escaped.
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="reco {escape(report.version)}">'
        f"<title>{escape(title)}</title><style>{css}</style></head><body><main>\n{body}\n</main></body></html>\n"
    )


def _summary(report: Report) -> str:
    lines, problems, proof = report.lines, report.problems, report.proof
    held = f"{proof.heads:,} heads noted before by snapshots and runs, {proof.files.checked:,} files of the lake"
    facts = [
        ("Shop", report.namespace),
        ("Scope", report.scope.words),
        ("Generated", f"{_time(report.generated_at)} UTC by reco {report.version}"),
        ("Drops", ", ".join(f"{count} {state}" for state, count in report.states.items()) or "none"),
        ("Audit trail", f"{proof.chain.events:,} events, head {proof.chain.head}"),
        ("Held against", "; ".join((held, *(f"not against {one}" for one in proof.unasked)))),
    ]
    cards = [
        ("lines read", f"{lines.read:,}"),
        ("accepted", f"{lines.accepted:,}"),
        ("excluded by a rule", f"{lines.excluded:,}"),
        ("quarantined", f"{lines.quarantined:,}"),
        ("quality score", f"{lines.score:.2f}"),
        ("snapshots published", f"{len(report.snapshots):,}"),
    ]
    if problems:
        verdict = '<div class="verdict bad"><b>Not everything adds up.</b><ul>'
        verdict += "".join(f"<li>{escape(one)}</li>" for one in problems) + "</ul></div>"
    else:
        read = sum(drop.lines is not None for drop in report.drops)
        verdict = (
            '<div class="verdict"><b>Every line is accounted for.</b> '
            f"{lines.equation} (read = accepted + excluded + quarantined), for each of the "
            f"{read:,} drops that were read and in all; the reasons add up to the lines not accepted, the "
            "rows stored of the drops in effect are as many, the chain of the audit trail is whole and holds every "
            "head that was noted before, and the files it names are those in the lake.</div>"
        )
    return (
        f'<h1>Audit report</h1><p class="soft">Order files, what became of every line, and what was published of them.'
        f'</p><dl class="facts">{"".join(f"<dt>{escape(n)}</dt><dd>{escape(v)}</dd>" for n, v in facts)}</dl>'
        f'<div class="cards">{"".join(f"<div class=card><b>{v}</b><span>{n}</span></div>" for n, v in cards)}</div>'
        f"{verdict}"
    )


def _scores(report: Report) -> str:
    read = [(drop, drop.lines) for drop in report.drops if drop.lines is not None]
    if not read:
        return ""
    if len(read) > _POINTS:
        points, each = [(f"{day.day}", day.lines.score) for day in report.days if day.lines.read], "day"
    else:
        points, each = [(f"{_time(drop.received_at)} {drop.name}", lines.score) for drop, lines in read], "drop"
    return f"<h2>Quality score over time</h2>{score_chart(points, each=each)}"


def _reasons(report: Report) -> str:
    lines = report.lines
    if not lines.reasons:
        return "<h2>Reasons</h2><p>Every line was accepted.</p>" if lines.read else ""
    of = report.dispositions
    bars = [(name, count, of.get(name, "quarantined")) for name, count in lines.reasons.items()]
    rows = [(_code(name), kind, count, f"{count / lines.read:.3%}") for name, count, kind in bars]
    key = '<p class="key soft"><i class="q"></i>quarantined: something is wrong<i class="e"></i>excluded: by a rule</p>'
    table = _table("Lines not accepted, by reason", ("reason", "disposition", "#lines", "#of lines read"), rows)
    return f"<h2>Reasons</h2>{key}{bar_chart(bars, words='Lines not accepted, by reason')}{table}"


_FIGURES = ("#read", "#accepted", "#excluded", "#quarantined", "adds up", "#score")


def _figures(lines: Lines | None) -> tuple[Any, ...]:
    if lines is None:
        return ("-",) * len(_FIGURES)
    right = '<span class="ok">yes</span>' if lines.adds_up else '<span class="no">NO</span>'
    return (lines.read, lines.accepted, lines.excluded, lines.quarantined, _Html(right), f"{lines.score:.2f}")


def _drops(report: Report) -> str:
    rows = [
        (_named(drop), drop.source, drop.status, _Nowrap(_time(drop.received_at)), *_figures(drop.lines))
        for drop in report.drops
    ]
    total = ("All drops that were read", "", "", "", *_figures(report.lines))
    columns = ("file and sha256", "profile", "state", "received", *_FIGURES)
    return "<h2>Drops</h2>" + _table("One row a file, by its bytes", columns, rows, total)


def _named(drop: DropEntry) -> "_Html":
    error = f'<p class="no">{escape(drop.error)}</p>' if drop.error else ""
    return _Html(f"{escape(drop.name)}<br>{_digest(drop.sha256)}{error}")


def _replays(report: Report) -> str:
    rows = [
        (
            one.drop_name,
            _Nowrap(_time(one.at)),
            one.actor,
            _Words(f"{'mended in' if one.kind == 'file' else 'with profile'} {one.name}"),
            *(one.given, one.accepted, one.excluded, one.quarantined),
            _Html('<span class="ok">yes</span>' if one.adds_up else '<span class="no">NO</span>'),
            _Words(f"no, since {_time(one.voided_at)}: {one.voided_why}" if one.voided_at else "yes"),
        )
        for one in report.replays
    ]
    if not rows:
        return ""
    columns = ("file", "at", "by", "how", "#given", "#accepted", "#excluded", "#still quarantined", "adds up", "counts")
    return "<h2>Replays</h2>" + _table("Quarantined lines that were read again; no count above changed", columns, rows)


def _catalogues(report: Report) -> str:
    rows = [
        (_named(one), one.source, one.status, _Nowrap(_time(one.received_at)), *_figures(one.lines))
        for one in report.catalogues
    ]
    if not rows:
        return ""
    columns = ("file and sha256", "profile", "state", "received", *_FIGURES)
    return "<h2>Catalogues</h2>" + _table("Lists of items; their lines are no order lines", columns, rows)


def _runs(report: Report) -> str:
    rows = [
        (
            _Html(f"{_code(one.run_id)}<br>{_code(one.snapshot_id or 'no snapshot')}"),
            _Nowrap(_time(one.first_at)),
            one.drops,
            one.drops_failed,
            *_figures(one.lines),
            one.outcome,
        )
        for one in report.runs
    ]
    columns = ("run and its snapshot", "first event", "#drops", "#failed", *_FIGURES, "outcome")
    return "<h2>Runs</h2>" + _table("What each run read, and how it ended", columns, rows)


def _days(report: Report) -> str:
    rows = [(_Nowrap(str(one.day)), one.drops, *_figures(one.lines)) for one in report.days]
    return "<h2>Days</h2>" + _table("By day of receipt (UTC)", ("day", "#drops", *_FIGURES), rows)


def _snapshots(report: Report) -> str:
    rows = [
        (
            _code(one.snapshot_id),
            _Nowrap(_time(one.published_at)),
            _digest(one.digest),
            one.orders,
            one.items,
            one.pairs,
            "-" if one.drops is None else len(one.drops),
            "forced" if one.forced else "",
        )
        for one in report.snapshots
    ]
    columns = ("snapshot", "published", "content digest", "#orders", "#items", "#pairs", "#drops", "")
    return "<h2>Snapshots</h2>" + _table("What was published for serving", columns, rows)


def _lineage(report: Report) -> str:
    if not report.drops:
        return ""
    drawn = report.drops[-_DRAWN:]
    first = {drop.key: drop.snapshots[0] if drop.snapshots else None for drop in drawn}
    shown = [one for one in report.snapshots if one.snapshot_id in set(first.values())]
    chart = lineage_chart(
        [(drop.key, drop.name) for drop in drawn],
        [(one.snapshot_id, one.snapshot_id) for one in shown],
        first,
    )
    left_out = len(report.drops) - len(drawn)
    note = f" The {left_out:,} older drops are in the table only." if left_out else ""
    rows = [
        (
            drop.name,
            _code(drop.sha256[:12]),
            _run_id(drop.run_id),
            (drop.snapshots and _code(drop.snapshots[0])) or "none",
            len(drop.snapshots),
        )
        for drop in report.drops
    ]
    columns = ("file", "sha256", "read by run", "first snapshot", "#snapshots it is in")
    return (
        f'<h2>Lineage: drop, run, snapshot</h2><p class="soft">Each drop is joined to the first snapshot it became '
        f"part of; dashed frames are in no snapshot of this report.{note}</p>{chart}"
        + _table("From each file to what was served", columns, rows)
    )


def _marks(report: Report) -> str:
    if not report.marks:
        return "<h2>Refusals, replacements and other events</h2><p>None.</p>"
    rows = [
        (_Nowrap(_time(one.at)), one.event.replace("_", " "), one.what, _Words(one.words), _run_id(one.run_id))
        for one in report.marks
    ]
    columns = ("at", "event", "of", "details", "run")
    return "<h2>Refusals, replacements and other events</h2>" + _table("From the audit trail", columns, rows)


def _definitions() -> str:
    terms = [
        ("drop", "one order file, identified by the sha256 of its bytes"),
        ("line", "one data record; a quoted line break does not make two; header and blank lines are counted apart"),
        ("read", "records counted in the bytes of the file; always accepted + excluded + quarantined"),
        ("accepted", "lines that went into the orders"),
        ("excluded", "lines that a rule of the shop leaves out, such as cancellations; nothing is wrong with them"),
        ("quarantined", "lines something is wrong with; each is kept with its bytes, position and reason"),
        ("reason", "the first that applies to a line: its structure, then rules of the shop, then its values"),
        ("quality score", "100 x (1 - quarantined / read); 100 without any line"),
        ("adds up", "read = accepted + excluded + quarantined, and the reasons count all that was not accepted"),
        ("snapshot", "one published state of the recommendations; equal content has an equal digest"),
        ("total", "over all drops of this report that were read, also those taken out (retracted) later"),
        ("run", "counts of a run are those it entered when it read the drops, as they stand in the audit trail"),
        (
            "audit trail",
            (
                "rows that the database refuses to change, each with the hash of the one before. The head above, once "
                "noted, proves later that nothing before it was altered: reco audit trail --verify --head HASH"
            ),
        ),
    ]
    words = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in terms)
    private = (
        "This page names files, runs and counts. It holds no customer and no order line; messages of errors are shown "
        "as they were."
    )
    return f'<h2>How the numbers are defined</h2><dl class="facts">{words}</dl><p class="soft">{private}</p>'


class _Html(str):
    """Markup of ours, escaped already."""

    __slots__ = ()


class _Nowrap(str):
    """A text that is not broken over lines."""

    __slots__ = ()


class _Words(str):
    """A text that needs room."""

    __slots__ = ()


def _code(text: str) -> _Html:
    return _Html(f"<code>{escape(text)}</code>")


def _digest(sha256: str) -> _Html:
    """A sha256 in two lines, which fit beside many columns."""
    return _Html(f"<code>{escape(sha256[:32])}</code><br><code>{escape(sha256[32:])}</code>")


def _run_id(run_id: str | None) -> _Html:
    """The start of a run's id, which is enough to name it; the table of runs has it whole."""
    return _code((run_id or "-")[:8])


def _cell(value: Any, *, number: bool) -> str:
    markup = str(value) if isinstance(value, _Html) else escape(str(value))
    text = f"{value:,}" if isinstance(value, int) else markup
    kind = "n" if number else "nowrap" if isinstance(value, _Nowrap) else "words" if isinstance(value, _Words) else ""
    return f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>"


def _table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], total: Sequence[Any] | None = None
) -> str:
    """A table; columns whose name begins with # hold numbers."""
    numbers = [name.startswith("#") for name in columns]
    head = "".join(
        f'<th scope="col"{" class=n" if number else ""}>{escape(name.lstrip("#"))}</th>'
        for name, number in zip(columns, numbers, strict=True)
    )

    def cells(row: Sequence[Any]) -> str:
        return "".join(_cell(value, number=number) for value, number in zip(row, numbers, strict=True))

    body = "".join(f"<tr>{cells(row)}</tr>" for row in rows)
    body = body or f'<tr><td colspan="{len(columns)}">none</td></tr>'
    foot = f"<tfoot><tr>{cells(total)}</tr></tfoot>" if total is not None else ""
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody>{foot}</table></div>"
    )


def _time(at: dt.datetime) -> str:
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"
