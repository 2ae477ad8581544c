"""The commands that ask the current snapshot: similar, popular, basket.

Does not belong here: how an answer is made (`reco.snapshot`).
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reco_pipeline.cli.options import JsonFlag, LimitOption
from reco_pipeline.cli.output import print_json, say, table

if TYPE_CHECKING:
    from reco.settings import Settings
    from reco.snapshot.hiding import Hides
    from reco.snapshot.read import PublishedSnapshot


def similar(
    item: Annotated[str, typer.Argument(help="Item id, or exact name.")],
    limit: LimitOption = 10,
    as_json: JsonFlag = False,
) -> None:
    """What is bought together with an item.

    Example: reco similar PID --limit 3
    """
    with _asked() as (snapshot, hides):
        _show(snapshot.similar(item, limit, hides), f"Bought together with {item}", as_json)


def popular(
    limit: LimitOption = 10,
    category: Annotated[str | None, typer.Option("--category", help="Only items of this category.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """The items in most orders.

    Example: reco popular --limit 5
    """
    with _asked() as (snapshot, hides):
        _show(
            snapshot.popular(limit, category, hides), f"Popular in {category}" if category else "Popular items", as_json
        )


def basket(
    items: Annotated[list[str], typer.Argument(metavar="ITEM...", help="What is in the basket: ids or exact names.")],
    limit: LimitOption = 10,
    as_json: JsonFlag = False,
) -> None:
    """What goes with a basket.

    Example: reco basket PID "Water Level Meter"
    """
    with _asked() as (snapshot, hides):
        _show(snapshot.basket(items, limit, hides), f"Goes with {', '.join(items)}", as_json)


def show_examples(settings: "Settings") -> None:
    """A few real answers from the served snapshot, as `reco run` ends with."""
    with _asked(settings) as (snapshot, hides):
        top = snapshot.popular(5, None, hides)
        _show(top, "Popular items", as_json=False)
        first = top["recommendations"][:2]
        ids, names = [one["item_id"] for one in first], [one["item_name"] for one in first]
        if len(first) > 1:
            _show(snapshot.similar(ids[0], 5, hides), f"Bought together with {names[0]}", as_json=False)
            _show(snapshot.basket(ids, 5, hides), f"Goes with a basket of {names[0]} and {names[1]}", as_json=False)


@contextmanager
def _asked(settings: "Settings | None" = None) -> "Iterator[tuple[PublishedSnapshot, Hides]]":
    """The served snapshot, and what is hidden of it."""
    from reco.api.hidebook import rules_to_apply
    from reco.snapshot.store import SnapshotStore
    from reco.storage.redis import open_redis
    from reco.storage.sql import shared_database
    from reco_pipeline.cli.start import settings_of_command

    chosen = settings or settings_of_command()
    with open_redis(chosen, "reader") as client:
        now = dt.datetime.now(dt.UTC)
        hides = rules_to_apply(lambda: shared_database(chosen.sql_url), client, chosen.namespace, now)
        yield SnapshotStore(client, chosen.namespace).current(), hides


def _show(answer: dict[str, Any], title: str, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    found = answer["recommendations"]
    if unknown := answer["metadata"].get("unknown_items"):
        popular = " Popular items instead:" if answer["metadata"]["source"].startswith("popular") else ""
        say(f"Not known: {', '.join(unknown)}.{popular}")
    if not found:
        say(f"{title}: nothing, no order holds it together with another item.")
        return
    rows = [(number, one["item_name"], one["similarity_score"], one["reason"]) for number, one in enumerate(found, 1)]
    table(title, ("", "item", "score", "why"), rows)
