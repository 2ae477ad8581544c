"""Before and after the turns: the files of all contenders, and what they found held against our lists.

Belongs here: preparing and comparing, in processes of their own. Does not belong here: running contenders.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.matrix.shapes import SHAPES, Facts, of_baskets, public_data, save, write_csv, write_orders_table
from benchmarks.quality import read_shop, split_of
from reco.model.evaluation.answers import Lists, answer
from reco.model.evaluation.figures import figures_of
from reco.model.item_stats import build_item_stats
from reco.storage.columns import Ints

NEAR = 1e-6
"""Scores as near as that are equal: a peer may add up in another order, or in single precision."""

Table = NDArray[np.void]


def prepare(name: str, folder: Path, csv: bool) -> Facts:  # noqa: FBT001 - handed to another process
    """Writes what contenders read, and for a public shop the part to learn from in the folder `learnt`."""
    shape = SHAPES[name]
    codes = shape.make()
    save(codes, folder)
    write_orders_table(codes, folder / "orders.parquet")
    build_item_stats(folder / "orders.parquet", [], None, folder / "stats.parquet")
    if csv:
        write_csv(codes, folder / "orders.csv")
    if shape.shop:
        save(of_baskets(split_of(shape.shop, read_shop(shape.shop, public_data())).learnt), folder / "learnt")
    sizes = np.diff(codes[1])
    return name, shape.words, len(codes[0]), int(codes[0].max()) + 1, int((sizes * (sizes - 1)).sum()) // 2


def agreement(ours: Path, theirs: Path) -> str:
    """In words: how many rows of ours are theirs too, and whether the scores at each rank are equal."""
    one, other = (_sorted(np.load(path)) for path in (ours, theirs))
    if len(one) != len(other) or (one["item"] != other["item"]).any():
        return f"{len(other):,} rows where we have {len(one):,}"
    equal = float(np.mean(np.abs(one["score"] - other["score"]) <= NEAR))
    width = int(max(one["other"].max(), other["other"].max())) + 1
    shared = len(np.intersect1d(one["item"] * width + one["other"], other["item"] * width + other["other"]))
    if equal < 1:
        return f"scores of {equal:.2%} of the rows equal"
    return "all equal" if shared == len(one) else f"scores equal, {1 - shared / len(one):.1%} other neighbours in ties"


def _sorted(table: Table) -> Table:
    """By item and score; the hundred best of each, so that a list one longer does not differ."""
    kind = [("item", np.int64), ("other", np.int64), ("score", np.float64)]
    table = np.rec.fromarrays([table[name].astype(dtype) for name, dtype in kind], dtype=kind)
    table = table[np.lexsort((table["other"], -table["score"], table["item"]))]
    starts = np.searchsorted(table["item"], table["item"])
    kept: Table = table[np.arange(len(table)) - starts < 100]
    return kept


def hit_rate(found: Path, shop: str) -> tuple[float, float]:
    """HR@10 of lists that were learnt from the learnt part of a shop's orders, and its standard error."""
    split = split_of(shop, read_shop(shop, public_data()))
    table = _sorted(np.load(found))
    starts: Ints = np.searchsorted(table["item"], np.arange(len(split.place) + 1))
    figures = figures_of(answer(Lists(starts, table["other"].copy(), table["score"].copy()), split), split)
    return figures.hit_rate, figures.hit_rate_error
