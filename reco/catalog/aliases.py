"""Which items of the orders the ids of a catalogue stand for, where a source merges ids that differ in little.

Belongs here: finding them. Does not belong here: what differences are (`reco.orders.merging`), and what is done with
the names of an item.
"""

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pyarrow as pa

from reco.orders.merging import comparable
from reco.storage.engine import literal, parquet

SCHEMA = pa.schema([("listed_id", pa.string()), ("item_id", pa.string())])


def define_aliases(
    con: duckdb.DuckDBPyConnection, listed: str, orders: Path, rules: Mapping[str, tuple[str, ...]]
) -> None:
    """The table `aliases`: listed_id, an id of the catalogue, and item_id, another id in the orders that it stands for.

    Args:
        con: takes the table.
        listed: a query of the catalogue's ids.
        orders: the `orders` table, in which each item stands under one id a source.
        rules: what each source lets differ in the ids of one item (`reco.orders.merging.rules_of_sources`).
    """
    pairs: set[tuple[str, str]] = set()
    ids = [one for (one,) in con.sql(listed).fetchall()] if rules else []
    for rule in sorted(set(rules.values())):
        sources = ", ".join(literal(source) for source, its in rules.items() if its == rule)
        sold = con.sql(f"SELECT DISTINCT item_id FROM {parquet(orders)} WHERE source IN ({sources})").fetchall()
        known: dict[str, list[str]] = {}
        for (item,) in sold:
            known.setdefault(comparable(item, rule), []).append(item)
        pairs |= {(one, item) for one in ids for item in known.get(comparable(one, rule), ()) if item != one}
    columns = zip(*sorted(pairs), strict=True) if pairs else ((), ())
    found = pa.table([pa.array(column, pa.string()) for column in columns], schema=SCHEMA)
    con.register("found_aliases", found)
    con.execute("CREATE TEMP TABLE aliases AS FROM found_aliases")
    con.unregister("found_aliases")
