"""The verdict on each drop: its figures, and which of them are worse than the limits.

Belongs here: the rules of `docs/quality.md` as pure functions over counts. Does not belong here: counting
(`reco.audit.contents`, the ledger), the formulas of single figures (`reco.audit.quality`), or what a finding stops:
nothing.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from reco.audit.contents import LineContents
from reco.audit.quality import quality_score

LEAST_PAST = 3
"""Earlier drops without which there is no past to compare with."""
LEAST_JUMP = 0.005
"""A rate that rose by less, as a share of lines, is no jump, however small it was before."""
AHEAD = dt.timedelta(hours=14)
"""How far after its receipt a time in a drop may lie: the most eastern time zone read as UTC. More is in the future."""


class Kind(StrEnum):
    """What a finding is about. Each has a check of its own."""

    SCORE = "score"
    QUARANTINE = "quarantine"
    JUMP = "jump"
    DUPLICATES = "duplicates"
    COMPLETENESS = "completeness"
    DATES = "dates"
    VALIDITY = "validity"


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """The limits of all rules; the defaults are those of the settings `*_warn_*` and `recent_drops`."""

    score: float = 95.0
    quarantine_rate: float = 0.02
    quarantine_jump: float = 3.0
    recent_drops: int = 10
    duplicate_rate: float = 0.05
    completeness: float = 0.5
    lag_days: int = 366
    span_days: int = 3660
    validity: float = 0.98


@dataclass(frozen=True, slots=True)
class DropFacts:
    """What is known of one ingested drop.

    columns: the optional columns its file has, by their canonical names; invalid: quarantined lines by the column whose
    value is none.
    """

    key: str
    name: str
    batch: int
    received_at: dt.datetime
    read: int
    quarantined: int
    duplicates: int
    columns: tuple[str, ...]
    contents: LineContents
    source: str = ""
    invalid: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure that is worse than its limit, in words that go behind the drop's name."""

    kind: Kind
    message: str


@dataclass(frozen=True, slots=True)
class DropVerdict:
    """The figures of one drop and what is wrong with them. Rates and shares are in 0..1.

    recent_rate: the quarantine rate of the drops before it from its source, None with fewer than LEAST_PAST of them;
    completeness: the share of accepted lines with a value, for each optional column of its file; validity: the share
    of values that are valid, for each column that has an invalid one.
    """

    facts: DropFacts
    quality_score: float
    quarantine_rate: float
    recent_rate: float | None
    duplicate_rate: float
    completeness: Mapping[str, float]
    validity: Mapping[str, float]
    findings: tuple[Finding, ...]

    def of(self, kind: Kind) -> list[Finding]:
        """The findings of one kind."""
        return [one for one in self.findings if one.kind is kind]


def judge_drops(drops: Sequence[DropFacts], limits: QualityLimits) -> list[DropVerdict]:
    """The verdict on each drop, in the order given, which must be that of the ledger: older first.

    A drop is compared with those before it from its own source: another system writes other files.
    """
    before: dict[str, list[DropFacts]] = {}
    verdicts = []
    for drop in drops:
        past = before.setdefault(drop.source, [])
        verdicts.append(_judge(drop, past[-limits.recent_drops :], limits))
        past.append(drop)
    return verdicts


def column_completeness(drops: Sequence[DropFacts]) -> dict[str, float]:
    """The share of accepted lines with a value, for each optional column, over the drops whose file has it."""
    lines: dict[str, int] = {}
    present: dict[str, int] = {}
    for drop in drops:
        for column in drop.columns:
            lines[column] = lines.get(column, 0) + drop.contents.lines
            present[column] = present.get(column, 0) + drop.contents.present[column]
    return {column: present[column] / count for column, count in sorted(lines.items()) if count}


def column_validity(drops: Sequence[DropFacts]) -> dict[str, float]:
    """The share of values present that are valid, for each column with an invalid one, over all these drops.

    Valid values are those of accepted lines; lines that a rule of the shop leaves out count on neither side.
    """
    columns = sorted({column for drop in drops for column in drop.invalid})
    valid = {column: sum(drop.contents.present.get(column, 0) for drop in drops) for column in columns}
    invalid = {column: sum(drop.invalid.get(column, 0) for drop in drops) for column in columns}
    return {column: valid[column] / (valid[column] + invalid[column]) for column in columns if invalid[column]}


def _judge(drop: DropFacts, past: Sequence[DropFacts], limits: QualityLimits) -> DropVerdict:
    score = quality_score(drop.read, drop.quarantined)
    rate, repeats = _share(drop.quarantined, drop.read), _share(drop.duplicates, drop.read)
    recent = None
    if len(past) >= LEAST_PAST:
        recent = _share(sum(one.quarantined for one in past), sum(one.read for one in past))
    completeness = column_completeness([drop])
    findings: list[tuple[Kind, str]] = []
    if score < limits.score:
        findings.append((Kind.SCORE, f"quality score {score:.1f}, below {limits.score:g}"))
    if rate > limits.quarantine_rate:
        findings.append((Kind.QUARANTINE, f"{rate:.2%} of lines quarantined, above {limits.quarantine_rate:.2%}"))
    if recent is not None and rate > limits.quarantine_jump * recent and rate - recent > LEAST_JUMP:
        words = f"{rate:.2%} of lines quarantined, in the {len(past)} drops before it {recent:.2%}"
        findings.append((Kind.JUMP, words))
    if repeats > limits.duplicate_rate:
        words = f"{repeats:.2%} of lines repeat another exactly, above {limits.duplicate_rate:.2%}"
        findings.append((Kind.DUPLICATES, words))
    for column, share in completeness.items():
        if share < limits.completeness:
            words = f"{column} has a value in {share:.2%} of lines, below {limits.completeness:.2%}"
            findings.append((Kind.COMPLETENESS, words))
    validity = column_validity([drop])
    for column, share in validity.items():
        if share < limits.validity:
            words = f"{column} is valid in {share:.2%} of its values, below {limits.validity:.2%}"
            findings.append((Kind.VALIDITY, words))
    findings += [(Kind.DATES, words) for words in _date_problems(drop, past, limits)]
    return DropVerdict(
        drop,
        quality_score=score,
        quarantine_rate=rate,
        recent_rate=recent,
        duplicate_rate=repeats,
        completeness=completeness,
        validity=validity,
        findings=tuple(Finding(kind, words) for kind, words in findings),
    )


def _date_problems(drop: DropFacts, past: Sequence[DropFacts], limits: QualityLimits) -> list[str]:
    first, last = drop.contents.first_ordered_at, drop.contents.last_ordered_at
    if first is None or last is None:
        return []
    problems = []
    received = drop.received_at.astimezone(dt.UTC).replace(tzinfo=None)
    if last > received + AHEAD:
        problems.append(f"newest order at {last:%Y-%m-%d %H:%M}, received {received:%Y-%m-%d %H:%M}")
    if last - first > dt.timedelta(days=limits.span_days):
        problems.append(f"orders from {first:%Y-%m-%d} to {last:%Y-%m-%d}, more than {limits.span_days} days")
    starts = [one.contents.first_ordered_at for one in past if one.contents.first_ordered_at is not None]
    if starts and min(starts) - last > dt.timedelta(days=limits.lag_days):
        words = f"newest order on {last:%Y-%m-%d}, but the drops before it begin on {min(starts):%Y-%m-%d}"
        problems.append(f"{words}: more than {limits.lag_days} days")
    return problems


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
