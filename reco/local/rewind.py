"""Making the data of our own Redis as it was at the end of an earlier second.

Belongs here: which kept files make a state, and a data folder of them. Does not belong here: keeping them (`history`).

The state of a second T is the newest base made at or before T, followed by the increments up to the end of T. The
stamps in them are one a second, so a second is the finest there is. A second in which files were lost, or that was not
looked at yet, is an error: nothing is guessed.
"""

import datetime as dt
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from reco.errors import ConfigError, HistoryDamaged, HistoryMissing
from reco.local import aof, conf
from reco.local.history import Base, Index, folders, read_index, sha256_of


@dataclass(frozen=True)
class CutPlan:
    """How the state at the end of a second is made: of which files, and how many bytes of the last one.

    last_at: the last second up to it in which something was written; None: nothing was after the base.
    """

    folder: Path
    at: dt.datetime
    base: aof.File
    increments: tuple[aof.File, ...]
    keep_bytes: int
    last_at: dt.datetime | None


def plan(history: Path, at: dt.datetime) -> CutPlan:
    """How to make the state at the end of a second (fractions are dropped).

    Raises:
        HistoryMissing: the second is before what is kept, after the last look, or among lost files.
        HistoryDamaged: a file is gone or is not what was kept.
    """
    second = int(at.timestamp())
    folder, index, base = _base_for(history, second, at)
    _require_same(folder, base.file, index)
    used: list[aof.File] = []
    keep_bytes, last, reached = 0, None, False
    for file in _following(index, base):
        _require_same(folder, file, index)
        found = aof.cut_at(folder / file.name, second)
        used.append(file)
        keep_bytes, last = found.keep_bytes, last if found.last_at is None else found.last_at
        if found.next_at is not None:
            reached = True
            break
    if not reached:
        _require_known(index, used, second, at)
    return CutPlan(folder, at, base.file, tuple(used), keep_bytes, None if last is None else _time(last))


def reach(history: Path) -> list[tuple[dt.datetime, dt.datetime, int]]:
    """For each data folder there was: the first and the last second that can be had, and the bytes kept.

    In between there may be seconds whose files were lost; a plan tells.
    """
    found = []
    for folder in folders(history):
        index = read_index(folder)
        if index.bases:
            first = max(index.began_at, index.bases[0].made_at)
            size = sum(path.stat().st_size for path in folder.iterdir())
            found.append((_time(first), _time(index.looked_at - 1), size))
    return sorted(found)


def cut(made: CutPlan, data: Path) -> None:
    """Makes a data folder with the state of a plan, for a server to start on.

    Everything is written under another name and renamed at the end: a kill leaves nothing that a server would read, and
    the next call removes it.

    Raises:
        ConfigError: the folder holds something already.
    """
    if data.exists():
        for left in data.glob(f".{aof.FOLDER}.*.tmp"):
            shutil.rmtree(left)
    if data.exists() and any(data.iterdir()):
        raise ConfigError(
            f"{data} is not empty: the state of an earlier second is made in a folder of its own.",
            hint="Name an empty or a new folder; move a damaged one away first.",
            settings=[],
        )
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = data / f".{aof.FOLDER}.{secrets.token_hex(4)}.tmp"
    draft.mkdir(mode=0o700)
    try:
        for file in (made.base, *made.increments):
            shutil.copyfile(made.folder / file.name, draft / file.name)
        if made.increments:
            os.truncate(draft / made.increments[-1].name, made.keep_bytes)
        for path in draft.iterdir():
            _sync(path)
        conf.write_private(draft / aof.MANIFEST, aof.write_manifest([made.base, *made.increments]))
        _sync(draft)
        draft.rename(data / aof.FOLDER)
        _sync(data)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _base_for(history: Path, second: int, at: dt.datetime) -> tuple[Path, Index, Base]:
    """The newest base made by then. What a data folder held before the first look at it may be of another time."""
    kept = [(folder, read_index(folder)) for folder in folders(history)]
    since = [
        (max(base.made_at, index.began_at), base.file.seq, place, base)
        for place, (_, index) in enumerate(kept)
        for base in index.bases
    ]
    fitting = [one for one in since if one[0] <= second]
    if not fitting:
        raise _missing(at, f"what is kept begins at {_utc(min(since)[0])}" if since else "nothing is kept")
    _, _, place, base = max(fitting)
    return *kept[place], base


def _following(index: Index, base: Base) -> list[aof.File]:
    """The increments after a base, as far as none is missing."""
    found: list[aof.File] = []
    for one in sorted(index.increments, key=lambda file: file.seq):
        if one.seq == base.next_seq + len(found):
            found.append(one)
    return found


def _require_known(index: Index, used: list[aof.File], second: int, at: dt.datetime) -> None:
    """No stamp after `second` was found: make sure that this is because nothing was written."""
    last = used[-1].seq if used else 0
    later = [one for one in index.increments if one.seq > last]
    if later:
        raise _missing(at, f"files before {later[0].name} were not kept")
    if second >= index.looked_at:  # in that second more may have been written after the look
        raise _missing(at, f"what is kept ends at {_utc(index.looked_at)}")


def _require_same(folder: Path, file: aof.File, index: Index) -> None:
    path, sha256 = folder / file.name, index.sha256.get(file.name)
    problem = ""
    if not path.is_file():
        problem = "it is gone"
    elif sha256 is not None and sha256_of(path) != sha256:
        problem = "it is not what was kept"
    if problem:
        raise HistoryDamaged(
            f"{path} is damaged: {problem}.", hint="Take a second of another base, or restore a backup.", path=str(path)
        )


def _missing(at: dt.datetime, reason: str) -> HistoryMissing:
    return HistoryMissing(
        f"Redis cannot be cut at {at.astimezone(dt.UTC).isoformat(timespec='seconds')}: {reason}.",
        hint="Name a second in between, or restore a backup.",
    )


def _utc(second: int) -> str:
    return _time(second).isoformat()


def _time(second: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(second, dt.UTC)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
