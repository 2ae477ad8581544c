"""Ids that mean one item: what a source lets differ, and which of the ids stands for all.

Belongs here: comparing item ids and choosing among them. Does not belong here: reading lines or writing the report.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from reco.storage.columns import COUNT, TEXT, Ints, Texts, number_column, text_array, write_table

MERGED_ITEMS = "merged_items"
"""The table that says which ids stand under which."""

MERGED_SCHEMA = pa.schema([("source", TEXT), ("item_id", TEXT), ("merged_into", TEXT), ("lines", COUNT)])


class MergedItem(NamedTuple):
    """An id of a source that stands under another one; lines: how many lines came with it."""

    source: str
    item_id: str
    merged_into: str
    lines: int


def comparable(item_id: str, differences: Sequence[str]) -> str:
    """What is equal for ids that differ in nothing else; `unicode` is normal form C."""
    text = unicodedata.normalize("NFC", item_id) if "unicode" in differences else item_id
    text = " ".join(text.split()) if "spaces" in differences else text
    return text.casefold() if "case" in differences else text


def rules_of_sources(given: Iterable[tuple[str, int, Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """What each source lets differ: what the drops of its newest batch say, together; without those that say nothing.

    Args:
        given: source, batch and differences of each drop.
    """
    newest: dict[str, tuple[int, set[str]]] = {}
    for source, batch, differences in given:
        known = newest.get(source)
        if known is None or batch > known[0]:
            newest[source] = (batch, set(differences))
        elif batch == known[0]:
            known[1].update(differences)
    return {source: tuple(sorted(rule)) for source, (_, rule) in newest.items() if rule}


def merge(items: Texts, rules: Mapping[str, tuple[str, ...]], sources: Texts) -> tuple[Texts, tuple[MergedItem, ...]]:
    """Gives lines whose ids mean one item one id: the most frequent of them, the smallest by bytes among equals.

    All lines of a source are merged by its rule, and by the ids of all sources that have one.

    Args:
        items: the item of each line.
        rules: what may differ in the ids of each source that merges any (`rules_of_sources`).
        sources: the source of each line.

    Returns:
        The items with the codes changed, and what was merged, by source and id.
    """
    rule_of = [rules.get(str(source), ()) for source in sources.values]
    if not any(rule_of):
        return items, ()
    merging = np.array([bool(rule) for rule in rule_of])[sources.codes]
    counts = np.bincount(items.codes[merging], minlength=len(items))
    codes = items.codes
    merged: list[MergedItem] = []
    for rule in sorted({rule for rule in rule_of if rule}):
        target = _targets(items, counts, rule)
        moved = np.array([one == rule for one in rule_of])[sources.codes] & (target[items.codes] != items.codes)
        if not moved.any():
            continue
        codes = np.where(moved, target[items.codes], codes).astype(np.int32)
        pairs, lines = np.unique(
            np.stack([sources.codes[moved], items.codes[moved]], axis=1), axis=0, return_counts=True
        )
        merged += [
            MergedItem(str(sources.values[s]), str(items.values[i]), str(items.values[target[i]]), n)
            for (s, i), n in zip(pairs.tolist(), lines.tolist(), strict=True)
        ]
    return Texts(items.values, codes), tuple(sorted(merged))


def write_merged(merged: Sequence[MergedItem], out: Path) -> None:
    """Writes the `merged_items` table: source, item_id, merged_into, lines BIGINT; sorted by source and item_id."""
    with write_table(out, MERGED_SCHEMA) as writer:
        texts = [text_array([str(one[i]) for one in merged]) for i in range(3)]
        writer.write(*texts, number_column(np.array([one.lines for one in merged], np.int64)))


def _targets(items: Texts, counts: Ints, rule: Sequence[str]) -> Ints:
    """The place of the id that stands for each; an id nobody used stands for itself."""
    best: dict[str, int] = {}
    used = np.flatnonzero(counts).tolist()
    keys = {i: comparable(str(items.values[i]), rule) for i in used}
    for i, key in keys.items():
        if key not in best or counts[i] > counts[best[key]]:
            best[key] = i
    target = np.arange(len(counts))
    target[used] = [best[keys[i]] for i in used]
    return target
