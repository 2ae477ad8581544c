"""How backups lie in a bucket: objects, manifests, marks of checks, pins, holds, stones of what was removed.

Belongs here: names and the few things that may be read or written under them. Does not belong here: in which order
(`create`, `prune`), or the lease (`lease`).

    {namespace}/objects/{sha256 of the sealed bytes}     immutable, shared by backups
    {namespace}/backups/{backup id}/manifest.json        written last, once: without it nothing is a backup
    {namespace}/verified/{backup id}/{time}-{kind}.json  what a check or a drill found
    {namespace}/pins/{backup id}.json                    never to be removed
    {namespace}/holds/{backup id}/{reader}.json          somebody reads it, see `reco.backup.hold`
    {namespace}/removed/{backup id}.json                 removed on purpose: its missing is no loss
    {namespace}/dates/{backup id}.json                   its real time, where a clock was wrong
    {namespace}/lease.json                               see `reco.backup.lease`
"""

import datetime as dt
import json
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import structlog

from reco.backup.envelope import check_object, damaged, disk_failed
from reco.backup.keys import Keyring
from reco.backup.listed import Listed, none_good, shared
from reco.backup.manifest import ID_TIME, Entry, Manifest, is_backup_id, read_manifest
from reco.backup.marks import Checked, Standing, standing
from reco.errors import BackupDamaged, BackupNotFound, ObjectNotFound, ObjectStoreRefused
from reco.storage.objects import ObjectInfo, ObjectStore

log = structlog.get_logger(__name__)
_TIME = "%Y%m%dT%H%M%S%fZ"
HOLD_SECONDS = 3600.0
"""How long a hold counts without renewal: longer than reading the largest object takes."""


_KNOWN = {one.name for one in fields(Checked)}  # of a finding; a later version may tell more


def time_of(backup_id: str) -> dt.datetime:
    """The time in the id of a backup."""
    return dt.datetime.strptime(backup_id.split("-")[1], ID_TIME).replace(tzinfo=dt.UTC)


class Vault:
    """The backups of a namespace in one bucket. Methods raise what `ObjectStore` raises."""

    def __init__(
        self, store: ObjectStore, namespace: str, keys: Keyring, compact: Callable[[int], None] | None = None
    ) -> None:
        self.store = store
        self.namespace = namespace
        self.keys = keys
        self._compact = compact

    def compact(self, freed_bytes: int) -> None:
        """Has a store of our own give the room of what was freed back to the disk; others do so by themselves."""
        if self._compact is not None:
            self._compact(freed_bytes)

    # -- objects ---------------------------------------------------------------------------------------------------

    def object_key(self, name: str) -> str:
        """The key of an object."""
        return f"{self.namespace}/objects/{name}"

    def put_object(self, sealed: Path, name: str, *, over: bool = False) -> None:
        """Makes an object, once; `over`: also in the place of one that has other bytes than its name says."""
        self.store.put(sealed, self.object_key(name), only_new=not over)

    def fetch(self, entry: Entry, path: Path) -> None:
        """Reads an object into a file and compares it with its digest.

        Raises:
            BackupDamaged: it is missing or has other bytes.
            BackupError: the disk is full or fails.
        """
        try:
            self.store.get(self.object_key(entry.object), path)
        except OSError as error:
            raise disk_failed(entry.name, error) from error
        except ObjectNotFound as error:
            raise damaged(entry.name, entry.object, "it is missing") from error
        check_object(path, entry.sealed, entry.name)

    def objects(self) -> list[ObjectInfo]:
        """All objects, whether or not a backup refers to them."""
        return list(self.store.list(f"{self.namespace}/objects/"))

    # -- manifests -------------------------------------------------------------------------------------------------

    def manifest_key(self, backup_id: str) -> str:
        """The key of a manifest."""
        return f"{self.namespace}/backups/{backup_id}/manifest.json"

    def ids(self) -> list[str]:
        """The ids of all backups, oldest first."""
        keys = [one.key.split("/") for one in self.store.list(f"{self.namespace}/backups/")]
        return sorted(parts[-2] for parts in keys if parts[-1] == "manifest.json" and is_backup_id(parts[-2]))

    def read(self, backup_id: str) -> Manifest:
        """The manifest of a backup.

        Raises:
            BackupNotFound: there is no backup of that id.
            BackupDamaged: its manifest is not ours.
        """
        if not is_backup_id(backup_id):
            raise BackupNotFound(f"{backup_id!r} is no id of a backup.", hint="See `reco backup list`.")
        try:
            raw = self.store.get_bytes(self.manifest_key(backup_id))
        except ObjectNotFound as error:
            raise BackupNotFound(f"There is no backup {backup_id}.", hint="See `reco backup list`.") from error
        return read_manifest(raw, backup_id, self.namespace, self.keys)

    def list(self) -> "Sequence[Listed]":
        """All backups, oldest first, damaged ones too.

        What they have in common is held once: a backup more takes little memory, however many files it names.
        """
        found = []
        entries: dict[Entry, Entry] = {}
        ids: dict[str, str] = {}
        for backup_id in self.ids():
            try:
                found.append(Listed(backup_id, shared(self.read(backup_id), entries, ids)))
            except BackupDamaged as error:
                found.append(Listed(backup_id, None, error.message))
            except BackupNotFound:  # removed between the list and now
                continue
        return found

    def newest_good(self) -> Manifest:
        """The newest backup against which nothing speaks: neither its making nor what checks and drills found.

        Raises:
            BackupNotFound: there is none.
            BackupKeyWrong, BackupDamaged: not one manifest can be read.
        """
        listed = self.list()
        bad = self.standing(listed).backups
        good = [one.manifest for one in listed if one.manifest is not None and one.manifest.good]
        found = [one for one in good if one.backup_id not in bad]
        if not found:
            raise none_good(listed, self.store.place(self.namespace))
        return found[-1]

    def newest_to_check(self) -> Manifest:
        """The newest good backup; where a finding speaks against each, the newest: only another check can clear it.

        Raises:
            BackupNotFound, BackupKeyWrong, BackupDamaged: as `newest_good`, of backups that were made good.
        """
        good = [one.manifest for one in self.list() if one.manifest is not None and one.manifest.good]
        try:
            return self.newest_good()
        except BackupNotFound:
            if good:
                return good[-1]
            raise

    def any_good(self) -> Manifest:
        """A good backup by chance, so that in time every kept one is proven.

        Raises:
            BackupNotFound: there is none.
        """
        good = [one.manifest for one in self.list() if one.manifest is not None and one.manifest.good]
        return secrets.choice(good) if good else self.newest_good()

    # -- marks -----------------------------------------------------------------------------------------------------

    def enter(self, checked: Checked) -> None:
        """Enters what was just found. Who may only read the bucket has found it all the same, and is told."""
        try:
            self.mark_checked(checked)
        except ObjectStoreRefused as error:
            log.warning("backup_finding_not_entered", backup_id=checked.backup_id, reason=error.message)

    def mark_checked(self, checked: Checked) -> None:
        """Writes down what a check or a drill found."""
        entered = checked.entered and checked.entered.isoformat()
        self._write(_mark_name(checked), asdict(checked) | {"at": checked.at.isoformat(), "entered": entered})

    def mark_key(self, checked: Checked) -> str:
        """The key of a finding."""
        return f"{self.namespace}/{_mark_name(checked)}.json"

    def keys_about(self, gone: Collection[str]) -> Sequence[str]:
        """The keys of pins and dates of backups that are no more, and of readers that were killed."""
        names = {f"{self.namespace}/{folder}/{one}.json" for folder in ("pins", "dates") for one in gone}
        known = [one.key for folder in ("pins", "dates") for one in self.store.list(f"{self.namespace}/{folder}/")]
        holds = [one.key for one in self.store.list(f"{self.namespace}/holds/") if _age(one) >= HOLD_SECONDS]
        return [key for key in known if key in names] + holds

    def checks(self) -> "Sequence[Checked]":
        """Everything that was found, oldest first by the store's clock. A mark that is not ours counts for nothing."""
        found = []
        for one in self.store.list(f"{self.namespace}/verified/"):
            values = self._read(one.key)
            if values is not None and f"/{values['backup_id']}/" in one.key:
                entered = values.get("entered")
                values["entered"] = dt.datetime.fromisoformat(entered) if entered else one.modified_at
                values["at"] = dt.datetime.fromisoformat(values["at"])
                values |= {name: tuple(values.get(name, ())) for name in ("damaged", "cleared")}
                found.append(Checked(**{name: one for name, one in values.items() if name in _KNOWN}))
        return sorted(found, key=lambda one: (one.entered, one.at))

    def standing(self, listed: "Sequence[Listed]", checks: "Sequence[Checked] | None" = None) -> Standing:
        """What checks and drills say by now of these backups and their objects."""
        manifests = {one.backup_id: one.manifest for one in listed if one.manifest is not None}
        return standing(manifests, self.checks() if checks is None else checks)

    def pin(self, backup_id: str, *, now: dt.datetime, why: str) -> None:
        """Keeps a backup from being removed."""
        self.read(backup_id)
        self._write(f"pins/{backup_id}", {"backup_id": backup_id, "at": now.isoformat(), "why": why})

    def unpin(self, backup_id: str) -> None:
        """Lets a backup go the way of the others again."""
        self.store.remove(f"{self.namespace}/pins/{backup_id}.json")

    def pins(self) -> frozenset[str]:
        """The ids of pinned backups. The mere name counts: a pin that does not parse must still hold."""
        return self.named("pins")

    def take_marks(self, other: "Vault", ids: Collection[str]) -> int:
        """Copies pins and dates of these backups from another bucket, where this one has none; returns how many."""
        copied = 0
        for folder in ("pins", "dates"):
            for backup_id in sorted((other.named(folder) & {*ids}) - self.named(folder)):
                key = f"{self.namespace}/{folder}/{backup_id}.json"
                self.store.put_bytes(other.store.get_bytes(key), key)
                copied += 1
        return copied

    def hold(self, backup_id: str, reader: str, what: str) -> None:
        """Says that a reader is at work on a backup; said again it counts anew."""
        beat = secrets.token_hex(4)
        self._write(f"holds/{backup_id}/{reader}", {"backup_id": backup_id, "what": what, "beat": beat})

    def release(self, backup_id: str, reader: str) -> None:
        """Says that a reader has done with a backup."""
        self.store.remove(f"{self.namespace}/holds/{backup_id}/{reader}.json")

    def held(self) -> frozenset[str]:
        """The ids of backups that somebody reads, by the store's clock. As with pins the mere name counts."""
        found = self.store.list(f"{self.namespace}/holds/")
        return frozenset(one.key.split("/")[-2] for one in found if _age(one) < HOLD_SECONDS)

    def mark_removed(self, backup_id: str, *, now: dt.datetime) -> None:
        """Says that a backup is removed on purpose, before it is."""
        self._write(f"removed/{backup_id}", {"backup_id": backup_id, "at": now.isoformat()})

    def mark_dated(self, backup_id: str, at: dt.datetime, *, now: dt.datetime) -> None:
        """Says when a backup was really made."""
        values = {"backup_id": backup_id, "made_at": at.isoformat(), "at": now.isoformat()}
        self._write(f"dates/{backup_id}", values)

    def dates(self) -> dict[str, dt.datetime]:
        """When the backups were really made whose own date is wrong, by id."""
        found = [self._read(one.key) for one in self.store.list(f"{self.namespace}/dates/")]
        return {str(one["backup_id"]): dt.datetime.fromisoformat(one["made_at"]) for one in found if one is not None}

    def removed(self) -> frozenset[str]:
        """The ids of backups that were removed on purpose."""
        found = [self._read(one.key) for one in self.store.list(f"{self.namespace}/removed/")]
        return frozenset(str(one["backup_id"]) for one in found if one is not None)

    def named(self, folder: str) -> frozenset[str]:
        """The ids of the backups of which a folder (`pins`, `dates`) says anything."""
        keys = [one.key for one in self.store.list(f"{self.namespace}/{folder}/")]
        return frozenset(key.rpartition("/")[2].removesuffix(".json") for key in keys)

    def _write(self, name: str, values: dict[str, Any]) -> None:
        text = json.dumps(values | {"name": name}, sort_keys=True)
        data = json.dumps({"body": text, "tags": self.keys.tags(text.encode())}).encode()
        self.store.put_bytes(data, f"{self.namespace}/{name}.json")

    def _read(self, key: str) -> dict[str, Any] | None:
        """A mark that is authenticated, and stands where it was put; None else."""
        try:
            outer = json.loads(self.store.get_bytes(key))
            values = json.loads(outer["body"])
            name = values.pop("name")
            known = self.keys.knows(outer["body"].encode(), [str(one) for one in outer["tags"]])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ObjectNotFound):
            return None
        return values if known and key == f"{self.namespace}/{name}.json" else None


def _age(one: ObjectInfo) -> float:
    """Seconds, by the store's clock."""
    return (one.now - one.modified_at).total_seconds()


def _mark_name(checked: Checked) -> str:
    return f"verified/{checked.backup_id}/{checked.at.astimezone(dt.UTC).strftime(_TIME)}-{checked.kind}"
