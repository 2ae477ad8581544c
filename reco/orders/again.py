"""Reading lines of a drop once more through the same reader and rules, and entering what came of it.

Belongs here: from a file and the lines meant in it to a replay's parts and record. Does not belong here: which lines
are meant (`reco.orders.mended`, `reco.orders.replay`), or the rows in SQL (`reco.orders.replays`).

The parts are in the lake before the record is committed, so that a kill leaves the whole replay or none; parts without
a record are removed by the next replay of their drop.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pyarrow as pa

from reco.orders.balance import QUARANTINED
from reco.orders.company import beside
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES, DropFile
from reco.orders.home import Home
from reco.orders.ledger import Drop
from reco.orders.parts import ORDER_LINES_SCHEMA, OtherLine, write_parts
from reco.orders.profiles import SourceProfile
from reco.orders.reader import read_batch
from reco.orders.replays import Replay, enter, known_keys
from reco.storage.lake import Lake, file_digest

STILL_SHOWN = 200
_ROWS_AT_ONCE = 131_072


@dataclass(frozen=True)
class Request:
    """One asking for a replay: when, who, and what the lines are read from."""

    at: dt.datetime
    actor: str
    kind: Literal["file", "profile"]
    name: str
    digest: str


@dataclass(frozen=True)
class Refused:
    """What was not read: a row of the file (its number, the first row counted) or a drop, and why."""

    row: int | None
    line: str
    why: str


@dataclass(frozen=True)
class StillWrong:
    """A line that was read again and is still quarantined, with what is wrong now."""

    drop_key: str
    line: int
    reason: str
    column: str | None
    value: str | None
    message: str


@dataclass
class ReplayReport:
    """What a replay did.

    known: rows whose line left the quarantine before, or that were read before in this very file; unchanged: rows that
    are as they were exported; still: the first 200 lines that are still wrong.
    """

    replays: list[Replay] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    still: list[StillWrong] = field(default_factory=list)
    known: int = 0
    unchanged: int = 0

    def total(self, count: str) -> int:
        """One of the line counts over all replays."""
        return sum(getattr(replay, count) for replay in self.replays)


@dataclass(frozen=True)
class Again:
    """Lines of one drop to be read again.

    file: what to read, under the key of the replay; profile: as it was asked for; lines_read: how many records the file
    ought to have; at: where each line begins in the file; offsets: the byte at which it begins in the drop; faulty:
    lines known not to be whole records, read already; beside: the other drops of its batch, where a rule looks at them.
    """

    drop: Drop
    file: DropFile
    profile: SourceProfile
    lines_read: int
    at: Mapping[int, int]
    offsets: Mapping[int, int]
    faulty: Sequence[OtherLine] = ()
    beside: Sequence[DropFile] = ()


@dataclass(frozen=True)
class ReadAgain:
    """What became of lines that were read again; `accepted` has the columns of `order_lines`."""

    again: Again
    accepted: pl.DataFrame
    others: list[OtherLine]

    @property
    def excluded(self) -> list[int]:
        """The lines that a rule of the shop leaves out."""
        return [other.line for other in self.others if other.disposition != QUARANTINED]

    @property
    def settled(self) -> bool:
        """Whether any line left the quarantine."""
        return bool(self.accepted.height or self.excluded)


def record_bounds(drop: Drop) -> dict[str, Any]:
    """How the drop was read first, as far as that says where its records end."""
    dialect = drop.dialect or {}
    return {"delimiter": dialect["delimiter"], "quote": dialect["quote"]}


def beside_replay(home: Home, drop: Drop, profile: SourceProfile) -> Sequence[DropFile]:
    """The other drops of a drop's batch, where lines read with this profile may be left out for what they say."""
    return beside(home.ledger, [drop]) if profile.rules.of_batch else ()


def next_key(home: Home, drop: Drop) -> str:
    """The key of the drop's next replay; parts that a killed one left behind are removed."""
    known = known_keys(home.ledger.engine, drop.key)
    for table in (ORDER_LINES, QUARANTINED_LINES):
        for path in home.lake.path(table).parent.glob(f"{drop.key}.r*.parquet"):
            if path.stem not in known:
                path.unlink()
    return f"{drop.key}.r{len(known) + 1}"


def read_again(again: Again, *, now: dt.datetime, folder: Path) -> ReadAgain | str:
    """What became of the lines meant, or why the file could not be read so.

    Raises:
        LedgerBroken, LakeError: see `read_batch`.
    """
    if not again.at:
        return ReadAgain(again, pl.DataFrame(schema=dict.fromkeys(ORDER_LINES_SCHEMA.names, pl.Null)), [*again.faulty])
    lake = Lake(folder / "lake")
    (folder / "scan").mkdir()
    (result,) = read_batch([again.file], lake, now=now, scratch=folder / "scan", beside=again.beside)
    if result.error:
        return str(result.error)
    accepted = _picked(lake.existing(ORDER_LINES, again.file.key), again.at)
    rows = _picked(lake.existing(QUARANTINED_LINES, again.file.key), again.at)
    places = pl.col("line").replace_strict(dict(again.offsets), return_dtype=pl.Int64)
    others = [OtherLine(**row) for row in rows.with_columns(byte_offset=places).iter_rows(named=True)]
    if result.counts.lines_read != again.lines_read or accepted.height + len(others) != len(again.at):
        return (
            f"read so, {again.drop.name} has {result.counts.lines_read} records where it had {again.lines_read}, "
            f"and {accepted.height + len(others)} of the {len(again.at)} lines meant are records of their own"
        )
    return ReadAgain(again, accepted, sorted([*others, *again.faulty], key=lambda one: one.line))


def _picked(path: Path, at: Mapping[int, int]) -> pl.DataFrame:
    """The rows of the lines meant, with the lines they have in the drop, ascending."""
    back = pl.LazyFrame({"line": list(at.values()), "first": list(at)}, schema={"line": pl.Int64, "first": pl.Int64})
    frame = pl.scan_parquet(path).join(back, on="line", how="inner").collect()
    return frame.with_columns(line=pl.col("first")).drop("first").sort("line")


def enter_all(home: Home, read: Sequence[ReadAgain], request: Request) -> list[Replay]:
    """Writes the parts of all drops, then enters all replays at once."""
    entered: dict[str, tuple[Replay, Sequence[int], Mapping[str, str]]] = {}
    for one in read:
        key = one.again.file.key
        with write_parts(home.lake, key) as writer:
            accepted = _table(one.accepted)
            for start in range(0, accepted.num_rows, _ROWS_AT_ONCE):
                writer.write(accepted.slice(start, _ROWS_AT_ONCE), [])
            for start in range(0, len(one.others), _ROWS_AT_ONCE):
                writer.write(accepted.slice(0, 0), one.others[start : start + _ROWS_AT_ONCE])
        files = {name: file_digest(home.lake.path(name, key)) for name in (ORDER_LINES, QUARANTINED_LINES)}
        excluded, lines = one.excluded, one.accepted["line"].to_list()
        replay = Replay(
            key=key,
            drop_key=one.again.drop.key,
            at=request.at,
            actor=request.actor,
            kind=request.kind,
            name=request.name,
            digest=request.digest,
            profile=one.again.profile.to_json(),
            lines_given=len(lines) + len(one.others),
            lines_accepted=len(lines),
            lines_excluded=len(excluded),
            lines_quarantined=len(one.others) - len(excluded),
            reasons=dict(sorted(writer.reasons.items())),
            lines_digest=files[ORDER_LINES],
        )
        entered[key] = (replay, [*lines, *excluded], files)
    if entered:
        enter(home.ledger.engine, entered)
    return [replay for replay, _, _ in entered.values()]


def _table(accepted: pl.DataFrame) -> pa.Table:
    frame = accepted.select(ORDER_LINES_SCHEMA.names)
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(ORDER_LINES_SCHEMA)


def still_wrong(read: Sequence[ReadAgain]) -> list[StillWrong]:
    """The first 200 lines that are still quarantined."""
    return [
        StillWrong(one.again.drop.key, other.line, other.reason, other.column, other.value, other.message)
        for one in read
        for other in one.others
        if other.disposition == QUARANTINED
    ][:STILL_SHOWN]
