"""The commands on known drops: list and retract.

Does not belong here: the ledger (`reco.orders.ledger`).
"""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import print_json, say, table

if TYPE_CHECKING:
    from reco.orders.home import Home

app = typer.Typer(help="Known drops and their state.", invoke_without_command=True)


@app.callback()
def _default(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Known drops and their state."""
    if context.invoked_subcommand is None:
        show(as_json=as_json)


@app.command("list")
def show(
    state: Annotated[
        str | None, typer.Option("--state", help="Only drops that are pending, ingested, failed or retracted.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Every drop ever given, with its counts.

    Example: reco drops list --state failed
    """
    from reco.errors import UsageError
    from reco.orders.ledger import DropStatus

    if state is not None and state not in set(DropStatus):
        raise UsageError(f"{state!r} is no state of a drop.", hint=f"States: {', '.join(DropStatus)}.")
    drops = _home().ledger.drops(status=DropStatus(state) if state else None)
    if as_json:
        fields = (
            "key",
            "name",
            "sha256",
            "source",
            "batch",
            "status",
            "error",
            "received_at",
            "ingested_at",
            "reasons",
        )
        counts = ("lines_read", "lines_accepted", "lines_excluded", "lines_quarantined", "lines_header", "lines_blank")
        print_json({"drops": [{f: getattr(d, f) for f in (*fields, *counts)} for d in drops]})
        return
    if not drops:
        say("No drop is known. `reco run --orders PATH` brings some in.")
        return
    rows = [
        (
            d.key,
            d.source,
            d.status.value,
            d.batch,
            d.lines_read,
            d.lines_accepted,
            d.lines_excluded,
            d.lines_quarantined,
        )
        for d in drops
    ]
    table("Drops", ("key", "source", "state", "batch", "read", "accepted", "excluded", "quarantined"), rows)
    for drop in drops:
        if drop.error:
            say(f"  {drop.key}: {drop.error}")


@app.command("retract")
def retract(
    drop: Annotated[str, typer.Argument(help="Key, name or start of the sha256 of one drop.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")] = "",
    as_json: JsonFlag = False,
) -> None:
    """Take a drop's lines out of the orders again; its bytes and its record stay.

    Example: reco drops retract orders-2024-06-01 --reason "sent twice"
    """
    from reco.storage.homelock import home_lock

    home = _home()
    with home_lock(home.settings.home, wait_seconds=60):
        gone = home.ledger.retract(drop, now=dt.datetime.now(dt.UTC), reason=reason)
    if as_json:
        print_json({"key": gone.key, "status": gone.status.value})
    else:
        say(f"{gone.key} is retracted. `reco run` publishes recommendations without it.")


def _home() -> "Home":
    from reco.orders.home import open_home
    from reco_pipeline.cli.start import settings_of_command

    return open_home(settings_of_command())
