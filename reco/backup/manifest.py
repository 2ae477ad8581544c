"""The manifest: the one small object that makes a backup.

Belongs here: its fields, its authentication, and refusing one that is not ours. Does not belong here: where it lies.
"""

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any

from reco.backup.envelope import Sealed
from reco.backup.keys import Keyring
from reco.errors import BackupDamaged

FORMAT = 1
LAST_NUMBER = 99_999_999
REDIS, SQL, SETTINGS = "redis.resp", "sql.jsonl", "settings.json"
LAKE, DAGSTER, KEYS, HISTORY = "lake/", "dagster/", "keys/", "redis_history/"
DAGSTER_TABLES = "dagster_tables/"
_FOLDERS = (LAKE, DAGSTER, DAGSTER_TABLES, KEYS, HISTORY)
_ID = re.compile(r"\d{8}-\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)
ID_TIME = "%Y%m%dT%H%M%SZ"
NOT_OURS = "it is not authenticated by a key of ours"
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a backup: its name, and the object that holds it (see `Sealed`)."""

    name: str
    sha256: str
    size_bytes: int
    object: str
    object_bytes: int

    @property
    def sealed(self) -> Sealed:
        """What its object must be."""
        return Sealed(self.sha256, self.size_bytes, self.object, self.object_bytes)


@dataclass(frozen=True)
class Manifest:
    """What a backup says about itself.

    seq: grows with each backup of a namespace, whatever the clock says; generation: of the lease it was made under;
    predecessors: the backups there were then; recipients: the fingerprint of whom it is encrypted for; facts: counts,
    digests and versions of what was backed up; suspicious: why it must not count as good; seconds: how long it took.
    """

    backup_id: str
    seq: int
    namespace: str
    created_at: dt.datetime
    reason: str
    generation: int
    code_version: str
    recipients: str
    predecessors: tuple[str, ...]
    entries: tuple[Entry, ...]
    facts: Mapping[str, Any]
    suspicious: tuple[str, ...] = ()
    seconds: float = 0.0
    format: int = field(default=FORMAT)

    @property
    def good(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.suspicious

    @property
    def size_bytes(self) -> int:
        """The plain bytes it brings back."""
        return sum(entry.size_bytes for entry in self.entries)

    def entry(self, name: str) -> Entry:
        """One file by its name."""
        return next(entry for entry in self.entries if entry.name == name)


def make_backup_id(seq: int, at: dt.datetime, chance: str) -> str:
    """The id of a backup: in the order of making, also where a clock went back."""
    return f"{seq:08d}-{at.astimezone(dt.UTC):%Y%m%dT%H%M%SZ}-{chance[:8]}"


def is_backup_id(text: str) -> bool:
    """Whether a text has the form of such an id."""
    if _ID.fullmatch(text) is None:
        return False
    try:
        dt.datetime.strptime(text.split("-")[1], ID_TIME).replace(tzinfo=dt.UTC)
    except ValueError:
        return False
    return True


def write_manifest(manifest: Manifest, keys: Keyring) -> bytes:
    """The manifest as JSON, with an HMAC a recipient."""
    body = asdict(manifest) | {"created_at": manifest.created_at.astimezone(dt.UTC).isoformat()}
    text = json.dumps(body, sort_keys=True, ensure_ascii=False)
    return json.dumps({"body": text, "tags": keys.tags(text.encode())}, ensure_ascii=False).encode()


def read_manifest(raw: bytes, backup_id: str, namespace: str, keys: Keyring) -> Manifest:
    """A manifest that is known to be ours, of this backup and namespace.

    Raises:
        BackupDamaged: it is not; nothing of it was used.
    """
    try:
        outer = json.loads(raw, object_pairs_hook=_once)
        text, tags = outer["body"], outer["tags"]
        known = keys.knows(str(text).encode(), [str(one) for one in tags])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _refused(backup_id, f"it does not parse ({error})") from error
    if not known:
        raise _refused(backup_id, f"{NOT_OURS}: it was altered, or made for other keys")
    try:
        body = json.loads(text, object_pairs_hook=_once)
        _require_format(body["format"])
        entries = tuple(Entry(**one) for one in body["entries"])
        _require_names(entries)
        manifest = Manifest(
            **body
            | {
                "created_at": dt.datetime.fromisoformat(body["created_at"]),
                "entries": entries,
                "predecessors": tuple(body["predecessors"]),
                "suspicious": tuple(body["suspicious"]),
            }
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _refused(backup_id, str(error)) from error
    if (manifest.backup_id, manifest.namespace) != (backup_id, namespace):
        raise _refused(backup_id, f"it is that of {manifest.backup_id} of namespace {manifest.namespace}")
    return manifest


def _require_format(number: object) -> None:
    if number != FORMAT:
        raise ValueError(f"format {number} is unknown to this version")


def _require_names(entries: tuple[Entry, ...]) -> None:
    names = [entry.name for entry in entries]
    if len(set(names)) != len(names):
        raise ValueError("two entries have one name")
    for entry in entries:
        path = PurePosixPath(entry.name)
        known = entry.name in (REDIS, SQL, SETTINGS) or entry.name.startswith(_FOLDERS)
        if not known or ".." in path.parts or path.is_absolute() or str(path) != entry.name or "\0" in entry.name:
            raise ValueError(f"the name {entry.name!r} is none that a backup has")
        if not _HEX.fullmatch(entry.object) or not _HEX.fullmatch(entry.sha256):
            raise ValueError(f"{entry.name} has no digests")
    missing = {REDIS, SQL, SETTINGS} - set(names)
    if missing:
        raise ValueError(f"it has no {', '.join(sorted(missing))}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refused(backup_id: str, reason: str) -> BackupDamaged:
    return BackupDamaged(
        f"The manifest of backup {backup_id} is refused: {reason}.",
        hint="Take another backup (`reco backup list`), or the replica; check RECO_BACKUP_RECIPIENTS and the identity.",
        backup_id=backup_id,
        reason=reason,
    )
