"""Secrets that a home makes for itself, as files only its owner can read.

Belongs here: making such a file once. Does not belong here: what a secret is for.
"""

import os
from pathlib import Path

from reco.storage.lake import fsync_folder


def make_once(file: Path, content: str) -> None:
    """Makes a file with mode 0600, and its folder, unless it is there already.

    Two processes may come here at once: the first file stands, whole, before anybody can read it.

    Raises:
        OSError: it cannot be made.
    """
    if file.exists():
        return
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.parent / f".{file.name}.{os.getpid()}.tmp"
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, content.encode())
        os.fsync(handle)
        os.link(temporary, file)
        fsync_folder(file.parent)
    except FileExistsError:
        pass
    finally:
        os.close(handle)
        temporary.unlink()
