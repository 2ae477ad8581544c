"""Packed order files: gzip, zstd, and zip with one file in it.

Belongs here: telling the kind of packing by the first bytes, and the unpacked bytes as a stream with bounded memory.
Does not belong here: what the bytes mean (`reco.orders.source`).
"""

import gzip
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

import pyarrow as pa

from reco.errors import DropEmpty, DropUnreadable
from reco.orders.files import is_order_file

BLOCK = 2**20
ALWAYS_UNPACKED = 2**30
"""Bytes that are unpacked whatever the packed size."""
MOST_UNPACKED = 200
"""How many times the packed size is unpacked beyond that: orders shrink to about a tenth, only traps much further."""

USUAL_RATIO = 16
"""How much larger the text of order files is than their packed form, at the most that is usual."""
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip", b"PK\x05\x06": "zip"}
_DAMAGE = (
    gzip.BadGzipFile,
    zipfile.BadZipFile,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    struct.error,  # these last two are how zipfile fails on some damaged directories
    ValueError,
)
_MEMBERS_SHOWN = 10
_ENCRYPTED = 0x1
_WORKBOOK = "[Content_Types].xml"
_OPEN_DOCUMENT = "mimetype"


class Stream(Protocol):
    """Bytes to be read in order."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


def packing(head: bytes) -> str | None:
    """`gzip`, `zstd` or `zip`, told by a file's first bytes; None for any other file."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), None)


def text_bytes(path: Path) -> int:
    """About how many bytes of text a file holds, as far as its own size and first bytes tell."""
    with path.open("rb") as file:
        packed = packing(file.read(8)) is not None
    return path.stat().st_size * (USUAL_RATIO if packed else 1)


@contextmanager
def open_packed(path: Path, kind: str, file: str) -> Iterator[Stream]:
    """Yields the unpacked bytes of a packed file.

    Raises:
        DropEmpty: a zip archive holds nothing.
        DropUnreadable: it is damaged, encrypted, or not one order file; the message names what it holds.
    """
    try:
        if kind == "gzip":
            with gzip.open(path) as stream:
                yield stream
        elif kind == "zstd":
            with pa.OSFile(str(path), "rb") as packed, pa.CompressedInputStream(packed, "zstd") as stream:
                yield stream
        else:
            with zipfile.ZipFile(path) as archive, archive.open(_member(archive, file)) as stream:
                yield stream
    except _DAMAGE as error:
        raise _damaged(file, kind, error) from error
    except NotImplementedError as error:  # a way of packing that zipfile does not know
        raise _unreadable(file, f"cannot be unpacked: {error}.", "Pack it anew as a plain zip or gzip file.") from error
    except OSError as error:
        if error.errno is not None:
            raise
        raise _damaged(file, kind, error) from error  # how pyarrow reports what is wrong with a stream


def unpack_into(stream: Stream, target: BinaryIO, packed_bytes: int, file: str) -> None:
    """Writes a stream to a file with bounded memory.

    Raises:
        DropUnreadable: it grows out of all proportion to the packed file.
    """
    room = max(ALWAYS_UNPACKED, MOST_UNPACKED * packed_bytes)
    while block := stream.read(BLOCK):
        room -= len(block)
        if room < 0:
            raise _unreadable(
                file,
                f"grows to more than {MOST_UNPACKED} times its size when it is unpacked, which orders never do.",
                "If it is right, unpack it yourself and give the plain file.",
            )
        target.write(block)


def read_start(stream: Stream, size: int) -> bytes:
    """The first `size` bytes of a stream, or all of them."""
    parts, missing = [], size
    while missing and (part := stream.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _member(archive: zipfile.ZipFile, file: str) -> zipfile.ZipInfo:
    """The one file of an archive that holds orders."""
    members = [one for one in archive.infolist() if not one.is_dir() and not _by_the_way(one.filename)]
    names = {one.filename for one in members}
    if _WORKBOOK in names or _OPEN_DOCUMENT in names:
        raise _unreadable(
            file,
            "holds an Excel workbook or another office document, and CSV text was expected.",
            "Save its sheet of orders as CSV.",
        )
    found = members if len(members) == 1 else [one for one in members if is_order_file(Path(one.filename))]
    if not members:
        raise DropEmpty(f"{file} is an empty zip archive.", hint="Pack the order file again.", name=file)
    if len(found) != 1:
        shown = ", ".join(repr(one.filename) for one in (found or members)[:_MEMBERS_SHOWN])
        more = len(found or members) - _MEMBERS_SHOWN
        several = f"{len(found)} order files" if found else "no order file"
        raise _unreadable(
            file,
            f"is a zip archive with {several}, and one was expected: {shown}{f' and {more} more' if more > 0 else ''}.",
            "Unpack it and give the files of orders.",
        )
    if found[0].flag_bits & _ENCRYPTED:
        raise _unreadable(
            file, f"is an encrypted zip archive ({found[0].filename!r}).", "Unpack it with its password first."
        )
    return found[0]


def _by_the_way(name: str) -> bool:
    """Whether a member of an archive is only what a system keeps about the others."""
    parts = PurePosixPath(name).parts
    return parts[:1] == ("__MACOSX",) or parts[-1].startswith(".") or parts[-1] in ("Thumbs.db", "desktop.ini")


def _damaged(file: str, kind: str, error: Exception) -> DropUnreadable:
    reason = str(error) or type(error).__name__
    return _unreadable(file, f"is a damaged {kind} file: {reason.rstrip('.')}.", "Copy or export it again.")


def _unreadable(file: str, what: str, hint: str) -> DropUnreadable:
    return DropUnreadable(f"{file} {what}", hint=hint, name=file)
