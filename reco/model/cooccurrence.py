"""The `item_cooccurrence` table: in how many orders two items stand together, for the pairs that are kept.

Belongs here: which engine counts, the table, and the figures that stand in its file. Does not belong here: counting
(`pairs`, `kernel`), choosing what is kept (`ranking`), or evidence beside a score (`similar`).
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco.errors import CompilerUnavailable, LakeError
from reco.model.baskets import Baskets
from reco.model.pairs import Pairs, count_pairs
from reco.model.ranking import Items, keep_best
from reco.model.scores import ScoreSettings
from reco.storage.columns import COUNT, REAL, TEXT, Arrow, lake_errors, number_column, text_column, write_table
from reco.storage.engine import require_files

KERNEL_EVENTS = 2**20
"""From so many pair events (over all orders n (n - 1)) the compiled kernel is worth the time of loading it."""

COOCCURRENCE_SCHEMA = pa.schema([("item_id", TEXT), ("other_id", TEXT), ("pair_orders", COUNT), ("pair_weight", REAL)])

Engine = Literal["sort", "kernel"]
_NOTE = "item_cooccurrence"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CooccurrenceReport:
    """Figures of the co-occurrence.

    orders: all orders; baskets_with_pairs: those with two items or more; pairs: distinct unordered pairs, kept or not;
    pair_occurrences: the sum of their counts; items_with_neighbour: items in at least one pair; rows: of the table.
    """

    orders: int
    baskets_with_pairs: int
    pairs: int
    pair_occurrences: int
    items_with_neighbour: int
    rows: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file of kept pairs says of itself: the figures, and the score settings that chose."""

    report: CooccurrenceReport
    settings: ScoreSettings


def build_cooccurrence(
    orders: Path,
    out: Path,
    settings: ScoreSettings | None = None,
    *,
    engine: Engine | None = None,
    compiled: Path | None = None,
) -> CooccurrenceReport:
    """Writes the `item_cooccurrence` table: for every item the pairs of its `top` best neighbours.

    pair_orders(a, b) is the number of distinct (source, order_id) with a and b, a <> b; pair_weight is the sum of these
    orders' weights where the score settings weigh orders (by size or age), else null. All pairs are counted, exactly;
    those kept of an item are its best by score, pair_orders and id of the other. (a, b) stands where b is kept of a;
    (b, a) may be missing where b has `top` better ones. Memory is that of the entries and of what is kept.

    Args:
        orders: the `orders` table; its order and that no row repeats are relied on and checked.
        out: Parquet file to write: item_id, other_id, pair_orders BIGINT, pair_weight DOUBLE; sorted by item_id,
            other_id. The report stands in its metadata, see `read_kept`.
        settings: the score, how many are kept, what an order weighs; None: cosine, one each.
        engine: who counts; None: by the number of pair events. The file is the same to the byte.
        compiled: a folder for compiled code where the environment has none.

    Raises:
        LakeError: the input is missing or damaged, or the file could not be written.
        CompilerUnavailable: the kernel is asked for by name and cannot be had here.
    """
    require_files("item_cooccurrence", [orders])
    rows = distinct = with_neighbour = 0
    with lake_errors("item_cooccurrence"):
        settings = settings or ScoreSettings()
        baskets = Baskets.read(orders, times=bool(settings.half_life_days))
        names, occurrences = baskets.items.values, int((baskets.sizes * (baskets.sizes - 1)).sum())
        if engine is None:
            engine = "kernel" if occurrences >= KERNEL_EVENTS and _has_kernel(compiled) else "sort"
        counted = (
            _by_kernel(baskets, settings.keeping, compiled)
            if engine == "kernel"
            else _by_sorting(baskets, settings.keeping)
        )
        with write_table(out, COOCCURRENCE_SCHEMA) as writer:
            for kept, all_pairs, neighbours in counted:
                writer.write(
                    text_column(names, kept.item),
                    text_column(names, kept.other),
                    number_column(kept.orders),
                    _weight_column(kept),
                )
                rows += len(kept.item)
                distinct += all_pairs
                with_neighbour += neighbours
            report = CooccurrenceReport(
                orders=len(baskets.starts),
                baskets_with_pairs=int(np.count_nonzero(baskets.sizes > 1)),
                pairs=distinct // 2,
                pair_occurrences=occurrences // 2,
                items_with_neighbour=with_neighbour,
                rows=rows,
            )
            writer.note(_NOTE, json.dumps({"report": asdict(report), "settings": settings.as_dict()}))
    return report


def read_kept(cooccurrence: Path) -> Kept:
    """What a file of this table says of itself.

    Raises:
        LakeError: the file is missing or damaged, or of another version.
    """
    found = find_kept(cooccurrence)
    if found is None:
        raise LakeError(
            f"{cooccurrence} does not say what was counted and which score chose: it is of another version.",
            hint="Materialize item_cooccurrence and similar_items again, in one run.",
            path=str(cooccurrence),
        )
    return found


def find_kept(cooccurrence: Path) -> Kept | None:
    """Like `read_kept`; None where the file says nothing, because something else wrote it.

    Raises:
        LakeError: the file is missing or damaged.
    """
    require_files("item_cooccurrence", [cooccurrence])
    with lake_errors("item_cooccurrence"):
        said = (pq.read_metadata(cooccurrence).metadata or {}).get(_NOTE.encode())
    if said is None:
        return None
    found = json.loads(said)
    return Kept(CooccurrenceReport(**found["report"]), ScoreSettings.from_dict(found["settings"]))


_Counted = Iterator[tuple[Pairs, int, int]]
"""Pairs kept of some items; how many these items have, in their direction; how many of the items have any."""


@cache
def _has_kernel(compiled: Path | None) -> bool:
    """Whether the kernel can be had; where numba is there and of no use, that is said, once."""
    if not find_spec("numba"):
        return False
    from reco.model.kernel import prepare  # noqa: PLC0415 - for large tables only

    try:
        prepare(compiled)
    except CompilerUnavailable as error:
        _LOG.warning("%s Pairs are counted by sorting, which takes longer.", error.message)
        return False
    return True


def _by_sorting(baskets: Baskets, settings: ScoreSettings) -> _Counted:
    items = Items.of(baskets, settings)
    for pairs in count_pairs(baskets, baskets.weights(settings)):
        neighbours = 1 + int(np.count_nonzero(np.diff(pairs.item))) if len(pairs.item) else 0
        yield keep_best(settings, items, pairs), len(pairs.item), neighbours


def _by_kernel(baskets: Baskets, settings: ScoreSettings, compiled: Path | None) -> _Counted:
    from reco.model.kernel import best_pairs  # noqa: PLC0415 - for large tables only

    for block in best_pairs(baskets, baskets.weights(settings), settings, otherwise=compiled):
        yield block.kept, block.distinct, block.neighbours


def _weight_column(pairs: Pairs) -> Arrow:
    known: NDArray[np.bool_] = np.full(len(pairs.item), pairs.weight is not None)
    return number_column(np.zeros(len(known)) if pairs.weight is None else pairs.weight, REAL, known=known)
