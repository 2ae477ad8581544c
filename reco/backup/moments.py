"""The backup that leads to a moment, also to one at which none was made.

Belongs here: that choice, by the trails of backups and by what checks found. Does not belong here: making a prepared
backup the state of that moment (`reco.backup.past`).
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reco import __version__
from reco.audit.trail import AuditEvent, Event
from reco.backup.forgotten import find_forgotten
from reco.backup.manifest import Manifest
from reco.backup.told import CHANGES, head_of, publish_event, state_after, trail_of
from reco.backup.vault import Vault
from reco.errors import BackupNotFound
from reco.settings import Settings


@dataclass(frozen=True)
class Moment:
    """A moment and the backup that leads to it.

    event_id: the last event of then; None: the backup is that state. passed_over: earlier made backups that would lead
    there and are known to be bad; version: of the code that made the snapshot of then; unread: backups whose trail, and
    with it who was forgotten by then, is not known.
    """

    at: dt.datetime
    base: Manifest
    event_id: int | None
    passed_over: tuple[str, ...] = ()
    version: str = __version__
    unread: tuple[str, ...] = ()


def find_moment(vault: Vault, settings: Settings, at: dt.datetime) -> Moment:
    """The backup that leads to a moment, by its trail: the first one made after it.

    One that a check or a drill found bad is used only where nothing else leads there. One made before the moment is
    not used, also where nothing had changed in between: it does not know the drops that came later, which the inbox
    would bring back, nor the trail since.

    Raises:
        BackupNotFound: the moment is after the newest backup, before anything had happened, of a state that a restore
            of an older backup put an end to before another backup was made, or no backup knows who was forgotten since.
        BackupKeyWrong, BackupDamaged: the trail cannot be read.
    """
    listed, dates = vault.list(), vault.dates()
    made = [one.manifest for one in listed if one.manifest is not None and one.manifest.good]
    good = _in_time([replace(one, created_at=dates.get(one.backup_id, one.created_at)) for one in made])
    if not good:
        vault.newest_good()
    if good[-1].created_at < at:
        newest = good[-1]
        raise BackupNotFound(
            f"No backup was made after {at.isoformat()}: the newest is of {newest.created_at.isoformat()}.",
            hint=f"Restore that one (`--id {newest.backup_id}`); what came after it is in the home that was lost.",
        )
    bad = vault.standing(listed).backups
    # Who was forgotten since stays so: a backup is used only if its own trail knows of all of them.
    forgotten = find_forgotten(vault, settings, listed, good)
    told = [one for one in forgotten.told if one.created_at >= at] or good[-1:]
    leading = [one for one in told if one.backup_id not in forgotten.outdated]
    if not leading:
        newest = told[-1]
        raise BackupNotFound(
            f"No backup leads to {at.isoformat()}: somebody was forgotten since {newest.backup_id} was made, and it "
            "would bring them back.",
            hint="Make a backup first (`reco backup create`), then restore to the moment. "
            f"`--id {newest.backup_id}` brings everything of then back, people too: forget them again after it.",
            backup_id=newest.backup_id,
        )
    # One that is known to be bad is used only where nothing else leads there.
    later = next((one for one in leading if one.backup_id not in bad), leading[0])
    passed_over = tuple(one.backup_id for one in leading if one.backup_id < later.backup_id)
    trail = trail_of(vault, later)
    past = [one for one in trail if one.at <= at]
    earlier = next((one for one in reversed(good) if one.created_at < at), None)
    _require_told(trail, earlier, later, at)
    if not past:
        raise BackupNotFound(
            f"Nothing had happened by {at.isoformat()}.", hint="Give a later time; `reco audit trail` has them all."
        )
    last = past[-1].id
    changed = any(one.id > last and one.event in CHANGES for one in trail)
    version = _version_of(trail, last, (earlier or later).code_version)
    return Moment(at, later, last if changed else None, passed_over, version, forgotten.unread)


def _version_of(trail: Sequence[AuditEvent], last: int, otherwise: str) -> str:
    """The version of the code that made what was served after an event; otherwise: where the trail does not tell."""
    served = state_after(trail, last).served
    return otherwise if served is None else str(publish_event(trail, served).details.get("code_version", otherwise))


def _require_told(trail: Sequence[AuditEvent], earlier: Manifest | None, later: Manifest, at: dt.datetime) -> None:
    """Refuses a moment of a state that is not in the trail that would lead to it: it went with a restore since."""
    if earlier is None or not head_of(earlier):
        return
    returned = any(one.event is Event.HOME_RESTORED and earlier.created_at <= one.at <= at for one in trail)
    if not returned and head_of(earlier) not in {one.hash for one in trail}:
        raise BackupNotFound(
            f"No backup leads to {at.isoformat()}: the trail of the next one, {later.backup_id}, does not hold what "
            f"{earlier.backup_id} of {earlier.created_at.isoformat()} does, since an older one was restored later.",
            hint=f"Restore that one (`--id {earlier.backup_id}`), or give a time no later than it.",
            backup_id=earlier.backup_id,
        )


def _in_time(backups: Sequence[Manifest]) -> list[Manifest]:
    """The backups, in the order they were made, without those that a clock that was ahead dated after a later one."""
    return [one for i, one in enumerate(backups) if all(one.created_at <= later.created_at for later in backups[i:])]
