"""Which item's name is most like another's: what stands in for an item that no order says anything about.

Belongs here: comparing names, word by word. Does not belong here: what is answered with it (`reco.snapshot.read`).
"""

import polars as pl

COMMON = 200
"""A word in more names than this says little, and would make every name the neighbour of every other."""

LEAST = 0.3
_PORTION = 5_000
_WORD = r"[\p{L}\p{N}]+"


def most_alike(lonely: pl.DataFrame, others: pl.DataFrame) -> dict[str, int]:
    """For each lonely item the rank of the one whose name is most like its own; items with no name alike are missing.

    The likeness of two names is the weight of the words they share over that of all words in either (a weighted Jaccard
    index); a word in d of W names weighs ln(1 + W / d), so rare words count. Below 0.3 names are not alike. Equal ones
    are settled by popularity.

    Args:
        lonely: item_id, item_name.
        others: rank, item_name: the items to choose from.
    """
    if not lonely.height or not others.height:
        return {}
    words = _words(others, "rank")
    spread = words.group_by("word").agg(pl.len().alias("names"))
    weight = spread.with_columns((1 + others.height / pl.col("names")).log().alias("weight"))
    rare = weight.filter(pl.col("names") <= COMMON).select("word", "weight")
    whole = words.join(weight, on="word").group_by("rank").agg(pl.col("weight").sum().alias("theirs"))
    new = (1 + pl.lit(others.height)).log()  # a word that no other name has
    found: dict[str, int] = {}
    for some in lonely.iter_slices(_PORTION):
        mine = _words(some, "item_id").join(weight.select("word", "weight"), on="word", how="left")
        mine = mine.with_columns(pl.col("weight").fill_null(new))
        own = mine.group_by("item_id").agg(pl.col("weight").sum().alias("own"))
        shared = (
            mine.select("item_id", "word")
            .join(rare, on="word")
            .join(words, on="word")
            .group_by("item_id", "rank")
            .agg(pl.col("weight").sum().alias("both"))
        )
        alike = pl.col("both") / (pl.col("own") + pl.col("theirs") - pl.col("both"))
        best = (
            shared.join(own, on="item_id")
            .join(whole, on="rank")
            .with_columns(alike.round(9).alias("alike"))  # sums of the same words in another order stay equal
            .filter(pl.col("alike") >= LEAST)
            .sort("item_id", pl.col("alike") * -1, "rank")
            .unique("item_id", keep="first", maintain_order=True)
        )
        found.update(best.select("item_id", "rank").iter_rows())
    return found


def _words(items: pl.DataFrame, key: str) -> pl.DataFrame:
    """The distinct words of each name."""
    word = pl.col("item_name").str.normalize("NFKC").str.to_lowercase().str.extract_all(_WORD).alias("word")
    return items.select(key, word).explode("word").drop_nulls("word").unique()
