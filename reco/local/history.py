"""The past of our own Redis: append-only files that a server has replaced, kept to go back to any second.

Belongs here: keeping the files of a running server, and forgetting old ones. Does not belong here: the formats (`aof`),
and making an earlier state of them (`rewind`).

A server deletes a base and its increments once it has written a newer base. A hard link keeps them, at no cost while
the server has them too, and goes on growing with the open increment.

    history/<id>/index.json      bases, increments, sha256 of closed files, times of the first and the last look
    history/<id>/<file>          hard links

The id is that of the data folder: where the numbers of its files start again, it is another one.
"""

import datetime as dt
import hashlib
import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from reco.errors import HistoryDamaged
from reco.local import aof, conf

ID_FILE = "reco-history-id"
INDEX = "index.json"
_TRIES = 5


class Base(NamedTuple):
    """A base, when it was made (unix seconds), and the number of the increment that follows it."""

    file: aof.File
    made_at: int
    next_seq: int


@dataclass
class Index:
    """What is kept of one data folder, in the order of the numbers of its files.

    began_at, looked_at: the first and the last look, in unix seconds: what was in between is known. sha256: of files
    that the server does not write to any more.
    """

    began_at: int = 0
    looked_at: int = 0
    bases: list[Base] = field(default_factory=list)
    increments: list[aof.File] = field(default_factory=list)
    sha256: dict[str, str] = field(default_factory=dict)


def keep(data: Path, history: Path, now: dt.datetime) -> int:
    """Keeps the files that a server's manifest names; returns how many were new. To be called often.

    What the server makes and deletes again between two calls is lost, and the seconds in it cannot be had later.

    Raises:
        HistoryDamaged: the manifest, a base or the index is not of its form.
        OSError: the folder cannot be written, or is not on the disk of the data.
    """
    source = data / aof.FOLDER
    for _ in range(_TRIES):
        try:
            files = aof.read_manifest(source / aof.MANIFEST)
            folder = _folder_of(data, history, files)
            new = sum(_link(source / one.name, folder / one.name) for one in files)
            return _noted(folder, files, new, int(now.timestamp()))
        except FileNotFoundError:  # the server replaced a file between our two looks, or has none yet
            continue
    return 0


def _noted(folder: Path, files: list[aof.File], new: int, now: int) -> int:
    index = read_index(folder)
    increments = [one for one in files if one.kind == "i"]
    bases = [one for one in files if one.kind == "b"]
    if not bases or not increments:
        return new
    known = {one.file for one in index.bases}
    index.bases += [Base(one, aof.made_at(folder / one.name), increments[0].seq) for one in bases if one not in known]
    index.increments += [one for one in increments if one not in index.increments]
    for one in [*(base.file for base in index.bases), *index.increments[:-1]]:
        if one.name not in index.sha256:
            index.sha256[one.name] = sha256_of(folder / one.name)
    index.began_at = index.began_at or now
    index.looked_at = max(index.looked_at, now)
    _write(folder, index)
    return new


def prune(history: Path, before: dt.datetime) -> list[str]:
    """Removes what only serves seconds before a time; returns the names. The newest base of a folder always stays.

    The index goes first, so that a kill leaves files nobody names, which the next call removes.
    """
    limit = int(before.timestamp())
    removed = []
    for folder in folders(history):
        index = read_index(folder)
        followers = [*index.bases[1:], None]
        index.bases = [
            base
            for base, follower in zip(index.bases, followers, strict=True)
            if follower is None or follower.made_at > limit
        ]
        first = index.bases[0].next_seq if index.bases else 0
        index.increments = [one for one in index.increments if one.seq >= first]
        named = {one.name for one in (*(base.file for base in index.bases), *index.increments)}
        index.sha256 = {name: digest for name, digest in index.sha256.items() if name in named}
        _write(folder, index)
        for path in sorted(folder.iterdir()):
            if path.name not in {*named, INDEX}:
                path.unlink()
                removed.append(path.name)
    return removed


def copy(history: Path, target: Path) -> None:
    """Copies what is kept now into another folder: links of files that are closed, the open ones as long as they are.

    Raises:
        HistoryDamaged: an index is not of its form.
        OSError: the other folder cannot be written.
    """
    for folder in folders(history):
        for number in range(_TRIES):
            place = target / folder.name
            try:
                index = read_index(folder)
                place.mkdir(parents=True, exist_ok=True)
                for one in (*(base.file for base in index.bases), *index.increments):
                    _copy_file(folder / one.name, place / one.name, closed=one.name in index.sha256)
                _write(place, index)
                break
            except FileNotFoundError:  # old files were removed between our two looks
                shutil.rmtree(place)
                if number == _TRIES - 1:
                    raise


def _copy_file(source: Path, target: Path, *, closed: bool) -> None:
    if closed:
        with suppress(OSError):  # a disk without links, or a folder on another one
            os.link(source, target)
            return
    shutil.copyfile(source, target)


def folders(history: Path) -> list[Path]:
    """The folders of a history, one for each data folder there was."""
    return sorted(path.parent for path in history.glob(f"*/{INDEX}"))


def _folder_of(data: Path, history: Path, files: list[aof.File]) -> Path:
    """Where the files of a data folder are kept; another place where their numbers have started again."""
    folder = history / _id_of(data)
    for one in files:
        target = folder / one.name
        if target.exists() and not target.samefile(data / aof.FOLDER / one.name):
            (data / ID_FILE).unlink()
            folder = history / _id_of(data)
            break
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _link(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


def _id_of(data: Path) -> str:
    path = data / ID_FILE
    with suppress(FileNotFoundError):
        found = path.read_text(encoding="ascii").strip()
        if found.isalnum():
            return found
    made = secrets.token_hex(8)
    conf.write_private(path, made.encode("ascii") + b"\n")
    return made


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_index(folder: Path) -> Index:
    """What is kept in a folder; nothing where there is no index yet.

    Raises:
        HistoryDamaged: the index is not of its form.
    """
    try:
        raw: dict[str, Any] = json.loads((folder / INDEX).read_bytes())
        return Index(
            int(raw["began_at"]),
            int(raw["looked_at"]),
            [Base(aof.File(*file), int(made_at), int(seq)) for file, made_at, seq in raw["bases"]],
            [aof.File(*file) for file in raw["increments"]],
            dict(raw["sha256"]),
        )
    except FileNotFoundError:
        return Index()
    except (ValueError, KeyError, TypeError) as error:
        raise HistoryDamaged(
            f"{folder / INDEX} is damaged.",
            hint="Move its folder away: the history begins anew; or restore a backup.",
            path=str(folder),
        ) from error


def _write(folder: Path, index: Index) -> None:
    conf.write_private(folder / INDEX, (json.dumps(asdict(index)) + "\n").encode())
