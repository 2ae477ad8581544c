"""What an item is called: the names and categories that the lines and the catalogue give it.

Belongs here: choosing among them. Does not belong here: any figure of an item (`reco.model.item_stats`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco.orders.coded import text_codes
from reco.storage.columns import (
    NULL,
    PORTION,
    TEXT,
    Arrow,
    Ints,
    Texts,
    index_array,
    nothing,
    number_column,
    pair_codes,
    read_columns,
    texts,
)
from reco.storage.reading import Columns

_MERGED_SCHEMA = pa.schema([("source", TEXT), ("item_id", TEXT), ("merged_into", TEXT)])


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines that may name an item.

    parts: files shaped as `order_lines`; batches: the batch of each, or None: then lines that a later batch replaced
    have a say too; merged: the `merged_items` table, if there is one.
    """

    parts: Sequence[Path]
    batches: Sequence[int] | None
    merged: Path | None


@dataclass(frozen=True, slots=True)
class Names:
    """What each of some items is called, null where nothing says. catalogued: how many names the catalogue gave."""

    item_name: Arrow
    category: Arrow
    catalogued: int


def find_names(
    items: Arrow, lines: Lines, catalogue: Path | None, orders: Path, rules: Mapping[str, tuple[str, ...]]
) -> Names:
    """The names and categories of items: the catalogue's, else the most frequent in the lines (ties: the smallest).

    Blank text is no name.

    Args:
        items: item ids.
        lines: what may name them.
        catalogue: Parquet with item_id, item_name, category.
        orders: the `orders` table, which says what ids of the catalogue may stand for.
        rules: what each source lets differ in the ids of one item (`reco.orders.merging`).
    """
    said = {name: votes.of(items) for name, votes in _votes(lines).items()}
    catalogued = 0
    if catalogue is not None:
        listed = _catalogue(catalogue, orders, rules)
        places = pc.index_in(items, value_set=listed["item_id"])
        own = {name: listed[name].take(places) for name in said}
        catalogued = len(items) - own["item_name"].null_count
        said = {name: pc.coalesce(own[name], said[name]) for name in said}
    return Names(said["item_name"], said["category"], catalogued)


@dataclass(frozen=True, slots=True)
class _Votes:
    """The text that most lines give some items, one row an item."""

    items: Arrow
    values: Arrow

    def of(self, items: Arrow) -> Arrow:
        """The text of each of these items, null where no line gives one."""
        return self.values.take(pc.index_in(items, value_set=self.items))


def _votes(lines: Lines) -> dict[str, _Votes]:
    table = Columns.of(lines.parts, ("item_id", "item_name", "category"))
    items = _merged(table.texts("item_id"), lines)
    counted = _in_effect(lines)
    return {name: _most(items, _trimmed(table.texts(name)), counted) for name in ("item_name", "category")}


def _trimmed(column: Texts) -> Texts:
    trimmed = pc.utf8_trim_whitespace(column.values)
    if not len(trimmed) or (trimmed.equals(column.values) and str(trimmed[0])):
        return column
    named = pc.if_else(pc.equal(trimmed, pa.scalar("", TEXT)), pa.scalar(None, TEXT), trimmed)
    padded = pa.concat_arrays([named, nothing(1, TEXT)])  # the last place is that of null
    return texts(pa.chunked_array([text_codes(padded, column.codes)]))


def _most(items: Texts, names: Texts, counted: NDArray[np.bool_] | None) -> _Votes:
    """The most frequent text of each item that has one; the smallest among equals."""
    parts = [
        _counted(items.codes[part], names.codes[part], None if counted is None else counted[part], max(1, len(names)))
        for part in (slice(start, start + PORTION) for start in range(0, max(1, len(names.codes)), PORTION))
    ]
    pair, place = np.unique(np.concatenate([pair for pair, _ in parts]), return_inverse=True)
    votes = np.bincount(place, np.concatenate([votes for _, votes in parts]), minlength=len(pair)).astype(np.int64)
    item, name = np.divmod(pair, max(1, len(names)))
    best = np.lexsort((name, -votes, item))
    first = best[np.append(True, item[best][1:] != item[best][:-1])[: len(best)]]
    return _Votes(items.values.take(number_column(item[first])), names.values.take(number_column(name[first])))


def _counted(
    items: NDArray[np.int32], names: NDArray[np.int32], counted: NDArray[np.bool_] | None, width: int
) -> tuple[Ints, Ints]:
    """The pairs of item and name among some lines, as item * width + name, and how many lines have each."""
    voting = names != NULL if counted is None else (names != NULL) & counted
    return np.unique(items[voting].astype(np.int64) * width + names[voting], return_counts=True)


def _merged(items: Texts, lines: Lines) -> Texts:
    """The item of each line, under the id that it stands under."""
    table = None if lines.merged is None else read_columns(lines.merged, _MERGED_SCHEMA)
    if table is None or not table.num_rows:
        return items
    known = texts(pa.chunked_array([items.values, table["merged_into"].combine_chunks()]).dictionary_encode())
    codes = known.codes[: len(items)][items.codes]
    into = known.codes[len(items) :]
    sources = Columns.of(lines.parts, ("source",)).texts("source")
    given = index_array(pc.index_in(table["source"].combine_chunks(), value_set=sources.values))
    before = index_array(pc.index_in(table["item_id"].combine_chunks(), value_set=known.values))
    for source in np.unique(given[given != NULL]).tolist():
        mine = (given == source) & (before != NULL)
        target = np.arange(len(known), dtype=np.int32)
        target[before[mine]] = into[mine]
        codes = np.where(sources.codes == source, target[codes], codes)
    return Texts(known.values, codes)


def _in_effect(lines: Lines) -> NDArray[np.bool_] | None:
    """Which lines are of the latest batch that their order was bought in; None: all."""
    if lines.batches is None or len(set(lines.batches)) < 2:
        return None  # one batch has nothing to be replaced by
    table = Columns.of(lines.parts, ("source", "order_id", "quantity"))
    source, order_id = table.texts("source"), table.texts("order_id")
    order = pair_codes(source, order_id)
    batch = np.repeat(np.array(lines.batches, np.int64), table.rows)
    bought = table.numbers("quantity") > 0
    known, place = np.unique(order, return_inverse=True)
    latest = np.full(len(known), NULL, np.int64)
    np.maximum.at(latest, place[bought], batch[bought])
    found: NDArray[np.bool_] = batch == latest[place]
    return found


def _catalogue(path: Path, orders: Path, rules: Mapping[str, tuple[str, ...]]) -> dict[str, Arrow]:
    """One row an item even if the file repeats one: item_id, item_name and category, the smallest text of each.

    An item that the catalogue lists under another of its ids is there too, unless it lists the item's own.
    """
    from reco.catalog.aliases import define_aliases  # noqa: PLC0415 - most shops have no catalogue
    from reco.storage.engine import open_engine, parquet  # noqa: PLC0415 - see above

    with open_engine("the names of the catalogue", path) as con:
        define_aliases(con, f"SELECT DISTINCT item_id FROM {parquet(path)}", orders, rules)
        found = con.sql(
            f"""
            WITH listed AS (
                SELECT item_id, nullif(trim(item_name), '') AS item_name, nullif(trim(category), '') AS category
                FROM {parquet(path)}
            ),
            said AS (
                SELECT item_id, true AS own, item_name, category FROM listed
                UNION ALL SELECT a.item_id, false, item_name, category
                FROM listed l JOIN aliases a ON l.item_id = listed_id
            )
            SELECT item_id, coalesce(min(item_name) FILTER (own), min(item_name)) AS item_name,
                   coalesce(min(category) FILTER (own), min(category)) AS category
            FROM said GROUP BY item_id
            """
        ).to_arrow_table()
        return {name: found[name].combine_chunks() for name in found.column_names}
