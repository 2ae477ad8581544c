"""The commands on known drops: list and retract.

Does not belong here: the ledger (`reco.orders.ledger`).
"""

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from reco.errors import UsageError
from reco_pipeline.cli.options import JsonFlag, default_of_group
from reco_pipeline.cli.output import print_json, say, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reco.catalog.ledger import CatalogueDrop
    from reco.orders.home import Home
    from reco.orders.ledger import Drop

app = typer.Typer(help="Known drops and their state.", invoke_without_command=True)


@app.callback()
def _default(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Known drops and their state."""
    if default_of_group(context, as_json):
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
    from reco.orders.ledger import DropStatus
    from reco_pipeline.pending import catalogue_ledger

    if state is not None and state not in set(DropStatus):
        raise UsageError(f"{state!r} is no state of a drop.", hint=f"States: {', '.join(DropStatus)}.")
    home, wanted = _home(), DropStatus(state) if state else None
    drops = home.ledger.drops(status=wanted)
    catalogues = catalogue_ledger(home).drops(status=wanted)
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
        print_json(
            {
                "drops": [{f: getattr(d, f) for f in (*fields, *counts)} for d in drops],
                "catalogues": [{f: getattr(c, f) for f in (*fields, *counts)} for c in catalogues],
            }
        )
        return
    if not drops and not catalogues:
        say("No drop is known. `reco run --orders PATH` brings some in.")
        return
    for title, known in (("Drops", drops), ("Catalogues", catalogues)):
        if known:
            _show(title, known)


def _show(title: str, drops: "Sequence[Drop | CatalogueDrop]") -> None:
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
    table(title, ("key", "source", "state", "batch", "read", "accepted", "excluded", "quarantined"), rows)
    for drop in drops:
        if drop.error:
            say(f"  {drop.key}: {drop.error}")


@app.command("retract")
def retract(
    drop: Annotated[str, typer.Argument(help="Key, name or start of the sha256 of one drop.")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")] = "",
    catalogue: Annotated[
        bool | None,
        typer.Option("--catalogue/--orders", help="Which is meant, where the same bytes or name came as both."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take a drop out of the orders again, or a catalogue out of the names; its bytes and its record stay.

    Example: reco drops retract orders-2024-06-01 --reason "sent twice"
    """
    from reco.storage.homelock import home_lock

    home = _home()
    with home_lock(home.settings.home, wait_seconds=60):
        key = _retract(home, drop, reason, catalogue=catalogue)
    if as_json:
        print_json({"key": key, "status": "retracted"})
    else:
        say(f"{key} is retracted. `reco run` publishes recommendations without it.")


def _retract(home: "Home", given: str, reason: str, *, catalogue: bool | None) -> str:
    """Retracts the catalogue, or the drop of orders, that is meant; returns its key."""
    from reco_pipeline.pending import catalogue_ledger

    ledger, now = catalogue_ledger(home), dt.datetime.now(dt.UTC)
    found = None if catalogue is False else ledger.find(given)
    if found is not None and catalogue is None and any(one.is_named(given) for one in home.ledger.drops()):
        raise UsageError(
            f"{given!r} names a drop of orders and a catalogue.", hint="Say which with --orders or --catalogue."
        )
    if found is None and catalogue:
        raise UsageError(f"No catalogue is named {given!r}.", hint="See `reco drops list` for the keys.")
    if found is None:
        return home.ledger.retract(given, now=now, reason=reason).key
    ledger.retract(found, now=now, reason=reason)
    from reco.catalog.table import make_catalogue  # computes: not needed to say which drop is meant

    make_catalogue(ledger, home.lake)
    return found.key


def _home() -> "Home":
    from reco.orders.home import open_home
    from reco_pipeline.cli.start import settings_of_command

    return open_home(settings_of_command())
