"""The commands of the audit: report and trail, and what its other commands share.

Does not belong here: what a report says (`reco.audit`).
"""

import datetime as dt
import io
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import facts, print_json, say, table

if TYPE_CHECKING:
    from reco.audit.report import Report
    from reco.orders.home import Home

app = typer.Typer(help="The audit report, the audit trail, and where a recommendation comes from.")
FAILED = 1


class Format(StrEnum):
    """How a report looks."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


class Group(StrEnum):
    """What one row of a table or CSV is about."""

    DROP = "drop"
    RUN = "run"
    DAY = "day"


@app.command("report")
def report(
    drop: Annotated[
        str | None, typer.Option("--drop", metavar="D", help="Only this drop: key, name or start of its sha256.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="R", help="Only this run: its id or the start.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="DATE", help="From this day or time on (UTC, ISO 8601).")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATE", help="To this day, included, or to this time.")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How it looks.")] = Format.TABLE,
    by: Annotated[Group, typer.Option("--by", help="What a row of the table or CSV is about.")] = Group.DROP,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write to a file, not to stdout.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """What came in, what became of every line, and what was published of it; the page for an auditor is html.

    Example: reco audit report --since 2024-06-01 --until 2024-06-30 --format html --out june.html
    """
    from reco.audit.gather import make_report
    from reco.audit.report import Scope
    from reco.catalog.rules import CATALOGUE_REASONS
    from reco.errors import UsageError
    from reco.orders.balance import QUARANTINED
    from reco.orders.rules import REASONS
    from reco_pipeline.proving import prove_home

    if sum((drop is not None, run is not None, bool(since or until))) > 1:
        raise UsageError("--drop, --run and a period exclude each other.", hint="Give one of them.")
    form = Format.JSON if as_json and form is Format.TABLE else form
    if form is Format.TABLE and out is not None:
        raise UsageError("A table is for the terminal.", hint="Give --format html, csv or json with --out.")
    scope = Scope(drop, run, _moment(since, "--since"), _moment(until, "--until", whole_day=True))
    if scope.since and scope.until and scope.since >= scope.until:
        raise UsageError("--until lies before --since.", hint="A day given as --until is included.")
    home = home_of_command()
    made = make_report(
        home.ledger.engine,
        scope,
        namespace=home.settings.namespace,
        now=dt.datetime.now(dt.UTC),
        dispositions=dict.fromkeys(CATALOGUE_REASONS, QUARANTINED) | REASONS,
        proof=prove_home(home),
        lake_problems={one.key: one.message for one in home.ledger.imbalances()},
    )
    if as_json and out is None:
        print_json(made.as_dict())
    elif form is Format.TABLE:
        _show(made, by)
    elif out is None:
        say(_rendered(made, form, by).removesuffix("\n"))
    else:
        _write(out, _rendered(made, form, by))
        if as_json:
            print_json({"out": str(out), "format": form.value, "adds_up": not made.problems})
        else:
            say(f"{out} is written: {len(made.drops):,} drops, {made.lines.read:,} lines.")


def _rendered(made: "Report", form: Format, by: Group) -> str:
    import json

    if form is Format.JSON:
        return json.dumps(made.as_dict(), ensure_ascii=False) + "\n"
    if form is Format.HTML:
        from reco.audit.page import html_page

        return html_page(made)
    from reco.audit.report import flat_rows
    from reco.audit.spreadsheet import write_csv

    text = io.StringIO()
    write_csv(text, *flat_rows(made, by))
    return text.getvalue()


def _write(out: Path, text: str) -> None:
    from reco.errors import UsageError

    try:
        out.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}.", hint="Give --out another path.") from error


def _show(made: "Report", by: Group) -> None:
    lines = made.lines
    facts(
        [
            ("scope", made.scope.words),
            ("drops", ", ".join(f"{count} {state}" for state, count in made.states.items()) or "none"),
            ("lines", f"{lines.equation} (read = accepted + excluded + quarantined)"),
            ("quality score", round(lines.score, 2)),
            ("reasons", ", ".join(f"{name} {count:,}" for name, count in lines.reasons.items()) or "none"),
            ("snapshots", len(made.snapshots)),
            ("replays", len(made.replays)),
            ("catalogues", len(made.catalogues)),
            ("audit trail", f"{made.proof.chain.events:,} events, {made.proof.chain.problem or 'whole'}"),
            (
                "noted heads",
                ", ".join((f"{made.proof.heads:,} in the chain", *(f"not {u}" for u in made.proof.unasked))),
            ),
        ]
    )
    figures = ("read", "accepted", "excluded", "quarantined", "adds up", "score")

    def row(one: Any) -> tuple[Any, ...]:
        lines = one.lines
        if lines is None:
            return (None,) * len(figures)
        right = "yes" if lines.adds_up else "NO"
        return (lines.read, lines.accepted, lines.excluded, lines.quarantined, right, round(lines.score, 2))

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    if by is Group.DROP:
        columns = ("drop", "state", "received", *figures, "in snapshots")
        rows = [(d.key, d.status, time_text(d.received_at), *row(d), len(d.snapshots)) for d in made.drops]
        table("Drops", columns, rows)
    elif by is Group.RUN:
        columns = ("run", "first event", "drops", *figures, "outcome", "snapshot")
        rows = [(r.run_id, time_text(r.first_at), r.drops, *row(r), r.outcome, r.snapshot_id or "") for r in made.runs]
        table("Runs", columns, rows)
    else:
        table("Days", ("day", "drops", *figures), [(str(d.day), d.drops, *row(d)) for d in made.days])
    if made.snapshots:
        columns = ("snapshot", "published", "run", "orders", "items", "pairs", "drops")
        snapshots = [
            (s.snapshot_id, time_text(s.published_at), s.run_id or "", s.orders, s.items, s.pairs, len(s.drops or ()))
            for s in made.snapshots
        ]
        table("Snapshots", columns, snapshots)
    if made.replays:
        columns = ("replay", "of", "at", "by", "given", "accepted", "excluded", "quarantined", "")
        table(
            "Replays",
            columns,
            [
                (
                    *(r.key, r.drop_name, time_text(r.at), r.actor),
                    *(r.given, r.accepted, r.excluded, r.quarantined, "void" if r.voided_at else ""),
                )
                for r in made.replays
            ],
        )
    if made.catalogues:
        columns = ("catalogue", "state", "received", *figures)
        table("Catalogues", columns, [(c.key, c.status, time_text(c.received_at), *row(c)) for c in made.catalogues])
    if made.marks:
        table(
            "Events",
            ("at", "event", "of", "details"),
            [(time_text(m.at), m.event, m.what, m.words) for m in made.marks],
        )
    for problem in made.problems:
        say(f"  WRONG: {problem}")


@app.command("trail")
def trail(
    drop: Annotated[
        str | None, typer.Option("--drop", metavar="D", help="Only events of this drop: key, name or start of sha256.")
    ] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="R", help="Only events of this run.")] = None,
    event: Annotated[str | None, typer.Option("--event", metavar="E", help="Only this kind of event.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="T", help="From this day or time on (UTC, ISO 8601).")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="At most so many, the newest.")
    ] = 50,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the whole chain of hashes instead; exit 1 where it is broken.")
    ] = False,
    head: Annotated[
        str | None,
        typer.Option("--head", metavar="HASH", help="With --verify: a head noted earlier, which must be in it."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """The append-only trail: every step, newest first, by which run and with what before and after.

    Example: reco audit trail --event snapshot_published --limit 5
    """
    from reco.audit.gather import one_drop
    from reco.audit.trail import Event, events
    from reco.audit.words import event_words
    from reco.errors import UsageError
    from reco_pipeline.pending import catalogue_ledger

    home = home_of_command()
    if verify or head is not None:
        _verify(home, head, as_json)
        return
    if event is not None and event not in set(Event):
        raise UsageError(f"{event!r} is no kind of event.", hint=f"Kinds: {', '.join(Event)}.")
    known = [*home.ledger.drops(), *catalogue_ledger(home).drops()] if drop is not None else []
    key = one_drop(known, drop).key if drop is not None else None
    found = events(
        home.ledger.engine,
        event=Event(event) if event else None,
        drop_key=key,
        run_id=run,
        since=_moment(since, "--since"),
        limit=limit,
    )
    if as_json:
        print_json({"events": [vars(one) for one in found]})
        return
    rows = [
        (
            one.id,
            time_text(one.at),
            one.event.value,
            one.drop_key or one.snapshot_id or "",
            event_words(one.event, one.details),
        )
        for one in found
    ]
    table("Audit trail, newest first", ("id", "at", "event", "of", "details"), rows)


def _verify(home: "Home", head: str | None, as_json: bool) -> None:
    from reco_pipeline.proving import prove_home

    found = prove_home(home, given=head)
    if as_json:
        print_json(found.as_dict())
        raise typer.Exit(FAILED if found.problems else 0)
    if found.chain.whole:
        say(f"The chain of {found.chain.events:,} events is whole. Note its head to prove later that none was changed:")
        say(f"  {found.chain.head}")
        say(f"It holds all {found.heads:,} heads that were noted before, by snapshots, runs and --head.")
    else:
        say(f"The audit trail is broken: {found.chain.problem}. {found.chain.events:,} events before it are whole.")
    for place in found.unasked:
        say(f"  Not compared with {place}")
    if not found.files.problems:
        say(f"{found.files.checked:,} files of the lake are those the trail names.")
    for problem in found.files.problems:
        say(f"  WRONG: {problem}. (A run or a forgetting that was killed leaves such: run it again first.)")
    raise typer.Exit(FAILED if found.problems else 0)


def _moment(text: str | None, option: str, *, whole_day: bool = False) -> dt.datetime | None:
    """A day or a time; with `whole_day` a day means its end."""
    from reco.errors import UsageError

    if text is None:
        return None
    try:
        at = dt.datetime.fromisoformat(text)
        at = at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)
        return at + dt.timedelta(days=1) if whole_day and len(text) <= len("2024-06-01") else at
    except ValueError:
        hint = "Write it as 2024-06-01 or 2024-06-01T12:30."
        raise UsageError(f"{option} {text!r} is no date.", hint=hint) from None
    except OverflowError:
        raise UsageError(f"{option} {text!r} lies beyond the calendar.", hint="Leave it out for no limit.") from None


def time_text(at: dt.datetime) -> str:
    """A time as people read it."""
    return f"{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}Z"


def home_of_command() -> "Home":
    """The home that the settings of a command name."""
    from reco.orders.home import open_home
    from reco_pipeline.cli.start import settings_of_command

    return open_home(settings_of_command())
