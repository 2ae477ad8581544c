"""Promises of retention: what stays, why, and when nothing may be removed at all."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reco.backup.manifest import make_backup_id
from reco.backup.retention import Known, Policy, plan_retention
from reco.errors import RetentionRefused

NOW = dt.datetime(2026, 6, 15, 12, tzinfo=dt.UTC)
NOON_STORE = NOW + dt.timedelta(minutes=4)
TIGHT = Policy(days=1, daily=0, weekly=0, monthly=0, minimum=1)


def backup(number: int, days_ago: float, *, good: bool = True) -> Known:
    at = NOW - dt.timedelta(days=days_ago)
    return Known(make_backup_id(number, at, "0" * 8), at, good)


def plan(backups: list[Known], policy: Policy = TIGHT, **facts: object):
    return plan_retention(backups, policy, **({"now": NOW, "store_now": NOW} | facts))  # type: ignore[arg-type]


def test_days_weeks_and_months_keep_their_last_good_one() -> None:
    """A year of daily backups leaves the last days, and one a week and month beyond."""
    year = [backup(365 - ago, ago) for ago in range(365)]
    found = plan(year, Policy(days=7, daily=14, weekly=8, monthly=12, minimum=3))
    assert len(found.keep) == 14 + 5 + 10
    assert found.keep[year[0].backup_id][0] == "of the last 7 days"
    assert set(found.keep) | set(found.remove) == {one.backup_id for one in year}
    assert list(found.remove) == sorted(found.remove)


def test_bad_ones_push_no_good_one_out() -> None:
    """However many suspicious backups come, the good ones stay, and the bad go once their days are over."""
    backups = [backup(1, 40), backup(2, 30), *(backup(3 + n, 20 - n / 10, good=False) for n in range(50))]
    found = plan(backups, Policy(days=7, daily=2, weekly=1, monthly=1, minimum=2))
    assert set(found.keep) == {backups[0].backup_id, backups[1].backup_id}
    assert plan([backup(1, 30, good=False)]).remove == ()


def test_what_was_proven_or_pinned_stays() -> None:
    """The last proven one and every pinned one stay, whatever the rules say."""
    backups = [backup(number, 50 - number) for number in range(6)]
    proven, pinned = backups[1].backup_id, backups[3].backup_id
    found = plan(
        backups,
        verified=[backups[0].backup_id, proven, "00000009-20200101T000000Z-00000000"],
        stay={"pinned": [pinned]},
    )
    assert set(found.keep) == {proven, pinned, backups[-1].backup_id}
    assert found.keep[proven] == ("the last one that was proven",)


@pytest.mark.parametrize(
    ("now", "store", "words"),
    [
        (dt.timedelta(days=-1), dt.timedelta(days=-1), "clock is or was wrong"),
        (dt.timedelta(days=366), dt.timedelta(days=366), "backups have stopped"),
        (dt.timedelta(0), dt.timedelta(minutes=6), "object store"),
        (dt.timedelta(days=-1), dt.timedelta(0), "object store"),
    ],
)
def test_a_wrong_clock_removes_nothing(now: dt.timedelta, store: dt.timedelta, words: str) -> None:
    """A clock a day back or a year ahead, or other than the store's, is refused."""
    backups = [backup(1, 30), backup(2, 0)]
    with pytest.raises(RetentionRefused, match=words):
        plan(backups, now=NOW + now, store_now=NOW + store)


def test_an_incomplete_list_removes_nothing() -> None:
    """A list that lacks what the newest backup had seen is refused, unless that was removed on purpose."""
    old, newest = backup(1, 30), backup(3, 0)
    seen = Known(newest.backup_id, newest.created_at, good=True, predecessors=(old.backup_id, backup(2, 20).backup_id))
    with pytest.raises(RetentionRefused, match="lacks 1 backups"):
        plan([old, seen])
    assert plan([old, seen], removed=[backup(2, 20).backup_id]).remove == (old.backup_id,)


@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe"])
def test_zones_and_their_summer_time_change_nothing(zone: str) -> None:
    """Also in the night in which an hour comes twice: a time is a moment, however it is written."""
    night = dt.datetime(2026, 10, 25, 0, 30, tzinfo=dt.UTC)
    plans = []
    for written in (dt.UTC, ZoneInfo(zone)):
        every = [night - dt.timedelta(minutes=30 * number) for number in reversed(range(100))]
        backups = [
            Known(make_backup_id(n, at, "0" * 8), at.astimezone(written), good=True) for n, at in enumerate(every)
        ]
        now = (night + dt.timedelta(hours=1)).astimezone(written)
        plans.append(plan(backups, Policy(days=1, daily=3, weekly=1, monthly=1, minimum=1), now=now, store_now=now))
    assert plans[0] == plans[1]
    assert plans[0].remove


def test_two_hosts_a_few_minutes_apart_are_no_wrong_clock() -> None:
    """A backup of a host that is ahead by less than five minutes, and a store that is, are believed."""
    early = plan([backup(1, 30), backup(2, -4 / 24 / 60)], store_now=NOON_STORE)
    assert early.remove == (backup(1, 30).backup_id,)


def test_no_rule_removes_the_last_good_one() -> None:
    """Neither a policy of nothing, nor one good backup among many that are not."""
    nothing = Policy(days=0, daily=0, weekly=0, monthly=0, minimum=0)
    assert plan([backup(1, 40), backup(2, 30)], nothing).remove == (backup(1, 40).backup_id,)
    only = [backup(1, 50), *(backup(2 + n, 40 - n, good=False) for n in range(5))]
    assert set(plan(only, nothing).keep) == {only[0].backup_id}
    assert plan([backup(1, 50)], nothing).remove == ()


def test_a_clock_that_was_behind_makes_no_backup_go_early() -> None:
    """One made after a backup of yesterday is not a year old, whatever it says."""
    backups = [backup(1, 1.5), backup(2, 365), backup(3, 0.1)]
    found = plan(backups, Policy(days=7, daily=0, weekly=0, monthly=0, minimum=1))
    assert found.remove == ()
    assert found.keep[backups[1].backup_id] == ("of the last 7 days",)


def test_a_number_that_began_anew_costs_no_earlier_backup() -> None:
    """In the second bucket a new backup may bear an old number: the months that stand behind it stay months."""
    year = [backup(number, 390 - 30 * number) for number in range(1, 13)]
    anew = backup(1, 20)
    newest = backup(14, 1)
    rules = Policy(days=7, daily=0, weekly=0, monthly=12, minimum=1)
    found = plan([*year, anew, newest], rules)
    assert set(found.keep) >= {one.backup_id for one in year[2:]}
    assert all(len(set(why)) == len(why) for why in found.keep.values())


def test_nothing_is_planned_of_nothing() -> None:
    """No backup, no plan."""
    assert plan([]).remove == ()


@given(
    st.lists(st.tuples(st.floats(0, 50), st.booleans()), max_size=30),
    st.builds(Policy, *(st.integers(low, 5) for low in (1, 0, 0, 0, 1))),
    st.randoms(),
)
def test_the_last_good_ones_stay_under_every_rule(ages: list[tuple[float, bool]], policy: Policy, chance) -> None:
    """Whatever the ages and rules: the newest good ones, all young ones and the proven one stay; none is lost."""
    ages.sort(reverse=True)
    backups = [backup(number, age, good=good) for number, (age, good) in enumerate(ages)]
    proven = [chance.choice(backups).backup_id] if backups else []
    found = plan(backups, policy, verified=proven)
    good = [one.backup_id for one in backups if one.good]
    assert set(good[-policy.minimum :]) <= set(found.keep)
    assert set(proven) <= set(found.keep)
    assert {one.backup_id for one in backups if NOW - one.created_at < dt.timedelta(days=policy.days)} <= set(
        found.keep
    )
    assert sorted([*found.keep, *found.remove]) == [one.backup_id for one in backups]
    assert plan([one for one in backups if one.backup_id in found.keep], policy, verified=proven).remove == ()


def test_backups_of_one_second_are_told_apart_by_their_number() -> None:
    """Where a clock stood still the last made one counts as the last, and only that one must stay."""
    same = [backup(number, 40) for number in range(5)]
    found = plan(same)
    assert set(found.keep) == {same[-1].backup_id}
    assert found.remove == tuple(one.backup_id for one in same[:-1])
