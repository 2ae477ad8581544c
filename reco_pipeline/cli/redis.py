"""The commands on the files of the embedded Redis server: what past is kept, and cutting it at a second.

Does not belong here: how that is done (`reco.local.history`, `reco.local.rewind`).
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import print_json, progress, say, table

if TYPE_CHECKING:
    from reco.settings import Settings

app = typer.Typer(help="The past of the embedded Redis server.", no_args_is_help=True)


BackupsFlag = Annotated[bool, typer.Option("--backups", help="What the backups hold of it, not what lies in the home.")]


@app.command("history")
def show_history(backups: BackupsFlag = False, as_json: JsonFlag = False) -> None:
    """Which seconds the embedded Redis server can be cut at.

    Example: reco redis history --backups
    """
    from reco.local.rewind import reach
    from reco_pipeline.cli.start import settings_of_command

    if backups:
        _show_backups(as_json)
        return
    found = reach(_history(settings_of_command(uses_home=False).home))
    spans = [{"from": first.isoformat(), "until": last.isoformat(), "bytes": size} for first, last, size in found]
    if as_json:
        print_json({"history": spans})
        return
    if not spans:
        say("Nothing is kept: there was no embedded Redis server, or RECO_REDIS_HISTORY_DAYS is 0.")
        return
    table("What is kept", ("from", "until", "bytes"), [tuple(one.values()) for one in spans])


@app.command("cut")
def cut_at(
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="To the end of this second (UTC, ISO 8601).")],
    into: Annotated[Path, typer.Option("--into", metavar="FOLDER", help="A new home for the data of that second.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    backups: BackupsFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Make the data of the embedded Redis server as it was at the end of a second, in a home of its own.

    Example: reco redis cut --at 2026-03-04T05:06:07Z --into then
    """
    from reco.local.rewind import cut, plan
    from reco_pipeline.cli.start import settings_of_command

    second, target = _second(at), into.absolute() / "redis" / "data"
    with _kept_then(settings_of_command(uses_home=False), second, backups=backups) as kept:
        made = plan(kept, second)
        if not dry_run:
            cut(made, target)
    files = [one.name for one in (made.base, *made.increments)]
    last = made.last_at.isoformat() if made.last_at else None
    if as_json:
        print_json({"at": made.at.isoformat(), "last_write_at": last, "files": files, "data": str(target)})
        return
    say(f"{'Would make' if dry_run else 'Made'} {target} of {', '.join(files)}.")
    say(f"Last write: {last or 'none after the base'}.")
    if not dry_run:
        say(f"Look at it with: RECO_HOME={into} reco snapshot list")


@contextmanager
def _kept_then(settings: "Settings", at: dt.datetime, *, backups: bool) -> Iterator[Path]:
    from reco.backup.history import backup_with, fetched_history
    from reco.backup.place import open_vault

    if not backups:
        yield _history(settings.home)
        return
    with (
        open_vault(settings) as vault,
        progress(),
        fetched_history(vault, backup_with(vault, at), settings.home) as folder,
    ):
        yield folder


def _show_backups(as_json: bool) -> None:
    from reco.backup.history import spans_of
    from reco.backup.place import open_vault
    from reco_pipeline.cli.start import settings_of_command

    with open_vault(settings_of_command()) as vault:
        good = [one.manifest for one in vault.list() if one.manifest is not None and one.manifest.good]
    spans = [
        {"backup_id": manifest.backup_id, "from": first.isoformat(), "until": last.isoformat()}
        for manifest in good
        for first, last in spans_of(manifest)
    ]
    if as_json:
        print_json({"history": spans})
    elif not spans:
        say("No good backup holds the past of an embedded Redis server.")
    else:
        table("What backups hold", ("backup", "from", "until"), [tuple(one.values()) for one in spans])


def _history(home: Path) -> Path:
    from reco.local.valkey import HISTORY

    return home / "redis" / HISTORY


def _second(text: str) -> dt.datetime:
    from reco.errors import UsageError

    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--at {text!r} is not a time.", hint="Write it like 2026-03-04T05:06:07Z, in UTC or with its zone."
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
