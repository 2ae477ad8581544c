"""The commands that bring orders in: run, drop, sample.

Does not belong here: the run itself (`reco_pipeline.run`).
"""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_pipeline.cli.options import JsonFlag, SourceOption
from reco_pipeline.cli.output import facts, print_json, progress, say, size, table, warn

if TYPE_CHECKING:
    from reco_pipeline.summary import RunSummary

SOME_DROPS_FAILED = 3
DROPS_SHOWN = 20


def run(
    orders: Annotated[
        list[Path] | None, typer.Option("--orders", metavar="PATH", help="Order file or folder; may be repeated.")
    ] = None,
    catalogue: Annotated[
        list[Path] | None,
        typer.Option("--catalogue", metavar="FILE", help="Catalogue of items (names, categories); may be repeated."),
    ] = None,
    source: SourceOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Publish although the gate refuses; this is recorded.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Process order files and publish recommendations.

    Without --orders and --catalogue: the files of the inbox; on a new local home, a generated sample.

    Example: reco run --orders exports/2024-06/ --source shopify
    """
    from reco_pipeline.cli.start import settings_of_command
    from reco_pipeline.run import RunRequest
    from reco_pipeline.run import run as run_pipeline

    settings = settings_of_command()
    with progress():
        summary = run_pipeline(settings, RunRequest(tuple(orders or ()), tuple(catalogue or ()), source, force))
    if as_json:
        print_json(summary.to_json())
    else:
        _show(summary)
        if summary.snapshot.snapshot_id:
            from reco_pipeline.cli.ask import show_examples

            show_examples(settings)
            _next_steps()
        for drop in (*summary.drops, *summary.catalogues):
            if drop.error:  # last, where it is seen
                warn(f"failed: {drop.error}")
    raise typer.Exit(SOME_DROPS_FAILED if summary.drops_failed else 0)


def _show(summary: "RunSummary") -> None:
    rows = [
        (d.name, d.status, d.lines_read, d.lines_accepted, d.lines_excluded, d.lines_quarantined)
        for d in summary.drops[:DROPS_SHOWN]
    ]
    if rows:
        table("Drops", ("file", "state", "lines read", "accepted", "excluded", "quarantined"), rows)
    if summary.catalogues:
        listed = [
            (c.name, c.status, c.lines_read, c.lines_accepted, c.lines_quarantined)
            for c in summary.catalogues[:DROPS_SHOWN]
        ]
        table("Catalogues", ("file", "state", "lines read", "accepted", "quarantined"), listed)
    if len(summary.drops) > DROPS_SHOWN:
        say(f"  and {len(summary.drops) - DROPS_SHOWN} more: `reco drops list` shows all of them.")
    say(_headline(summary))
    lines = [
        ("lines read", summary.total("lines_read")),
        ("  accepted", summary.total("lines_accepted")),
        ("  excluded", summary.total("lines_excluded")),
        ("  quarantined", summary.total("lines_quarantined")),
        *((f"    {reason}", count) for reason, count in summary.reasons.items()),
    ]
    facts(
        [
            *(lines if summary.total("lines_read") else ()),
            ("orders", summary.snapshot.orders),
            ("items", summary.snapshot.items),
            ("pairs", summary.snapshot.pairs),
            ("Redis", f"{summary.snapshot.redis_keys:,} keys, {size(summary.snapshot.redis_bytes)}"),
            ("seconds", summary.seconds["total"]),
        ]
    )
    if summary.note:
        say(summary.note)


def _headline(summary: "RunSummary") -> str:
    if summary.snapshot.snapshot_id is None:
        return "Nothing is published: no order line was accepted yet."
    if summary.changed:
        return f"Published snapshot {summary.snapshot.snapshot_id}."
    if summary.published:
        return f"Nothing changed: snapshot {summary.snapshot.snapshot_id} is served and up to date."
    return f"Snapshot {summary.snapshot.snapshot_id} is still served."


def _next_steps() -> None:
    say()
    say("Next:")
    reco = "reco" if shutil.which("reco") else sys.argv[0]
    facts(
        [
            (f"{reco} similar ITEM", "what is bought together with an item"),
            (f"{reco} basket ITEM ITEM", "what goes with a basket"),
            (f"{reco} run --orders PATH", "your own order files, whose first takes the sample's place"),
            (f"{reco} status", "drops and the served snapshot on one screen"),
            ("make dev", "the graph in the Dagster UI"),
        ]
    )


def drop(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files to put into the inbox.")],
    source: SourceOption = None,
    catalogue: Annotated[
        bool, typer.Option("--catalogue", help="They are catalogues of items instead of orders.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Put files of orders, or catalogues, into the inbox, each complete or not at all.

    Example: reco drop export.csv --source shopify
    """
    from reco.errors import UsageError
    from reco.orders.inbox import CATALOGUE_FOLDER, open_inbox
    from reco.orders.profiles import builtin_profiles
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command()
    if source is not None and source not in builtin_profiles():
        raise UsageError(
            f"{source!r} is not a built-in profile ({', '.join(builtin_profiles())}): a folder of the inbox names one.",
            hint="For one of your own set RECO_SOURCE=FILE.toml, or use `reco run --orders FILE --source FILE.toml`.",
        )
    if catalogue and source is not None:
        raise UsageError(
            "--catalogue and --source cannot go together: the inbox has one folder for catalogues.",
            hint="Name their columns in [items] of inbox/catalogue/profile.toml, or use "
            "`reco run --catalogue FILE --source FILE.toml`.",
        )
    inbox = open_inbox(settings)
    placed = [inbox.put(file, CATALOGUE_FOLDER if catalogue else source) for file in files]
    if as_json:
        print_json({"placed": placed})
        return
    for path in placed:
        say(f"In the inbox: {path}")
    say("`reco run` takes them in; where `reco dev` is up, they are taken in within seconds.")


def sample(
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="CSV file to write.")],
    orders: Annotated[int | None, typer.Option("--orders", help="How many orders.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Equal seed, equal file.")] = None,
    prototype: Annotated[
        bool, typer.Option("--prototype", help="The prototype's size: 486,620 lines of 154,167 orders.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Write seeded synthetic orders of a rental shop.

    Example: reco sample --orders 5000 --seed 7 --out orders.csv
    """
    from reco.errors import UsageError
    from reco.orders.sample import DEFAULT_SEED, write_sample

    if prototype == (orders is not None):
        raise UsageError("Give either --orders N or --prototype.", hint="Example: reco sample --prototype --out o.csv")
    made = write_sample(out, orders=orders, seed=DEFAULT_SEED if seed is None else seed, prototype=prototype)
    if as_json:
        print_json({"file": str(out), "lines": made.lines, "orders": made.orders, "items": made.items})
    else:
        say(f"{out}: {made.lines:,} lines, {made.orders:,} orders, {made.items:,} items.")
