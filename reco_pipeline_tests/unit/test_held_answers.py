"""Promises of the answers of a held snapshot, on small shops counted here."""

from reco.snapshot.controls import Controls
from reco.snapshot.hiding import Hide, Hides
from reco_pipeline_tests.snapshot_lake import write_tables


def ids(body):
    return [one["item_id"] for one in body["recommendations"]]


def hiding(*items):
    return Hides([Hide(number, "item", item) for number, item in enumerate(items, 1)])


def test_hidden_stand_ins_make_room_for_the_next(tmp_path):
    """However many of the most popular items are hidden, or filtered out, the list is filled with those behind them."""
    popular = [[f"i{number:03}"] for number in range(150) for _ in range(2)]
    shop = write_tables(tmp_path, [*popular, ["alone"]]).held()
    top = [f"i{number:03}" for number in range(20)]
    assert ids(shop.similar("alone", 3, hiding(*top))) == ["i020", "i021", "i022"]
    assert ids(shop.basket(["nobody knows it"], 2, hiding(*top))) == ["i020", "i021"]
    many = Controls(limit=2, exclude_ids=tuple(f"i{number:03}" for number in range(130)))
    assert ids(shop.similar("alone", many)) == ["i130", "i131"]


def test_stand_ins_go_on_page_by_page(tmp_path):
    """All pages together are all other items, each once."""
    shop = write_tables(tmp_path, [[f"i{number:03}"] for number in range(130)]).held()
    found, cursor = [], None
    while True:
        body = shop.similar("i005", Controls(limit=50, cursor=cursor))
        found += ids(body)
        cursor = body["metadata"].get("next_cursor")
        if cursor is None:
            break
    assert found == [f"i{number:03}" for number in range(130) if number != 5]
