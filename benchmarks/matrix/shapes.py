"""What is counted: orders as numbers, generated or public, in files that every contender can read.

Belongs here: making those files, the same each time. Does not belong here: who counts.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reco.errors import UsageError
from reco.model.baskets import Baskets
from reco.storage.columns import (
    COUNT,
    MONEY_SUM,
    TEXT,
    TIME,
    Texts,
    nothing,
    number_column,
    text_array,
    text_column,
    write_table,
)

PROTOTYPE_ORDERS = 154_167
LARGE_ORDERS, LARGE_ITEMS, LARGEST = 3_086_000, 50_000, 145

Codes = tuple[NDArray[np.int32], NDArray[np.int64]]
"""The items of all orders, each once an order, and where each order begins in them, with one more for the end."""


Facts = tuple[str, str, int, int, int]
"""Of a shape: its name, what it is, lines, items, pair occurrences."""


@dataclass(frozen=True)
class Shape:
    """Orders to count: how they are made, what they are, and whether questions can be asked of them."""

    make: Callable[[], Codes]
    words: str
    shop: str = ""


def _sample(times: int) -> Callable[[], Codes]:
    def make() -> Codes:
        from reco.orders.sample import generate  # noqa: PLC0415 - not for public orders

        dealt = generate(PROTOTYPE_ORDERS * times).dealt
        return _codes(dealt.order, dealt.item)

    return make


def _large() -> Codes:
    """Orders of ten lines on average among 50,000 items: many items meet many others."""
    chance = np.random.default_rng(7)
    sizes = np.clip(np.rint(chance.lognormal(2.0, 0.8, LARGE_ORDERS)), 1, LARGEST).astype(np.int64)
    often = np.cumsum((np.arange(LARGE_ITEMS) + 60.0) ** -0.9)
    drawn = np.searchsorted(often / often[-1], chance.random(int(sizes.sum())))
    return _codes(np.repeat(np.arange(LARGE_ORDERS), sizes), chance.permutation(LARGE_ITEMS)[drawn])


def _shop(name: str) -> Callable[[], Codes]:
    def make() -> Codes:
        from benchmarks.quality import read_shop  # noqa: PLC0415 - imports DuckDB

        return of_baskets(read_shop(name, public_data()))

    return make


SHAPES = {
    "x1": Shape(_sample(1), "`reco sample`, 154,167 orders"),
    "x10": Shape(_sample(10), "`reco sample`, 1,541,670 orders"),
    "x64": Shape(_sample(64), "`reco sample`, 9,866,688 orders"),
    "large": Shape(_large, "large orders, 50,000 items"),
    "instacart": Shape(_shop("instacart"), "Instacart, training orders", shop="instacart"),
    "complete-journey": Shape(_shop("complete-journey"), "Complete Journey", shop="complete-journey"),
}


def public_data() -> Path:
    """The folder of public order files.

    Raises:
        UsageError: it is not named.
    """
    folder = os.environ.get("RECO_REAL_DATA")
    if not folder:
        raise UsageError(
            "RECO_REAL_DATA does not name the folder of the public order files.",
            hint="Set it (benchmarks/quality.py says which files), or leave the public shapes out.",
        )
    return Path(folder)


def of_baskets(baskets: Baskets) -> Codes:
    """Orders that were read."""
    return baskets.items.codes, np.append(baskets.starts, len(baskets.items.codes))


def _codes(order: NDArray[np.int64], item: NDArray[np.int64]) -> Codes:
    width = int(item.max()) + 1
    key = np.unique(order * width + item)
    order, item = np.divmod(key, width)
    item = np.unique(item, return_inverse=True)[1]
    starts = np.flatnonzero(np.concatenate([[True], order[1:] != order[:-1]]))
    return item.astype(np.int32), np.append(starts, len(item))


def save(codes: Codes, folder: Path) -> None:
    """Writes them for `load`, here and in the environments of peers."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "items.npy", codes[0])
    np.save(folder / "starts.npy", codes[1])


def load(folder: Path) -> Codes:
    """What `save` wrote."""
    return np.load(folder / "items.npy"), np.load(folder / "starts.npy")


def as_baskets(codes: Codes) -> Baskets:
    """The orders as the model takes them."""
    items, starts = codes
    names = text_array([f"i{one:07}" for one in range(int(items.max(initial=-1)) + 1)])
    return Baskets(Texts(names, items), starts[:-1], np.diff(starts))


def write_orders_table(codes: Codes, path: Path) -> None:
    """The `orders` table of these orders, as the stage before writes it."""
    baskets = as_baskets(codes)
    kinds = [("source", TEXT), ("order_id", TEXT), ("item_id", TEXT), ("quantity", COUNT), ("revenue", MONEY_SUM)]
    import pyarrow as pa  # noqa: PLC0415 - for this table only

    schema = pa.schema([*kinds, ("customer_id", TEXT), ("ordered_at", TIME), ("drop_key", TEXT)])
    order = np.repeat(np.arange(len(baskets.starts)), baskets.sizes)
    one_text = text_array(["sample"])
    with write_table(path, schema) as writer:
        for low in range(0, len(order), 2**20):
            here = order[low : low + 2**20]
            ids = text_array([f"RO-{100_000_000 + number}" for number in range(here[0], here[-1] + 1)])
            same = text_column(one_text, np.zeros(len(here), np.int32))
            writer.write(
                same,
                text_column(ids, here - here[0]),
                text_column(baskets.items.values, baskets.items.codes[low : low + 2**20]),
                number_column(np.ones(len(here), np.int64)),
                nothing(len(here), MONEY_SUM),
                nothing(len(here), TEXT),
                nothing(len(here), TIME),
                same,
            )


def write_csv(codes: Codes, path: Path) -> None:
    """The orders as the CSV file of a shop: order_id,item_name."""
    import polars as pl  # noqa: PLC0415 - for this file only

    items, starts = codes
    order = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    frame = pl.DataFrame({"order": order, "item": items})
    text = pl.col("item").cast(pl.String).str.zfill(7)
    frame.select(
        order_id=pl.lit("RO-") + (pl.col("order") + 100_000_000).cast(pl.String), item_name=pl.lit("Item ") + text
    ).write_csv(path)
