"""The command that walks back from a recommendation: audit trace.

Does not belong here: the walk (`reco.snapshot.trace`).
"""

from typing import Annotated, Any

import typer

from reco_pipeline.cli.audit import home_of_command, time_text
from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import facts, print_json, say, table


def trace(
    item: Annotated[str, typer.Argument(help="Item id, or exact name.")],
    other: Annotated[str | None, typer.Argument(help="The recommended item: the two together.")] = None,
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", metavar="ID", help="`snapshot_id` of an answer; the served one if not given."),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many orders are shown with their lines.")
    ] = 10,
    as_json: JsonFlag = False,
) -> None:
    """From a served recommendation back to the snapshot, the run, the files and the lines it was counted from.

    Example: reco audit trace PID "Cal Kit"
    """
    from reco.snapshot.trace import trace as walk_back
    from reco.storage.redis import open_redis

    home = home_of_command()
    with open_redis(home.settings, "reader") as client:
        found = walk_back(home, client, item, other, snapshot_id=snapshot, limit=limit)
    if as_json:
        print_json(found.as_dict())
        return
    what = found.item_id if found.other_id is None else f"{found.item_id} with {found.other_id}"
    say(f"{what} in snapshot {found.snapshot_id}")
    counted = found.evidence
    pairs: list[tuple[str, Any]] = [("published", time_text(found.published_at)), ("digest", found.digest)]
    pairs.append(("run", found.run_id))
    for name, value in found.served.items():
        pairs.append((name.replace("_", " "), f"{value} served, {getattr(counted, name) if counted else '-'} counted"))
    facts(pairs)
    say({True: "  The counts agree exactly.", False: "  The counts DIFFER.", None: ""}[found.agrees])
    for note in found.notes:
        say(f"  note: {note}")
    table(
        "Drops",
        ("file", "sha256", "batch", "read by run", "lines"),
        [(d.name, d.sha256[:12], d.batch, d.run_id or "", d.lines) for d in found.drops],
    )
    rows = [
        (order.order_id, line.file, line.line, line.item_id, line.quantity)
        for order in (counted.shown if counted else ())
        for line in order.lines
    ]
    table("Evidence: the first orders with their lines", ("order", "file", "line", "item", "quantity"), rows)
