"""Promises of `reco quarantine`: one JSON object for machines, exit codes, lines as they came, text that expires."""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from reco.audit.stored import compare_files
from reco.audit.trail import Event, events
from reco.errors import UsageError
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.quarantine import Selection
from reco.orders.replay import replay_lines
from reco.orders.retention import expire
from reco.settings import Settings
from reco.storage.lake import file_digest
from reco_pipeline.cli.app import app
from reco_pipeline.definitions import build_defs

NOON = dt.datetime(2024, 6, 1, 12, tzinfo=dt.UTC)
STRUCTURAL = ("bad_encoding", "null_byte", "too_many_fields", "too_few_fields", "unbalanced_quote")
HEAD = b"OrderNumber,ItemName,Quantity\n"
Reco = Callable[..., tuple[int, str]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home with a file of every kind of fault, one line each, and one of good lines."""
    monkeypatch.setenv("RECO_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    home = open_home(Settings())
    (tmp_path / "bad.csv").write_bytes(
        HEAD + b'1,\xc3\xa9,1\n1,\xff\xfe,1\n1,a\x00b,1\n1,a,1,9\n1\n1,"open,1\n1,a,-1\n,a,none\n'
    )
    (tmp_path / "good.csv").write_bytes(HEAD + b"7,a,1\n")
    for name in ("bad.csv", "good.csv"):
        home.ledger.register([(tmp_path / name, load_profile("auto"))], now=NOON)
    ingest(home.ledger, [drop.key for drop in home.ledger.drops()], now=NOON, run_id=None)
    return home


@pytest.fixture
def reco(capsys: pytest.CaptureFixture[str]) -> Reco:
    """Runs `reco quarantine` in this process; returns its exit code and what it printed."""

    def run(*arguments: str | Path) -> tuple[int, str]:
        code = app(["quarantine", *map(str, arguments)], standalone_mode=False)
        return int(code or 0), capsys.readouterr().out

    return run


def of_json(answer: tuple[int, str]) -> Any:
    """The one object a command printed."""
    return json.loads(answer[1])


def test_list_counts_by_drop_and_reason(home: Home, reco: Reco) -> None:
    """Drops without such lines are left out; a reason narrows what is counted."""
    (drop,) = of_json(reco("list", "--json"))["drops"]
    assert (drop["name"], drop["lines_read"], drop["lines_accepted"], drop["lines_open"]) == ("bad.csv", 8, 1, 7)
    assert {one["reason"]: one["open"] for one in drop["reasons"]} == dict.fromkeys(
        [
            "bad_encoding",
            "null_byte",
            "too_many_fields",
            "too_few_fields",
            "unbalanced_quote",
            "nonpositive_quantity",
            "missing_order_id",
        ],
        1,
    )
    (narrow,) = of_json(reco("list", "--reason", "null_byte", "--json"))["drops"]
    assert [one["reason"] for one in narrow["reasons"]] == ["null_byte"]
    assert "No line is quarantined" in reco("list", "--drop", "good.csv")[1]
    assert reco("--json") == reco("list", "--json")
    with pytest.raises(UsageError, match="no reason"):
        reco("list", "--reason", "nonsense")


def test_show_gives_place_and_text_of_every_line(home: Home, reco: Reco) -> None:
    """File, physical line, byte offset, reason, column, value; bytes that are no text are written as escapes."""
    lines = of_json(reco("show", "--json"))["lines"]
    assert [(one["line"], one["byte_offset"], one["raw"]) for one in lines] == [
        (3, 37, "1,\\xff\\xfe,1"),
        (4, 44, "1,a\\x00b,1"),
        (5, 52, "1,a,1,9"),
        (6, 60, "1"),
        (7, 62, '1,"open,1'),
        (8, 72, "1,a,-1"),
        (9, 79, ",a,none"),
    ]
    last = lines[-1]
    assert (last["file"], last["reason"], last["column"], last["also"]) == (
        "bad.csv",
        "missing_order_id",
        "order_id",
        ["invalid_quantity"],
    )
    shown = of_json(reco("show", "--limit", "2", "--json"))
    assert (len(shown["lines"]), shown["more"]) == (2, True)
    text = reco("show", "--reason", "nonpositive_quantity")[1]
    assert "bad.csv, line 8, byte 72: quarantined" in text
    assert "quantity '-1': the quantity is zero or less" in text


def test_export_writes_for_spreadsheets_and_never_over_a_file(home: Home, reco: Reco, tmp_path: Path) -> None:
    """UTF-8 with a mark, CRLF, one row a line; an existing file may be somebody's work."""
    out = tmp_path / "mend.csv"
    assert of_json(reco("export", "--out", out, "--json")) == {
        "file": str(out),
        "lines": 7,
        "drops": 1,
        "lines_without_text": 0,
    }
    raw = out.read_bytes()
    assert raw.startswith(b'\xef\xbb\xbf"reco_line","reco_file",')
    assert raw.count(b"\r\n") == raw.count(b'"\r\n') == 8
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [row["reco_column"] for row in rows[-2:]] == ["Quantity", "OrderNumber"]
    assert (rows[-2]["Quantity"], rows[0]["reco_raw"]) == ("'-1", "'1,\\xff\\xfe,1")
    with pytest.raises(UsageError, match="exists"):
        reco("export", "--out", out)
    assert out.read_bytes() == raw
    assert "nothing is written" in reco("export", "--drop", "good.csv", "--out", tmp_path / "none.csv")[1]
    assert not (tmp_path / "none.csv").exists()
    with pytest.raises(UsageError, match="cannot be written"):
        reco("export", "--out", tmp_path / "no" / "folder.csv")
    assert events(home.ledger.engine, event=Event.LINES_EXPORTED)[0].details["lines"] == 7


def test_replay_ends_with_3_where_a_row_was_refused(home: Home, reco: Reco, tmp_path: Path) -> None:
    """Lines that are still wrong leave the exit code at 0; refused rows do not, and the others go on."""
    out = tmp_path / "mend.csv"
    reco("export", "--reason", "nonpositive_quantity", "--out", out)
    whole = out.read_bytes()
    out.write_bytes(whole.replace(b"'-1", b"-2"))
    code, text = reco("replay", out)
    assert (code, "quantity '-2': the quantity is zero or less" in text) == (0, True)
    row = whole.split(b"\r\n")[1].replace(b"'-1", b"5")
    out.write_bytes(whole.replace(b"'-1", b"1") + row.replace(b":8:", b":9:") + b"\r\n")
    answer = reco("replay", out, "--json")
    assert answer[0] == 3
    told = of_json(answer)
    assert (told["lines_given"], told["lines_accepted"], len(told["refused"])) == (1, 1, 1)
    assert told["refused"][0]["row"] == 3
    assert "replayed by bad-" in reco("show", "--reason", "nonpositive_quantity")[1]
    assert home.ledger.imbalances() == []


@pytest.mark.parametrize(
    "arguments", [[], ["--all"], ["--source", "auto"], ["mend.csv", "--all"], ["mend.csv", "--source", "auto"]]
)
def test_replay_needs_one_way_of_asking(home: Home, reco: Reco, arguments: list[str]) -> None:
    """A file, or a profile with a selection: anything else is a mistake and does nothing."""
    with pytest.raises(UsageError, match="either a mended file"):
        reco("replay", *arguments)


def test_replay_with_a_profile_takes_a_selection(home: Home, reco: Reco, tmp_path: Path) -> None:
    """Only lines of the reason are read; what their rule leaves out leaves the quarantine too."""
    (tmp_path / "shop.toml").write_text('name = "shop"\n[rules]\nexclude_items = ["a"]\n')
    told = of_json(reco("replay", "--reason", "nonpositive_quantity", "--source", tmp_path / "shop.toml", "--json"))
    assert (told["lines_given"], told["lines_excluded"]) == (1, 1)
    told = of_json(reco("replay", "--drop", "bad.csv", "--source", "auto", "--json"))
    assert (told["lines_given"], len(told["still_quarantined"])) == (0, 6)


def test_text_is_removed_after_its_time_and_every_sum_stays(home: Home, reco: Reco, tmp_path: Path) -> None:
    """Raw bytes and values go, rows and reasons stay; such lines are not exported, nor read from their text again."""
    reco("export", "--out", tmp_path / "before.csv")
    before = of_json(reco("list", "--json"))
    assert expire(home, days=30, now=NOON + dt.timedelta(days=29)) == []
    (gone,) = expire(home, days=30, now=NOON + dt.timedelta(days=31))
    assert gone.lines == 7
    assert expire(home, days=30, now=NOON + dt.timedelta(days=31)) == []
    part = pl.read_parquet(home.lake.path("quarantined_lines", gone.drop_key))
    assert (part["raw"].null_count(), part["value"].null_count(), part["reason"].null_count()) == (7, 7, 0)
    assert of_json(reco("list", "--json")) == before
    assert home.ledger.imbalances() == []
    assert of_json(reco("export", "--out", tmp_path / "after.csv", "--json"))["lines_without_text"] == 7
    report = replay_lines(home, Selection(), load_profile("auto"), now=NOON, actor="a test")
    assert "7 of its lines were kept long enough" in report.refused[0].why
    mended = (tmp_path / "before.csv").read_bytes().replace(b"'-1", b"1")
    (tmp_path / "before.csv").write_bytes(mended)
    assert of_json(reco("replay", tmp_path / "before.csv", "--json"))["lines_accepted"] == 1
    told = events(home.ledger.engine, event=Event.QUARANTINE_EXPIRED)
    sha256 = file_digest(home.lake.path("quarantined_lines", gone.drop_key))
    assert [one.details for one in told] == [{"lines": 7, "parts": {"quarantined_lines": {gone.drop_key: sha256}}}]
    assert compare_files(home.ledger.engine, home.lake).problems == ()


@pytest.mark.parametrize(("days", "left"), [("0", 7), ("30", 0), (None, 0)])
def test_the_daily_job_removes_text_unless_all_is_kept(home: Home, days: str | None, left: int) -> None:
    """The daily cleanup removes what is older than RECO_QUARANTINE_RAW_DAYS, and nothing where that is 0."""
    defs = build_defs({"quarantine_raw_days": days} if days else {})
    schedule = defs.resolve_schedule_def("daily_cleanup")
    assert schedule.default_status.value == "RUNNING"
    assert defs.resolve_job_def(schedule.job_name).execute_in_process().success
    part = pl.read_parquet(home.lake.path("quarantined_lines", home.ledger.drops()[0].key))
    assert part.height - part["raw"].null_count() == left


def test_by_default_text_with_customers_goes_after_90_days(home: Home, tmp_path: Path) -> None:
    """It is the last place of the tables with their ids, where a profile pseudonymises; other profiles keep it."""
    plain = SourceProfile.model_validate({"name": "plain"})
    (tmp_path / "plain.csv").write_bytes(HEAD + b"1,a,none\n")
    (one,) = home.ledger.register([(tmp_path / "plain.csv", plain)], now=NOON)
    assert one.drop_key is not None
    ingest(home.ledger, [one.drop_key], now=NOON, run_id=None)
    assert expire(home, now=NOON + dt.timedelta(days=90)) == []
    assert [gone.lines for gone in expire(home, now=NOON + dt.timedelta(days=91))] == [7]
    assert pl.read_parquet(home.lake.path("quarantined_lines", one.drop_key))["raw"].to_list() == [b"1,a,none"]


def test_a_rewrite_whose_mark_was_lost_to_a_kill_is_marked_the_next_time(home: Home) -> None:
    """Else the trail would name a file for ever that is not there, and a proof would fail."""
    key = home.ledger.drops()[0].key
    before = home.lake.path("quarantined_lines", key).read_bytes()
    expire(home, days=30, now=NOON + dt.timedelta(days=31))
    bare = home.lake.path("quarantined_lines", key).read_bytes()
    ingest(home.ledger, [key], now=NOON, run_id=None)
    assert home.lake.path("quarantined_lines", key).read_bytes() == before
    home.lake.path("quarantined_lines", key).write_bytes(bare)  # as if killed before its event
    assert len(compare_files(home.ledger.engine, home.lake).problems) == 1
    assert expire(home, days=30, now=NOON + dt.timedelta(days=31)) == []
    assert compare_files(home.ledger.engine, home.lake).problems == ()
    expire(home, days=30, now=NOON + dt.timedelta(days=31))
    assert len(events(home.ledger.engine, event=Event.QUARANTINE_EXPIRED)) == 2


def test_expire_takes_its_time_from_the_setting(home: Home, reco: Reco, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all is kept for ever it asks for a number, and a number goes before the setting."""
    monkeypatch.setenv("RECO_QUARANTINE_RAW_DAYS", "0")
    with pytest.raises(UsageError, match="kept for ever"):
        reco("expire")
    monkeypatch.setenv("RECO_QUARANTINE_RAW_DAYS", "36600")
    assert of_json(reco("expire", "--json"))["lines"] == 0
    assert of_json(reco("expire", "--days", "0", "--json"))["lines"] == 7
    assert "removed, its time of keeping is over" in reco("show")[1]
