"""Taking files of the inbox into the ledger, each content once.

Belongs here: which files are new, which have held still, and taking them in as one batch. Does not belong here: when
that happens (`reco_pipeline`), or what a drop is (`reco.orders.ledger`).

The ledger decides by content. The table `inbox_files` only remembers which file of the inbox was read already, by size
and time of change (a bucket: ETag): without it every look would read every file, and a drop that failed or was
retracted would come back because its file still lies there. When it is lost, files are read once more and found known.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import sqlalchemy as sa

from reco.errors import DropError
from reco.orders.home import Home
from reco.orders.inbox import Inbox, InboxFile, profile_of
from reco.orders.ledger import DropStatus
from reco.orders.profiles import SourceProfile
from reco.storage.sql import catalogue_drops, drops, inbox_files


class Taken(Protocol):
    """What a ledger says of a file: the drop it is, or none where it was refused."""

    @property
    def drop_key(self) -> str | None:
        """The key of the drop."""


TakenT = TypeVar("TakenT", bound=Taken)

TICK_BYTES = 64 << 20
"""Copying and hashing this much takes well under a second; more is left to a run."""

SETTLED_SECONDS = 60
WATCHED = 5_000
"""So many unknown files are watched for holding still; the others wait until these are taken in."""


@dataclass(frozen=True)
class Look:
    """One look at the unknown files: those that did not change since the last look, and all of them as seen now."""

    still: list[InboxFile]
    seen: dict[str, str]

    @property
    def moving(self) -> int:
        """How many files have to be looked at again."""
        return len(self.seen) - len(self.still)


def unknown_files(home: Home, inbox: Inbox, *, again: bool = False) -> list[InboxFile]:
    """The files that were not read yet as they are now, sorted.

    `again`: also those that were refused or whose drop failed, for a person who has put things right.
    """
    state = sa.func.coalesce(drops.c.status, catalogue_drops.c.status).label("status")
    query = (
        sa.select(inbox_files, state)
        .outerjoin(drops, drops.c.key == inbox_files.c.drop_key)
        .outerjoin(catalogue_drops, catalogue_drops.c.key == inbox_files.c.drop_key)
    )
    with home.ledger.engine.connect() as connection:
        known = {
            InboxFile(row.place, row.size_bytes, row.version)
            for row in connection.execute(query)
            if not (again and row.status in (None, DropStatus.FAILED))
        }
    return [file for file in inbox.list() if file not in known]


def look(files: Sequence[InboxFile], seen_before: Mapping[str, str], *, whole: bool) -> Look:
    """Tells the files that may still be written to from those that have held still since the last look.

    >>> first = look([InboxFile("a.csv", 3, "1")], {}, whole=False)
    >>> (first.still, first.moving)
    ([], 1)
    >>> look([InboxFile("a.csv", 3, "1")], first.seen, whole=False).still[0].place
    'a.csv'
    >>> look([InboxFile("a.csv", 9, "2")], first.seen, whole=False).still
    []
    """
    watched = files[:WATCHED]
    seen = {file.place: file.mark for file in watched}
    still = [file for file in watched if whole or seen_before.get(file.place) == seen[file.place]]
    return Look(still, seen)


def settled_by_age(files: Sequence[InboxFile], now: dt.datetime) -> dict[str, str]:
    """What `look` takes for the last look where there was none: files of a folder unchanged for a minute."""
    oldest = (now.timestamp() - SETTLED_SECONDS) * 1e9
    return {file.place: file.mark for file in files if file.version.isdigit() and int(file.version) < oldest}


def fits_a_tick(files: Sequence[InboxFile], inbox: Inbox) -> bool:
    """Whether taking these files in is quick enough to be done while a sensor waits."""
    return len(files) <= inbox.at_once and sum(file.size_bytes for file in files) <= TICK_BYTES


def profiles_of(files: Sequence[InboxFile], home: Home) -> list[SourceProfile]:
    """The profile each file is read with.

    Raises:
        ProfileError: `RECO_SOURCE` names no profile.
    """
    place = home.settings.inbox_place
    return [profile_of(file.place, home.settings.source, place if isinstance(place, Path) else None) for file in files]


def take_in(
    home: Home,
    inbox: Inbox,
    files: Sequence[InboxFile],
    profiles: Sequence[SourceProfile],
    register: Callable[[Sequence[tuple[Path, SourceProfile]]], Sequence[TakenT]],
    *,
    now: dt.datetime,
) -> list[TakenT]:
    """Takes files into the ledger that `register` leads to and remembers them. The caller holds the inbox lock.

    A file that cannot be read is refused and the others go on; one that has changed again is looked at again later.
    """
    if not files:
        return []
    with home.lake.scratch() as scratch:
        fetched = []
        for number, (file, profile) in enumerate(zip(files, profiles, strict=True)):
            own = scratch / str(number)
            own.mkdir()
            try:
                path = inbox.fetch(file, own)
            except DropError:  # gone since it was listed: the ledger refuses the path that is not there
                path = own / file.place.rpartition("/")[2]
            fetched.append((path, profile))
        registrations = list(register(fetched))
    rows = [
        {
            "place": file.place,
            "size_bytes": file.size_bytes,
            "version": file.version,
            "drop_key": one.drop_key,
            "looked_at": now,
        }
        for file, one in zip(files, registrations, strict=True)
    ]
    with home.ledger.engine.begin() as connection:
        for row in rows:
            connection.execute(sa.delete(inbox_files).where(inbox_files.c.place == row["place"]))
        connection.execute(sa.insert(inbox_files), rows)
    return registrations
