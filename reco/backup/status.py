"""How well a shop is protected now, in figures, and what is overdue.

Belongs here: the age of the last good backup and drill, what would be lost, and which absences are alerts. Does not
belong here: telling them (`reco.alerts`), or making anything.
"""

import datetime as dt
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from reco.alerts.tell import Alert
from reco.backup.manifest import Manifest
from reco.backup.marks import Checked
from reco.backup.place import open_vault
from reco.backup.replicate import behind
from reco.backup.told import CHANGES
from reco.backup.vault import Vault
from reco.settings import Settings
from reco.storage.sql import audit_events

BACKUP_HOURS = 26
DRILL_DAYS = 8


@dataclass(frozen=True)
class Protection:
    """How well a shop is protected. Ages and times in seconds; None: never, or not known.

    home_seconds: since when there is anything to protect (0: there is nothing); rpo_seconds: since when something
    stands in the home that the last good backup does not have: 0 where it has all; rto_seconds: of the last drill that
    passed; drills_passed: share of all drills; replica_behind: backups that the second bucket lacks (None: there is
    none), and how long the oldest of them waits.
    """

    home_seconds: float | None = None
    backups: int = 0
    suspicious: int = 0
    unreadable: int = 0
    last_good: Manifest | None = None
    age_seconds: float | None = None
    rpo_seconds: float | None = None
    last_verify: Checked | None = None
    last_drill: Checked | None = None
    drill_age_seconds: float | None = None
    rto_seconds: float | None = None
    drills: int = 0
    drills_passed: float | None = None
    replica_behind: int | None = None
    replica_lag_seconds: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        good = self.last_good
        return {name: getattr(self, name) for name in _FIGURES} | {
            "last_good": good.backup_id if good else None,
            "size_bytes": good.size_bytes if good else None,
            "stored_bytes": sum({one.object: one.object_bytes for one in good.entries}.values()) if good else None,
            "backup_seconds": good.seconds if good else None,
            "last_verify": _told(self.last_verify),
            "last_drill": _told(self.last_drill),
        }


_FIGURES = (
    "home_seconds",
    "backups",
    "suspicious",
    "unreadable",
    "age_seconds",
    "rpo_seconds",
    "drill_age_seconds",
    "rto_seconds",
    "drills",
    "drills_passed",
    "replica_behind",
    "replica_lag_seconds",
)


def protection(vault: Vault, engine: sa.Engine | None, *, now: dt.datetime, replica: Vault | None = None) -> Protection:
    """Looks at the backups, and at the trail of the home where there is one.

    Raises:
        ObjectStoreUnavailable, ObjectStoreRefused: a bucket does not answer, or says no.
    """
    listed = vault.list()
    checks = vault.checks()
    bad = vault.standing(listed, checks).backups
    good = [one.manifest for one in listed if one.manifest is not None and one.manifest.good]
    last = next((one for one in reversed(good) if one.backup_id not in bad), None)
    made_at = vault.dates().get(last.backup_id, last.created_at) if last else None
    drills = [one for one in checks if one.kind == "drill"]
    passed = [one for one in drills if one.passed]
    waiting = behind(vault, replica) if replica is not None else None
    return Protection(
        home_seconds=home_seconds(engine, now=now),
        backups=len(listed),
        suspicious=sum(one.manifest is not None and not one.manifest.good for one in listed),
        unreadable=sum(one.manifest is None for one in listed),
        last_good=last,
        age_seconds=_since(made_at, now) if made_at else None,
        rpo_seconds=_unprotected(engine, last, now) if engine is not None else None,
        last_verify=next((one for one in reversed(checks) if one.kind == "verify"), None),
        last_drill=drills[-1] if drills else None,
        drill_age_seconds=_since(passed[-1].made_at, now) if passed else None,
        rto_seconds=passed[-1].figures.get("rto_seconds") if passed else None,
        drills=len(drills),
        drills_passed=len(passed) / len(drills) if drills else None,
        replica_behind=None if waiting is None else len(waiting),
        replica_lag_seconds=None if waiting is None else max((_since(w.created_at, now) for w in waiting), default=0.0),
    )


def look(settings: Settings, engine: sa.Engine, *, now: dt.datetime) -> Protection:
    """As `protection`, of the buckets that the settings name. An embedded server that holds nothing yet is not started.

    Raises:
        ConfigError: production has no bucket.
        BackupKeyWrong: a key does not parse.
        ObjectStoreUnavailable, ObjectStoreRefused: a bucket does not answer, or says no.
    """
    if settings.s3_bucket is None and settings.profile != "production" and not (settings.home / "s3" / "data").exists():
        since = home_seconds(engine, now=now)
        return Protection(home_seconds=since, rpo_seconds=since)
    with ExitStack() as stack:
        vault = stack.enter_context(open_vault(settings))
        second = None
        if settings.s3_replica_bucket is not None:
            second = stack.enter_context(open_vault(settings, replica=True))
        return protection(vault, engine, now=now, replica=second)


def home_seconds(engine: sa.Engine | None, *, now: dt.datetime) -> float | None:
    """Since when there is anything to protect, by the trail; 0 where there is nothing, None without a trail."""
    if engine is None:
        return None
    ours = audit_events.c.event.in_([one.value for one in CHANGES])
    with engine.connect() as connection:
        first = connection.scalar(sa.select(audit_events.c.at).where(ours).order_by(audit_events.c.id).limit(1))
    return 0.0 if first is None else _since(first, now)


def may_be_overdue(engine: sa.Engine, *, now: dt.datetime) -> bool:
    """Whether there is anything to protect for long enough that a bucket must be asked."""
    return (home_seconds(engine, now=now) or 0.0) > BACKUP_HOURS * 3600


def absences(found: Protection) -> list[Alert]:
    """What has not happened for too long: the alerts that a failing machine cannot send by failing.

    What was never done is overdue once there was something to protect for as long.
    """
    alerts = []
    if _overdue(found.age_seconds, found.home_seconds, BACKUP_HOURS * 3600):
        told = "never" if found.age_seconds is None else f"{found.age_seconds / 3600:.0f} hours ago"
        reason = f"The last good backup was made {told}; it should be no older than {BACKUP_HOURS} hours."
        alerts.append(Alert("backup_missing", "backups", reason, "Run `reco backup create` and read what it says."))
    if _overdue(found.drill_age_seconds, found.home_seconds, DRILL_DAYS * 86400):
        told = "never" if found.drill_age_seconds is None else f"{found.drill_age_seconds / 86400:.0f} days ago"
        reason = f"The last drill that passed was {told}; it should be no older than {DRILL_DAYS} days."
        alerts.append(Alert("drill_missing", "backups", reason, "Run `reco backup drill` and read what it says."))
    if found.replica_lag_seconds is not None and found.replica_lag_seconds > BACKUP_HOURS * 3600:
        reason = (
            f"{found.replica_behind} backups are not in the second bucket, the oldest for over {BACKUP_HOURS} hours."
        )
        alerts.append(Alert("replica_behind", "backups", reason, "Run `reco backup replicate` and read what it says."))
    return alerts


def _overdue(age_seconds: float | None, home_seconds: float | None, limit_seconds: float) -> bool:
    known = age_seconds if age_seconds is not None else home_seconds
    return known is None or known > limit_seconds


def _unprotected(engine: sa.Engine, last: Manifest | None, now: dt.datetime) -> float | None:
    """Since when the trail tells of changes that the backup does not have."""
    head = last.facts["sql"]["audit_head"] if last else ""
    kinds: Sequence[str] = [one.value for one in CHANGES]
    with engine.connect() as connection:
        known = connection.scalar(sa.select(audit_events.c.id).where(audit_events.c.hash == head)) or 0
        newer = (audit_events.c.id > known) & audit_events.c.event.in_(kinds)
        first = connection.scalar(sa.select(audit_events.c.at).where(newer).order_by(audit_events.c.id).limit(1))
    return 0.0 if first is None else _since(first, now)


def _since(at: dt.datetime, now: dt.datetime) -> float:
    return max(0.0, (now - at).total_seconds())


def _told(one: Checked | None) -> dict[str, Any] | None:
    return (
        None
        if one is None
        else vars(one) | {"at": one.at.isoformat(), "entered": one.entered and one.entered.isoformat()}
    )
