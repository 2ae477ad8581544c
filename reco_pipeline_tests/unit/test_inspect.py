import json
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reco.orders.inspect import inspect_file
from reco.orders.inspection import Inspection
from reco.orders.profiles import SourceProfile, load_profile
from reco_pipeline_tests.reading import NOW, read_bytes
from reco_pipeline_tests.shop import new_shop

FAULTY = (
    b'order_id,sku,item_name,qty,price,order date\n1,a,"x\ny",1,2.50,2024-01-31\n2,b,z,0,1,2024-01-31\n'
    b'3,c,"open,1,1,2024-01-31\n4,d,z,1,1\n\n5,e,z,2,1e5,2024-01-31\n6,f,z,2,1,2024-01-31\n'
)


def inspect(
    content: bytes, folder: Path, profile: str | Path | SourceProfile = "auto", name: str = "o.csv"
) -> Inspection:
    path = folder / name
    path.write_bytes(content)
    taken = profile if isinstance(profile, SourceProfile) else load_profile(profile)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        return inspect_file(path, taken, now=NOW, scratch=Path(scratch))


def starter(seen: Inspection, folder: Path, answers: dict[str, str] | None = None) -> SourceProfile:
    """The profile an inspection offers, with lines put in the place of those that start with a text."""
    assert seen.profile is not None
    text = seen.profile
    for old, new in (answers or {}).items():
        text = "\n".join(new if line.startswith(old) else line for line in text.splitlines())
    path = folder / "starter.toml"
    path.write_text(text, encoding="utf-8")
    return load_profile(path)


def test_a_dry_run_gives_what_a_run_would(tmp_path: Path) -> None:
    """Counts, reasons, dialect and mapping are those of the reader, with lines and texts of what is refused."""
    seen, read = inspect(FAULTY, tmp_path), read_bytes(FAULTY, tmp_path)
    assert seen.to_json()["lines_read"] == 6
    assert seen.counts == vars(read.result.counts)
    assert seen.reasons == read.result.reasons
    assert {one.line: one.reason for one in seen.examples} == read.faults
    assert [one.raw for one in seen.examples][:2] == ["2,b,z,0,1,2024-01-31", '3,c,"open,1,1,2024-01-31']
    assert seen.first_lines[:2] == [
        (2, ["1", "a", "x\ny", "1", "2.50", "2024-01-31"]),
        (4, ["2", "b", "z", "0", "1", "2024-01-31"]),
    ]
    assert (seen.error, seen.refusal, seen.mapped) == (None, None, True)
    assert seen.to_json()["dialect"] == {
        "encoding": "utf-8",
        "delimiter": ",",
        "quote": '"',
        "decimal": ".",
        "header": True,
        "times": "plain",
        "confidence": {"encoding": 1.0, "delimiter": 0.75},
    }


def test_a_csv_without_orders_still_tells_its_structure(tmp_path: Path) -> None:
    """No column for order or item: dialect, lines and structural reasons are told, and that it is not mapped."""
    seen = inspect(b'when;what\n1;a\n2;b;c\n3\n4;"d\n\n5;e\n', tmp_path)
    told = seen.to_json()
    assert (told["error"], told["mapped"], told["mapping"]) == (None, False, {})
    assert told["refusal_code"] == "drop_unmapped"
    assert told["dialect"]["delimiter"] == ";"
    assert (told["lines_read"], told["lines_blank"], told["lines_header"]) == (5, 1, 1)
    assert told["reasons"] == {"too_few_fields": 1, "too_many_fields": 1, "unbalanced_quote": 1}
    assert [one["raw"] for one in told["examples"]] == ["2;b;c", "3", '4;"d']
    assert (told["lines_accepted"], told["lines_quarantined"]) == (None, 3)


def test_what_two_formats_fit_is_asked_and_the_answer_taken(tmp_path: Path) -> None:
    """An inspection asks for dates and decimals at once; the offered lines, put into the profile, answer."""
    content = b'order_id,item,price,order_date\n1,a,"1,234",1/2/2024 8:30\n2,b,"5,000",3/4/2024\n'
    seen = inspect(content, tmp_path)
    assert (seen.mapped, seen.refusal and seen.refusal.code) == (True, "drop_ambiguous")
    assert seen.found is not None
    assert [(one["about"], one["column"]) for one in seen.found.questions] == [
        ("dates", "order_date"),
        ("decimals", "price"),
    ]
    assert seen.profile is not None
    for answer in [answer for one in seen.found.questions for answer in one["answers"]]:
        assert f"# {answer}" in seen.profile
    still = inspect(content, tmp_path, starter(seen, tmp_path))
    assert still.refusal is not None
    assert still.refusal.code == "drop_ambiguous"
    date = seen.found.answers("dates")[1]
    answered = starter(seen, tmp_path, {"ordered_at =": date, '# decimal = ","': 'decimal = ","'})
    read = read_bytes(content, tmp_path, answered)
    assert [str(price) for price in read.column("unit_price")] == ["1.2340", "5.0000"]
    assert [time.isoformat() for time in read.column("ordered_at")] == ["2024-01-02T08:30:00", "2024-03-04T00:00:00"]


@pytest.mark.parametrize(
    ("content", "profile"),
    [
        (FAULTY, "auto"),
        ("Bestellung;order_id;item;Preis;price\n1;1;Öl;x;2,39\n".encode("cp1252"), "auto"),
        ("\ufefforder_id\titem\tdate\ttime\n1\ta\t2024-01-31\t9:05\n".encode("utf-16"), "auto"),
        (b"order_id,item,order_date\n1,a,31/1/2024 8:30\n2,a,1/2/2024\n", "auto"),
        (b"order_id,item,order_date\n1,a,45474.5\n", "auto"),
        (b'order_id,"item ""x"" \x7f",item\n1,2,3\n', "auto"),
        (
            b"InvoiceNo,StockCode,Description,Quantity,UnitPrice,CustomerID,InvoiceDate\n1,POST,x,1,2,3.0,\n",
            "uci-online-retail",
        ),
    ],
)
def test_the_starter_profile_reads_the_file_the_same(content: bytes, profile: str, tmp_path: Path) -> None:
    """The offered profile is valid, and with it the file gives the same lines."""
    seen = inspect(content, tmp_path, profile)
    again = inspect(content, tmp_path, starter(seen, tmp_path))
    assert again.refusal is None
    assert again.found is not None
    assert seen.found is not None
    assert (again.counts, again.reasons, again.examples) == (seen.counts, seen.reasons, seen.examples)
    assert again.found.mapping == seen.found.mapping
    assert again.found.dialect == seen.found.dialect


def test_the_starter_profile_keeps_what_its_own_profile_says(tmp_path: Path) -> None:
    """Rules, privacy, item file and time zone of the profile that was given are in the one that is offered."""
    parts = {
        "timezone": "Europe/London",
        "currency": "GBP",
        "privacy": {"pseudonymise": True},
        "rules": {
            "max_lines_per_order": 3,
            "exclude_items": ["POST"],
            "cancelled": {"column": "order_id", "prefix": "C"},
        },
    }
    given = SourceProfile.checked({"name": "given", **parts}, "a test")
    offered = starter(inspect(FAULTY, tmp_path, given), tmp_path)
    assert {name: offered.to_json()[name] for name in parts} == {name: given.to_json()[name] for name in parts}


def test_a_starter_profile_of_unknown_columns_proposes_what_it_can(tmp_path: Path) -> None:
    """Recognised columns are written, missing ones are left to fill in, and names for a file without header offered."""
    seen = inspect(b"order no,Artikel\n1,a\n", tmp_path)
    profile = starter(seen, tmp_path, {"# item_id =": 'item_id = "Artikel"'})
    assert profile.columns.named() == {"order_id": ("order no",), "item_id": ("Artikel",)}
    assert read_bytes(b"order no,Artikel\n1,a\n", tmp_path, profile).column("item_id") == ["a"]
    assert seen.profile is not None
    assert '# names = ["column1", "column2"]' in seen.profile


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "drop_empty"),
        (b"\n\n", "drop_empty"),
        (b"%PDF-1.7", "drop_unreadable"),
        (b"\x01\x02" * 50, "drop_unreadable"),
    ],
)
def test_only_what_cannot_be_read_is_an_error(content: bytes, code: str, tmp_path: Path) -> None:
    """An empty or binary file is an error; a header without a line is not, but a run would refuse it."""
    told = inspect(content, tmp_path).to_json()
    assert (told["error_code"], told["dialect"], told["profile"]) == (code, None, None)
    header = inspect(b"order_id,item\n", tmp_path).to_json()
    assert (header["error"], header["refusal_code"], header["mapped"], header["lines_read"]) == (
        None,
        "drop_empty",
        True,
        0,
    )


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """What is no regular file cannot be read twice: it is an error at once, with the next step."""
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "scratch").mkdir()
    seen = inspect_file(tmp_path / "pipe.csv", load_profile("auto"), now=NOW, scratch=tmp_path / "scratch")
    assert seen.error is not None
    assert seen.error.code == "drop_unreadable"
    assert "Write the orders to a file" in seen.error.hint


def test_confidence_says_how_sure_the_encoding_is(tmp_path: Path) -> None:
    """ASCII, a byte order mark and the profile's word are certain; cp1252 by elimination never is."""
    lines = "order_id,item\n1,Öl\n2,Käse\n"
    confidence = {
        encoding: inspect(lines.encode(encoding), tmp_path).to_json()["dialect"]["confidence"]["encoding"]
        for encoding in ("utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le")
    }
    assert confidence == {"utf-8": 1.0, "utf-8-sig": 1.0, "cp1252": 0.9, "utf-16": 1.0, "utf-16-le": 0.9}
    jumble = b"order_id,item\n1,\xc4\xcb\xd1\xb1\n2,\xb8\xa4\xac\xa6\xa8\n"
    assert inspect(jumble, tmp_path).to_json()["dialect"]["confidence"]["encoding"] < 0.6
    told = SourceProfile.checked({"name": "t", "dialect": {"encoding": "cp1251", "delimiter": ","}}, "a test")
    assert inspect(jumble, tmp_path, told).to_json()["dialect"]["confidence"] == {"encoding": 1.0, "delimiter": 1.0}


def test_the_command_answers_each_file_and_needs_no_home(tmp_path: Path) -> None:
    """One JSON object a file, code 3 only where one cannot be read, a profile that is not overwritten, and no home."""
    shop = new_shop(tmp_path)
    good, other = shop.write("good.csv", FAULTY), shop.write("other.csv", "a,b\n1,2\n")
    both = shop.reco("inspect", good, other, tmp_path / "none.csv", "--json")
    told = [json.loads(line) for line in both.out.splitlines()]
    assert both.code == 3
    assert [one["error_code"] for one in told] == [None, None, "drop_missing"]
    assert [one["lines_read"] for one in told] == [6, 1, None]
    profile = tmp_path / "good.toml"
    plain = shop.reco("inspect", good, "--profile-out", profile)
    assert plain.code == 0, plain.err
    assert "unbalanced_quote" in plain.out
    assert load_profile(profile).columns.order_id == ("order_id",)
    assert shop.reco("inspect", good, "--profile-out", profile).code == 2
    assert not shop.home.exists()


@settings(max_examples=60)
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf")
@example(b"\xff\xfe\n\x00")
@example(b"\x1f\x8b")
@example(b"PK\x03\x04")
@example(b"\x28\xb5\x2f\xfd")
@example(b'order_id,item\n1,"')
@given(
    st.binary(max_size=120)
    | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.text(st.sampled_from('ab1,;|\t"\n\r é'), max_size=80).map(lambda text: b"order_id,item\n" + text.encode())
)
def test_any_bytes_get_an_answer(content: bytes) -> None:
    """Whatever a file holds, inspecting it tells either an error or lines that add up, and a profile that loads."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seen = inspect(content, folder)
        told = json.loads(json.dumps(seen.to_json()))
        if seen.error is not None:
            assert told["lines_read"] is None
            return
        starter(seen, folder)
        quarantined = told["lines_quarantined"]
        if seen.refusal is None:
            assert told["lines_read"] == told["lines_accepted"] + told["lines_excluded"] + quarantined
        else:
            assert told["lines_read"] >= quarantined == sum(told["reasons"].values())


CUSTOMERS = {
    "name": "shy",
    "privacy": {"pseudonymise": True},
    "columns": {"order_id": ["day", "who"], "item_id": "sku", "customer_id": "who", "quantity": "n"},
}


def test_a_pseudonymising_profile_shows_no_customer(tmp_path: Path) -> None:
    """Neither first lines nor examples have a customer's id, where the columns are mapped and where they are not."""
    shy = SourceProfile.checked(CUSTOMERS, "a test")
    content = b"day,who,sku,n\n1,mary-7,a,1\n,mary-7,a,1\n1,mary-7,a,none\n1,mary-7,a\n"
    seen = inspect(content, tmp_path, shy)
    assert seen.reasons == {"missing_order_id": 1, "invalid_quantity": 1, "too_few_fields": 1}
    assert seen.first_lines[0] == (2, ["1", "(hidden: a customer id)", "a", "1"])
    hidden = "(hidden: a customer id)"
    assert [one.raw for one in seen.examples] == [f",{hidden},a,1", f"1,{hidden},a,none", hidden]
    assert "mary-7" not in json.dumps(seen.to_json())
    for profile in (shy, "auto"):
        unmapped = inspect(b"day,customer_id,nothing\n1,mary-7,a\n1,mary-7\n", tmp_path, profile)
        assert (unmapped.mapped, len(unmapped.first_lines), len(unmapped.examples)) == (False, 1, 1)
        assert "mary-7" not in json.dumps(unmapped.to_json())
    open_profile = SourceProfile.checked(CUSTOMERS | {"privacy": {"pseudonymise": False}}, "a test")
    assert json.dumps(inspect(content, tmp_path, open_profile).to_json()).count("mary-7") == 6
