"""The item names and categories a shop gave in a file of their own, kept in the lake.

Belongs here: merging the `[items]` file of a profile into one table. Does not belong here: reading that file
(`reco.catalog.items`) or names that stand in order lines (`reco.model.item_stats`).
"""

import polars as pl

from reco.catalog.items import load_items
from reco.orders.profiles import SourceProfile
from reco.storage.lake import Lake

ITEM_NAMES = "item_names"


def keep_item_names(profile: SourceProfile, lake: Lake) -> int:
    """Takes the profile's item file into the lake's `item_names`, new names first; returns the items read.

    A profile without an item file changes nothing, and so does a file whose names are known: the table's bytes stay.

    Raises:
        ProfileError: the item file is missing or has not the columns the profile names.
    """
    if profile.items is None:
        return 0
    items = load_items(profile.items)
    path = lake.path(ITEM_NAMES)
    known = [pl.read_parquet(path)] if path.is_file() else []
    merged = pl.concat([*known, items]).unique("item_id", keep="last", maintain_order=True).sort("item_id")
    if not known or not merged.equals(known[0]):
        with lake.replace(ITEM_NAMES) as target:
            merged.write_parquet(target)
    return int(items.height)
