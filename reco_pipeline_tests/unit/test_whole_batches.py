"""Promises of what takes a whole batch to know: one file or many, in any order, read at once or not, it is the same."""

import datetime as dt
import io
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.audit.trail import Event, events
from reco.errors import DropError
from reco.orders import quarantine
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus
from reco.orders.mending import write_export
from reco.orders.orders import ORDERS, make_orders
from reco.orders.profiles import SourceProfile
from reco.orders.replay import replay_file
from reco.settings import Settings
from reco_pipeline_tests.model_tables import rows
from reco_pipeline_tests.reading import ReadDrop, read_files

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
HEADER = "order_id,item_id,quantity,status\n"
RULES: dict[str, Any] = {
    "duplicates": "exclude",
    "max_lines_per_order": 3,
    "excluded_status": {"column": "status", "values": ["void"], "whole_order": True, "if_present": True},
}
CANCELS: dict[str, Any] = {"cancelled": {"column": "order_id", "prefix": "C", "order_after_prefix": True}}
COUNTS = ("lines_read", "lines_accepted", "lines_excluded", "lines_quarantined", "lines_duplicate")


def profile(**rules: Any) -> SourceProfile:
    """A profile of the shop with these rules."""
    return SourceProfile.checked({"name": "shop", "rules": rules}, "a test")


def write(folder: Path, files: Iterable[Sequence[str]], header: str = HEADER) -> list[tuple[str, Path]]:
    """Files of these lines, by key."""
    found = []
    for n, lines in enumerate(files):
        path = folder / f"{n}-{len(list(folder.iterdir()))}.csv"
        path.write_text(header + "".join(one + "\n" for one in lines))
        found.append((f"drop-{n}", path))
    return found


def totals(read: dict[str, ReadDrop]) -> tuple[dict[str, int], Counter[str], Counter[tuple[Any, ...]]]:
    """Counts, reasons and accepted lines of all drops."""
    counts = {name: sum(getattr(one.result.counts, name) for one in read.values()) for name in COUNTS}
    reasons = sum((Counter(one.result.reasons) for one in read.values()), Counter())
    columns = ["order_id", "item_id", "quantity"]
    return counts, reasons, Counter(row for one in read.values() for row in one.accepted.select(columns).rows())


LINES = st.lists(
    st.builds(
        lambda *fields: ",".join(fields),
        st.sampled_from(["1", "2", "3", "4", "", "C1", "C2"]),
        st.sampled_from(["a", "b", '"a"', '"b\nb"']),
        st.sampled_from(["1", "2", "x"]),
        st.sampled_from(["", "", "", "void"]),
    )
    | st.just("1,a"),
    min_size=2,
    max_size=14,
)


@settings(max_examples=15)
@given(
    lines=LINES,
    chosen=st.sampled_from([("duplicates",), ("max_lines_per_order",), ("excluded_status",), tuple(RULES), ()]),
    cancels=st.booleans(),
    seed=st.integers(0, 99),
)
def test_one_file_or_many_give_the_same_counts(
    lines: list[str], chosen: tuple[str, ...], cancels: bool, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same lines in any order, in one file or several, in one scan or several, give the same totals and reasons."""
    folder, chance = tmp_path_factory.mktemp("split"), random.Random(seed)
    rules = profile(**{name: RULES[name] for name in chosen}, **(CANCELS if cancels else {}))
    whole = totals(read_files(write(folder, [lines]), folder, rules))
    files: list[list[str]] = [[] for _ in range(3)]
    for one in chance.sample(lines, len(lines)):
        chance.choice(files).append(one)
    split = write(folder, [some for some in files if some])
    assert totals(read_files(chance.sample(split, len(split)), folder, rules)) == whole
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reco.orders.reader.SCAN_BYTES", 1)
        assert totals(read_files(split, folder, rules)) == whole


def test_a_drop_read_alone_beside_its_batch_gives_the_same_parts(tmp_path: Path) -> None:
    """After a kill the rest is read, and later one drop again: neither changes a byte, and the first repeat is kept."""
    lines = ["1,a,1,", "2,a,1,", "2,b,1,", "3,a,1,", "4,a,1,"]
    files = write(tmp_path, [lines, [*lines, "3,c,1,void"], [*lines[1:], "2,d,1,", "2,e,1,", "5,a,1,"]])
    together = read_files(files[::-1], tmp_path, profile(**RULES))
    assert [together[key].result.counts.lines_duplicate for key, _ in files] == [0, 5, 4]
    assert [together[key].column("order_id") for key, _ in files] == [["1", "4"], [], ["5"]]
    for some in ([files[1]], files[:2], files[1:]):
        others = [one for one in files if one not in some]
        for key, read in read_files(some, tmp_path, profile(**RULES), beside=others).items():
            assert (read.digests, read.result.counts) == (together[key].digests, together[key].result.counts)


def test_a_file_without_the_status_loses_the_orders_that_another_leaves_out(tmp_path: Path) -> None:
    """What a rule says of a whole order holds in each file of the batch, whatever columns it has."""
    files = write(tmp_path, [["1,a,1,void", "2,a,1,"]]) + [
        ("other", path) for _, path in write(tmp_path, [["1,b,1", "2,b,1"]], "order_id,item_id,quantity\n")
    ]
    read = read_files(files, tmp_path, profile(excluded_status=RULES["excluded_status"]))
    assert [one.faults for one in read.values()] == [{2: "excluded_status"}, {2: "excluded_status"}]


def test_a_cancellation_is_left_out_with_the_order_it_names(tmp_path: Path) -> None:
    """Large or of a status: what takes units of such an order back goes with it, from whichever file of the batch."""
    bought = ["1,a,1,", "1,b,1,", "1,c,1,", "1,d,1,", "2,a,2,void", "3,a,1,"]
    back = ["C1,a,1,", "C2,a,1,", "C3,a,1,", "C4,a,1,"]
    for files in ([bought + back], [bought, back], [back, bought]):
        read = read_files(write(tmp_path, files), tmp_path, profile(**RULES | CANCELS))
        counts, reasons, accepted = totals(read)
        assert reasons == {"oversized_order": 5, "excluded_status": 2}
        assert accepted == {("3", "a", 1): 1, ("3", "a", -1): 1, ("4", "a", -1): 1}
        assert counts["lines_accepted"] == 3


def test_what_is_taken_back_makes_no_order_large(tmp_path: Path) -> None:
    """The limit is of lines bought: cancellations, many in one document too, and returns leave an order as it is."""
    bought = ["1,a,2,", "1,b,2,", "1,c,2,"]
    cancelled = [f"C1,{item},1," for item in "abcab"]
    whole = read_files(write(tmp_path, [[*bought, *cancelled]]), tmp_path, profile(max_lines_per_order=3, **CANCELS))
    assert totals(whole)[1] == {}
    returned = [f"1,{item},-1," for item in "abcab"]
    rules = profile(max_lines_per_order=3, returns="net")
    assert totals(read_files(write(tmp_path, [bought, returned]), tmp_path, rules))[1] == {}
    quarantined = profile(max_lines_per_order=3)
    reasons = totals(read_files(write(tmp_path, [bought, returned]), tmp_path, quarantined))[1]
    assert reasons == {"oversized_order": 8}, "without such a rule a quantity below zero is no return"


def test_the_status_of_a_cancellation_is_its_own(tmp_path: Path) -> None:
    """A void cancellation leaves out its own lines, and neither the order it names nor another cancellation of it."""
    rule = {"cancelled": {"column": "order_id", "prefix": "C", "order": "cancels"}, "returns": "net"}
    header = "order_id,item_id,quantity,status,cancels\n"
    lines = ["1,a,5,,", "C8,a,1,void,1", "C8,a,1,,1", "C9,a,1,,1"]
    rules = profile(excluded_status=RULES["excluded_status"], **rule)
    read = read_files(write(tmp_path, [lines], header), tmp_path, rules)
    assert read["drop-0"].faults == {3: "excluded_status", 4: "excluded_status"}
    assert read["drop-0"].column("quantity") == [5, -1]


def test_a_file_that_fails_decides_nothing(tmp_path: Path) -> None:
    """Lines of a file that cannot be used are no lines of the batch."""
    header = "order_id,item_id,unit_price,order_date\n"
    files = write(tmp_path, [["1,a,1,1/2/2024"]], header) + [
        ("other", path) for _, path in write(tmp_path, [["1,a,1,1/2/2024", "2,a,1,13/2/2024"]], header)
    ]
    read = read_files(files, tmp_path, profile(duplicates="exclude", max_lines_per_order=1))
    assert isinstance(read["drop-0"].result.error, DropError)
    assert read["other"].column("order_id") == ["1", "2"]


# ------------------------------------------------------------------------------------------------------ in the ledger
@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that has never seen a drop."""
    return open_home(Settings(home=tmp_path / "home"))


def give(home: Home, *texts: str) -> list[str]:
    """Takes files of these lines in as one batch; returns their keys."""
    paths = [home.settings.home.parent / f"{n}.csv" for n in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(HEADER + text)
    taken = home.ledger.register([(path, profile(**RULES)) for path in paths], now=NOON)
    return [one.drop.key for one in taken if one.drop]


def read(home: Home, *keys: str) -> None:
    """Reads these drops."""
    ingest(home.ledger, keys, now=NOON, run_id=None)


def units(home: Home) -> dict[tuple[str, str], int]:
    """What the orders hold."""
    make_orders(home.ledger, home.lake, now=NOON, run_id=None)
    return {(row[1], row[2]): row[3] for row in rows(home.lake.path(ORDERS))}


def states(home: Home) -> list[str]:
    """The states of the drops, by key."""
    return [drop.status.value for drop in home.ledger.drops()]


def test_batches_are_apart(home: Home) -> None:
    """A line of another batch is no repeat: it replaces the order, as ever."""
    for text in ("1,a,1,\n2,a,1,\n", "1,a,1,\n"):
        read(home, *give(home, text))
    assert [drop.lines_duplicate for drop in home.ledger.drops()] == [0, 0]
    assert units(home) == {("1", "a"): 1, ("2", "a"): 1}


def test_drops_read_one_by_one_are_one_batch(home: Home) -> None:
    """A run killed between two drops leaves what the next one finishes to the same counts."""
    keys = give(home, "1,a,1,\n2,a,1,\n", "1,a,1,\n3,a,1,void\n", "3,b,1,\n4,a,1,\n")
    for key in keys:
        read(home, key)
    assert [drop.reasons for drop in home.ledger.drops()] == [
        {},
        {"duplicate_line": 1, "excluded_status": 1},
        {"excluded_status": 1},
    ]
    assert units(home) == {("1", "a"): 1, ("2", "a"): 1, ("4", "a"): 1}


def test_what_a_retracted_drop_decided_is_read_anew(home: Home) -> None:
    """Lines that were left out because of it wait to be read again; drops it did not touch stay."""
    keys = give(home, "1,a,1,\n3,a,1,void\n", "1,a,1,\n3,b,1,\n", "4,a,1,\n")
    read(home, *keys)
    assert units(home) == {("1", "a"): 1, ("4", "a"): 1}
    home.ledger.retract(keys[0], now=NOON, reason="wrong")
    assert states(home) == ["retracted", "pending", "ingested"]
    (told,) = events(home.ledger.engine, event=Event.DROP_REOPENED)
    assert (told.drop_key, told.details["because"]) == (keys[1], keys[0])
    read(home, *(drop.key for drop in home.ledger.drops(status=DropStatus.PENDING)))
    assert units(home) == {("1", "a"): 1, ("3", "b"): 1, ("4", "a"): 1}


def test_a_drop_that_comes_to_count_later_decides_again(home: Home) -> None:
    """A failed drop that can be read at last leaves no line twice in its batch."""
    keys = give(home, "1,a,1,\n", "1,a,1,\n3,b,1,\n")
    folder = home.lake.raw_folder(keys[0])
    folder.rename(folder.with_name("away"))
    read(home, *keys)
    assert states(home) == ["failed", "ingested"]
    folder.with_name("away").rename(folder)
    read(home, keys[0])
    assert states(home) == ["ingested", "pending"]
    read(home, keys[1])
    assert [drop.lines_duplicate for drop in home.ledger.drops()] == [0, 1]


def test_a_mended_line_may_repeat_one_of_another_file(home: Home) -> None:
    """What was read first counts, wherever the mended line stands."""
    keys = give(home, "1,a,x,\n2,a,1,\n", "1,a,1,\n")
    read(home, *keys)
    out, target = home.settings.home.parent / "mend.csv", io.StringIO(newline="")
    drops = home.ledger.drops()
    write_export(target, drops, quarantine.lines(home.ledger, home.lake, drops, only_open=True))
    out.write_text(target.getvalue().replace('"x"', '"1"'), newline="")
    report = replay_file(home, out, now=NOON, actor="")
    assert (report.total("lines_accepted"), report.total("lines_excluded")) == (0, 1)
    assert units(home) == {("1", "a"): 1, ("2", "a"): 1}
    home.ledger.retract(keys[1], now=NOON, reason="wrong")
    assert [drop.lines_open for drop in home.ledger.drops()] == [1, 0], "nothing but that file had the line"
    assert replay_file(home, out, now=NOON, actor="").total("lines_accepted") == 1
    assert home.ledger.imbalances() == []
