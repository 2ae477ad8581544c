"""What a backup holds: Redis, SQL, Dagster's databases, the lake, the key of pseudonyms, and the settings.

Belongs here: taking all of it as it is at one moment, into a folder. Does not belong here: what is done with the folder
(`reco.backup.create`), or the formats of its parts.

The lock of the home keeps runs away while the parts are taken, and the lease of publishing other machines. Files of
the lake are linked, not copied: they are only ever replaced as a whole, so a link keeps the file as it was.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from pydantic import SecretStr

from reco import __version__
from reco.backup.history import take_history
from reco.backup.manifest import DAGSTER, DAGSTER_TABLES, HISTORY, KEYS, LAKE, REDIS, SETTINGS, SQL
from reco.backup.redis_dump import dump
from reco.backup.run_records import dump_records
from reco.backup.sql_dump import dump_sql
from reco.errors import BackupError, SnapshotDamaged, SnapshotNotFound
from reco.orders.home import Home
from reco.orders.ledger import DropStatus
from reco.orders.rawfiles import REMOVED
from reco.progress import report, stage
from reco.settings import Settings
from reco.snapshot.inputs import model_inputs
from reco.snapshot.keys import Keys
from reco.snapshot.lease import Lease, LeasePolicy
from reco.snapshot.order_book import SERVED_ORDERS
from reco.snapshot.store import SnapshotStore
from reco.storage.homelock import home_lock
from reco.storage.redis import server_facts

WAIT_SECONDS = 600.0
SAMPLE = 20
DEPTH = 10
HOME_KEYS = ("privacy.key", "api.peppers")
"""The secrets of a home that its rows mean nothing without."""


@dataclass(frozen=True)
class Staged:
    """A folder that holds everything, by the names of the manifest, and the facts about it."""

    folder: Path
    names: list[str]
    facts: dict[str, Any]


def take(home: Home, client: redis.Redis, folder: Path, *, wait_seconds: float = WAIT_SECONDS) -> Staged:
    """Takes all parts as they are at one moment.

    Raises:
        Busy: a run, or another publish, did not end within `wait_seconds`.
        BackupError: a part is of a kind that a backup does not hold.
        RedisUnavailable, DatabaseUnavailable: they do not answer.
    """
    settings = home.settings
    keys = Keys(settings.namespace)
    spans = take_history(settings, folder / HISTORY)
    with home_lock(settings.home, wait_seconds=wait_seconds):
        with stage("copy_lake"):
            lake = link_tree(home.lake.root, folder / LAKE)
            _take_small(settings, folder)
        with stage("dump_sql"):
            sql = dump_sql(home.ledger.engine, folder / SQL)
        with Lease(client, keys, LeasePolicy(wait_seconds=wait_seconds)) as lease:

            def tell(done: int, total: int) -> None:
                lease.keep()
                report("dump_redis", done, total)

            redis_facts = dump(client, keys, folder / REDIS, tell)
            served = served_facts(client, settings.namespace)
        drops = home.ledger.drops()
        inputs = model_inputs(home)
        with stage("copy_dagster"):
            runs = _take_dagster(settings, folder)
    server = server_facts(client)
    facts = {
        "redis": redis_facts.as_dict() | {"server": f"{server.server} {server.version}"},
        "sql": sql.as_dict() | {"kind": home.ledger.engine.dialect.name},
        "lake": lake,
        "dagster": runs,
        "redis_history": spans,
        "drops": {status.value: sum(one.status is status for one in drops) for status in DropStatus},
        "inputs": inputs,
        "served": served,
        "content": {
            "served_keys": redis_facts.of_snapshots[served["snapshot_id"]] if served else 0,
            "lake_bytes": lake["bytes"] - _bytes_of(folder / LAKE / SERVED_ORDERS),
        },
        "code_version": __version__,
    }
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return Staged(folder, names, facts)


def served_facts(client: redis.Redis, namespace: str) -> dict[str, Any] | None:
    """What is served, with the digest of a sample of answers; None where nothing is published or it cannot be read."""
    try:
        current = SnapshotStore(client, namespace).current()
        popular = current.popular(SAMPLE)["recommendations"]
        ids = [one["item_id"] for one in popular]
        answers = {one: current.similar(one, DEPTH)["recommendations"] for one in ids}
        answers["basket"] = current.basket(ids[:2], DEPTH)["recommendations"] if ids else []
    except (SnapshotNotFound, SnapshotDamaged):
        return None
    text = json.dumps([popular, answers], sort_keys=True)
    return {
        "snapshot_id": current.snapshot_id,
        "digest": current.manifest["digest"],
        **{name: current.manifest["counts"][name] for name in ("items", "orders", "pairs")},
        "score_settings": current.manifest.get("score_settings"),
        "answers": len(answers) + 1,
        "answers_sha256": hashlib.sha256(text.encode()).hexdigest(),
    }


def comparable(served: Mapping[str, Any] | None, code_version: str) -> dict[str, Any] | None:
    """What of `served_facts` must be equal again: another version of the code may say the same in other words."""
    if served is None:
        return None
    words = set() if code_version == __version__ else {"answers", "answers_sha256"}
    return {name: value for name, value in served.items() if name not in words}


def link_tree(source: Path, target: Path) -> dict[str, int]:
    """Links every file of a lake into another folder of its disk, temporary ones left out; counts them."""
    files = size = 0
    for path in lake_files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, place)
        except OSError:  # a disk without links, or a folder on another one
            shutil.copyfile(path, place)
        files, size = files + 1, size + place.stat().st_size
    return {"files": files, "bytes": size}


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def lake_files(root: Path) -> Iterator[Path]:
    """The files of a lake that count, sorted: not those a writer has not finished, or scratch folders."""
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        hidden = [part for part in parts if part.startswith(".") and part != REMOVED]
        if path.is_file() and not path.is_symlink() and not hidden:
            yield path


def settings_without_secrets(settings: Settings) -> Mapping[str, Any]:
    """The effective settings; a secret only as whether it is set."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {
        name: ("set" if value is not None else None)
        if isinstance(value, SecretStr) or "SecretStr" in str(type(settings).model_fields[name].annotation)
        else (str(value) if isinstance(value, Path) else value)
        for name, value in values.items()
    }


def _take_small(settings: Settings, folder: Path) -> None:
    text = json.dumps(settings_without_secrets(settings), indent=1, sort_keys=True)
    (folder / SETTINGS).write_text(text, encoding="utf-8")
    # Without the first, restored customers would count twice; without the second, no restored API key would be right.
    for name in HOME_KEYS:
        key = settings.home / KEYS / name
        if key.is_file():
            (folder / KEYS).mkdir(exist_ok=True)
            shutil.copyfile(key, folder / KEYS / name)


def _take_dagster(settings: Settings, folder: Path) -> dict[str, Any]:
    """Copies Dagster's configuration and its records: SQLite databases, each as of one moment, tables of a Postgres."""
    source, target = settings.home / "dagster", folder / DAGSTER
    in_postgres = settings.dagster_database_url is not None
    tables = dump_records(settings, folder / DAGSTER_TABLES) if in_postgres else None
    facts: dict[str, Any] = {"databases": 0, "elsewhere": False, "postgres": tables}
    config = source / "dagster.yaml"
    if not config.is_file():
        return facts
    target.mkdir(parents=True)
    shutil.copyfile(config, target / config.name)
    databases = [path for path in sorted(source.rglob("*.db")) if path.is_file()]
    for path in databases:
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        copy_sqlite(path, place)
    elsewhere = not in_postgres and "storage:" in config.read_text(encoding="utf-8")
    return facts | {"databases": len(databases), "elsewhere": elsewhere}


def copy_sqlite(source: Path, target: Path) -> None:
    """Copies a database that others may be writing to.

    Raises:
        BackupError: it is damaged.
    """
    try:
        readable = sqlite3.connect(f"file:{source}?mode=ro", uri=True, timeout=30)
        with closing(readable) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
            new.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise BackupError(
            f"Dagster's database {source} cannot be copied: {error}.",
            hint="See whether the disk of the home has room. Where it has, look at the database with `sqlite3 FILE "
            "'PRAGMA integrity_check'`; move it away if it cannot be mended.",
            path=str(source),
        ) from error
