"""Promises of names alike: rare words decide, common ones do not, and nothing is alike that shares little."""

import polars as pl

from reco.snapshot.likeness import COMMON, most_alike

SHELF = ["Gas Detector XT 40", "Gas Detector Bag", "Water Level Meter 30 m", "Hose", "Hose"]


def alike(*names: str, shelf: list[str] | None = None) -> list[str | None]:
    """The name on the shelf that is most like each given one."""
    shelf = SHELF if shelf is None else shelf
    lonely = pl.DataFrame({"item_id": [str(n) for n in range(len(names))], "item_name": list(names)})
    others = pl.DataFrame(
        {"rank": range(1, len(shelf) + 1), "item_name": shelf}, {"rank": pl.Int64, "item_name": pl.String}
    )
    found = most_alike(lonely, others)
    return [shelf[found[str(n)] - 1] if str(n) in found else None for n in range(len(names))]


def test_the_name_that_shares_most_is_found() -> None:
    """Letter case, marks and full-width letters do not matter; a name that shares little has none."""
    assert alike("GAS-DETECTOR  xt/50", "water level METER", "\uff28\uff4f\uff53\uff45", "Lamp of gas", "", "!!") == [
        "Gas Detector XT 40", "Water Level Meter 30 m", "Hose", None, None, None,
    ]  # fmt: skip


def test_equal_names_are_settled_by_popularity() -> None:
    """Of two items called alike the more popular one stands in."""
    lonely = pl.DataFrame({"item_id": ["x"], "item_name": ["hose"]})
    others = pl.DataFrame({"rank": [5, 4], "item_name": ["Hose", "Hose"]})
    assert most_alike(lonely, others) == {"x": 4}


def test_a_word_in_very_many_names_finds_nothing() -> None:
    """A word of every name would compare everything with everything."""
    shelf = [f"Item {chr(97 + n % 26)}{n}" for n in range(COMMON + 1)]
    assert alike("Item", "Item a0", shelf=shelf) == [None, "Item a0"]


def test_nothing_to_compare_is_no_error() -> None:
    """An empty shop, and one where all items have neighbours."""
    assert alike(shelf=SHELF) == []
    assert alike("Hose", shelf=[]) == [None]
