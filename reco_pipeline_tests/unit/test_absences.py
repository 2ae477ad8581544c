"""Promises of what is overdue: to the hour, and what was never done once there was time for it."""

import pytest

from reco.backup.status import Protection, absences

HOUR, DAY = 3600.0, 86400.0


@pytest.mark.parametrize(
    ("found", "missing"),
    [
        (Protection(age_seconds=26 * HOUR, drill_age_seconds=8 * DAY), []),
        (Protection(age_seconds=26 * HOUR + 1, drill_age_seconds=8 * DAY), ["backup_missing"]),
        (Protection(age_seconds=0, drill_age_seconds=8 * DAY + 1), ["drill_missing"]),
        (Protection(home_seconds=26 * HOUR), []),
        (Protection(home_seconds=26 * HOUR + 1), ["backup_missing"]),
        (Protection(home_seconds=8 * DAY + 1), ["backup_missing", "drill_missing"]),
        (Protection(), ["backup_missing", "drill_missing"]),  # nobody knows since when
        (Protection(age_seconds=0, drill_age_seconds=0, replica_lag_seconds=26 * HOUR), []),
        (Protection(age_seconds=0, drill_age_seconds=0, replica_lag_seconds=26 * HOUR + 1), ["replica_behind"]),
    ],
)
def test_an_alert_comes_when_the_time_is_over(found: Protection, missing: list[str]) -> None:
    """No good backup for 26 hours, no drill that passed for 8 days, a second bucket that lags for 26 hours."""
    assert [one.what for one in absences(found)] == missing
