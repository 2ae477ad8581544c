"""What a versioned bucket keeps of what was removed or replaced, and freeing it once it was kept long enough.

Belongs here: which old versions may go, and in which order. Does not belong here: removing what is listed
(`reco.backup.prune`).

In a versioned bucket a removal only hides: without this it would grow for ever. Until their days are over the versions
undo a mistake, also that of somebody who removed or replaced what a backup needs: no version of an object that a listed
backup names, and none of a manifest that was not removed on purpose, is ever freed. The mark of a removal goes after
what it hides, so that a kill in between brings nothing back.
"""

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby

from reco.backup.lease import BackupLease
from reco.backup.vault import Vault
from reco.errors import ObjectStoreRefused
from reco.progress import report
from reco.storage.objects import ObjectVersion


@dataclass(frozen=True)
class Freed:
    """What was freed, or would be: versions with marks of removals, and their bytes.

    locked: what the store holds fast; refused: why nothing was freed, where the store does not let us look; manifests:
    ids of removed backups of which a version is left.
    """

    versions: int = 0
    size_bytes: int = 0
    locked: tuple[str, ...] = ()
    refused: str = ""
    manifests: frozenset[str] = frozenset()


def free_versions(
    vault: Vault,
    lease: BackupLease,
    *,
    after: dt.timedelta,
    used: Collection[str] | None,
    removed: Collection[str],
    dry_run: bool,
) -> Freed:
    """Frees what was removed or replaced so long ago, by the store's clock.

    Args:
        vault: where.
        lease: held, and kept.
        after: how long versions are kept.
        used: names of the objects that listed backups need; None: nobody knows, so that no object's version goes.
        removed: ids of the backups that were removed on purpose.
        dry_run: only count.

    Raises:
        Busy: another process took the lease over.
        ObjectStoreUnavailable: the store does not answer.
    """

    def needed(key: str) -> bool:
        kind, _, rest = key.removeprefix(f"{vault.namespace}/").partition("/")
        if kind == "objects":
            return used is None or rest in used
        return kind == "backups" and rest.partition("/")[0] not in removed

    due: list[ObjectVersion] = []
    kept: set[str] = set()
    try:
        for key, versions in groupby(vault.store.versions(f"{vault.namespace}/"), key=lambda one: one.key):
            if needed(key):
                continue
            every = list(versions)
            chosen = due_versions(every, after)
            due += chosen
            if len(chosen) < len(every):
                kept.add(key)
    except ObjectStoreRefused as error:
        return Freed(refused=error.message)
    locked: dict[str, str] = {}
    for number, one in enumerate(due if not dry_run else ()):
        report("free_versions", number, len(due))
        lease.keep()
        try:
            if not (one.is_mark and one.key in locked):
                vault.store.remove_version(one)
        except ObjectStoreRefused:
            locked[one.key] = f"{one.key} (version {one.version_id})"
    left = [key.split("/")[2] for key in (*kept, *locked) if key.startswith(f"{vault.namespace}/backups/")]
    return Freed(len(due), sum(one.size_bytes for one in due), tuple(locked.values()), manifests=frozenset(left))


def due_versions(versions: Sequence[ObjectVersion], after: dt.timedelta) -> list[ObjectVersion]:
    """Those of one key, newest first, that were hidden so long ago: oldest first, so that none comes to light again."""
    due = [one for one in versions if one.superseded_at is not None and one.now - one.superseded_at >= after]
    newest = versions[0]
    if newest.is_mark and newest.now - newest.modified_at >= after and len(due) == len(versions) - 1:
        due.insert(0, newest)
    return due[::-1]
