"""Our matrix: from coded orders to neighbours in memory, and the stage of a run with its tables.

Belongs here: the library calls of that stage. Does not belong here: a shortcut that a run does not take.
"""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.matrix.shapes import as_baskets, load
from reco.model.cooccurrence import KERNEL_EVENTS, build_cooccurrence
from reco.model.pairs import count_pairs
from reco.model.ranking import Items, Ranked, rank_pairs
from reco.model.scores import ScoreSettings
from reco.model.similar import build_similar

KIND = [("item", np.int64), ("other", np.int64), ("score", np.float64)]


def neighbours(folder: Path, out: Path) -> int:
    """Cosine neighbours of each item from numbers in memory, as peers give them; returns the distinct pairs."""
    baskets, settings = as_baskets(load(folder)), ScoreSettings()
    items = Items.of(baskets, settings)
    ranked: list[Ranked] = []
    distinct = 0
    if int((baskets.sizes * (baskets.sizes - 1)).sum()) >= KERNEL_EVENTS and find_spec("numba"):
        from reco.model.kernel import best_pairs  # noqa: PLC0415 - as in a run, for large tables only

        for block in best_pairs(baskets, None, settings, items=items):
            ranked.append(rank_pairs(settings, items, block.kept))
            distinct += block.distinct
    else:
        for pairs in count_pairs(baskets):
            ranked.append(rank_pairs(settings, items, pairs))
            distinct += len(pairs.item)
    columns = [np.concatenate([getattr(one, name) for one in ranked]) for name in ("item", "other", "score")]
    np.save(out, np.rec.fromarrays(columns, dtype=KIND))
    return distinct // 2


def stage(folder: Path, out: Path) -> int:
    """The stage of a run: `orders` in, `item_cooccurrence` and `similar_items` out, with all evidence, as Parquet."""
    pairs = build_cooccurrence(folder / "orders.parquet", out.with_suffix(".pairs"))
    build_similar(folder / "stats.parquet", out.with_suffix(".pairs"), out.with_suffix(".similar"))
    return pairs.pairs


if __name__ == "__main__":
    made = {"neighbours": neighbours, "stage": stage}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps({"pairs": made}))
