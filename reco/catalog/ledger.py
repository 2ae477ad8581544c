"""The ledger of catalogue drops: which item files came, and what became of them.

Belongs here: registering a catalogue, its bytes and its states. Does not belong here: reading its lines
(`reco.catalog.reader`), or the ledger of order drops (`reco.orders.ledger`), whose states and terms these are.
"""

import datetime as dt
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from reco.audit.trail import Event, append, recording
from reco.errors import DropError, DropKnown, DropMissing, DropUnreadable, UsageError
from reco.orders.drops import DropFile, DropResult
from reco.orders.files import partition_key
from reco.orders.ledger import DropStatus, LedgerRow, Seen
from reco.orders.profiles import SourceProfile
from reco.storage.lake import Lake, fsync_folder
from reco.storage.makers import maker
from reco.storage.sql import LINE_COUNTS
from reco.storage.sql import catalogue_drops as table

RAW_CATALOGUES = "raw_catalogues"
KIND = "catalogue"
CATALOGUE = "catalogue"
"""The table of the lake that all catalogues make together."""
"""What the events of the trail say of a catalogue drop."""
_NOT_READ: dict[str, None] = dict.fromkeys((*LINE_COUNTS, "reasons", "encoding", "dialect", "header", "mapping"))
_BLOCK = 1 << 20


@dataclass(frozen=True)
class CatalogueDrop(LedgerRow):
    """One catalogue of the ledger."""


@dataclass(frozen=True)
class GivenCatalogue:
    """What became of one given file: `drop` is None only where it was refused."""

    name: str
    seen: Seen
    drop: CatalogueDrop | None
    error: DropError | None = None

    @property
    def drop_key(self) -> str | None:
        """The key of the drop; None where the file was refused."""
        return self.drop.key if self.drop else None


class CatalogueLedger:
    """The catalogue drops of one home: rows in SQL, bytes in the lake."""

    def __init__(self, engine: sa.Engine, lake: Lake) -> None:
        self.engine = engine
        self.lake = lake

    def register(
        self, files: Sequence[tuple[Path, SourceProfile]], *, now: dt.datetime, by_hand: bool = True
    ) -> list[GivenCatalogue]:
        """Takes the bytes of catalogues into the lake and the ledger; a file that cannot be read is refused.

        Content that is known changes nothing, unless it failed or, `by_hand`, was retracted or comes with another
        profile: it is then read again. Without a hand it is so where its source now reads such a file otherwise, and
        refused where another source does.
        """
        return [self._register(path, profile, now, by_hand=by_hand) for path, profile in files]

    def _register(self, path: Path, profile: SourceProfile, now: dt.datetime, *, by_hand: bool) -> GivenCatalogue:
        try:
            sha256, size = self._take(path)
        except DropError as error:
            with recording(self.engine) as connection:
                append(connection, Event.DROP_REFUSED, at=now, name=path.name, error_code=error.code, kind=KIND)
            return GivenCatalogue(path.name, Seen.REFUSED, None, error)
        with recording(self.engine) as connection:
            row = connection.execute(sa.select(table).where(table.c.sha256 == sha256)).one_or_none()
            if row is not None and _settled(row, profile, by_hand=by_hand):
                if not by_hand and row.status != DropStatus.RETRACTED.value and _reads_otherwise(row, profile):
                    return GivenCatalogue(path.name, Seen.REFUSED, None, _read_otherwise(path, row, profile))
                return GivenCatalogue(path.name, Seen.KNOWN, _drop(row))
            newest = connection.scalar(sa.select(sa.func.max(table.c.batch))) or 0
            values = _NOT_READ | {
                "name": path.name,
                "source": profile.name,
                "profile": profile.to_json(),
                "batch": newest + 1,
                "status": DropStatus.PENDING.value,
                "error": None,
                "error_code": None,
            }
            if row is None:
                key = partition_key(path.name, sha256)
                values |= {"key": key, "sha256": sha256, "size_bytes": size, "received_at": now}
                connection.execute(sa.insert(table).values(values))
            else:
                key = row.key
                connection.execute(sa.update(table).where(table.c.key == key).values(values))
            append(
                connection,
                Event.DROP_SEEN,
                at=now,
                drop_key=key,
                name=path.name,
                sha256=sha256,
                kind=KIND,
                profile=profile.to_json(),
            )
            fresh = connection.execute(sa.select(table).where(table.c.key == key)).one()
        return GivenCatalogue(path.name, Seen.NEW if row is None else Seen.AGAIN, _drop(fresh))

    def _take(self, path: Path) -> tuple[str, int]:
        """Copies a file's bytes into the lake; returns their sha256 and size."""
        if not path.is_file():
            raise DropMissing(f"{path} does not exist or is not a file.", hint="Check the path given.", name=path.name)
        folder = self.lake.root / RAW_CATALOGUES
        temporary = folder / f".catalogue.{maker()}.{os.urandom(4).hex()}.tmp"
        digest = hashlib.sha256()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("rb") as source, temporary.open("wb") as target:
                while block := source.read(_BLOCK):
                    digest.update(block)
                    target.write(block)
                size = target.tell()
                target.flush()
                os.fsync(target.fileno())
            final = self._bytes(digest.hexdigest())
            final.parent.mkdir(exist_ok=True)
            temporary.replace(final)
            fsync_folder(final.parent)
        except OSError as error:
            raise DropUnreadable(
                f"{path} cannot be taken in: {error.strerror or error}.",
                hint="Check its permissions and the free space of the home.",
                name=path.name,
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return digest.hexdigest(), size

    def _bytes(self, sha256: str) -> Path:
        return self.lake.root / RAW_CATALOGUES / sha256 / "catalogue"

    def drops(self, *, status: DropStatus | None = None) -> list[CatalogueDrop]:
        """The catalogues, oldest first, optionally of one state."""
        query = sa.select(table).order_by(table.c.batch, table.c.key)
        if status is not None:
            query = query.where(table.c.status == status.value)
        with self.engine.connect() as connection:
            return [_drop(row) for row in connection.execute(query)]

    def file(self, drop: CatalogueDrop) -> DropFile:
        """The catalogue as the reader takes it.

        Raises:
            DropMissing: its bytes are not in the lake.
        """
        path = self._bytes(drop.sha256)
        if not path.is_file():
            raise DropMissing(
                f"The bytes of catalogue {drop.key} are not in the lake ({RAW_CATALOGUES}/{drop.sha256}).",
                hint="Restore the lake from a backup, or give the file again.",
                name=drop.key,
            )
        return DropFile(drop.key, path, drop.name, SourceProfile.from_json(drop.profile))

    def record(self, result: DropResult, *, now: dt.datetime, run_id: str | None) -> None:
        """Enters what reading a catalogue gave: its counts, or why it failed."""
        error = result.error
        counts = {name: getattr(result.counts, name) for name in LINE_COUNTS}
        values = result.row(now=now, run_id=run_id)
        event = Event.DROP_FAILED if error else Event.DROP_INGESTED
        # Not the message, which may quote the file: what stands in the trail can never be taken back.
        details: dict[str, Any] = {"error_code": error.code} if error else counts | {"reasons": result.reasons}
        with recording(self.engine) as connection:
            standing = (table.c.key == result.key) & (table.c.status != DropStatus.RETRACTED.value)
            connection.execute(sa.update(table).where(standing).values(values))
            append(connection, event, at=now, run_id=run_id, drop_key=result.key, kind=KIND, **details)

    def find(self, given: str) -> CatalogueDrop | None:
        """The catalogue that a key, a name, or the first eight characters of a key or sha256 name; None: no single one.

        Raises:
            UsageError: several.
        """
        found = [one for one in self.drops() if one.is_named(given)]
        if len(found) > 1:
            raise UsageError(
                f"{given!r} names {len(found)} catalogues: {', '.join(one.key for one in found[:5])}.",
                hint="See `reco drops list` for the keys.",
            )
        return found[0] if found else None

    def retract(self, drop: CatalogueDrop, *, now: dt.datetime, reason: str) -> None:
        """Takes a catalogue out of the names again; its bytes and its record stay.

        Raises:
            UsageError: it is out already.
        """
        if drop.status is DropStatus.RETRACTED:
            raise UsageError(f"{drop.key} was retracted already.", hint="Give its file again to bring it back.")
        with recording(self.engine) as connection:
            retracted = sa.update(table).where(table.c.key == drop.key).values(status=DropStatus.RETRACTED.value)
            connection.execute(retracted)
            append(connection, Event.DROP_RETRACTED, at=now, drop_key=drop.key, reason=reason, kind=KIND)


def _settled(row: Any, profile: SourceProfile, *, by_hand: bool) -> bool:
    """Whether known content changes nothing."""
    if row.status == DropStatus.FAILED.value:
        return False
    if row.status == DropStatus.RETRACTED.value:
        return not by_hand
    if by_hand:
        return bool(row.profile == profile.to_json())
    return row.source != profile.name or not _reads_otherwise(row, profile)


def _reads_otherwise(row: Any, profile: SourceProfile) -> bool:
    """Whether a profile may make other items of the bytes of a row than they were read as."""

    def reading(one: dict[str, Any]) -> tuple[Any, ...]:
        items = {name: column for name, column in (one.get("items") or {}).items() if name != "file"}
        return items, one.get("dialect"), (one.get("rules") or {}).get("max_line_bytes")

    return reading(row.profile) != reading(profile.to_json())


def _read_otherwise(path: Path, row: Any, profile: SourceProfile) -> DropError:
    return DropKnown(
        f"{path.name} was taken as a catalogue before, with profile {row.source}; profile {profile.name} reads it "
        "otherwise, and was not used.",
        hint="Let one profile name its columns, or read it by hand: "
        f"`reco run --catalogue {path.name} --source PROFILE`.",
        name=path.name,
        key=row.key,
    )


def _drop(row: Any) -> CatalogueDrop:
    values = {field.name: getattr(row, field.name) for field in fields(CatalogueDrop)}
    return CatalogueDrop(**values | {"status": DropStatus(row.status)})
