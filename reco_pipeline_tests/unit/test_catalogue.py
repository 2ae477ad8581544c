"""Promises of catalogues: no line is lost, the newest one names, and what does not fit is found."""

import datetime as dt
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.audit.trail import Event, events
from reco.catalog.checks import CatalogueFindings, catalogue_imbalances, check_catalogue
from reco.catalog.ledger import CatalogueDrop, CatalogueLedger
from reco.catalog.reader import CATALOGUE_LINES, QUARANTINED_CATALOGUE_LINES, read_catalogue
from reco.catalog.rules import CATALOGUE_REASONS
from reco.catalog.table import CATALOGUE, ingest_catalogues, make_catalogue
from reco.errors import DropAmbiguous, DropError, DropUnmapped, UsageError
from reco.model.columns import TABLES
from reco.orders.drops import DropFile, DropResult
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus, Seen
from reco.orders.profiles import Rules, SourceProfile, load_profile
from reco.settings import Settings
from reco.storage.lake import Lake
from reco_pipeline.cli.app import app
from reco_pipeline.pending import take_item_files
from reco_pipeline_tests.model_tables import types
from reco_pipeline_tests.shop import ROOT

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
HEADER = "item_id,name,category,price,in_stock,url\n"


def read(content: bytes | str, folder: Path, profile: SourceProfile | None = None) -> tuple[DropResult, Any, Any]:
    """The result of reading a catalogue, its accepted lines and the others."""
    place = folder / f"read-{len(list(folder.glob('read-*')))}"
    place.mkdir()
    path = place / "items.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    lake = Lake(place / "lake")
    result = read_catalogue(DropFile("k", path, path.name, profile or load_profile("auto")), lake, place / "scratch")
    parts = [pl.read_parquet(lake.existing(t, "k")) for t in (CATALOGUE_LINES, QUARANTINED_CATALOGUE_LINES)]
    counts = result.counts
    assert (counts.lines_accepted, counts.lines_quarantined) == (parts[0].height, parts[1].height)
    assert counts.lines_read == counts.lines_accepted + counts.lines_quarantined
    return result, parts[0], parts[1]


def profile(**items: str) -> SourceProfile:
    """A profile that names these columns in [items]."""
    return SourceProfile.checked({"name": "shop", "items": items}, "a test")


def test_every_kind_of_line_has_its_place(tmp_path: Path) -> None:
    """Accepted or quarantined with line, reason, column, value and bytes; the last line of an item counts."""
    text = (
        HEADER + "1,Old,A,1,yes,\n"
        "2,B,A,x,maybe,\n"
        ",C,A,1,,\n"
        '1,"New\nname",A,"1,000.50",out of stock,http://shop/1\n'
        "3,D,A,-1,,\n"
        "4,E\n"
        "\n"
        "5,F,A,2,12,\n"
        '6,"G,A,3,,\n'
    )
    result, items, others = read(text, tmp_path)
    assert result.counts.lines_read == 8
    assert (result.counts.lines_header, result.counts.lines_blank) == (1, 1)
    assert items.select("line", "item_id", "item_name", "in_stock", "url").rows() == [
        (5, "1", "New\nname", False, "http://shop/1"),
        (10, "5", "F", True, None),
    ]
    assert [str(price) for price in items["price"]] == ["1000.5000", "2.0000"]
    assert others.select("line", "reason", "column", "value", "also").rows() == [
        (2, "duplicate_item", "item_id", "1", []),
        (3, "invalid_price", "price", "x", ["invalid_stock"]),
        (4, "missing_item", "item_id", None, []),
        (7, "negative_price", "price", "-1", []),
        (8, "too_few_fields", None, None, []),
        (11, "unbalanced_quote", None, None, []),
    ]
    raw = text.encode()
    assert all(raw[at:].startswith(line) for at, line in others.select("byte_offset", "raw").rows())
    assert set(others["disposition"]) == {"quarantined"}


def test_columns_are_recognised_or_named(tmp_path: Path) -> None:
    """Usual names in any dialect and encoding; [items] names others; a name alone is the id; extra columns are none."""
    result, items, _ = read('"SKU";"Produktname";"Title";"Price"\n07;x;Käse;2\n'.encode("cp1252"), tmp_path)
    assert result.mapping == {"item_id": "SKU", "item_name": "Title", "price": "Price"}
    assert (result.encoding, items.row(0)[1:3]) == ("cp1252", ("07", "Käse"))
    _, items, _ = read("Größe\tNr\tcost\n1\t2\t3\n".encode("utf-16"), tmp_path, profile(id="Nr", price="cost"))
    assert items.select("item_id", "item_name").row(0) == ("2", None)
    assert read("item_name\nPID\n", tmp_path)[1].select("item_id", "item_name").rows() == [("PID", "PID")]


@pytest.mark.parametrize(
    ("prices", "decimal", "expected"),
    [
        (["12,50", "3,00", "1.000,25"], ",", ["12.5000", "3.0000", "1000.2500"]),
        (["€ 12,50", "3"], ",", ["12.5000", "3.0000"]),
        (["12.50", "1,000.25"], ".", ["12.5000", "1000.2500"]),
        (["12", "x"], ".", ["12.0000"]),
    ],
)
def test_the_decimal_sign_of_prices_is_found(
    prices: list[str], decimal: str, expected: list[str], tmp_path: Path
) -> None:
    """As that of orders: what the prices prove, in any dialect."""
    for delimiter in ";\t":
        text = f"id{delimiter}price\n" + "".join(f"{n}{delimiter}{price}\n" for n, price in enumerate(prices))
        result, items, _ = read(text, tmp_path)
        assert [str(price) for price in items["price"]] == expected
        assert (result.dialect or {})["decimal"] == decimal


def test_prices_with_two_meanings_are_asked_about(tmp_path: Path) -> None:
    """Where each fits a thousand and a little more than one, the profile has to say it."""
    text = 'id;price;stock\n1;"1,234";"5,0"\n'
    with pytest.raises(DropAmbiguous, match="decimal point and a decimal comma both fit"):
        read(text, tmp_path)
    told = SourceProfile.checked({"name": "shop", "dialect": {"decimal": ","}}, "a test")
    _, items, _ = read(text, tmp_path, told)
    assert [str(price) for price in items["price"]] == ["1.2340"]
    assert items["in_stock"].to_list() == [True]


@pytest.mark.parametrize(
    ("content", "named", "words"),
    [
        ("a,b\n1,2\n", None, "like an item: its first line has 2 fields, none of them a known name"),
        ("anna,Price\n1,2\n", None, "2 fields, of which 'Price' is known"),
        ("id,b\n1,2\n", {"id": "sku"}, "no single column 'sku'"),
        ("sku,sku\n1,2\n", {"id": "sku"}, "no single column 'sku'"),
    ],
)
def test_a_file_without_an_item_says_what_it_has(
    content: str, named: dict[str, str] | None, words: str, tmp_path: Path
) -> None:
    """The message names the file and those of its columns whose names are known."""
    with pytest.raises(DropUnmapped, match=r"items\.csv") as caught:
        read(content, tmp_path, profile(**named) if named else None)
    assert words in caught.value.message
    assert "anna" not in f"{caught.value}{caught.value.details}"


@settings(max_examples=40)
@given(st.lists(st.text("ab1,;\"'\n\r x\0é", max_size=20), max_size=12))
def test_whatever_comes_every_line_is_accounted_for(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    """Random lines below a header are accepted or quarantined with a documented reason, or the file says why not."""
    try:
        result, _, others = read("item_id,name\n" + "\n".join(rows), tmp_path_factory.mktemp("random"))
    except DropError:
        return
    assert set(others["reason"]) <= set(CATALOGUE_REASONS)
    assert sum(result.reasons.values()) == others.height


@dataclass
class Shop:
    """A home with its catalogue ledger, and a folder of files."""

    home: Home
    files: Path

    @property
    def ledger(self) -> CatalogueLedger:
        """The ledger of catalogues."""
        return CatalogueLedger(self.home.ledger.engine, self.home.lake)

    def give(self, name: str, text: str, with_profile: SourceProfile | None = None, *, by_hand: bool = True) -> Seen:
        """Takes a catalogue in, reads what waits and makes the table; returns what became of the file."""
        path = self.files / name
        path.write_text(text)
        taken = self.ledger.register([(path, with_profile or load_profile("auto"))], now=NOON, by_hand=by_hand)
        ingest_catalogues(self.ledger, now=NOON, run_id="r")
        make_catalogue(self.ledger, self.home.lake)
        return taken[0].seen

    def table(self) -> list[tuple[Any, ...]]:
        """Item, name and whether it is listed."""
        return pl.read_parquet(self.home.lake.existing(CATALOGUE)).select("item_id", "item_name", "listed").rows()

    def states(self) -> list[str]:
        """The states of the catalogues, oldest first."""
        return [drop.status.value for drop in self.ledger.drops()]

    def check(self, orders: Path, change: float = 0.5) -> CatalogueFindings:
        """What is wrong with the catalogues that count."""
        drops = self.ledger.drops(status=DropStatus.INGESTED)
        return check_catalogue(drops, self.home.lake, orders, price_change=change)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "files").mkdir()
    return Shop(open_home(Settings(home=tmp_path / "home")), tmp_path / "files")


def test_the_newest_catalogue_counts_and_old_items_keep_their_name(shop: Shop) -> None:
    """An item that is gone keeps its last name and is no longer listed; another source lists its own."""
    assert make_catalogue(shop.ledger, shop.home.lake).digest == ""
    shop.give("a.csv", HEADER + "1,One,,,,\n2,Two,,,,\n")
    shop.give("b.csv", HEADER + "2,Zwei,,,,\n3,Three,,,,\n")
    assert shop.table() == [("1", "One", False), ("2", "Zwei", True), ("3", "Three", True)]
    shop.give("other.csv", "id,name\n9,Nine\n", profile(id="id", name="name"))
    assert shop.table()[1:] == [("2", "Zwei", True), ("3", "Three", True), ("9", "Nine", True)]
    path = shop.home.lake.path(CATALOGUE)
    assert list(types(path).items()) == [(one.name, one.sql_type) for one in TABLES[CATALOGUE]]


def test_the_same_content_changes_no_byte(shop: Shop) -> None:
    """A catalogue is its bytes: under another name it is known, and the table stays as it is."""
    text = HEADER + "1,One,,,,\n"
    assert shop.give("a.csv", text) is Seen.NEW
    before = shop.home.lake.path(CATALOGUE).read_bytes()
    assert shop.give("b.csv", text) is Seen.KNOWN
    assert shop.home.lake.path(CATALOGUE).read_bytes() == before
    assert len(shop.ledger.drops()) == 1


def test_a_retracted_catalogue_names_nothing_until_it_is_given_again_by_hand(shop: Shop) -> None:
    """What lies in the inbox does not come back by itself; the trail has each step."""
    text = HEADER + "1,One,,,,\n"
    shop.give("a.csv", text)
    drop = shop.ledger.find("a.csv")
    assert drop is not None
    shop.ledger.retract(drop, now=NOON, reason="wrong")
    make_catalogue(shop.ledger, shop.home.lake)
    assert shop.table() == []
    with pytest.raises(UsageError, match="retracted already"):
        shop.ledger.retract(shop.ledger.drops()[0], now=NOON, reason="again")
    assert shop.give("a.csv", text, by_hand=False) is Seen.KNOWN
    assert shop.table() == []
    assert shop.give("a.csv", text) is Seen.AGAIN
    assert shop.table() == [("1", "One", True)]
    trail = [one.event for one in events(shop.home.ledger.engine)]
    assert sorted(trail) == sorted([Event.DROP_SEEN, Event.DROP_INGESTED] * 2 + [Event.DROP_RETRACTED])


def test_a_catalogue_that_cannot_be_used_stops_no_other(shop: Shop) -> None:
    """It is failed with its reason in the ledger, is tried again when given again, and the others are read."""
    files = [(shop.files / "bad.csv", "x\n1\n"), (shop.files / "good.csv", HEADER + "1,One,,,,\n")]
    for path, text in files:
        path.write_text(text)
    shop.ledger.register([(path, load_profile("auto")) for path, _ in files], now=NOON)
    gone = shop.ledger.register([(shop.files / "gone.csv", load_profile("auto"))], now=NOON)
    assert [one.seen for one in gone] == [Seen.REFUSED]
    results = ingest_catalogues(shop.ledger, now=NOON, run_id=None)
    assert [one.status for one in results] == ["failed", "ingested"]
    assert shop.states() == ["failed", "ingested"]
    assert "looks like an item" in str(shop.ledger.drops()[0].error)
    make_catalogue(shop.ledger, shop.home.lake)
    assert shop.table() == [("1", "One", True)]
    assert shop.give("bad.csv", "x\n1\n") is Seen.AGAIN


def test_lines_that_are_gone_are_found(shop: Shop) -> None:
    """The lines in the lake are compared with those counted in the bytes, catalogue by catalogue."""
    shop.give("a.csv", HEADER + "1,One,,,,\n2,Two,,,,\n")
    drops = shop.ledger.drops()
    assert catalogue_imbalances(drops, shop.home.lake) == []
    path = shop.home.lake.existing(CATALOGUE_LINES, drops[0].key)
    duckdb.sql(f"COPY (SELECT * FROM '{path}' LIMIT 1) TO '{path}' (FORMAT parquet)")
    wrong = {"drop": "a.csv", "lines_read": 2, "accepted": 1, "quarantined": 0}
    assert catalogue_imbalances(drops, shop.home.lake) == [wrong]
    path.unlink()
    assert catalogue_imbalances(drops, shop.home.lake)[0]["accepted"] == -1


def test_gaps_jumps_and_orphans_are_counted(shop: Shop) -> None:
    """Missing names, repeated ids, prices beyond the change in either direction, and orphans both ways."""
    orders = shop.home.lake.root / "orders.parquet"
    assert shop.check(orders) == CatalogueFindings()
    shop.give("a.csv", HEADER + "1,One,A,10,,\n2,Two,A,10,,\n3,Three,A,10,,\n4,Four,A,0,,\n")
    duckdb.sql(f"COPY (SELECT unnest(['1', '1', '8', '9', '9']) AS item_id) TO '{orders}' (FORMAT parquet)")
    first = shop.check(orders)
    assert (first.priced, first.sold, first.unlisted, first.unlisted_orders, first.unsold) == (0, 3, 2, 3, 3)
    shop.give("b.csv", HEADER + "1,One,A,15,,\n2,,,15.1,,\n3,Drei,,6.6,,\n3,Three,,6.6,,\n4,Four,,9,,\n")
    found = shop.check(orders)
    assert (found.listed, found.unnamed, found.uncategorised) == (4, 1, 3)
    assert (found.read, found.duplicates, found.quarantined) == (5, 1, 0)
    assert (found.priced, found.jumped) == (3, 2)
    assert [(one["item_id"], one["price_now"]) for one in found.worst_prices] == [("3", 6.6), ("2", 15.1)]
    assert found.worst_unlisted == ({"item_id": "9", "orders": 2}, {"item_id": "8", "orders": 1})
    assert [one["item_id"] for one in found.worst_unsold] == ["2", "3", "4"]
    assert shop.check(shop.home.lake.root / "none.parquet").sold is None


def test_a_changed_mapping_is_read_again(shop: Shop) -> None:
    """The file that a profile names is read anew once its [items] name other columns, and only then."""
    text = "nr;title;other\n1;One;Uno\n"
    before, after = profile(id="nr", name="title"), profile(id="nr", name="other")
    shop.give("a.csv", text, before, by_hand=False)
    with_rules = before.model_copy(update={"rules": Rules(exclude_items=("x",))})
    assert shop.give("a.csv", text, with_rules, by_hand=False) is Seen.KNOWN
    assert shop.give("a.csv", text, after, by_hand=False) is Seen.AGAIN
    assert shop.table() == [("1", "Uno", True)]
    assert shop.give("a.csv", text, after, by_hand=False) is Seen.KNOWN


def test_the_item_file_of_a_profile_follows_the_profile(shop: Shop) -> None:
    """Orders given with a profile whose [items] were corrected bring its unchanged item file in anew, once."""
    (shop.files / "items.csv").write_text("nr;title;other\n1;One;Uno\n")
    toml = shop.files / "shop.toml"
    for name, taken in (("title", 1), ("title", 0), ("other", 1), ("other", 0)):
        toml.write_text(f'name = "shop"\n[items]\nfile = "items.csv"\nid = "nr"\nname = "{name}"\n')
        found = take_item_files(shop.home, [load_profile(toml)], now=NOON)
        assert [one.error for one in found] == [None] * taken
        ingest_catalogues(shop.ledger, now=NOON, run_id=None)
    make_catalogue(shop.ledger, shop.home.lake)
    assert shop.table() == [("1", "Uno", True)]


def test_another_source_that_reads_a_known_file_otherwise_is_told(shop: Shop) -> None:
    """It is not used in silence, and does not take the file away; one that reads it alike has what it wants."""
    text = "nr;title;other\n1;One;Uno\n"
    columns = {"id": "nr", "name": "title"}
    shop.give("a.csv", text, profile(**columns), by_hand=False)
    till, clash = (
        SourceProfile.checked({"name": "till", "items": one}, "a test")
        for one in (columns, columns | {"name": "other"})
    )
    assert shop.give("a.csv", text, till, by_hand=False) is Seen.KNOWN
    (refused,) = shop.ledger.register([(shop.files / "a.csv", clash)], now=NOON, by_hand=False)
    assert refused.seen is Seen.REFUSED
    assert "with profile shop; profile till reads it otherwise" in str(refused.error)
    assert shop.table() == [("1", "One", True)]
    assert shop.give("a.csv", text, clash) is Seen.AGAIN
    assert shop.table() == [("1", "Uno", True)]


def test_what_is_wrong_with_lines_is_counted(shop: Shop) -> None:
    """Lines of the newest catalogue that are quarantined, without those that only come again, by reason."""
    shop.give("a.csv", HEADER + "1,One,A,x,,\n2,Two,A,y,,\n,Three,A,,,\n4,Old,A,,,\n4,Four,A,,,\n")
    found = shop.check(shop.home.lake.root / "none.parquet")
    assert (found.read, found.duplicates, found.quarantined) == (5, 1, 3)
    assert [tuple(one.values()) for one in found.worst_quarantine] == [
        ("a.csv", "invalid_price", 2),
        ("a.csv", "missing_item", 1),
    ]


def test_an_item_may_be_listed_under_any_of_its_ids(shop: Shop) -> None:
    """Where a source merges ids, a sold item listed under another of them is no orphan in either direction."""
    orders = shop.home.lake.root / "orders.parquet"
    shop.give("a.csv", HEADER + "pid,Detector,A,,,\nCAL,Kit,A,,,\nHose,Hose,A,,,\n")
    sold = "('shop', 'PID'), ('shop', 'cal'), ('till', 'hose')"
    duckdb.sql(f"COPY (FROM (VALUES {sold}) AS t(source, item_id)) TO '{orders}' (FORMAT parquet)")
    drops = shop.ledger.drops()
    found = check_catalogue(drops, shop.home.lake, orders, price_change=0.5, rules={"shop": ("case",)})
    assert (found.sold, found.unlisted, found.unsold) == (3, 1, 1)
    assert [one["item_id"] for one in found.worst_unlisted + found.worst_unsold] == ["hose", "Hose"]
    plain = shop.check(orders)
    assert (plain.sold, plain.unlisted, plain.unsold) == (3, 3, 3)


def test_names_that_mean_several_are_asked_back(shop: Shop) -> None:
    """A name of two catalogues is none; an unknown one names none."""
    shop.give("a.csv", HEADER + "1,One,,,,\n")
    shop.give("a.csv", HEADER + "1,Uno,,,,\n")
    with pytest.raises(UsageError, match="names 2 catalogues"):
        shop.ledger.find("a.csv")
    newest: CatalogueDrop = shop.ledger.drops()[-1]
    assert shop.ledger.find(newest.sha256[:10]) == newest
    assert shop.ledger.find("nothing") is None


@pytest.mark.parametrize("reason", sorted(CATALOGUE_REASONS))
def test_every_reason_is_in_the_reference(reason: str) -> None:
    """The list of reason codes is closed and documented."""
    pages = [ROOT / "docs" / "reference.md", ROOT / "docs" / "reference" / "reasons.md"]
    assert any(f"`{reason}`" in page.read_text(encoding="utf-8") for page in pages)


def test_lines_of_a_header_are_counted_as_such(tmp_path: Path) -> None:
    """`sep=;` above the header and the same header further down are no items; a header alone says what is missing."""
    head = "item_id;name;price\n"
    result, items, others = read(f"sep=;\n{head}1;A, B;2\n{head}2;C;3\n", tmp_path)
    assert (items["item_id"].to_list(), others.height) == (["1", "2"], 0)
    assert (result.counts.lines_header, result.counts.lines_read) == (3, 2)
    with pytest.raises(DropError, match="a header and no lines below it"):
        read(HEADER, tmp_path)


# -------------------------------------------------------------------------------------------------- on the command line
@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The key of bytes that came as orders and as a catalogue, in the home of the commands."""
    monkeypatch.setenv("RECO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    home = open_home(Settings())
    path = tmp_path / "both.csv"
    path.write_text("order_id,item_id,item_name\n1,a,Apple\n")
    (drop,) = home.ledger.register([(path, load_profile("auto"))], now=NOON)
    ingest(home.ledger, [drop.drop_key or ""], now=NOON, run_id=None)
    ledger = CatalogueLedger(home.ledger.engine, home.lake)
    (listed,) = ledger.register([(path, load_profile("auto"))], now=NOON)
    ingest_catalogues(ledger, now=NOON, run_id=None)
    assert drop.drop_key == listed.drop_key
    return str(drop.drop_key)


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """The object a command prints as JSON."""
    assert not app([*arguments, "--json"], standalone_mode=False)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["orders", "catalogue"])
def test_one_of_two_drops_of_the_same_bytes_is_retracted(
    both: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Key, name and start of the sha256 mean both: the command asks which, and leaves the other alone."""
    for name in (both, "both.csv", both[:9]):
        with pytest.raises(UsageError, match="a drop of orders and a catalogue") as caught:
            app(["drops", "retract", name], standalone_mode=False)
        assert "--orders or --catalogue" in caught.value.hint
    assert printed(capsys, "drops", "retract", both, f"--{kind}") == {"key": both, "status": "retracted"}
    known = printed(capsys, "drops", "list")
    states = {name: known[name][0]["status"] for name in ("drops", "catalogues")}
    retracted = "drops" if kind == "orders" else "catalogues"
    assert states == {"drops": "ingested", "catalogues": "ingested"} | {retracted: "retracted"}
    with pytest.raises(UsageError, match="No catalogue is named 'none'"):
        app(["drops", "retract", "none", "--catalogue"], standalone_mode=False)


def test_the_audit_knows_catalogues(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trail and report take a catalogue's name or key; its lines are no order lines and stand in no sum."""
    monkeypatch.setenv("RECO_HOME", str(shop.home.settings.home))
    shop.give("a.csv", HEADER + "1,One,,x,,\n2,Two,,,,\n")
    (key,) = (drop.key for drop in shop.ledger.drops())
    for name in (key, "a.csv"):
        trail = printed(capsys, "audit", "trail", "--drop", name)["events"]
        assert [one["event"] for one in trail] == ["drop_ingested", "drop_seen"]
        report = printed(capsys, "audit", "report", "--drop", name)
        (one,) = report["catalogues"]
        assert (one["key"], one["lines"]["read"], one["lines"]["reasons"]) == (key, 2, {"invalid_price": 1})
        assert (report["drops"], report["lines"]["read"]) == ([], 0)
    assert not app(["audit", "report", "--drop", key, "--format", "html"], standalone_mode=False)
    assert "a.csv" in capsys.readouterr().out
    report = printed(capsys, "audit", "report")
    assert ([one["key"] for one in report["catalogues"]], report["drops"]) == ([key], [])


def test_the_audit_of_bytes_that_came_as_both_is_of_both(both: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The trail has the steps of both, the report the order lines and, apart from them, the catalogue."""
    trail = printed(capsys, "audit", "trail", "--drop", both[:9])["events"]
    assert sorted(one["event"] for one in trail) == ["drop_ingested"] * 2 + ["drop_seen"] * 2
    report = printed(capsys, "audit", "report", "--drop", both)
    assert (report["lines"]["read"], len(report["drops"]), len(report["catalogues"])) == (1, 1, 1)
    assert report["trail"]["proven"]
