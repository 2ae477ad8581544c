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
LEFT_OUT = ("short read while loading the AOF", "Truncating the AOF", "error to its AOF-loading-client")
STACK = re.compile(r"^goroutine \d+ \[", re.MULTILINE)


def log_tail(log: Path, since: int, *, lines: int | None = LOG_LINES) -> list[str]:
    """The last lines (None: all that the last 16 kB hold) the server wrote after byte `since` of its log.

    The stack that a Go program leaves when it ends is left out.
    """
    try:
        with log.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(min(since, size), size - LOG_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    said = STACK.split(text, maxsplit=1)[0] or text
    kept = [line for line in said.splitlines() if line.strip()]
    return kept if lines is None else kept[-lines:]


def cut_off(log: Path, since: int) -> list[str]:
    """What the server said about parts of its files that it left out; it starts all the same, with less data."""
    return [line for line in log_tail(log, since, lines=None) if any(words in line for words in LEFT_OUT)]


def only_dump(data: Path) -> bool:
    """Whether the data is an RDB file alone. With the append-only file on, a server would leave it and start empty."""
    return (data / "dump.rdb").is_file() and not any(data.glob("appendonlydir/*"))


def lost_manifest(data: Path) -> list[Path]:
    """Append-only files that no manifest names: a server would leave them and start empty, or from an older dump."""
    if any(data.glob("appendonlydir/*.manifest")):
        return []
    return sorted(path for path in data.glob("appendonlydir/*") if path.suffix in {".aof", ".rdb"})


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
