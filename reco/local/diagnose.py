"""Why the embedded server did not start, from the files it left.

Belongs here: reading the log, the manifest and the disk after a failed start, and naming the next step. Does not belong
here: repairing anything.
"""

import os
import re
import shlex
import shutil
from pathlib import Path

LOG_LINES = 8
LOG_BYTES = 16_384
LOW_DISK_BYTES = 1 << 20
STACK = re.compile(r"^goroutine \d+ \[", re.MULTILINE)


def log_tail(log: Path, since: int) -> list[str]:
    """The last lines the server wrote after byte `since` of its log, without the stack of a Go program that ended."""
    try:
        with log.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(min(since, size), size - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    said = STACK.split(text, maxsplit=1)[0] or text
    return [line for line in said.splitlines() if line.strip()][-LOG_LINES:]


def missing_files(data: Path) -> list[Path]:
    """Files that a manifest of the append-only files names and that are not there."""
    missing = []
    for manifest in data.glob("appendonlydir/*.manifest"):
        for line in manifest.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split(" ", 1)
            if words[0] != "file" or len(words) == 1:
                continue
            name = _manifest_name(words[1])
            if name and not (manifest.parent / name).is_file():
                missing.append(manifest.parent / name)
    return missing


def _manifest_name(rest: str) -> str:
    try:
        return shlex.split(rest)[0]
    except (ValueError, IndexError):
        return ""


def next_step(folder: Path, data: Path, log: Path) -> str:
    """What a person can do about a server that did not start."""
    rebuild = (
        f"Put back {data} from a backup, or move it away to start empty: the next run publishes again from the lake."
    )
    if full := full_disk(folder):
        return full
    if missing := missing_files(data):
        names = ", ".join(path.name for path in missing)
        return f"The manifest in {data / 'appendonlydir'} names files that are not there: {names}. {rebuild}"
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        return f"{data} cannot be read and written by this user: correct its owner and permissions."
    return f"Read {log}. If it says that the append only file or the dump is damaged: {rebuild[0].lower()}{rebuild[1:]}"


def full_disk(folder: Path) -> str:
    """The next step where the disk of a folder is full; empty where it is not."""
    free = shutil.disk_usage(folder).free
    return (
        f"The disk of {folder} is full ({free} bytes free): make room, then try again." if free < LOW_DISK_BYTES else ""
    )
