"""The inbox: where new order files wait, in a folder or under a prefix of an object store.

Belongs here: listing it, reading one of its files, and putting one there so that nobody sees half of it. Does not
belong here: which file is new (`reco.orders.intake`), or taking files out, which nobody does:
the files stay the shop's.
"""

import filecmp
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from reco.errors import ConfigError, DropMissing, DropUnreadable, InboxUnavailable, UsageError
from reco.orders.files import PACKED, SUFFIXES, is_order_file
from reco.orders.profiles import SourceProfile, builtin_profiles, load_profile
from reco.settings import S3_PLACE, Settings
from reco.storage.lake import fsync_folder

if TYPE_CHECKING:
    from reco.storage.objects import ObjectStore

MOST_FILES = 100_000
IGNORED_STARTS = (".", "~")


@dataclass(frozen=True, order=True)
class InboxFile:
    """A file that waits: its place below the inbox, its size, and a version that changes with its content."""

    place: str
    size_bytes: int
    version: str

    @property
    def mark(self) -> str:
        """Changes when the content does."""
        return f"{self.size_bytes}:{self.version}"


class Inbox(Protocol):
    """A place of order files. `whole`: a file is seen once it is complete; `at_once`: so many are read in a tick."""

    whole: bool
    at_once: int

    def list(self) -> list[InboxFile]:
        """The order files that wait, sorted; hidden and temporary names are left out."""

    def fetch(self, file: InboxFile, scratch: Path) -> Path:
        """A path to read the file's bytes from; `scratch` may be used to hold them."""

    def put(self, file: Path, source: str | None) -> str:
        """Copies a file into the inbox, whole or not at all; returns its place."""


def open_inbox(settings: Settings) -> Inbox:
    """The inbox these settings name."""
    place = settings.inbox_place
    if isinstance(place, Path):
        return FolderInbox(place)
    found = S3_PLACE.fullmatch(place)
    if found is None:
        raise ConfigError(f"{place} is no s3:// place.", hint="Write s3://bucket/prefix.", settings=["RECO_INBOX"])
    from reco.storage.objects import shared_store  # noqa: PLC0415 - boto3 is loaded only where the inbox is a bucket

    return BucketInbox(shared_store(found[1], settings.s3_endpoint_url), (found[2] or "").strip("/"))


CATALOGUE_FOLDER = "catalogue"
"""The folder of the inbox whose files are catalogues of items instead of orders."""


def is_catalogue(file: InboxFile) -> bool:
    """Whether a file of the inbox is a catalogue: `inbox/catalogue/file.csv`."""
    return file.place.startswith(f"{CATALOGUE_FOLDER}/")


def profile_of(place: str, default: str, inbox: Path | None = None) -> SourceProfile:
    """The profile of an inbox file: `inbox/<source>/file.csv` names it, else the default.

    In a folder of this machine, `inbox/<source>/profile.toml` may be it.
    """
    folder = place.partition("/")[0]
    if inbox is not None and "/" in place and (own := inbox / folder / "profile.toml").is_file():
        return load_profile(own)
    return load_profile(folder if folder in builtin_profiles() and "/" in place else default)


class FolderInbox:
    """A folder of this machine."""

    whole = False
    at_once = 100

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def list(self) -> list[InboxFile]:
        """The order files below the folder; none where there is no folder.

        Raises:
            InboxUnavailable: the folder cannot be read, or holds too many files to look at each time.
        """
        if not self.folder.exists():
            return []
        found = []
        for path in self._walk():
            try:
                stat = path.stat()
            except FileNotFoundError:  # taken away while we looked
                continue
            found.append(InboxFile(path.relative_to(self.folder).as_posix(), stat.st_size, str(stat.st_mtime_ns)))
            _bound(len(found), str(self.folder))
        return sorted(found)

    def _walk(self) -> Iterator[Path]:
        for folder, folders, names in os.walk(self.folder, onerror=self._unreadable):
            folders[:] = [name for name in folders if not name.startswith(IGNORED_STARTS)]
            for name in names:
                path = Path(folder, name)
                if _wanted(name) and path.is_file():
                    yield path

    def _unreadable(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise InboxUnavailable(
                f"The inbox {self.folder} cannot be read: {error.strerror} ({error.filename}).",
                hint="Check its permissions, or set RECO_INBOX.",
            ) from error

    def fetch(self, file: InboxFile, scratch: Path) -> Path:  # noqa: ARG002 - a folder needs no scratch
        """The file itself."""
        return self.folder / file.place

    def put(self, file: Path, source: str | None) -> str:
        """Copies a file to `inbox/` or `inbox/<source>/`; returns its path there."""
        return str(put(file, self.folder, source))


class BucketInbox:
    """A prefix of an object store, where an object appears whole or not at all."""

    whole = True
    at_once = 50

    def __init__(self, store: "ObjectStore", prefix: str) -> None:
        self.store = store
        self.prefix = f"{prefix}/" if prefix else ""

    def list(self) -> list[InboxFile]:
        """The order files under the prefix.

        Raises:
            ObjectStoreUnavailable, ObjectStoreRefused: it does not answer; it says no.
        """
        found = []
        for one in self.store.list(self.prefix):
            place = one.key.removeprefix(self.prefix)
            if _wanted(place.rpartition("/")[2]) and not any(p.startswith(IGNORED_STARTS) for p in place.split("/")):
                found.append(InboxFile(place, one.size_bytes, one.etag))
                _bound(len(found), f"s3://{self.store.bucket}/{self.prefix}")
        return sorted(found)

    def fetch(self, file: InboxFile, scratch: Path) -> Path:
        """The object's bytes as a file of the same name."""
        path = scratch / file.place.rpartition("/")[2]
        self.store.get(self.prefix + file.place, path)
        return path

    def put(self, file: Path, source: str | None) -> str:
        """Copies a file to the prefix; a name that is taken gets a number."""
        if not file.is_file():
            raise _missing(file)
        _require_order_file(file)
        folder = f"{self.prefix}{source}/" if source else self.prefix
        key, number = folder + file.name, 1
        while self.store.exists(key):
            number += 1
            key = folder + _numbered(file.name, number)
        self.store.put(file, key)
        return f"s3://{self.store.bucket}/{key}"


def _wanted(name: str) -> bool:
    return not name.startswith(IGNORED_STARTS) and is_order_file(Path(name))


def _bound(count: int, inbox: str) -> None:
    if count > MOST_FILES:
        raise InboxUnavailable(
            f"The inbox {inbox} holds more than {MOST_FILES:,} files.",
            hint="Move old files away: what was taken in is kept in the lake.",
        )


def put(file: Path, inbox: Path, source: str | None) -> Path:
    """Copies a file to `inbox/` or `inbox/<source>/`; returns its place there.

    A name that is taken by other content gets a number: two exports of one name are two drops.

    Raises:
        DropMissing: there is no such file.
        UsageError: its name is none that is looked for in the inbox.
        DropUnreadable: it cannot be copied, for want of rights or room.
    """
    if not file.is_file():
        raise _missing(file)
    _require_order_file(file)
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


def _missing(file: Path) -> DropMissing:
    return DropMissing(f"{file} does not exist or is not a file.", hint="Check the path given.", name=file.name)


def _require_order_file(file: Path) -> None:
    if not is_order_file(file):
        raise UsageError(
            f"{file.name} would not be seen in the inbox: its name is not that of an order file.",
            hint=f"Order files end in {', '.join(SUFFIXES)}, also with {', '.join(PACKED)}; "
            "`reco run --orders FILE` takes any name.",
        )


def _numbered(name: str, number: int) -> str:
    """A name with a number before all of its suffixes, so that it stays the name of an order file."""
    stem, dot, suffixes = name.partition(".")
    return f"{stem}-{number}{dot}{suffixes}"


def _place(content: Path, wanted: Path) -> Path:
    """Gives the content its name; a link, unlike a rename, never takes the place of another file."""
    place, number = wanted, 1
    while True:
        try:
            os.link(content, place)
        except FileExistsError:
            if filecmp.cmp(content, place, shallow=False):
                return place
            number += 1
            place = wanted.with_name(_numbered(wanted.name, number))
        else:
            return place
