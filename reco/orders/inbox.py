"""The inbox folder: where new order files wait.

Belongs here: putting a file there so that nobody sees half of it. Does not belong here: taking files out, which nobody
does: the ledger knows what was read by its content, and the files stay the shop's.
"""

import os
import shutil
from pathlib import Path

from reco.errors import DropMissing, DropUnreadable
from reco.storage.lake import fsync_folder


def put(file: Path, inbox: Path, source: str | None) -> Path:
    """Copies a file to `inbox/` or `inbox/<source>/`; returns its place there.

    A name that is taken by other content gets a number: two exports of one name are two drops.

    Raises:
        DropMissing: there is no such file.
        DropUnreadable: it cannot be copied, for want of rights or room.
    """
    if not file.is_file():
        raise DropMissing(f"{file} does not exist or is not a file.", hint="Check the path given.", name=file.name)
    folder = inbox / source if source else inbox
    temporary = folder / f".{file.name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, temporary)
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        place = _free_place(folder / file.name, temporary)
        temporary.replace(place)
        fsync_folder(folder)
    except OSError as error:
        raise DropUnreadable(
            f"{file} cannot be put into {folder}: {error.strerror or error}.",
            hint="Check the rights and the free space of the inbox.",
            name=file.name,
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return place


def _free_place(wanted: Path, content: Path) -> Path:
    place, number = wanted, 1
    while place.exists() and not _same(place, content):
        number += 1
        place = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return place


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()
