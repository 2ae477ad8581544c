"""Promises of the answers of a held snapshot, on small shops counted here."""

from itertools import combinations

import pytest

from reco.api.questions import Basket
from reco.errors import ItemNotFound
from reco.snapshot.answers import Found
from reco.snapshot.codec import Neighbour
from reco.snapshot.controls import Controls
from reco.snapshot.details import item_answer
from reco.snapshot.hiding import Hide, Hides
from reco.snapshot.search import search_answer
from reco.snapshot.why import why
from reco_pipeline_tests.snapshot_lake import write_tables


class Counting(list[Neighbour]):
    """A list that counts how often one of its kind is gone through."""

    times = 0

    def __iter__(self):
        Counting.times += 1
        return super().__iter__()


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


def test_an_explained_basket_reads_each_list_once(tmp_path, monkeypatch):
    """However many candidates a filter removes; and the parts are those of the items that are told."""
    items = [f"i{number:02}" for number in range(40)]
    shop = write_tables(tmp_path, [*combinations(items, 2), ["i00", "z"], ["i01", "z"]]).held()
    find = shop.find
    monkeypatch.setattr(
        shop, "find", lambda texts: [one and Found(one.item, Counting(one.neighbours)) for one in find(texts)]
    )
    body = shop.basket(items[:20], Controls(explain=True, exclude_ids=tuple(items)))
    assert ids(body) == ["z"]
    assert [part["item_id"] for part in body["recommendations"][0]["explain"]["parts"]] == ["i00", "i01"]
    assert Counting.times <= 2 * 20


def test_of_a_large_order_a_hundred_items_are_looked_at(tmp_path, monkeypatch):
    """The others are not recommended either, and are counted."""
    items = [f"i{number:03}" for number in range(130)]
    shop = write_tables(tmp_path, [[one, f"with {one}"] for one in items] + [["i000", "i129"]]).held()
    asked = []
    find = shop.find

    def finding(texts):
        asked.extend(texts)
        return find(texts)

    monkeypatch.setattr(shop, "find", finding)
    body = shop.basket(items, Controls(limit=100), order={"order_id": "1"})
    assert asked == items[:100]
    assert sorted(ids(body)) == [f"with {one}" for one in items[:100]]
    assert body["metadata"]["order_items"] == 130


def test_why_names_the_category_of_a_popular_item(tmp_path):
    """Asked for another category, a popular item was removed by that; it is not one that nobody would recommend."""
    shop = write_tables(tmp_path, [["lamp"], ["lamp"], ["saw"]], categories={"lamp": "Light", "saw": "Tools"}).held()
    body = why(shop, "lamp", [], Controls(categories=("Tools",)))
    assert (body["removed_by"], body["place"], body["recommended"]) == ("categories", 1, False)
    assert "not among those asked for" in body["reasons"][0]
    assert why(shop, "saw", [], Controls(categories=("Tools",)))["rank"] == 1
    assert why(shop, "saw", [], Controls(categories=("Toys",)), hiding("saw"))["removed_by"] == "hidden"


def test_given_quantities_add_up_and_repetitions_do_not(tmp_path):
    """One and one are two, by id, by name or by both; a text without a quantity says nothing of how many there are."""

    def counted(*items):
        return Basket.model_validate({"items": list(items)}).counted()

    one = {"item": "a", "quantity": 1}
    assert counted(one, one) == {"a": 2}
    assert counted("a", "a", {"item": "a"}) == {"a": None}
    assert counted("a", {"item": "a", "quantity": 3}, "a") == {"a": 3}

    shop = write_tables(tmp_path, [["a", "x"], ["b", "y"], ["b", "x"]], names={"a": "Apple"}).held()

    def answer(*items):
        body = shop.basket(counted(*items), Controls(explain=True))
        weights = {
            part["item_id"]: part["weight"] for one in body["recommendations"] for part in one["explain"]["parts"]
        }
        return weights["a"], body["metadata"]["recommendation_id"]

    two, by_name = answer("b", {"item": "a", "quantity": 2}), {"item": "Apple", "quantity": 1}
    assert two == answer("b", one, one)
    assert answer("b", one, by_name)[0] == two[0] > answer("b", "a", "Apple")[0] == answer("b", one)[0] == 1


def test_an_exact_name_is_found_first(tmp_path):
    """However many more popular items have all its words, and also as an id; hidden it is not found."""
    baskets = [[f"i{number:03}"] for number in range(250) for _ in range(2)]
    names = {f"i{number:03}": f"tea of sort {number}" for number in range(250)} | {"z": "tea"}
    shop = write_tables(tmp_path, [*baskets, ["z"]], names=names).held()
    first = search_answer(shop, "tea", Controls(limit=100))
    assert first["items"][0]["item_id"] == "z"
    assert first["metadata"]["total_found"] == 251
    found, cursor = [], None
    while True:
        body = search_answer(shop, "tea", Controls(limit=100, cursor=cursor))
        found += [one["item_id"] for one in body["items"]]
        cursor = body["metadata"].get("next_cursor")
        if cursor is None:
            break
    assert (len(found), len(set(found))) == (251, 251)
    assert search_answer(shop, "z", Controls())["items"][0]["item_id"] == "z"
    assert search_answer(shop, "tea", Controls(limit=1), hiding("z"))["items"][0]["item_id"] == "i000"


@pytest.mark.parametrize(
    "hides", [hiding("lamp"), Hides([Hide(1, "category", "Light")])], ids=["by id", "by its category"]
)
def test_hidden_items_are_not_named_as_near(tmp_path, hides):
    """Not by any question about an item that is unknown; near ones that are shown are named."""
    shop = write_tables(tmp_path, [["lamp"], ["lamb"]], categories={"lamp": "Light"}).held()
    for ask in (
        lambda: shop.similar("lampp", 3, hides),
        lambda: item_answer(shop, "lampp", hides),
        lambda: why(shop, "lampp", [], Controls(), hides),
    ):
        with pytest.raises(ItemNotFound) as caught:
            ask()
        assert caught.value.details["near"] == ["lamb"]
        assert "lamp," not in caught.value.hint
