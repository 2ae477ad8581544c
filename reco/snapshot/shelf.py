"""What a draft says beside the figures of its items: categories, prices, stock, trends.

Belongs here: turning the catalogue and the trends into values of a snapshot. Does not belong here: keys, and the items
and their neighbours (`reco.snapshot.build`).
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import polars as pl

from reco.model.trends import GrowingItems
from reco.snapshot.codec import encode
from reco.snapshot.keys import CATEGORIES, TRENDING


class Shelf:
    """The categories, prices and stock of items, by rank.

    Args:
        items: rank, item_id, category, orders.
        catalogue: item_id, price, in_stock, listed; what is no longer listed has neither price nor stock. None: there
            is no catalogue.

    priced, stocked: how many items have a price, and how many tell whether they are in stock.
    """

    def __init__(self, items: pl.DataFrame, catalogue: pl.DataFrame | None) -> None:
        self._categories = _categories(items)
        places = {name: place for place, (name, *_) in enumerate(self._categories)}
        facts: dict[str, tuple[Decimal | None, bool | None]] = {}
        if catalogue is not None:
            listed = catalogue.filter("listed").unique("item_id", keep="first", maintain_order=True)
            facts = {
                item: (price, stock) for item, price, stock in listed.select("item_id", "price", "in_stock").rows()
            }
        self._tails = [
            _tail(None if category is None else places[category], *facts.get(item, (None, None)))
            for item, category in items.select("item_id", "category").iter_rows()
        ]
        self.priced = sum(len(tail) > 1 and tail[1] is not None for tail in self._tails)
        self.stocked = sum(len(tail) > 2 for tail in self._tails)

    def tail(self, rank: int) -> list[Any]:
        """What follows in the entry of a rank: category, price, stock, without what is not known at the end."""
        return self._tails[rank - 1]

    def entries(self) -> Iterator[tuple[str, bytes]]:
        """The list of categories, where there are any."""
        if self._categories:
            yield CATEGORIES, encode(self._categories)


def trend_entries(items: pl.DataFrame, growing: GrowingItems | None) -> Iterator[tuple[str, bytes]]:
    """The items that grow, where the orders have times; items that the draft does not know are left out."""
    if growing is None:
        return
    known = growing.items.join(items.select("item_id", "rank"), on="item_id", how="inner", maintain_order="left")
    rows = known.select("rank", "recent", "before").rows()
    yield TRENDING, encode([growing.days, growing.newest_at.isoformat(), growing.recent, growing.before, rows])


def _categories(items: pl.DataFrame) -> list[tuple[str, int, int]]:
    return (
        items.filter(pl.col("category").is_not_null())
        .group_by("category")
        .agg(pl.len(), sold=(pl.col("orders") > 0).sum())
        .sort("category")
        .rows()
    )


def _tail(category: int | None, price: Decimal | None = None, in_stock: int | None = None) -> list[Any]:
    text = None if price is None else _shortest(price)
    tail = [category, text, None if in_stock is None else int(in_stock)]  # true and false as 1 and 0
    while tail and tail[-1] is None:
        tail.pop()
    return tail


def _shortest(price: Decimal) -> str:
    text = format(price, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
