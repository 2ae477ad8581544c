"""What is compared: lists of neighbours made with score settings, or read from a table.

Belongs here: learning from the learnt part of a split. Does not belong here: the formulas (`reco.model.scores`).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco.model.baskets import Baskets
from reco.model.evaluation.answers import Lists
from reco.model.pairs import Pairs, count_pairs
from reco.model.ranking import Items, Ranked, keep_best, rank_pairs, rank_scored
from reco.model.regression import regress
from reco.model.scores import ScoreSettings
from reco.storage.columns import COUNT, NULL, REAL, TEXT, Arrow, Ints, lake_errors, numbers, read_columns, reals, texts

COUNTS = "count"
"""The contender that ranks by the bare number of orders."""

_SIMILAR = pa.schema([("item_id", TEXT), ("other_id", TEXT), ("score", REAL)])


def learn(learnt: Baskets, contenders: Mapping[str, ScoreSettings | None]) -> dict[str, Lists]:
    """The lists of each contender, learnt from the same orders; None ranks by the bare count of orders.

    Pairs are counted once for all contenders that weigh orders alike.
    """
    weighing: dict[tuple[float, float], list[str]] = {}
    for name, settings in contenders.items():
        size = settings.order_size_power if settings and settings.score in ("powers", "regression") else 0.0
        weighing.setdefault((size, settings.half_life_days if settings else 0.0), []).append(name)
    found: dict[str, list[Ranked]] = {name: [] for name in contenders}
    regressions = {name: one for name, one in contenders.items() if one and one.score == "regression"}
    candidates: dict[str, list[Pairs]] = {name: [] for name in regressions}
    for names in weighing.values():
        first = contenders[names[0]] or ScoreSettings()
        items = Items.of(learnt, first)
        for pairs in count_pairs(learnt, learnt.weights(first)):
            for name in names:
                if name in regressions:
                    candidates[name].append(keep_best(regressions[name].keeping, items, pairs))
                else:
                    found[name].append(_rank(contenders[name], items, pairs))
    orders = learnt.item_totals(None).astype(np.float64)
    for name, settings in regressions.items():
        found[name] = [regress(settings, orders, Pairs.joined(candidates[name]))]
    return {name: _lists(ranked, len(learnt.items)) for name, ranked in found.items()}


def lists_of_table(similar_items: Path, learnt: Baskets, takes_part: NDArray[np.bool_]) -> Lists:
    """The lists of a `similar_items` table, without items that do not take part.

    Raises:
        LakeError: the table is missing or damaged.
    """
    with lake_errors("model_evaluation"):
        table = read_columns(similar_items, _SIMILAR, coded=("item_id", "other_id"))
        item, other = (_codes(table[name], learnt) for name in ("item_id", "other_id"))
        score = reals(table["score"])
    known = (item != NULL) & (other != NULL)
    known[known] = takes_part[item[known]] & takes_part[other[known]]
    return _csr(item[known], other[known], score[known], len(learnt.items))


def _rank(settings: ScoreSettings | None, items: Items, pairs: Pairs) -> Ranked:
    if settings is None:
        return rank_scored(pairs, pairs.orders / max(1.0, items.total), ScoreSettings().top)
    return rank_pairs(settings, items, pairs)


def _lists(ranked: list[Ranked], width: int) -> Lists:
    empty: Ints = np.empty(0, np.int64)
    item = np.concatenate([one.item for one in ranked]) if ranked else empty
    other = np.concatenate([one.other for one in ranked]) if ranked else empty
    score = np.concatenate([one.score for one in ranked]) if ranked else np.empty(0)
    return _csr(item, other, score, width)


def _csr(item: Ints, other: Ints, score: NDArray[np.float64], width: int) -> Lists:
    by_item = np.argsort(item, kind="stable")
    starts = np.searchsorted(item[by_item], np.arange(width + 1))
    return Lists(starts, other[by_item], score[by_item])


def _codes(column: Arrow, learnt: Baskets) -> Ints:
    found = texts(column)
    places_of: Arrow = pc.index_in(found.values, value_set=learnt.items.values)
    places = numbers(pa.chunked_array([places_of.cast(COUNT)]), null=NULL)
    codes: Ints = places[found.codes]
    return codes
