"""Putting the date of a backup right that was made while a clock was wrong.

Belongs here: that one decision of a person, and its mark in the trail. Does not belong here: what follows from a date
(`reco.backup.retention`, `reco.backup.status`).

A manifest is never changed. A mark beside it gives the time at which the store took the manifest, by its own clock.
"""

import datetime as dt
from dataclasses import dataclass

import sqlalchemy as sa

from reco.audit.trail import Event, append, recording
from reco.backup.retention import LEAST_BACK
from reco.backup.vault import Vault, time_of
from reco.errors import BackupNotFound, UsageError


@dataclass(frozen=True)
class Redated:
    """A backup, the time it says it was made, and the time that counts from now on."""

    backup_id: str
    said: dt.datetime
    at: dt.datetime


def redate(vault: Vault, engine: sa.Engine, backup_id: str, *, now: dt.datetime, why: str) -> Redated:
    """Has retention and alerts go by the store's time of a backup, whatever its manifest says.

    Args:
        vault: where it lies.
        engine: the database with the trail, which keeps who decided so and why.
        backup_id: which one; it may be one whose manifest cannot be read.
        now: zone-aware.
        why: stands in the trail.

    Raises:
        BackupNotFound: there is no such backup.
        UsageError: its date is that of the store.
    """
    if backup_id not in vault.ids():
        raise BackupNotFound(f"There is no backup {backup_id}.", hint="See `reco backup list`.")
    said = time_of(backup_id)
    at = vault.store.head(vault.manifest_key(backup_id)).modified_at.astimezone(dt.UTC)
    if abs(at - said) <= LEAST_BACK:
        raise UsageError(
            f"Backup {backup_id} was made when it says: the store took it at {at.isoformat()}.",
            hint="Set the clock of this machine where it is another one.",
        )
    found = Redated(backup_id, said, at)
    with recording(engine) as connection:
        details = {"backup_id": backup_id, "said": said.isoformat(), "made_at": at.isoformat(), "reason": why}
        append(connection, Event.BACKUP_REDATED, at=now, **details)
        vault.mark_dated(backup_id, at, now=now)
    return found
