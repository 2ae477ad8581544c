"""Known answers of real order files, through the command people type."""

import signal
import tarfile
from pathlib import Path

import pytest

from reco_pipeline_tests.api_server import Api, running_api
from reco_pipeline_tests.shop import ROOT, new_shop

pytestmark = pytest.mark.timeout(600)

COUNTS = ("lines_read", "lines_accepted", "lines_excluded", "lines_quarantined")


def test_groceries(real_data: Path, tmp_path: Path) -> None:
    """The Groceries set of the literature: 9,835 orders, 169 items, whole milk first."""
    shop = new_shop(tmp_path)
    result = shop.reco("run", "--orders", real_data / "arules_groceries.csv.gz", "--json").json
    assert [result[name] for name in (*COUNTS, "orders", "items")] == [43_367, 43_367, 0, 0, 9_835, 169]
    popular = shop.reco("popular", "--json", "--limit", "2").json["recommendations"]
    assert [(one["item_id"], one["purchases"]) for one in popular] == [
        ("whole milk", 2_513),
        ("other vegetables", 1_903),
    ]


@pytest.mark.slow
def test_uci_in_305_drops(real_data: Path, tmp_path: Path) -> None:
    """A year of daily files in one run: all 541,909 lines are accepted, excluded or quarantined with a reason."""
    shop = new_shop(tmp_path)
    with tarfile.open(real_data / "online_retail_by_day.tar.gz") as archive:
        archive.extractall(shop.files, filter="data")
    done = shop.reco("run", "--orders", shop.files, "--source", "uci-online-retail", "--json")
    assert done.code == 0, done.err
    result = done.json
    assert len(result["drops"]) == 305
    assert result["lines_read"] == 541_909 == sum(result[name] for name in COUNTS[1:])
    assert result["reasons"]["cancelled"] == 9_288
    assert sum(result["reasons"].values()) == result["lines_excluded"] + result["lines_quarantined"]
    for drop in result["drops"]:
        assert drop["lines_read"] == sum(drop[name] for name in COUNTS[1:])
    assert shop.reco("doctor").code == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "orders", "expected"),
    [
        ("instacart", "instacart_train_order_products.csv.gz", (1_384_617, 1_384_617, 131_209, 39_123, 5_711_806)),
        (
            "complete-journey",
            "complete_journey_transactions.csv.gz",
            (1_469_307, 1_460_438, 155_518, 68_260, 11_856_643),
        ),
    ],
)
def test_big_baskets(name: str, orders: str, expected: tuple[int, ...], real_data: Path, tmp_path: Path) -> None:
    """Orders, items and distinct pairs are exact at a million lines, and names come from the shop's item file."""
    shop = new_shop(tmp_path)
    profile = shop.write(f"{name}.toml", (ROOT / "docs" / "profiles" / f"{name}.toml").read_bytes())
    products = f"{name.replace('-', '_')}_products.csv.gz"
    shop.write(products, (real_data / products).read_bytes())
    done = shop.reco("run", "--orders", real_data / orders, "--source", profile, "--json")
    assert done.code == 0, done.err
    assert tuple(done.json[key] for key in ("lines_read", "lines_accepted", "orders", "items", "pairs")) == expected
    top = shop.reco("popular", "--json", "--limit", "1").json["recommendations"][0]
    assert top["item_name"].lower().startswith("banana")


@pytest.mark.slow
def test_the_prototypes_data(tmp_path: Path) -> None:
    """The prototype's size, exactly: its lines, orders, items, pairs, and what goes with PID."""
    shop = new_shop(tmp_path)
    shop.reco("sample", "--prototype", "--out", shop.files / "orders.csv")
    result = shop.reco("run", "--orders", shop.files / "orders.csv", "--json").json
    names = ("lines_read", "lines_accepted", "orders", "items", "pairs")
    assert [result[name] for name in names] == [486_620, 486_620, 154_167, 15_105, 133_632]
    assert result["redis_bytes"] < 16_460_000
    popular = shop.reco("popular", "--json", "--limit", "3").json["recommendations"]
    kit = "Cal Kit - Std - 34L Regulator 100PPM/Tedlar Bag"
    expected = [("PID", 30_245), ("Water Level Meter", 29_558), (kit, 22_975)]
    assert [(one["item_id"], one["purchases"]) for one in popular] == expected
    similar = shop.reco("similar", "PID", "--json").json["recommendations"][0]
    assert (similar["item_id"], similar["evidence"]["pair_orders"]) == (kit, 17_951)
    with running_api({"RECO_HOME": str(shop.home)}) as api:
        _ask_as_the_prototype_did(api, kit)
        assert api.stop(signal.SIGTERM)[0] == 0, "which ends the home's embedded server too"


def _ask_as_the_prototype_did(api: Api, kit: str) -> None:
    """Its three documented calls over HTTP: its fields, and its data's figures as purchases and evidence."""
    answers = {
        "popular": api.ask("/api/v1/popular-items?limit=5"),
        "similar": api.ask("/api/v1/similar-items/PID?limit=3"),
        "basket": api.basket("PID", "Water Level Meter"),
    }
    assert [len(answer["recommendations"]) for answer in answers.values()] == [5, 3, 10]
    for answer in answers.values():
        assert answer["metadata"].keys() >= {"limit", "total_recommendations"}
        for one in answer["recommendations"]:
            assert one.keys() >= {"item_id", "item_name", "similarity_score", "reason", "popularity_rank", "purchases"}
    first = answers["popular"]["recommendations"][0]
    assert (first["item_id"], first["purchases"], first["popularity_rank"]) == ("PID", 30_245, 1)
    assert {one["item_id"]: one["evidence"]["pair_orders"] for one in answers["similar"]["recommendations"]}[
        kit
    ] == 17_951
    in_basket = [one["item_id"] for one in answers["basket"]["recommendations"]]
    assert kit in in_basket
    assert not {"PID", "Water Level Meter"} & set(in_basket)
