"""Promise of old backups: what version 0.1.0 wrote is read, restored and served by this one."""

import datetime as dt
import json
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
import redis

from reco.api.keybook import open_book
from reco.api.keyring import Caller, KeyRing, Refusal
from reco.api.metrics import Metrics
from reco.audit.chain import verify_chain
from reco.backup.keys import Keyring
from reco.backup.restore import make_plan, restore
from reco.backup.vault import Vault
from reco.backup.verify import verify
from reco.orders.home import open_home
from reco.settings import Settings
from reco.snapshot.store import SnapshotStore
from reco.storage.objects import ObjectStore, s3_client
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of

pytestmark = pytest.mark.timeout(600)  # on a busy machine a restore takes a minute
GOLDEN = Path(__file__).parent.parent / "golden" / "backup_v1"
NOW = dt.datetime(2026, 3, 5, 12, tzinfo=dt.UTC)


def test_the_first_format_is_restored_for_ever(tmp_path: Path, client: redis.Redis, server: S3Server) -> None:
    """Objects, tables, lake, Dagster and keys come back, though this version words its answers otherwise."""
    expected = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
    store = ObjectStore(server.bucket, server.url, client=s3_client(server.url))
    with tarfile.open(GOLDEN / "bucket.tar") as bucket:
        for one in bucket.getmembers():
            file = bucket.extractfile(one)
            assert file is not None
            store.put_bytes(file.read(), one.name)
    identity = (GOLDEN / "test-key.identity").read_text(encoding="utf-8")
    settings = Settings(
        home=tmp_path / "home",
        redis_url=f"redis://127.0.0.1:{port_of(client)}/0",
        namespace="golden",
        backup_identity=identity,
    )
    vault = Vault(store, "golden", Keyring.of(settings))
    manifest = vault.newest_good()
    assert (manifest.backup_id, manifest.format) == (expected["backup_id"], 1)
    assert len(manifest.entries) == expected["entries"]
    assert dict(manifest.facts) == expected["facts"]
    assert verify(vault, manifest, tmp_path, part=(1, 1), now=NOW).passed
    done = restore(vault, settings, make_plan(vault, settings), now=NOW, force=True)
    assert done.snapshot_id == expected["snapshot_id"]
    current = SnapshotStore(client, "golden").current()
    assert current.manifest["digest"] == expected["facts"]["served"]["digest"]
    assert {one["item_id"] for one in current.similar("PID", 10)["recommendations"]} == {"Kit", "Hose", "Lamp"}
    home = open_home(settings)
    (drop,) = home.ledger.drops()
    assert (drop.lines_read, drop.lines_accepted, drop.lines_quarantined) == (10, 9, 1)
    assert home.ledger.imbalances() == []
    assert verify_chain(home.ledger.engine, noted={"it": expected["facts"]["sql"]["audit_head"]}).whole
    with closing(sqlite3.connect(settings.home / "dagster" / "history" / "runs.db")) as database:
        assert database.execute("PRAGMA quick_check").fetchone() == ("ok",)
    _require_keys(settings, expected["keys"])


def _require_keys(settings: Settings, keys: dict[str, str]) -> None:
    book = open_book(settings)
    ring = KeyRing(book, Metrics(), may_be_open=True, now=lambda: NOW)
    ring.load()
    assert sorted(str(ring.whose(text)) for text in keys.values()) == sorted([Refusal.REVOKED, Refusal.SUSPENDED])
    (held,) = book.confirm(None, now=NOW, actor="test")
    ring.load()
    assert isinstance(ring.whose(keys[held]), Caller)
