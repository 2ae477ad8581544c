"""Promises of catalogues on the command line: given with orders or alone, named, listed, retracted."""

from pathlib import Path

from reco_pipeline_tests.shop import new_shop

ORDERS = "order_id,product_id\n1,a\n1,b\n2,a\n2,b\n3,a\n"


def test_a_catalogue_names_items_until_it_is_retracted(tmp_path: Path) -> None:
    """Given with orders it is in their snapshot; a bad one exits 3 and changes nothing; retracted, its names go."""
    shop = new_shop(tmp_path)
    items = shop.write("items.csv", "item_id,name\na,Apple\nb,Banana\n,nothing\n")
    done = shop.reco("run", "--orders", shop.write("orders.csv", ORDERS), "--catalogue", items, "--json")
    assert done.code == 0, done.err
    (given,) = done.json["catalogues"]
    assert (given["name"], given["status"], given["lines_read"], given["lines_quarantined"]) == (
        "items.csv",
        "ingested",
        3,
        1,
    )
    assert done.json["lines_read"] == 5
    assert named(shop.reco("similar", "Apple", "--json").json) == ["Banana"]

    placed = shop.reco("drop", shop.write("bad.csv", "x,y\n1,2\n"), "--catalogue", "--json").json["placed"]
    assert Path(placed[0]).parent.name == "catalogue"
    bad = shop.reco("run", "--json")
    assert bad.code == 3
    assert not bad.json["changed"]
    assert "no column that looks like an item" in bad.json["catalogues"][0]["error"]

    listed = shop.reco("drops", "list", "--json").json
    assert [one["status"] for one in listed["drops"]] == ["ingested"]
    assert [(one["name"], one["status"]) for one in listed["catalogues"]] == [
        ("items.csv", "ingested"),
        ("bad.csv", "failed"),
    ]
    assert shop.reco("drops", "retract", "items.csv").code == 0
    assert shop.reco("run", "--json").json["changed"]
    assert named(shop.reco("similar", "a", "--json").json) == ["b"]


def named(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    """The names in an answer."""
    return [one["item_name"] for one in answer["recommendations"]]


def test_a_catalogue_may_come_before_the_first_orders(tmp_path: Path) -> None:
    """It is read and waits; no sample is made beside it; a profile's item file that is gone is named."""
    shop = new_shop(tmp_path)
    first = shop.reco("run", "--catalogue", shop.write("items.csv", "item_id,name\na,Apple\n"), "--json")
    assert first.code == 0, first.err
    assert (first.json["snapshot_id"], first.json["drops"]) == (None, [])
    assert first.json["catalogues"][0]["status"] == "ingested"
    profile = shop.write(
        "shop.toml",
        'name = "shop"\n[columns]\norder_id = "order_id"\nitem_id = "product_id"\n'
        '[items]\nfile = "products.csv"\nid = "nr"\nname = "title"\n',
    )
    orders = shop.write("orders.csv", ORDERS)
    gone = shop.reco("run", "--orders", orders, "--source", profile)
    assert gone.code == 2
    assert "products.csv of source profile shop is not there" in gone.err
    shop.write("products.csv", "nr;title\nb;Banana\n")
    done = shop.reco("run", "--orders", orders, "--source", profile, "--json")
    assert done.code == 0, done.err
    assert [one["name"] for one in done.json["catalogues"]] == ["products.csv"]
    assert sorted(named(shop.reco("popular", "--json").json)) == ["Apple", "Banana"]
