"""Promises of the model's chain of tables: names from the shop's file, and no table beside one of another day."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from reco.catalog.ledger import CatalogueLedger
from reco.catalog.table import ingest_catalogues, make_catalogue
from reco.errors import LakeError
from reco.model.tables import ITEM_STATS, SIMILAR_ITEMS, broken_links, make_cooccurrence, make_item_stats, make_similar
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus
from reco.orders.orders import make_orders
from reco.orders.profiles import load_profile
from reco.settings import Settings

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with two ingested orders of items 1 and 2."""
    home = open_home(Settings(home=tmp_path / "home"))
    _drop(home, tmp_path / "orders.csv", "order_id,product_id\na,1\na,2\nb,1\n")
    return home


def _drop(home: Home, path: Path, text: str) -> None:
    path.write_text(text)
    home.ledger.register([(path, load_profile("auto"))], now=NOON)
    ingest(home.ledger, [d.key for d in home.ledger.drops(status=DropStatus.PENDING)], now=NOON, run_id=None)


def make_all(home: Home) -> None:
    """Every table of the model, from the ingested lines."""
    make_orders(home.ledger, home.lake, now=NOON, run_id=None)
    make_item_stats(home.ledger, home.lake)
    make_cooccurrence(home.lake)
    make_similar(home.lake)


def give_catalogue(home: Home, path: Path, text: str) -> None:
    """A catalogue of these lines, read and in the table."""
    path.write_text(text)
    ledger = CatalogueLedger(home.ledger.engine, home.lake)
    ledger.register([(path, load_profile("auto"))], now=NOON)
    ingest_catalogues(ledger, now=NOON, run_id=None)
    make_catalogue(ledger, home.lake)


def test_names_come_from_the_newest_catalogue(home: Home, tmp_path: Path) -> None:
    """A named item shows its name and category, an unnamed one its id; a new name replaces the old."""
    give_catalogue(home, tmp_path / "a.csv", "id,name,category\n1,Banana,Fruit\n9,Unsold,Other\n")
    make_all(home)
    stats = pl.read_parquet(home.lake.existing(ITEM_STATS)).select("item_id", "item_name", "category")
    assert stats.rows() == [("1", "Banana", "Fruit"), ("2", "2", None)]
    give_catalogue(home, tmp_path / "b.csv", "id,name,category\n1,Ripe banana,Fruit\n")
    assert broken_links(home.ledger, home.lake) == ["item_stats was made from another state of catalogue"]
    make_item_stats(home.ledger, home.lake)
    assert pl.read_parquet(home.lake.existing(ITEM_STATS))["item_name"].to_list() == ["Ripe banana", "2"]


def test_tables_made_together_belong_together(home: Home) -> None:
    """After making all of them no link is broken."""
    make_all(home)
    assert broken_links(home.ledger, home.lake) == []


def test_each_stale_table_is_named_with_its_input(home: Home, tmp_path: Path) -> None:
    """New lines make `orders` stale; making it alone makes the next tables stale, and so on down the chain."""
    assert len(broken_links(home.ledger, home.lake)) == 4
    make_all(home)
    _drop(home, tmp_path / "more.csv", "order_id,product_id\nc,2\nc,3\n")
    assert broken_links(home.ledger, home.lake) == ["orders was made from another state of drops"]
    make_orders(home.ledger, home.lake, now=NOON, run_id=None)
    assert broken_links(home.ledger, home.lake) == [
        "item_stats was made from another state of orders",
        "item_cooccurrence was made from another state of orders",
    ]
    make_item_stats(home.ledger, home.lake)
    make_cooccurrence(home.lake)
    stale = "similar_items was made from another state of item_stats and item_cooccurrence"
    assert broken_links(home.ledger, home.lake) == [stale]
    make_similar(home.lake)
    assert broken_links(home.ledger, home.lake) == []


def test_a_changed_table_is_not_the_one_that_was_made(home: Home) -> None:
    """A table that was overwritten by other means is found."""
    make_all(home)
    home.lake.existing(SIMILAR_ITEMS).write_bytes(b"other")
    assert broken_links(home.ledger, home.lake) == ["similar_items is missing or not the file that was made"]


def test_making_without_input_says_what_to_make_first(tmp_path: Path) -> None:
    """A stage whose input is not there names the asset to materialize."""
    home = open_home(Settings(home=tmp_path / "empty"))
    with pytest.raises(LakeError, match="Materialize orders"):
        make_cooccurrence(home.lake)
