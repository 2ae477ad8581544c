"""The commands of hidden items: hide add, list, remove.

Does not belong here: keeping the rules (`reco.api.hidebook`), applying them (`reco.snapshot.hiding`).
"""

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import print_json, say, table, warn

if TYPE_CHECKING:
    from reco.api.hidebook import HideBook, HideRow

app = typer.Typer(help="Items and categories that are not to be recommended.", no_args_is_help=True)


@app.command("add")
def add(
    value: Annotated[str, typer.Argument(metavar="ITEM|CATEGORY", help="An item by id or exact name, or a category.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; stays in the book and in the audit trail.")],
    category: Annotated[bool, typer.Option("--category", help="It is a category, or a part of one.")] = False,
    expires: Annotated[str | None, typer.Option("--expires", metavar="SPAN", help="Such as 90d, 12h, 30m.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Take an item or a category out of every list at once.

    Example: reco hide add PID --reason "recalled by its maker" --expires 30d
    """
    from reco_pipeline.cli.keys import span
    from reco_pipeline.cli.start import account

    now = dt.datetime.now(dt.UTC)
    kind = "category" if category else "item"
    value, doubt = _meant(kind, value)
    row = _book().add(
        kind,
        value,
        author=account(),
        reason=reason,
        now=now,
        expires_at=now + span(expires) if expires is not None else None,
    )
    _show(row, now, as_json, f"Rule {row.rule_id} hides {row.value}.")
    if doubt:
        warn(doubt)


def _meant(kind: str, value: str) -> tuple[str, str]:
    """The value as the served snapshot writes it, and a sentence where it covers no item of it, or nobody knows."""
    from reco.errors import RecoError
    from reco.snapshot.hiding import meant
    from reco.snapshot.store import SnapshotStore
    from reco.storage.redis import open_redis
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command()
    try:
        with open_redis(settings, "reader") as client:
            found, covers = meant(SnapshotStore(client, settings.namespace).current(), kind, value)
    except RecoError as error:
        return value, f"Whether it covers an item could not be looked up: {error.message}"
    doubt = f"No item of the served snapshot is covered by it now: check how the {kind} is written."
    return found, "" if covers else doubt


@app.command("list")
def list_hidden(
    everything: Annotated[bool, typer.Option("--all", help="Also those that expired or were removed.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """What is hidden, newest first.

    Example: reco hide list --all
    """
    now = dt.datetime.now(dt.UTC)
    rows = [_told(row, now) for row in _book().rows(ended=everything, now=now)]
    if as_json:
        print_json({"hidden": rows})
        return
    shown = ("rule_id", "kind", "value", "state", "author", "reason", "expires_at")
    table("", [name.removesuffix("_at").replace("_", " ") for name in shown], [[row[n] for n in shown] for row in rows])


@app.command("remove")
def remove(
    rule_id: Annotated[
        int, typer.Argument(metavar="RULE", min=1, max=2**31, help="Its number, as in `reco hide list`.")
    ],
    as_json: JsonFlag = False,
) -> None:
    """End a rule: what it hid is recommended again.

    Example: reco hide remove 3
    """
    from reco_pipeline.cli.start import account

    now = dt.datetime.now(dt.UTC)
    row = _book().remove(rule_id, author=account(), now=now)
    _show(row, now, as_json, f"Rule {row.rule_id} has ended: {row.value} is shown again.")


def _show(row: "HideRow", now: dt.datetime, as_json: bool, words: str) -> None:
    if as_json:
        print_json(_told(row, now))
    else:
        say(words)


def _told(row: "HideRow", now: dt.datetime) -> dict[str, Any]:
    from reco.api.hidebook import row_document

    return row_document(row, now)


def _book() -> "HideBook":
    from reco.api.hidebook import HideBook
    from reco.storage.sql import shared_database
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command()
    return HideBook(shared_database(settings.sql_url), settings.namespace)
