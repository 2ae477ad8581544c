import datetime as dt
import gzip
import itertools
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from reco.errors import DropAmbiguous, DropEmpty, DropMissing, DropUnmapped, DropUnreadable, LedgerBroken
from reco.orders import judge, opened, reader
from reco.orders.dialect import probe
from reco.orders.drops import DropFile
from reco.orders.order_ids import parts_of
from reco.orders.packed import USUAL_RATIO, text_bytes
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.records import MAX_JOINED_LINES
from reco.orders.rules import COLUMNS, REASONS
from reco.orders.schema import order_lines_schema
from reco_pipeline_tests.reading import NOW, ReadDrop, read_bytes, read_files

HEAD = b"order_id,item_id,quantity,unit_price,order_date\n"


def profile(**parts: Any) -> SourceProfile:
    return SourceProfile.checked({"name": "test", **parts}, "a test")


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> dt.datetime:
    """A time as the lake has it: UTC, without a zone."""
    return dt.datetime.combine(dt.date(year, month, day), dt.time(hour, minute))


def one_value(column: str, values: list[str], folder: Path, **parts: Any) -> ReadDrop:
    """Reads lines that differ in one column; the values stand in quotes."""
    quoted = (value.replace('"', '""') for value in values)
    body = "".join(f'{i},A,"{value}"\n' for i, value in enumerate(quoted))
    return read_bytes(f"order_id,item_id,{column}\n{body}".encode(), folder, profile(**parts))


def test_ids_stay_text_and_lose_only_blanks_around_them(tmp_path: Path) -> None:
    """`00123` stays, NULL and NaN are text, blanks and no-break blanks at the ends go, those inside stay."""
    read = read_bytes("order_id,item\n00123, a b \n1e5,NULL\n7.0,NaN\n8,\u00a0NONE\t\n".encode(), tmp_path)
    assert read.column("order_id") == ["00123", "1e5", "7.0", "8"]
    assert read.column("item_id") == ["a b", "NULL", "NaN", "NONE"]
    assert read.column("item_name") == read.column("item_id")
    assert read.column("quantity") == [1, 1, 1, 1]


def test_decimals_go_only_where_the_profile_says(tmp_path: Path) -> None:
    """17850.0 becomes 17850 in the columns of `strip_decimal` and nowhere else."""
    text = b"order_id,item_id,CustomerID\n1.0,2.0,17850.0\n2,2,17850.5\n"
    read = read_bytes(text, tmp_path, profile(rules={"strip_decimal": ["CustomerID"]}))
    assert read.column("customer_id") == ["17850", "17850.5"]
    assert read.column("order_id") == ["1.0", "2"]


def test_an_order_id_of_several_columns_needs_each(tmp_path: Path) -> None:
    """Parts of a composite order id are joined; a line that lacks one has no order id."""
    columns = {"order_id": ["day", "who"], "item_id": "sku"}
    read = read_bytes(b"day,who,sku\n1,a,x\n1,,x\n", tmp_path, profile(columns=columns))
    assert read.column("order_id") == ["1|a"]
    assert read.faults == {3: "missing_order_id"}


def test_different_parts_never_make_the_same_order_id(tmp_path: Path) -> None:
    """A bar in a part of a composite id is told from the one between parts; ids without such a part stay as they were.

    Taken apart again, an id gives the parts it was made of.
    """
    pairs = [("a", "b|c"), ("a|b", "c"), ("a%7Cb", "c"), ("a%7Cb", "c|"), ("a%257Cb|", "c"), ("a", "b"), ("a\\", "b")]
    columns = {"order_id": ["day", "who"], "item_id": "sku"}
    text = "day,who,sku\n" + "".join(f"{day},{who},x\n" for day, who in pairs)
    ids = read_bytes(text.encode(), tmp_path, profile(columns=columns)).column("order_id")
    assert ids[5:] == ["a|b", "a\\|b"]
    assert len(set(ids)) == len(pairs)
    assert [tuple(parts_of(one)) for one in ids] == pairs


def test_quantities_are_whole_numbers(tmp_path: Path) -> None:
    """3.0, +2 and 1,000 are whole numbers; 2.6, 1e2, 1_000, blanks and words are none, and zero or less is no sale."""
    values = ["1", "3.0", "+2", "2.6", "1e2", "1_000", "1,000", "", "two", "0", "-4", "9999999999"]
    read = one_value("quantity", values, tmp_path)
    assert read.column("quantity") == [1, 3, 2, 1000]
    invalid = dict.fromkeys([5, 6, 7, 9, 10, 13], "invalid_quantity")
    assert read.faults == invalid | {11: "nonpositive_quantity", 12: "nonpositive_quantity"}


def test_prices_may_have_currency_and_thousands(tmp_path: Path) -> None:
    """Amounts with a sign or code of a currency and thousands separators are read; nan, inf and words are refused."""
    values = [
        "2.39 ",
        "$2.39",
        "£1,234.50",
        "EUR 5",
        "5 €",
        ".5",
        "",
        "nan",
        "inf",
        "1e2",
        "12,34",
        "-1",
        "--1",
        "1.2.3",
    ]
    read = one_value("price", values, tmp_path)
    money = [None if text is None else Decimal(text) for text in ("2.39", "2.39", "1234.5", "5", "5", ".5", None)]
    assert read.column("unit_price") == money
    invalid = dict.fromkeys([9, 10, 11, 12, 14, 15], "invalid_price")
    assert read.faults == invalid | {13: "negative_price"}


@pytest.mark.parametrize(
    ("values", "cents"),
    [
        (["R$ 5.20", "5.20 kr", "kr. 5.20", "5.20 zł", "5.20Kč", "CHF 5.20", "5.20 CHF", "usd 5.20", "5.20 USD"], 520),
        (
            ["US$5.20", "$5.20 USD", "Rs. 5.20", "5.20 лв", "€\u202f5.20", "HUF 5.20", "5.20 Ft", "₴5.20"],
            520,
        ),
        (["R$ 1.234,50", "1.234,50 kr", "1 234,50 Kč", "zł 1234,50", "CHF 1'234,50", "EUR 1\u2019234,50"], 123450),
    ],
)
def test_amounts_of_many_countries(values: list[str], cents: int, tmp_path: Path) -> None:
    """Signs, codes and abbreviations of currencies before or behind an amount are no part of it."""
    read = one_value("price", values, tmp_path)
    assert (read.column("unit_price"), read.faults) == ([Decimal(cents) / 100] * len(values), {})


@pytest.mark.parametrize(
    ("quantities", "prices", "expected"),
    [
        (["1,000", "12,000,000", "2"], ["2.50", "1", "1"], [1000, 12_000_000, 2]),
        (["1.000", "1 500", "2"], ["2,50", "1", "1"], [1000, 1500, 2]),
        (["1.000", "1", "2"], ["2.50", "1", "1"], [1, 1, 2]),
        (["1,500", "1", "2"], ["", "", ""], [1500, 1, 2]),
        (["1,000", "1", "2"], ["", "", ""], None),
    ],
)
def test_thousands_of_pieces_are_read_where_the_file_proves_them(
    quantities: list[str], prices: list[str], expected: list[int] | None, tmp_path: Path
) -> None:
    """The decimal sign of the amounts tells what stands between thousands; where nothing does, it is asked for."""
    rows = [f'{i},A,"{n}","{price}"\n' for i, (n, price) in enumerate(zip(quantities, prices, strict=True))]
    read = read_bytes(b"order_id,item_id,quantity,price\n" + "".join(rows).encode(), tmp_path)
    if expected is None:
        assert isinstance(read.result.error, DropAmbiguous)
        assert "'1,000'" in str(read.result.error)
    else:
        assert (read.column("quantity"), read.faults) == (expected, {})


def test_a_decimal_comma_is_the_profiles_to_say(tmp_path: Path) -> None:
    """With decimal "," amounts read 1.234,50 and 2,5, and 2.50 is not taken for 250."""
    read = one_value("price", ["1.234,50", "2,5", "2.50"], tmp_path, dialect={"decimal": ","})
    assert read.column("unit_price") == [Decimal("1234.5"), Decimal("2.5")]
    assert read.faults == {4: "invalid_price"}


def test_the_line_total_is_given_or_price_times_quantity(tmp_path: Path) -> None:
    """A line total column counts as it is; else the total is unit price times quantity, and null without a price."""
    read = read_bytes(b"order_id,item_id,quantity,unit_price\n1,a,3,1.10\n1,b,3,\n", tmp_path)
    assert read.column("line_total") == [Decimal("3.3"), None]
    given = read_bytes(b"order_id,item_id,quantity,sales_value\n1,a,3,1.10\n", tmp_path)
    assert (given.column("line_total"), given.column("unit_price")) == ([Decimal("1.1")], [None])


def test_a_total_that_cannot_be_stored_is_refused(tmp_path: Path) -> None:
    """A product beyond the range of money is an invalid price, not an error of the run."""
    read = read_bytes(b"order_id,item_id,quantity,unit_price\n1,a,999999999,999999999999\n2,a,1,2\n", tmp_path)
    assert read.faults == {2: "invalid_price"}


def test_offsets_count_and_naive_times_are_the_shops(tmp_path: Path) -> None:
    """An offset in the text decides; a time without one is in the profile's time zone; both are stored in UTC."""
    values = [
        "2024-07-05 10:00:00",
        "2024-07-05T10:00:00+02:00",
        "2024-07-05T10:00:00Z",
        "2024-01-05 9:05",
        "2024-07-05 10:00 -0500",
    ]
    read = one_value("order_date", values, tmp_path, timezone="Europe/London")
    hours = [(7, 9, 0), (7, 8, 0), (7, 10, 0), (1, 9, 5), (7, 15, 0)]
    assert read.column("ordered_at") == [utc(2024, month, 5, hour, minute) for month, hour, minute in hours]


def test_implausible_times_are_refused(tmp_path: Path) -> None:
    """Words are no time; before 1990 and more than two days after the run is out of range; blank is null."""
    values = ["2024-01-01", "", "hello", "1989-12-31", "2026-01-17 12:00:00", "2026-01-17 12:00:01", "2024-02-30"]
    read = one_value("order_date", values, tmp_path)
    assert [time.year if time else None for time in read.column("ordered_at")] == [2024, None, 2026]
    assert read.faults == {
        4: "invalid_timestamp",
        5: "timestamp_out_of_range",
        7: "timestamp_out_of_range",
        8: "invalid_timestamp",
    }


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (["1/2/2024", "13/2/2024"], utc(2024, 2, 1)),
        (["1/2/2024 8:26", "2/13/2024 8:26", "99/99/2024"], utc(2024, 1, 2, 8, 26)),
        (["5.5.2024", "6/6/24"], utc(2024, 5, 5)),
    ],
)
def test_a_column_of_dates_tells_its_order(values: list[str], first: dt.datetime, tmp_path: Path) -> None:
    """Where all dates of a column fit one order of day and month only, or mean the same in both, that is it."""
    assert one_value("order_date", values, tmp_path).column("ordered_at")[0] == first


@pytest.mark.parametrize("values", [["1/2/2024", "3/4/2024"], ["13/2/2024", "2/13/2024", "3/4/2024"]])
def test_dates_that_fit_two_formats_are_not_guessed(values: list[str], tmp_path: Path) -> None:
    """The drop fails, asking for `format`; with it the drop is read."""
    error = one_value("order_date", values, tmp_path).result.error
    assert isinstance(error, DropUnmapped)
    assert "order_date" in str(error)
    assert "format" in error.hint
    told = {"order_id": "order_id", "item_id": "item_id", "ordered_at": {"column": "order_date", "format": "%d/%m/%Y"}}
    read = one_value("order_date", values, tmp_path, columns=told)
    assert read.column("ordered_at")[0] == utc(2024, *[int(part) for part in values[0].split("/")[1::-1]])


def test_the_first_reason_decides_and_the_rest_are_kept(tmp_path: Path) -> None:
    """Excluded by rule comes before values; every reason is on record with column, value and bytes."""
    rules = {"cancelled": {"column": "order_id", "prefix": "C"}, "exclude_items": ["POST"]}
    read = read_bytes(HEAD + b"C1,POST,-1,x,2024-01-01\n , ,1,1,2024-01-01\n", tmp_path, profile(rules=rules))
    first, second = read.others.iter_rows(named=True)
    assert (first["reason"], first["disposition"], first["column"], first["value"]) == (
        "cancelled",
        "excluded",
        "order_id",
        "C1",
    )
    assert first["also"] == ["excluded_item", "nonpositive_quantity", "invalid_price"]
    assert (first["raw"], first["byte_offset"]) == (b"C1,POST,-1,x,2024-01-01", len(HEAD))
    assert (second["reason"], second["also"], second["value"]) == ("missing_order_id", ["missing_item"], None)
    assert read.result.reasons == {"cancelled": 1, "missing_order_id": 1}


def test_statuses_are_left_out_in_any_case_of_letters(tmp_path: Path) -> None:
    """A line whose status is listed is excluded with that status as its value."""
    rules = {"excluded_status": {"column": "Status", "values": ["Cancelled"]}}
    read = read_bytes(b"order_id,item_id,status\n1,a,CANCELLED \n2,a,paid\n3,a,\n", tmp_path, profile(rules=rules))
    assert read.faults == {2: "excluded_status"}
    assert read.others["value"].to_list() == ["CANCELLED"]


def test_repeats_are_counted_and_left_out_only_if_asked(tmp_path: Path) -> None:
    """Exact repeats of a record count as duplicates; with `exclude` all but the first are left out."""
    text = b'order_id,item_id,note\n1,a,x\n1,a,"x"\n1,a,y\n1,a,x\n2,b,"p\nq"\n2,b,"p\nq"\n'
    kept = read_bytes(text, tmp_path)
    assert (kept.result.counts.lines_duplicate, kept.faults) == (3, {})
    excluded = read_bytes(text, tmp_path, profile(rules={"duplicates": "exclude"}))
    assert excluded.faults == dict.fromkeys([3, 5, 8], "duplicate_line")
    assert excluded.result.counts.lines_duplicate == 3


def test_the_first_of_repeats_stays_however_it_is_written(tmp_path: Path) -> None:
    """Of equal records the one that comes first is kept, also where a suspicious line comes before a plain one."""
    text = b'order_id,item_id\n1,5" pipe\n1,"5"" pipe"\n'
    read = read_bytes(text, tmp_path, profile(rules={"duplicates": "exclude"}))
    assert read.faults == {3: "duplicate_line"}


def test_orders_above_the_limit_are_left_out_whole(tmp_path: Path) -> None:
    """All lines of an order with more lines than `max_lines_per_order` are excluded, and no other order's."""
    text = b"order_id,item_id\n1,a\n2,a\n1,b\n2,b\n1,c\n"
    read = read_bytes(text, tmp_path, profile(rules={"max_lines_per_order": 2}))
    assert read.faults == dict.fromkeys([2, 4, 6], "oversized_order")
    assert read.column("order_id") == ["2", "2"]


def test_a_quoted_newline_makes_one_line(tmp_path: Path) -> None:
    """A record of several physical lines is one line under its first number, and those after keep theirs."""
    read = read_bytes(b'order_id,item\n1,"a\n\nb"\n2,c\n3\n', tmp_path)
    assert read.column("line") == [2, 5]
    assert read.column("item_id") == ["a\n\nb", "c"]
    assert read.faults == {6: "too_few_fields"}
    assert (read.result.counts.lines_read, read.result.counts.lines_blank) == (3, 0)


def test_an_unclosed_quote_costs_one_line(tmp_path: Path) -> None:
    """An unclosed quote does not take the lines after it along, though a later line has quotes of its own."""
    read = read_bytes(b'order_id,item,q\n1,"a,1\n2,b,1\n3,"c",1\n4,d"e,1\n', tmp_path)
    assert read.faults == {2: "unbalanced_quote"}
    assert read.column("item_id") == ["b", "c", 'd"e']


def test_quotes_count_only_around_a_whole_field(tmp_path: Path) -> None:
    """Text outside of the quotes of a field is a fault; a quote after a blank or inside a field is a character."""
    read = read_bytes(b'order_id,item\n1,"x" \n2, "y"\n3,"a" "b"\n4,c""\n', tmp_path)
    assert read.faults == {2: "unbalanced_quote", 4: "unbalanced_quote"}
    assert read.column("item_id") == ['"y"', 'c""']


def test_a_record_has_a_bounded_number_of_lines(tmp_path: Path) -> None:
    """Beyond a thousand physical lines an open quote is not waited for; one line less is still a record."""
    for lines, accepted in ((MAX_JOINED_LINES, 1), (MAX_JOINED_LINES + 1, 0)):
        text = b'order_id,item,q\n1,"' + b"x\n" * (lines - 1) + b'y",1\n'
        read = read_bytes(text, tmp_path)
        assert len(read.column("order_id")) == accepted


def test_a_line_that_is_too_long_is_refused(tmp_path: Path) -> None:
    """A line above `max_line_bytes` is quarantined whole, and so is a quoted text that would grow beyond it."""
    text = b"order_id,item\n1," + b"x" * 1024 + b'\n2,b\n3,"' + b"y" * 600 + b"\n" + b"z" * 600 + b'"\n'
    read = read_bytes(text, tmp_path, profile(rules={"max_line_bytes": 1024}))
    assert read.faults == {2: "oversized_line", 4: "unbalanced_quote", 5: "too_few_fields"}
    assert read.column("order_id") == ["2"]


def test_lines_longer_than_a_block_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks end where lines end, whatever the lines: the parts do not depend on the size of a block."""
    text = b'order_id,item\r\n1,a\r\n2,"' + b"x" * 300 + b'\r\ny"\r\n\r\n3,' + b"z" * 400 + b"\r4\n5,\xc3\xa9\n6,b,\n"
    whole = read_bytes(text, tmp_path)
    for size in (7, 16, 64):
        monkeypatch.setattr("reco.orders.lines.BLOCK", size)
        monkeypatch.setattr("reco.orders.lines._WINDOW", size)
        limited = read_bytes(text, tmp_path, profile(name="auto", rules={"max_line_bytes": 1024}))
        # A line above the block is not looked at byte by byte, so it is read by itself: equal in its result.
        assert limited.accepted.equals(whole.accepted)
        assert limited.faults == whole.faults == {7: "too_few_fields", 9: "too_many_fields"}


def test_every_encoding_gives_the_same_lines(tmp_path: Path) -> None:
    """UTF-8 with a mark, UTF-16 of either order, with or without a mark, cp1252 and latin-1 read alike, bytes kept."""
    text = "order_id,item_id,price\n1,café €,1\n2,naïve,x\n3,b\n"
    plain = read_bytes(text.encode(), tmp_path)
    cases = {
        "utf-8-sig": "utf-8",
        "utf-16": "utf-16-le",
        "utf-16-le": "utf-16-le",
        "utf-16-be": "utf-16-be",
        "cp1252": "cp1252",
    }
    for encoding, name in cases.items():
        content = text.encode(encoding)
        read = read_bytes(content, tmp_path)
        assert read.accepted.equals(plain.accepted), encoding
        assert read.result.encoding == name
        unit = "utf-8" if encoding == "utf-8-sig" else name
        for row in read.others.iter_rows(named=True):
            at = row["byte_offset"]
            assert content[at : at + len(row["raw"])] == row["raw"]
            assert row["raw"].decode(unit) in text.splitlines()
    pairs = "order_id,item\n1,🍞\n2\n".encode("utf-16")
    (row,) = read_bytes(pairs, tmp_path).others.iter_rows(named=True)
    assert pairs[row["byte_offset"] :] == "2\n".encode("utf-16-le")
    latin = read_bytes(b"order_id,item\n1,caf\xe9\x81\n", tmp_path)
    assert (latin.result.encoding, latin.column("item_id")) == ("latin-1", ["caf\xe9\x81"])


def test_damage_in_an_encoding_costs_its_line(tmp_path: Path) -> None:
    """Bytes the encoding does not know quarantine their line: in UTF-8, in UTF-16 and in a declared encoding."""
    good = "order_id,item\n1,é\n2,é\n"
    cases = [
        (good.encode() + b"3,\xff\n4,b\n", profile()),
        (good.encode("utf-16") + "3,".encode("utf-16-le") + b"\x00\xd8" + "\n4,b\n".encode("utf-16-le"), profile()),
        (good.encode("cp1252") + b"3,\x81\n4,b\n", profile(dialect={"encoding": "cp1252"})),
    ]
    for content, taken in cases:
        read = read_bytes(content, tmp_path, taken)
        assert read.faults == {4: "bad_encoding"}
        assert read.column("order_id") == ["1", "2", "4"]
    torn = read_bytes(good.encode("utf-16") + b"3\x00,\x00b", tmp_path)
    assert torn.faults == {4: "bad_encoding"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends_are_found(delimiter: str, line_end: str, tmp_path: Path) -> None:
    """Every usual delimiter with every line end, without a final one, gives the same lines."""
    rows = [["order_id", "item", "quantity"], ["1", "a,b;c", "2"], ["2", "d", "0"], ["3"]]
    quoted = line_end.join(delimiter.join(f'"{f}"' if set(f) & set(",;") else f for f in row) for row in rows)
    read = read_bytes(quoted.encode(), tmp_path)
    assert read.column("item_id") == ["a,b;c"]
    assert read.faults == {3: "nonpositive_quantity", 4: "too_few_fields"}
    assert read.result.dialect == {"delimiter": delimiter, "quote": '"', "decimal": ".", "header": True}


def test_mixed_line_ends_and_blank_lines_keep_numbers(tmp_path: Path) -> None:
    """Blank lines before, between and after records and a mixture of line ends leave every number right."""
    read = read_bytes(b"\norder_id,item\r\n1,a\r\n\r\n2,b\n\r3,c\r4\n\n", tmp_path)
    assert read.column("line") == [3, 5, 7]
    assert read.faults == {8: "too_few_fields"}
    counts = read.result.counts
    assert (counts.lines_read, counts.lines_header, counts.lines_blank) == (4, 1, 4)


def test_a_file_without_header_uses_the_names_given(tmp_path: Path) -> None:
    """With header = false the first line is a record, in the fast way and the slow one."""
    taken = profile(dialect={"header": False, "names": ["order_id", "item"]})
    for content in (b"1,a\n2,b\n", b"1;a\n2;b\n", b'1,a\n2,"b\nc"\n', b"\xef\xbb\xbf1,a\n2,b\n"):
        read = read_bytes(content, tmp_path, taken)
        assert read.column("order_id") == ["1", "2"]
        assert (read.column("line"), read.result.counts.lines_header) == ([1, 2], 0)


def test_quotes_may_be_switched_off(tmp_path: Path) -> None:
    """With quote = "" a quote is a character like any other."""
    read = read_bytes(b'order_id\titem\n1\t5" pipe\n2\t"x\n', tmp_path, profile(dialect={"quote": ""}))
    assert read.column("item_id") == ['5" pipe', '"x']


def test_gzip_is_unpacked_whatever_its_name(tmp_path: Path) -> None:
    """A gzip file is read as what it holds, and offsets are those of the unpacked bytes."""
    text = b"order_id,item\n1,a\n2\n"
    for name in ("orders.csv.gz", "orders.csv"):
        read = read_bytes(gzip.compress(text), tmp_path, name=name)
        assert read.faults == {3: "too_few_fields"}
        assert read.others["byte_offset"].to_list() == [18]


UNUSABLE = [
    (b"", DropEmpty, "empty"),
    (b"\n\n", DropEmpty, "blank"),
    (b"order_id,item_id\n\n", DropEmpty, "a header and no lines below it"),
    (b"colour,size\nred,1\n", DropUnmapped, "2 fields, none of them a known name"),
    (b"colour,Qty\nred,1\n", DropUnmapped, "2 fields, of which 'Qty' is known"),
    (b"1,2\n3,4\n", DropUnmapped, "order id"),
    (b"PK\x03\x04rest", DropUnreadable, "zip"),
    (b"PAR1rest", DropUnreadable, "Parquet"),
    (bytes(range(256)) * 4, DropUnreadable, "binary"),
    (gzip.compress(b"order_id,item\n" * 9, mtime=0)[:-9], DropUnreadable, "gzip"),
    (b"\x1f\x8bjunk", DropUnreadable, "gzip"),
]


@pytest.mark.parametrize(("content", "kind", "words"), UNUSABLE)
def test_an_unusable_drop_fails_and_the_others_go_on(
    content: bytes, kind: type[Exception], words: str, tmp_path: Path
) -> None:
    """Its error names the file and what is wrong, with a next step; the good drop of the batch is read."""
    bad, good = tmp_path / "bad.csv", tmp_path / "good.csv"
    bad.write_bytes(content)
    good.write_bytes(b"order_id,item_id\n1,a\n")
    read = read_files([("bad", bad), ("good", good)], tmp_path)
    error = read["bad"].result.error
    assert isinstance(error, kind)
    assert "bad.csv" in error.message
    assert words in error.message
    assert error.hint
    assert read["good"].result.counts.lines_accepted == 1


def test_a_missing_drop_fails_and_the_others_go_on(tmp_path: Path) -> None:
    """A file that is not there is a failed drop."""
    good = tmp_path / "good.csv"
    good.write_bytes(b"order_id,item_id\n1,a\n")
    read = read_files([("gone", tmp_path / "gone.csv"), ("good", good)], tmp_path)
    assert isinstance(read["gone"].result.error, DropMissing)
    assert read["good"].result.status == "ingested"


def test_wrong_columns_name_what_was_found_and_needed(tmp_path: Path) -> None:
    """A renamed column of a profile is an error that names it, not a column of nulls."""
    error = read_bytes(b"order_id,item\n1,a\n", tmp_path, "prototype").result.error
    assert isinstance(error, DropUnmapped)
    assert error.details["needed"] == ["item_name"]
    assert error.details["found"] == ["order_id", "item"]
    assert "of which 'order_id', 'item' are known" in error.message


@pytest.mark.parametrize("profile", ["auto", "prototype", "shopify"])
def test_the_error_of_a_file_without_a_header_quotes_nothing_of_it(tmp_path: Path, profile: str) -> None:
    """Its first line is somebody's order, and the error is stored, shown and sent about: only its shape is told."""
    error = read_bytes(b"4711,anna@shop.test,Meter\n4712,bob,Kit\n", tmp_path, profile).result.error
    assert isinstance(error, DropUnmapped)
    assert "its first line has 3 fields" in error.message
    assert not [word for word in ("4711", "anna", "Meter") if word in f"{error}{error.details}"]


def test_probe_says_early_what_reading_would_say(tmp_path: Path) -> None:
    """A look at the beginning gives encoding, delimiter and columns, and the error of an unusable file."""
    path = tmp_path / "orders.csv"
    path.write_bytes("order_id;item;Menge\n1;Käse;2\n".encode("cp1252"))
    seen = probe(path, load_profile("auto"))
    assert (seen.encoding, seen.delimiter) == ("cp1252", ";")
    assert seen.mapping == {"order_id": "order_id", "item_name": "item"}
    for content, kind, _ in UNUSABLE:
        if kind is not DropUnreadable or not content.startswith(b"\x1f\x8b\x08"):
            path.write_bytes(content)
            with pytest.raises(kind):
                probe(path, load_profile("auto"))


def test_drops_of_several_shapes_share_a_batch(tmp_path: Path) -> None:
    """Files with other headers, in other order, are separate scans of one batch; names may hold any character."""
    files = []
    for i, text in enumerate((b"order_id,item\n1,a\n", b"item,order_id\nb,2\n", b"order_id,item\n3,c\n")):
        path = tmp_path / f"o*[{i}]'s.csv"
        path.write_bytes(text)
        files.append((str(i), path))
    read = read_files(files, tmp_path)
    assert [(read[k].column("order_id"), read[k].column("item_id")) for k in "012"] == [
        (["1"], ["a"]),
        (["2"], ["b"]),
        (["3"], ["c"]),
    ]


def test_long_files_are_judged_in_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of more lines than are checked at once gives the same lines as one of fewer."""
    body = [f"{i},a,{'x' if i % 7 == 0 else 1}" if i % 5 else f'{i},"a\nb",1' for i in range(1, 60)]
    text = ("order_id,item,quantity\n" + "\n".join(body) + "\n1\n").encode()
    whole = read_bytes(text, tmp_path)
    monkeypatch.setattr(judge, "MAX_CHECKED_ROWS", 11)
    parts = read_bytes(text, tmp_path)
    assert parts.accepted.equals(whole.accepted)
    assert parts.others.equals(whole.others)
    assert whole.column("line") == sorted(whole.column("line"))


def test_what_the_scan_gets_wrong_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file for which the scan's rows do not add up is not believed but read record by record."""
    # Without the look at quotes the scan is given a line that takes the next ones along.
    monkeypatch.setattr("reco.orders.lines._Quotes.odd", lambda _self, _part, cut, *_: cut.lengths() < 0)
    swallowed = b'order_id,item_id\n1,"a\n2,b\n3,c\n4,d"\n5,e\n'
    assert read_bytes(swallowed, tmp_path).faults == dict.fromkeys([2, 3, 4, 5], "unbalanced_quote")


@pytest.mark.parametrize("records", [1, 2])
def test_empty_lines_inside_a_header_are_its_own(tmp_path: Path, records: int) -> None:
    """A header of several physical lines counts each of them once, and no order line is lost for it."""
    text = b'"order\n\nid",item_name\n' + b"1,a\n2,b\n"[: 4 * records]
    counts = read_bytes(
        text, tmp_path, profile(columns={"order_id": "order\n\nid", "item_name": "item_name"})
    ).result.counts
    assert (counts.lines_read, counts.lines_accepted, counts.lines_header, counts.lines_blank) == (
        records,
        records,
        3,
        0,
    )


def test_many_small_files_need_few_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many files a batch has, so many are open at once, and packed ones count by their text."""
    monkeypatch.setattr("reco.orders.reader.SCAN_DROPS", 7)
    files = []
    for i in range(20):
        path = tmp_path / f"{i}.csv"
        path.write_bytes(b"order_id,item_id\n%d,a\n" % i)
        files.append((f"{i:02}", path))
    read = read_files(files, tmp_path)
    assert [len(one) for one in reader._portions([DropFile(k, p, p.name, profile()) for k, p in files])] == [7, 7, 6]
    assert all(one.result.counts.lines_accepted == 1 for one in read.values())
    packed = tmp_path / "orders.csv.gz"
    packed.write_bytes(gzip.compress(b"x" * 1000, mtime=0))
    assert text_bytes(packed) == packed.stat().st_size * USUAL_RATIO


def test_large_batches_are_read_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch above the size of one scan is read in several, with the same parts."""
    files = []
    for i in range(5):
        path = tmp_path / f"{i}.csv"
        path.write_bytes(b"order_id,item_id\n%d,a\n2\n" % i)
        files.append((str(i), path))
    together = read_files(files, tmp_path)
    monkeypatch.setattr("reco.orders.reader.SCAN_BYTES", 50)
    apart = read_files(files, tmp_path)
    assert {key: read.digests for key, read in apart.items()} == {key: read.digests for key, read in together.items()}


def test_lines_the_schema_refuses_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the SQL accepts what the schema does not, the run stops with the drop's name and an example."""
    monkeypatch.setattr("reco.orders.sql._flags", lambda *_: [])
    with pytest.raises(LedgerBroken, match=r"orders\.csv.*quantity"):
        read_bytes(b"order_id,item_id,quantity\n1,a,0\n", tmp_path)


def test_lines_that_do_not_add_up_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the lines counted from the bytes are not those that were judged, nothing is written and the run stops."""
    real = opened.open_drop

    def miscounted(*args: Any, **options: Any) -> opened.OpenedDrop:
        drop = real(*args, **options)
        drop.lines_read += 1
        return drop

    monkeypatch.setattr("reco.orders.reader.open_drop", miscounted)
    with pytest.raises(LedgerBroken, match=r"orders\.csv"):
        read_bytes(b"order_id,item_id\n1,a\n", tmp_path)
    assert not list(tmp_path.glob("read-*/lake/*/*"))


def test_the_schema_refuses_what_the_rules_refuse(tmp_path: Path) -> None:
    """The pandera schema made from the rule table holds each bound, and has each column."""
    good = read_bytes(HEAD + b"1,a,2,1.50,2024-01-01\n", tmp_path).accepted
    schema = order_lines_schema(NOW)
    schema.validate(good)
    assert set(schema.columns) == {"line", "source", *(rule.name for rule in COLUMNS)}
    bad: dict[str, Any] = {
        "quantity": 0,
        "unit_price": Decimal(-1),
        "order_id": "",
        "item_id": None,
        "ordered_at": utc(1980, 1, 1),
    }
    for column, value in bad.items():
        wrong = good.with_columns(pl.lit(value).cast(good.schema[column]).alias(column))
        with pytest.raises(Exception, match=column):
            schema.validate(wrong)


def test_the_reason_codes_are_the_documented_ones() -> None:
    """The closed list of reason codes, in the order in which they decide."""
    assert " ".join(REASONS) == (
        "unbalanced_quote too_few_fields too_many_fields bad_encoding null_byte oversized_line duplicate_line "
        "cancelled excluded_item excluded_status oversized_order missing_order_id missing_item invalid_quantity "
        "nonpositive_quantity invalid_price negative_price invalid_timestamp timestamp_out_of_range"
    )


def test_ragged_lines_are_kept_from_the_fast_reader(tmp_path: Path) -> None:
    """It sees whole lines only, wherever the others stand."""
    lines = [b'%d,"a, b",1\n' % i if i % 10 else b'%d,"a, b"\n' % i for i in range(1, 5001)]
    ragged, whole = tmp_path / "ragged.csv", tmp_path / "whole.csv"
    ragged.write_bytes(b"order_id,item_id,quantity\n" + b"".join(lines))
    whole.write_bytes(b"order_id,item_id,quantity\n" + b"".join(line for line in lines if line.endswith(b"1\n")))
    drops = [opened.open_drop(DropFile(p.stem, p, p.name, profile()), tmp_path / p.stem) for p in (ragged, whole)]
    assert [(one.plain_rows, len(one.faults)) for one in drops] == [(4500, 500), (4500, 0)]
    assert drops[0].faults.reasons() == {"too_few_fields": 500}


def test_repeats_are_found_in_portions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many portions the hashes are compared in, the same repeats are found."""
    text = b"order_id,item_id\n" + b"".join(b'%d,"a\nb"\n%d,c\n' % (i % 40, i % 60) for i in range(100))
    exclude = profile(rules={"duplicates": "exclude"})
    expected = read_bytes(text, tmp_path, exclude)
    assert expected.result.counts.lines_duplicate == 60 + 40
    monkeypatch.setattr("reco.orders.whole.HASHES_AT_ONCE", 7)
    assert read_bytes(text, tmp_path, exclude).digests == expected.digests


def test_wide_files_are_judged_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of lines is bounded by its text too, and what the lines give does not depend on it."""
    text = b"order_id,item_id\n" + b"".join(b"%d,%s\n" % (i, b"x" * 100) if i % 9 else b"%d\n" % i for i in range(3000))
    expected = read_bytes(text, tmp_path)
    monkeypatch.setattr("reco.orders.lines.BLOCK", 2000)
    monkeypatch.setattr("reco.orders.lines.RUN_BYTES", 4000)
    scan = opened.open_drop(DropFile("wide", tmp_path / "orders.csv", "wide", profile()), tmp_path / "wide").scan
    bounds = [1]
    while bounds[-1] <= scan.lines:
        bounds.append(scan.run_from(bounds[-1], 500_000))
    assert bounds[-1] == scan.lines + 1
    assert 20 < max(stop - start for start, stop in itertools.pairwise(bounds)) < 60
    read = read_bytes(text, tmp_path)
    assert (read.faults, read.accepted.rows()) == (expected.faults, expected.accepted.rows())


def test_a_block_may_end_between_cr_and_lf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the blocks of a file end, its lines are counted alike, and none is taken for one that is too long."""
    text = b"order_id,item_id\r\n" + b"".join(f"{n},item-{n % 7}\r\n".encode() for n in range(300))
    whole = read_bytes(text, tmp_path).result.counts
    assert whole.lines_accepted == 300
    for block in range(40, 75):
        monkeypatch.setattr("reco.orders.lines.BLOCK", block)
        assert read_bytes(text, tmp_path).result.counts == whole, block


FIRST = b"order_id;item_id\r\n1;a\r\n2;b\r\n"
SECOND = b"order_id;item_id\n3;c\n"


@pytest.mark.parametrize(
    ("content", "orders", "headers"),
    [
        (FIRST + SECOND, ["1", "2", "3"], 2),
        (FIRST + b"\xef\xbb\xbf" + SECOND + FIRST, ["1", "2", "3", "1", "2"], 3),
        (b"\xef\xbb\xbf" + FIRST + b"\r\n" + b"\xef\xbb\xbf" + SECOND, ["1", "2", "3"], 2),
        (b"sep=;\r\n" + FIRST, ["1", "2"], 2),
        (b'\n"SEP=;"\n\n' + FIRST + b'"SEP=;"\n' + SECOND, ["1", "2", "3"], 4),
        (b'"order_id";"item_id"\n1;a\n"order_id";"item_id"\n3;c\n', ["1", "3"], 2),
        (("sep=;\r\n" + FIRST.decode()).encode("utf-16"), ["1", "2"], 2),
        (FIRST + b"order_id;item\n", ["1", "2", "order_id"], 1),
    ],
)
def test_every_line_of_a_header_is_counted_as_one(
    content: bytes, orders: list[str], headers: int, tmp_path: Path
) -> None:
    """`sep=;` above a header and the same header further down are no orders; each line is accounted for, both ways."""
    read = read_bytes(content, tmp_path)
    assert (read.column("order_id"), read.faults) == (orders, {})
    counts = read.result.counts
    assert (counts.lines_header, counts.lines_read) == (headers, len(orders))
    text = content.decode("utf-16" if content.startswith(b"\xff\xfe") else "utf-8-sig")
    assert headers + len(orders) + counts.lines_blank == len(text.splitlines())
    assert read_bytes(content, tmp_path, record_by_record=True).digests == read.digests


def test_a_delimiter_told_in_the_file_counts_as_told(tmp_path: Path) -> None:
    """`sep=` decides where the lines would tell another delimiter, and the profile decides over it."""
    content = b"sep=:\norder_id,x:item_id,y\n1,2:a,b\n"
    columns = {"order_id": "order_id,x", "item_id": "item_id,y"}
    read = read_bytes(content, tmp_path, profile(columns=columns))
    assert (read.column("order_id"), read.column("item_id")) == (["1,2"], ["a,b"])
    assert read.result.confidence["delimiter"] == 1.0
    other = profile(columns={"order_id": "order_id", "item_id": "x:item_id"}, dialect={"delimiter": ","})
    assert read_bytes(content, tmp_path, other).result.counts.lines_header == 2
