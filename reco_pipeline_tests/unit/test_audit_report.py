"""Promises of the audit report: every line in it adds up, whatever it is about, and no text of a file can harm it."""

import csv
import datetime as dt
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from reco.audit.charts import bar_chart, lineage_chart, score_chart, short
from reco.audit.gather import make_report
from reco.audit.page import html_page
from reco.audit.proof import prove
from reco.audit.report import Lines, Report, Scope, add_lines, flat_rows
from reco.audit.spreadsheet import write_csv
from reco.audit.trail import Event, append, record_drops, recording
from reco.catalog.ledger import CatalogueLedger
from reco.catalog.table import ingest_catalogues
from reco.errors import UsageError
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.quarantine import Selection
from reco.orders.replay import replay_lines
from reco.orders.rules import REASONS
from reco.settings import Settings
from reco.storage.sql import drops, snapshots

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
HOSTILE = "<script>alert(1)<!--\"'&.csv"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Three drops on three days: one clean, one with bad lines and a hostile name, one that cannot be used."""
    home = open_home(Settings(home=tmp_path / "home"))
    files = {
        "=monday.csv": "1,PID\n1,Kit\n",
        HOSTILE: "2,PID\n3,\n,Kit\n",
        "bad.csv": "",
    }
    for day, (name, lines) in enumerate(files.items()):
        path = tmp_path / name
        path.write_text(f"order_id,item_name\n{lines}" if lines else "nothing\n")
        at = NOON + day * DAY
        (one,) = home.ledger.register([(path, load_profile("auto"))], now=at)
        assert one.drop is not None
        ingest(home.ledger, [one.drop.key], now=at, run_id=f"run-{day}")
        publish(home, f"s{day}", f"run-{day}", at)
    return home


def publish(home: Home, sid: str, run_id: str, at: dt.datetime) -> None:
    """What a release leaves in SQL."""
    drops = home.ledger.drops(status=DropStatus.INGESTED)
    row = {"namespace": "reco", "digest": "ab" * 32, "inputs_digest": "cd" * 32, "orders": 2, "items": 2, "pairs": 1}
    with recording(home.ledger.engine) as connection:
        connection.execute(
            snapshots.insert().values(
                snapshot_id=sid, run_id=run_id, published_at=at, redis_keys=3, redis_bytes=9, forced=False, **row
            )
        )
        digest = record_drops(connection, {drop.key: (drop.sha256, drop.batch) for drop in drops})
        append(connection, Event.SNAPSHOT_PUBLISHED, at=at, run_id=run_id, snapshot_id=sid, drops=digest)


def report(home: Home, **scope: object) -> Report:
    """A report of this scope."""
    return make_report(
        home.ledger.engine,
        Scope(**scope),  # type: ignore[arg-type]  # the test's own keywords
        namespace="reco",
        now=NOON + 9 * DAY,
        dispositions=REASONS,
        proof=prove(home.ledger.engine, home.lake, noted={}),
        lake_problems={one.key: one.message for one in home.ledger.imbalances()},
    )


def test_everything_adds_up(home: Home) -> None:
    """Totals, drops, runs and days say the same of the same lines."""
    made = report(home)
    assert made.lines == Lines(5, 3, 0, 2, {"missing_item": 1, "missing_order_id": 1})
    assert made.lines.adds_up
    assert made.problems == []
    assert made.states == {"failed": 1, "ingested": 2}
    assert add_lines(run.lines for run in made.runs) == made.lines
    assert add_lines(day.lines for day in made.days) == made.lines
    assert [day.drops for day in made.days] == [1, 1, 1]
    assert [run.outcome for run in made.runs] == ["published"] * 3
    assert [drop.snapshots for drop in made.drops] == [("s0", "s1", "s2"), ("s1", "s2"), ()]
    assert [len(one.drops or ()) for one in made.snapshots] == [1, 2, 2]
    assert [mark.event for mark in made.marks] == ["drop_failed"]


def test_a_report_on_one_drop_has_its_runs_and_snapshots(home: Home) -> None:
    """By file name, key or sha256: the drop alone, with every snapshot that holds it."""
    drop = home.ledger.drops()[1]
    for name in (drop.name, drop.key, drop.sha256, drop.sha256[:8]):
        made = report(home, drop=name)
        assert ([one.key for one in made.drops], made.lines.read) == ([drop.key], 3)
        assert [one.snapshot_id for one in made.snapshots] == ["s1", "s2"]
        assert made.runs[0].run_id == "run-1"


def test_a_report_on_one_run_has_its_drops(home: Home) -> None:
    """What the run read and published, and nothing else."""
    made = report(home, run="run-1")
    assert [one.name for one in made.drops] == [HOSTILE]
    assert [one.snapshot_id for one in made.snapshots] == ["s1"]
    assert made.lines.quarantined == 2


def test_a_period_takes_its_first_and_not_its_last_moment(home: Home) -> None:
    """Drops by receipt, snapshots by publish, events by their time."""
    made = report(home, since=NOON + DAY, until=NOON + 2 * DAY)
    assert [one.name for one in made.drops] == [HOSTILE]
    assert [one.snapshot_id for one in made.snapshots] == ["s1"]
    assert report(home, since=NOON + 5 * DAY).lines.read == 0


@pytest.mark.parametrize("scope", [{"drop": "absent"}, {"run": "absent"}, {"run": "run"}, {"drop": "="}])
def test_what_is_not_there_is_a_usage_error(home: Home, scope: dict[str, str]) -> None:
    """No drop or run of that name, or several."""
    with pytest.raises(UsageError, match=r"absent|names 3|="):
        report(home, **scope)


def test_what_does_not_add_up_is_said(home: Home) -> None:
    """A part that lost its rows, and counts that were changed, are problems of the report."""
    drop = home.ledger.drops()[0]
    home.lake.path("order_lines", drop.key).unlink()
    with home.ledger.engine.begin() as connection:
        connection.execute(drops.update().where(drops.c.batch == 2).values(lines_accepted=7))
    problems = report(home).problems
    words = ("3 ≠ 7 + 0 + 2", "no file accepted", "is gone (event 2, drop_ingested, names its sha256)")
    assert [[word in one for word in words].index(True) for one in problems] == [0, 1, 2]
    assert "Not everything adds up" in html_page(report(home))


def test_replays_and_catalogues_are_told_beside_the_sums(home: Home, tmp_path: Path) -> None:
    """What was read again and what lists items: by drop and in all, in no sum of order lines, adding up themselves."""
    drop = home.ledger.drops()[1]
    columns = {"order_id": "item_name", "item_name": "item_name"}
    other = SourceProfile.model_validate({"name": "mended", "columns": columns})
    replay_lines(home, Selection(drop=drop.key, reason="missing_order_id"), other, now=NOON + 3 * DAY, actor="Ada <b>")
    (tmp_path / "products.csv").write_text("item_id,name,price\nPID,Meter,10\nKit,,x\n")
    ledger = CatalogueLedger(home.ledger.engine, home.lake)
    ledger.register([(tmp_path / "products.csv", load_profile("auto"))], now=NOON + 4 * DAY)
    ingest_catalogues(ledger, now=NOON + 4 * DAY, run_id="run-c")
    made = report(home)
    assert made.problems == []
    assert made.lines == Lines(5, 3, 0, 2, {"missing_item": 1, "missing_order_id": 1})
    (replay,) = made.replays
    assert (replay.given, replay.accepted, replay.quarantined, replay.actor) == (1, 1, 0, "Ada <b>")
    assert [one.open for one in made.drops] == [0, 1, None]
    (catalogue,) = made.catalogues
    assert (catalogue.name, catalogue.lines) == ("products.csv", Lines(2, 1, 0, 1, {"invalid_price": 1}))
    assert [one.outcome for one in made.runs][-1] == "read catalogues only"
    assert "lines_replayed" in [mark.event for mark in made.marks]
    told = made.as_dict()
    assert (told["replays"][0]["adds_up"], told["catalogues"][0]["lines"]["read"]) == (True, 2)
    page = html_page(made)
    for words in ("<h2>Replays</h2>", "<h2>Catalogues</h2>", "with profile mended", "Ada &lt;b&gt;", "products.csv"):
        assert words in page
    assert "1 quarantined lines of drops in effect wait to be mended" in page
    assert "in no figure: bad.csv (failed)" in page
    names, rows = flat_rows(made, "drop")
    assert [row[names.index("lines_replayed")] for row in rows] == [0, 1, 0]
    assert [len(one) for one in (report(home, drop=drop.key).replays, report(home, run="run-c").catalogues)] == [1, 1]
    assert report(home, since=NOON + 4 * DAY).replays == []
    assert report(home, drop="products.csv").catalogues[0].key == catalogue.key


class _Reader(HTMLParser):
    """Tags that stand open, and those that were met."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.met: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """See HTMLParser."""
        self.met.add(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "action") or name[:2] == "on"]
        if tag not in ("meta", "br", "line", "circle", "rect", "path", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """See HTMLParser."""
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_the_page_is_self_contained_and_escapes_everything(home: Home) -> None:
    """No script, no address, every tag closed; a hostile file name is text, in tables and drawings alike."""
    page = html_page(report(home))
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.met.isdisjoint({"script", "link", "img", "iframe", "object", "a"})
    assert reader.addresses == []
    assert "<script" not in page
    assert page.count("&lt;script&gt;alert(1)") >= 3
    assert not re.search(r"url\(|@import|https?:", page)
    assert "Content-Security-Policy" in page


def test_the_page_says_what_an_auditor_asks(home: Home) -> None:
    """Scope, time, version, the sum, the whole hashes, and how each number is defined."""
    made = report(home)
    page = html_page(made)
    for text in (
        "everything since the home was made",
        "2024-06-10 12:00:00 UTC by reco",
        "5 = 3 + 0 + 2",
        made.drops[0].sha256[:32],
        made.drops[0].sha256[32:],
        made.proof.chain.head,
        "100 x (1 - quarantined / read)",
        "Every line is accounted for",
        "missing_order_id",
    ):
        assert text in page
    assert page.count("<svg") == 3
    assert page.count("<title>Lineage") == page.count('role="img"') - 2 == 1


def test_an_empty_home_has_a_page(tmp_path: Path) -> None:
    """Nothing came in, and the report says so."""
    page = html_page(report(open_home(Settings(home=tmp_path / "new"))))
    assert "0 = 0 + 0 + 0" in page
    assert "<td colspan" in page


def test_a_csv_cell_is_never_a_formula(home: Home) -> None:
    """A file name that begins with = gets an apostrophe; numbers stay numbers; each row adds up again."""
    out = io.StringIO()
    write_csv(out, *flat_rows(report(home), "drop"))
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert [row["name"] for row in rows] == ["'=monday.csv", HOSTILE, "bad.csv"]
    assert rows[1]["lines_read"] == "3"
    assert int(rows[1]["missing_item"]) + int(rows[1]["missing_order_id"]) == int(rows[1]["lines_quarantined"])


@pytest.mark.parametrize("cell", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1+1"])
def test_every_start_of_a_formula_is_defused(cell: str) -> None:
    """Whatever a spreadsheet takes for one."""
    out = io.StringIO()
    write_csv(out, ["a"], [[cell]])
    written = next(csv.DictReader(io.StringIO(out.getvalue(), newline="")))["a"]
    assert (written[0], written.replace("'", "")) == ("'", cell)
    assert not any(part.startswith(cell[-3:]) for part in re.split("[\t\r\n]", written)[1:])


@pytest.mark.parametrize(("by", "rows"), [("drop", 3), ("run", 3), ("day", 3)])
def test_each_grouping_has_its_rows(home: Home, by: str, rows: int) -> None:
    """A row per drop, run or day, each as long as the header."""
    columns, found = flat_rows(report(home), by)
    assert len(found) == rows
    assert {len(row) for row in found} == {len(columns)}


def test_drawings_stand_any_input() -> None:
    """No point, one point, no bar, drops in no snapshot."""
    assert "<circle" not in score_chart([], each="drop")
    assert score_chart([("a", 40.0)], each="drop").count("<circle") == 1
    assert bar_chart([], words="none").count("<svg") == 1
    drawn = lineage_chart([("d1", "a" * 200), ("d2", "<b>")], [("s", "s")], {"d1": "s", "d2": None})
    assert drawn.count('class="link"') == 1
    assert "<b>" not in drawn
    assert short("a" * 50 + "end.csv", 20).endswith("end.csv")
