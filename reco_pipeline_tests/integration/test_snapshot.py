import datetime as dt
import json
import tempfile
from collections import Counter
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reco.errors import GateRefused, ItemNotFound, LakeError, SnapshotDamaged, SnapshotNotFound, UsageError
from reco.model.cooccurrence import build_cooccurrence
from reco.model.item_stats import build_item_stats
from reco.model.similar import build_similar
from reco.orders.accepted import OrderPart
from reco.orders.view import build_orders
from reco.progress import listening
from reco.snapshot.build import SnapshotBuild
from reco.snapshot.diff import diff, pair
from reco.snapshot.garbage import collect_garbage
from reco.snapshot.gate import Check, GatePolicy
from reco.snapshot.keys import Keys
from reco.snapshot.pointer import Outcome, move_pointer
from reco.snapshot.publish import verify
from reco.snapshot.store import SnapshotStore
from reco_pipeline_tests.commands import printed
from reco_pipeline_tests.servers import port_of, running_valkey
from reco_pipeline_tests.snapshot_lake import NOW, SHOP, LakeTables, write_tables

# p in 6 orders, w in 5, c in 3, s in 2 (alone once), x in 1 alone; 10 orders in all.
BASKETS = [
    {"p", "w"},
    {"p", "w"},
    {"p", "w", "c"},
    {"p", "c"},
    {"p"},
    {"p", "s"},
    {"w"},
    {"w", "c"},
    {"s"},
    {"x"},
]
NAMES = {"p": "PID", "w": "Water Level Meter", "c": "Cal Kit", "s": "Cal Kit"}
CATEGORIES = {"p": "gas", "c": "gas", "w": "water", "s": "all"}


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory() as folder, running_valkey(Path(folder)) as client:
        yield client


@pytest.fixture
def client(server):
    server.flushall()
    return server


@pytest.fixture
def tables(tmp_path):
    return write_tables(tmp_path / "lake", BASKETS, names=NAMES, categories=CATEGORIES)


@pytest.fixture
def grown(tmp_path):
    return write_tables(tmp_path / "grown", [*BASKETS, {"x", "p"}, {"new"}], names=NAMES, categories=CATEGORIES)


@pytest.fixture
def store(client):
    return SnapshotStore(client, SHOP)


def ids(answer):
    return [one["item_id"] for one in answer["recommendations"]]


def drafts(client, sid=None):
    """Versioned keys, of one snapshot or of any but it."""
    keys = list(client.scan_iter(f"{SHOP}:[0-9]*"))
    return [key for key in keys if sid is None or sid.encode() not in key]


# --------------------------------------------------------------------------------------------------- what is published


def test_a_first_publish_becomes_current(client, store, tables):
    """The pointer, the manifest and every key are there, and the result says what was done."""
    result = tables.publish(client, facts=tables.facts(score_settings={"score": "cosine"}, code_version="7"))
    assert result.changed
    assert result.verified == result.keys == len(drafts(client))
    assert result.bytes == sum(client.memory_usage(key, samples=0) for key in drafts(client))
    assert store.current_id() == result.snapshot_id == f"20260304T050607Z-{result.digest[:8]}"
    manifest = store.current().manifest
    assert manifest["counts"] == {
        "items": 5,
        "unsold_items": 0,
        "orders": 10,
        "pairs": 4,
        "similar_rows": 8,
        "keys": result.keys,
        "bytes": result.bytes,
    }
    assert manifest["run_id"] == "run-1"
    assert manifest["drops"] == ["a" * 64]
    assert manifest["score_settings"] == {"score": "cosine"}
    assert manifest["code_version"] == "7"
    assert manifest["forced"] is False
    assert [check["passed"] for check in manifest["gate"]] == [True] * 4
    assert result.snapshot_id not in str(manifest["drops"])


def test_keys_have_the_names_of_the_contract(client, tables):
    """The keys that people and scripts rely on are spelt as documented."""
    sid = tables.publish(client).snapshot_id
    expected = {f"{SHOP}:{sid}:item:{item}:stats" for item in "pwcsx"}
    expected |= {f"{SHOP}:{sid}:item:{item}:similar" for item in "pwcs"}
    expected |= {f"{SHOP}:{sid}:popular:{name}" for name in ("all", "gas", "water", "%61ll")}
    expected |= {f"{SHOP}:{sid}:ranks:0", f"{SHOP}:{sid}:names:0", f"{SHOP}:snapshot:{sid}:manifest"}
    expected |= {f"{SHOP}:{sid}:categories", f"{SHOP}:{sid}:search:0"}
    expected |= {f"{SHOP}:snapshot:current", f"{SHOP}:snapshot:generation"}
    assert {key.decode() for key in client.scan_iter()} == expected


def test_every_key_has_an_end(client, tables):
    """During a publish the lease has a TTL; afterwards only the pointer and the generation are in no snapshot."""
    ttls = []
    with listening(lambda stage, done, total: ttls.append(client.pttl(f"{SHOP}:snapshot:lease"))):
        sid = tables.publish(client).snapshot_id
    assert ttls
    assert all(0 < ttl <= 30_000 for ttl in ttls)
    rest = {key for key in client.scan_iter() if sid.encode() not in key}
    assert rest == {f"{SHOP}:snapshot:current".encode(), f"{SHOP}:snapshot:generation".encode()}


def test_the_room_asked_for_is_the_room_taken(client, tmp_path):
    """The estimate that is held against maxmemory is above what a snapshot takes, and not far."""
    tables = write_tables(tmp_path, [{f"item {n}", f"item {n + 1}", f"item {n // 7}"} for n in range(3000)])
    draft = SnapshotBuild.from_lake(tables.item_stats, tables.similar_items)
    result = tables.publish(client)
    estimate = draft.estimated_bytes + draft.keys * len(Keys(SHOP).prefix(result.snapshot_id))
    assert result.bytes < estimate < 1.5 * result.bytes


def test_equal_data_is_not_published_again(client, store, tables):
    """The same tables change nothing, whichever run and time, and are read back nevertheless."""
    first = tables.publish(client)
    again = tables.publish(client, now=NOW + dt.timedelta(days=1), facts=tables.facts(run_id="run-2"), force=True)
    assert (again.changed, again.snapshot_id, again.digest) == (False, first.snapshot_id, first.digest)
    assert again.verified == first.keys
    assert len(store.list()) == 1
    assert store.current().manifest["run_id"] == "run-1"


def test_a_damaged_current_snapshot_is_published_anew(client, store, tables):
    """Equal data is published again when what is served is no longer whole."""
    first = tables.publish(client)
    client.delete(f"{SHOP}:{first.snapshot_id}:item:p:similar")
    again = tables.publish(client)
    assert again.changed
    assert again.digest == first.digest
    assert again.snapshot_id > first.snapshot_id
    assert ids(store.current().similar("p")) == ["w", "c", "s"]


@pytest.mark.parametrize(
    "damage", ["manifest gone", "manifest nonsense", "pointer nonsense", "ranks gone", "wrong type"]
)
def test_publishing_repairs_whatever_was_damaged(client, store, tables, grown, damage):
    """No damage to the served snapshot keeps a whole one out."""
    sid = tables.publish(client).snapshot_id
    prefix = f"{SHOP}:{sid}"
    {
        "manifest gone": lambda: client.delete(f"{SHOP}:snapshot:{sid}:manifest"),
        "manifest nonsense": lambda: client.set(f"{SHOP}:snapshot:{sid}:manifest", b"\xff"),
        "pointer nonsense": lambda: client.set(f"{SHOP}:snapshot:current", b"\xff"),
        "ranks gone": lambda: client.delete(f"{prefix}:ranks:0"),
        "wrong type": lambda: client.delete(f"{prefix}:ranks:0") and client.set(f"{prefix}:ranks:0", "text"),
    }[damage]()
    result = grown.publish(client, now=NOW + dt.timedelta(hours=1))
    assert result.changed
    assert "new" in ids(store.current().popular(10))


def test_tables_of_other_orders_are_refused(client, store, tables):
    """Facts that count other orders than the tables do are a mistake that is not published."""
    with pytest.raises(LakeError, match="made from 10 orders, but 11"):
        tables.publish(client, facts=tables.facts(orders=11))
    assert store.current_id() is None


def test_the_newest_three_are_kept(client, store, tmp_path):
    """Older snapshots go with all their keys; the newest three and their keys stay."""
    results = [
        write_tables(tmp_path / str(n), [*BASKETS, {f"extra{n}"}]).publish(client, now=NOW + dt.timedelta(hours=n))
        for n in range(5)
    ]
    kept = [one.snapshot_id for one in results[:1:-1]]
    assert [info.snapshot_id for info in store.list()] == kept
    assert [info.current for info in store.list()] == [True, False, False]
    assert results[4].retired == (results[1].snapshot_id,)
    assert len(drafts(client)) == sum(one.keys for one in results[2:])


def test_the_current_snapshot_is_never_pruned(client, store, tmp_path):
    """After a rollback to the oldest, collecting garbage keeps it although newer ones exist."""
    sids = [write_tables(tmp_path / str(n), [*BASKETS, {f"e{n}"}]).publish(client).snapshot_id for n in range(3)]
    store.rollback(sids[0], NOW)
    assert collect_garbage(client, SHOP, keep=1).retired == (sids[1],)
    assert [info.snapshot_id for info in store.list()] == [sids[2], sids[0]]
    assert ids(store.current().similar("p")) == ["w", "c", "s"]


def test_foreign_keys_are_left_alone(client, tables, grown):
    """Publishing removes nothing but keys of its own snapshots."""
    foreign = [f"{SHOP}:user:7:recs", f"{SHOP}2:20200101T000000Z-00000000:item:p:stats", "other", f"{SHOP}:2020:x"]
    for key in foreign:
        client.set(key, "1")
    for number, table in enumerate([tables, grown, tables]):
        table.publish(client, keep=1, now=NOW + dt.timedelta(hours=number))
    assert client.exists(*foreign) == len(foreign)


def test_orphans_are_swept(client, tables):
    """Keys of a snapshot without a manifest are removed by the next publish, which says how many."""
    for number in range(1203):
        client.set(f"{SHOP}:20200101T000000Z-00000000:item:{number}:stats", "1")
    result = tables.publish(client)
    assert result.swept_keys == 1203
    assert len(drafts(client)) == result.keys


# ------------------------------------------------------------------------------------------------------------ the gate


@pytest.mark.parametrize(
    ("baskets", "policy", "words"),
    [
        ([{"p"}] * 10, GatePolicy(0.5, 1, 0), "80.0% of items lost"),
        ([*BASKETS[:5], {"s", "x"}], GatePolicy(1, 0.3, 0), "40.0% of orders lost"),
        ([{"p", "x"}, {"w", "s"}, {"c"}, *BASKETS[4:5] * 7], GatePolicy(1, 1, 0.5), "overlap by 0.0%"),
    ],
    ids=["items", "orders", "overlap"],
)
def test_the_gate_keeps_a_worse_snapshot_out(client, store, tmp_path, tables, baskets, policy, words):
    """A refused snapshot leaves no key and the old one current; forced, it is published and the manifest says so."""
    old = tables.publish(client)
    worse = write_tables(tmp_path / "worse", baskets)
    with pytest.raises(GateRefused, match=words):
        worse.publish(client, gate=policy)
    assert store.current_id() == old.snapshot_id
    assert not drafts(client, old.snapshot_id)
    forced = worse.publish(client, gate=policy, force=True)
    assert forced.forced
    manifest = store.current().manifest
    assert manifest["forced"] is True
    assert [one["passed"] for one in manifest["gate"]].count(False) >= 1
    assert store.list()[0].forced


@pytest.mark.parametrize("force", [False, True])
def test_an_empty_snapshot_is_refused(client, store, tmp_path, tables, force):
    """Nothing to serve is not served, neither as the first snapshot nor instead of another, even where it is forced."""
    empty = write_tables(tmp_path / "none", [])
    for current in (None, tables):
        served = current.publish(client).snapshot_id if current else None
        with pytest.raises(GateRefused, match="0 items from 0 orders"):
            empty.publish(client, gate=GatePolicy(1, 1, 0), force=force)
        assert store.current_id() == served
        assert not drafts(client, served or "none")


def test_an_unchanged_model_overlaps_fully(client, tmp_path, tables, grown):
    """The overlap compares ids, so new popularity ranks alone do not count as a change."""
    tables.publish(client)
    shifted = write_tables(tmp_path / "shifted", [*BASKETS, *[{"top"}] * 9])
    checks = {check.name: check for check in shifted.publish(client, gate=GatePolicy(0, 0, 1)).gate_checks}
    assert checks["lists_overlap"].value == 1.0


def test_a_verdict_from_elsewhere_can_refuse(client, store, tables):
    """An evaluation handed in by the caller is judged before the pointer moves."""
    worse = Check("evaluation", passed=False, value=0.1, limit=0.2, message="hit rate 0.1, at least 0.2")
    with pytest.raises(GateRefused, match="hit rate"):
        tables.publish(client, extra_checks=[worse])
    assert store.current_id() is None


# -------------------------------------------------------------------------------------------------------- reading back


@pytest.mark.parametrize(
    ("tamper", "field"),
    [
        (lambda client, prefix: client.set(f"{prefix}:item:p:stats", "[]"), "different"),
        (lambda client, prefix: client.delete(f"{prefix}:popular:all"), "missing"),
        (lambda client, prefix: client.delete(f"{prefix}:names:0"), "missing"),
        (lambda client, prefix: client.hset(f"{prefix}:ranks:0", "99", "[]"), "different"),
        (lambda client, prefix: client.hdel(f"{prefix}:ranks:0", "1"), "different"),
        (lambda client, prefix: client.set(f"{prefix}:item:zz:stats", "[]"), "extra"),
        (lambda client, prefix: client.set(f"{prefix}:ranks:0", "text"), "different"),
    ],
    ids=["value", "key", "hash", "field more", "field less", "extra", "type"],
)
def test_verify_finds_every_kind_of_tampering(client, tables, tamper, field):
    """A changed, lost, added or retyped key is counted as what it is, and named."""
    sid = tables.publish(client).snapshot_id
    clean = verify(client, SHOP, sid, tables.item_stats, tables.similar_items)
    assert clean.passed
    tamper(client, f"{SHOP}:{sid}")
    report = verify(client, SHOP, sid, tables.item_stats, tables.similar_items)
    assert not report.passed
    assert {name: getattr(report, name) for name in ("missing", "different", "extra")} == {
        "missing": 0,
        "different": 0,
        "extra": 0,
    } | {field: 1}
    assert report.checked == clean.checked
    assert report.offenders[0].startswith(f"{SHOP}:{sid}:")


def test_verify_sees_that_the_lake_moved_on(client, tables, grown):
    """A snapshot compared with tables of other data differs, its manifest first of all."""
    sid = tables.publish(client).snapshot_id
    report = verify(client, SHOP, sid, grown.item_stats, grown.similar_items)
    assert report.missing >= 1
    assert report.offenders[0] == f"{SHOP}:snapshot:{sid}:manifest"


def test_verify_sees_a_damaged_manifest(client, tables):
    """The manifest is compared too: what does not parse differs."""
    sid = tables.publish(client).snapshot_id
    client.set(f"{SHOP}:snapshot:{sid}:manifest", "{}")
    report = verify(client, SHOP, sid, tables.item_stats, tables.similar_items)
    assert (report.passed, report.different, report.offenders) == (False, 1, (f"{SHOP}:snapshot:{sid}:manifest",))


def test_one_damaged_list_does_not_blind_the_gate(client, tmp_path, tables):
    """A list that cannot be read is left out of the comparison; the others still guard."""
    sid = tables.publish(client).snapshot_id
    client.set(f"{SHOP}:{sid}:item:p:similar", "{")
    with pytest.raises(GateRefused, match=r"lists of 3 popular items overlap by 0\.0%"):
        write_tables(tmp_path / "other", [{item} for item in "pwcsx"] * 2).publish(client, gate=GatePolicy(1, 1, 0.5))


def test_verify_of_an_unknown_snapshot_says_so(client, tables):
    """Only what is published can be verified."""
    with pytest.raises(SnapshotNotFound, match="no published snapshot nonsense"):
        verify(client, SHOP, "nonsense", tables.item_stats, tables.similar_items)


def test_a_write_that_something_else_changed_is_not_published(client, store, tables):
    """A key overwritten between writing and reading back stops the publish and is named."""

    def meddle(stage, done, total):
        if stage == "write_snapshot" and done == total:
            key = next(iter(client.scan_iter(f"{SHOP}:[0-9]*:item:p:similar")))
            client.set(key, "[[2,1,1]]")

    with listening(meddle), pytest.raises(SnapshotDamaged, match=r"1 differ.*item:p:similar"):
        tables.publish(client)
    assert store.current_id() is None
    assert not drafts(client)


# ------------------------------------------------------------------------------------------------------------- answers


def test_similar_items_of_a_shop_counted_by_hand(client, store, tables):
    """Order, scores, evidence and sentence of a list that can be checked on paper."""
    tables.publish(client)
    answer = store.current().similar("p", 2)
    first = answer["recommendations"][0]
    assert first == {
        "item_id": "w",
        "item_name": "Water Level Meter",
        "similarity_score": pytest.approx(3 / 30**0.5, abs=1e-15),
        "reason": "Bought together in 3 orders (50 % of orders with PID)",
        "popularity_rank": 2,
        "purchases": 5,
        "purchase_frequency": 0.5,
        "evidence": {"pair_orders": 3, "lift": 1.0, "confidence": 0.5},
        "source": "similar",
    }
    assert ids(answer) == ["w", "c"]
    metadata = answer["metadata"]
    assert metadata["limit"] == metadata["total_recommendations"] == 2
    assert metadata["snapshot_id"] == store.current_id()
    assert metadata["generated_at"] == "2026-03-04T05:06:07Z"
    assert (metadata["source"], metadata["degraded"]) == ("similar", False)
    assert metadata["recommendation_id"] == store.current().similar("PID", 2)["metadata"]["recommendation_id"]
    assert metadata["recommendation_id"] != store.current().similar("p", 3)["metadata"]["recommendation_id"]


def test_popular_items_stand_in_for_an_item_without_neighbours(client, store, tables):
    """What stands in is labelled, item by item and as a whole, and the answer says why."""
    tables.publish(client)
    answer = store.current().similar("x", 2)
    assert [(one["item_id"], one["source"], one["evidence"]) for one in answer["recommendations"]] == [
        ("p", "popular", None),
        ("w", "popular", None),
    ]
    assert answer["recommendations"][0]["reason"] == "In 6 orders (60 % of all orders)"
    assert answer["metadata"]["source"] == "popular"
    assert answer["metadata"]["note"] == "x was never in an order with another item: these are stand-ins."


def test_an_item_of_a_like_name_stands_in_then_the_category_then_the_shop(client, store, tmp_path):
    """For a lonely item come the neighbours of the one named most alike, then its category, then what is popular."""
    baskets = [{"old", "hose"}, {"old", "hose", "cap"}, {"lamp"}, {"lamp", "cap"}, {"lamp", "cap"}, {"fresh"}]
    names = {"old": "Gas Detector XT 40", "fresh": "Gas Detector XT 50", "lamp": "Work Lamp"}
    lake = write_tables(tmp_path, baskets, names=names, categories={"fresh": "light", "lamp": "light"})
    lake.publish(client)
    answer = store.current().similar("fresh")
    assert [(one["item_id"], one["source"]) for one in answer["recommendations"]] == [
        ("hose", "similar_name"),
        ("cap", "similar_name"),
        ("lamp", "popular_category"),
        ("old", "popular"),
    ]
    first = answer["recommendations"][0]
    assert first["reason"] == (
        "Bought together in 2 orders (100 % of orders with Gas Detector XT 40), an item with a similar name"
    )
    assert first["evidence"]["pair_orders"] == 2
    assert answer["metadata"]["source"] == "similar_name"
    assert ids(store.current().basket(["fresh"])) == ids(answer)
    assert store.current().basket(["fresh"])["metadata"]["source"] == "similar_name"


def test_every_item_gets_an_answer_also_those_nobody_bought(client, store, tables, tmp_path):
    """Items that a catalogue lists and no order holds are known by id and name, and get what stands in for them."""
    listed = {
        "item_id": ["n1", "n2", "n3", "p", "gone"],
        "item_name": ["Water Level Meter II", None, "Thing", "PID", "Old"],
        "category": ["water", "gas", "none", "gas", "gas"],
        "price": [None] * 5,
        "in_stock": [None] * 5,
        "listed": [True, True, True, True, False],
    }
    pl.DataFrame(listed).write_parquet(tmp_path / "catalogue.parquet")
    tables.publish(client, catalogue=tmp_path / "catalogue.parquet")
    current = store.current()
    assert verify(
        client,
        SHOP,
        current.snapshot_id,
        tables.item_stats,
        tables.similar_items,
        catalogue=tmp_path / "catalogue.parquet",
    ).passed
    new = current.resolve("Water Level Meter II")
    assert (new.item_id, new.rank, new.orders, new.category) == ("n1", len(tables.stats) + 1, 0, "water")
    answer = current.similar("n1")
    assert answer["recommendations"][0]["source"] == "similar_name"
    assert answer["metadata"]["note"] == "Water Level Meter II was never sold: these are stand-ins."
    assert [one["source"] for one in current.similar("n2", 3)["recommendations"]] == ["popular_category"] * 2 + [
        "popular"
    ]
    with pytest.raises(ItemNotFound):
        current.resolve("gone")
    everything = [*(row["item_id"] for row in tables.stats), "n1", "n2", "n3"]
    for item in everything:
        found = ids(current.similar(item, 3))
        assert found
        assert not {item, "n1", "n2", "n3"} & set(found)
    assert not {"n1", "n2", "n3"} & set(ids(current.popular(100)))
    # A catalogue that is taken out again is no loss of items.
    assert tables.publish(client, gate=GatePolicy(max_item_loss=0, max_order_loss=0, min_overlap=0)).changed


def test_popular_items_of_a_shop_counted_by_hand(client, store, tables):
    """Popular items come by orders, scored relative to the first, for the shop and for a category."""
    tables.publish(client)
    current = store.current()
    answer = current.popular(3)
    assert [(one["item_id"], one["purchases"], one["popularity_rank"]) for one in answer["recommendations"]] == [
        ("p", 6, 1),
        ("w", 5, 2),
        ("c", 3, 3),
    ]
    assert [one["similarity_score"] for one in answer["recommendations"]] == [1.0, 5 / 6, 0.5]
    assert answer["recommendations"][1]["reason"] == "In 5 orders (50 % of all orders)"
    assert answer["recommendations"][1]["evidence"] is None
    assert ids(current.popular(10, "gas")) == ["p", "c"]
    assert ids(current.popular(10, "all")) == ["s"]
    assert current.popular(10, "gas")["metadata"]["source"] == "popular_category"
    with pytest.raises(ItemNotFound, match="category 'nails'"):
        current.popular(10, "nails")


def test_a_basket_merges_the_neighbours_of_its_items(client, store, tables):
    """Scores are the sum of cosines over the number of known items, with the strongest item as evidence."""
    tables.publish(client)
    answer = store.current().basket(["w", "PID", "w", "nothing"], 5)
    assert ids(answer) == ["c", "s"]
    first, second = answer["recommendations"]
    assert first["similarity_score"] == pytest.approx((2 / 15**0.5 + 2 / 18**0.5) / 2)
    assert first["reason"] == "Bought together in 2 orders (40 % of orders with Water Level Meter)"
    assert first["evidence"] == {"pair_orders": 2, "lift": pytest.approx(2 * 10 / 15), "confidence": 0.4}
    assert second["similarity_score"] == pytest.approx(1 / 12**0.5 / 2)
    assert answer["metadata"]["known_items"] == ["w", "p"]
    assert answer["metadata"]["unknown_items"] == ["nothing"]
    assert answer["metadata"]["source"] == "basket"


def test_different_baskets_get_different_lists(client, store, tables):
    """A basket's list is about the basket, and never holds what is in it."""
    tables.publish(client)
    current = store.current()
    assert ids(current.basket(["w"])) == ["p", "c"]
    assert ids(current.basket(["s"])) == ["p"]
    for basket in (["p"], ["p", "w"], ["p", "w", "c"], ["x", "p"]):
        assert not set(ids(current.basket(basket))) & set(basket)


@pytest.mark.parametrize(
    ("basket", "expected", "note"),
    [
        (["nothing"], ["p", "w", "c"], "is known"),
        ([], ["p", "w", "c"], "is known"),
        (["x"], ["p", "w", "c"], "has neighbours outside it"),
        (["p", "w", "c", "s"], ["x"], "has neighbours outside it"),
    ],
)
def test_a_basket_without_evidence_falls_back_to_popular(client, store, tables, basket, expected, note):
    """Where the basket tells nothing, popular items stand in, labelled, and still without what is in the basket."""
    tables.publish(client)
    answer = store.current().basket(basket, 3)
    assert ids(answer) == expected
    assert {one["source"] for one in answer["recommendations"]} == {answer["metadata"]["source"]} == {"popular"}
    assert note in answer["metadata"]["note"]


def test_an_item_is_found_by_id_then_by_name(client, store, tmp_path):
    """The id goes first; a name shared by several items means the most popular of them."""
    write_tables(tmp_path / "l", BASKETS, names=NAMES | {"x": "p"}).publish(client)
    current = store.current()
    assert current.resolve("p").item_name == "PID"
    assert current.resolve("PID").item_id == "p"
    assert current.resolve("Cal Kit").item_id == "c"
    item = current.resolve("w")
    assert (item.rank, item.orders, item.units, item.neighbours) == (2, 5, 5, 2)


@pytest.mark.parametrize("text", ["Watter Level Meter", "water level meter"])
def test_an_unknown_item_gets_near_names(client, store, tables, text):
    """A typo or another case is answered with what was probably meant."""
    tables.publish(client)
    with pytest.raises(ItemNotFound, match="Near: Water Level Meter"):
        store.current().resolve(text)


@pytest.mark.parametrize("text", ["", "\udcff", "a" * 5000, "\x00", "p\n", "*", "%70"])
def test_no_text_can_break_a_lookup(client, store, tables, text):
    """Anything that is no item is unknown, whatever it holds."""
    tables.publish(client)
    for ask in (store.current().resolve, store.current().similar):
        with pytest.raises(ItemNotFound):
            ask(text)
    assert store.current().basket([text])["metadata"]["source"] == "popular"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_a_mistake(client, store, tables, limit):
    """Asking for nothing is refused, not answered with nothing."""
    tables.publish(client)
    current = store.current()
    for ask in (lambda: current.similar("p", limit), lambda: current.popular(limit), lambda: current.basket([], limit)):
        with pytest.raises(UsageError, match="limit"):
            ask()


@pytest.mark.parametrize(
    ("suffix", "value", "ask"),
    [
        ("item:p:similar", None, lambda snapshot: snapshot.similar("p")),
        ("item:p:similar", "[[2,3,5]]", lambda snapshot: snapshot.similar("p")),
        ("item:p:stats", "{", lambda snapshot: snapshot.resolve("p")),
        ("ranks:0", None, lambda snapshot: snapshot.popular()),
        ("ranks:0", "text", lambda snapshot: snapshot.popular()),
        ("popular:all", None, lambda snapshot: snapshot.popular()),
    ],
)
def test_a_reader_reports_damage_instead_of_half_an_answer(client, store, tables, suffix, value, ask):
    """A value that is gone, cut or of another kind is named damage with the way out."""
    sid = tables.publish(client).snapshot_id
    key = f"{SHOP}:{sid}:{suffix}"
    if value is None:
        client.delete(key)
    else:
        client.set(key, value)
    with pytest.raises(SnapshotDamaged) as caught:
        ask(store.current())
    assert "reco run" in caught.value.hint


def test_reading_takes_few_round_trips_and_never_lists_keys(client, store, tables):
    """One look at the figures and one at the names: at most two reads of a kind, and KEYS is never used."""
    tables.publish(client)
    current = store.current()
    client.config_resetstat()
    current.similar("p")
    commands = {name.removeprefix("cmdstat_"): one["calls"] for name, one in client.info("commandstats").items()}
    commands.pop("config|resetstat", None)
    assert commands == {"get": 2, "hmget": 1, "exists": 2}
    current.basket(["p", "w", "Cal Kit"])
    tables.publish(client)
    assert "cmdstat_keys" not in client.info("commandstats")


# ------------------------------------------------------------------------------------------------- store and rollback


def test_nothing_published_is_said_so(store):
    """Before the first publish there is no current snapshot, and the hint says how to get one."""
    assert store.current_id() is None
    assert store.list() == []
    for ask in (store.current, lambda: store.rollback(None, NOW), lambda: store.rollback("x", NOW)):
        with pytest.raises(SnapshotNotFound):
            ask()
    with pytest.raises(SnapshotNotFound, match="no published snapshot x"):
        store.get("x")


def test_rollback_serves_the_previous_snapshot(client, store, tables, grown):
    """One step back, and forward again by id; no key of a snapshot changes."""
    old = tables.publish(client)
    new = grown.publish(client)
    before = {key: client.dump(key) for key in client.scan_iter() if b"snapshot:current" not in key}
    back = store.rollback(None, NOW)
    assert (back.previous_id, back.snapshot_id, back.changed, back.at) == (new.snapshot_id, old.snapshot_id, True, NOW)
    assert "new" not in ids(store.current().popular(10))
    assert store.rollback(old.snapshot_id, NOW).changed is False
    assert store.rollback(new.snapshot_id, NOW).snapshot_id == new.snapshot_id
    assert "new" in ids(store.current().popular(10))
    assert {key: client.dump(key) for key in client.scan_iter() if b"snapshot:current" not in key} == before


def test_the_difference_of_two_snapshots_counted_by_hand(client, store, tmp_path):
    """Items that came and went, lists that changed, and the share that stayed, all known by construction."""
    old = write_tables(tmp_path / "old", [{"a", "b"}] * 3 + [{"a", "c"}] * 2 + [{"d", "gone"}, {"e", "f"}])
    new = write_tables(tmp_path / "new", [{"a", "b"}] * 3 + [{"a", "fresh"}] * 2 + [{"c", "d"}, {"e", "f"}])
    first, second = old.publish(client), new.publish(client)
    found = diff(*pair(store, None, None))
    assert (found.before, found.after, found.equal) == (first.snapshot_id, second.snapshot_id, False)
    assert (found.items_before, found.items_after) == (7, 7)
    assert (found.orders_before, found.orders_after) == (7, 7)
    assert (found.items_gained, found.items_lost) == (("fresh",), ("gone",))
    # a: b, c -> b, fresh; b: a -> a; c: a -> d; d: gone -> c; e and f as they were
    assert (found.lists_compared, found.lists_changed) == (6, 3)
    assert found.overlap == pytest.approx((0.5 + 1 + 0 + 0 + 1 + 1) / 6)
    assert [(one.item_id, one.overlap, one.lost, one.gained) for one in found.changes] == [
        ("c", 0.0, ("a",), ("d",)),
        ("d", 0.0, ("gone",), ("c",)),
        ("a", 0.5, ("c",), ("fresh",)),
    ]
    assert diff(*pair(store, second.snapshot_id, first.snapshot_id)).items_gained == ("gone",)
    same = diff(*pair(store, second.snapshot_id, None))
    assert (same.equal, same.lists_changed, same.overlap) == (True, 0, 1.0)
    assert len(diff(*pair(store, None, None), shown=1).changes) == 1


def test_the_command_tells_the_difference_and_the_memory(client, tables, grown, tmp_path, monkeypatch, capsys):
    """`reco snapshot diff` and `list` say it to people and, with --json, as one object."""
    first, second = tables.publish(client), grown.publish(client)
    monkeypatch.setenv("RECO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RECO_NAMESPACE", SHOP)
    monkeypatch.setenv("RECO_REDIS_URL", f"redis://127.0.0.1:{port_of(client)}/0")
    assert "1: new" in printed(capsys, "snapshot", "diff", first.snapshot_id)
    found = json.loads(printed(capsys, "snapshot", "diff", "--json"))
    assert (found["after"], found["items_gained"]) == (second.snapshot_id, ["new"])
    listed = json.loads(printed(capsys, "snapshot", "list", "--json"))
    assert listed["memory"]["used_bytes"] > 0
    assert listed["memory"]["max_bytes"] == 0
    assert "no limit of its own" in printed(capsys, "snapshot", "list")


def test_a_difference_needs_two_that_are_kept(client, store, tables, grown):
    """Without a predecessor, or with one that was removed, the error says what to name instead."""
    tables.publish(client)
    with pytest.raises(SnapshotNotFound, match="was the first"):
        pair(store, None, None)
    grown.publish(client, keep=1)
    with pytest.raises(SnapshotNotFound, match="is not kept any more"):
        pair(store, None, None)
    with pytest.raises(SnapshotNotFound, match="no published snapshot nothing"):
        pair(store, "nothing", None)


def test_the_pointer_moves_only_from_where_it_was_seen(client, store, tables, grown):
    """Of two rollbacks at once the later one, which saw another pointer, changes nothing; nor does one to a snapshot
    that was removed meanwhile.
    """
    old, new = tables.publish(client).snapshot_id, grown.publish(client).snapshot_id
    keys = Keys(SHOP)
    assert move_pointer(client, keys, old, old) is Outcome.POINTER_MOVED
    client.delete(keys.manifest(old))
    assert move_pointer(client, keys, new, old) is Outcome.GONE
    assert store.current_id() == new


def test_rollback_has_an_end(client, store, tables):
    """There is nothing before the first snapshot, and an unknown id is refused."""
    sid = tables.publish(client).snapshot_id
    with pytest.raises(SnapshotNotFound, match=f"no snapshot before {sid}"):
        store.rollback(None, NOW)
    with pytest.raises(SnapshotNotFound, match="no published snapshot nonsense"):
        store.rollback("nonsense", NOW)
    assert store.current_id() == sid


def test_after_a_rollback_new_data_is_published_on_top(client, store, tables, grown):
    """What was rolled back from can be published again, under a new id."""
    tables.publish(client)
    new = grown.publish(client)
    store.rollback(None, NOW)
    again = grown.publish(client)
    assert again.changed
    assert again.digest == new.digest
    assert again.snapshot_id > new.snapshot_id


def test_a_pointer_to_nothing_is_damage(client, store, tables):
    """A pointer without its manifest is reported with the way out."""
    sid = tables.publish(client).snapshot_id
    client.delete(f"{SHOP}:snapshot:{sid}:manifest")
    with pytest.raises(SnapshotDamaged, match=sid) as caught:
        store.current()
    assert "rollback" in caught.value.hint


def test_a_reader_of_a_removed_snapshot_is_told_so(client, store, tables, grown):
    """A snapshot removed while it is held never answers "unknown item": the reader is sent to the current one."""
    tables.publish(client)
    held = store.current()
    grown.publish(client, keep=1)
    for ask in (lambda: held.similar("p"), held.popular, lambda: held.basket(["p"]), lambda: held.resolve("nothing")):
        with pytest.raises(SnapshotNotFound, match="has been removed"):
            ask()


# ----------------------------------------------------------------------------------------------------------- real data


def test_the_groceries_of_the_literature_are_served(client, store, tmp_path, real_data):
    """The model of a published data set passes every check of a draft, and its known counts are what is served."""
    lines, orders, stats, pairs, similar = (tmp_path / f"{name}.parquet" for name in ("l", "o", "s", "p", "n"))
    csv = real_data / "arules_groceries.csv.gz"
    duckdb.execute(
        f"""
        COPY (
            SELECT row_number() OVER () + 1 AS line, transaction AS order_id, item AS item_id, item AS item_name,
                   1::BIGINT AS quantity, NULL::DECIMAL(18, 4) AS unit_price, NULL::DECIMAL(18, 4) AS line_total,
                   NULL::VARCHAR AS customer_id, level1 AS category, NULL::TIMESTAMP AS ordered_at, 'till' AS source
            FROM read_csv('{csv}', all_varchar = true)
        ) TO '{lines}'
        """
    )
    build_orders([OrderPart(path=lines, drop_key="groceries", batch=1, name="groceries")], orders)
    build_item_stats(orders, [lines], None, stats)
    counted = build_cooccurrence(orders, pairs)
    build_similar(stats, pairs, similar)
    tables = LakeTables(stats, similar, counted.orders, counted.pairs)
    result = tables.publish(client)
    assert verify(client, SHOP, result.snapshot_id, stats, similar).passed
    current = store.current()
    popular = current.popular(2)["recommendations"]
    assert [(one["item_id"], one["purchases"]) for one in popular] == [("whole milk", 2513), ("other vegetables", 1903)]
    assert popular[0]["reason"] == "In 2,513 orders (26 % of all orders)"
    first = current.similar("whole milk", 1)["recommendations"][0]
    assert (first["item_id"], first["evidence"]["pair_orders"]) == ("other vegetables", 736)
    assert current.manifest["counts"]["items"] == 169
    assert current.resolve("whole milk").category == "fresh products"
    assert ids(current.popular(1, "fresh products")) == ["whole milk"]


# ------------------------------------------------------------------------------------------------------------ property

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8) | st.sampled_from(
    ["all", ":", "%", "%3A", " ", "a b", "a\u00a0b", "\n", "\x00", "item:x:stats", "ß", "00123"]
)


@st.composite
def shops(draw):
    items = draw(st.lists(TEXT, min_size=1, max_size=12, unique=True))
    baskets = draw(st.lists(st.sets(st.sampled_from(items), min_size=1), min_size=1, max_size=15))
    names = draw(st.dictionaries(st.sampled_from(items), TEXT))
    categories = draw(st.dictionaries(st.sampled_from(items), TEXT))
    return baskets, names, categories


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(shops())
def test_whatever_is_published_reads_back(server, shop):
    """Any ids, names and categories come out of Redis as they went in, with lists and counts of a brute-force count."""
    baskets, names, categories = shop
    server.flushall()
    with tempfile.TemporaryDirectory() as folder:
        tables = write_tables(Path(folder), baskets, names=names, categories=categories)
        tables.publish(server)
    current = SnapshotStore(server, SHOP).current()
    by_name: dict[str, str] = {}
    for row in tables.stats:
        item = current.resolve(row["item_id"])
        assert (item.item_id, item.item_name, item.category, item.rank, item.orders) == tuple(
            row[name] for name in ("item_id", "item_name", "category", "rank", "orders")
        )
        by_name.setdefault(row["item_name"], row["item_id"])
        answer = current.similar(row["item_id"], 100)
        rows = [one for one in tables.similar if one["item_id"] == row["item_id"]]
        own = [one for one in answer["recommendations"] if one["source"] == "similar"]
        assert [one["item_id"] for one in own] == [one["other_id"] for one in rows]
        assert rows or len(ids(answer)) == len(tables.stats) - 1
        for got, want in zip(own, rows, strict=True):
            assert got["similarity_score"] == pytest.approx(want["score"], rel=1e-14)
            assert got["evidence"]["lift"] == pytest.approx(want["lift"], rel=1e-14)
            assert got["evidence"]["confidence"] == want["confidence"]
            assert got["evidence"]["pair_orders"] == want["pair_orders"]
    known = {row["item_id"] for row in tables.stats}
    for name, item_id in by_name.items():
        assert current.resolve(name).item_id == (name if name in known else item_id)
    sold = Counter(row["category"] for row in tables.stats if row["category"] is not None)
    assert {category: len(ids(current.popular(100, category))) for category in sold} == dict(sold)
    assert ids(current.popular(100)) == [row["item_id"] for row in tables.stats]
