"""Which backups stay, as a pure function of what there is and of now.

Belongs here: the rules, and why each backup is kept. Does not belong here: removing anything (`reco.backup.prune`).

Counts alone can be emptied: whoever adds many bad newer backups pushes the good ones out. Therefore everything of the
last days stays whatever the counts say, a minimum of good ones beats every rule, and the last one that was proven by a
drill or a whole check is never removed.
"""

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reco.errors import RetentionRefused

LEAST_BACK = dt.timedelta(minutes=5)
MOST_AHEAD = dt.timedelta(days=60)


@dataclass(frozen=True)
class Policy:
    """How much is kept: all of `days`; the last good one of so many days, weeks, months; at least `minimum`."""

    days: int = 7
    daily: int = 14
    weekly: int = 8
    monthly: int = 12
    minimum: int = 3


@dataclass(frozen=True)
class Known:
    """What the rules look at in a backup. Its id gives the order: clocks may go back."""

    backup_id: str
    created_at: dt.datetime
    good: bool
    predecessors: tuple[str, ...] = ()


@dataclass(frozen=True)
class RetentionPlan:
    """Why each backup that stays does, by id; and those that go, oldest first."""

    keep: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    remove: tuple[str, ...] = ()


def plan_retention(
    backups: Sequence[Known],
    policy: Policy,
    *,
    now: dt.datetime,
    store_now: dt.datetime,
    stay: Mapping[str, Collection[str]] | None = None,
    verified: Sequence[str] = (),
    removed: Collection[str] = (),
) -> RetentionPlan:
    """Decides about every backup.

    Args:
        backups: all there are.
        policy: the rules.
        now: our clock.
        store_now: the clock of the store that lists them.
        stay: ids that stay whatever the rules say, by the reason.
        verified: ids that passed a drill or a whole check, the latest last.
        removed: ids that were removed on purpose before, or need not be here: their missing is no loss.

    Raises:
        RetentionRefused: the clock or the listing cannot be right; nothing may be removed.
    """
    # Two times of one zone are subtracted as clocks show them: an hour too much in the night of the change.
    now, store_now = now.astimezone(dt.UTC), store_now.astimezone(dt.UTC)
    own = sorted(backups, key=lambda one: one.backup_id)
    ordered = _in_order(own)
    _require_plausible(ordered, now, store_now, removed)
    good = [one for one in ordered if one.good]
    keep: dict[str, list[str]] = {}

    def stays(backup_id: str, why: str) -> None:
        reasons = keep.setdefault(backup_id, [])
        if why not in reasons:
            reasons.append(why)

    # Which of two dates in the wrong order is wrong nobody knows: what stays by either reading stays.
    for one, why in (*_by_date(ordered, policy, now), *_by_date(own, policy, now)):
        stays(one.backup_id, why)
    least = max(1, policy.minimum)  # no rule is to remove the last good one
    for one in good[-least:]:
        stays(one.backup_id, f"one of the last {least} good ones")
    there = {one.backup_id for one in ordered}
    proven = [one for one in verified if one in there]
    if proven:
        stays(proven[-1], "the last one that was proven")
    for why, ids in (stay or {}).items():
        for backup_id in sorted({*ids} & there):
            stays(backup_id, why)
    for one in ordered if not good else ():  # what is suspicious may be all there is
        stays(one.backup_id, "there is no good one")
    gone = tuple(one.backup_id for one in ordered if one.backup_id not in keep)
    return RetentionPlan({key: tuple(why) for key, why in keep.items()}, gone)


def _by_date(backups: Sequence[Known], policy: Policy, now: dt.datetime) -> Iterator[tuple[Known, str]]:
    """Those that stay for their date, with the reason."""
    for one in backups:
        if now - one.created_at < dt.timedelta(days=policy.days):
            yield one, f"of the last {policy.days} days"
    good = [one for one in backups if one.good]
    for count, name, period in (
        (policy.daily, "day", lambda at: at.date()),
        (policy.weekly, "week", lambda at: at.isocalendar()[:2]),
        (policy.monthly, "month", lambda at: (at.year, at.month)),
    ):
        for one in _last_of_periods(good, period, count):
            yield one, f"the last of its {name}"


def _in_order(backups: Sequence[Known]) -> list[Known]:
    """As in the order of making, none dated before an earlier one: no clock that was behind makes a backup go early."""
    found: list[Known] = []
    for one in backups:
        at = one.created_at.astimezone(dt.UTC)
        found.append(replace(one, created_at=max(at, found[-1].created_at) if found else at))
    return found


def _last_of_periods(good: Sequence[Known], period: Callable[[dt.datetime], object], count: int) -> Sequence[Known]:
    """The last good backup of each of the newest `count` periods that have one."""
    last: dict[object, Known] = {}
    for one in good:
        last[period(one.created_at.astimezone(dt.UTC))] = one
    newest_first = sorted(last.values(), key=lambda one: one.created_at, reverse=True)
    return newest_first[:count]


def _require_plausible(
    ordered: Sequence[Known], now: dt.datetime, store_now: dt.datetime, removed: Collection[str]
) -> None:
    if abs(now - store_now) > LEAST_BACK:
        raise _refused(
            f"our clock says {now.isoformat()} and that of the object store {store_now.isoformat()}",
            "Set the clock of this machine, then try again.",
        )
    if not ordered:
        return
    latest = max(ordered, key=lambda one: one.created_at)
    newest = latest.created_at
    if now < newest - LEAST_BACK:
        raise _refused(
            f"it is {now.isoformat()}, and backup {latest.backup_id} is of {newest.isoformat()}: the clock is or was "
            "wrong",
            f"Set the clock of this machine. If it is right, `reco backup redate {latest.backup_id} --reason TEXT` "
            "puts the date of that backup right.",
        )
    if now - newest > MOST_AHEAD:
        raise _refused(
            f"the newest backup is of {newest.isoformat()}, {(now - newest).days} days ago: backups have stopped, or "
            "the clock is wrong",
            "Make a backup first (`reco backup create`).",
        )
    there = {one.backup_id for one in ordered} | set(removed)
    missing = sorted({known for one in ordered[-1:] for known in one.predecessors} - there)
    if missing:
        raise _refused(
            f"the list lacks {len(missing)} backups that were there when the newest was made ({missing[0]})",
            "Look at the bucket: somebody removed them, or the answer is incomplete.",
        )


def _refused(reason: str, hint: str) -> RetentionRefused:
    return RetentionRefused(f"No backup is removed: {reason}.", hint=hint, reason=reason)
