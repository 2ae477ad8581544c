"""Records of several lines: what is inside of quotes is never an order, and no quote costs the rest of the file."""

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reco.orders import quoted
from reco.orders.dialect import Dialect, find_layout
from reco.orders.profiles import SourceProfile
from reco_pipeline_tests.reading import ReadDrop, read_bytes

PROFILE = SourceProfile.checked({"name": "quoted", "dialect": {"encoding": "utf-8", "delimiter": ","}}, "a test")


def read(content: bytes, folder: Path) -> ReadDrop:
    """Reads a file in both ways, which agree."""
    fast = read_bytes(content, folder, PROFILE)
    slow = read_bytes(content, folder, PROFILE, record_by_record=True)
    assert (fast.digests, fast.result) == (slow.digests, slow.result)
    return fast


@pytest.mark.parametrize(
    ("text", "items", "faults"),
    [
        (b'1,"text\n2,fake\nmore"\n3,c\n', ["text\n2,fake\nmore", "c"], {}),
        (b'1,"text\n2,fake\n3,fake\nmore\n\n"\n4,c\n', ["text\n2,fake\n3,fake\nmore", "c"], {}),
        (b'1,"a\nb,""c"",d\ne,f"\n4,c\n', ['a\nb,"c",d\ne,f', "c"], {}),
        (b'"1\n2,x","y"\n4,c\n', ["y", "c"], {}),
        (b'1,"text\n2,fake\nmore",too many\n3,c\n', ["c"], {2: "too_many_fields"}),
        (b'"1,text\n2,fake\nmore"\n3,c\n', ["c"], {2: "too_few_fields"}),
        (b'1,"text\n2,fa\0ke\nmore"\n3,c\n', ["c"], {2: "null_byte"}),
    ],
)
def test_the_inside_of_a_quoted_text_is_no_order(
    text: bytes, items: list[str], faults: dict[int, str], tmp_path: Path
) -> None:
    """A record whose quotes are closed takes all of its lines along, whatever they look like and whatever its fault."""
    found = read(b"order_id,item_id\n" + text, tmp_path)
    assert (found.column("item_id"), found.faults) == (items, faults)


@pytest.mark.parametrize(
    ("text", "items", "faults"),
    [
        (b'1,"a,1\n2,b,1\n3,"c",1\n4,d"e,1\n', ["b", "c", 'd"e'], [2]),
        (b'1,"a,1\n2,b,1\n3,"\nc",1\n4,d,1\n', ["b", "c", "d"], [2]),
        (b'1,"a,1\n' + b"2,b,1\n" * 1500 + b'3,c",1\n', [*["b"] * 1500, 'c"'], [2]),
        (b'1,"a,1\n' + b"2,b,1\n" * 5, ["b"] * 5, [2]),
    ],
)
def test_an_open_quote_costs_its_own_line(text: bytes, items: list[str], faults: list[int], tmp_path: Path) -> None:
    """Where nothing closes a quote within a record's bounds, the lines after it are read as if it were not there."""
    found = read(b"order_id,item_id,quantity\n" + text, tmp_path)
    assert (found.column("item_id"), found.faults) == (items, dict.fromkeys(faults, "unbalanced_quote"))


@pytest.mark.parametrize(
    ("text", "items", "faults"),
    [
        (
            b'1,"He said "hi"\n2,fake\nand left"\n3,c\n',
            ["c"],
            {2: "unbalanced_quote", 3: "unbalanced_quote", 4: "too_few_fields"},
        ),
        (
            b'1,"text\n2,fake\nsaid "hi" there\n\n3,fake\nend so."\n4,c\n',
            ["c"],
            {2: "unbalanced_quote", 3: "unbalanced_quote", 4: "too_few_fields", 6: "unbalanced_quote"}
            | {7: "too_few_fields"},
        ),
        (b'1,"a"b"\n2,b\n3,c\n4,d"\n5,e\n', ["b", "c", 'd"', "e"], {2: "unbalanced_quote"}),
        (b'1,"a"b"\n2,b\n3,c\n4,d\n5,e\n6,f\n7,g,h"\n', list("bcdef"), {2: "unbalanced_quote", 8: "too_many_fields"}),
        (b'1,"a"b"\n2,b\n3,"c\nd"\n', ["b", "c\nd"], {2: "unbalanced_quote"}),
    ],
)
def test_a_text_whose_quotes_are_not_in_order_gives_no_orders(
    text: bytes, items: list[str], faults: dict[int, str], tmp_path: Path
) -> None:
    """Where two lines with a quote too many stand near each other, what lies between is not taken for orders.

    Where the second is a record by itself, or nearly all between are, the first alone is at fault.
    """
    found = read(b"order_id,item_id\n" + text, tmp_path)
    assert (found.column("item_id"), found.faults) == (items, faults)


def test_what_may_be_a_text_or_orders_is_neither(tmp_path: Path) -> None:
    """Lines between two stray quotes that all look like orders are quarantined one by one, and no others."""
    text = b'1,"a,1\n2,b,1\n\n3,c\0,1\n4,b,1\n5,b,1\n6,b,1\n7,b,1\n8,24",1\n9,z,1\n'
    found = read(b"order_id,item_id,quantity\n" + text, tmp_path)
    assert found.column("item_id") == ["z"]
    expected = dict.fromkeys([2, 3, 6, 7, 8, 9, 10], "unbalanced_quote") | {5: "null_byte"}
    assert found.faults == expected
    counts = found.result.counts
    assert (counts.lines_read, counts.lines_blank) == (9, 1)


def test_the_work_grows_with_the_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that each open a quote and close that of the line before are looked at a few times each, not thousands."""
    looked_at = 0
    plain = quoted.split

    def counting(text: str, dialect: Dialect) -> list[str] | str:
        nonlocal looked_at
        looked_at += len(text)
        return plain(text, dialect)

    for module in ("quoted", "records"):
        monkeypatch.setattr(f"reco.orders.{module}.split", counting)
    for line in (b'1","a ""x"" b\n', b'1,"a\n', b'1,""",\n', b'1,",\n'):
        looked_at = 0
        content = b"order_id,item_id,note\n" + line * 2000
        found = read_bytes(content, tmp_path, PROFILE)
        assert found.result.counts.lines_read > 0
        assert looked_at < 12 * len(content), line


FIELDS = st.text(st.sampled_from('ab,"\n\r1'), max_size=30)


@settings(max_examples=12)
@given(st.lists(st.tuples(st.integers(1, 99).map(str), FIELDS, FIELDS), min_size=1, max_size=6))
@example([("1", "a\n1,b,c\n1,b,c", "\n")])
def test_a_whole_file_is_read_as_it_was_written(rows: list[tuple[str, str, str]]) -> None:
    """Of a file in which every quote is in order nothing is refused for its structure, and every text comes back."""
    target = io.StringIO(newline="")
    csv.writer(target, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        found = read(b'"order_id","item_id","category"\n' + target.getvalue().encode(), Path(folder))
    blanks = " \t\n\r"
    kept = [(item.strip(blanks), note.strip(blanks) or None) for _, item, note in rows if item.strip(blanks)]
    assert list(zip(found.column("item_id"), found.column("category"), strict=True)) == kept
    assert set(found.faults.values()) <= {"missing_item"}


@pytest.mark.parametrize(
    ("text", "header", "lines"),
    [
        ('order_id,"item\n"1","PID"\n2,x\n', ("order_id", "item"), 1),
        ('order_id,"item\n1,a\n2,b"\n3,c\n', ("order_id", "item"), 1),
        ('order_id,"item\nname"\n1,x\n', ("order_id", "item\nname"), 2),
        ('"order, id" ,item\n1,x\n', ("order, id", "item"), 1),
        ('"order, id",item\n1,x\n', ("order, id", "item"), 1),
    ],
)
def test_a_header_takes_no_row_for_a_name(text: str, header: tuple[str, ...], lines: int) -> None:
    """A header with an open quote is its first line; one whose quotes are in order may have several."""
    layout = find_layout(text, PROFILE, "orders.csv")
    assert (layout.header, layout.dialect.header_lines) == (header, lines)
