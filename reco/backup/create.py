"""Making a backup.

Belongs here: the order of the steps. Does not belong here: what a backup holds (`contents`) or how it lies (`vault`).

Lease -> everything as it is at one moment, in a folder -> each file that no earlier backup holds: sealed, put, read
back and compared -> the manifest, once -> the manifest read back. Killed anywhere before the manifest it leaves objects
that nothing refers to, which `reco backup prune` removes after a while; the list of backups is as before.
"""

import datetime as dt
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import redis
import structlog

from reco import __version__
from reco.backup.contents import Staged, take
from reco.backup.envelope import Sealed, seal
from reco.backup.lease import BackupLease
from reco.backup.listed import Listed
from reco.backup.manifest import LAST_NUMBER, Entry, Manifest, is_backup_id, make_backup_id, write_manifest
from reco.backup.place import open_vault
from reco.backup.secret_marks import secret_marks
from reco.backup.vault import Vault
from reco.errors import BackupDamaged, BackupError, ObjectStoreRefused, ObjectStoreUnavailable
from reco.orders.home import Home
from reco.progress import report
from reco.settings import Settings
from reco.storage.lake import file_digest

LEAST_SHARE = 0.5
log = structlog.get_logger(__name__)
T = TypeVar("T")


@dataclass(frozen=True)
class Created:
    """A backup that was made: what of it had to be sent, in plain and sealed bytes."""

    manifest: Manifest
    objects_sent: int
    plain_sent: int
    bytes_sent: int


def create(
    home: Home,
    client: redis.Redis,
    vault: Vault,
    *,
    now: dt.datetime,
    reason: str = "by hand",
    accept_smaller: bool = False,
) -> Created:
    """Makes a backup of the home and of what its Redis serves.

    Args:
        home: the home.
        client: its Redis.
        vault: where to.
        now: zone-aware; stands in the manifest.
        reason: why it was made, in a word or two.
        accept_smaller: it is right that there is far less than in the last good backup.

    Raises:
        Busy: another backup, a prune, or a run is at work.
        BackupKeyWrong: there is no key to encrypt for.
        BackupDamaged: what was read back is not what was put.
        BackupError: a part cannot be backed up, or the disk is full.
        RedisUnavailable, DatabaseUnavailable, ObjectStoreUnavailable: they do not answer.
    """
    started = time.monotonic()
    recipients = vault.keys.require_recipients()
    copied = _of_second(home.settings, lambda second: second.ids(), list[str]())
    with BackupLease(vault.store, vault.namespace, "A backup") as lease, home.lake.scratch() as scratch:
        earlier = vault.list()
        suspected = vault.standing(earlier).objects
        (scratch / "staged").mkdir()
        staged = _taken(home, client, scratch / "staged")
        # What is not in the store any more, or not whole, is sent again; so is what a check found damaged, unless it
        # reads back by now.
        there = {PurePosixPath(one.key).name: one.size_bytes for one in vault.objects()}
        named = _known_objects(earlier, vault.keys.fingerprint)
        known = {key: one for key, one in named.items() if there.get(one.object) == one.object_bytes}
        entries: list[Entry] = []
        sent: list[Entry] = []
        for number, name in enumerate(staged.names):
            report("send_objects", number, len(staged.names))
            lease.keep()
            path = staged.folder / name
            sealed = known.get((file_digest(path), path.stat().st_size))
            if sealed is not None and sealed.object in suspected:
                sealed = _mended(vault, scratch, _entry(name, sealed))
            if sealed is None:
                sealed = seal(path, scratch / "sealed", recipients, lambda _: lease.keep())
                entry = _entry(name, sealed)
                _send(vault, scratch, entry)
                sent.append(entry)
                known[sealed.sha256, sealed.size_bytes] = sealed
            entries.append(_entry(name, sealed))
        report("send_objects", len(staged.names), len(staged.names))
        lease.renew()  # whoever was too slow learns it here, before there is a backup
        # Ids give the order in both buckets, also where the first one was emptied or is another one by now.
        ids = [*(one.backup_id for one in earlier), *copied, lease.newest]
        seq = _next_number([one for one in ids if is_backup_id(one)])
        # Where the first bucket is a new one, the last good backup is in the second.
        before = _last_good(earlier)
        if before is None and copied:
            before = _of_second(home.settings, lambda second: _last_good(second.list()), None)
        manifest = Manifest(
            backup_id=make_backup_id(seq, now, secrets.token_hex(4)),
            seq=seq,
            namespace=vault.namespace,
            created_at=now,
            reason=reason,
            generation=lease.generation,
            code_version=__version__,
            recipients=vault.keys.fingerprint,
            predecessors=tuple(one.backup_id for one in earlier),
            entries=tuple(entries),
            facts=staged.facts | {"secrets": secret_marks(home.settings, vault.keys)},
            suspicious=() if accept_smaller else _suspicions(staged, before),
        )
        manifest = replace(manifest, seconds=round(time.monotonic() - started, 3))
        _commit(vault, manifest)
        lease.newest = manifest.backup_id
    return Created(
        manifest,
        len(sent),
        sum(one.size_bytes for one in sent),
        sum(one.object_bytes for one in sent),
    )


def _of_second(settings: Settings, ask: Callable[[Vault], T], otherwise: T) -> T:
    """What the second bucket has. One that does not answer keeps no backup from being made."""
    if settings.s3_replica_bucket is None:
        return otherwise
    try:
        with open_vault(settings, replica=True) as second:
            return ask(second)
    except (ObjectStoreUnavailable, ObjectStoreRefused) as error:
        log.warning("second_bucket_not_asked", reason=error.message)
        return otherwise


def _next_number(ids: Sequence[str]) -> int:
    """The number after all of these.

    Raises:
        BackupError: there is none; not ours alone can have used them up.
    """
    last = max(ids, default="")
    number = int(last[:8]) + 1 if last else 1
    if number > LAST_NUMBER:
        raise BackupError(
            f"No number is left after {last}, which no backup of ours can have reached.",
            hint="Find out who put it into the bucket (either one, or its lease.json), remove it, then back up again.",
            backup_id=last,
        )
    return number


def _taken(home: Home, client: redis.Redis, folder: Path) -> Staged:
    try:
        return take(home, client, folder)
    except OSError as error:
        raise BackupError(
            f"The parts of the backup could not be written down in {folder}: {error}.",
            hint="Free some room on the disk of the home, then back up again: nothing was published.",
        ) from error


def suspicions(facts: Mapping[str, Any], before: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Why what was backed up must not count as good: far less of something than the last good backup had.

    Of Redis the keys of the served snapshot alone are compared, and of the lake what lies beside no snapshot: how many
    earlier ones are kept is a setting. A backup of an earlier version does not tell these apart.
    """
    if before is None:
        return ()
    content, content_before = facts["content"], before.get("content", {})
    compared = [
        ("rows in SQL", sum(facts["sql"]["rows"].values()), sum(before["sql"]["rows"].values())),
        ("orders served", (facts["served"] or {}).get("orders", 0), (before["served"] or {}).get("orders", 0)),
    ]
    for name, what in (("served_keys", "keys of the served snapshot"), ("lake_bytes", "bytes in the lake")):
        compared.append((what, content[name], content_before.get(name, 0)))
    return tuple(
        f"{now:,} {what}, where the last good backup had {then:,}"
        for what, now, then in compared
        if now < then * LEAST_SHARE
    )


def _suspicions(staged: Staged, before: Manifest | None) -> tuple[str, ...]:
    return suspicions(staged.facts, before.facts if before else None)


def _last_good(earlier: Sequence[Listed]) -> Manifest | None:
    return next((one.manifest for one in reversed(earlier) if one.manifest and one.manifest.good), None)


def _known_objects(earlier: Sequence[Listed], recipients: str) -> dict[tuple[str, int], Sealed]:
    """What earlier backups hold, by plain digest and size, as far as it is encrypted for the same recipients."""
    return {
        (entry.sha256, entry.size_bytes): entry.sealed
        for one in earlier
        if one.manifest is not None and one.manifest.recipients == recipients
        for entry in one.manifest.entries
    }


def _entry(name: str, sealed: Sealed) -> Entry:
    return Entry(name, sealed.sha256, sealed.size_bytes, sealed.object, sealed.object_bytes)


def _send(vault: Vault, scratch: Path, entry: Entry) -> None:
    vault.put_object(scratch / "sealed", entry.object)
    vault.fetch(entry, scratch / "back")


def _mended(vault: Vault, scratch: Path, entry: Entry) -> Sealed | None:
    """An object that was found damaged, where it is right by now; None where it is not."""
    try:
        vault.fetch(entry, scratch / "back")
    except BackupDamaged:
        return None
    return entry.sealed


def _commit(vault: Vault, manifest: Manifest) -> None:
    vault.store.put_bytes(write_manifest(manifest, vault.keys), vault.manifest_key(manifest.backup_id), only_new=True)
    if vault.read(manifest.backup_id) != manifest:
        raise BackupDamaged(
            f"The manifest of backup {manifest.backup_id} reads back as another one.",
            hint="Look at the object store, then back up again.",
            backup_id=manifest.backup_id,
        )
