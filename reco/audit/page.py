"""The report as one self-contained HTML page: no script, nothing from a network.

Belongs here: the sections of the page and their words. Does not belong here: figures (`reco.audit.report`) or drawing
(`reco.audit.charts`). Every text is escaped: file names, reasons and messages come from outside.
"""

from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Any

from reco.audit.charts import bar_chart, lineage_chart, score_chart
from reco.audit.markup import Html, Note, Nowrap, Words, code, digest, run_start, table, time_text, when, yes_or_no
from reco.audit.report import DropEntry, Lines, Report, RunEntry

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
        ("Generated", f"{time_text(report.generated_at)} UTC by reco {report.version}"),
        ("Drops", ", ".join(f"{count} {state}" for state, count in report.states.items()) or "none"),
        ("Audit trail", f"{proof.chain.events:,} events, head {proof.chain.head}"),
        ("Held against", held),
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
        f'<h1>Audit report</h1><p class="soft">Order files, what became of every line, and what was published of '
        f"them. All times are UTC.</p>"
        f'<dl class="facts">{"".join(f"<dt>{escape(n)}</dt><dd>{escape(v)}</dd>" for n, v in facts)}</dl>'
        f'<div class="cards">{"".join(f"<div class=card><b>{v}</b><span>{n}</span></div>" for n, v in cards)}</div>'
        f"{verdict}{_reservations(report)}"
    )


def _reservations(report: Report) -> str:
    """What the verdict does not speak of: an auditor has to know what is not in the sums."""
    unread = [drop for drop in report.drops if drop.lines is None]
    said = []
    if unread:
        names = ", ".join(f"{drop.name} ({drop.status})" for drop in unread[:5])
        more = f" and {len(unread) - 5:,} more" if len(unread) > 5 else ""
        said.append(f"The lines of drops that were not read are in no figure: {names}{more}.")
    waiting = sum(drop.open or 0 for drop in report.drops)
    if waiting:
        said.append(f"{waiting:,} quarantined lines of drops in effect wait to be mended.")
    said += [f"The trail was not held against {one}." for one in report.proof.unasked]
    items = "".join(f"<li>{escape(one)}</li>" for one in said)
    return f'<div class="verdict open"><b>To be known beside it</b><ul>{items}</ul></div>' if said else ""


def _scores(report: Report) -> str:
    read = [(drop, drop.lines) for drop in report.drops if drop.lines is not None]
    if not read:
        return ""
    if len(read) > _POINTS:
        points, each = [(f"{day.day}", day.lines.score) for day in report.days if day.lines.read], "day"
    else:
        points, each = [(f"{time_text(drop.received_at)} {drop.name}", lines.score) for drop, lines in read], "drop"
    note = f"Each point is a {each}, in the order of receipt; the scale does not begin at 0."
    return f'<h2>Quality score over time</h2><p class="soft">{note}</p>{score_chart(points, each=each)}'


def _reasons(report: Report) -> str:
    lines = report.lines
    if not lines.reasons:
        return "<h2>Reasons</h2><p>Every line was accepted.</p>" if lines.read else ""
    of = report.dispositions
    bars = [(name, count, of.get(name, "quarantined")) for name, count in lines.reasons.items()]
    rows = [(code(name), kind, count, f"{count / lines.read:.3%}") for name, count, kind in bars]
    key = '<p class="key soft"><i class="q"></i>quarantined: something is wrong<i class="e"></i>excluded: by a rule</p>'
    listed = table("Lines not accepted, by reason", ("reason", "disposition", "#lines", "#of lines read"), rows)
    return f"<h2>Reasons</h2>{key}{bar_chart(bars, words='Lines not accepted, by reason')}{listed}"


_FIGURES = ("#read", "#accepted", "#excluded", "#quarantined", "adds up", "#score")


def _figures(lines: Lines | None) -> tuple[Any, ...]:
    if lines is None:
        return ("-",) * len(_FIGURES)
    counts = (lines.read, lines.accepted, lines.excluded, lines.quarantined)
    return (*counts, yes_or_no(right=lines.adds_up), f"{lines.score:.2f}")


def _drops(report: Report) -> str:
    total = (
        "All drops that were read",
        "",
        "",
        *_figures(report.lines),
        sum(one.open or 0 for one in report.drops),
    )
    columns = (*_DROP, *_FIGURES, "#open")
    rows = [row for drop in report.drops for row in _drop_rows(drop, "-" if drop.open is None else drop.open)]
    return "<h2>Drops</h2>" + table("One row a file, by its bytes", columns, rows, total)


_DROP = ("file, profile and sha256", "state", "received")


def _drop_rows(drop: DropEntry, *more: Any) -> list[Sequence[Any] | Note]:
    name = Html(f'{escape(drop.name)} <span class="soft">{escape(drop.source)}</span><br>{digest(drop.sha256)}')
    row = (name, drop.status, when(drop.received_at), *_figures(drop.lines), *more)
    return [row, Note(drop.error)] if drop.error else [row]


def _replays(report: Report) -> str:
    rows = [
        (
            one.drop_name,
            when(one.at),
            one.actor,
            Words(f"{'mended in' if one.kind == 'file' else 'with profile'} {one.name}"),
            *(one.given, one.accepted, one.excluded, one.quarantined),
            yes_or_no(right=one.adds_up),
            Words(f"no, since {time_text(one.voided_at)}: {one.voided_why}" if one.voided_at else "yes"),
        )
        for one in report.replays
    ]
    if not rows:
        return ""
    columns = ("file", "at", "by", "how", "#given", "#accepted", "#excluded", "#still quarantined", "adds up", "counts")
    return "<h2>Replays</h2>" + table("Quarantined lines that were read again; no count above changed", columns, rows)


def _catalogues(report: Report) -> str:
    rows = [row for one in report.catalogues for row in _drop_rows(one)]
    if not rows:
        return ""
    columns = (*_DROP, *_FIGURES)
    return "<h2>Catalogues</h2>" + table("Lists of items; their lines are no order lines", columns, rows)


def _runs(report: Report) -> str:
    columns = ("run and its snapshot", "first event", "#drops", "#failed", *_FIGURES, "outcome")
    rows = [_run_row(one) for one in report.runs]
    return "<h2>Runs</h2>" + table("What each run read, and how it ended", columns, rows)


def _run_row(one: RunEntry) -> tuple[Any, ...]:
    name = Html(f"{code(one.run_id)}<br>{code(one.snapshot_id or 'no snapshot')}")
    read = _figures(one.lines if one.drops else None)
    return (name, when(one.first_at), one.drops, one.drops_failed, *read, one.outcome)


def _days(report: Report) -> str:
    rows = [(Nowrap(str(one.day)), one.drops, *_figures(one.lines)) for one in report.days]
    return "<h2>Days</h2>" + table("By day of receipt (UTC)", ("day", "#drops", *_FIGURES), rows)


def _snapshots(report: Report) -> str:
    rows = [
        (
            code(one.snapshot_id),
            when(one.published_at),
            digest(one.digest),
            one.orders,
            one.items,
            one.pairs,
            "-" if one.drops is None else len(one.drops),
            "overruled" if one.forced else "passed",
        )
        for one in report.snapshots
    ]
    columns = ("snapshot", "published", "content digest", "#orders", "#items", "#pairs", "#drops", "gate")
    return "<h2>Snapshots</h2>" + table("What was published for serving", columns, rows)


def _lineage(report: Report) -> str:
    if not report.drops:
        return ""
    drawn = report.drops[-_DRAWN:]
    first = {drop.key: drop.snapshots[0] if drop.snapshots else None for drop in drawn}
    shown = [one for one in report.snapshots if one.snapshot_id in set(first.values())]
    chart = lineage_chart(
        [(drop.key, drop.name if drop.status == "ingested" else f"{drop.name} ({drop.status})") for drop in drawn],
        [(one.snapshot_id, one.snapshot_id) for one in shown],
        first,
    )
    newest = report.snapshots[-1].snapshot_id if report.snapshots else None
    left_out = len(report.drops) - len(drawn)
    note = f" The {left_out:,} older drops are in the table only." if left_out else ""
    rows = [
        (
            Nowrap(drop.name),
            code(drop.sha256[:12]),
            run_start(drop.run_id),
            (drop.snapshots and code(drop.snapshots[0])) or "none",
            len(drop.snapshots),
            "yes" if newest in drop.snapshots else "no",
        )
        for drop in report.drops
    ]
    columns = ("file", "sha256", "read by run", "first snapshot", "#snapshots it is in", "in the newest")
    return (
        f'<h2>Lineage: drop, run, snapshot</h2><p class="soft">Each drop is joined to the first snapshot it became '
        f"part of; dashed frames are in no snapshot of this report.{note}</p>{chart}"
        + table("From each file to what was served", columns, rows)
    )


def _marks(report: Report) -> str:
    if not report.marks:
        return "<h2>Refusals, replacements and other events</h2><p>None.</p>"
    rows = [
        (
            when(one.at),
            Nowrap(one.event.replace("_", " ")),
            one.what,
            Words(one.words),
            run_start(one.run_id),
        )
        for one in report.marks
    ]
    columns = ("at", "event", "of", "details", "run")
    return "<h2>Refusals, replacements and other events</h2>" + table("From the audit trail", columns, rows)


def _definitions() -> str:
    terms = [
        ("drop", "one order file, identified by the sha256 of its bytes"),
        ("line", "one data record; a quoted line break does not make two; header and blank lines are counted apart"),
        ("read", "records counted in the bytes of the file; always accepted + excluded + quarantined"),
        ("accepted", "lines that went into the orders"),
        ("excluded", "lines that a rule of the shop leaves out, such as cancellations; nothing is wrong with them"),
        ("quarantined", "lines something is wrong with; each is kept with its bytes, position and reason"),
        ("reason", "the first that applies to a line: its structure, then rules of the shop, then its values"),
        ("open", "quarantined lines that no replay has settled since: quarantined = replayed + open"),
        ("replay", "quarantined lines read again, mended or with another profile; it changes no count of its drop"),
        ("failed", "a drop that cannot be used at all; none of its lines is counted"),
        ("retracted", "a drop that a person took out; its counts stay in this report, its lines feed nothing"),
        ("catalogue", "a list of items with names, categories and prices; its lines stand in no sum of order lines"),
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
        (
            "held against",
            (
                "heads that published snapshots and runs noted outside of the database, all of which must be in the "
                "trail; and the sha256 of every file that the trail names, read again for this report"
            ),
        ),
    ]
    words = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in terms)
    private = (
        "This page names files, runs and counts. It holds no customer and no order line; messages of errors are shown "
        "as they were."
    )
    return f'<h2>How the numbers are defined</h2><dl class="facts">{words}</dl><p class="soft">{private}</p>'
