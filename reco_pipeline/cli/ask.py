"""The commands that ask the current snapshot: similar, popular, trending, basket, search.

Does not belong here: how an answer is made (`reco.snapshot`).
"""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reco_pipeline.cli.controls import takes_controls
from reco_pipeline.cli.options import JsonFlag
from reco_pipeline.cli.output import print_json, say, table

if TYPE_CHECKING:
    from reco.settings import Settings
    from reco.snapshot.controls import Controls
    from reco.snapshot.hiding import Hides
    from reco.snapshot.read import PublishedSnapshot


@takes_controls
def similar(
    item: Annotated[str, typer.Argument(help="Item id, or exact name.")],
    controls: "Controls",
    as_json: JsonFlag = False,
) -> None:
    """What is bought together with an item.

    Example: reco similar PID --limit 3 --exclude Hose --explain
    """
    with _asked() as (snapshot, hides):
        _show(snapshot.similar(item, controls, hides), f"Bought together with {item}", as_json)


@takes_controls
def popular(
    controls: "Controls",
    category: Annotated[str | None, typer.Option("--category", help="Only items of this category, written so.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """The items in most orders.

    Example: reco popular --limit 5 --in-stock
    """
    with _asked() as (snapshot, hides):
        title = f"Popular in {category}" if category else "Popular items"
        _show(snapshot.popular(controls, category, hides), title, as_json)


@takes_controls
def trending(controls: "Controls", as_json: JsonFlag = False) -> None:
    """The items whose orders grow most.

    Example: reco trending --limit 5 --max-per-category 1
    """
    with _asked() as (snapshot, hides):
        _show(snapshot.trending(controls, hides), "Trending items", as_json)


@takes_controls
def basket(
    items: Annotated[list[str], typer.Argument(metavar="ITEM...", help="What is in the basket: ids or exact names.")],
    controls: "Controls",
    as_json: JsonFlag = False,
) -> None:
    """What goes with a basket.

    Example: reco basket PID "Water Level Meter" --max-price 100
    """
    with _asked() as (snapshot, hides):
        _show(snapshot.basket(items, controls, hides), f"Goes with {', '.join(items)}", as_json)


@takes_controls
def search(
    words: Annotated[str, typer.Argument(help="Words of a name or id, beginnings or parts of them; one typo is fine.")],
    controls: "Controls",
    as_json: JsonFlag = False,
) -> None:
    """Items by name or id.

    Example: reco search "wter lev" --in-category Water
    """
    from reco.snapshot.search import search_answer

    with _asked() as (snapshot, hides):
        answer = search_answer(snapshot, words, controls, hides)
    if as_json:
        print_json(answer)
        return
    found = answer["items"]
    if not found:
        say(f"No item fits {words}.")
        return
    rows = [(one["item_name"], one["item_id"], one["category"] or "", one["purchases"], one["match"]) for one in found]
    table(
        f"{answer['metadata']['total_found']:,} items fit {words}",
        ("item", "id", "category", "orders", "fits by"),
        rows,
    )


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
    found, about = answer["recommendations"], answer["metadata"]
    if unknown := about.get("unknown_items"):
        popular = " Popular items instead:" if about["source"].startswith("popular") else ""
        say(f"Not known: {', '.join(unknown)}.{popular}")
    if not found:
        say(f"{title}: {about.get('note') or 'nothing, no order holds it together with another item.'}")
        return
    rows = [(number, one["item_name"], one["similarity_score"], one["reason"]) for number, one in enumerate(found, 1)]
    table(title, ("", "item", "score", "why"), rows)
    if explained := about.get("explain"):
        removed = ", ".join(f"{count:,} by {name}" for name, count in explained["removed"].items()) or "none"
        say(f"Looked at {explained['looked_at']:,} candidates; removed: {removed}.")
        numbers = [(one["item_name"], *_counts(one["explain"])) for one in found]
        table("The counts behind it", ("item", "orders with it", "of the asked item", "of both", "by chance"), numbers)


def _counts(explained: dict[str, Any]) -> tuple[Any, ...]:
    pair = (explained.get(name, "") for name in ("because_of_purchases", "pair_orders", "expected_pair_orders"))
    return explained["purchases"], *pair
