"""How old the newest drops were when they came, beside the batches before them.

Belongs here: ages from the ledger's times and the range of times in the lines. Does not belong here: a drop that never
came, which no run can notice.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from reco.audit.verdict import LEAST_PAST, DropFacts

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Timeliness:
    """The newest batch. Ages in days; None where no line has a time, or where too few batches came before.

    age_days: from its newest order to its receipt; usual_age_days: the median of that over the batches before;
    backlog_days: from its oldest order to the newest order known before it, negative where it begins after that.
    """

    age_days: float | None
    usual_age_days: float | None
    backlog_days: float | None
    batches_before: int

    def late(self, slack_days: float) -> bool:
        """Whether it is older than usual by more than the slack."""
        known = self.age_days is not None and self.usual_age_days is not None
        return known and self.age_days > self.usual_age_days + slack_days  # type: ignore[operator] # known: see above


def judge_timeliness(drops: Sequence[DropFacts], batches: int) -> Timeliness:
    """The newest batch of these drops beside at most so many batches before it that share a source with it."""
    newest = max((one.batch for one in drops), default=0)
    sources = {one.source for one in drops if one.batch == newest}
    past = sorted({one.batch for one in drops if one.batch < newest and one.source in sources})[-batches:]
    ages = [age for batch in past if (age := _age(drops, batch, sources)) is not None]
    now = [one.contents for one in drops if one.batch == newest]
    begins = [one.first_ordered_at for one in now if one.first_ordered_at is not None]
    known = [
        one.contents.last_ordered_at
        for one in drops
        if one.batch in past and one.source in sources and one.contents.last_ordered_at is not None
    ]
    return Timeliness(
        age_days=_age(drops, newest, sources),
        usual_age_days=median(ages) if len(ages) >= LEAST_PAST else None,
        backlog_days=_days(max(known) - min(begins)) if known and begins else None,
        batches_before=len(ages),
    )


def _age(drops: Sequence[DropFacts], batch: int, sources: set[str]) -> float | None:
    those = [one for one in drops if one.batch == batch and one.source in sources]
    newest = [one.contents.last_ordered_at for one in those if one.contents.last_ordered_at is not None]
    if not newest:
        return None
    received = max(one.received_at for one in those).astimezone(dt.UTC).replace(tzinfo=None)
    return _days(received - max(newest))


def _days(span: dt.timedelta) -> float:
    return span.total_seconds() / _DAY_SECONDS
