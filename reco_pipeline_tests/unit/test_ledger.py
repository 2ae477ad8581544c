"""Promises of the ledger of drops: identity by content, one batch at a time, counts that add up or say where not."""

import datetime as dt
from pathlib import Path

import pytest

from reco.audit.trail import Event, events
from reco.errors import DropEmpty, DropMissing, LakeError, UsageError
from reco.orders.files import find_files, partition_key
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus, Seen, inputs_digest
from reco.orders.outcomes import enter_failure
from reco.orders.profiles import load_profile
from reco.settings import Settings

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
LINES = "order_id,item_name\n1,PID\n1,Hose\n2,PID\n"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home that has never seen a drop."""
    return open_home(Settings(home=tmp_path / "home"))


def give(home: Home, *paths: Path) -> list[Seen]:
    """Registers files with the prototype's profile."""
    profile = load_profile("prototype")
    return [one.seen for one in home.ledger.register([(path, profile) for path in paths], now=NOON)]


def write(folder: Path, name: str, text: str = LINES) -> Path:
    """A file of these lines."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("Orders 2024.csv", "orders-2024"),
        ("a/b/Bestellungen März.CSV.gz", "bestellungen-marz"),
        ("…/...csv", "drop"),
        ("注文.csv", "drop"),
        ("x" * 300 + ".csv", "x" * 60),
        ("a...b--c.tsv", "a-b-c"),
    ],
)
def test_partition_keys_are_plain(name: str, stem: str) -> None:
    """A key is the plain stem and the start of the hash, whatever the name."""
    assert partition_key(name, "ab" * 32) == f"{stem}-abababababab"


def test_the_same_content_is_one_drop(home: Home, tmp_path: Path) -> None:
    """Another name changes nothing; other content under the same name is a new drop."""
    first = write(tmp_path, "orders.csv")
    assert give(home, first) == [Seen.NEW]
    assert give(home, write(tmp_path, "copy.csv"), first) == [Seen.KNOWN, Seen.KNOWN]
    assert give(home, write(tmp_path, "orders.csv", LINES + "3,Hose\n")) == [Seen.NEW]
    assert [drop.name for drop in home.ledger.drops()] == ["orders.csv", "orders.csv"]


def test_the_same_content_twice_in_one_batch_is_one_drop(home: Home, tmp_path: Path) -> None:
    """Two copies given together are entered once."""
    assert give(home, write(tmp_path, "a.csv"), write(tmp_path, "b.csv")) == [Seen.NEW, Seen.KNOWN]


def test_the_bytes_are_kept_as_they_came(home: Home, tmp_path: Path) -> None:
    """The lake holds the drop's exact bytes after the shop's file is gone."""
    path = tmp_path / "orders.csv"
    path.write_bytes(b"\xef\xbb\xbforder_id,item_name\r\n1,P\x00ID\r\n")
    give(home, path)
    whole = path.read_bytes()
    path.unlink()
    file = home.ledger.file(home.ledger.drops()[0])
    assert file.path.read_bytes() == whole


def test_files_given_together_are_one_batch(home: Home, tmp_path: Path) -> None:
    """The batch number rises by one with each giving that brings something."""
    give(
        home,
        write(tmp_path, "a.csv", "order_id,item_name\n1,a\n"),
        write(tmp_path, "b.csv", "order_id,item_name\n1,b\n"),
    )
    give(home, write(tmp_path, "c.csv", "order_id,item_name\n1,c\n"))
    assert [(drop.name, drop.batch) for drop in home.ledger.drops()] == [("a.csv", 1), ("b.csv", 1), ("c.csv", 2)]


def test_a_missing_file_is_refused_and_the_others_go_on(home: Home, tmp_path: Path) -> None:
    """What is not there is refused by name, in the result and in the trail."""
    good, absent = write(tmp_path, "good.csv"), tmp_path / "absent.csv"
    found = home.ledger.register([(absent, load_profile("auto")), (good, load_profile("auto"))], now=NOON)
    assert [one.seen for one in found] == [Seen.REFUSED, Seen.NEW]
    assert isinstance(found[0].error, DropMissing)
    assert "absent.csv" in str(found[0].error)
    assert events(home.ledger.engine, event=Event.DROP_REFUSED)[0].details["name"] == "absent.csv"


def test_ingesting_enters_counts_and_they_add_up(home: Home, tmp_path: Path) -> None:
    """After reading, the ledger has the counts and no imbalance."""
    give(home, write(tmp_path, "orders.csv", LINES + "3,\n4,PID,extra\n"))
    (result,) = ingest(home.ledger, [home.ledger.drops()[0].key], now=NOON, run_id="r1")
    (drop,) = home.ledger.drops()
    assert (drop.status, drop.run_id) == (DropStatus.INGESTED, "r1")
    assert (drop.lines_read, drop.lines_accepted, drop.lines_quarantined) == (5, 3, 2)
    assert drop.reasons == result.reasons == {"missing_item": 1, "too_many_fields": 1}
    assert home.ledger.imbalances() == []
    assert [e.event for e in events(home.ledger.engine)] == [Event.DROP_INGESTED, Event.DROP_SEEN]


@pytest.mark.parametrize("name", ["order_lines", "quarantined_lines"])
def test_lost_rows_are_an_imbalance(home: Home, tmp_path: Path, name: str) -> None:
    """A part that is gone from the lake is found, by drop and with the three counts; a damaged one is an error."""
    give(home, write(tmp_path, "orders.csv", LINES + "3,\n"))
    (key,) = [drop.key for drop in home.ledger.drops()]
    ingest(home.ledger, [key], now=NOON, run_id=None)
    home.lake.path(name, key).write_bytes(b"PAR1 not really")
    with pytest.raises(LakeError, match=key):
        home.ledger.imbalances()
    home.lake.path(name, key).unlink()
    (wrong,) = home.ledger.imbalances()
    assert wrong.key == key
    assert "orders.csv: 4 lines read" in wrong.message
    assert "no file" in wrong.message


def test_a_failed_drop_can_be_given_again(home: Home, tmp_path: Path) -> None:
    """Its content is not refused as known: a person may have mended the profile."""
    path = write(tmp_path, "orders.csv")
    give(home, path)
    (drop,) = home.ledger.drops()
    enter_failure(home.ledger, drop.key, DropEmpty("orders.csv is empty."), now=NOON)
    assert home.ledger.drops()[0].error_code == "drop_empty"
    assert give(home, path) == [Seen.AGAIN]
    again = home.ledger.drops()[0]
    assert (again.status, again.error, again.batch) == (DropStatus.PENDING, None, 2)


def test_a_drop_whose_bytes_are_gone_says_so(home: Home, tmp_path: Path) -> None:
    """Lost raw bytes are an error with a next step; giving the file again brings them back."""
    path = write(tmp_path, "orders.csv")
    give(home, path)
    file = home.ledger.file(home.ledger.drops()[0])
    file.path.unlink()
    with pytest.raises(DropMissing, match="not in the lake"):
        home.ledger.file(home.ledger.drops()[0])
    assert give(home, path) == [Seen.KNOWN]
    assert home.ledger.file(home.ledger.drops()[0]).path.exists()


def test_retract_needs_one_drop(home: Home, tmp_path: Path) -> None:
    """A name that fits several drops, or none, changes nothing; a retracted one cannot be retracted again."""
    give(home, write(tmp_path, "a.csv"))
    give(home, write(tmp_path, "x/a.csv", LINES + "9,PID\n"))
    for name in ("a.csv", "nothing"):
        with pytest.raises(UsageError, match="name"):
            home.ledger.retract(name, now=NOON, reason="")
    key = home.ledger.drops()[0].key
    assert home.ledger.retract(key, now=NOON, reason="wrong").status is DropStatus.RETRACTED
    with pytest.raises(UsageError, match="already"):
        home.ledger.retract(key, now=NOON, reason="")
    details = events(home.ledger.engine, event=Event.DROP_RETRACTED)[0].details
    assert (details["reason"], details["before"]) == ("wrong", "pending")


def test_the_inputs_digest_knows_what_matters(home: Home, tmp_path: Path) -> None:
    """It changes with the drops, their state and the settings, and not with the time."""
    give(home, write(tmp_path, "orders.csv"))
    key = home.ledger.drops()[0].key
    ingest(home.ledger, [key], now=NOON, run_id="r1")
    digest = inputs_digest(home.ledger.drops(), "v1")
    ingest(home.ledger, [key], now=NOON + dt.timedelta(days=1), run_id="r2")
    assert inputs_digest(home.ledger.drops(), "v1") == digest
    assert inputs_digest(home.ledger.drops(), "v2") != digest
    home.ledger.retract(key, now=NOON, reason="")
    assert inputs_digest(home.ledger.drops(), "v1") != digest


def test_retracted_drops_are_not_read_again(home: Home, tmp_path: Path) -> None:
    """Materializing the partition of a retracted drop leaves it retracted."""
    give(home, write(tmp_path, "orders.csv"))
    key = home.ledger.drops()[0].key
    home.ledger.retract(key, now=NOON, reason="")
    assert ingest(home.ledger, [key], now=NOON, run_id=None) == []
    assert home.ledger.drops()[0].status is DropStatus.RETRACTED


def test_folders_are_searched_for_order_files(tmp_path: Path) -> None:
    """Order files at any depth, sorted; hidden files and other kinds are left out; none at all is an error."""
    for name in ("b.csv", "sub/a.TSV", "sub/c.csv.gz", ".hidden.csv", ".tmp/x.csv", "readme.md"):
        write(tmp_path / "in", name)
    assert [str(p.relative_to(tmp_path / "in")) for p in find_files(tmp_path / "in")] == [
        "b.csv",
        "sub/a.TSV",
        "sub/c.csv.gz",
    ]
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="no order file"):
        find_files(tmp_path / "none")
