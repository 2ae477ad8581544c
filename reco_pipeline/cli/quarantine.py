"""The commands on lines that were not accepted: list, show, export, replay and expire.

Does not belong here: what they do (`reco.orders.quarantine`, `reco.orders.replay`, `reco.orders.retention`).
"""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_pipeline.cli.options import JsonFlag, SourceOption, default_of_group
from reco_pipeline.cli.output import facts, print_json, say, table

if TYPE_CHECKING:
    from reco.orders.again import ReplayReport
    from reco.orders.home import Home
    from reco.orders.quarantine import DropCounts, QuarantinedLine, Selection

SOME_ROWS_REFUSED = 3
LOCK_SECONDS = 60
STILL_SHOWN = 20
RAW_SHOWN = 2_000

app = typer.Typer(
    help="Lines that were not accepted: look at them, mend them, read them again.", invoke_without_command=True
)

DropOption = Annotated[
    str | None,
    typer.Option("--drop", metavar="DROP", help="Only lines of this drop: key, name or start of its sha256."),
]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="REASON", help="Only lines of this reason.")]


@app.callback()
def _default(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Lines that were not accepted: look at them, mend them, read them again."""
    if default_of_group(context, as_json):
        counts(as_json=as_json)


@app.command("list")
def counts(drop: DropOption = None, reason: ReasonOption = None, as_json: JsonFlag = False) -> None:
    """How many lines of each drop were not accepted, why, and how many were replayed since.

    Example: reco quarantine list --reason invalid_quantity
    """
    from reco.orders import quarantine

    home = _home()
    found = quarantine.counts(home.ledger, home.lake, _selection(drop, reason))
    if as_json:
        print_json({"drops": [_counts_json(one) for one in found]})
        return
    if not found:
        say("No line is quarantined or excluded.")
        return
    rows = [
        (one.drop.key, each.disposition, each.reason, each.lines, each.replayed, each.open)
        for one in found
        for each in one.reasons
    ]
    table("Lines not accepted", ("drop", "disposition", "reason", "lines", "replayed", "open"), rows)
    still = sum(each.open for one in found for each in one.reasons)
    say(f"{still:,} lines wait to be mended: `reco quarantine export --out FILE.csv` writes them for a spreadsheet.")


def _counts_json(one: "DropCounts") -> dict[str, object]:
    drop = one.drop
    first = {
        name: getattr(drop, name) for name in ("lines_read", "lines_accepted", "lines_excluded", "lines_quarantined")
    }
    replays = [
        {name: getattr(replay, name) for name in ("key", "at", "actor", "kind", "name", "lines_given")}
        | {name: getattr(replay, name) for name in ("lines_accepted", "lines_excluded", "lines_quarantined")}
        for replay in drop.replays
    ]
    reasons = [
        {"reason": r.reason, "disposition": r.disposition, "lines": r.lines, "replayed": r.replayed, "open": r.open}
        for r in one.reasons
    ]
    return {
        "key": drop.key,
        "name": drop.name,
        **first,
        "lines_open": drop.lines_open,
        "reasons": reasons,
        "replays": replays,
    }


@app.command("show")
def show(
    drop: DropOption = None,
    reason: ReasonOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many lines.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """The lines that were not accepted, as they came, with file, line, byte offset and reason.

    Example: reco quarantine show --drop orders-april --reason unbalanced_quote
    """
    from itertools import islice

    from reco.orders import quarantine

    home = _home()
    selection = _selection(drop, reason)
    drops = selection.drops(home.ledger)
    lines = list(islice(quarantine.lines(home.ledger, home.lake, drops, reason=selection.reason), limit + 1))
    if as_json:
        print_json({"lines": [line.to_json() for line in lines[:limit]], "more": len(lines) > limit})
        return
    if not lines:
        say("No line is quarantined or excluded.")
    for line in lines[:limit]:
        _show(line)
    if len(lines) > limit:
        say("... and more: --limit shows them.")


def _show(line: "QuarantinedLine") -> None:
    state = f", replayed by {line.replay_key}" if line.replay_key else ""
    say(f"{line.drop.name}, line {line.line}, byte {line.byte_offset}: {line.disposition}{state}")
    where = (
        f"{line.column} {line.value!r}: " if line.column and line.value else f"{line.column}: " if line.column else ""
    )
    also = f" (also {', '.join(line.also)})" if line.also else ""
    facts(
        [
            (line.reason, f"{where}{line.message}{also}"),
            ("raw", "removed, its time of keeping is over" if line.text is None else _shortened(line.text)),
        ]
    )


def _shortened(text: str) -> str:
    return text if len(text) <= RAW_SHOWN else f"{text[:RAW_SHOWN]}... ({len(text):,} characters)"


@app.command("export")
def export(
    out: Annotated[Path, typer.Option("--out", metavar="FILE.csv", help="CSV file to write; must not exist.")],
    drop: DropOption = None,
    reason: ReasonOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Write the lines that wait to be mended as CSV for a spreadsheet; `reco quarantine replay` takes it back.

    Example: reco quarantine export --drop orders-april --out mend.csv
    """
    from reco.orders.mending import export_open

    written = export_open(_home(), _selection(drop, reason), out, now=dt.datetime.now(dt.UTC))
    if as_json:
        print_json(
            {
                "file": str(out) if written.lines else None,
                "lines": written.lines,
                "drops": written.drops,
                "lines_without_text": written.bare,
            }
        )
        return
    if written.lines:
        say(f"{out}: {written.lines:,} lines of {written.drops:,} drops.")
    else:
        say("No line waits to be mended: nothing is written.")
    if written.bare:
        say(f"{written.bare:,} more are left out: their time of keeping is over, and their text was removed.")
    if written.lines:
        say(f"Mend the cells, leave the columns as they are, save as CSV (UTF-8), then `reco quarantine replay {out}`.")


@app.command("replay")
def replay(
    file: Annotated[Path | None, typer.Argument(metavar="[FILE.csv]", help="A mended export.")] = None,
    drop: DropOption = None,
    reason: ReasonOption = None,
    everything: Annotated[bool, typer.Option("--all", help="All lines that wait to be mended.")] = False,
    source: SourceOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Read quarantined lines again: mended in a file, or as they came with another profile. Each line once.

    Example: reco quarantine replay mend.csv

    Example: reco quarantine replay --drop orders-april --source shop.toml
    """
    from reco.errors import UsageError
    from reco.orders.profiles import load_profile
    from reco.orders.replay import replay_file, replay_lines
    from reco.storage.homelock import home_lock
    from reco_pipeline.cli.start import account

    chosen = bool(drop or reason or everything)
    if (file is None) != (chosen and source is not None) or (file is not None and (chosen or source)):
        raise UsageError(
            "Give either a mended file, or --source with --drop, --reason or --all.",
            hint="Example: reco quarantine replay mend.csv, or: reco quarantine replay --all --source shop.toml",
        )
    home = _home()
    now = dt.datetime.now(dt.UTC)
    with home_lock(home.settings.home, wait_seconds=LOCK_SECONDS):
        if file is not None:
            report = replay_file(home, file, now=now, actor=account())
        else:
            from reco_pipeline.pending import take_item_files

            profile = load_profile(source or "")
            take_item_files(home, [profile], now=now)
            report = replay_lines(home, _selection(drop, reason), profile, now=now, actor=account())
    if as_json:
        print_json(_report_json(report))
    else:
        _show_report(report)
    raise typer.Exit(SOME_ROWS_REFUSED if report.refused else 0)


def _report_json(report: "ReplayReport") -> dict[str, object]:
    from dataclasses import asdict

    counts = ("lines_given", "lines_accepted", "lines_excluded", "lines_quarantined")
    return {
        **{name: report.total(name) for name in counts},
        "rows_known": report.known,
        "rows_unchanged": report.unchanged,
        "replays": [
            {"key": one.key, "drop": one.drop_key, **{name: getattr(one, name) for name in counts}}
            for one in report.replays
        ],
        "refused": [asdict(one) for one in report.refused],
        "still_quarantined": [asdict(one) for one in report.still],
    }


def _show_report(report: "ReplayReport") -> None:
    facts(
        [
            ("lines read again", report.total("lines_given")),
            ("  accepted", report.total("lines_accepted")),
            ("  excluded", report.total("lines_excluded")),
            ("  still quarantined", report.total("lines_quarantined")),
            *([("rows left as they were", report.unchanged)] if report.unchanged else []),
            *([("rows read before", report.known)] if report.known else []),
            *([("refused", len(report.refused))] if report.refused else []),
        ]
    )
    for one in report.still[:STILL_SHOWN]:
        told = f"{one.column} {one.value!r}: {one.message}" if one.column and one.value else one.message
        say(f"  {one.drop_key} line {one.line}: {one.reason}: {told}")
    if len(report.still) > STILL_SHOWN:
        say(f"  and {len(report.still) - STILL_SHOWN} or more others: --json has 200 of them.")
    for refused in report.refused:
        say(f"refused: {f'row {refused.row}' if refused.row else refused.line}: {refused.why}.")
    if report.total("lines_accepted"):
        say("`reco run` publishes recommendations with them; where `reco dev` is up, that happens by itself.")


@app.command("expire")
def expire(
    days: Annotated[
        int | None,
        typer.Option("--days", min=0, max=36_600, help="Kept so long; without it as RECO_QUARANTINE_RAW_DAYS says."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove the text of lines that were read longer ago than it may be kept; rows, reasons and counts stay.

    Example: reco quarantine expire --days 90
    """
    from reco.errors import UsageError
    from reco.orders.retention import PSEUDONYMOUS_DAYS
    from reco.orders.retention import expire as expire_text
    from reco.storage.homelock import home_lock

    home = _home()
    known = home.settings.quarantine_raw_days
    if days is None and known == 0:
        raise UsageError(
            "RECO_QUARANTINE_RAW_DAYS is 0: the text of lines is kept for ever.", hint="Give --days to remove some."
        )
    with home_lock(home.settings.home, wait_seconds=LOCK_SECONDS):
        gone = expire_text(home, days=days, now=dt.datetime.now(dt.UTC))
    kept = PSEUDONYMOUS_DAYS if days is None and known is None else known if days is None else days
    lines = sum(one.lines for one in gone)
    if as_json:
        print_json({"days": kept, "lines": lines, "drops": [{"key": one.drop_key, "lines": one.lines} for one in gone]})
        return
    say(f"The text of {lines:,} lines of {len(gone):,} drops is removed; their rows, reasons and counts stay.")


def _selection(drop: str | None, reason: str | None) -> "Selection":
    from reco.orders.quarantine import Selection

    return Selection(drop, reason)


def _home() -> "Home":
    from reco.orders.home import open_home
    from reco_pipeline.cli.start import settings_of_command

    return open_home(settings_of_command())
