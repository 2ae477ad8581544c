"""Getting a backup ready to be put into place: everything read, opened and checked, in a folder, before anything moves.

Belongs here: from a manifest to a folder that is known to be right. Does not belong here: putting it into place
(`reco.backup.switch`).
"""

import sqlite3
from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from reco.audit.chain import FIRST, verify_chain
from reco.backup.envelope import unseal
from reco.backup.hold import Hold
from reco.backup.manifest import DAGSTER, DAGSTER_TABLES, HISTORY, KEYS, LAKE, REDIS, SETTINGS, SQL, Entry, Manifest
from reco.backup.redis_dump import dump_facts
from reco.backup.run_records import record_facts
from reco.backup.sql_dump import load_sqlite
from reco.backup.vault import Vault
from reco.errors import BackupDamaged
from reco.progress import report, stage
from reco.storage.sql import open_database

DATABASE = "reco.sqlite"
EVERYTHING = frozenset({"redis", "sql", "lake", "dagster", "keys"})
"""What a restore puts into place: not the past of the embedded Redis, which `reco redis cut` takes from the bucket."""
_PARTS = {REDIS: "redis", SQL: "sql", SETTINGS: "keys"}
_FOLDERS = {LAKE: "lake", DAGSTER: "dagster", DAGSTER_TABLES: "dagster", KEYS: "keys", HISTORY: "redis_history"}


@dataclass(frozen=True)
class Prepared:
    """A folder with parts of a backup, as far as asked: `lake/`, `reco.sqlite`, `dagster/` and others."""

    folder: Path
    manifest: Manifest
    parts: frozenset[str]

    @property
    def lake(self) -> Path:
        """The lake."""
        return self.folder / LAKE

    @property
    def database(self) -> Path:
        """Our tables, as a SQLite file of the newest version."""
        return self.folder / DATABASE

    @property
    def records(self) -> Path:
        """Dagster's records of runs, where they are those of a Postgres."""
        return self.folder / DAGSTER_TABLES

    @property
    def redis(self) -> Path:
        """The commands that make the keys of Redis."""
        return self.folder / REDIS


def part_of(name: str) -> str:
    """The part that a file of a backup belongs to."""
    return _PARTS.get(name) or next(part for start, part in _FOLDERS.items() if name.startswith(start))


def prepare(vault: Vault, manifest: Manifest, folder: Path, parts: Collection[str] = EVERYTHING) -> Prepared:
    """Reads the parts of a backup into an empty folder and checks all that can be checked without using them.

    A prune leaves the backup meanwhile.

    Raises:
        BackupNotFound: it was removed since it was chosen.
        BackupKeyWrong: the identity is missing or another one.
        BackupDamaged: an object is missing or altered, or a part is not what the manifest says of it.
    """
    identities = vault.keys.require_identities()
    entries = [entry for entry in manifest.entries if part_of(entry.name) in parts]
    folder.mkdir(parents=True, exist_ok=True)
    sealed = folder / ".sealed"
    with Hold(vault, manifest.backup_id, "A restore") as hold:
        try:
            for number, entry in enumerate(entries):
                report("fetch_objects", number, len(entries))
                hold.keep()
                fetch_entry(vault, entry, sealed, folder / entry.name, identities)
            report("fetch_objects", len(entries), len(entries))
        finally:
            sealed.unlink(missing_ok=True)
    prepared = Prepared(folder, manifest, frozenset(parts))
    with stage("check_parts"):
        _check(prepared)
    return prepared


def fetch_entry(vault: Vault, entry: Entry, sealed: Path, plain: Path, identities: list[object]) -> None:
    """Reads one file of a backup, checked on both sides."""
    plain.parent.mkdir(parents=True, exist_ok=True)
    vault.fetch(entry, sealed)
    unseal(sealed, plain, identities, entry.sealed, entry.name)


def _check(prepared: Prepared) -> None:
    facts = prepared.manifest.facts
    if "redis" in prepared.parts:
        found = dump_facts(prepared.redis, prepared.manifest.namespace).as_dict()
        _same(REDIS, found, {name: facts["redis"][name] for name in found})
    if "sql" in prepared.parts:
        load_sqlite(prepared.folder / SQL, prepared.database)
        engine = open_database(f"sqlite:///{prepared.database}")
        try:
            _check_trail(engine, facts["sql"]["audit_head"])
        finally:
            engine.dispose()
            prepared.database.with_name(f"{DATABASE}-wal").unlink(missing_ok=True)
            prepared.database.with_name(f"{DATABASE}-shm").unlink(missing_ok=True)
    if "lake" in prepared.parts:
        files = [entry for entry in prepared.manifest.entries if entry.name.startswith(LAKE)]
        size = sum(entry.size_bytes for entry in files)
        _same("the lake", {"files": len(files), "bytes": size}, facts["lake"])
    if "dagster" in prepared.parts:
        for path in sorted((prepared.folder / DAGSTER).rglob("*.db")):
            with closing(sqlite3.connect(path)) as connection:
                _same(path.name, connection.execute("PRAGMA quick_check").fetchone()[0], "ok")
        _same("what Dagster's tables hold", record_facts(prepared.records), facts["dagster"].get("postgres"))


def _check_trail(engine: sa.Engine, head: str) -> None:
    found = verify_chain(engine)
    _same("the audit trail", found.problem, "")
    _same("the head of the audit trail", found.head, head or FIRST)


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise BackupDamaged(
            f"The backup is refused: {what} is {found}, and its manifest says {expected}.",
            hint="Take another backup (`reco backup list`), or the replica (`--replica`).",
            entry=what,
            reason="it is not what the manifest says",
        )
