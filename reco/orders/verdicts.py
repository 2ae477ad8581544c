"""The verdicts on the ingested drops of a home.

Belongs here: gathering what is known of a drop from the ledger and the lake. Does not belong here: the rules
(`reco.audit.verdict`).
"""

from collections.abc import Sequence

from reco.audit.contents import line_contents
from reco.audit.verdict import DropFacts, DropVerdict, QualityLimits, judge_drops
from reco.orders.drops import ORDER_LINES
from reco.orders.ledger import Drop, DropLedger, DropStatus
from reco.orders.rules import COLUMNS
from reco.settings import Settings
from reco.storage.lake import Lake

KEY_COLUMNS = ("source", "line", *(rule.name for rule in COLUMNS if rule.required))
"""The columns without which a line is none."""
OPTIONAL_COLUMNS = tuple(rule.name for rule in COLUMNS if not rule.required)


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


def _facts(drops: Sequence[Drop], lake: Lake) -> list[DropFacts]:
    columns = (*KEY_COLUMNS, *OPTIONAL_COLUMNS)
    contents = line_contents({drop.key: lake.existing(ORDER_LINES, drop.key) for drop in drops}, columns)
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
        )
        for drop in drops
    ]
