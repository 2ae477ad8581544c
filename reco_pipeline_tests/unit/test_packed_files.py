import gzip
import io
import random
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reco.errors import DropEmpty, DropUnreadable
from reco.orders import packed
from reco.orders.dialect import probe
from reco.orders.files import find_files, partition_key
from reco.orders.profiles import load_profile
from reco_pipeline_tests.reading import read_bytes

TEXT = b"order_id,item\n1,a\n2\n" + b"".join(b"%d,item %d\n" % (i, i * 7919 % 1000) for i in range(3, 5000))
AUTO = load_profile("auto")


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


def zipped(*members: tuple[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", how) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return target.getvalue()


def changed(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def encrypted(content: bytes) -> bytes:
    """An archive whose only member says that it is encrypted."""
    whole = bytearray(zipped(("orders.csv", content)))
    whole[6] |= 1
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    return bytes(whole)


PACKED = {
    "gzip": partial(gzip.compress, mtime=0),
    "two gzip members": lambda text: gzip.compress(text[:500]) + gzip.compress(text[500:]),
    "zstd": zstd,
    "two zstd frames": lambda text: zstd(text[:500]) + zstd(text[500:]),
    "zip": lambda text: zipped(("orders.csv", text)),
    "zip that only stores": lambda text: zipped(("orders.csv", text), how=zipfile.ZIP_STORED),
    "zip with lzma": lambda text: zipped(("orders.csv", text), how=zipfile.ZIP_LZMA),
    "zip with any name": lambda text: zipped(("export", text)),
    "zip in folders with what systems add": lambda text: zipped(
        ("out/", b""), ("out/orders.CSV", text), ("__MACOSX/out/._orders.CSV", b"\0"), ("out/.DS_Store", b"\0")
    ),
    "zip with a letter": lambda text: zipped(("orders.csv", text), ("thanks.pdf", b"%PDF")),
}


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED.keys())
def test_packed_files_are_read_whatever_their_name(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Lines, offsets and the first look are those of the plain file; the name of the file does not matter."""
    plain = read_bytes(TEXT, tmp_path)
    packed = read_bytes(pack(TEXT), tmp_path)
    assert (packed.faults, packed.digests) == ({3: "too_few_fields"}, plain.digests)
    assert probe(tmp_path / "orders.csv", AUTO).header == ["order_id", "item"]


UNUSABLE = {
    "half a zstd file": (zstd(TEXT)[:-9], DropUnreadable, "damaged zstd"),
    "zstd junk": (b"\x28\xb5\x2f\xfdjunk", DropUnreadable, "damaged zstd"),
    "half a zip file": (zipped(("a.csv", TEXT))[:-30], DropUnreadable, "damaged zip"),
    "zip with a changed byte": (changed(zipped(("a.csv", TEXT)), at=900), DropUnreadable, "damaged zip"),
    "empty zip": (zipped(), DropEmpty, "empty zip"),
    "zip with an empty file": (zipped(("a.csv", b"")), DropEmpty, "is empty"),
    "zip with two": (zipped(("a.csv", TEXT), ("b.csv", TEXT)), DropUnreadable, "expected: 'a.csv', 'b.csv'"),
    "zip with none": (zipped(("a.pdf", b"%PDF"), ("b.png", b"x")), DropUnreadable, "no order file, and one"),
    "encrypted zip": (encrypted(TEXT), DropUnreadable, "encrypted zip archive ('orders.csv')"),
    "workbook": (zipped(("[Content_Types].xml", b"<x/>"), ("xl/a.xml", b"<x/>")), DropUnreadable, "Excel workbook"),
    "zip in a zip": (zipped(("a.csv", zipped(("a.csv", TEXT)))), DropUnreadable, "another zip file"),
    "binary in a zip": (zipped(("a.csv", bytes(range(256)) * 9)), DropUnreadable, "binary"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "kind", "words"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_archive_says_why(content: bytes, kind: type[Exception], words: str, tmp_path: Path) -> None:
    """The error names the file, what is wrong with it or which files it holds, and the next step."""
    error = read_bytes(content, tmp_path).result.error
    assert isinstance(error, kind)
    assert "orders.csv" in error.message
    assert words in error.message
    assert error.hint


@pytest.mark.parametrize("pack", [partial(gzip.compress, mtime=0), zstd, PACKED["zip"]], ids=["gzip", "zstd", "zip"])
def test_a_file_that_grows_without_measure_is_refused(
    pack: Callable[[bytes], bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a bound, what unpacks to more than 200 times its size is refused before it fills the disk."""
    monkeypatch.setattr(packed, "ALWAYS_UNPACKED", 10**6)
    error = read_bytes(pack(b"order_id,item\n" + b"1,a\n" * 10**7), tmp_path).result.error
    assert isinstance(error, DropUnreadable)
    assert "200 times" in error.message


@settings(max_examples=60)
@given(st.sampled_from([partial(gzip.compress, mtime=0), zstd, PACKED["zip"]]), st.integers(0, 2**32 - 1))
def test_a_damaged_archive_is_an_error_or_reads_as_text(
    tmp_path_factory: pytest.TempPathFactory, pack: Callable[[bytes], bytes], seed: int
) -> None:
    """Bytes of an archive that are changed or cut off give an error that names the file, never a crash."""
    chance = random.Random(seed)
    content = bytearray(pack(TEXT[:2000]))
    for _ in range(chance.randrange(1, 4)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    cut = content[: chance.randrange(1, len(content) + 1)] if chance.random() < 0.5 else content
    error = read_bytes(bytes(cut), tmp_path_factory.mktemp("packed")).result.error
    assert error is None or "orders.csv" in error.message


def test_packed_files_are_found_in_folders(tmp_path: Path) -> None:
    """Packed order files are found beside plain ones, zip archives under any name, and keys leave the packing out."""
    for name in ("a.csv.zst", "b.tsv.gz", "c.zip", "d.csv.zip", "e.zst", "f.pdf"):
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_files(tmp_path)] == ["a.csv.zst", "b.tsv.gz", "c.zip", "d.csv.zip"]
    assert {partition_key(name, "0" * 64) for name in ("a.csv.zst", "a.zip", "a.csv.zip")} == {"a-000000000000"}
