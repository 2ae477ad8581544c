"""Promises of export and replay: what is mended comes in once, beside its order, and the sums hold at every step."""

import csv
import datetime as dt
import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from reco.audit.trail import Event, events
from reco.errors import UsageError
from reco.orders import quarantine
from reco.orders.again import ReplayReport
from reco.orders.forget import carry_out, finish, make_plan
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import Drop, DropStatus, inputs_digest
from reco.orders.mending import identity, write_export
from reco.orders.orders import ORDERS, make_orders
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.quarantine import Selection
from reco.orders.replay import replay_file, replay_lines
from reco.orders.retention import expire
from reco.settings import Settings

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
HEAD = "order_id,item_id,quantity,unit_price,order_date\n"
GOOD = "1,PID,1,5.00,2024-05-01\n1,Hose,2,1.50,2024-05-01\n2,PID,1,5.00,2024-05-02\n"
Edit = Callable[[dict[str, str]], None]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that has never seen a drop."""
    return open_home(Settings(home=tmp_path / "home"))


def take(home: Home, text: str | bytes, name: str = "orders.csv", profile: SourceProfile | str = "auto") -> Drop:
    """Takes a file of this text in and reads it."""
    path = home.settings.home.parent / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    taken = load_profile(profile) if isinstance(profile, str) else profile
    (one,) = home.ledger.register([(path, taken)], now=NOON)
    assert one.drop is not None
    (result,) = ingest(home.ledger, [one.drop.key], now=NOON, run_id=None)
    assert result.error is None
    return home.ledger.drops(keys=[one.drop.key])[0]


def profile(**parts: object) -> SourceProfile:
    """A profile of the shop with these parts."""
    return SourceProfile.checked({"name": "shop", **parts}, "a test")


def export(home: Home) -> str:
    """The export of the open lines, as text."""
    drops = home.ledger.drops(status=DropStatus.INGESTED)
    target = io.StringIO(newline="")
    write_export(target, drops, quarantine.lines(home.ledger, home.lake, drops, only_open=True))
    return target.getvalue()


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows of an export by column, cells as a spreadsheet shows them."""
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def save(home: Home, rows: Sequence[dict[str, str]], name: str = "mended.csv", **how: str) -> Path:
    """The rows as a person saves them."""
    target = io.StringIO(newline="")
    writer = csv.DictWriter(target, list(rows[0]), delimiter=how.get("delimiter", ","), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    path = home.settings.home.parent / name
    path.write_bytes(target.getvalue().encode(how.get("encoding", "utf-8-sig")))
    return path


def mend(home: Home, changes: dict[str, dict[str, str]], **how: str) -> Path:
    """The export with cells changed, by physical line."""
    rows = rows_of(export(home))
    for row in rows:
        row.update(changes.get(row["reco_physical_line"], {}))
    return save(home, rows, **how)


def replay(home: Home, path: Path) -> ReplayReport:
    """Replays a mended file."""
    report = replay_file(home, path, now=NOON, actor="a test")
    assert home.ledger.imbalances() == []
    return report


def order_rows(home: Home) -> set[tuple[str, str, int]]:
    """What the orders view makes of everything that counts."""
    make_orders(home.ledger, home.lake, now=NOON, run_id=None)
    frame = pl.read_parquet(home.lake.path(ORDERS))
    return set(frame.select("order_id", "item_id", "quantity").iter_rows())


def figures(report: ReplayReport) -> tuple[int, int, int, int]:
    """Lines given, accepted, excluded and still quarantined."""
    return tuple(  # type: ignore[return-value]
        report.total(f"lines_{name}") for name in ("given", "accepted", "excluded", "quarantined")
    )


def test_orders_that_a_replay_replaces_or_brings_too_late_are_news(home: Home) -> None:
    """Its lines stand in the batch of its drop: they replace an older order there, or give way to a newer one."""
    old = take(home, HEAD + "8,PID,1,9.00,2024-05-01\n9,Hose,x,9.00,2024-05-01\n", name="old.csv")
    new = take(home, HEAD + "8,Kit,x,9.00,2024-05-02\n9,Pump,1,9.00,2024-05-02\n", name="new.csv")
    order_rows(home)
    assert events(home.ledger.engine, event=Event.ORDERS_REPLACED) == []
    columns = {"order_id": "order_id", "item_id": "item_id"}
    bare = SourceProfile.model_validate({"name": "bare", "columns": columns})
    for number, (drop, order) in enumerate([(new, "8"), (old, "9")], start=1):
        assert figures(replay_lines(home, Selection(drop=drop.key), bare, now=NOON, actor="a test")) == (1, 1, 0, 0)
        for again in "ab":  # made again, it is no news
            make_orders(home.ledger, home.lake, now=NOON, run_id=f"{order}{again}")
        told = events(home.ledger.engine, event=Event.ORDERS_REPLACED)
        rows = pl.read_parquet(home.lake.path("replaced_orders", told[0].details["part"]))
        assert rows.select("order_id", "from_batch", "to_batch").rows() == [(order, 1, 2)]
        assert len(told) == number
    assert order_rows(home) == {("8", "Kit", 1), ("9", "Pump", 1)}


def test_a_mended_line_joins_the_rest_of_its_order(home: Home) -> None:
    """Its item stands beside the others of the order, the first counts stay, and what is left is still open."""
    drop = take(home, HEAD + GOOD + "2,Cal Kit,two,9.00,2024-05-02\n3,,1,2.00,2024-05-03\n")
    report = replay(home, mend(home, {"5": {"quantity": "2"}}))
    assert figures(report) == (1, 1, 0, 0)
    assert (report.unchanged, report.known, report.refused) == (1, 0, [])
    after = home.ledger.drops(keys=[drop.key])[0]
    assert (after.lines_read, after.lines_accepted, after.lines_quarantined) == (5, 3, 2)
    assert after.lines_open == 1
    assert order_rows(home) == {("1", "PID", 1), ("1", "Hose", 2), ("2", "PID", 1), ("2", "Cal Kit", 2)}
    (counts,) = quarantine.counts(home.ledger, home.lake, Selection())
    assert [(one.reason, one.lines, one.replayed, one.open) for one in counts.reasons] == [
        ("invalid_quantity", 1, 1, 0),
        ("missing_item", 1, 0, 1),
    ]
    event = events(home.ledger.engine, event=Event.LINES_REPLAYED)[0]
    assert (event.drop_key, event.details["lines_accepted"]) == (drop.key, 1)


def test_the_same_file_again_changes_nothing(home: Home) -> None:
    """It is told as known; so is a line that another file mends a second time."""
    take(home, HEAD + GOOD + "2,Cal Kit,two,9.00,2024-05-02\n3,Hose,0,2.00,2024-05-03\n")
    path = mend(home, {"5": {"quantity": "2"}, "6": {"quantity": "none"}})
    other = mend(home, {"5": {"quantity": "7"}}, name="other.csv")
    assert figures(replay(home, path)) == (2, 1, 0, 1)
    before = (order_rows(home), inputs_digest(home.ledger.drops()))
    again = replay(home, path)
    assert (figures(again), again.known, again.replays) == ((0, 0, 0, 0), 2, [])
    assert replay(home, other).known == 1
    assert (order_rows(home), inputs_digest(home.ledger.drops())) == before


def test_a_line_that_is_still_wrong_says_why_and_can_be_tried_again(home: Home) -> None:
    """The report has the new reason; another file with the right value settles the line."""
    take(home, HEAD + GOOD + ",Cal Kit,two,9.00,2024-05-02\n")
    first = replay(home, mend(home, {"5": {"order_id": "2"}}))
    assert [(one.line, one.reason, one.value) for one in first.still] == [(5, "invalid_quantity", "two")]
    assert figures(replay(home, mend(home, {"5": {"order_id": "2", "quantity": "3"}}))) == (1, 1, 0, 0)
    assert ("2", "Cal Kit", 3) in order_rows(home)
    assert home.ledger.drops()[0].lines_open == 0


def test_a_replay_makes_the_model_stale_and_a_vain_one_does_not(home: Home) -> None:
    """What the model is made of changes with accepted lines only."""
    take(home, HEAD + GOOD + "2,Cal Kit,two,9.00,2024-05-02\n")
    digest = inputs_digest(home.ledger.drops())
    replay(home, mend(home, {"5": {"quantity": "zwei"}}))
    assert inputs_digest(home.ledger.drops()) == digest
    replay(home, mend(home, {"5": {"quantity": "2"}}))
    assert inputs_digest(home.ledger.drops()) != digest


def test_structural_faults_are_mended_as_text_or_as_cells(home: Home) -> None:
    """A line without fields stands as it came: its text is mended, or its columns are filled in."""
    broken = '3,PID,1\n4,"Cal Kit,1,2.00,2024-05-03\n5,Hose,1,1.50,2024-05-03,x\n6,PID\n'
    take(home, HEAD + GOOD + broken)
    assert [row["reco_raw"] for row in rows_of(export(home))] == [
        "'3,PID,1",
        "'4,\"Cal Kit,1,2.00,2024-05-03",
        "'5,Hose,1,1.50,2024-05-03,x",
        "'6,PID",
    ]
    cells = {"order_id": "3", "item_id": 'PID, "new"', "quantity": "1", "unit_price": "5", "order_date": "2024-05-03"}
    report = replay(
        home,
        mend(
            home,
            {
                "5": cells,
                "6": {"reco_raw": '4,"Cal Kit",1,2.00,2024-05-03'},
                "7": {"reco_raw": '5,"Hose,1,1.50,2024-05-03'},
            },
        ),
    )
    assert (figures(report), report.unchanged) == ((3, 2, 0, 1), 1)
    assert [(one.line, one.reason) for one in report.still] == [(7, "unbalanced_quote")]
    assert {("3", 'PID, "new"', 1), ("4", "Cal Kit", 1)} <= order_rows(home)


def test_a_mended_line_knows_how_its_file_writes_dates(home: Home) -> None:
    """A date that two formats fit alone is read as the other lines of its drop show."""
    slashed = "1,PID,1,5.00,5/13/2024\n2,Cal Kit,x,9.00,5/2/2024\n"
    take(home, HEAD + slashed)
    assert replay(home, mend(home, {"3": {"quantity": "1"}})).total("lines_accepted") == 1
    (part,) = (replay.key for replay in home.ledger.drops()[0].replays)
    assert pl.read_parquet(home.lake.path("order_lines", part))["ordered_at"].dt.day().to_list() == [2]


@pytest.mark.parametrize("before", [False, True])
def test_rules_of_the_whole_drop_hold_for_mended_lines(home: Home, *, before: bool) -> None:
    """A mended line that repeats an accepted one is excluded, wherever it stands."""
    shop = profile(rules={"duplicates": "exclude"})
    bad = "1,PID,one,5.00,2024-05-01\n"
    take(home, HEAD + (bad + GOOD if before else GOOD + bad), profile=shop)
    report = replay(home, mend(home, {"2" if before else "5": {"quantity": "1"}}))
    assert figures(report) == (1, 0, 1, 0)
    assert order_rows(home) == {("1", "PID", 1), ("1", "Hose", 2), ("2", "PID", 1)}
    assert home.ledger.drops()[0].lines_open == 0


def test_large_orders_stay_out_when_lines_are_mended(home: Home) -> None:
    """The limit counts the lines as mended, each once."""
    shop = profile(rules={"max_lines_per_order": 2})
    take(home, HEAD + "1,PID,1,1,2024-05-01\n1,Hose,x,1,2024-05-01\n,Kit,1,1,2024-05-01\n", profile=shop)
    path = mend(home, {"3": {"quantity": "1"}, "4": {"order_id": "1"}})
    assert figures(replay(home, path)) == (2, 0, 2, 0)
    assert order_rows(home) == {("1", "PID", 1)}


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (HEAD + "1,Möhre,1,1,2024-05-01\n1,Käse,x,1,2024-05-01\n", "cp1252"),
        (HEAD.replace("\n", "\r\n") + "1,Möhre,1,1,2024-05-01\r\n1,Käse,x,1,2024-05-01", "utf-16"),
        (HEAD + "1,Möhre,1,1,2024-05-01\n1,Käse,x,1,2024-05-01", "utf-8-sig"),
        ((HEAD + "1,Möhre,1,1,2024-05-01\n1,Käse,x,1,2024-05-01\n").replace("\n", "\r"), "utf-8"),
    ],
)
def test_files_of_any_encoding_are_mended(home: Home, text: str, encoding: str) -> None:
    """The mended text may hold what the file's own encoding does not know."""
    take(home, text.encode(encoding))
    (row,) = rows_of(export(home))
    assert row["item_id"] == "Käse"
    replay(home, mend(home, {"3": {"quantity": "2", "item_id": "チーズ"}}))
    assert order_rows(home) == {("1", "Möhre", 1), ("1", "チーズ", 2)}


@pytest.mark.parametrize(("delimiter", "encoding"), [(";", "cp1252"), ("\t", "utf-16"), (",", "utf-8")])
def test_files_as_spreadsheets_save_them(home: Home, delimiter: str, encoding: str) -> None:
    """The way back may have another delimiter and encoding than the way out."""
    take(home, HEAD + "1,Käse,x,1.25,2024-05-01\n1,Brot,1,1,2024-05-01\n")
    path = mend(home, {"2": {"quantity": "2"}}, delimiter=delimiter, encoding=encoding)
    assert figures(replay(home, path)) == (1, 1, 0, 0)
    assert ("1", "Käse", 2) in order_rows(home)


def test_pseudonyms_and_forgetting_reach_replayed_lines(home: Home) -> None:
    """Both ways of replaying put pseudonyms where the drop has them; forgetting a customer rewrites replays too."""
    shop = profile(privacy={"pseudonymise": True}, dialect={"encoding": "utf-16"})
    head = "order_id,item_id,quantity,customer_id\n"
    take(home, (head + "1,PID,1,ann\n1,Hose,x,ann\n2,,2,ann\n2,,y,ann\n").encode("utf-16"), profile=shop)
    changes = {"3": {"quantity": "2"}, "5": {"quantity": "z"}}
    assert figures(replay(home, mend(home, changes))) == (2, 1, 0, 1)
    other = profile(columns={"order_id": "order_id", "item_id": "quantity", "customer_id": "customer_id"})
    report = replay_lines(home, Selection(reason="missing_item"), other, now=NOON, actor="")
    assert report.total("lines_accepted") == 2
    keys = [one.key for one in home.ledger.drops()[0].replays]
    parts = [pl.read_parquet(home.lake.path("order_lines", key)) for key in keys]
    assert set(pl.concat(parts)["customer_id"]) == {home.ledger.pseudonyms.of("ann")}
    plan = make_plan(home, "ann")
    carry_out(home, plan, now=NOON)
    finish(home, plan, now=NOON)
    parts = [pl.read_parquet(home.lake.path("order_lines", key)) for key in keys]
    assert set(pl.concat(parts)["customer_id"]) == {plan.name}
    (still,) = pl.read_parquet(home.lake.path("quarantined_lines", keys[0]))["raw"]
    assert b"ann" not in still
    assert home.ledger.imbalances() == []


def test_a_customer_is_forgotten_where_text_has_expired(home: Home) -> None:
    """Lines whose text is gone hold nobody; the others are rewritten."""
    take(home, "order_id,item_id,quantity,customer_id\n1,PID,1,ann\n1,Hose,x,ann\n")
    expire(home, days=0, now=NOON + dt.timedelta(days=1))
    plan = make_plan(home, "ann")
    carry_out(home, plan, now=NOON)
    finish(home, plan, now=NOON)
    assert (sum(plan.lines.values()), sum(plan.others.values())) == (1, 0)


def test_packed_files_are_mended(home: Home) -> None:
    """The mended lines are read among those that the archive holds."""
    take(home, gzip.compress((HEAD + "1,PID,1,1,2024-05-01\n1,Hose,x,1,2024-05-01\n").encode()), "orders.csv.gz")
    replay(home, mend(home, {"3": {"quantity": "2"}}))
    assert order_rows(home) == {("1", "PID", 1), ("1", "Hose", 2)}


def test_a_file_without_a_last_line_end_is_mended(home: Home) -> None:
    """The mended line does not run into the last one."""
    take(home, HEAD + "1,PID,x,1,2024-05-01\n1,Hose,1,1,2024-05-01")
    replay(home, mend(home, {"2": {"quantity": "2"}}))
    assert order_rows(home) == {("1", "PID", 2), ("1", "Hose", 1)}


def test_a_quote_left_open_swallows_no_mended_line(home: Home) -> None:
    """Broken lines that were not mended, at the end of the file too, change nothing for those that were."""
    take(home, 'order_id,item_id,note\n1,PID,\n,Hose,\n2,"Kit\n')
    path = mend(home, {"3": {"order_id": "1", "item_id": "Hose", "note": ',x"'}})
    assert figures(replay(home, path)) == (1, 1, 0, 0)
    assert order_rows(home) == {("1", "PID", 1), ("1", "Hose", 1)}
    assert home.ledger.drops()[0].lines_open == 1


def test_mended_text_is_one_record(home: Home) -> None:
    """Text that would be two, or a cell that an unquoted file cannot hold, leaves the line quarantined."""
    take(home, HEAD + GOOD + "3,PID\n")
    report = replay(home, mend(home, {"5": {"reco_raw": "3,PID,1,1,2024-05-01\n4,PID,1,1,2024-05-01"}}))
    assert [one.reason for one in report.still] == ["too_many_fields"]
    unquoted = profile(dialect={"quote": "", "delimiter": "|"})
    take(home, HEAD.replace(",", "|") + "8|PID|x|1|2024-05-01\n8|Hose|1|1|2024-05-01\n", "pipes.csv", unquoted)
    piped = replay(home, mend(home, {"2": {"quantity": "1", "item_id": "a|b"}}, name="a.csv"))
    assert [one.reason for one in piped.still] == ["too_many_fields"]
    assert figures(replay(home, mend(home, {"2": {"quantity": "1", "item_id": 'a "b"'}}, name="b.csv"))) == (1, 1, 0, 0)
    assert ("8", 'a "b"', 1) in order_rows(home)


def test_a_drop_whose_bytes_are_gone_is_refused(home: Home) -> None:
    """Both ways of replaying name the drop, and nothing is entered."""
    drop = take(home, HEAD + GOOD + "2,Kit,x,1,2024-05-01\n")
    path = mend(home, {"5": {"quantity": "1"}})
    home.ledger.file(drop).path.unlink()
    for report in (replay(home, path), replay_lines(home, Selection(), load_profile("auto"), now=NOON, actor="")):
        assert report.replays == []
        assert "not in the lake" in report.refused[0].why


def test_lines_that_are_not_quarantined_are_refused(home: Home) -> None:
    """So are rows of a drop that this home does not know, and rows from which everything was removed."""
    drop = take(home, HEAD + GOOD + "2,Kit,x,1,2024-05-01\n3,PID\n")
    good, empty = rows_of(export(home))
    empty["reco_raw"] = " "
    accepted = good | {"reco_line": identity(drop, 2)}
    unknown = good | {"reco_line": identity(replace(drop, key="other-123456789abc"), 5)}
    report = replay(home, save(home, [accepted, unknown, empty]))
    assert [one.why.split(":")[0] for one in sorted(report.refused, key=lambda one: one.row or 0)] == [
        f"this line of {drop.key} is not quarantined",
        "this home knows no drop other-123456789abc",
        "it is empty",
    ]


def test_records_of_several_lines_move_no_other(home: Home) -> None:
    """A record that takes more or fewer lines than before is still known by its first line."""
    take(home, HEAD + '1,"a\nb",x,1,2024-05-01\n1,c,1,1,2024-05-01\n1,d,y,1,2024-05-01\n')
    path = mend(home, {"2": {"quantity": "1", "item_id": "a"}, "5": {"quantity": "2", "item_id": "d\ne\nf"}})
    assert figures(replay(home, path)) == (2, 2, 0, 0)
    assert order_rows(home) == {("1", "a", 1), ("1", "c", 1), ("1", "d\ne\nf", 2)}
    (replayed,) = home.ledger.drops()[0].replays
    assert pl.read_parquet(home.lake.path("order_lines", replayed.key))["line"].to_list() == [2, 5]


def test_rows_that_cannot_be_taken_are_refused_and_the_others_go_on(home: Home) -> None:
    """Each with its own reason: a changed identity, one that stands twice, one that is none, text without a column."""
    take(home, HEAD + GOOD + "".join(f"{n},Kit,x,1,2024-05-01\n" for n in range(5)))
    rows = rows_of(export(home))
    for row in rows:
        row["quantity"] = "1"
    good, changed, twice, beyond, foreign = rows
    changed["reco_line"] = changed["reco_line"].replace(":6:", ":7:")
    foreign["reco_line"] = "nothing"
    path = save(home, [good, changed, twice, dict(twice), foreign])
    with path.open("a", encoding="utf-8", newline="") as file:
        file.write(",".join(beyond.values()) + ",and more\r\n")
    report = replay(home, path)
    assert figures(report) == (1, 1, 0, 0)
    whys = {one.row: one.why for one in report.refused}
    assert {row: why.split(":")[0] for row, why in whys.items()} == {
        3: "its reco_line is not as it was exported",
        4: "its reco_line stands in several rows",
        5: "its reco_line stands in several rows",
        6: "its reco_line is not as it was exported",
        7: "it has text beyond the last column",
    }


def test_a_file_that_lost_a_column_is_refused(home: Home) -> None:
    """A missing column is not taken for an empty one; a file that is no export is an error."""
    take(home, HEAD + GOOD + "2,Kit,x,1,2024-05-01\n")
    rows = rows_of(export(home))
    for row in rows:
        del row["quantity"]
    assert "no column 'quantity'" in replay(home, save(home, rows)).refused[0].why
    with pytest.raises(UsageError, match="columns of an export"):
        replay(home, save(home, [{"order_id": "1", "item_id": "PID"}]))
    with pytest.raises(UsageError, match="cannot be read"):
        replay(home, home.settings.home / "nothing.csv")


def test_retracting_a_drop_takes_its_replays_along(home: Home) -> None:
    """A retracted drop's rows are refused; given again it is read anew, and rows of the old export do not fit."""
    text = HEAD + GOOD + "2,Kit,x,1,2024-05-01\n"
    drop = take(home, text)
    path = mend(home, {"5": {"quantity": "1"}})
    replay(home, path)
    home.ledger.retract(drop.key, now=NOON, reason="a test")
    assert order_rows(home) == set()
    assert "retracted" in replay(home, path).refused[0].why
    assert events(home.ledger.engine, event=Event.REPLAY_VOIDED)[0].details["reason"] == "the drop was retracted"
    again = take(home, text)
    assert (again.replays, again.lines_open) == ((), 1)
    assert "given again since the export" in replay(home, path).refused[0].why
    assert figures(replay(home, mend(home, {"5": {"quantity": "4"}}))) == (1, 1, 0, 0)
    assert ("2", "Kit", 4) in order_rows(home)
    assert home.ledger.drops()[0].replays[0].key == f"{drop.key}.r2"


def test_reading_a_drop_anew_keeps_replays_that_fit(home: Home) -> None:
    """Materializing the partition again changes nothing; where other lines are quarantined then, replays are void."""
    drop = take(home, HEAD + GOOD + "2,Kit,x,1,2024-05-01\n3,Kit,1,1,2024-06-20\n")
    replay(home, mend(home, {"5": {"quantity": "1"}}))
    ingest(home.ledger, [drop.key], now=NOON, run_id=None)
    assert len(home.ledger.drops()[0].replays) == 1
    replay(home, mend(home, {"6": {"order_date": "2024-05-20"}}))
    ingest(home.ledger, [drop.key], now=NOON + dt.timedelta(days=60), run_id=None)  # line 6 is no longer ahead of time
    assert home.ledger.drops()[0].replays == ()
    assert home.ledger.imbalances() == []
    assert ("3", "Kit", 1) in order_rows(home)


def test_another_profile_takes_lines_in_as_they_came(home: Home) -> None:
    """Open lines of the selection are read with its mapping and rules, and unite with their orders; once."""
    drop = take(home, HEAD.replace("quantity", "Menge") + GOOD + '2,Kit,"1,0",1,2024-05-01\n3,,1,1,2024-05-01\n')
    assert drop.lines_quarantined == 1
    other = profile(columns={"order_id": "order_id", "item_id": ["item_id", "unit_price"][0], "quantity": "Menge"})
    report = replay_lines(home, Selection(), other, now=NOON, actor="a test")
    assert (report.replays, [one.line for one in report.still]) == ([], [6])
    named = profile(columns={"order_id": "order_id", "item_id": "unit_price"})
    report = replay_lines(home, Selection(reason="missing_item"), named, now=NOON, actor="a test")
    assert figures(report) == (1, 1, 0, 0)
    assert ("3", "1", 1) in order_rows(home)
    assert set(pl.read_parquet(home.lake.path(ORDERS))["source"]) == {"auto"}
    assert replay_lines(home, Selection(), named, now=NOON, actor="a test") == ReplayReport()
    assert home.ledger.imbalances() == []


def test_a_profile_that_does_not_fit_is_refused(home: Home) -> None:
    """The drop is named with what is missing, and nothing is entered."""
    drop = take(home, HEAD + GOOD + "2,Kit,x,1,2024-05-01\n")
    missing = profile(columns={"order_id": "Bestellung", "item_id": "item_id"})
    report = replay_lines(home, Selection(), missing, now=NOON, actor="a test")
    assert (report.refused[0].line, report.replays) == (drop.key, [])
    assert "no column 'Bestellung'" in report.refused[0].why
    with pytest.raises(UsageError, match="is no reason"):
        replay_lines(home, Selection(reason="nonsense"), missing, now=NOON, actor="a test")


def test_a_broken_replay_is_an_imbalance(home: Home) -> None:
    """A part that is gone, or has a line that is not open, shows in the blocking check."""
    drop = take(home, HEAD + GOOD + "2,Kit,x,1,2024-05-01\n")
    replay(home, mend(home, {"5": {"quantity": "1"}}))
    path = home.lake.path("order_lines", f"{drop.key}.r1")
    frame = pl.read_parquet(path)
    frame.with_columns(line=pl.lit(2, pl.Int64)).write_parquet(path)
    (wrong,) = home.ledger.imbalances()
    assert "1 lines quarantined, of which 1 were accepted and 0 excluded by replays and 1 are open" in wrong.message
    path.unlink()
    (wrong,) = home.ledger.imbalances()
    assert "replay" in wrong.message
    assert "no file accepted" in wrong.message


def test_several_drops_are_mended_in_one_file(home: Home) -> None:
    """Each drop keeps its own columns and gets its own replay; equal names of columns are told apart."""
    take(home, HEAD + GOOD + "2,Kit,x,1,2024-05-01\n", "a.csv")
    take(home, "note,order_id,note,item_name\n=1+1,7,b,\nx,7,y,PID\n", "b.csv")
    rows = rows_of(export(home))
    assert [row["note (2)"] for row in rows] == ["", "b"]
    assert rows[1]["note"] == "'=1+1"
    rows[0]["quantity"], rows[1]["item_name"] = "1", "Hose"
    report = replay(home, save(home, rows))
    assert figures(report) == (2, 2, 0, 0)
    assert len(report.replays) == 2
    assert {("2", "Kit", 1), ("7", "Hose", 1)} <= order_rows(home)


def test_what_only_stands_for_something_never_becomes_data(home: Home) -> None:
    """A row is refused while an escape, a shortened text or a lost letter is in it, and taken once it is put right."""
    long = "x" * 40_000
    body = b"3,caf\xe9,1,1,2024-05-01\n" + f"4,{long},1,2024-05-01\n5,H\u00f6se,none,1,2024-05-01\n".encode()
    take(home, (HEAD + GOOD + "2,日,1,1,2024-05-01\n" * 3).encode() + body)
    rows = {row["reco_physical_line"]: row for row in rows_of(export(home))}
    assert rows["8"]["reco_raw"] == "'3,caf\\xe9,1,1,2024-05-01"
    half = {"8": {"reco_raw": r"3,caf\xe9,2,1,2024-05-01"}, "9": {"reco_raw": rows["9"]["reco_raw"] + "!"}}
    report = replay(home, mend(home, half | {"10": {"item_id": "H\ufffdse", "quantity": "1"}}))
    assert figures(report) == (0, 0, 0, 0)
    whys = [refused.why for refused in report.refused]
    expected = (r"still has \xe9", "shown shortened", "letter that was lost")
    assert [part in why for part, why in zip(expected, whys, strict=True)] == [True] * 3
    cells = {"order_id": "4", "item_id": "Hose", "quantity": "1", "unit_price": "1", "order_date": "2024-05-01"}
    whole = {"8": {"reco_raw": "3,café,2,1,2024-05-01"}, "9": cells, "10": {"quantity": "1"}}
    assert figures(replay(home, mend(home, whole))) == (3, 3, 0, 0)
    assert {("3", "café", 2), ("4", "Hose", 1), ("5", "Höse", 1)} <= order_rows(home)


def test_columns_with_other_delimiters_in_their_names_come_back(home: Home) -> None:
    """The delimiter of a mended file is the one behind its first column, whatever stands in the names of others."""
    take(home, 'order_id,item_id,quantity,"a;b;c;d;e;f;g;h;i;j;k;l;m;=1"\n1,A,1,x\n2,B,none,";=1+1\t@x"\n')
    assert "m;'=1" in export(home).splitlines()[0]
    assert figures(replay(home, mend(home, {"3": {"quantity": "2"}}))) == (1, 1, 0, 0)
