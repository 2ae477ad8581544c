"""Properties of quarantine and export: neither the order of lines nor their files change a count; cells come back."""

import csv
import io
import random
import re
import tempfile
from collections import Counter
from pathlib import Path

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reco.orders import quarantine
from reco.orders.guarding import guard, guard_value, unguard
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.ledger import DropStatus
from reco.orders.mending import export_open, labels, read_mended, write_export
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.quarantine import Selection
from reco.orders.replay import replay_file
from reco.settings import Settings
from reco_pipeline_tests.reading import NOW, ReadDrop, read_files
from reco_pipeline_tests.unit.test_ingest_properties import FAULTS, HEADER, LINE_ENDS, PROFILE, REASON, encode, faulty

KINDS = [*FAULTS, "plain", "plain", "quoted_newline"]
INVISIBLE = '\ufeff"\u200b \t\r\n\v\f\u2028'
FORMULA = re.compile(f"[{INVISIBLE}]*[=+@\uff1d\uff0b\uff0d\uff20-]")
SPLITS = ",;\t|:^~\n\r\v\f\u2028"
TEXTS = st.text(st.sampled_from("aZ09é€=+-@'\",;|\t\n\r \uff1d\uff0e日"), max_size=8) | st.text(max_size=12)


def line_of(kind: str, number: int, line_end: str) -> bytes:
    """One record of a kind."""
    if kind in FAULTS:
        return faulty(kind, number, line_end)
    return encode([str(number), "A", "two\nlines" if kind == "quoted_newline" else "x", "1", "2.00"], line_end)


def totals(read: dict[str, ReadDrop]) -> tuple[int, int, Counter[str]]:
    """Lines read, accepted, and those that were not, by reason, over all drops."""
    reasons: Counter[str] = Counter()
    for one in read.values():
        reasons.update(one.result.reasons)
    counts = [one.result.counts for one in read.values()]
    return sum(one.lines_read for one in counts), sum(one.lines_accepted for one in counts), reasons


@settings(max_examples=8)
@given(st.lists(st.sampled_from(KINDS), min_size=10, max_size=40), st.sampled_from(LINE_ENDS), st.integers(0, 2**32))
def test_counts_depend_neither_on_the_order_of_lines_nor_on_their_files(
    kinds: list[str], line_end: str, seed: int
) -> None:
    """The same lines in another order, in one file or in ten of one batch, give the same counts by reason."""
    lines = [line_of(kind, number, line_end) for number, kind in enumerate(kinds)]
    shuffled = random.Random(seed).sample(lines, len(lines))
    head = encode(HEADER, line_end)
    faults = Counter(REASON.get(kind, kind) for kind in kinds if kind in FAULTS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        profile = PROFILE.model_copy(update={"dialect": PROFILE.dialect.model_copy(update={"encoding": "utf-8"})})
        for given_lines, files in ((lines, 1), (shuffled, 1), (lines, 10), (shuffled, 10)):
            paths = []
            for number in range(files):
                paths.append((f"drop-{number}", folder / f"{number}.csv"))
                paths[-1][1].write_bytes(head + b"".join(given_lines[number::files]))
            found = totals(read_files(paths, folder, profile))
            assert found == (len(lines), len(lines) - faults.total(), faults)


@given(TEXTS | st.text(st.sampled_from(SPLITS + " \"'=-@1\u200b\uff1d"), max_size=10))
@example("PID;=1+1")
@example("PID\t'=1+1")
@example('a, -1 ;  "=1')
@example("=1+1")
@example("'-5")
@example("-5")
@example("00123")
@example("\t=x")
def test_guarded_cells_come_back_and_start_no_formula(text: str) -> None:
    """Whatever a cell holds, it is the same after the way out and back, and no spreadsheet takes it for a formula."""
    for cell in (guard(text), guard_value(text)):
        assert unguard(cell) == text
        assert not cell.lstrip('\ufeff"\u200b \t\r\n').startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))
        assert not cell.startswith(("\t", "\r", "\n"))
        for split in SPLITS:
            assert not any(FORMULA.match(part) for part in cell.split(split)), split
        assert not any(len(part.strip(INVISIBLE)) > 1 and FORMULA.match(part) for part in cell.split(" "))


@given(st.lists(st.text(st.sampled_from("ab (2)"), max_size=5), min_size=1, max_size=8))
def test_columns_of_the_export_have_names_of_their_own(header: list[str]) -> None:
    """However an order file names its columns, no two of the export are called the same."""
    found = labels(header)
    assert len(set(found)) == len(header)
    assert "reco_line" not in found
    assert all(name in found for name in header if name)


@settings(max_examples=15)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6), st.sampled_from([",", ";", "\t", "|"]))
def test_any_cell_survives_export_and_replay(rows: list[tuple[str, str]], delimiter: str) -> None:
    """Of a line that was mended in one cell all others come back as they were, whatever they hold."""
    with tempfile.TemporaryDirectory() as name:
        home = open_home(Settings(home=Path(name) / "home"))
        path = Path(name) / "orders.csv"
        target = io.StringIO(newline="")
        writer = csv.writer(target, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerow(["order_id", "item_id", "quantity", "category", "customer_id"])
        writer.writerow(["first", "PID", "1", "日", ""])
        for number, (category, customer) in enumerate(rows):
            writer.writerow([f"o{number}", "PID", "none", category, customer])
        path.write_bytes(target.getvalue().encode("utf-8", "replace").replace(b"\0", b""))
        plain = SourceProfile.checked({"name": "plain", "privacy": {"pseudonymise": False}}, "a test")
        (one,) = home.ledger.register([(path, plain)], now=NOW)
        assert one.drop is not None
        (result,) = ingest(home.ledger, [one.drop.key], now=NOW, run_id=None)
        assert result.error is None
        waiting = _open(home)
        report = replay_file(home, _mended(home, Path(name) / "mended.csv"), now=NOW, actor="a test")
        assert home.ledger.imbalances() == []
        assert report.refused == []
        assert report.total("lines_accepted") == waiting
        (replay,) = home.ledger.drops()[0].replays
        _same_values(home, one.drop.key, replay.key)


@settings(max_examples=12)
@example(b'2,"x"\x00\n3,\xff\n\xe2\x80\x8b=1,y,z\n,\x1b[31m"\r,"\r\n\'"')
@given(st.binary(max_size=120) | TEXTS.map(lambda text: f",{text}\n{text}".encode("utf-8", "replace")))
def test_an_export_given_back_as_it_is_changes_nothing(tail: bytes) -> None:
    """Whatever the lines hold, a row that nobody touched is known to be as it was exported."""
    with tempfile.TemporaryDirectory() as name:
        home = open_home(Settings(home=Path(name) / "home"))
        path = Path(name) / "orders.csv"
        path.write_bytes("order_id,item_id\n日,x\n,x\n".encode() + tail)
        (one,) = home.ledger.register([(path, load_profile("auto"))], now=NOW)
        assert one.drop is not None
        (result,) = ingest(home.ledger, [one.drop.key], now=NOW, run_id=None)
        if result.error is not None:
            return
        export_open(home, Selection(), Path(name) / "mend.csv", now=NOW)
        report = replay_file(home, Path(name) / "mend.csv", now=NOW, actor="a test")
        assert (report.replays, report.refused, report.known) == ([], [], 0)
        assert report.unchanged == _open(home) > 0


def _open(home: Home) -> int:
    return sum(drop.lines_open for drop in home.ledger.drops())


def _mended(home: Home, path: Path) -> Path:
    """The export with every quantity set to 1."""
    drops = home.ledger.drops(status=DropStatus.INGESTED)
    with path.open("w", encoding="utf-8", newline="") as target:
        write_export(target, drops, quarantine.lines(home.ledger, home.lake, drops, only_open=True))
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    assert len(list(read_mended(path))) == len(rows) - 1
    at = rows[0].index("quantity")
    for row in rows[1:]:
        row[at] = "1"
    with path.open("w", encoding="utf-8-sig", newline="") as target:
        csv.writer(target).writerows(rows)
    return path


def _same_values(home: Home, drop: str, replay: str) -> None:
    """The other cells of each replayed line are those of the line as it came."""
    first = pl.read_parquet(home.lake.path("quarantined_lines", drop))
    raw = {row["line"]: row["raw"].decode() for row in first.iter_rows(named=True)}
    (read,) = home.ledger.drops(keys=[drop])
    delimiter = (read.dialect or {})["delimiter"]
    for row in pl.read_parquet(home.lake.path("order_lines", replay)).iter_rows(named=True):
        fields = next(csv.reader([raw[row["line"]]], delimiter=delimiter, strict=True))
        blanks = " \t\n\r\v\f\u00a0\u2007\u202f\u3000\ufeff"
        wanted = [field.strip(blanks) or None for field in (fields[0], fields[3], fields[4])]
        assert [row["order_id"], row["category"], row["customer_id"]] == wanted
