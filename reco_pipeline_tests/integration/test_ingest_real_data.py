import tarfile
from collections import Counter
from pathlib import Path

import polars as pl

from reco.catalog.reader import CATALOGUE_LINES, read_catalogue
from reco.orders.drops import DropFile
from reco.orders.profiles import load_profile
from reco.storage.lake import Lake
from reco_pipeline_tests.reading import ReadDrop, read_files

EXAMPLES = Path(__file__).parents[2] / "docs" / "profiles"


def read_one(data: Path, name: str, folder: Path, profile: str) -> ReadDrop:
    return read_files([("drop", data / name)], folder, load_profile(profile))["drop"]


def orders_of(read: ReadDrop, item: str) -> int:
    return read.accepted.filter(pl.col("item_id") == item)["order_id"].n_unique()


def test_uci_daily_drops_in_one_batch(real_data: Path, tmp_path: Path) -> None:
    """305 daily files of 541,909 lines: each accepted, excluded or quarantined, 9,288 cancelled, 5,268 repeats."""
    with tarfile.open(real_data / "online_retail_by_day.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    files = sorted((tmp_path / "online_retail" / "by-day").glob("*.csv"))
    read = read_files([(path.stem, path) for path in files], tmp_path, "uci-online-retail")
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for drop in read.values():
        counts.update(vars(drop.result.counts))
        reasons.update(drop.result.reasons)
    assert len(read) == 305
    assert counts["lines_read"] == 541_909
    assert counts["lines_accepted"] + counts["lines_excluded"] + counts["lines_quarantined"] == 541_909
    assert reasons == {"cancelled": 9_288, "excluded_item": 2_328, "nonpositive_quantity": 1_336}
    assert counts["lines_duplicate"] == 5_268


def test_groceries(real_data: Path, tmp_path: Path) -> None:
    """The published answers: whole milk in 2,513 orders, other vegetables in 1,903."""
    read = read_one(real_data, "arules_groceries.csv.gz", tmp_path, str(EXAMPLES / "groceries.toml"))
    assert (read.accepted.height, read.others.height) == (43_367, 0)
    assert (orders_of(read, "whole milk"), orders_of(read, "other vegetables")) == (2_513, 1_903)


def test_breadbasket(real_data: Path, tmp_path: Path) -> None:
    """CRLF, unpadded hours, and NONE as an item unless the profile leaves it out."""
    read = read_one(real_data, "breadbasket.csv.gz", tmp_path, "auto")
    assert (read.accepted.height, read.others.height) == (21_293, 0)
    assert read.accepted.filter(item_id="NONE").height == 786
    assert read.accepted["ordered_at"].null_count() == 0
    assert read.result.counts.lines_duplicate == 1_653
    told = read_one(real_data, "breadbasket.csv.gz", tmp_path, str(EXAMPLES / "breadbasket.toml"))
    assert told.result.reasons == {"excluded_item": 786}


def test_chipotle(real_data: Path, tmp_path: Path) -> None:
    """Tabs and prices with a dollar sign; each line has a price."""
    read = read_one(real_data, "chipotle.tsv", tmp_path, "auto")
    assert (read.accepted.height, read.others.height) == (4_622, 0)
    assert read.accepted["unit_price"].null_count() == 0
    assert (read.accepted["order_id"].n_unique(), read.accepted["item_id"].n_unique()) == (1_834, 50)


def test_complete_journey(real_data: Path, tmp_path: Path) -> None:
    """8,869 of 1,469,307 lines have no quantity; the rest are 155,518 orders of 68,260 items with a line total."""
    read = read_one(real_data, "complete_journey_transactions.csv.gz", tmp_path, "auto")
    assert read.result.counts.lines_read == 1_469_307
    assert read.result.reasons == {"nonpositive_quantity": 8_869}
    lines = read.accepted
    assert lines.height == 1_460_438
    assert (lines["order_id"].n_unique(), lines["item_id"].n_unique()) == (155_518, 68_260)
    assert lines["line_total"].null_count() == 0


def test_instacart(real_data: Path, tmp_path: Path) -> None:
    """1,384,617 lines without price or time; every item has its name and category in the second file."""
    read = read_one(real_data, "instacart_train_order_products.csv.gz", tmp_path, str(EXAMPLES / "instacart.toml"))
    assert (read.accepted.height, read.others.height) == (1_384_617, 0)
    items = read_items(real_data, "instacart", tmp_path)
    assert items.height == 49_688
    unknown = read.accepted.select("item_id").unique().join(items, on="item_id", how="anti")
    assert unknown.height == 0
    assert items.drop_nulls(["item_name", "category"]).height == 49_688


def test_complete_journeys_catalogue(real_data: Path, tmp_path: Path) -> None:
    """92,331 items, each once and with a department, though not each with a name."""
    items = read_items(real_data, "complete_journey", tmp_path)
    assert (items.height, items["item_id"].n_unique()) == (92_331, 92_331)
    assert items["category"].null_count() == 0


def read_items(data: Path, shop: str, folder: Path) -> pl.DataFrame:
    """The items of a shop's products file, read as a catalogue by the shop's example profile; no line is lost."""
    path = data / f"{shop}_products.csv.gz"
    drop = DropFile("catalogue", path, path.name, load_profile(EXAMPLES / f"{shop.replace('_', '-')}.toml"))
    lake = Lake(folder / "catalogue")
    result = read_catalogue(drop, lake, folder / "scratch of the catalogue")
    items = pl.read_parquet(lake.existing(CATALOGUE_LINES, "catalogue"))
    assert (result.counts.lines_read, result.counts.lines_quarantined) == (items.height, 0)
    return items
