"""The ledger of drops: which bytes came, what became of them, and whether the numbers add up.

Belongs here: registering a drop, its states, and finding it again. Does not belong here: its bytes in the lake
(`reco.orders.rawfiles`), reading lines out of it (`reco.orders.reader`), entering what that gave
(`reco.orders.outcomes`), counting what is stored (`reco.orders.balance`), or reading lines again
(`reco.orders.replay`).
"""

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reco.audit.trail import Event, append, recording
from reco.errors import DropError, DropKnown, DropUnreadable, ProfileError, UsageError
from reco.orders import balance, replays
from reco.orders.company import NOT_READ, reopen
from reco.orders.drops import DropFile
from reco.orders.files import partition_key
from reco.orders.forgotten import Forgotten
from reco.orders.profiles import SourceProfile
from reco.orders.pseudonyms import Pseudonyms
from reco.orders.rawfiles import bytes_removed, bytes_settled, raw_file, take_bytes
from reco.orders.replays import Replay
from reco.storage.lake import Lake
from reco.storage.sql import drops as table

_LEAST_PREFIX = 8


class DropStatus(StrEnum):
    """The states of a drop. `failed` can be given again; `retracted` was taken out by a person."""

    PENDING = "pending"
    INGESTED = "ingested"
    FAILED = "failed"
    RETRACTED = "retracted"


class Seen(StrEnum):
    """What registering a file found."""

    NEW = "new"
    AGAIN = "again"
    KNOWN = "known"
    REFUSED = "refused"


@dataclass(frozen=True)
class LedgerRow:
    """What is known of any drop, of orders or a catalogue; the counts are None until it was read."""

    key: str
    sha256: str
    name: str
    source: str
    profile: dict[str, Any]
    size_bytes: int
    batch: int
    status: DropStatus
    error_code: str | None
    error: str | None
    received_at: dt.datetime
    ingested_at: dt.datetime | None
    run_id: str | None
    encoding: str | None
    dialect: dict[str, Any] | None
    header: list[str] | None
    mapping: dict[str, Any] | None
    lines_read: int | None
    lines_accepted: int | None
    lines_excluded: int | None
    lines_quarantined: int | None
    lines_header: int | None
    lines_blank: int | None
    lines_duplicate: int | None
    reasons: dict[str, int] | None

    def is_named(self, given: str) -> bool:
        """Whether a person may mean it by this: its key, its file name, or eight characters of a key or sha256."""
        starts = len(given) >= _LEAST_PREFIX and (self.key.startswith(given) or self.sha256.startswith(given))
        return given in (self.key, self.name) or starts


@dataclass(frozen=True)
class Drop(LedgerRow):
    """One drop of orders.

    `replays` are those that count, oldest first: lines read again later, which change none of the counts.
    """

    replays: tuple[Replay, ...] = ()

    @property
    def lines_open(self) -> int:
        """The quarantined lines that no replay settled."""
        return (self.lines_quarantined or 0) - sum(replay.lines_settled for replay in self.replays)

    @property
    def merge_items(self) -> tuple[str, ...]:
        """What the rules of its profile let differ in the ids of one item."""
        return tuple(self.profile.get("rules", {}).get("merge_items", ()))


@dataclass(frozen=True)
class Registration:
    """What became of one given file: `drop` is None only where it was refused."""

    name: str
    seen: Seen
    drop: Drop | None
    error: DropError | None = None

    @property
    def drop_key(self) -> str | None:
        """The key of the drop; None where the file was refused."""
        return self.drop.key if self.drop else None


@dataclass(frozen=True)
class _Terms:
    """How the files of one giving are entered: `settled` are the states in which known content changes nothing."""

    settled: set[DropStatus]
    source_given: bool
    batch: int
    now: dt.datetime


@dataclass(frozen=True)
class _KnownBytes:
    """What the rows of the drops tell of bytes."""

    engine: sa.Engine
    lake: Lake

    def size(self, size_bytes: int) -> bool:
        with self.engine.connect() as connection:
            return (
                connection.scalar(sa.select(table.c.key).where(table.c.size_bytes == size_bytes).limit(1)) is not None
            )

    def content(self, sha256: str) -> bool:
        with self.engine.connect() as connection:
            key = connection.scalar(sa.select(table.c.key).where(table.c.sha256 == sha256))
        return key is not None and bytes_settled(self.lake, key)


class DropLedger:
    """The ledger of one home: rows in SQL, bytes in the lake."""

    def __init__(self, engine: sa.Engine, lake: Lake, pseudonyms: Pseudonyms) -> None:
        self.engine = engine
        self.lake = lake
        self.pseudonyms = pseudonyms
        self.forgotten = Forgotten(engine, pseudonyms)

    def register(
        self,
        files: Sequence[tuple[Path, SourceProfile]],
        *,
        now: dt.datetime,
        by_hand: bool = True,
        source_given: bool = False,
    ) -> list[Registration]:
        """Takes the bytes of the given files into the lake and the ledger as one batch, all or nothing.

        Content that is known and not failed changes nothing. A retracted drop comes back only `by_hand`: its file may
        still lie in the inbox. A file that cannot be read is refused, and so is one that was read with another profile
        where the profile was given on purpose (`source_given`); the others go on.
        """
        taken: list[tuple[Path, SourceProfile, str | DropError]] = []
        for path, profile in files:
            try:
                taken.append((path, profile, take_bytes(self.lake, path, _KnownBytes(self.engine, self.lake))))
            except DropError as error:
                taken.append((path, profile, error))
        with recording(self.engine) as connection:
            batch = (connection.scalar(sa.select(sa.func.max(table.c.batch))) or 0) + 1
            settled = {DropStatus.PENDING, DropStatus.INGESTED} | (set() if by_hand else {DropStatus.RETRACTED})
            terms = _Terms(settled, source_given, batch, now)
            entered = [self._enter(connection, *one, terms) for one in taken]
        self._forget_copies(entered, [(path, sha256) for path, _, sha256 in taken if isinstance(sha256, str)])
        return entered

    def _forget_copies(self, entered: Sequence[Registration], taken: Sequence[tuple[Path, str]]) -> None:
        """Removes the second copy of bytes that came under two names at once: no row refers to it."""
        rows = {one.drop.key for one in entered if one.drop is not None}
        for path, sha256 in taken:
            key = partition_key(path.name, sha256)
            if key not in rows:
                shutil.rmtree(self.lake.raw_folder(key), ignore_errors=True)

    def _enter(
        self,
        connection: sa.Connection,
        path: Path,
        profile: SourceProfile,
        sha256: str | DropError,
        terms: "_Terms",
    ) -> Registration:
        if isinstance(sha256, DropError):
            append(connection, Event.DROP_REFUSED, at=terms.now, name=path.name, error=str(sha256))
            return Registration(path.name, Seen.REFUSED, None, sha256)
        row = connection.execute(sa.select(table).where(table.c.sha256 == sha256)).one_or_none()
        if row is not None and row.status in terms.settled:
            if terms.source_given and row.profile != profile.to_json() and row.status == DropStatus.INGESTED.value:
                return Registration(path.name, Seen.REFUSED, None, _read_otherwise(path.name, row, profile))
            return Registration(path.name, Seen.KNOWN, _drop(row))
        key = row.key if row is not None else partition_key(path.name, sha256)
        values = {
            "name": path.name,
            "source": profile.name,
            "profile": profile.to_json(),
            "batch": terms.batch,
            "status": DropStatus.PENDING.value,
            "error": None,
            "error_code": None,
        } | NOT_READ
        if row is None:
            size = raw_file(self.lake, key).stat().st_size
            values |= {"key": key, "sha256": sha256, "size_bytes": size, "received_at": terms.now}
            connection.execute(sa.insert(table).values(values))
        else:
            connection.execute(sa.update(table).where(table.c.key == key).values(values))
            replays.void(connection, key, at=terms.now, why="the drop was given again")
        fresh = connection.execute(sa.select(table).where(table.c.key == key)).one()
        append(
            connection,
            Event.DROP_SEEN,
            at=terms.now,
            drop_key=key,
            name=path.name,
            sha256=sha256,
            size_bytes=fresh.size_bytes,
            batch=terms.batch,
            source=profile.name,
            profile_sha256=profile.digest,
            profile=profile.to_json(),
            before=row.status if row is not None else None,
        )
        return Registration(path.name, Seen.NEW if row is None else Seen.AGAIN, _drop(fresh))

    def drops(self, *, status: DropStatus | None = None, keys: Iterable[str] | None = None) -> list[Drop]:
        """The drops, oldest batch first and by key within one, optionally of one state or of these keys."""
        query = sa.select(table).order_by(table.c.batch, table.c.key)
        if status is not None:
            query = query.where(table.c.status == status.value)
        with self.engine.connect() as connection:
            counting = replays.standing(connection)
            found = [_drop(row, counting.get(row.key, ())) for row in connection.execute(query)]
        wanted = None if keys is None else set(keys)
        return [drop for drop in found if wanted is None or drop.key in wanted]

    def file(self, drop: Drop) -> DropFile:
        """The drop as the reader takes it: the kept bytes and the profile it was registered with.

        Raises:
            DropMissing: its bytes are not in the lake.
            DropUnreadable: its profile was made for another version.
        """
        try:
            profile = SourceProfile.from_json(drop.profile)
        except ProfileError as error:
            raise DropUnreadable(
                f"{drop.name} was given with a source profile of another version: {error.message}",
                hint="Give the file again with --source.",
                name=drop.name,
            ) from error
        pseudonyms, path = self.pseudonyms_for(profile), raw_file(self.lake, drop.key)
        return DropFile(drop.key, path, drop.name, profile, pseudonyms, drop.batch, forgotten=self.forgotten)

    def bytes_removed(self, key: str) -> bool:
        """Whether the bytes of a drop were removed to forget a customer."""
        return bytes_removed(self.lake, key)

    def pseudonyms_for(self, profile: SourceProfile) -> Pseudonyms | None:
        """Those of the home where a profile asks for them."""
        return self.pseudonyms if profile.privacy.pseudonymise else None

    def find(self, key: str) -> Drop:
        """The one drop a person means by its key, its file name, or at least eight characters of a key or sha256.

        Raises:
            UsageError: it names no drop, or several.
        """
        found = [drop for drop in self.drops() if drop.is_named(key)]
        if len(found) != 1:
            names = f"{key!r} names {len(found)} drops: {', '.join(d.key for d in found[:5])}."
            message = names if found else f"No drop is named {key!r}."
            raise UsageError(message, hint="See `reco drops list` for the keys.")
        return found[0]

    def retract(self, key: str, *, now: dt.datetime, reason: str) -> Drop:
        """Takes a drop out of the orders, with what was replayed of it; its bytes and its record stay.

        Drops of its batch from which lines were left out beside it wait to be read anew.

        Raises:
            UsageError: no drop (see `find`), or several, or one that is out already.
        """
        drop = self.find(key)
        if drop.status is DropStatus.RETRACTED:
            raise UsageError(f"{drop.key} was retracted already.", hint="Give its file again to bring it back.")
        with recording(self.engine) as connection:
            connection.execute(
                sa.update(table).where(table.c.key == drop.key).values(status=DropStatus.RETRACTED.value)
            )
            replays.void(connection, drop.key, at=now, why="the drop was retracted")
            if drop.status is DropStatus.INGESTED:
                self._reopen(connection, drop, at=now, left=True)
            append(
                connection,
                Event.DROP_RETRACTED,
                at=now,
                drop_key=drop.key,
                reason=reason,
                before=drop.status.value,
                sha256=drop.sha256,
                lines_accepted=drop.lines_accepted,
            )
        return self.drops(keys=[drop.key])[0]

    def reopen_beside(self, drop: Drop, *, now: dt.datetime, left: bool, apart: Iterable[str]) -> list[str]:
        """Lets drops be read anew that a drop of their batch decided on, which came to count, or `left`; their keys."""
        with recording(self.engine) as connection:
            return self._reopen(connection, drop, at=now, left=left, apart=set(apart))

    def _reopen(
        self, connection: sa.Connection, drop: Drop, *, at: dt.datetime, left: bool, apart: Collection[str] = ()
    ) -> list[str]:
        why = f"{drop.name} of its batch counts {'no longer' if left else 'now'}"
        return reopen(connection, drop, at=at, why=why, left=left, apart=apart, readable=self._has_bytes)

    def _has_bytes(self, key: str) -> bool:
        return any(self.lake.raw_folder(key).glob("[!.]*"))

    def imbalances(self) -> list[balance.Imbalance]:
        """The ingested drops whose stored lines do not add up, by their first reading or by their replays.

        Raises:
            LakeError: a part is damaged.
        """
        return balance.imbalances(self.lake, self.drops(status=DropStatus.INGESTED))


def _read_otherwise(name: str, row: Any, profile: SourceProfile) -> DropError:
    how = "another version of it" if row.source == profile.name else f"profile {profile.name}"
    return DropKnown(
        f"{name} was read before, with profile {row.source}; now {how} was given, which was not used.",
        hint=f"`reco drops retract {row.key}`, then give it again to read it anew.",
        key=row.key,
    )


def inputs_digest(drops: Iterable[Drop], *code_and_settings: str) -> str:
    """What the model is made of, as one digest: ingested drops with batch, profile and replays; code and settings."""
    facts = sorted(
        (
            d.sha256,
            d.batch,
            json.dumps(d.profile, sort_keys=True),
            *(r.lines_digest for r in d.replays if r.lines_accepted),
        )
        for d in drops
        if d.status is DropStatus.INGESTED
    )
    return hashlib.sha256(json.dumps([facts, code_and_settings]).encode()).hexdigest()


def _drop(row: Any, counting: tuple[Replay, ...] = ()) -> Drop:
    values = {field.name: getattr(row, field.name) for field in fields(Drop) if field.name != "replays"}
    return Drop(**values | {"status": DropStatus(row.status), "replays": counting})
