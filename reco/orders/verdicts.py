"""The verdicts on the ingested drops of a home.

Belongs here: gathering what is known of a drop from the ledger and the lake. Does not belong here: the rules
(`reco.audit.verdict`).
"""

import datetime as dt
from collections.abc import Sequence

from reco.audit.contents import invalid_values, line_contents
from reco.audit.recent import RecentComparison, compare_recent, together
from reco.audit.verdict import DropFacts, DropVerdict, QualityLimits, judge_drops
from reco.audit.volume import Receipts
from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.ledger import Drop, DropLedger, DropStatus
from reco.orders.rules import CHECKS, COLUMNS
from reco.settings import Settings
from reco.storage.lake import Lake

KEY_COLUMNS = ("source", "line", *(rule.name for rule in COLUMNS if rule.required))
"""The columns without which a line is none."""
OPTIONAL_COLUMNS = tuple(rule.name for rule in COLUMNS if not rule.required)
VALUE_REASONS = {
    check.reason: check.column
    for check in reversed(CHECKS)
    if check.column is not None and check.disposition == "quarantined" and not check.reason.startswith("missing_")
}
"""The reasons that say a value is none, each with its first column."""


def quality_limits(settings: Settings) -> QualityLimits:
    """The limits that the settings give."""
    return QualityLimits(
        score=settings.quality_warn_score,
        quarantine_rate=settings.quarantine_warn_rate,
        quarantine_jump=settings.quarantine_warn_jump,
        recent_drops=settings.recent_drops,
        duplicate_rate=settings.duplicate_warn_rate,
        completeness=settings.completeness_warn_rate,
        lag_days=settings.date_warn_lag_days,
        span_days=settings.date_warn_span_days,
        validity=settings.validity_warn_rate,
    )


def drop_verdicts(ledger: DropLedger, lake: Lake, limits: QualityLimits) -> list[DropVerdict]:
    """The verdict on every ingested drop, older first, from one scan of their accepted lines.

    Raises:
        LakeError: the lines of a drop are missing or damaged.
    """
    return judge_drops(_facts(ledger.drops(status=DropStatus.INGESTED), lake), limits)


def newest_batch(verdicts: Sequence[DropVerdict]) -> list[DropVerdict]:
    """Those of the drops that came last together."""
    last = max((one.facts.batch for one in verdicts), default=0)
    return [one for one in verdicts if one.facts.batch == last]


def receipts_of(drops: Sequence[Drop], batch: int) -> dict[str, Receipts]:
    """When the drops of each source of a batch came, and those of the batches before it from the same source."""
    found = {}
    for source in {drop.source for drop in drops if drop.batch == batch}:
        came = [(drop.batch, drop.received_at.astimezone(dt.UTC).date()) for drop in drops if drop.source == source]
        newest = max(day for one, day in came if one == batch)
        found[source] = Receipts(newest, max((day for one, day in came if one < batch), default=None))
    return found


def recent_comparison(
    verdicts: Sequence[DropVerdict], lake: Lake, *, recent_drops: int, outlier_z: float
) -> RecentComparison | None:
    """The newest batch beside at most so many drops before it, within each of its sources; None without any drop.

    Raises:
        LakeError: the lines of a drop are missing or damaged.
    """
    newest = newest_batch(verdicts)
    if not newest:
        return None
    compared = {}
    for source in sorted({one.facts.source for one in newest}):
        now = [one.facts for one in newest if one.facts.source == source]
        past = [v.facts for v in verdicts if v.facts.source == source and v.facts.batch < now[0].batch][-recent_drops:]
        sides = [{one.key: lake.existing(ORDER_LINES, one.key) for one in side} for side in (now, past)]
        lines = [sum(one.contents.lines for one in side) for side in (now, past)]
        compared[source] = compare_recent(sides[0], sides[1], (lines[0], lines[1]), outlier_z=outlier_z)
    return together(compared)


def _facts(drops: Sequence[Drop], lake: Lake) -> list[DropFacts]:
    columns = (*KEY_COLUMNS, *OPTIONAL_COLUMNS)
    contents = line_contents({drop.key: lake.existing(ORDER_LINES, drop.key) for drop in drops}, columns)
    faulty = [drop.key for drop in drops if drop.lines_quarantined]
    invalid = invalid_values({key: lake.existing(QUARANTINED_LINES, key) for key in faulty}, VALUE_REASONS)
    return [
        DropFacts(
            key=drop.key,
            name=drop.name,
            batch=drop.batch,
            received_at=drop.received_at,
            read=drop.lines_read or 0,
            quarantined=drop.lines_quarantined or 0,
            duplicates=drop.lines_duplicate or 0,
            columns=tuple(column for column in OPTIONAL_COLUMNS if column in (drop.mapping or {})),
            contents=contents[drop.key],
            source=drop.source,
            invalid=invalid.get(drop.key, {}),
        )
        for drop in drops
    ]
