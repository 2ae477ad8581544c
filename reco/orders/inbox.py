"""The inbox folder: where new order files wait.

Belongs here: putting a file there so that nobody sees half of it. Does not belong here: taking files out, which nobody
does: the ledger knows what was read by its content, and the files stay the shop's.
"""

import filecmp
import os
import shutil
from contextlib import suppress
from pathlib import Path

from reco.errors import DropMissing, DropUnreadable, UsageError
from reco.orders.ledger import SUFFIXES, is_order_file
from reco.storage.lake import fsync_folder


def put(file: Path, inbox: Path, source: str | None) -> Path:
    """Copies a file to `inbox/` or `inbox/<source>/`; returns its place there.

    A name that is taken by other content gets a number: two exports of one name are two drops.

    Raises:
        DropMissing: there is no such file.
        UsageError: its name is none that is looked for in the inbox.
        DropUnreadable: it cannot be copied, for want of rights or room.
    """
    if not file.is_file():
        raise DropMissing(f"{file} does not exist or is not a file.", hint="Check the path given.", name=file.name)
    if not is_order_file(file):
        raise UsageError(
            f"{file.name} would not be seen in the inbox: its name is not that of an order file.",
            hint=f"Order files end in {', '.join(SUFFIXES)}, also with .gz; `reco run --orders FILE` takes any name.",
        )
    folder = inbox / source if source else inbox
    temporary = folder / f".{file.name}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, temporary)
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        place = _place(temporary, folder / file.name)
        fsync_folder(folder)
    except OSError as error:
        raise DropUnreadable(
            f"{file} cannot be put into {folder}: {error.strerror or error}.",
            hint="Check the rights and the free space of the inbox.",
            name=file.name,
        ) from error
    finally:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
    return place


def _place(content: Path, wanted: Path) -> Path:
    """Gives the content its name; a link, unlike a rename, never takes the place of another file."""
    stem, dot, suffixes = wanted.name.partition(".")
    place, number = wanted, 1
    while True:
        try:
            os.link(content, place)
        except FileExistsError:
            if filecmp.cmp(content, place, shallow=False):
                return place
            number += 1
            place = wanted.with_name(f"{stem}-{number}{dot}{suffixes}")
        else:
            return place
