"""What goes into the reader and what comes out of it.

Belongs here: the values that pass between the ledger and the reader. Does not belong here: how a drop is read.
"""

import datetime as dt
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from reco.errors import DropError
from reco.orders.forgotten import Forgotten
from reco.orders.profiles import SourceProfile
from reco.orders.pseudonyms import Pseudonyms

ORDER_LINES = "order_lines"
QUARANTINED_LINES = "quarantined_lines"


@dataclass(frozen=True)
class DropFile:
    """One drop to read: its partition key, where its bytes are, the name it came under, its profile and its batch.

    `late` are lines that come after all others of their batch: those that are replayed.
    """

    key: str
    path: Path
    name: str
    profile: SourceProfile
    pseudonyms: Pseudonyms | None = None
    """Where the profile asks for them: what is read without keeping any of it needs none."""
    batch: int = 0
    late: bool = False
    forgotten: Forgotten | None = None
    """The customers of the home who are read without their names."""

    @property
    def place(self) -> tuple[int, bool, str]:
        """Ascends in the order in which lines count as the first of their kind."""
        return self.batch, self.late, self.key


@dataclass(frozen=True)
class LineCounts:
    """The lines of one drop. `lines_read` is counted from the bytes: it is the sum of the next three.

    Header and blank lines are physical lines and no part of `lines_read`; duplicates are exact repeats of a record
    that came before in the drop, accepted or not.
    """

    lines_read: int = 0
    lines_accepted: int = 0
    lines_excluded: int = 0
    lines_quarantined: int = 0
    lines_header: int = 0
    lines_blank: int = 0
    lines_duplicate: int = 0


@dataclass(frozen=True)
class DropResult:
    """What reading one drop gave. A failed drop has its error, no files, and counts of zero.

    `mapping` has the header name, or list of names, of each canonical column; `reasons` counts the lines that were not
    accepted by the reason that decided. `confidence` is how sure detection was of `encoding` and `delimiter`, 0..1.
    """

    key: str
    status: Literal["ingested", "failed"]
    error: DropError | None = None
    encoding: str | None = None
    dialect: dict[str, Any] | None = None
    header: list[str] | None = None
    mapping: dict[str, str | list[str]] | None = None
    counts: LineCounts = LineCounts()
    reasons: dict[str, int] = field(default_factory=dict)
    confidence: dict[str, float] = field(default_factory=dict)

    def row(self, *, now: dt.datetime, run_id: str | None) -> dict[str, Any]:
        """What a ledger keeps of it, by column."""
        return {
            "status": self.status,
            "error": str(self.error) if self.error else None,
            "error_code": self.error.code if self.error else None,
            "ingested_at": now,
            "run_id": run_id,
            "encoding": self.encoding,
            "dialect": self.dialect,
            "header": self.header,
            "mapping": self.mapping,
            "reasons": self.reasons,
            **asdict(self.counts),
        }
