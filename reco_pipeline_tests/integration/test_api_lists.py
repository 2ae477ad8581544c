"""The answers of the API about a shop with categories, prices, stock and times, on a real Redis and a real lake."""

import datetime as dt
import tempfile
import time
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy as sa

from reco.api import provenance
from reco.api.documents import Answer
from reco.api.hidebook import HideBook
from reco.api.item_documents import (
    CategoriesDocument,
    HiddenDocument,
    HidesDocument,
    ItemDocument,
    SearchDocument,
    SnapshotDocument,
    WhyDocument,
)
from reco.api.problems import Problem
from reco.audit.trail import Event, events
from reco.backup.sql_dump import dump_sql
from reco.catalog.table import CATALOGUE
from reco.errors import DatabaseUnavailable, HideNotFound, UsageError
from reco.model.tables import make_cooccurrence, make_item_stats, make_similar
from reco.orders.home import open_home
from reco.orders.ingest import ingest
from reco.orders.orders import make_orders
from reco.orders.profiles import load_profile
from reco.settings import load_settings
from reco.snapshot.hiding import hidden_key
from reco.snapshot.order_book import SERVED_ORDERS
from reco.snapshot.release import release, unpublished
from reco.snapshot.store import SnapshotStore
from reco.storage.sql import open_database, search_failures
from reco_pipeline_tests.api_client import service
from reco_pipeline_tests.servers import port_of, running_valkey
from reco_pipeline_tests.snapshot_lake import SHOP

NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
PATIENCE_SECONDS = 60
# Old orders, then the newest four weeks: PID with Cal Kit all along, Hose only lately, Lamp no more.
OLD = [["PID", "Cal Kit"]] * 6 + [["PID", "Water Level Meter"]] * 4 + [["Lamp", "PID"]] * 6
NEW = [["PID", "Cal Kit"]] * 6 + [["PID", "Hose"]] * 8 + [["Hose", "Cal Kit", "Water Level Meter"]] * 3
CATALOGUE_ROWS = {
    "PID": ("Gas > Detectors", "950", True),
    "Cal Kit": ("Gas", "99.90", True),
    "Water Level Meter": ("Water", "400", False),
    "Hose": ("Water", "12", True),
    "Lamp": ("Light", None, None),
}


def orders_csv():
    lines = ["order_id,item_name,quantity,order_date"]
    number = 1000
    for day, baskets in (("2026-01-10", OLD), ("2026-02-20", NEW)):
        for basket in baskets:
            number += 1
            # Windows of trends hold the moment they end at, not the one they begin at: the first order is older.
            date = "2026-01-08" if number == 1001 else day
            lines += [f"{number},{item},1,{date} 10:00:00" for item in basket]
    return "\n".join([*lines, "2000,PID,2,2026-03-01 10:00:00"]) + "\n"


def publish(home, client, name="orders.csv", text=None, at=NOON):
    path = home.settings.home.parent / name
    path.write_text(orders_csv() if text is None else text)
    (one,) = home.ledger.register([(path, load_profile("auto"))], now=NOON)
    ingest(home.ledger, [one.drop_key], now=NOON, run_id="run")
    rows = [(item, item, *facts) for item, facts in CATALOGUE_ROWS.items()]
    table = pl.DataFrame(
        [(i, n, c, None if p is None else Decimal(p), s, True) for i, n, c, p, s in rows],
        schema={
            "item_id": pl.String,
            "item_name": pl.String,
            "category": pl.String,
            "price": pl.Decimal(18, 4),
            "in_stock": pl.Boolean,
            "listed": pl.Boolean,
        },
        orient="row",
    )
    with home.lake.replace(CATALOGUE) as target:
        table.with_columns(source=pl.lit("auto")).write_parquet(target)
    make_orders(home.ledger, home.lake, now=NOON, run_id="run")
    make_item_stats(home.ledger, home.lake)
    make_cooccurrence(home.lake)
    make_similar(home.lake)
    return release(home, client, run_id="run", now=at)


@pytest.fixture(scope="module")
def valkey():
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as client:
        yield client


def home_at(folder, valkey):
    url = f"redis://127.0.0.1:{port_of(valkey)}/0"
    gate = {"gate_max_item_loss": 1, "gate_max_order_loss": 1, "gate_min_overlap": 0}
    return open_home(load_settings(home=folder, namespace=SHOP, redis_url=url, **gate))


@pytest.fixture(scope="module")
def home(valkey, tmp_path_factory):
    made = home_at(tmp_path_factory.mktemp("shop") / "home", valkey)
    publish(made, valkey)
    return made


@pytest.fixture(scope="module")
def api(valkey, home):
    with service(valkey, home.settings.home) as made:
        yield made


@pytest.fixture
def book(home, api):
    """The rules; whatever a test adds is gone after it, and the service knows."""
    made = HideBook(open_database(home.settings.sql_url), SHOP)
    yield made
    for row in made.rows(now=NOON):
        made.remove(row.rule_id, author="test", now=NOON)
    api.runner.run(api.back.hides.look())
    api.runner.run(api.back.hides.changed())


def get(api, path, status=200, method="GET", **fields):
    (answer,) = api.ask((method, f"/api/v1/{path}"), **fields)
    assert answer.status_code == status, answer.text
    return answer.json()


def ids(body):
    return [one["item_id"] for one in body["recommendations"]]


def wait_until(api, claim):
    """Asks until a claim holds: the service follows rules in tasks of its own loop."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        assert time.monotonic() < deadline
        api.runner.run(api.back.hides.look())
        api.runner.run(api.back.hides.read())


# --------------------------------------------------------------------------------------------------------------- lists


def test_what_grows_is_trending(api):
    """Hose came lately, in 11 orders after none: it is first, with its numbers, and what shrinks is not there."""
    body = get(api, "trending-items")
    Answer.model_validate(body)
    assert ids(body)[0] == "Hose"
    assert not {"Lamp"} & set(ids(body))
    first = body["recommendations"][0]
    assert first["source"] == "trending"
    assert first["trend"]["recent_orders"] == 11
    assert first["trend"]["before_orders"] == 0
    assert first["similarity_score"] == pytest.approx(1 - 1 / first["trend"]["growth"])
    assert body["metadata"]["window_end"].startswith("2026-03-01T10:00:00")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Cal Kit", "Hose", "Lamp", "Water Level Meter"]),
        ("exclude_ids=Hose&exclude_ids=Lamp", ["Cal Kit", "Water Level Meter"]),
        ("categories=Gas", ["Cal Kit"]),
        ("categories=Gas&categories=Water", ["Cal Kit", "Hose", "Water Level Meter"]),
        ("categories=Gas&categories=Water&categories_match=all", []),
        ("min_price=12&max_price=99.90", ["Cal Kit", "Hose"]),
        ("in_stock=false", ["Water Level Meter"]),
        ("max_per_category=1", ["Cal Kit", "Hose", "Lamp"]),
        ("min_score=1", []),
    ],
)
def test_a_list_without_what_is_not_wanted(api, query, found):
    """Each control alone, on what goes with PID."""
    body = get(api, f"similar-items/PID?{query}")
    Answer.model_validate(body)
    assert sorted(ids(body)) == found


def test_popular_items_of_several_categories(api):
    """Those of any category that is asked for, most popular first, parts of categories included."""
    assert ids(get(api, "popular-items?categories=Detectors&categories=Water")) == ["PID", "Hose", "Water Level Meter"]


def test_a_list_page_by_page(api):
    """Following the cursor gives the whole list once; another question refuses it, and so does a made-up one."""
    whole = ids(get(api, "similar-items/PID"))
    first = get(api, "similar-items/PID?limit=1")
    cursor, found = first["metadata"]["next_cursor"], ids(first)
    body = get(api, f"similar-items/PID?limit=2&cursor={cursor}")
    found += ids(body)
    found += ids(get(api, f"similar-items/PID?cursor={body['metadata']['next_cursor']}"))
    assert found == whole
    assert "next_cursor" not in get(api, "similar-items/PID")["metadata"]
    assert Problem(**get(api, f"similar-items/Hose?cursor={cursor}", 422)).code == "cursor_invalid"
    assert Problem(**get(api, "popular-items?cursor=nonsense", 422)).code == "cursor_invalid"


def test_quantities_of_a_basket_weigh(api):
    """Ten of one item say more than one, the answer names parts, and nothing of the basket comes back."""
    plain = get(api, "basket-recommendations", method="POST", json={"items": ["Hose", "Lamp"], "explain": True})
    many = get(
        api,
        "basket-recommendations",
        method="POST",
        json={"items": [{"item": "Hose", "quantity": 10}, "Lamp"], "explain": True},
    )
    for body in (plain, many):
        Answer.model_validate(body)
        assert not {"Hose", "Lamp"} & set(ids(body))
    score = {
        body["metadata"]["recommendation_id"]: body["recommendations"][0]["similarity_score"] for body in (plain, many)
    }
    assert len(score) == 2
    parts = many["recommendations"][0]["explain"]["parts"]
    weight = {one["item_id"]: one["weight"] for one in parts}
    assert weight["Hose"] == pytest.approx(1 + 2.302585, abs=1e-5)
    whole = sum(one["score"] * one["weight"] for one in parts) / (weight["Hose"] + 1)
    assert many["recommendations"][0]["similarity_score"] == pytest.approx(whole)


def test_an_order_of_the_past_is_recommended_to(api, home):
    """What goes with it and is not in it; its items are not told, and an unknown order is a 404."""
    body = get(api, "recommendations/1001")
    Answer.model_validate(body)
    assert not {"PID", "Cal Kit"} & set(ids(body))
    assert body["metadata"]["order_items"] == 2
    assert "known_items" not in body["metadata"]
    assert Problem(**get(api, "recommendations/nothing", 404)).code == "order_not_found"
    assert Problem(**get(api, "recommendations/%FF", 404)).code == "order_not_found"
    assert Problem(**get(api, "recommendations/1001?source=other", 404)).code == "order_not_found"
    folder = home.lake.path(SERVED_ORDERS).parent
    (file,) = folder.glob("*.parquet")
    hidden = file.rename(file.with_suffix(".away"))
    assert Problem(**get(api, "recommendations/1001", 503)).code == "orders_unavailable"
    hidden.rename(file)


# --------------------------------------------------------------------------------------------------------------- items


def test_what_is_known_of_an_item(api):
    """Figures counted by hand; what is not known is null."""
    body = get(api, "items/Hose")
    ItemDocument.model_validate(body)
    item = body["item"]
    assert (item["purchases"], item["price"], item["in_stock"], item["category"]) == (11, "12", True, "Water")
    assert item["purchase_frequency"] == pytest.approx(11 / 34)
    assert item["trend"]["recent_orders"] == 11
    assert get(api, "items/Lamp")["item"]["price"] is None
    assert get(api, "items/PID")["item"]["categories"] == ["Gas > Detectors", "Gas", "Detectors"]
    assert Problem(**get(api, "items/nothing", 404)).code == "item_not_found"


def test_categories_page_by_page(api):
    """Every category by name, with its items."""
    body = get(api, "categories?limit=3")
    CategoriesDocument.model_validate(body)
    rest = get(api, f"categories?cursor={body['metadata']['next_cursor']}")
    found = [(one["category"], one["items"]) for one in body["categories"] + rest["categories"]]
    assert found == [("Gas", 1), ("Gas > Detectors", 1), ("Light", 1), ("Water", 2)]


def test_a_search_with_a_typo_and_controls(api):
    """Found by name with a typo, narrowed by stock; a query of nothing is refused."""
    body = get(api, "search?q=wter%20lev")
    SearchDocument.model_validate(body)
    assert [one["item_id"] for one in body["items"]] == ["Water Level Meter"]
    assert body["items"][0]["match"] == "typo"
    assert get(api, "search?q=wter%20lev&in_stock=true")["items"] == []
    assert Problem(**get(api, "search?q=!!", 422)).code == "request_invalid"
    both = [get(api, "search?q=l&limit=1")]
    both.append(get(api, f"search?q=l&limit=1&cursor={both[0]['metadata']['next_cursor']}"))
    assert [body["items"][0]["item_id"] for body in both] == ["Lamp", "Water Level Meter"]


@pytest.mark.parametrize(
    ("question", "removed_by"),
    [
        ("Hose?basket=PID", None),
        ("PID?basket=PID&basket=Hose", "in_basket"),
        ("Hose?basket=PID&exclude_ids=Hose", "exclude_ids"),
        ("Hose?basket=PID&min_price=13", "min_price"),
        ("Hose?basket=PID&max_price=11", "max_price"),
        ("Hose?basket=PID&categories=Gas", "categories"),
        ("Hose?basket=PID&in_stock=false", "in_stock"),
        ("Hose?basket=PID&min_score=0.99", "min_score"),
        ("Lamp?basket=PID&limit=1", "limit"),
        ("Lamp?basket=Hose", "no_candidate"),
        ("PID", None),
    ],
)
def test_why_an_item_is_or_is_not_recommended(api, question, removed_by):
    """Each way out is named, with sentences; an item that is in the list has its rank there."""
    body = get(api, f"why/{question}")
    WhyDocument.model_validate(body)
    assert (body["removed_by"], body["recommended"]) == (removed_by, removed_by is None)
    assert body["reasons"]
    assert (body["rank"] is not None) == (removed_by in {None, "limit"})


def test_why_has_the_counts(api):
    """Eight orders hold Hose and PID, of eleven with Hose; its rank is that of the list."""
    body = get(api, "why/Hose?basket=PID")
    (pair,) = body["pairs"]
    assert (pair["pair_orders"], pair["in_list"]) == (8, True)
    assert ids(get(api, "similar-items/PID"))[body["rank"] - 1] == "Hose"
    assert Problem(**get(api, "why/Hose?basket=nothing", 404)).code == "item_not_found"


def test_an_answer_leads_back_to_its_drops(api, home, monkeypatch):
    """The snapshot of an answer names its run and the files it was made of, with their lines."""
    sid = get(api, "popular-items")["metadata"]["snapshot_id"]
    body = get(api, f"snapshots/{sid}")
    SnapshotDocument.model_validate(body)
    assert body["manifest"]["run_id"] == "run"
    assert [(one["name"], one["lines_accepted"]) for one in body["drops"]] == [("orders.csv", len(OLD + NEW) * 2 + 4)]
    assert (body["drops_total"], body["drops_cut"]) == (1, False)
    assert get(api, "snapshots/current") == body
    monkeypatch.setattr(provenance, "DROPS_SHOWN", 0)
    cut = get(api, "snapshots/current")
    assert (cut["drops"], cut["drops_total"], cut["drops_cut"]) == ([], 1, True)
    assert Problem(**get(api, "snapshots/20200101T000000Z-00000000", 404)).code == "snapshot_unknown"


# -------------------------------------------------------------------------------------------------------------- hiding


def test_a_hidden_item_is_gone_at_once_and_comes_back(api, book, home):
    """Over the API: out of every list, the search and the cache of answers with the answer to the request; and back."""
    before = get(api, "similar-items/PID")
    assert "Hose" in ids(before)
    rule = get(api, "hidden", 201, "POST", json={"kind": "item", "value": "Hose", "reason": "recalled"})
    HiddenDocument.model_validate(rule)
    for path in ("similar-items/PID", "popular-items", "trending-items", "recommendations/1001"):
        assert "Hose" not in ids(get(api, path)), path
    assert get(api, "search?q=hose")["items"] == []
    why = get(api, "why/Hose?basket=PID")
    assert (why["removed_by"], why["hidden_by"]["rule_id"]) == ("hidden", rule["rule_id"])
    assert get(api, "items/Hose")["item"]["item_id"] == "Hose"
    assert HidesDocument(**get(api, "hidden")).hidden[0].reason == "recalled"
    gone = get(api, f"hidden/{rule['rule_id']}", method="DELETE")
    assert gone["state"] == "removed"
    assert get(api, "similar-items/PID") == before
    assert Problem(**get(api, "hidden/99999", 404, "DELETE")).code == "rule_not_found"
    told = [(one.event, one.details["value"]) for one in events(home.ledger.engine, limit=2)]
    assert told == [(Event.ITEM_SHOWN, "Hose"), (Event.ITEM_HIDDEN, "Hose")]


def test_a_rule_made_elsewhere_is_followed(api, book):
    """A rule that another process wrote to the database reaches this one and Redis; so does its end."""
    row = book.add("category", "Water", author="test", reason="season", now=NOON)
    wait_until(api, lambda: "Hose" not in ids(get(api, "similar-items/PID")))
    assert "Water Level Meter" not in ids(get(api, "popular-items?limit=100"))
    book.remove(row.rule_id, author="test", now=NOON)
    wait_until(api, lambda: "Hose" in ids(get(api, "similar-items/PID")))


def test_a_rule_is_about_what_the_snapshot_knows(api, book):
    """Blanks do not count, a category is taken exactly, and where nothing is covered the answer says so."""
    for kind, value, kept, covers in (
        ("item", " Hose ", "Hose", True),
        ("item", "Hoze", "Hoze", False),
        ("category", "Detectors\t", "Detectors", True),
        ("category", "water", "water", False),
    ):
        body = get(api, "hidden", 201, "POST", json={"kind": kind, "value": value, "reason": "test"})
        HiddenDocument.model_validate(body)
        assert (body["value"], body["covers_items"]) == (kept, covers)
        get(api, f"hidden/{body['rule_id']}", 200, "DELETE")
    row = book.add("item", "Hose\n", author="test", reason="blank", now=NOON)
    assert row.value == "Hose"
    book.remove(row.rule_id, author="test", now=NOON)


def test_rules_hold_while_the_database_or_redis_is_away(api, book, valkey, monkeypatch):
    """Without the database Redis tells of changes; without both the last known rules hold; no change is half done."""
    book.add("item", "Hose", author="test", reason="recalled", now=NOON)
    wait_until(api, lambda: "Hose" not in ids(get(api, "similar-items/PID")))
    follower = api.back.hides

    def away(*_arguments, **_named):
        raise DatabaseUnavailable("planted")

    with monkeypatch.context() as broken:
        broken.setattr(HideBook, "active", away)
        broken.setattr(HideBook, "add", away)
        with pytest.raises(DatabaseUnavailable):
            api.runner.run(follower.read())
        assert "Hose" not in ids(get(api, "similar-items/PID"))
        assert Problem(**get(api, "hidden", 503, "POST", json={"kind": "item", "value": "x", "reason": "y"})).code == (
            "database_unavailable"
        )
        held = valkey.get(hidden_key(SHOP))
        valkey.set(hidden_key(SHOP), held.replace(b"Hose", b"Lamp"))
        api.runner.run(follower.look())
        assert {"Hose"} <= set(ids(get(api, "similar-items/PID")))
        assert "Lamp" not in ids(get(api, "similar-items/PID"))
        valkey.delete(hidden_key(SHOP))
        api.runner.run(follower.look())
        assert "Lamp" not in ids(get(api, "similar-items/PID"))
    wait_until(api, lambda: "Hose" not in ids(get(api, "similar-items/PID")))
    assert valkey.get(hidden_key(SHOP)) == held
    assert 0 < valkey.ttl(hidden_key(SHOP)) <= 86_400


def test_the_copy_of_another_time_gives_way_to_the_database(api, book, valkey):
    """After a restore Redis may hold rules that the database does not: the database wins, once it was read."""
    valkey.set(hidden_key(SHOP), b'[[7,"item","PID",null]]')
    wait_until(api, lambda: valkey.get(hidden_key(SHOP)) == b"[]")
    assert "PID" in ids(get(api, "popular-items"))
    valkey.set(hidden_key(SHOP), b"damaged")
    wait_until(api, lambda: valkey.get(hidden_key(SHOP)) == b"[]")


def test_a_rule_says_who_and_why(book, home, tmp_path):
    """A rule without a reason, for nothing, or that has ended already is refused; backups hold those there are."""
    for values in (
        ("user", "a", "why", None),
        ("item", " ", "why", None),
        ("item", "a", "", None),
        ("item", "a", "why", NOON),
    ):
        kind, value, reason, end = values
        with pytest.raises(UsageError):
            book.add(kind, value, author="test", reason=reason, now=NOON, expires_at=end)
    first = book.add("item", "a", author="test", reason="one", now=NOON)
    again = book.add("item", "a", author="test", reason="two", now=NOON)
    assert [one.reason for one in book.rows(now=NOON)] == ["two"]
    assert {one.rule_id: one.state(NOON) for one in book.rows(ended=True, now=NOON)}[first.rule_id] == "removed"
    assert dump_sql(home.ledger.engine, tmp_path / "dump").rows["item_rules"] >= 2
    with pytest.raises(HideNotFound):
        book.remove(again.rule_id + 1000, author="test", now=NOON)


# ----------------------------------------------------------------------------------------- facts, orders, failed items


def test_what_the_shop_does_not_know_cannot_be_asked_for(valkey, tmp_path):
    """A shop of bare orders has no categories, prices, stock or trends: 422 with a code, instead of an empty list."""
    valkey.delete(f"{SHOP}:snapshot:current")
    home = home_at(tmp_path / "home", valkey)
    CATALOGUE_OF_NOTHING = "order_id,item_name\n1,PID\n1,Hose\n2,PID\n2,Hose\n"  # noqa: N806 - a constant of this test
    path = tmp_path / "bare.csv"
    path.write_text(CATALOGUE_OF_NOTHING)
    (one,) = home.ledger.register([(path, load_profile("auto"))], now=NOON)
    ingest(home.ledger, [one.drop_key], now=NOON, run_id="bare")
    make_orders(home.ledger, home.lake, now=NOON, run_id="bare")
    make_item_stats(home.ledger, home.lake)
    make_cooccurrence(home.lake)
    make_similar(home.lake)
    served = SnapshotStore(valkey, SHOP)
    release(home, valkey, run_id="bare", now=NOON + dt.timedelta(hours=1))
    with service(valkey, home.settings.home) as bare:
        for query in ("categories=Gas", "max_per_category=1", "min_price=1", "max_price=1", "in_stock=true"):
            assert Problem(**get(bare, f"similar-items/PID?{query}", 422)).code == "facts_missing", query
        assert Problem(**get(bare, "trending-items", 422)).code == "facts_missing"
        assert get(bare, "categories")["categories"] == []
    assert served.current().manifest["priced_items"] == 0


def test_an_item_that_was_not_indexed_is_tried_again(valkey, tmp_path, monkeypatch):
    """It is served and cannot be found; its row waits longer each time, asks for a publish, and goes when it worked."""
    valkey.flushall()
    home = home_at(tmp_path / "home", valkey)
    long = " ".join(f"w{number}" for number in range(201))
    rows = "".join(f"{number},{item}\n" for number in (1, 2) for item in ("PID", long))
    publish(home, valkey, "long.csv", f"order_id,item_name\n{rows}")
    engine = home.ledger.engine

    def waiting():
        with engine.connect() as connection:
            kept = search_failures.c
            return connection.execute(sa.select(kept.item_id, kept.attempts, kept.next_attempt_at)).all()

    ((item, attempts, _),) = waiting()
    assert (item, attempts) == (long, 1)
    assert SnapshotStore(valkey, SHOP).current().manifest["unsearched_items"] == 1
    with service(valkey, home.settings.home) as api:
        (answer,) = api.ask(("GET", "/metrics"))
        assert "\nrecs_items_without_search 1.0\n" in answer.text
    assert long in [one["item_id"] for one in SnapshotStore(valkey, SHOP).current().popular(10)["recommendations"]]
    assert unpublished(home, NOON + dt.timedelta(seconds=59)) is None
    due = NOON + dt.timedelta(minutes=1)
    assert unpublished(home, due) is not None
    assert release(home, valkey, run_id="again", now=due).changed is False
    assert waiting()[0][1] == 2
    assert unpublished(home, due + dt.timedelta(seconds=119)) is None
    monkeypatch.setattr("reco.snapshot.index.MAX_WORDS", 300)
    assert release(home, valkey, run_id="mended", now=due + dt.timedelta(minutes=2)).changed is True
    assert waiting() == []
    assert unpublished(home, due + dt.timedelta(days=9)) is None


def test_orders_of_snapshots_that_are_gone_are_removed(valkey, tmp_path):
    """Each published snapshot keeps its orders; a release writes what a killed one left out, and sweeps the rest."""
    valkey.flushall()
    home = home_at(tmp_path / "home", valkey)
    first = publish(home, valkey).snapshot_id
    folder = home.lake.path(SERVED_ORDERS).parent
    file = folder / f"{first}.parquet"
    content = file.read_bytes()
    assert unpublished(home, NOON) is None
    file.unlink()
    assert unpublished(home, NOON) is not None  # automation publishes, and nobody has to see that they are gone
    (folder / "20200101T000000Z-00000000.parquet").write_bytes(b"old")
    release(home, valkey, run_id="again", now=NOON)
    assert unpublished(home, NOON) is None
    assert [one.name for one in folder.glob("*.parquet")] == [file.name]
    assert file.read_bytes() == content
    table = pl.read_parquet(file)
    assert table.columns == ["order_id", "source", "item_id"]
    assert table["order_id"].is_sorted()
