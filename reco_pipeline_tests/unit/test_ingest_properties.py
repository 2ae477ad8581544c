import datetime as dt
import gzip
import io
import random
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from reco.errors import DropAmbiguous
from reco.orders.profiles import SourceProfile
from reco_pipeline_tests.reading import ReadDrop, read_bytes, read_files


def zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("orders.csv", content)
    return target.getvalue()


HEADER = ["order_id", "item_id", "item_name", "quantity", "unit_price"]
PROFILE = SourceProfile.checked({"name": "property", "columns": {name: name for name in HEADER}}, "a test")
FAULTS = (
    "too_few_fields",
    "too_many_fields",
    "open_ended",
    "open_ended_quoted",
    "unbalanced_quote",
    "text_after_quote",
    "null_byte",
    "bad_encoding",
    "invalid_quantity",
    "nonpositive_quantity",
    "invalid_price",
    "missing_order_id",
    "missing_item",
)
REASON = {
    "open_ended": "too_many_fields",
    "open_ended_quoted": "too_many_fields",
    "text_after_quote": "unbalanced_quote",
}
PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": partial(gzip.compress, mtime=0),
    "zstd": lambda content: bytes(pa.Codec("zstd").compress(content, asbytes=True)),
    "zip": zipped,
}
LINE_ENDS = ("\n", "\r\n", "\r")
NAMES = st.text(st.sampled_from("aZ é€\"',;|\t\n\r'#日"), max_size=8)
ROWS = st.tuples(
    st.sampled_from(["plain", "plain", "plain", "blank", *FAULTS]), NAMES, st.integers(1, 9), st.integers(0, 9999)
)


def encode(row: list[str], line_end: str) -> bytes:
    """One record with quotes where they are needed; the csv module would leave a lone CR without them."""
    fields = [f'"{field.replace(chr(34), chr(34) * 2)}"' if set(field) & set('",\r\n') else field for field in row]
    return (",".join(fields) + line_end).encode()


def faulty(kind: str, number: int, line_end: str) -> bytes:
    """One physical line with exactly one fault, which no reading of the lines around it can make good."""
    end = line_end.encode()
    fields = {
        "too_few_fields": f"{number},A,x,1",
        "too_many_fields": f"{number},A,x,1,1.0,9",
        "open_ended": f"{number},A,x,1,1.0,",
        "open_ended_quoted": f'{number},A,x,1,1.0,""',
        "unbalanced_quote": f'{number},A,"open,1,1.0',
        "text_after_quote": f'{number},A,"a"b,1,1.0',
        "null_byte": f"{number},A,\0,1,1.0",
        "invalid_quantity": f"{number},A,x,2.6,1.0",
        "nonpositive_quantity": f"{number},A,x,0,1.0",
        "invalid_price": f"{number},A,x,1,nan",
        "missing_order_id": " ,A,x,1,1.0",
        "missing_item": f"{number},,x,1,1.0",
    }
    if kind == "bad_encoding":
        return f"{number},A,".encode() + b"\xff\xfe,1,1.0" + end
    return fields[kind].encode() + end


def build(rows: list[tuple[str, str, int, int]], line_end: str, *, final: bool) -> tuple[bytes, dict[int, str], int]:
    """A file, the reason expected at each faulty line, and the number of good records."""
    # The first record is beyond ASCII, so that the file is UTF-8 whatever damage follows.
    parts = [encode(HEADER, line_end), *(encode(["0", "é", "日", "1", "1"], line_end) for _ in range(20))]
    expected: dict[int, str] = {}
    good = 20
    line = 22
    for number, (kind, name, quantity, cents) in enumerate(rows):
        if kind == "plain":
            part = encode([f"0{number}", "A", name, str(quantity), f"{cents / 100:.2f}"], line_end)
            good += 1
        elif kind == "blank":
            part = line_end.encode()
        else:
            part = faulty(kind, number, line_end)
            expected[line] = REASON.get(kind, kind)
        # A line that cannot be part of a quoted text separates records, so that an open quote has nothing to close it.
        parts.append(part + encode([f"s{number}", "B", "plain", "1", "2.50"], line_end))
        good += 1
        physical = parts[-1].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        line += physical.count(b"\n")
    content = b"".join(parts)
    return (content if final else content[: -len(line_end)]), expected, good


def same(one: ReadDrop, other: ReadDrop) -> bool:
    return one.digests == other.digests and one.result == other.result


@settings(max_examples=25)
@given(st.lists(ROWS, max_size=12), st.sampled_from(LINE_ENDS), st.booleans(), st.sampled_from(sorted(PACKINGS)))
def test_faults_are_found_by_line_and_both_ways_agree(
    rows: list[tuple[str, str, int, int]], line_end: str, final: bool, packing: str
) -> None:
    """Any mixture of faults reconciles however packed, each is named with its line, and both ways agree by byte."""
    plain, expected, good = build(rows, line_end, final=final)
    content = PACKINGS[packing](plain)
    with tempfile.TemporaryDirectory() as folder:
        fast = read_bytes(content, Path(folder), PROFILE)
        assert fast.faults == expected
        assert fast.result.counts.lines_accepted == good
        assert fast.result.counts.lines_blank == sum(kind == "blank" for kind, *_ in rows)
        assert same(fast, read_bytes(content, Path(folder), PROFILE, record_by_record=True))


@settings(max_examples=60)
@example(b',,""')
@example(b'2,"x" \n3,y\n')
@given(st.binary(max_size=200) | st.text(st.sampled_from('ab,"\n\r 1'), max_size=80).map(str.encode))
def test_any_bytes_reconcile_and_both_ways_agree(tail: bytes) -> None:
    """Whatever follows a header, the lines add up, raw bytes are those of the file, and both ways agree by byte."""
    content = b"order_id,item_id\n1,x\n" + tail
    with tempfile.TemporaryDirectory() as folder:
        profile = SourceProfile.checked({"name": "p", "dialect": {"encoding": "utf-8", "delimiter": ","}}, "a test")
        fast = read_bytes(content, Path(folder), profile)
        if fast.result.error is not None:
            assert fast.result.error.code == "drop_unreadable"
            return
        for row in fast.others.iter_rows(named=True):
            at = row["byte_offset"]
            assert content[at : at + len(row["raw"])] == row["raw"]
            before = content[:at].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            assert before.count(b"\n") + 1 == row["line"]
        assert same(fast, read_bytes(content, Path(folder), profile, record_by_record=True))


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1))
def test_neither_order_nor_company_changes_a_part(seed: int) -> None:
    """The parts of a drop are the same bytes whether it is read alone or among others, in any order."""
    shuffle = random.Random(seed)
    kinds = ["plain", "blank", *FAULTS]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = []
        for i in range(4):
            rows = [(shuffle.choice(kinds), "n,a\n", 1, 5) for _ in range(shuffle.randrange(6))]
            path = folder / f"{i}.csv"
            path.write_bytes(build(rows, shuffle.choice(LINE_ENDS), final=True)[0])
            files.append((f"drop-{i}", path))
        together = read_files(shuffle.sample(files, 4), folder, PROFILE)
        for key, path in files:
            alone = read_files([(key, path)], folder, PROFILE)[key]
            # Beside others a record may repeat one of theirs, which is counted.
            counts = replace(alone.result.counts, lines_duplicate=together[key].result.counts.lines_duplicate)
            assert same(together[key], replace(alone, result=replace(alone.result, counts=counts)))


AMOUNTS = st.decimals(0, 10**7, allow_nan=False, places=2) | st.integers(0, 10**7).map(Decimal)
WRITTEN = st.tuples(st.sampled_from([".", ","]), st.booleans(), st.sampled_from(["{}", "€ {}", "{} EUR"]))


def written(amount: Decimal, decimal: str, sign: str, *, thousands: bool) -> str:
    text = f"{amount:,}" if thousands else str(amount)
    return sign.format(text if decimal == "." else text.translate(str.maketrans(",.", ".,")))


@settings(max_examples=60)
@given(st.lists(AMOUNTS, min_size=1, max_size=8), WRITTEN, st.sampled_from(";,"))
def test_an_amount_is_read_as_it_was_meant_or_asked_about(
    amounts: list[Decimal], form: tuple[str, bool, str], delimiter: str
) -> None:
    """Amounts written one way in one file are never taken for others: they are read, or the drop asks for the sign."""
    decimal, thousands, sign = form
    texts = [written(amount, decimal, sign, thousands=thousands) for amount in amounts]
    # In a comma file a lone 1.234 is a little more than one: what almost every program means by it.
    if delimiter == "," and decimal == "," and not any("," in text for text in texts):
        return
    rows = "".join(f'{i}{delimiter}A{delimiter}"{text}"\n' for i, text in enumerate(texts))
    content = f"order_id{delimiter}item_id{delimiter}unit_price\n{rows}".encode()
    with tempfile.TemporaryDirectory() as folder:
        read = read_bytes(content, Path(folder))
        if read.result.error is not None:
            assert isinstance(read.result.error, DropAmbiguous)
            assert all(amount == amount.to_integral_value() for amount in amounts)
            told = {"name": "p", "dialect": {"decimal": decimal}}
            read = read_bytes(content, Path(folder), SourceProfile.checked(told, "a test"))
        assert read.column("unit_price") == amounts


MOMENTS = st.datetimes(dt.datetime(1990, 1, 2), dt.datetime(2025, 12, 31))  # noqa: DTZ001 - UTC without a zone
DAYS_1970 = dt.datetime(1970, 1, 1)  # noqa: DTZ001 - as above
FORMS: dict[str, Callable[[dt.datetime], str]] = {
    "iso": lambda time: time.isoformat(" ", "seconds"),
    "day first": lambda time: time.strftime("%d/%m/%Y %H:%M:%S"),
    "month first": lambda time: time.strftime("%m/%d/%Y %H:%M:%S"),
    "excel": lambda time: f"{(time - DAYS_1970) / dt.timedelta(days=1) + 25569:.8f}",
    "epoch_seconds": lambda time: f"{(time - DAYS_1970) // dt.timedelta(seconds=1)}",
    "epoch_milliseconds": lambda time: f"{(time - DAYS_1970) // dt.timedelta(milliseconds=1)}",
}


@settings(max_examples=60)
@given(st.lists(MOMENTS, min_size=1, max_size=8), st.sampled_from(sorted(FORMS)))
def test_a_time_is_read_as_it_was_meant_or_asked_about(moments: list[dt.datetime], form: str) -> None:
    """Times written one way in one file are never taken for others: they are read, or the drop asks for the order."""
    whole = [time.replace(microsecond=0) for time in moments]
    rows = "".join(f"{i},A,{FORMS[form](time)}\n" for i, time in enumerate(whole))
    with tempfile.TemporaryDirectory() as folder:
        read = read_bytes(b"order_id,item_id,order_date\n" + rows.encode(), Path(folder))
        if read.result.error is not None:
            assert isinstance(read.result.error, DropAmbiguous)
            assert all(time.day <= 12 for time in whole)
            return
        assert [
            abs(got - time) < dt.timedelta(seconds=1)
            for got, time in zip(read.column("ordered_at"), whole, strict=True)
        ] == [True] * len(whole)
