"""The append-only files of Redis and Valkey: their manifest, and where in one a second ends.

Belongs here: reading and writing these formats. Does not belong here: which files are kept, and what is made of them
(`history`).

Formats: the manifest has a line `file NAME seq N type T` for each file, T being b (base), i (increment) or h (history).
An increment holds commands as clients send them; with `aof-timestamp-enabled`, a line `#TS:<unix seconds>` stands
before the first command of each second in which something was written. A base is an RDB file, whose header tells when
it was made.
"""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple

from reco.errors import HistoryDamaged

MANIFEST = "appendonly.aof.manifest"
FOLDER = "appendonlydir"
_STAMP = b"#TS:"
_HEADER_BYTES = 4096
_AUX, _MADE_AT = b"\xfa", b"ctime"
_INTEGER_BYTES = {0xC0: 1, 0xC1: 2, 0xC2: 4}


class File(NamedTuple):
    """One line of a manifest."""

    name: str
    seq: int
    kind: Literal["b", "i", "h"]


@dataclass(frozen=True)
class Cut:
    """Where to cut an increment.

    keep_bytes: its length then; last_at, next_at: the stamps (unix seconds) of the last second kept and of the first
    one left out; None: there is none.
    """

    keep_bytes: int
    last_at: int | None
    next_at: int | None


def read_manifest(path: Path) -> list[File]:
    """The files of a manifest that a server reads: the base and the increments, in their order.

    Raises:
        FileNotFoundError: there is no manifest.
        HistoryDamaged: a line is not of its form, or names a file elsewhere.
    """
    found = []
    for line in path.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        try:
            words = shlex.split(line)
            pairs = dict(zip(words[::2], words[1::2], strict=True))
            file = File(pairs["file"], int(pairs["seq"]), pairs["type"])  # type: ignore[arg-type]
        except (ValueError, KeyError) as error:
            raise _damaged(path, f"the line {line!r} is not of its form") from error
        if file.kind not in {"b", "i", "h"} or Path(file.name).name != file.name:
            raise _damaged(path, f"the line {line!r} is not of its form")
        if file.kind != "h":
            found.append(file)
    return found


def write_manifest(files: list[File]) -> bytes:
    """A manifest of these files, whose names are those that a server gives."""
    return "".join(f"file {one.name} seq {one.seq} type {one.kind}\n" for one in files).encode("ascii")


def made_at(base: Path) -> int:
    """When a base was made, in unix seconds, from the header of the RDB file.

    Raises:
        HistoryDamaged: it is not an RDB file, or does not tell.
    """
    with base.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if header[:5] not in {b"REDIS", b"VALKE"}:
        raise _damaged(base, "it is not an RDB file")
    mark = header.find(_AUX + bytes([len(_MADE_AT)]) + _MADE_AT)
    start = mark + 2 + len(_MADE_AT)
    width = _INTEGER_BYTES.get(header[start]) if mark > 0 and start < len(header) else None
    if width is None or start + 1 + width > len(header):
        raise _damaged(base, "it does not tell when it was made")
    return int.from_bytes(header[start + 1 : start + 1 + width], "little", signed=True)


def cut_at(increment: Path, second: int) -> Cut:
    """Where to cut an increment so that everything up to the end of a second stays, and no half transaction.

    A command cut short at the end, as in a file that is being written, is left out.

    Raises:
        HistoryDamaged: something in the middle is no command.
    """
    keep, last, after = 0, None, None
    with increment.open("rb") as file:
        for end, stamp in _positions(file, increment):
            if stamp is not None and stamp > second:
                after = stamp
                break
            keep, last = end, last if stamp is None else stamp
    return Cut(keep, last, after)


def _positions(file: BinaryIO, path: Path) -> Iterator[tuple[int, int | None]]:
    """After each stamp, command and whole transaction: the position, and the stamp if it is one."""
    inside = False
    while line := file.readline():
        start = file.tell() - len(line)
        if not line.endswith(b"\n"):
            return
        if line.startswith(b"#"):
            stamp = _stamp(line)
            if not inside:
                yield file.tell(), stamp
            continue
        words = _command(file, line, path, start)
        if words is None:
            return
        inside = words == b"MULTI" or (inside and words != b"EXEC")
        if not inside:
            yield file.tell(), None


def _stamp(line: bytes) -> int | None:
    text = line.removeprefix(_STAMP).strip()
    return int(text) if line.startswith(_STAMP) and text.isdigit() else None


def _command(file: BinaryIO, line: bytes, path: Path, start: int) -> bytes | None:
    """The first word of a command, in capitals; None where the file ends in the middle of it."""
    name = b""
    for index in range(_length(line, b"*", path, start)):
        header = file.readline()
        if not header.endswith(b"\n"):
            return None
        length = _length(header, b"$", path, start)
        word = file.read(length + 2)
        if len(word) < length + 2:
            return None
        if not word.endswith(b"\r\n"):
            raise _damaged(path, f"the command at byte {start} is not of its form")
        name = word[:-2].upper() if index == 0 else name
    return name


def _length(line: bytes, mark: bytes, path: Path, start: int) -> int:
    text = line[1:].strip()
    if not line.startswith(mark) or not text.isdigit():
        raise _damaged(path, f"the command at byte {start} is not of its form")
    return int(text)


def _damaged(path: Path, reason: str) -> HistoryDamaged:
    return HistoryDamaged(
        f"{path} is damaged: {reason}.", hint="Take another second, or restore a backup.", path=str(path)
    )
