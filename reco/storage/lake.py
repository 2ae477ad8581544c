"""The lake: raw drops and Parquet tables as plain files under one folder.

Belongs here: where a table's files lie and how they are replaced so that a reader never sees half a file. Does not
belong here: what a table's columns mean.
"""

import datetime as dt
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from reco.errors import LakeError
from reco.storage.makers import is_left, maker

RAW = "raw_orders"
SCRATCH = ".scratch."


def fsync_folder(folder: Path) -> None:
    """Makes the names in a folder durable: a rename is on disk only after its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True)
class Stamp:
    """What a table was made from: digests of the table itself and of each input at that moment."""

    digest: str
    inputs: dict[str, str]


class Lake:
    """Parquet tables by name, each in a folder named as its asset: one file, or one file a part."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, table: str, part: str | None = None) -> Path:
        """The file of a table, or of one of its parts (a drop's key), whether or not it exists."""
        return self.root / table / f"{part or table}.parquet"

    def existing(self, table: str, part: str | None = None) -> Path:
        """Like `path`, for reading.

        Raises:
            LakeError: the file is not there.
        """
        path = self.path(table, part)
        if not path.is_file():
            raise LakeError(
                f"{table}{f' of drop {part}' if part else ''} is not in the lake: {path} does not exist.",
                hint=f"Materialize {table} first.",
                table=table,
                part=part,
            )
        return path

    def raw_folder(self, key: str) -> Path:
        """The folder that keeps the bytes of one drop, exactly as they came."""
        return self.root / RAW / key

    @contextmanager
    def replace(self, table: str, part: str | None = None) -> Iterator[Path]:
        """Yields a temporary path to write to; it becomes the table's file when the block ends without an error.

        The new file is complete and on disk before the rename, so a kill at any moment leaves the old or the new one.
        Two writers at once do no harm: each has a temporary file of its own, and the last rename wins.
        """
        final = self.path(table, part)
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{final.name}.{maker()}.{os.urandom(4).hex()}.tmp")
        try:
            yield temporary
            with temporary.open("rb+") as handle:
                os.fsync(handle.fileno())
            temporary.replace(final)
            fsync_folder(final.parent)
        except OSError as error:
            raise LakeError(
                f"{final} could not be written: {error.strerror or error}.",
                hint="Check free space and permissions of the lake, then run again: nothing was replaced.",
                table=table,
                part=part,
            ) from error
        finally:
            temporary.unlink(missing_ok=True)

    def stamp(self, table: str, inputs: Mapping[str, str]) -> Stamp:
        """Records beside a table what it was made from; returns the record with the table's own digest."""
        stamp = Stamp(file_digest(self.existing(table)), dict(inputs))
        path = self.root / table / "stamp.json"
        temporary = path.with_name(f".stamp.{maker()}.{os.urandom(4).hex()}.tmp")
        temporary.write_text(json.dumps(asdict(stamp), indent=1), encoding="utf-8")
        temporary.replace(path)
        return stamp

    def read_stamp(self, table: str) -> Stamp | None:
        """The record of `stamp`, or None where the table has none or is not the one that was stamped."""
        try:
            stamp = Stamp(**json.loads((self.root / table / "stamp.json").read_text(encoding="utf-8")))
            return stamp if file_digest(self.path(table)) == stamp.digest else None
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def litter(self, now: dt.datetime | None = None) -> list[Path]:
        """What killed writers left behind: files and folders.

        Every temporary name of the lake holds the process that made it: one whose process is gone is litter. Whether
        one of another container is gone cannot be seen: what it made is litter after a day without a write.
        """
        now = now or dt.datetime.now(dt.UTC)
        litter = [p for pattern in ("*/.*.tmp*", "raw_orders/*/.*.tmp") for p in self.root.glob(pattern)]
        litter += [*self.root.glob("*/.*.spill"), *self.root.glob(f"{SCRATCH}*")]
        return [path for path in litter if is_left(path, now)]

    def sweep(self, now: dt.datetime | None = None) -> int:
        """Removes the litter; returns how many files and folders it was."""
        dead = self.litter(now)
        for path in dead:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return len(dead)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the lake's disk for the length of the block."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f"{SCRATCH}{maker()}.", dir=self.root) as folder:
            yield Path(folder)


def file_digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
