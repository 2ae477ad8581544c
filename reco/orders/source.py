"""The bytes of a drop, opened: unpacked, and as UTF-8 text beside the original.

Belongs here: encodings, and finding the original bytes behind a place in the text. Does not belong here: how packed
files are unpacked (`reco.orders.packed`), lines and columns.
"""

import codecs
import mmap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reco.errors import DropEmpty, DropMissing, DropUnreadable
from reco.orders.packed import BLOCK, open_packed, packing, read_start, unpack_into

_OTHER_FORMATS = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF document",
    b"\xfd7zXZ": "an xz archive",
    b"BZh": "a bzip2 archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"SQLite format 3": "an SQLite database",
}
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1a\x1b") | {127})
_BINARY_SHARE = 0.05
_WESTERN_SIGNS = set(  # of money, measure, quotation, and the like
    (
        b"\x80\x82\x84\x85\x91\x92\x93\x94\x96\x97\x99\xa0\xa1\xa2\xa3\xa5\xa7\xa9\xab"
        b"\xae\xb0\xb2\xb3\xb5\xb7\xba\xbb\xbc\xbd\xbe\xbf\xd7"
    ).decode("cp1252")
)
UTF8 = "utf-8"


@dataclass(frozen=True)
class Text:
    """A file as UTF-8 bytes, with what is needed to find the original bytes behind them.

    `path` is a file that holds exactly `data`; `start` is where the text begins (after a byte order mark). `unit` is
    the size of the original's code units in bytes; 0 where the original is the text itself.
    """

    path: Path
    data: mmap.mmap
    original: mmap.mmap
    encoding: str
    start: int
    original_start: int
    unit: int
    units_before: list[int] = field(default_factory=lambda: [0])
    """Code units before each block of the text, as far as that was asked for: each block is counted once."""

    @property
    def size(self) -> int:
        """Bytes of the text, byte order mark included."""
        return len(self.data)

    def release(self, start: int, end: int) -> None:
        """Gives the memory of a part that was read back to the system; it can be read again."""
        _release(self.data, start, end)

    def release_all(self) -> None:
        """Gives the memory of all that was read of text and original back to the system; both can be read again."""
        for data in (self.data, self.original):
            data.madvise(mmap.MADV_DONTNEED)

    def raw(self, start: int, end: int) -> bytes:
        """The bytes of the original between two of its offsets; a long part of it does not stay in memory twice."""
        found = self.original[start:end]
        if end - start > BLOCK:
            _release(self.original, start, end)
        return found

    def original_offsets(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Byte offsets in the original (unpacked) file of places in the text, which must ascend."""
        if not self.unit or not len(places):
            return places
        found = np.empty(len(places), np.int64)
        blocks = (places - self.start) // BLOCK
        self._count_up_to(int(blocks[-1]))
        for block in np.unique(blocks).tolist():
            first, last = np.searchsorted(blocks, [block, block + 1])
            own = places[first:last] - self.start - block * BLOCK
            units = np.cumsum(np.append(0, self._widths(block)), dtype=np.int64)
            found[first:last] = self.original_start + (self.units_before[block] + units[own]) * self.unit
        return found

    def _count_up_to(self, block: int) -> None:
        for one in range(len(self.units_before) - 1, block):
            self.units_before.append(self.units_before[one] + int(self._widths(one).sum()))

    def _widths(self, block: int) -> NDArray[np.uint8]:
        """The code units of the characters of a block, each at its first byte: two for those that UTF-16 pairs."""
        start = self.start + block * BLOCK
        part = np.frombuffer(self.data[start : start + BLOCK], np.uint8)
        widths: NDArray[np.uint8] = ((part & 0xC0) != 0x80).view(np.uint8)
        return widths + (part >= 0xF0) if self.unit > 1 else widths


def _release(data: mmap.mmap, start: int, end: int) -> None:
    first = start - start % mmap.PAGESIZE
    data.madvise(mmap.MADV_DONTNEED, first, end - first)


def unpack(path: Path, scratch: Path, file: str) -> Path:
    """The file itself, or what a packed file holds, unpacked into the scratch folder with bounded memory.

    Raises:
        DropMissing, DropEmpty, DropUnreadable: there is no such file, it has no bytes, or it is damaged or no text.
    """
    head = _head(path, file)
    kind = packing(head)
    if kind is None:
        _refuse_other_formats(head, file)
        return path
    plain = scratch / "unpacked"
    try:
        with open_packed(path, kind, file) as stream, plain.open("wb") as target:
            unpack_into(stream, target, path.stat().st_size, file)
    except OSError as error:
        raise _unreadable(file, error) from error
    _refuse_other_formats(_head(plain, file), file)
    return plain


def peek(path: Path, file: str, size: int) -> bytes:
    """The first bytes of a file, unpacked, without reading the rest.

    Raises:
        DropMissing, DropEmpty, DropUnreadable: as `unpack`.
    """
    head = _head(path, file, size)
    kind = packing(head)
    if kind is not None:
        try:
            with open_packed(path, kind, file) as stream:
                head = read_start(stream, size)
        except OSError as error:
            raise _unreadable(file, error) from error
        if not head:
            raise _empty(file)
    _refuse_other_formats(head, file)
    return head


def _head(path: Path, file: str, size: int = 2**16) -> bytes:
    try:
        if path.exists() and not path.is_dir() and not path.is_file():
            raise DropUnreadable(
                f"{file} is no regular file.", hint="Write the orders to a file and give that.", name=file
            )
        with path.open("rb") as handle:
            head = handle.read(size)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise DropMissing(
            f"{file} is not there: {path} does not exist or is no file.", hint="Check the path given.", name=file
        ) from error
    except OSError as error:
        raise _unreadable(file, error) from error
    if not head:
        raise _empty(file)
    return head


def _empty(file: str) -> DropEmpty:
    return DropEmpty(f"{file} is empty: a header and lines below it were expected.", hint="Export it again.", name=file)


def _unreadable(file: str, error: OSError) -> DropUnreadable:
    return DropUnreadable(
        f"{file} cannot be read: {error.strerror or error}.", hint="Check its permissions and the disk.", name=file
    )


def _refuse_other_formats(head: bytes, file: str) -> None:
    kind = packing(head)  # of what was unpacked: a plain file gets here only if it is not packed
    what = f"another {kind} file" if kind else None
    what = what or next((what for magic, what in _OTHER_FORMATS.items() if head.startswith(magic)), None)
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if what is None and not utf16 and not _looks_like_utf16(head):
        controls = len(head) - len(head.translate(None, _CONTROLS))
        what = "binary data" if controls > _BINARY_SHARE * len(head) else None
    if what is not None:
        raise DropUnreadable(
            f"{file} holds {what}, and CSV text was expected.",
            hint="Export the orders as CSV (.csv, .tsv, .txt or .psv, also packed with gzip, zstd or zip).",
            name=file,
        )


def _looks_like_utf16(head: bytes) -> bool:
    """Whether every other byte of the head is mostly NUL, as ASCII text is in UTF-16."""
    even, odd = head[::2], head[1::2]
    return max(even.count(0) / len(even), odd.count(0) / max(1, len(odd))) > 0.7


def bom_encoding(head: bytes) -> str | None:
    """The encoding a byte order mark tells, if there is one."""
    if head.startswith(codecs.BOM_UTF8):
        return UTF8
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16-le" if head.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
    return (
        "utf-16-le"
        if _looks_like_utf16(head) and head[1::2].count(0) > head[::2].count(0)
        else ("utf-16-be" if _looks_like_utf16(head) else None)
    )


def has_mark(head: bytes) -> bool:
    """Whether a file begins with a byte order mark."""
    return head.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def fallback_encoding(path: Path) -> str:
    """cp1252, or latin-1 where the file has bytes that cp1252 does not know."""
    unknown = bytes([0x81, 0x8D, 0x8F, 0x90, 0x9D])
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            if any(byte in block for byte in unknown):
                return "latin-1"
    return "cp1252"


def canonical_encoding(declared: str | None, head: bytes) -> str | None:
    """The encoding to read with, where the profile or a byte order mark says; None: to be found out."""
    if declared is None:
        return bom_encoding(head)
    name = codecs.lookup(declared).name
    if name == "utf-16":
        return bom_encoding(head) or "utf-16-le"
    return UTF8 if name == "utf-8-sig" else name


def as_text(path: Path, encoding: str, scratch: Path, file: str) -> Text:
    """A file as UTF-8 text: the file itself where it is UTF-8, else a copy in the scratch folder.

    Bytes that the encoding does not know become bytes that are no UTF-8, so that their lines are found and reported.

    Raises:
        DropEmpty: there is nothing but a byte order mark.
    """
    original = _map(path)
    mark = _mark(original[:4], encoding)
    if mark == len(original):
        raise _empty(file)
    if encoding in (UTF8, "ascii"):
        return Text(path, original, original, encoding, mark, mark, 0)
    copy = scratch / "text"
    _transcode(path, copy, encoding, mark)
    unit = 2 if encoding.startswith("utf-16") else 1
    return Text(copy, _map(copy), original, encoding, 0, mark, unit)


def western_confidence(text: str) -> float:
    """How sure it is that text read as cp1252 or latin-1 is in that encoding (0..0.9), from its characters.

    Both give some character for almost every byte, so that only what stands there can tell: letters and the signs that
    people write, or a jumble. Never certain, since the encodings of other alphabets have letters in the same places.
    """
    beyond = [character for character in text if character > "\x7f"]
    usual = sum(character.isalpha() or character in _WESTERN_SIGNS for character in beyond)
    return round(0.9 * usual / len(beyond), 2) if beyond else 0.5


def decode_head(head: bytes, encoding: str) -> str:
    """The text of a file's first bytes, whatever is cut off at their end."""
    return codecs.getincrementaldecoder(encoding)("replace").decode(head[_mark(head, encoding) :])


def _mark(head: bytes, encoding: str) -> int:
    marks = {UTF8: codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    mark = marks.get(encoding)
    return len(mark) if mark and head.startswith(mark) else 0


def _transcode(path: Path, copy: Path, encoding: str, mark: int) -> None:
    utf16 = encoding.startswith("utf-16")
    decoder = codecs.getincrementaldecoder(encoding)("surrogatepass" if utf16 else "surrogateescape")
    with path.open("rb") as source, copy.open("wb") as target:
        source.seek(mark)
        while block := source.read(BLOCK):
            target.write(decoder.decode(block).encode(UTF8, "surrogatepass"))
        rest, _ = decoder.getstate()
        if rest:  # half a code unit at the end: its line is reported as damaged
            target.write("\udcff".encode(UTF8, "surrogatepass"))


def _map(path: Path) -> mmap.mmap:
    with path.open("rb") as handle:
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
