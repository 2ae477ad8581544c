"""The commands of API keys: keys create, list, confirm, revoke.

Does not belong here: what a key is and where it is kept (`reco.api.keys`, `reco.api.keybook`).
"""

import datetime as dt
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import print_json, say, table

if TYPE_CHECKING:
    from reco.api.keybook import KeyBook, KeyRow

app = typer.Typer(help="API keys: make, list, replace, confirm, revoke.", no_args_is_help=True)

_SPAN = re.compile(r"(\d{1,5})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@app.command("create")
def create(
    name: Annotated[str | None, typer.Argument(help="What or who the key is for.")] = None,
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", metavar="SCOPE", help="read, events, admin or ops; repeatable.")
    ] = None,
    expires: Annotated[str | None, typer.Option("--expires", metavar="SPAN", help="Such as 90d, 12h, 30m.")] = None,
    replaces: Annotated[
        str | None, typer.Option("--replaces", metavar="ID", help="Take name and scopes of this key, which then ends.")
    ] = None,
    overlap: Annotated[str, typer.Option("--overlap", metavar="SPAN", help="How long that key goes on.")] = "1d",
    as_json: JsonFlag = False,
) -> None:
    """Make an API key and print it once: only its HMAC is kept.

    Example: reco keys create storefront --scope read --expires 90d
    """
    from reco.errors import UsageError
    from reco_pipeline.cli.start import account

    now = dt.datetime.now(dt.UTC)
    expires_at = now + span(expires) if expires is not None else None
    book = _book()
    if replaces is not None:
        if name is not None or scopes:
            raise UsageError("A key that replaces another one has its name and scopes.", hint="Leave them out.")
        key = book.replace(replaces, now=now, actor=account(), overlap=span(overlap), expires_at=expires_at)
    elif name is None:
        raise UsageError("The key has no name.", hint="Say what it is for: `reco keys create storefront --scope read`.")
    else:
        key = book.create(name, scopes or (), now=now, actor=account(), expires_at=expires_at)
    row = next(one for one in book.rows() if one.key_id == key.key_id)
    if as_json:
        print_json({"key": key.text, **_told(row, now)})
        return
    say(key.text)
    say(f"Key {row.key_id} of {row.name}: {', '.join(row.scopes)}; {_until(row)}. It is shown this once.")


@app.command("list")
def list_keys(as_json: JsonFlag = False) -> None:
    """Every key ever made, without the keys themselves.

    Example: reco keys list
    """
    now = dt.datetime.now(dt.UTC)
    rows = [_told(row, now) for row in _book().rows()]
    if as_json:
        print_json({"keys": rows})
        return
    shown = ("key_id", "name", "scopes", "state", "expires_at", "last_used_at", "pepper", "replaces")
    values = [[", ".join(one[name]) if name == "scopes" else one[name] for name in shown] for one in rows]
    table("", [name.removesuffix("_at").replace("_", " ") for name in shown], values)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The id of the key, as in `reco keys list`.")],
    as_json: JsonFlag = False,
) -> None:
    """End a key for good; a running service refuses it within seconds.

    Example: reco keys revoke 4f0q2m8z1k7c
    """
    from reco_pipeline.cli.start import account

    changed = _book().revoke(key_id, now=dt.datetime.now(dt.UTC), actor=account())
    if as_json:
        print_json({"key_id": key_id, "revoked": changed})
    else:
        say(f"Key {key_id} is revoked." if changed else f"Key {key_id} was revoked before.")


@app.command("confirm")
def confirm(
    key_ids: Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Ids, as in `reco keys list`.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that are suspended.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Let keys hold again that a restore suspended, because nobody knew whether they were revoked since.

    Example: reco keys confirm 4f0q2m8z1k7c
    """
    from reco.errors import UsageError
    from reco_pipeline.cli.start import account

    if every == bool(key_ids):
        raise UsageError("Give the ids of keys, or --all.", hint="`reco keys list` shows which are suspended.")
    done = _book().confirm(None if every else key_ids, now=dt.datetime.now(dt.UTC), actor=account())
    if as_json:
        print_json({"confirmed": list(done)})
    else:
        say(f"Confirmed: {', '.join(done)}." if done else "No such key was suspended.")


def _book() -> "KeyBook":
    from reco.api.keybook import open_book
    from reco_pipeline.cli.start import settings_of_command

    return open_book(settings_of_command())


def span(text: str) -> dt.timedelta:
    """A span of time as people write it: 90d, 12h, 30m."""
    from reco.errors import UsageError

    found = _SPAN.fullmatch(text)
    if found is None:
        raise UsageError(f"{text!r} is no span of time.", hint="Write a number and m, h or d, such as 90d.")
    return dt.timedelta(**{_UNITS[found[2]]: int(found[1])})


def _until(row: "KeyRow") -> str:
    return "does not expire" if row.expires_at is None else f"expires {row.expires_at:%Y-%m-%d %H:%M}Z"


def _told(row: "KeyRow", now: dt.datetime) -> dict[str, Any]:
    """What may be told of a key: everything but its HMAC."""
    names = ("created_at", "expires_at", "revoked_at", "last_used_at", "suspended_at")
    times = {name: getattr(row, name) for name in names}
    return {
        "key_id": row.key_id,
        "name": row.name,
        "scopes": list(row.scopes),
        "state": row.state(now),
        "created_by": row.created_by,
        "pepper": row.pepper,
        "replaces": row.replaces,
        **{name: None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}" for name, at in times.items()},
    }
