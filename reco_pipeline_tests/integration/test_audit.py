"""Promises of the audit commands on a real shop: every step is in the trail, every served count is found again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reco.audit.trail import events
from reco.errors import SnapshotNotFound, UsageError
from reco.orders.home import Home, open_home
from reco.settings import Settings
from reco.snapshot.store import SnapshotStore
from reco.snapshot.trace import trace
from reco.storage.redis import open_redis
from reco_pipeline_tests.commands import printed
from reco_pipeline_tests.shop import Shop, new_shop

MONDAY = {"1": ["PID", "Kit"], "2": ["PID", "Kit", "Hose"], "3": ["PID"], "4": ["Hose", "Kit"]}
TUESDAY = {"2": ["PID", "Hose"], "5": ["PID", "Kit"], "6": ["PID", "PID", "Kit"]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Two published batches, of which the second replaces an order of the first."""
    shop = new_shop(tmp_path_factory.mktemp("audit"))
    for name, baskets in (("monday.csv", MONDAY), ("tuesday.csv", TUESDAY)):
        done = shop.reco("run", "--orders", shop.orders(name, baskets))
        assert done.code == 0, done.err
    return shop


@pytest.fixture
def home(shop: Shop) -> Home:
    """The shop's home in this process."""
    return open_home(Settings(home=shop.home))


def test_every_step_is_in_the_trail(shop: Shop) -> None:
    """Seen, read, validated, replaced and published, each with its run; and the chain is whole."""
    found = shop.reco("audit", "trail", "--json").json["events"]
    kinds = [one["event"] for one in reversed(found)]
    first = ["drop_seen", "drop_ingested", "lines_validated", "snapshot_published"]
    assert kinds == [*first, "drop_seen", "drop_ingested", "orders_replaced", *first[2:]]
    runs = {one["run_id"] for one in found if one["event"] != "drop_seen"}
    assert len(runs) == 2
    assert None not in runs
    published = found[0]["details"]
    assert (published["figures"]["orders"], published["figures_before"]["orders"]) == (6, 4)
    verified = shop.reco("audit", "trail", "--verify", "--json")
    assert (verified.code, verified.json["whole"], verified.json["events"]) == (0, True, 9)


def test_each_served_count_is_found_again_in_the_lines(shop: Shop, home: Home) -> None:
    """Purchases of each item and pair orders of each recommendation equal the orders that the lines show."""
    with open_redis(home.settings) as client:
        served = SnapshotStore(client, "reco").current()
        for one in served.popular(10)["recommendations"]:
            item = one["item_id"]
            assert trace(home, client, item, limit=1).evidence.purchases == one["purchases"]  # type: ignore[union-attr]
            for other in served.similar(item, 10)["recommendations"]:
                found = trace(home, client, item, other["item_id"], limit=50)
                assert found.evidence is not None
                assert found.agrees
                assert found.evidence.pair_orders == other["evidence"]["pair_orders"]
                assert found.evidence.other_purchases == other["purchases"]
                assert len(found.evidence.shown) == found.evidence.pair_orders
                assert not found.notes


def test_the_lines_are_where_the_trace_says(shop: Shop, home: Home) -> None:
    """Each line of the evidence holds the item, at that number of that file; a replaced order shows its new lines."""
    with open_redis(home.settings) as client:
        found = trace(home, client, "PID", "Hose", limit=50)
    assert found.evidence is not None
    assert [(o.order_id, [(at.file, at.line, at.item_id) for at in o.lines]) for o in found.evidence.shown] == [
        ("2", [("tuesday.csv", 2, "PID"), ("tuesday.csv", 3, "Hose")])
    ]
    for order in found.evidence.shown:
        for at in order.lines:
            text = (shop.files / at.file).read_text().splitlines()[at.line - 1]
            assert text == f"{order.order_id},{at.item_id}"
    assert {drop.name: (drop.lines, drop.sha256) for drop in found.drops} == {
        drop.name: (0 if drop.name == "monday.csv" else 2, drop.sha256) for drop in home.ledger.drops()
    }


def test_an_older_snapshot_is_counted_from_its_own_drops(shop: Shop, home: Home) -> None:
    """The first snapshot is traced to Monday alone, although the lake holds Tuesday too."""
    with open_redis(home.settings) as client:
        first = SnapshotStore(client, "reco").list()[-1].snapshot_id
        found = trace(home, client, "PID", "Kit", snapshot_id=first, limit=5)
    assert [drop.name for drop in found.drops] == ["monday.csv"]
    assert (found.served, found.agrees) == ({"purchases": 3, "other_purchases": 3, "pair_orders": 2}, True)


def test_a_lake_that_moved_on_says_so(shop: Shop, home: Home, tmp_path: Path) -> None:
    """Lines that are not those of then are named; a snapshot that was removed says what is known of it."""
    drop = home.ledger.drops()[0]
    path = home.lake.path("order_lines", drop.key)
    before = path.read_bytes()
    other = home.lake.path("order_lines", home.ledger.drops()[1].key)
    with open_redis(home.settings) as client:
        try:
            path.write_bytes(other.read_bytes())
            found = trace(home, client, "PID", limit=5)
            assert "monday.csv was read again" in found.notes[0]
            path.unlink()
            found = trace(home, client, "PID", limit=5)
            assert (found.agrees, found.evidence) == (None, None)
            assert "not in the lake any more" in found.notes[0]
        finally:
            path.write_bytes(before)
        with pytest.raises(SnapshotNotFound, match="20000101"):
            trace(home, client, "PID", snapshot_id="20000101T000000Z-00000000", limit=5)


@pytest.fixture
def command(shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`reco audit ...` in this process: what it prints."""
    monkeypatch.setenv("RECO_HOME", str(shop.home))

    def ask(*arguments: object) -> str:
        return printed(capsys, "audit", *arguments)

    return ask


def test_the_commands_print_what_the_library_finds(command: Callable[..., str], tmp_path: Path) -> None:
    """Table, JSON, CSV and page of the report; the trace as text and JSON; the trail by kind."""
    assert "15 = 15 + 0 + 0" in command("report")
    made = json.loads(command("report", "--json"))
    assert (made["adds_up"], made["lines"]["read"], len(made["snapshots"])) == (True, 15, 2)
    page = tmp_path / "report.html"
    assert "is written" in command("report", "--format", "html", "--out", page)
    assert "15 = 15 + 0 + 0" in page.read_text()
    assert command("report", "--format", "csv", "--by", "run").count("\n") == 3
    for by in ("run", "day"):
        assert "15" in command("report", "--by", by, "--since", "2020-01-01", "--until", "2999-12-31")
    assert "Audit trail" in command("trail", "--drop", "monday.csv", "--event", "drop_seen")
    traced = json.loads(command("trace", "PID", "Kit", "--json"))
    assert (traced["agrees"], traced["evidence"]["pair_orders"]) == (True, 3)
    assert "The counts agree exactly" in command("trace", "PID")


@pytest.mark.parametrize(
    "wrong",
    [
        ["report", "--drop", "a", "--run", "b"],
        ["report", "--since", "x"],
        ["report", "--out", "file.txt"],
        ["trail", "--event", "x"],
        ["forget", "anna", "--json"],
        ["forget", ""],
    ],
)
def test_mistakes_are_usage_errors(command: Callable[..., str], wrong: list[str]) -> None:
    """Each says what to give instead."""
    with pytest.raises(UsageError) as caught:
        command(*wrong)
    assert caught.value.hint


def test_a_failed_run_leaves_its_mark(tmp_path: Path) -> None:
    """Also without any daemon, the trail has the run that the gate refused, and what it said."""
    shop = new_shop(tmp_path)
    shop.reco("run", "--orders", shop.orders("a.csv", {str(i): ["PID", f"item {i}"] for i in range(9)}))
    drop = open_home(Settings(home=shop.home)).ledger.drops()[0]
    assert shop.reco("drops", "retract", drop.key).code == 0
    done = shop.reco("run", "--json", "--orders", shop.orders("b.csv", {"1": ["Kit"]}))
    assert done.code == 5
    failed, refused = events(open_home(Settings(home=shop.home)).ledger.engine, limit=2)
    assert (failed.event, refused.event, failed.run_id) == ("run_failed", "gate_refused", refused.run_id)
    assert refused.details["served"]
    made = shop.reco("audit", "report", "--run", str(failed.run_id)[:8], "--json").json
    assert [run["outcome"] for run in made["runs"]] == ["refused by the gate"]
    home = open_home(Settings(home=shop.home))
    with open_redis(home.settings) as client:
        found = trace(home, client, "PID", limit=1)
    assert (found.agrees, found.notes) == (True, ("a.csv was taken out since.",))  # what is served is still its lines
