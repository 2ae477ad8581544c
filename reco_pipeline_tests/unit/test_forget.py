"""Promises about forgetting a customer: the identity is gone, every count stays, and a kill changes neither."""

import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa

from reco.audit.chain import verify_chain
from reco.audit.stored import compare_files
from reco.audit.trail import Event, events
from reco.errors import Busy, DropMissing, OrderNotFound
from reco.model.tables import ITEM_STATS, SIMILAR_ITEMS, broken_links, make_cooccurrence, make_item_stats, make_similar
from reco.orders.forget import Remaining, carry_out, finish, make_plan, remaining
from reco.orders.forgotten import FORGOTTEN
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.journal import JOURNAL, Plan
from reco.orders.ledger import DropStatus, Seen
from reco.orders.mending import write_export
from reco.orders.orders import make_orders
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.quarantine import Selection, lines
from reco.orders.replaced import REPLACED_ORDERS
from reco.orders.replay import replay_file, replay_lines
from reco.orders.retention import expire
from reco.settings import Settings
from reco.snapshot.order_book import SERVED_ORDERS, keep_orders, order_items
from reco.storage.lake import file_digest
from reco_pipeline.forgetting import forget
from reco_pipeline_tests.commands import printed
from reco_pipeline_tests.model_tables import rows

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
HEADER = "order_id,item_name,quantity,customer_id\n"
WHO = "anna@shop.test"
MONDAY = f"1,PID,1,{WHO}\n1,Kit,1,{WHO}\n2,PID,1,bob\n3,Hose,1,\n4,Hose,x,{WHO}\n4,Hose,x,bob\n5,PID,{WHO}\n"
TUESDAY = f'2,Hose,1,bob\n6,PID,2,{WHO}\n6,Hose,1,{WHO}\n7,"Pump,1,{WHO}\n'
COMPOSITE = SourceProfile.model_validate(
    {
        "name": "till",
        "columns": {
            "order_id": ["order_id", "customer_id"],
            "item_name": "item_name",
            "quantity": "quantity",
            "customer_id": "customer_id",
        },
    }
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that has never seen a drop."""
    return open_home(Settings(home=tmp_path / "home"))


def plain() -> SourceProfile:
    """The profile that recognises columns, with ids as the shop writes them."""
    return SourceProfile.model_validate({"name": "plain"})


def give(home: Home, folder: Path, name: str, lines: str, profile: SourceProfile) -> str:
    """Reads one file as a batch of its own; returns its key."""
    path = folder / name
    path.write_text(HEADER + lines)
    (one,) = home.ledger.register([(path, profile)], now=NOON)
    assert one.drop is not None
    ingest(home.ledger, [one.drop.key], now=NOON, run_id="r")
    return one.drop.key


def make_all(home: Home) -> None:
    """Every table that is made of the lines."""
    make_orders(home.ledger, home.lake, now=NOON, run_id="r")
    make_item_stats(home.ledger, home.lake)
    make_cooccurrence(home.lake)
    make_similar(home.lake)


def forget_anna(home: Home, *, raw: bool = False) -> Any:
    """As the command does it."""
    return forget(home, WHO, source=None, remove_raw=raw, now=NOON, agreed=lambda _plan, _left: True)


def everything(home: Home) -> bytes:
    """Every value of every table of the lake, as text: Parquet packs its values."""
    tables = [path for path in home.lake.root.glob("*/*.parquet") if path.parent.name != "raw_orders"]
    return b"".join(repr(rows(path)).encode() for path in tables) + repr(events(home.ledger.engine)).encode()


def figures(home: Home) -> list[Any]:
    """What is served and what is reported."""
    tables = [rows(home.lake.path(name)) for name in (ITEM_STATS, "item_cooccurrence", SIMILAR_ITEMS)]
    counts = [(d.lines_read, d.lines_accepted, d.lines_quarantined, d.reasons) for d in home.ledger.drops()]
    return [*tables, counts, home.ledger.imbalances(), broken_links(home.ledger, home.lake)]


@pytest.mark.parametrize("name", ["plain", "auto"])
def test_the_identity_goes_and_every_count_stays(home: Home, tmp_path: Path, name: str) -> None:
    """Item counts, distinct customers, pairs, lines and reasons are equal; the id stands in no table and no event."""
    profile = plain() if name == "plain" else load_profile("auto")
    keys = [give(home, tmp_path, f"{n}.csv", text, profile) for n, text in (("a", MONDAY), ("b", TUESDAY))]
    make_all(home)
    before = figures(home)
    assert WHO.encode() in everything(home)
    plan, left, done = forget_anna(home)
    assert (done, sum(plan.lines.values()), sum(plan.others.values())) == (True, 4, 3)
    assert WHO.encode() not in everything(home)
    assert home.ledger.pseudonyms.of(WHO).encode() not in everything(home)
    assert figures(home) == before
    names = {row[7] for key in keys for row in rows(home.lake.path("order_lines", key)) if row[7]}
    assert len(names) == 2
    assert sum(str(one).startswith(FORGOTTEN) for one in names) == 1
    assert any("2 drops as they came" in one for one in left.sentences())
    assert not (home.settings.home / "keys" / JOURNAL).exists()


def test_only_the_customers_lines_change(home: Home, tmp_path: Path) -> None:
    """Others keep their id and their raw bytes; the reason, line and offset of each line stay."""
    key = give(home, tmp_path, "a.csv", MONDAY, plain())
    before = rows(home.lake.path("quarantined_lines", key))
    forget_anna(home)
    after = rows(home.lake.path("quarantined_lines", key))
    assert [row[:2] + row[3:6] for row in after] == [row[:2] + row[3:6] for row in before]
    assert [row[2].startswith(b"4,Hose,x,forgotten_") for row in after] == [True, False, False]
    assert after[1] == before[1]
    assert after[2][2].startswith(b"5,PID,forgotten_")
    assert [row[7] for row in rows(home.lake.path("order_lines", key))][2:] == ["bob", None]


def test_order_ids_made_of_the_customer_change_alike_everywhere(home: Home, tmp_path: Path) -> None:
    """In every drop and in the list of replaced orders the same order gets the same new id."""
    one = give(home, tmp_path, "a.csv", f"mon,PID,1,{WHO}\nmon,Kit,1,{WHO}\nmon,Kit,1,bob\n", COMPOSITE)
    make_all(home)
    two = give(home, tmp_path, "b.csv", f"mon,PID,1,{WHO}\ntue,PID,1,{WHO}\n", COMPOSITE)
    make_all(home)
    before = figures(home)
    forget_anna(home)
    assert figures(home) == before
    assert WHO.encode() not in everything(home)
    first, again, bob = (row[1] for row in rows(home.lake.path("order_lines", one)))
    monday, tuesday = (row[1] for row in rows(home.lake.path("order_lines", two)))
    (replaced,) = home.lake.path(REPLACED_ORDERS).parent.glob("*.parquet")
    assert first == again == monday == rows(replaced)[0][1]
    (told,) = events(home.ledger.engine, event=Event.ORDERS_REPLACED)
    (rewritten,) = events(home.ledger.engine, event=Event.REPLACED_REDACTED)
    assert rewritten.details["part"] == told.details["part"] == replaced.stem
    assert rewritten.details["sha256_before"] == told.details["sha256"]
    assert rewritten.details["parts"] == {REPLACED_ORDERS: {replaced.stem: file_digest(replaced)}}
    assert compare_files(home.ledger.engine, home.lake).problems == ()
    assert tuesday not in (first, bob)
    assert bob == "mon|bob"


def test_doing_it_again_does_nothing(home: Home, tmp_path: Path) -> None:
    """The second time there is nothing to find, and nothing is written."""
    key = give(home, tmp_path, "a.csv", MONDAY, load_profile("auto"))
    forget_anna(home)
    digest, told = file_digest(home.lake.path("order_lines", key)), events(home.ledger.engine)
    plan, _, done = forget_anna(home)
    assert (done, plan.keys) == (False, [])
    assert (file_digest(home.lake.path("order_lines", key)), events(home.ledger.engine)) == (digest, told)


@pytest.mark.parametrize("killed_after", [0, 1, 2])
def test_a_killed_one_ends_as_if_it_had_not_been(home: Home, tmp_path: Path, killed_after: int) -> None:
    """Taken up again it uses the same name, so that distinct customers stay, and marks each drop once."""
    for n, text in (("a", MONDAY), ("b", TUESDAY)):
        give(home, tmp_path, f"{n}.csv", text, plain())
    make_all(home)
    before = figures(home)

    class Killed(BaseException):
        pass

    def tick(done: int) -> None:
        if done > killed_after:
            raise Killed

    plan = make_plan(home, WHO)
    if killed_after < 2:
        with pytest.raises(Killed):
            carry_out(home, plan, now=NOON, tick=tick)
    else:
        carry_out(home, plan, now=NOON)
    with pytest.raises(Busy, match="another customer"):
        make_plan(home, "bob")
    assert make_plan(home, WHO) == plan
    _, _, done = forget_anna(home)
    assert done
    assert figures(home) == before
    assert WHO.encode() not in everything(home)
    kinds = [one.event for one in events(home.ledger.engine)]
    assert (kinds.count(Event.DROP_REDACTED), kinds.count(Event.CUSTOMER_FORGOTTEN)) == (2, 1)


def test_the_trail_proves_it_without_the_id(home: Home, tmp_path: Path) -> None:
    """Counts and hashes before and after, and a keyed hash that only who holds the key can make."""
    key = give(home, tmp_path, "a.csv", MONDAY, plain())
    forget_anna(home)
    told, redacted = events(home.ledger.engine, limit=2)
    assert told.details["subject"] == home.ledger.pseudonyms.proof("forgotten", WHO)
    assert (told.details["drops"], told.details["lines"], told.details["others"]) == (1, 2, 2)
    assert redacted.drop_key == key
    assert redacted.details["files"]["order_lines"] == file_digest(home.lake.path("order_lines", key))
    assert redacted.details["files_before"] != redacted.details["files"]
    assert verify_chain(home.ledger.engine).whole


def test_removed_files_stay_removed(home: Home, tmp_path: Path) -> None:
    """The bytes go, reading anew says why it cannot, and the same file given again does not bring them back."""
    key = give(home, tmp_path, "a.csv", MONDAY, plain())
    other = give(home, tmp_path, "b.csv", "9,PID,1,bob\n", plain())
    _, left, _ = forget_anna(home, raw=True)
    assert not any("as they came" in one for one in left.sentences())
    assert [path.name for path in home.lake.raw_folder(key).iterdir()] == [".removed"]
    assert len(list(home.lake.raw_folder(other).glob("*.csv"))) == 1
    with pytest.raises(DropMissing, match="forget a customer"):
        home.ledger.file(home.ledger.drops(keys=[key])[0])
    (again,) = home.ledger.register([(tmp_path / "a.csv", plain())], now=NOON)
    assert again.seen is Seen.KNOWN
    assert [path.name for path in home.lake.raw_folder(key).iterdir()] == [".removed"]
    ingest(home.ledger, [key], now=NOON, run_id="again")  # as a person who materializes the partition again
    assert home.ledger.drops(keys=[key])[0].status is DropStatus.INGESTED
    assert home.ledger.imbalances() == []


def test_orders_made_of_other_columns_are_nobodys(home: Home, tmp_path: Path) -> None:
    """A customer's id that happens to be a store or a receipt number takes no order of somebody else."""
    columns = {"order_id": ["store", "receipt"], "item_name": "item_name", "customer_id": "customer_id"}
    profile = SourceProfile.model_validate({"name": "till", "columns": columns})
    path = tmp_path / "a.csv"
    path.write_text("store,receipt,item_name,customer_id\n1,501,PID,77\n2,1,PID,88\n3,9,PID,1\n")
    (one,) = home.ledger.register([(path, profile)], now=NOON)
    assert one.drop is not None
    ingest(home.ledger, [one.drop.key], now=NOON, run_id="r")
    forget(home, "1", source=None, remove_raw=False, now=NOON, agreed=lambda _plan, _left: True)
    table = pl.read_parquet(home.lake.path("order_lines", one.drop.key))
    assert table["order_id"].to_list() == ["1|501", "2|1", "3|9"]
    assert table["customer_id"].to_list()[:2] == ["77", "88"]
    assert table["customer_id"][2] != "1"


def test_a_drop_without_a_customer_is_left_alone(home: Home, tmp_path: Path) -> None:
    """An id that happens to be an order or an item elsewhere is nobody's: its raw lines stay as they came."""
    path = tmp_path / "a.csv"
    path.write_text("order_id,item_name,quantity\n77,PID,x\n1,77,x\n2,PID,77 x\n3,77\n")
    (one,) = home.ledger.register([(path, plain())], now=NOON)
    assert one.drop is not None
    ingest(home.ledger, [one.drop.key], now=NOON, run_id="r")
    give(home, tmp_path, "b.csv", "5,PID,1,77\n", plain())
    before = file_digest(home.lake.path("quarantined_lines", one.drop.key))
    plan, _, done = forget(home, "77", source=None, remove_raw=True, now=NOON, agreed=lambda _plan, _left: True)
    assert (done, plan.others, len(plan.raw)) == (True, {}, 1)
    assert one.drop.key not in plan.keys
    assert file_digest(home.lake.path("quarantined_lines", one.drop.key)) == before


def test_in_the_customers_own_line_only_the_customer_changes(home: Home, tmp_path: Path) -> None:
    """Order 77 of customer 77 stays order 77, in the text and in the value shown; quotes and blanks stay too."""
    key = give(home, tmp_path, "a.csv", '77,PID,77 x,"77"\n78,77,x, 77 \n79,PID,x,770\n', plain())
    plan, _, _ = forget(home, "77", source=None, remove_raw=False, now=NOON, agreed=lambda _plan, _left: True)
    raw = [row[2].decode() for row in rows(home.lake.path("quarantined_lines", key))]
    assert raw == [f'77,PID,77 x,"{plan.name}"', f"78,77,x, {plan.name} ", "79,PID,x,770"]
    assert plan.others == {key: 2}


def test_a_customer_that_only_a_replay_knew_is_found(home: Home, tmp_path: Path) -> None:
    """A profile may name the customer's column when lines are read again; then the raw lines of the drop hold one."""
    bare = {"order_id": "order_id", "item_name": "item_name", "quantity": "quantity"}
    first = SourceProfile.model_validate({"name": "bare", "columns": bare})
    key = give(home, tmp_path, "a.csv", f"1,PID,x,{WHO}\n{WHO},PID,x,bob\n", first)
    other = {"order_id": "order_id", "item_name": "item_name", "customer_id": "customer_id"}
    mended = SourceProfile.model_validate({"name": "mended", "columns": other})
    replay_lines(home, Selection(), mended, now=NOON, actor="a test")
    forget_anna(home)
    first_raw, second_raw = (row[2].decode() for row in rows(home.lake.path("quarantined_lines", key)))
    assert WHO not in first_raw
    assert second_raw.startswith(WHO)  # an order number


def test_a_drop_that_waits_to_be_read_anew_is_searched_everywhere(home: Home, tmp_path: Path) -> None:
    """Its columns are not known until then, and its old lines are still there: no field that is the id stays."""
    key = give(home, tmp_path, "a.csv", f"1,PID,x,{WHO}\n2,PID,1,{WHO}\n", plain())
    home.ledger.retract(key, now=NOON, reason="a test")
    (again,) = home.ledger.register([(tmp_path / "a.csv", plain())], now=NOON)
    assert (again.seen, again.drop and again.drop.mapping) == (Seen.AGAIN, None)
    plan, left, _ = forget_anna(home)
    assert (plan.lines, plan.others) == ({key: 1}, {key: 1})
    assert WHO.encode() not in everything(home)
    assert any("never read (a.csv)" in one for one in left.sentences())


def test_files_can_be_removed_later(home: Home, tmp_path: Path) -> None:
    """Forgotten without `--raw remove`, asked for it then: the trail knows in which drops the customer was."""
    keys = [give(home, tmp_path, f"{n}.csv", text, plain()) for n, text in (("a", MONDAY), ("b", "9,PID,1,bob\n"))]
    _, left, _ = forget_anna(home)
    assert any("1 drops as they came" in one for one in left.sentences())
    plan, left, done = forget_anna(home, raw=True)
    assert (done, plan.keys, plan.raw) == (True, [], [keys[0]])
    assert not any("as they came" in one for one in left.sentences())
    assert home.ledger.bytes_removed(keys[0])
    assert not home.ledger.bytes_removed(keys[1])
    (removed,) = events(home.ledger.engine, event=Event.RAW_REMOVED)
    assert (removed.drop_key, removed.details["operation"]) == (keys[0], plan.operation)
    assert forget_anna(home, raw=True)[2] is False


@pytest.mark.parametrize(("first", "then"), [(False, True), (True, False), (True, True)])
def test_a_killed_one_keeps_both_wishes_to_remove_files(home: Home, tmp_path: Path, first: bool, then: bool) -> None:
    """Whichever of the two commands asked for it, the files go."""
    keys = [give(home, tmp_path, f"{n}.csv", text, plain()) for n, text in (("a", MONDAY), ("b", TUESDAY))]

    class Killed(BaseException):
        pass

    def tick(_done: int) -> None:
        raise Killed

    with pytest.raises(Killed):
        carry_out(home, make_plan(home, WHO, remove_raw=first), now=NOON, tick=tick)
    forget_anna(home, raw=then)
    assert [home.ledger.bytes_removed(key) for key in keys] == [True, True]
    assert len(events(home.ledger.engine, event=Event.RAW_REMOVED)) == 2
    assert events(home.ledger.engine, event=Event.CUSTOMER_FORGOTTEN)[0].details["raw_removed"] == 2


def test_a_begun_one_is_ended_for_the_same_source(home: Home, tmp_path: Path) -> None:
    """The same customer in other drops is another removal, and the message says what differs."""
    give(home, tmp_path, "a.csv", MONDAY, plain())
    carry_out(home, make_plan(home, WHO), now=NOON)
    with pytest.raises(Busy, match="another --source"):
        make_plan(home, WHO, source="plain")


def test_a_source_limits_it(home: Home, tmp_path: Path) -> None:
    """Customer 1 of the till and customer 1 of the web shop are two people."""
    till = SourceProfile.model_validate({"name": "till"})
    keys = [give(home, tmp_path, f"{p.name}.csv", f"1,{p.name},1,{WHO}\n", p) for p in (plain(), till)]
    plan = make_plan(home, WHO, source="till")
    assert plan.keys == [keys[1]]
    assert remaining(home, plan).raw == ("till.csv",)
    carry_out(home, plan, now=NOON)
    finish(home, plan, now=NOON)
    assert [rows(home.lake.path("order_lines", key))[0][7] == WHO for key in keys] == [True, False]


def test_a_number_is_found_as_the_file_writes_it(home: Home, tmp_path: Path) -> None:
    """17850.0 of the file is customer 17850; a part of another number, or another column, is nobody."""
    text = "1,PID,x,17850.0\n2,PID,x,178501\n17850,PID,x,bob\n3,PID,1.17850,eve\n4,PID,17850\n"
    key = give(home, tmp_path, "a.csv", text, plain())
    forget(home, "17850", source=None, remove_raw=False, now=NOON, agreed=lambda _plan, _left: True)
    raw = [row[2] for row in rows(home.lake.path("quarantined_lines", key))]
    assert raw[0].startswith(b"1,PID,x,forgotten_")
    assert raw[1:4] == [b"2,PID,x,178501", b"17850,PID,x,bob", b"3,PID,1.17850,eve"]
    assert raw[4].startswith(b"4,PID,forgotten_")  # a ragged line: nobody knows which column it is


def test_the_command_says_what_was_done_and_what_still_holds_the_id(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words and as JSON; the id may come from standard input, and a second time there is nothing to do."""
    give(home, tmp_path, "a.csv", MONDAY, load_profile("auto"))
    monkeypatch.setenv("RECO_HOME", str(home.settings.home))

    def command(*arguments: str) -> str:
        return printed(capsys, "audit", "forget", *arguments, "--yes")

    said = command("bob")
    assert "Forgotten: 1 accepted lines and 1 other lines in 1 drops." in said
    assert "--raw remove" in said
    assert "No line of this home names this customer." in command("bob")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{WHO}\n"))
    told = json.loads(command("-", "--raw", "remove", "--json"))
    assert (told["forgotten"], told["lines"], told["quarantined_lines"], len(told["drops"])) == (True, 2, 2, 1)
    assert not any("as they came" in one for one in told["still_in"])
    assert WHO.encode() not in everything(home)


def test_who_says_no_changes_nothing(home: Home, tmp_path: Path) -> None:
    """What would be done is shown first; without agreement not even the journal is written."""
    give(home, tmp_path, "a.csv", MONDAY, plain())
    before = everything(home)
    asked: list[int] = []

    def agreed(plan: Plan, _left: Remaining) -> bool:
        asked.append(len(plan.keys))
        return False

    _, _, done = forget(home, WHO, source=None, remove_raw=False, now=NOON, agreed=agreed)
    assert (done, asked) == (False, [1])
    assert everything(home) == before
    assert not (home.settings.home / "keys" / JOURNAL).exists()


@pytest.mark.parametrize("name", ["plain", "auto"])
def test_replayed_lines_are_forgotten_too(home: Home, tmp_path: Path, name: str) -> None:
    """A replay hides customers as the first reading did; its parts are rewritten, and its counts stay."""
    profile = plain() if name == "plain" else load_profile("auto")
    key = give(home, tmp_path, "a.csv", MONDAY, profile)
    without = {"order_id": "order_id", "item_name": "item_name", "customer_id": "customer_id"}
    other = SourceProfile.model_validate({"name": "mended", "columns": without})
    report = replay_lines(home, Selection(reason="invalid_quantity"), other, now=NOON, actor="a test")
    (replay,) = report.replays
    part = home.lake.path("order_lines", replay.key)
    assert (WHO.encode() in repr(rows(part)).encode()) == (name == "plain")
    make_all(home)
    before = figures(home)
    forget_anna(home)
    assert WHO.encode() not in everything(home)
    assert figures(home) == before
    assert rows(part)[0][7] == rows(home.lake.path("order_lines", key))[0][7]
    (entered,) = home.ledger.drops()[0].replays
    assert entered.lines_digest == file_digest(part)


def test_lines_whose_text_was_removed_are_left_alone(home: Home, tmp_path: Path) -> None:
    """What was kept long enough holds nothing to forget."""
    give(home, tmp_path, "a.csv", MONDAY, plain())
    expire(home, days=30, now=NOON + dt.timedelta(days=31))
    plan, _, done = forget_anna(home)
    assert (done, sum(plan.lines.values()), plan.others) == (True, 2, {})


# --------------------------------------------------------------------------------------------------------- read again
def stored(home: Home, key: str) -> tuple[Any, Any]:
    """The lines of a drop, accepted and not."""
    return rows(home.lake.path("order_lines", key)), rows(home.lake.path("quarantined_lines", key))


@pytest.mark.parametrize("name", ["plain", "auto", "till"])
def test_a_file_read_anew_names_nobody_who_was_forgotten(home: Home, tmp_path: Path, name: str) -> None:
    """Its partition materialized, or retracted and given again: the parts are those that forgetting had left."""
    profile = {"plain": plain(), "till": COMPOSITE}.get(name) or load_profile("auto")
    keys = [give(home, tmp_path, f"{n}.csv", text, profile) for n, text in (("a", MONDAY), ("b", TUESDAY))]
    make_all(home)
    forget_anna(home)
    before, parts = figures(home), [stored(home, key) for key in keys]
    ingest(home.ledger, keys, now=NOON, run_id="again")
    home.ledger.retract(keys[1], now=NOON, reason="a test")
    assert give(home, tmp_path, "b.csv", TUESDAY, profile) == keys[1]
    make_all(home)
    assert [stored(home, key) for key in keys] == parts
    assert figures(home) == before
    assert WHO.encode() not in everything(home)
    assert home.ledger.pseudonyms.of(WHO).encode() not in everything(home)


def test_an_export_that_overlaps_names_nobody_who_was_forgotten(home: Home, tmp_path: Path) -> None:
    """A later file with the same orders, in another encoding and dialect too; others in it stay as they are."""
    give(home, tmp_path, "a.csv", MONDAY, plain())
    forget_anna(home)
    (name,) = {row[7] for row in stored(home, home.ledger.drops()[0].key)[0]} - {"bob", None}
    path = tmp_path / "b.csv"
    lines = [f"8;PID;1;{WHO}", "8;Kit;1;bob", f'9;PID;x;"{WHO}"', f"9;Kit;{WHO}", f"9;Kit;x;{WHO} jr", f'9;"a;{WHO};b']
    path.write_bytes("\n".join([HEADER.strip().replace(",", ";"), *lines]).encode("utf-16"))
    (one,) = home.ledger.register([(path, plain())], now=NOON)
    assert one.drop is not None
    ingest(home.ledger, [one.drop.key], now=NOON, run_id="r")
    accepted, others = stored(home, one.drop.key)
    assert [row[7] for row in accepted] == [name, "bob"]
    raws = [row[2].decode("utf-16-le") for row in others]
    assert raws == [f'9;PID;x;"{name}"', f"9;Kit;{name}", f"9;Kit;x;{WHO} jr", f'9;"a;{name};b']
    _, left, done = forget_anna(home, raw=True)
    assert done, "the file that came since is known to have had the customer"
    assert not any("as they came" in one for one in left.sentences())
    assert [home.ledger.bytes_removed(drop.key) for drop in home.ledger.drops()] == [True, True]


def test_a_replay_names_nobody_who_was_forgotten(home: Home, tmp_path: Path) -> None:
    """Lines mended in an export from before or after, lines as they came, and lines that stay wrong."""
    for name in ("plain", "auto"):
        profile = plain() if name == "plain" else load_profile("auto")
        give(home, tmp_path, f"{name}.csv", MONDAY + f"9,{name},1,{WHO}\n", profile)
    drops = home.ledger.drops()

    def export(target: Path) -> None:
        text = io.StringIO(newline="")
        write_export(text, drops, lines(home.ledger, home.lake, drops, only_open=True))
        target.write_text(
            text.getvalue().replace('"x"', '"1"').replace(f'"5,PID,{WHO}"', f'"5,PID,{WHO},"'), newline=""
        )

    export(tmp_path / "before.csv")
    forget_anna(home)
    export(tmp_path / "after.csv")
    assert WHO in (tmp_path / "before.csv").read_text()
    assert WHO not in (tmp_path / "after.csv").read_text()
    for when in ("before", "after"):
        report = replay_file(home, tmp_path / f"{when}.csv", now=NOON, actor="a test")
        assert report.refused == []
        assert report.total("lines_accepted") == {"before": 4, "after": 0}[when]
    without = {"order_id": "order_id", "item_name": "item_name", "customer_id": "customer_id"}
    other = SourceProfile.model_validate({"name": "mended", "columns": without})
    replay_lines(home, Selection(), other, now=NOON, actor="a test")
    make_all(home)
    assert WHO.encode() not in everything(home)
    assert home.ledger.pseudonyms.of(WHO).encode() not in everything(home)
    names = {row[7] for path in home.lake.path("order_lines").parent.glob("*.parquet") for row in rows(path)}
    assert len({name for name in names if str(name).startswith(FORGOTTEN)}) == 1
    assert home.ledger.imbalances() == []


def test_rows_of_a_forgotten_customer_that_nobody_mended_stay_as_they_were(home: Home, tmp_path: Path) -> None:
    """An export from after the forgetting, given back untouched, is told as untouched."""
    give(home, tmp_path, "a.csv", MONDAY, plain())
    forget_anna(home)
    drops, text = home.ledger.drops(), io.StringIO(newline="")
    write_export(text, drops, lines(home.ledger, home.lake, drops, only_open=True))
    (tmp_path / "out.csv").write_text(text.getvalue(), newline="")
    report = replay_file(home, tmp_path / "out.csv", now=NOON, actor="a test")
    assert (report.unchanged, report.replays, report.refused) == (3, [], [])


def test_a_customer_of_another_source_is_read_with_the_name(home: Home, tmp_path: Path) -> None:
    """Who was forgotten in one source alone is somebody else in another."""
    till = SourceProfile.model_validate({"name": "till"})
    keys = [give(home, tmp_path, f"{p.name}.csv", f"1,{p.name},1,{WHO}\n", p) for p in (plain(), till)]
    forget(home, WHO, source="till", remove_raw=False, now=NOON, agreed=lambda _plan, _left: True)
    ingest(home.ledger, keys, now=NOON, run_id="again")
    assert [rows(home.lake.path("order_lines", key))[0][7] == WHO for key in keys] == [True, False]


def test_who_was_forgotten_before_a_file_is_read_is_never_named(home: Home, tmp_path: Path) -> None:
    """A customer whom no line names yet is remembered while files wait to be read, and not otherwise."""
    assert forget_anna(home)[2] is False
    (tmp_path / "a.csv").write_text(HEADER + MONDAY)
    (one,) = home.ledger.register([(tmp_path / "a.csv", plain())], now=NOON)
    assert one.drop is not None
    assert [forget_anna(home)[2] for _ in range(2)] == [True, False]
    ingest(home.ledger, [one.drop.key], now=NOON, run_id="r")
    make_all(home)
    assert WHO.encode() not in everything(home)
    assert home.ledger.drops()[0].lines_accepted == 4


def test_each_event_of_the_trail_is_looked_at_once(home: Home, tmp_path: Path) -> None:
    """Reading many drops does not go through the whole trail for each of them, and knows who was forgotten since."""
    key = give(home, tmp_path, "a.csv", MONDAY, plain())
    file = home.ledger.file(home.ledger.drops(keys=[key])[0])
    assert file.forgotten is not None
    asked: list[Any] = []

    def noted(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "details" in statement:
            asked.append([*parameters.values()] if isinstance(parameters, dict) else parameters)

    sa.event.listen(home.ledger.engine, "before_cursor_execute", noted)
    try:
        assert [file.forgotten.names("plain") for _ in range(3)] == [None] * 3
        assert len(asked) <= 1
        forget_anna(home)
        asked.clear()
        found = [file.forgotten.names("plain") for _ in range(3)]
        newest = home.ledger.file(home.ledger.drops(keys=[key])[0]).forgotten
        assert newest is file.forgotten, "all drops of a ledger ask the same"
        assert len(asked) == 1
        assert asked[0][0] > 0
    finally:
        sa.event.remove(home.ledger.engine, "before_cursor_execute", noted)
    assert all(one is not None and str(one.of_id(WHO)).startswith(FORGOTTEN) for one in found)


def test_the_orders_beside_snapshots_forget_too(home: Home, tmp_path: Path) -> None:
    """In the file of each snapshot, of a customer whose lines were forgotten before, and only of that customer."""
    give(home, tmp_path, "a.csv", f"mon,PID,1,{WHO}\nmon,Kit,1,{WHO}\nmon,PID,1,bob\n", COMPOSITE)
    make_all(home)
    orders, sids = home.lake.path("orders"), ["20240601T120000Z-00000001", "20240601T120000Z-00000002"]
    for sid in sids:
        keep_orders(home.lake, orders, sid)
    before = {sid: rows(home.lake.path(SERVED_ORDERS, sid)) for sid in sids}
    own = home.ledger.pseudonyms.of("bob")
    (bobs,) = {row[0] for row in before[sids[0]] if "bob" in row[0] or own in row[0]}
    (hers,) = {row[0] for row in before[sids[0]]} - {bobs}
    kept = home.lake.path(SERVED_ORDERS, sids[0]).read_bytes()
    assert forget_anna(home)[2]
    assert forget_anna(home)[2] is False
    home.lake.path(SERVED_ORDERS, sids[0]).write_bytes(kept)  # as an earlier version left it
    assert forget_anna(home)[2]
    (new,) = {order for order in pl.read_parquet(orders)["order_id"] if order.startswith(FORGOTTEN)}
    for sid in sids:
        with pytest.raises(OrderNotFound):
            order_items(home.lake, sid, hers)
        assert len(order_items(home.lake, sid, new)) == 2
        assert len(order_items(home.lake, sid, bobs)) == 1
        assert pl.read_parquet(home.lake.path(SERVED_ORDERS, sid))["order_id"].is_sorted()
