"""The audit report: what came in, what became of it, and what was published of it.

Belongs here: the values of a report and the sums in them. Does not belong here: where they are read (`gather`) or how
they look (`page`, `reco_pipeline.cli.audit`).
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from reco.audit.proof import Proof
from reco.audit.quality import quality_score


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines of one or more drops. Each line that was read is accepted, excluded or quarantined."""

    read: int = 0
    accepted: int = 0
    excluded: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Whether read = accepted + excluded + quarantined, and the reasons count all lines not accepted."""
        others = self.excluded + self.quarantined
        return self.read == self.accepted + others and sum(self.reasons.values()) == others

    @property
    def score(self) -> float:
        """The quality score, 0..100."""
        return quality_score(self.read, self.quarantined)

    @property
    def equation(self) -> str:
        """The equality in figures."""
        sign = "=" if self.read == self.accepted + self.excluded + self.quarantined else "≠"
        return f"{self.read:,} {sign} {self.accepted:,} + {self.excluded:,} + {self.quarantined:,}"

    def as_dict(self) -> dict[str, Any]:
        """With what follows from the counts."""
        return asdict(self) | {"adds_up": self.adds_up, "quality_score": self.score}


def add_lines(parts: Iterable[Lines]) -> Lines:
    """The sum of several."""
    parts = list(parts)
    reasons: Counter[str] = Counter()
    for one in parts:
        reasons.update(one.reasons)
    ranked = dict(sorted(reasons.items(), key=lambda one: (-one[1], one[0])))
    return Lines(
        sum(one.read for one in parts),
        sum(one.accepted for one in parts),
        sum(one.excluded for one in parts),
        sum(one.quarantined for one in parts),
        ranked,
    )


@dataclass(frozen=True, slots=True)
class DropEntry:
    """One drop: its identity, its state, its lines (None where it was not read), and where it went.

    lake_problem: why its rows in the lake are not the lines of the ledger, empty where they are; snapshots: ids of the
    snapshots in scope that hold it, first to last; replayed: quarantined lines that left the quarantine since, by
    replays that count.
    """

    key: str
    name: str
    sha256: str
    size_bytes: int
    source: str
    status: str
    error: str | None
    received_at: dt.datetime
    ingested_at: dt.datetime | None
    run_id: str | None
    batch: int
    lines: Lines | None
    lake_problem: str
    snapshots: tuple[str, ...]
    replayed: int = 0

    @property
    def open(self) -> int | None:
        """The quarantined lines that wait to be mended; None where it was not read, or was taken out."""
        return None if self.lines is None or self.status == "retracted" else self.lines.quarantined - self.replayed


@dataclass(frozen=True, slots=True)
class ReplayEntry:
    """Quarantined lines of a drop that were read again: who asked, from which file or profile, and what became of them.

    `given` is the sum of the three counts after it; voided_at: since when it no longer counts, None while it does.
    """

    key: str
    drop_key: str
    drop_name: str
    at: dt.datetime
    actor: str
    kind: str
    name: str
    digest: str
    given: int
    accepted: int
    excluded: int
    quarantined: int
    voided_at: dt.datetime | None
    voided_why: str | None

    @property
    def adds_up(self) -> bool:
        """Whether every line given was accepted, excluded or is still quarantined."""
        return self.given == self.accepted + self.excluded + self.quarantined


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run as the trail knows it: when, what it read, and how it ended."""

    run_id: str
    first_at: dt.datetime
    last_at: dt.datetime
    drops: int
    drops_failed: int
    lines: Lines
    outcome: str
    snapshot_id: str | None


@dataclass(frozen=True, slots=True)
class DayEntry:
    """The drops received on one day (UTC)."""

    day: dt.date
    drops: int
    lines: Lines


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """One published snapshot. drops: keys of what it was made of; None where that was not yet recorded."""

    snapshot_id: str
    digest: str
    published_at: dt.datetime
    run_id: str | None
    orders: int
    items: int
    pairs: int
    forced: bool
    drops: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Mark:
    """One event in words: a refusal of the gate, a replacement, a retraction, a rollback, a failure."""

    at: dt.datetime
    event: str
    what: str
    run_id: str | None
    words: str


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about: one drop, one run, a period (inclusive, exclusive), or everything."""

    drop: str | None = None
    run: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None

    @property
    def words(self) -> str:
        """As people read it."""
        if self.drop:
            return f"drop {self.drop}"
        if self.run:
            return f"run {self.run}"
        if self.since or self.until:
            start = f"{self.since:%Y-%m-%d %H:%M} UTC" if self.since else "the beginning"
            end = f"{self.until:%Y-%m-%d %H:%M} UTC (not included)" if self.until else "now"
            return f"drops received and events from {start} to {end}"
        return "everything since the home was made"


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a report says. dispositions: excluded or quarantined, by reason.

    catalogues: drops of item master data, whose lines are no order lines and stand in no sum of this report.
    """

    generated_at: dt.datetime
    version: str
    namespace: str
    scope: Scope
    drops: Sequence[DropEntry]
    runs: Sequence[RunEntry]
    days: Sequence[DayEntry]
    snapshots: Sequence[SnapshotEntry]
    marks: Sequence[Mark]
    proof: Proof
    dispositions: Mapping[str, str]
    replays: Sequence[ReplayEntry] = ()
    catalogues: Sequence[DropEntry] = ()

    @property
    def lines(self) -> Lines:
        """Over all drops of the report that were read, retracted ones too."""
        return add_lines(drop.lines for drop in self.drops if drop.lines is not None)

    @property
    def states(self) -> dict[str, int]:
        """Drops by state."""
        return dict(sorted(Counter(drop.status for drop in self.drops).items()))

    @property
    def problems(self) -> list[str]:
        """What does not add up; empty in a sound home."""
        every = [*self.drops, *self.catalogues]
        found = [f"{drop.name}: {drop.lines.equation}" for drop in every if drop.lines and not drop.lines.adds_up]
        found += [drop.lake_problem for drop in self.drops if drop.lake_problem]
        found += [
            f"{drop.name}: more lines were replayed than quarantined" for drop in self.drops if (drop.open or 0) < 0
        ]
        found += [f"Replay {one.key} of {one.drop_name} does not add up." for one in self.replays if not one.adds_up]
        return [*found, *self.proof.problems]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: times as ISO 8601 in UTC."""
        return {
            "generated_at": _text(self.generated_at),
            "version": self.version,
            "namespace": self.namespace,
            "scope": {name: _text(value) for name, value in asdict(self.scope).items()},
            "lines": self.lines.as_dict(),
            "adds_up": not self.problems,
            "problems": self.problems,
            "drops_by_status": self.states,
            "drops": [_entry(one) for one in self.drops],
            "runs": [_entry(one) for one in self.runs],
            "days": [_entry(one) for one in self.days],
            "snapshots": [_entry(one) for one in self.snapshots],
            "replays": [_entry(one) for one in self.replays],
            "catalogues": [_entry(one) for one in self.catalogues],
            "events": [_entry(one) for one in self.marks],
            "trail": self.proof.as_dict(),
        }


def _entry(one: Any) -> dict[str, Any]:
    found = {name: _text(value) for name, value in asdict(one).items()}
    lines = getattr(one, "lines", None)
    if lines is not None:
        found["lines"] = lines.as_dict()
    if isinstance(one, DropEntry):
        found["lines_open"] = one.open
    if isinstance(one, ReplayEntry):
        found["adds_up"] = one.adds_up
    return found


def _text(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, dt.date) else value


def flat_rows(report: Report, by: str) -> tuple[list[str], list[list[Any]]]:
    """The report as one flat table, a row per drop, run or day: columns and rows.

    Every reason that occurs has a column of its own, so that each row can be added up again.
    """
    counts = ["lines_read", "lines_accepted", "lines_excluded", "lines_quarantined", "adds_up", "quality_score"]
    reasons = list(report.lines.reasons)

    def figures(lines: Lines | None) -> list[Any]:
        if lines is None:
            return [None] * (len(counts) + len(reasons))
        sums = [lines.read, lines.accepted, lines.excluded, lines.quarantined, "yes" if lines.adds_up else "NO"]
        return [*sums, round(lines.score, 4), *(lines.reasons.get(name, 0) for name in reasons)]

    if by == "run":
        names = ["run_id", "first_at", "last_at", "drops", "drops_failed", "outcome", "snapshot_id"]
        rows = [[*(_text(getattr(one, name)) for name in names), *figures(one.lines)] for one in report.runs]
    elif by == "day":
        names = ["day", "drops"]
        rows = [[*(_text(getattr(one, name)) for name in names), *figures(one.lines)] for one in report.days]
    else:
        names = ["key", "name", "sha256", "size_bytes", "source", "status", "error", "received_at", "ingested_at"]
        names += ["run_id", "batch"]
        rows = [
            [
                *(_text(getattr(one, name)) for name in names),
                " ".join(one.snapshots),
                one.replayed,
                one.open,
                *figures(one.lines),
            ]
            for one in report.drops
        ]
        names += ["snapshots", "lines_replayed", "lines_open"]
    return [*names, *counts, *reasons], rows
