"""The bytes of a drop in the lake: taken in whole, found again, and removed for good.

Belongs here: the folders of `raw_orders`. Does not belong here: what is known of a drop (`reco.orders.ledger`).
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from reco.errors import DropMissing, DropUnreadable
from reco.orders.files import partition_key
from reco.storage.lake import RAW, Lake, fsync_folder

REMOVED = ".removed"
"""Marks the folder of a drop whose bytes were taken out for good: the same file does not bring them back."""
_BLOCK = 1 << 20


class Known(Protocol):
    """What the ledger knows of bytes."""

    def size(self, size_bytes: int) -> bool:
        """Whether any drop has so many bytes: if none has, a file of that size is new, and need not be read twice."""

    def content(self, sha256: str) -> bool:
        """Whether the bytes of this sha256 are in the lake, or were removed from it for good."""


def take_bytes(lake: Lake, path: Path, known: Known) -> str:
    """Copies a file's bytes into the lake unless they are there already; returns their sha256.

    Raises:
        DropMissing, DropUnreadable: there is no such file, it cannot be read, or it changed meanwhile.
    """
    if not path.is_file():
        raise DropMissing(f"{path} does not exist or is not a file.", hint="Check the path given.", name=path.name)
    try:
        with path.open("rb") as source, lake.scratch() as scratch:
            before = os.fstat(source.fileno())
            expected = hashlib.file_digest(source, "sha256").hexdigest() if known.size(before.st_size) else None
            if expected is not None and known.content(expected):
                return expected
            source.seek(0)
            sha256 = _copy(source, scratch / "drop")
            after = path.stat()
            if expected not in (None, sha256) or _version(before) != _version(after):
                raise DropUnreadable(
                    f"{path} changed while it was read.", hint="Give it again once it is complete.", name=path.name
                )
            _place(scratch / "drop", lake.raw_folder(partition_key(path.name, sha256)), path.name)
    except OSError as error:
        raise DropUnreadable(
            f"{path} cannot be taken in: {error.strerror or error}.",
            hint="Check its permissions and the free space of the home.",
            name=path.name,
        ) from error
    return sha256


def _version(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_size, stat.st_mtime_ns


def _copy(source: Any, target: Path) -> str:
    """Copies bytes for good; returns their sha256."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _place(file: Path, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file.replace(folder / (name.lstrip(".") or "drop"))
    fsync_folder(folder)
    fsync_folder(folder.parent)


def bytes_settled(lake: Lake, key: str) -> bool:
    """Whether the bytes of a drop are in the lake, or were removed from it for good: there is nothing to copy."""
    folder = lake.raw_folder(key)
    return any(folder.glob("[!.]*")) or (folder / REMOVED).exists()


def bytes_removed(lake: Lake, key: str) -> bool:
    """Whether nothing but the mark of removal is left of a drop's bytes."""
    folder = lake.raw_folder(key)
    return (folder / REMOVED).exists() and not any(path.is_file() for path in folder.glob("[!.]*"))


def raw_file(lake: Lake, key: str) -> Path:
    """The file as it came.

    Raises:
        DropMissing: it was removed, or is lost.
    """
    found: Iterator[Path] = (p for p in lake.raw_folder(key).glob("[!.]*") if p.is_file())
    path = next(found, None)
    if path is None and bytes_removed(lake, key):
        raise DropMissing(
            f"The bytes of drop {key} were removed to forget a customer: it cannot be read again.",
            hint="Give the shop's file without that customer, which is another drop.",
            name=key,
        )
    if path is None:
        raise DropMissing(
            f"The bytes of drop {key} are not in the lake ({RAW}/{key}).",
            hint="Restore the lake from a backup, or give the file again.",
            name=key,
        )
    return path


def remove_bytes(lake: Lake, key: str) -> None:
    """Removes the bytes of a drop; the mark stays, so that the same file given again does not bring them back.

    Killed half way, doing it again ends it: the mark stands before the first byte goes.
    """
    folder = lake.raw_folder(key)
    if not folder.is_dir():
        return
    (folder / REMOVED).touch()
    fsync_folder(folder)
    for path in folder.glob("[!.]*"):
        path.unlink()
    fsync_folder(folder)
