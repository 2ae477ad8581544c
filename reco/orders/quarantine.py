"""Looking into the quarantine: which lines of which drops are in it, why, and which were replayed since.

Belongs here: reading `quarantined_lines` for people. Does not belong here: mending lines (`reco.orders.mending`) and
reading them again (`reco.orders.replay`).
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reco.errors import UsageError
from reco.orders.balance import QUARANTINED
from reco.orders.drops import QUARANTINED_LINES
from reco.orders.ledger import Drop, DropLedger, DropStatus
from reco.orders.masking import mask_text
from reco.orders.replays import settled_lines
from reco.orders.rules import REASONS
from reco.storage.lake import Lake

_ROWS_AT_ONCE = 65_536
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ESCAPE = re.compile(r"\\x[0-9a-f]{2}")


@dataclass(frozen=True)
class Selection:
    """Which lines are meant: of one drop or of all that count, and of one reason or of all."""

    drop: str | None = None
    reason: str | None = None

    def drops(self, ledger: DropLedger) -> list[Drop]:
        """The drops meant, older first.

        Raises:
            UsageError: there is no such drop, its lines do not count, or there is no such reason.
        """
        if self.reason is not None and self.reason not in REASONS:
            raise UsageError(f"{self.reason!r} is no reason.", hint=f"Reasons: {', '.join(REASONS)}.")
        if self.drop is None:
            return ledger.drops(status=DropStatus.INGESTED)
        drop = ledger.find(self.drop)
        if drop.status is not DropStatus.INGESTED:
            raise UsageError(f"{drop.key} is {drop.status}: it has no lines.", hint="See `reco drops list`.")
        return [drop]


@dataclass(frozen=True)
class ReasonCount:
    """Lines of one drop that were not accepted for one reason; `replayed` of them left the quarantine since."""

    reason: str
    disposition: str
    lines: int
    replayed: int

    @property
    def open(self) -> int:
        """The lines that wait to be mended; none where a rule of the shop leaves them out."""
        return self.lines - self.replayed if self.disposition == QUARANTINED else 0


@dataclass(frozen=True)
class DropCounts:
    """The lines of one drop that were not accepted, by reason, most frequent first."""

    drop: Drop
    reasons: tuple[ReasonCount, ...]


@dataclass(frozen=True)
class QuarantinedLine:
    """One line that was not accepted, as it was read first.

    `raw`: its bytes as they came, None where their time of keeping is over; `replay_key`: the replay by which it left
    the quarantine, None while it is open.
    """

    drop: Drop
    line: int
    byte_offset: int
    raw: bytes | None
    disposition: str
    reason: str
    column: str | None
    value: str | None
    message: str
    also: list[str]
    replay_key: str | None

    @property
    def open(self) -> bool:
        """Whether it waits to be mended."""
        return self.disposition == QUARANTINED and self.replay_key is None

    @property
    def text(self) -> str | None:
        """Its raw text, with bytes that are none and control characters written as escapes.

        Its customer is hidden where the profile pseudonymises and the line has a field for every column.
        """
        return None if self.raw is None else mask_text(shown(self.raw, self.drop.encoding or "utf-8"), self.drop)

    def to_json(self) -> dict[str, Any]:
        """The line as plain JSON values."""
        fields = ("line", "byte_offset", "disposition", "reason", "column", "value", "message", "also", "replay_key")
        named = {"drop": self.drop.key, "file": self.drop.name}
        return named | {name: getattr(self, name) for name in fields} | {"open": self.open, "raw": self.text}


def shown(raw: bytes, encoding: str) -> str:
    r"""Bytes as text for people: what the encoding does not know and control characters become escapes.

    >>> shown(b"5,A,\xff\x00", "utf-8")
    '5,A,\\xff\\x00'
    """
    text = raw.decode(encoding, "backslashreplace")
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def left_escape(raw: bytes, encoding: str, text: str) -> str | None:
    r"""An escape that `shown` put in for what cannot stand there, and that a text made of it still has.

    >>> left_escape(b"5,caf\xe9", "utf-8", r"5,caf\xe9"), left_escape(b"5,caf\xe9", "utf-8", "5,café")
    ('\\xe9', None)
    """
    own = Counter(_ESCAPE.findall(raw.decode(encoding, "ignore")))
    put_in = Counter(_ESCAPE.findall(shown(raw, encoding))) - own
    return next((escape for escape in put_in if text.count(escape) > own[escape]), None)


def counts(ledger: DropLedger, lake: Lake, selection: Selection) -> list[DropCounts]:
    """How many lines of each drop were not accepted, by reason; drops without any are left out.

    Raises:
        UsageError: see `Selection.drops`.
        LakeError: a part is missing or damaged.
    """
    found = []
    for drop in selection.drops(ledger):
        reasons = _reason_counts(drop, lake, set(settled_lines(ledger.engine, drop.key)), selection.reason)
        if reasons:
            found.append(DropCounts(drop, reasons))
    return found


def _reason_counts(drop: Drop, lake: Lake, settled: set[int], wanted: str | None) -> tuple[ReasonCount, ...]:
    import polars as pl  # noqa: PLC0415 - `reco quarantine --help` needs none

    path = existing_part(lake, drop)
    frame = (
        pl.read_parquet(path, columns=["line", "disposition", "reason"])
        .filter(True if wanted is None else pl.col("reason") == wanted)
        .with_columns(replayed=pl.col("line").is_in(sorted(settled)))
        .group_by("reason", "disposition")
        .agg(pl.len().alias("lines"), pl.col("replayed").sum())
        .sort(-pl.col("lines").cast(pl.Int64), "reason")
    )
    return tuple(ReasonCount(**row) for row in frame.iter_rows(named=True))


def lines(
    ledger: DropLedger, lake: Lake, drops: Sequence[Drop], *, reason: str | None = None, only_open: bool = False
) -> Iterator[QuarantinedLine]:
    """The lines of these drops that were not accepted, drop by drop in the order of the file; a bounded run at a time.

    Raises:
        LakeError: a part is missing or damaged.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415 - `reco quarantine --help` needs none

    for drop in drops:
        settled = settled_lines(ledger.engine, drop.key)
        with pq.ParquetFile(existing_part(lake, drop)) as part:
            for batch in part.iter_batches(_ROWS_AT_ONCE):
                for row in batch.to_pylist():
                    line = QuarantinedLine(drop=drop, **row, replay_key=settled.get(row["line"]))
                    if (reason is None or line.reason == reason) and (line.open or not only_open):
                        yield line


def existing_part(lake: Lake, drop: Drop) -> Path:
    """The part of `quarantined_lines` of a drop, known to be a whole Parquet file.

    Raises:
        LakeError: it is missing or damaged.
    """
    from reco.storage.engine import row_count  # noqa: PLC0415 - `reco quarantine --help` needs none

    path = lake.existing(QUARANTINED_LINES, drop.key)
    row_count(path)
    return path
