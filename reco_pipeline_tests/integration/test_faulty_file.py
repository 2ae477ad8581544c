"""A file as long as the prototype's, with faults of many kinds and quoted newlines strewn in."""

import io
import random
from collections import Counter
from pathlib import Path

import pytest

from reco.orders.profiles import SourceProfile
from reco.orders.sample import write_sample
from reco_pipeline_tests.reading import read_bytes

LINES = 486_620
FAULT_RATE = 0.005
NEWLINE_RATE = 0.002
SEED = 20_101_201
LONGEST = 4096

STRUCTURE: dict[str, tuple[str, bytes]] = {
    "a field less": ("too_few_fields", b"RO-1"),
    "a field more": ("too_many_fields", b"RO-1,Hose{rest},x"),
    "an empty field more": ("too_many_fields", b"RO-1,Hose{rest},"),
    "a quoted empty field more": ("too_many_fields", b'RO-1,Hose{rest},""'),
    "a quote that never closes": ("unbalanced_quote", b'RO-1,"Hose{rest}'),
    "text behind a quote": ("unbalanced_quote", b'RO-1,"Hose"x{rest}'),
    "a NUL byte": ("null_byte", b"RO-1,Ho\0se{rest}"),
    "bytes that are no UTF-8": ("bad_encoding", b"RO-1,Ho\xff\xfese{rest}"),
    "a line without end": ("oversized_line", b"RO-1," + b"x" * LONGEST + b"{rest}"),
    "no order": ("missing_order_id", b'" ",Hose{rest}'),
    "no item": ("missing_item", b"RO-1,{rest}"),
}
VALUES: dict[str, tuple[str, bytes]] = {
    "part of a piece": ("invalid_quantity", b"RO-1,Hose,2.6,1.50,2024-01-31"),
    "nothing": ("nonpositive_quantity", b"RO-1,Hose,0,1.50,2024-01-31"),
    "a return": ("nonpositive_quantity", b"RO-1,Hose,-1,1.50,2024-01-31"),
    "no amount": ("invalid_price", b"RO-1,Hose,1,nan,2024-01-31"),
    "an amount below zero": ("negative_price", b"RO-1,Hose,1,-1.50,2024-01-31"),
    "a decimal comma": ("invalid_price", b'RO-1,Hose,1,"1,5",2024-01-31'),
    "no day": ("invalid_timestamp", b"RO-1,Hose,1,1.50,2024-02-30"),
    "a day long ago": ("timestamp_out_of_range", b"RO-1,Hose,1,1.50,1899-12-31"),
}


def strewn(with_values: bool) -> tuple[bytes, dict[int, str], list[str], Counter[str]]:
    """The file, the reason expected at each faulty line, the items expected in order, and the faults by kind."""
    chance = random.Random(SEED)
    rest = b",1,1.50,2024-01-31" if with_values else b""
    kinds = STRUCTURE | VALUES if with_values else STRUCTURE
    names = list(kinds)
    plain = io.BytesIO()
    write_sample(plain, prototype=True)
    header, *lines = plain.getvalue().splitlines()
    out = [header + (b",quantity,unit_price,order_date" if with_values else b"")]
    faults: dict[int, str] = {}
    items: list[str] = []
    used = Counter[str]()
    line = 2
    for original in lines:
        if chance.random() < FAULT_RATE:
            kind = chance.choice(names)
            used[kind] += 1
            faults[line], text = kinds[kind]
            out.append(text.replace(b"{rest}", rest))
            line += 1
        order, _, item = original.partition(b",")
        if chance.random() < NEWLINE_RATE:
            bare = item.strip(b'"')
            item = b'"' + bare[:3] + b"\n\n" + bare[3:] + b'"' if b'""' not in item else item
        out.append(order + b"," + item + rest)
        items.append((item[1:-1].replace(b'""', b'"') if item.startswith(b'"') else item).decode())
        line += 1 + item.count(b"\n")
    return b"\n".join(out) + b"\n", faults, items, used


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("with_values", [False, True], ids=["two columns", "five columns"])
def test_every_fault_of_a_long_file_is_found_at_its_line(tmp_path: Path, *, with_values: bool) -> None:
    """Half a percent of faults of 11 or 19 kinds: each is found with line, bytes and reason, no good one refused."""
    content, faults, items, used = strewn(with_values)
    rules = {"max_line_bytes": LONGEST}
    columns = {"order_id": "order_id", "item_name": "item_name"}
    if with_values:
        columns |= {"quantity": "quantity", "unit_price": "unit_price", "ordered_at": "order_date"}
    profile = SourceProfile.checked({"name": "strewn", "columns": columns, "rules": rules}, "a test")
    read = read_bytes(content, tmp_path, profile)
    assert len(used) == (19 if with_values else 11)
    assert min(used.values()) > 80
    assert read.faults == faults
    assert read.column("item_id") == [item.strip() for item in items]
    assert read.result.counts.lines_read == LINES + len(faults)
    lines = content.split(b"\n")
    for row in read.others.iter_rows(named=True):
        assert row["raw"] == lines[row["line"] - 1]
        assert content[row["byte_offset"] : row["byte_offset"] + len(row["raw"])] == row["raw"]
