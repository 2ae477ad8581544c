"""Removing what retention lets go, and objects that no backup refers to.

Belongs here: the order of removals. Does not belong here: the decision (`reco.backup.retention`).

A stone first (it says that the missing is meant), then the manifest: from then on it is no backup. Objects go in a
second step, only those that no manifest names and that are older than the grace period, so that a backup at work, or
one whose manifest came late, keeps its own; what somebody reads stays (`reco.backup.hold`). Where the bucket keeps
versions, both are only hidden then, and freed in a third step, days later (`reco.backup.versions`). Killed anywhere,
every backup that is listed is whole.
"""

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from reco.backup.lease import BackupLease
from reco.backup.listed import Listed
from reco.backup.marks import Checked
from reco.backup.retention import Known, Policy, RetentionPlan, plan_retention
from reco.backup.vault import Vault, time_of
from reco.backup.versions import Freed, free_versions
from reco.errors import ObjectStoreRefused, RetentionRefused
from reco.progress import report

DRILLS_KEPT = dt.timedelta(days=366)


@dataclass(frozen=True)
class Pruned:
    """What a prune did, or would do: backups and objects removed, with their bytes; what the store holds fast.

    versions, version_bytes: what a versioned bucket had kept of earlier removals, freed now; versions_refused: why the
    store did not let us free any.
    """

    plan: RetentionPlan
    objects: int
    size_bytes: int
    versions: int
    version_bytes: int
    versions_refused: str
    locked: tuple[str, ...]
    dry_run: bool


def prune(
    vault: Vault,
    policy: Policy,
    *,
    grace: dt.timedelta,
    now: dt.datetime,
    keep_versions: dt.timedelta = dt.timedelta(days=7),
    elsewhere: Collection[str] = (),
    dry_run: bool = True,
) -> Pruned:
    """Removes what retention lets go, old objects of no backup, and versions hidden for longer than `keep_versions`.

    Args:
        vault: of which bucket.
        policy: the rules.
        grace: how old an object of no backup must be.
        now: our clock.
        keep_versions: how long what was hidden is kept.
        elsewhere: for the second bucket the ids that the first one lists: it would copy them here again.
        dry_run: only say what would be done.

    Raises:
        RetentionRefused: the clock or the listing cannot be right; nothing was removed.
        Busy: a backup is at work.
    """
    with BackupLease(vault.store, vault.namespace, "A prune") as lease:
        # The lease was written a moment ago: its time is the store's clock.
        store_now = vault.store.head(f"{vault.namespace}/lease.json").now
        listed = vault.list()
        checks = vault.checks()
        standing = vault.standing(listed, checks)
        bad = standing.backups
        removed, dates = vault.removed(), vault.dates()
        _require_whole_list(listed, lease.newest, removed)
        unreadable = [one.backup_id for one in listed if one.manifest is None]
        plan = plan_retention(
            [_known(one, bad, dates) for one in listed],
            policy,
            now=now,
            store_now=store_now,
            stay={
                # A manifest that cannot be read here may be readable elsewhere: it is for a person to decide.
                "pinned": vault.pins() | set(unreadable),
                "somebody reads it": vault.held(),
                "the first bucket has it": elsewhere,
            },
            verified=[one.backup_id for one in checks if one.proves and one.backup_id not in bad],
            removed={*removed, *elsewhere},  # what could not be copied here yet is not lost
        )
        if not dry_run:
            _settle(vault, lease, checks, standing.objects)
        locked = [] if dry_run else _remove(vault, lease, plan, now)
        # Who put a hold just before its manifest went has read that, and will read its objects.
        gone = {*plan.remove} - {*locked} - vault.held()
        used = {
            entry.object
            for one in listed
            if one.manifest and one.backup_id not in gone
            for entry in one.manifest.entries
        }
        # With a manifest that cannot be read nobody knows which objects are its own, and no more so without any.
        known = bool(listed) and not unreadable
        stray = [one for one in vault.objects() if known and PurePosixPath(one.key).name not in used]
        old = [one for one in stray if one.now - one.modified_at >= grace]
        if not dry_run:
            locked += _take_away(vault, lease, [one.key for one in old])
        freed = free_versions(
            vault,
            lease,
            after=keep_versions,
            used=used if known else None,
            removed=removed if dry_run else removed | gone,
            dry_run=dry_run,
        )
        if not dry_run:
            damaged = standing.objects & used if known else standing.objects
            locked += _take_away(vault, lease, _marks_over(vault, removed | gone, checks, damaged, now))
            _forget_stones(vault, removed - {lease.newest}, freed)  # of the newest the lease goes on to speak
            if freed.versions:
                vault.compact(freed.size_bytes)
    return Pruned(
        plan,
        objects=len(old),
        size_bytes=sum(one.size_bytes for one in old),
        versions=freed.versions,
        version_bytes=freed.size_bytes,
        versions_refused=freed.refused,
        locked=(*locked, *freed.locked),
        dry_run=dry_run,
    )


def _require_whole_list(listed: Sequence[Listed], newest: str, removed: Collection[str]) -> None:
    """Refuses a list without the newest backup: retention sees what the listed ones tell of each other, not that.

    Raises:
        RetentionRefused: it is not listed, and was not removed on purpose.
    """
    if newest and newest not in removed and newest not in {one.backup_id for one in listed}:
        raise RetentionRefused(
            f"No backup is removed: the list lacks {newest}, the newest that was made.",
            hint="Look at the bucket: somebody removed it, or the answer is incomplete. The next backup settles it.",
            reason=f"the list lacks {newest}",
        )


def _settle(vault: Vault, lease: BackupLease, checks: Sequence[Checked], damaged: Collection[str]) -> None:
    """Enters in findings what was read right since: the backup whose check did so may go, and the check with it."""
    for one in checks:
        cleared = tuple(name for name in one.damaged if name not in damaged)
        if {*cleared} - {*one.cleared}:
            lease.keep()
            vault.mark_checked(replace(one, cleared=cleared))


def _remove(vault: Vault, lease: BackupLease, plan: RetentionPlan, now: dt.datetime) -> list[str]:
    """Removes manifests, oldest first; returns the ids of those the store holds fast."""
    locked = []
    for number, backup_id in enumerate(plan.remove):
        report("remove_backups", number, len(plan.remove))
        lease.renew()
        vault.mark_removed(backup_id, now=now)
        try:
            vault.store.remove(vault.manifest_key(backup_id))
        except ObjectStoreRefused:
            locked.append(backup_id)
    return locked


def _take_away(vault: Vault, lease: BackupLease, keys: Sequence[str]) -> list[str]:
    """Removes objects; returns the keys of those the store holds fast."""
    locked = []
    for number, key in enumerate(keys):
        report("remove_objects", number, len(keys))
        lease.keep()
        try:
            vault.store.remove(key)
        except ObjectStoreRefused:
            locked.append(key)
    return locked


def _forget_stones(vault: Vault, removed: frozenset[str], freed: Freed) -> None:
    """Stones of backups have said what they had to when no manifest names them any more and no version is left."""
    if freed.refused:
        return
    named = {one for each in vault.list() if each.manifest for one in each.manifest.predecessors}
    for backup_id in sorted(removed - named - freed.manifests):
        vault.store.remove(f"{vault.namespace}/removed/{backup_id}.json")


def _marks_over(
    vault: Vault, removed: Collection[str], checks: Sequence[Checked], damaged: Collection[str], now: dt.datetime
) -> list[str]:
    """The keys of what is said of backups that are no more; the drills of a year stay, and the last that passed.

    So does a finding, whatever backup it was made on, while objects that it found damaged are named by another one:
    of these alone, since what cleared the others goes.
    """
    there = {*vault.ids()}
    last = next((one for one in reversed(checks) if one.kind == "drill" and one.passed), None)
    found = []
    for one in checks:
        over = now - one.at >= DRILLS_KEPT or (one.kind == "verify" and (one.damaged or one.backup_id in removed))
        if not over or one is last or one.backup_id in there:
            continue
        left = tuple(name for name in one.damaged if name in damaged)
        if not left:
            found.append(vault.mark_key(one))
        elif left != one.damaged:
            vault.mark_checked(replace(one, damaged=left))
    return [*found, *vault.keys_about({*removed} - there)]


def _known(one: Listed, bad: frozenset[str], dates: Mapping[str, dt.datetime]) -> Known:
    manifest = one.manifest
    at = dates.get(one.backup_id)
    if manifest is None:
        return Known(one.backup_id, at or time_of(one.backup_id), good=False)
    good = manifest.good and one.backup_id not in bad
    return Known(one.backup_id, at or manifest.created_at, good, manifest.predecessors)
