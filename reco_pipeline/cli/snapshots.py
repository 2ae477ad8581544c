"""The commands on published snapshots: list, show, diff, rollback, gc.

Does not belong here: their life cycle (`reco.snapshot`).
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from reco_pipeline.cli.options import JsonFlag, default_of_group
from reco_pipeline.cli.output import facts, print_json, say, size, table

if TYPE_CHECKING:
    from reco.settings import Settings
    from reco.snapshot.store import SnapshotStore

app = typer.Typer(help="Published snapshots.", invoke_without_command=True)


@app.callback()
def _default(context: typer.Context, as_json: JsonFlag = False) -> None:
    """Published snapshots."""
    if default_of_group(context, as_json):
        show_all(as_json)


@app.command("list")
def show_all(as_json: JsonFlag = False) -> None:
    """The snapshots that are kept, newest first; one of them is served.

    Example: reco snapshot list
    """
    with _store() as (_, store):
        found, room = store.list(), store.memory()
    if as_json:
        print_json({"snapshots": [asdict(one) for one in found], "memory": asdict(room)})
        return
    if not found:
        say("No snapshot is published. `reco run` makes one.")
        return
    rows = [
        (one.snapshot_id, "served" if one.current else "", one.orders, one.items, one.pairs, size(one.redis_bytes))
        for one in found
    ]
    table("Snapshots", ("snapshot", "", "orders", "items", "pairs", "Redis"), rows)
    limit = f"of {size(room.max_bytes)}" if room.max_bytes else "and has no limit of its own"
    say(f"Redis uses {size(room.used_bytes)} {limit}. A publish needs room for one snapshot more than are kept.")


@app.command("show")
def show(
    snapshot: Annotated[str | None, typer.Argument(help="Snapshot id; the served one if not given.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """The manifest of a snapshot: what it was made of, and when.

    Example: reco snapshot show
    """
    with _store() as (_, store):
        manifest = (store.get(snapshot) if snapshot else store.current()).manifest
    if as_json:
        print_json(manifest)
        return
    say(f"Snapshot {manifest['snapshot_id']}")
    flat = {**manifest, **manifest["counts"], "drops": len(manifest["drops"])}
    facts([(name, value) for name, value in flat.items() if not isinstance(value, dict | list)])


@app.command("diff")
def show_difference(
    before: Annotated[
        str | None, typer.Argument(metavar="A", help="Snapshot id; the one that B replaced if not given.")
    ] = None,
    after: Annotated[str | None, typer.Argument(metavar="B", help="Snapshot id; the served one if not given.")] = None,
    depth: Annotated[int, typer.Option("--depth", min=1, max=100, help="Neighbours of each list to compare.")] = 10,
    shown: Annotated[int, typer.Option("--limit", min=0, max=10_000, help="How many changed lists to show.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """What snapshot B changed against A: items gained and lost, lists changed, and how much they overlap.

    Example: reco snapshot diff 20260102T030405Z-0123abcd
    """
    from reco.snapshot.diff import diff, pair

    with _store() as (_, store):
        found = diff(*pair(store, before, after), depth=depth, shown=shown)
    if as_json:
        print_json(found.as_dict())
        return
    say(f"From {found.before} to {found.after}{': the same data' if found.equal else ''}")
    facts(
        [
            ("orders", f"{found.orders_before:,} to {found.orders_after:,}"),
            ("items", f"{found.items_before:,} to {found.items_after:,}"),
            ("items gained", _some(found.items_gained, shown)),
            ("items lost", _some(found.items_lost, shown)),
            ("lists changed", f"{found.lists_changed:,} of {found.lists_compared:,}"),
            (f"overlap of the first {found.depth}", "-" if found.overlap is None else f"{found.overlap:.1%}"),
        ]
    )
    if found.changes:
        rows = [
            (one.item_id, f"{one.overlap:.0%}", ", ".join(one.lost), ", ".join(one.gained)) for one in found.changes
        ]
        table("Lists that kept least", ("item", "kept", "lost", "gained"), rows)


def _some(ids: tuple[str, ...], shown: int) -> str:
    more = len(ids) - shown
    return (
        f"{len(ids):,}"
        + (f": {', '.join(ids[:shown])}" if ids[:shown] else "")
        + (f" and {more:,} more" if more > 0 < shown else "")
    )


@app.command("rollback")
def rollback(
    to: Annotated[
        str | None, typer.Option("--to", metavar="ID", help="Snapshot id; the one before if not given.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Serve an earlier snapshot again, at once.

    Example: reco snapshot rollback
    """
    from reco.snapshot.release import roll_back
    from reco.storage.sql import shared_database

    now = dt.datetime.now(dt.UTC)
    with _store() as (settings, store):
        result = roll_back(shared_database(settings.sql_url), store, to, now=now)
    if as_json:
        print_json({"snapshot_id": result.snapshot_id, "previous_id": result.previous_id})
    else:
        say(f"Snapshot {result.snapshot_id} is served; before, it was {result.previous_id}.")


@app.command("gc")
def collect(as_json: JsonFlag = False) -> None:
    """Remove what killed publishes left, and snapshots beyond RECO_KEEP_SNAPSHOTS.

    Example: reco snapshot gc
    """
    from reco.snapshot.garbage import collect_garbage
    from reco.storage.redis import open_redis
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command()
    with open_redis(settings, "loader") as client:
        report = collect_garbage(client, settings.namespace, settings.keep_snapshots)
    if as_json:
        print_json({"orphan_keys": report.orphan_keys, "retired": list(report.retired)})
    else:
        say(f"{report.orphan_keys} keys of unpublished snapshots and {len(report.retired)} old snapshots removed.")


@contextmanager
def _store() -> "Iterator[tuple[Settings, SnapshotStore]]":
    from reco.snapshot.store import SnapshotStore
    from reco.storage.redis import open_redis
    from reco_pipeline.cli.start import settings_of_command

    settings = settings_of_command()
    with open_redis(settings, "loader") as client:
        yield settings, SnapshotStore(client, settings.namespace)
