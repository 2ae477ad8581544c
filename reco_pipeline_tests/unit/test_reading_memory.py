"""What is held of a file while it is read: bounded, however long it is and however many of its lines are refused."""

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reco.orders import judge, scan
from reco.orders.drops import DropFile
from reco.orders.opened import OpenedDrop, open_drop
from reco.orders.parts import OtherLine, PartWriter
from reco.orders.profiles import load_profile
from reco.orders.source import Text, as_text
from reco_pipeline_tests.reading import read_bytes

HEADER = b"order_id,item_id,quantity\n"


def resident(path: Path) -> int:
    """Bytes of a file that are mapped into this process and in memory, of every mapping of it."""
    kept, mine = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            mine = line.endswith(str(path))
        elif mine and line.startswith("Rss:"):
            kept += int(line.split()[1]) * 1024
    return kept


def opened(path: Path, folder: Path) -> OpenedDrop:
    """A file as the reader opens it."""
    return open_drop(DropFile("drop", path, path.name, load_profile("auto")), folder)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, list[OtherLine]]]:
    """What the parts of every drop were given, portion by portion: accepted lines, and the others."""
    given: list[tuple[int, list[OtherLine]]] = []
    write = PartWriter.write

    def noted(self: PartWriter, accepted: Any, others: Sequence[OtherLine]) -> None:
        given.append((accepted.num_rows, list(others)))
        write(self, accepted, others)

    monkeypatch.setattr(PartWriter, "write", noted)
    return given


def test_refused_lines_are_written_as_they_come(
    written: list[tuple[int, list[OtherLine]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of lines that are refused, bad values and bad structure mixed, only a bounded number is held at once."""
    monkeypatch.setattr("reco.orders.judge.MOST_OTHERS", 100)
    rows = [b"%d,A,%s" % (i, (b"1", b"two", b"two,3")[i % 3]) for i in range(3000)]
    read = read_bytes(HEADER + b"\n".join(rows), tmp_path)
    assert read.result.reasons == {"invalid_quantity": 1000, "too_many_fields": 1000}
    assert [len(others) for _, others in written] == [100] * 20
    assert [accepted for accepted, _ in written] == [1000, *[0] * 19]
    assert read.others["line"].to_list() == [i + 2 for i in range(3000) if i % 3]
    assert read.others["raw"].to_list() == [row for i, row in enumerate(rows) if i % 3]
    assert read.others["value"].to_list() == ["two", None] * 1000


def test_a_file_of_refused_lines_alone_is_held_in_portions(
    written: list[tuple[int, list[OtherLine]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no line is good, and where the bytes of a few lines are many; one longer line comes by itself."""
    monkeypatch.setattr("reco.orders.judge.MOST_OTHER_BYTES", 1000)
    rows = [b"%d,A,%s" % (i, b"x" * (2000 if i == 7 else 90)) for i in range(60)]
    read = read_bytes(HEADER + b"\n".join(rows), tmp_path)
    assert read.others["raw"].to_list() == rows
    held = [sum(len(one.raw) for one in others) for _, others in written]
    assert [size for size in held if size > 1000] == [2000 + len(b"7,A,")]
    assert len(held) == 8


def test_portions_cover_every_line_once() -> None:
    """The bounds follow each other, none is empty but that of no line at all, and both limits hold."""
    drawn = random.Random(5)
    for _ in range(200):
        sizes = np.array([drawn.choice((1, 50, 2**24, 2**25)) for _ in range(drawn.randrange(9))], np.int64)
        found = list(judge._portions(sizes))
        assert [begin for begin, _ in found] == [0, *(stop for _, stop in found[:-1])]
        assert found[-1][1] == len(sizes)
        assert all(begin < stop for begin, stop in found) or not len(sizes)
        assert all(sizes[a:b].sum() <= judge.MOST_OTHER_BYTES or b - a == 1 for a, b in found)


def test_what_was_read_of_a_long_file_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the text nor the columns kept on disk stay in memory: a page of either is there while it is needed."""
    monkeypatch.setattr(scan, "KEPT_BYTES", 0)
    path = tmp_path / "orders.csv"
    rows = (b"%d,item-%d,%s\n" % (i, i, b"1" if i % 9 else b"two,3") for i in range(400_000))
    path.write_bytes(HEADER + b"".join(rows))
    drop = opened(path, tmp_path / "open")
    (scanned,) = scan.load([drop], tmp_path / "scan")
    assert scanned is not None
    (columns,) = (tmp_path / "scan").glob("*.plain")
    text = drop.text.path
    scanned.release()
    assert (resident(text), resident(columns)) == (0, 0)
    assert scanned.run(1, 400_001).table["c1"].to_pylist()[-1] == "item-399998"
    drop.spans(np.arange(2, 400_000, dtype=np.int64))
    assert resident(columns) > 2**20
    assert resident(text) == 0
    for _ in scanned.batches():
        assert resident(columns) < columns.stat().st_size
    assert (resident(text), resident(columns)) == (0, 0)
    assert scanned.run(1, 11).table["c1"].to_pylist()[:2] == ["item-1", "item-2"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "cp1252"])
def test_byte_offsets_of_other_encodings_are_counted_once(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every place of the text leads to its bytes in the original, and no block is counted from the start for it."""
    monkeypatch.setattr("reco.orders.source.BLOCK", 64)
    letters = "ab,é" if encoding == "cp1252" else "ab,é€𝄞"
    drawn = random.Random(3)
    content = "".join(drawn.choice(letters) for _ in range(5000))
    path = tmp_path / "orders.csv"
    path.write_bytes(content.encode(encoding))
    known = "utf-16-le" if encoding == "utf-16" else encoding
    text = as_text(path, known, tmp_path, "orders.csv")
    places = np.cumsum([0, *(len(one.encode()) for one in content)])
    counted: list[int] = []
    widths = Text._widths

    def noted(self: Text, block: int) -> Any:
        counted.append(block)
        return widths(self, block)

    monkeypatch.setattr(Text, "_widths", noted)
    ends = np.cumsum([text.original_start, *(len(one.encode(known)) for one in content)])
    found = [text.original_offsets(places[i : i + 10]) for i in range(0, len(places), 10)]
    assert np.concatenate(found).tolist() == ends.tolist()
    blocks = int(places[-1]) // 64 + 1
    assert len(counted) <= 2 * blocks + len(found), "each block once before it is reached, and once for those within"
    assert text.original_offsets(places[:3]).tolist() == ends[:3].tolist()
