"""Promises over the life of a backup: proven by drills, checked where it lies, copied, kept and removed."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from structlog.testing import capture_logs
from typer.testing import CliRunner

from reco.audit.trail import Event, append, events, recording
from reco.backup.drill import REBUILT, drill
from reco.backup.marks import Checked
from reco.backup.prune import Pruned, prune
from reco.backup.redate import redate
from reco.backup.replicate import replicate
from reco.backup.restore import make_plan, restore
from reco.backup.retention import Policy
from reco.backup.status import absences, look, may_be_overdue, protection
from reco.backup.vault import Vault
from reco.backup.verify import next_part, verify
from reco.errors import BackupDamaged, BackupNotFound, Busy, DrillFailed, ObjectExists, RetentionRefused, UsageError
from reco.settings import Settings
from reco.snapshot.hiding import hidden_key
from reco.storage.objects import ObjectStore
from reco_pipeline.cli.app import app
from reco_pipeline_tests.backup_shop import IDENTITY, KEYS, NOON, BackupShop
from reco_pipeline_tests.faulty_store import QUICK, Fault, says
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]
TIGHT = Policy(days=1, daily=0, weekly=0, monthly=0, minimum=1)
REAL_NOW = dt.datetime.now(dt.UTC)
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def shop(tmp_path: Path, client: redis.Redis, server: S3Server) -> BackupShop:
    """A shop with one published drop, whose clock is near the real one: retention compares it with the store's."""
    found = BackupShop(tmp_path, client, server)
    found.minute = int((REAL_NOW - NOON).total_seconds() // 60) - 60
    found.give()
    found.publish()
    return found


def test_a_drill_proves_a_backup(shop: BackupShop) -> None:
    """Everything is as it was backed up, and the model made anew from the orders is the snapshot of the backup."""
    manifest = shop.back_up().manifest
    found = drill(shop.vault(), shop.settings, manifest, now=shop.now)
    assert [one.name for one in found.comparisons if not one.passed] == []
    assert found.comparisons[-1].name == REBUILT
    assert found.comparisons[-1].found == manifest.facts["served"]["digest"]
    state = protection(shop.vault(), shop.home.ledger.engine, now=shop.now)
    assert state.last_drill is not None
    assert state.last_drill.passed
    assert state.rto_seconds == found.rto_seconds
    assert state.rpo_seconds == 0
    assert absences(state) == []
    assert not [path for path in shop.settings.home.iterdir() if path.name.startswith(".scratch")]


def test_the_counts_of_callers_are_no_content(shop: BackupShop) -> None:
    """What the API counts of its callers comes and goes: it is in no backup, and no drill misses it."""
    counts = f"{shop.settings.namespace}:limits:LIMITER/address/127.0.0.1/100/1/minute"
    shop.client.rpush(counts, "1", "2")
    shop.client.expire(counts, 60)
    manifest = shop.back_up().manifest
    assert "list" not in manifest.facts["redis"]["types"]
    shop.client.delete(counts)
    found = drill(shop.vault(), shop.settings, manifest, now=shop.now)
    assert [one.name for one in found.comparisons if not one.passed] == []


def test_rules_in_redis_are_a_copy_that_no_restore_reads(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes of the API write them anew at any moment; a backup of a version that held them is restored as well."""
    hidden = hidden_key(shop.settings.namespace)
    shop.client.set(hidden, "[]")
    made = shop.back_up().manifest
    with monkeypatch.context() as patched:
        patched.setattr("reco.backup.redis_dump.ABOUT_NOW", ())
        earlier = shop.back_up().manifest
    assert earlier.facts["redis"]["keys"] == made.facts["redis"]["keys"] + 1
    found = drill(shop.vault(), shop.settings, earlier, now=shop.now)
    assert [one.name for one in found.comparisons if not one.passed] == []
    shop.client.set(hidden, "[7]")
    plan = make_plan(shop.vault(), shop.settings, backup_id=earlier.backup_id)
    restore(shop.vault(), shop.settings, plan, now=shop.now, force=True)
    assert shop.client.get(hidden) == b"[7]"


@pytest.mark.parametrize(
    "junk", [b'{"body": "{}", "tags": ["\xc3\xa9"]}', b'{"body": "[]"}', b'"x"', b'{"body": "1", "tags": 3}']
)
def test_what_is_not_ours_in_the_bucket_stops_nothing(shop: BackupShop, junk: bytes) -> None:
    """A malformed manifest is refused by its name; a malformed mark counts for nothing."""
    created = shop.back_up()
    vault = shop.vault()
    vault.store.put_bytes(junk, f"{shop.settings.namespace}/backups/99999999-20990101T000000Z-0badc0de/manifest.json")
    vault.store.put_bytes(junk, f"{shop.settings.namespace}/verified/{created.manifest.backup_id}/junk.json")
    assert vault.newest_good().backup_id == created.manifest.backup_id
    with pytest.raises(BackupDamaged):
        vault.read("99999999-20990101T000000Z-0badc0de")


def test_what_failed_last_is_no_good_backup(shop: BackupShop) -> None:
    """A backup that passed once and failed since is neither restored by default nor kept as the proven one."""
    first, second = shop.back_up().manifest, shop.back_up().manifest
    vault = shop.vault()
    vault.mark_checked(Checked(first.backup_id, "drill", shop.now, passed=True))
    vault.mark_checked(Checked(second.backup_id, "verify", shop.now, passed=True))
    assert vault.newest_good().backup_id == second.backup_id
    vault.mark_checked(Checked(second.backup_id, "drill", shop.now, passed=False))
    assert vault.newest_good().backup_id == first.backup_id
    assert protection(vault, None, now=shop.now).last_good == first
    done = prune(vault, Policy(0, 0, 0, 0, 1), grace=dt.timedelta(0), now=dt.datetime.now(dt.UTC))
    assert first.backup_id in done.plan.keep


def test_a_drill_finds_what_hashes_cannot(shop: BackupShop) -> None:
    """A Redis whose served values are not what the orders give was backed up faithfully: only the drill can tell."""
    namespace = shop.settings.namespace
    sid = shop.client.get(f"{namespace}:snapshot:current").decode()  # type: ignore[union-attr]
    manifest_key = f"{namespace}:snapshot:{sid}:manifest"
    raw = shop.client.get(manifest_key)
    assert isinstance(raw, bytes)
    digest = raw.split(b'"digest": "')[1][:8]
    shop.client.set(manifest_key, raw.replace(b'"digest": "' + digest, b'"digest": "00000000'))
    manifest = shop.back_up().manifest
    with pytest.raises(DrillFailed, match=REBUILT):
        drill(shop.vault(), shop.settings, manifest, now=shop.now)
    last = protection(shop.vault(), None, now=shop.now).last_drill
    assert last is not None
    assert not last.passed


def test_what_is_overdue_is_told(shop: BackupShop) -> None:
    """Never, and too long ago, are alerts; what changed since the last backup is counted in seconds."""
    assert {one.what for one in absences(protection(shop.vault(), None, now=shop.now))} == {
        "backup_missing",
        "drill_missing",
    }
    made = shop.back_up().manifest
    shop.give("tuesday", {"9": ["Kit"]})
    engine = shop.home.ledger.engine
    state = protection(shop.vault(), engine, now=made.created_at + dt.timedelta(hours=27))
    assert state.rpo_seconds == 27 * 3600 - 60
    assert [one.what for one in absences(state)] == ["backup_missing"]
    assert "27 hours" in absences(state)[0].reason
    state = protection(shop.vault(), engine, now=made.created_at + dt.timedelta(days=8))
    assert [one.what for one in absences(state)] == ["backup_missing", "drill_missing"]


def test_what_is_hidden_since_the_backup_would_be_lost(shop: BackupShop) -> None:
    """A rule of the shop is a change that stands in no backup until the next one."""
    shop.back_up()
    engine = shop.home.ledger.engine
    for event in (Event.ITEM_HIDDEN, Event.ITEM_SHOWN):
        assert protection(shop.vault(), engine, now=shop.now).rpo_seconds == 0
        with recording(engine) as connection:
            append(connection, event, at=shop.now, value="PID")
        assert protection(shop.vault(), engine, now=shop.now).rpo_seconds == 60
        shop.back_up()


def test_what_was_never_done_is_overdue_once_there_was_time_for_it(shop: BackupShop) -> None:
    """A home of an hour lacks nothing yet; one of 27 hours lacks a backup, and no server is started to tell so."""
    settings, engine = Settings(home=shop.settings.home), shop.home.ledger.engine
    for hours, missing in ((0, []), (27, ["backup_missing"]), (200, ["backup_missing", "drill_missing"])):
        now = shop.now + dt.timedelta(hours=hours)
        found = look(settings, engine, now=now)
        assert [one.what for one in absences(found)] == missing
        assert may_be_overdue(engine, now=now) == bool(missing)
        assert found.rpo_seconds == found.home_seconds
    assert not (settings.home / "s3").exists()
    empty = BackupShop(shop.folder / "empty", shop.client, shop.server)
    assert absences(look(empty.settings, empty.home.ledger.engine, now=shop.now)) == []


def test_the_status_screen_tells_of_the_last_backup_and_drill(
    shop: BackupShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Age, size, result, RPO and RTO stand there; a store that is away takes only these lines with it."""
    for name, value in {
        "RECO_HOME": str(shop.settings.home),
        "RECO_NAMESPACE": shop.namespace,
        "RECO_REDIS_URL": f"redis://127.0.0.1:{port_of(shop.client)}/0",
        "RECO_S3_BUCKET": shop.server.bucket,
        "RECO_S3_ENDPOINT_URL": shop.server.url,
        "RECO_BACKUP_IDENTITY": str(IDENTITY),
    }.items():
        monkeypatch.setenv(name, value)
    made = shop.back_up().manifest
    shop.give("tuesday", {"9": ["Kit"]})
    figures = {"rto_seconds": 1.5}
    shop.vault().mark_checked(Checked(made.backup_id, "drill", dt.datetime.now(dt.UTC), True, figures=figures))
    told = json.loads(CliRunner().invoke(app, ["status", "--json"]).stdout)["backups"]
    assert (told["last_good"], told["size_bytes"], told["rto_seconds"]) == (made.backup_id, made.size_bytes, 1.5)
    assert told["age_seconds"] > 0
    assert told["rpo_seconds"] > 0
    assert told["last_drill"]["passed"]
    assert told["overdue"] == []
    screen = " ".join(CliRunner().invoke(app, ["status"]).stdout.split())
    assert made.backup_id in screen
    assert "passed, restored in 1.5 s (RTO)" in screen
    assert "(RPO)" in screen
    monkeypatch.setenv("RECO_S3_BUCKET", "nowhere")
    done = CliRunner().invoke(app, ["status", "--json"])
    assert done.exit_code == 0
    assert "nowhere" in json.loads(done.stdout)["backups"]["problem"]


def test_a_check_reads_all_of_it_in_parts(shop: BackupShop) -> None:
    """So many parts in turn read every object once, and each finds its own damage and what is missing at all."""
    vault, manifest = shop.vault(), shop.back_up().manifest
    read = 0
    for _ in range(3):
        part = next_part(vault.checks(), 3)
        found = verify(vault, manifest, shop.settings.home, part=part, now=shop.now)
        assert found.passed
        read += found.bytes_read
    assert read == sum({one.object: one.object_bytes for one in manifest.entries}.values())
    entry = manifest.entry("sql.jsonl")
    key = vault.object_key(entry.object)
    data = vault.store.get_bytes(key)
    vault.store.put_bytes(data[:-1] + bytes([data[-1] ^ 1]), key)
    found = verify(vault, manifest, shop.settings.home, part=(1, 1), now=shop.now)
    assert [one.split(":")[0] for one in found.problems] == ["sql.jsonl"]
    vault.store.remove(key)
    found = verify(vault, manifest, shop.settings.home, part=(1, 1), now=shop.now)
    assert "is missing" in found.problems[0]
    assert not vault.checks()[-1].passed


def test_a_backup_is_copied_and_checked_there(shop: BackupShop, server: S3Server) -> None:
    """What the second bucket lacks is copied, manifest last; no altered object is, but every later backup."""
    second = Vault(ObjectStore("replica", server.url, patience=QUICK), shop.settings.namespace, KEYS)
    second.store.make_bucket()
    first = shop.back_up().manifest
    done = replicate(shop.vault(), second, shop.settings.home, now=shop.now)
    assert done.backups == (first.backup_id,)
    assert done.objects == len({one.object for one in first.entries})
    assert done.lag_seconds == 60
    assert second.newest_good() == first
    assert replicate(shop.vault(), second, shop.settings.home, now=shop.now).objects == 0
    drill(second, shop.settings, first, now=shop.now)
    shop.give("tuesday", {"9": ["Kit"]})
    vault, third = shop.vault(), shop.back_up().manifest
    key = vault.object_key(third.entry("sql.jsonl").object)
    vault.store.put_bytes(b"other", key)
    shop.give("wednesday", {"9": ["Kit"]})
    fourth = shop.back_up().manifest
    with pytest.raises(BackupDamaged, match=f"1 of 2 backups .* {third.backup_id}"):
        replicate(vault, second, shop.settings.home, now=shop.now)
    state = protection(vault, None, now=shop.now, replica=second)
    assert state.replica_behind == 1
    assert second.ids() == [first.backup_id, fourth.backup_id], "a damaged one holds no newer one up"


def test_what_may_go_goes_manifest_first(shop: BackupShop) -> None:
    """First only the plan; then manifests go, objects that nobody names, and stones that are not needed."""
    vault = shop.vault()
    real, shop.minute = shop.minute, shop.minute - 40 * 24 * 60
    old = shop.back_up().manifest
    kept = shop.back_up().manifest
    vault.pin(kept.backup_id, now=shop.now, why="the books of the year")
    shop.minute = real
    shop.give("tuesday", {"9": ["Kit"]})
    shop.publish()
    new = shop.back_up().manifest
    vault.store.put_bytes(b"of a killed backup", vault.object_key("0" * 64))
    shown = prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC))
    assert shown.plan.remove == (old.backup_id,)
    assert len(vault.ids()) == 3
    vault.unpin(kept.backup_id)
    done = prune(vault, TIGHT, grace=dt.timedelta(0), now=dt.datetime.now(dt.UTC), dry_run=False)
    assert done.plan.remove == (old.backup_id, kept.backup_id)
    assert vault.ids() == [new.backup_id]
    assert {one.key.rpartition("/")[2] for one in vault.objects()} == {one.object for one in new.entries}
    assert verify(vault, new, shop.settings.home, part=(1, 1), now=shop.now).passed
    shop.back_up()
    prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert vault.removed() <= {old.backup_id, kept.backup_id}


def versions_of(vault: Vault, what: str) -> dict[str, int]:
    """The bytes of all versions, hidden ones too, by key."""
    found: dict[str, int] = {}
    for one in vault.store.versions(f"{vault.namespace}/{what}"):
        found[one.key] = found.get(one.key, 0) + one.size_bytes
    return found


def test_what_was_removed_is_freed_once_its_days_are_over(shop: BackupShop) -> None:
    """A versioned bucket keeps what retention removed for the days of the setting, and then the bytes are gone."""
    vault, real_now = shop.vault(), lambda: dt.datetime.now(dt.UTC)
    real, shop.minute = shop.minute, shop.minute - 40 * 24 * 60
    old = shop.back_up().manifest
    shop.minute = real
    shop.give("tuesday", {"9": ["Kit"]})
    shop.publish()
    new = shop.back_up().manifest
    before = versions_of(vault, "objects/")
    done = prune(vault, TIGHT, grace=dt.timedelta(0), now=real_now(), keep_versions=HOUR, dry_run=False)
    assert done.plan.remove == (old.backup_id,)
    assert (done.versions, done.version_bytes) == (0, 0)
    assert versions_of(vault, "objects/") == before
    shown = prune(vault, TIGHT, grace=HOUR, now=real_now(), keep_versions=dt.timedelta(0))
    assert versions_of(vault, "objects/") == before
    done = prune(vault, TIGHT, grace=HOUR, now=real_now(), keep_versions=dt.timedelta(0), dry_run=False)
    assert done.versions >= shown.versions > 0
    left = versions_of(vault, "objects/")
    assert sum(before.values()) - sum(left.values()) > sum(versions_of(vault, "lease.json").values())
    assert set(left) == {one.key for one in vault.objects()}
    assert vault.manifest_key(old.backup_id) not in versions_of(vault, "backups/")
    assert vault.removed() == {old.backup_id}  # while a manifest names it as its predecessor
    assert verify(vault, new, shop.settings.home, part=(1, 1), now=shop.now).passed


def test_no_version_that_undoes_a_mistake_is_freed(shop: BackupShop) -> None:
    """What somebody removed or replaced under a listed backup, or a manifest not removed by us, can be had again."""
    vault, real_now = shop.vault(), lambda: dt.datetime.now(dt.UTC)
    first, made = shop.back_up().manifest, shop.back_up().manifest
    gone, replaced = vault.object_key(made.entry("sql.jsonl").object), vault.object_key(made.entry("redis.resp").object)
    vault.store.remove(gone)
    vault.store.put_bytes(b"other bytes", replaced)
    vault.store.remove(vault.manifest_key(first.backup_id))
    shop.back_up()
    done = prune(vault, TIGHT, grace=HOUR, now=real_now(), keep_versions=dt.timedelta(0), dry_run=False)
    assert done.versions > 0
    sizes = {gone: made.entry("sql.jsonl").object_bytes, replaced: made.entry("redis.resp").object_bytes}
    for key, size_bytes in sizes.items():
        assert size_bytes in [one.size_bytes for one in vault.store.versions(key)], key
    assert vault.manifest_key(first.backup_id) in versions_of(vault, "backups/")
    marks = [one for one in vault.store.versions(gone) if one.is_mark]
    vault.store.remove_version(marks[0])  # and so it is undone
    assert vault.store.head(gone).size_bytes == sizes[gone]


def test_a_store_that_shows_no_versions_is_told(shop: BackupShop) -> None:
    """Without the right to list versions everything else is done, and why no room was freed is said."""
    shop.back_up()
    for said in (says(403, "AccessDenied"), says(501, "NotImplemented")):
        vault = shop.vault(Fault("list_object_versions", times=-1, before=said))
        done = prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
        assert "refuses" in done.versions_refused
    held = shop.vault(Fault("delete_object", times=-1, before=says(403, "AccessDenied")))
    done = prune(held, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), keep_versions=dt.timedelta(0), dry_run=False)
    assert any("lease.json (version" in one for one in done.locked)


def test_nothing_goes_on_a_wrong_clock_or_list(shop: BackupShop) -> None:
    """A clock that is off, or a manifest that vanished, stops it before anything is removed."""
    vault = shop.vault()
    first = shop.back_up().manifest
    shop.back_up()
    for off in (dt.timedelta(days=-1), dt.timedelta(days=366)):
        with pytest.raises(RetentionRefused, match="clock"):
            prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC) + off, dry_run=False)
    vault.store.remove(vault.manifest_key(first.backup_id))
    with pytest.raises(RetentionRefused, match="lacks 1"):
        prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)


def lists(keep: Callable[[str], bool]) -> Fault:
    """A store whose lists leave out what is not to be kept, as those do that are behind, or lost a page."""

    def spoil(answer: Any) -> Any:
        found = [one for one in answer.get("Contents", ()) if keep(one["Key"])]
        return answer | {"Contents": found, "IsTruncated": False}

    return Fault("list_objects_v2", times=-1, after=spoil)


def test_an_incomplete_list_costs_no_backup(shop: BackupShop) -> None:
    """Without the newest backup, without all of them, or without those it has seen: nothing is removed."""
    first = shop.back_up().manifest
    shop.give("tuesday", {"9": ["Kit"]})
    second = shop.back_up().manifest
    zero, before = dt.timedelta(0), {one.key for one in shop.vault().objects()}
    for gone in ({second.backup_id}, {first.backup_id}, {first.backup_id, second.backup_id}):
        vault = shop.vault(lists(lambda key, gone=gone: not any(one in key for one in gone)))  # type: ignore[misc]
        with pytest.raises(RetentionRefused, match="lacks"):
            prune(vault, TIGHT, grace=zero, now=dt.datetime.now(dt.UTC), keep_versions=zero, dry_run=False)
    assert {one.key for one in shop.vault().objects()} == before
    for manifest in (first, second):
        assert verify(shop.vault(), manifest, shop.settings.home, part=(1, 1), now=shop.now).passed


def test_objects_without_any_backup_are_left(shop: BackupShop) -> None:
    """A list of no backup at all is more likely wrong than a bucket of nothing but remains."""
    made = shop.back_up().manifest
    shop.vault().store.remove(f"{shop.namespace}/lease.json")  # which knows of the newest one
    zero, vault = dt.timedelta(0), shop.vault(lists(lambda key: "/backups/" not in key))
    done = prune(vault, TIGHT, grace=zero, now=dt.datetime.now(dt.UTC), keep_versions=zero, dry_run=False)
    assert (done.objects, done.plan.remove) == (0, ())
    assert verify(shop.vault(), made, shop.settings.home, part=(1, 1), now=shop.now).passed


def test_a_backup_of_a_time_to_come_is_put_right(shop: BackupShop) -> None:
    """Its date stops retention and hides that backups have stopped, until a person has the store's time count."""
    vault, engine = shop.vault(), shop.home.ledger.engine
    real, shop.minute = shop.minute, shop.minute + 3650 * 24 * 60
    wrong = shop.back_up().manifest
    shop.minute = real
    right = shop.back_up().manifest
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=30)
    with pytest.raises(RetentionRefused, match=wrong.backup_id) as caught:
        prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert f"reco backup redate {wrong.backup_id}" in caught.value.hint
    done = redate(vault, engine, wrong.backup_id, now=shop.now, why="the battery of the clock")
    assert done.said == wrong.created_at
    (mark,) = events(engine, event=Event.BACKUP_REDATED)
    assert mark.details["backup_id"] == wrong.backup_id
    assert mark.details["reason"] == "the battery of the clock"
    assert abs(done.at - dt.datetime.now(dt.UTC)) < HOUR
    found = prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert set(found.plan.keep) == {wrong.backup_id, right.backup_id}  # of the last days, by the store's time
    vault.store.remove(vault.manifest_key(right.backup_id))
    state = protection(vault, None, now=later)
    assert state.last_good == wrong
    assert "backup_missing" in [one.what for one in absences(state)]
    with pytest.raises(BackupNotFound):
        redate(vault, engine, right.backup_id, now=shop.now, why="it is gone")


def test_only_a_wrong_date_is_put_right(shop: BackupShop) -> None:
    """A backup whose date is that of the store keeps it, and the trail says nothing."""
    shop.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60)
    made = shop.back_up().manifest
    vault, engine = shop.vault(), shop.home.ledger.engine
    with pytest.raises(UsageError, match="was made when it says"):
        redate(vault, engine, made.backup_id, now=shop.now, why="none")
    assert vault.dates() == {}
    assert not events(engine, event=Event.BACKUP_REDATED)


def test_what_the_store_holds_fast_is_left_and_told(shop: BackupShop) -> None:
    """An object under lock is no failure: the rest goes on, and its name is given."""
    shop.back_up()
    stray = shop.vault().object_key("0" * 64)
    shop.vault().store.put_bytes(b"x", stray)
    locked = shop.vault(Fault("delete_object", times=-1, before=says(403, "AccessDenied")))
    done = prune(locked, TIGHT, grace=dt.timedelta(0), now=dt.datetime.now(dt.UTC), dry_run=False)
    assert stray in done.locked


def test_backup_and_prune_do_not_meet(shop: BackupShop) -> None:
    """A late writer's manifest is not made once another has taken its lease over."""
    vault = shop.vault()

    def take_over(_: object) -> None:
        lease = f"{vault.namespace}/lease.json"
        vault.store.put_bytes(b'{"owner": "another:1:x", "generation": 9, "what": "A prune"}', lease)

    with pytest.raises((Busy, ObjectExists)):
        shop.back_up(Fault("put_object", first=2, before=take_over))
    assert vault.ids() == []


def test_what_is_read_is_not_removed_meanwhile(shop: BackupShop) -> None:
    """A prune in the midst of a restore of an old backup leaves it; once it is read, the next prune removes it."""
    real, shop.minute = shop.minute, shop.minute - 40 * 24 * 60
    old = shop.back_up().manifest
    shop.minute = real
    shop.give("tuesday", {"9": ["Kit"]})
    shop.publish()
    shop.back_up()

    def clean(_: object = None) -> Pruned:
        zero = dt.timedelta(0)
        return prune(shop.vault(), TIGHT, grace=zero, now=dt.datetime.now(dt.UTC), keep_versions=zero, dry_run=False)

    kept: list[Pruned] = []
    vault = shop.vault(Fault("get_object", first=4, before=lambda _: kept.append(clean())))
    plan = make_plan(shop.vault(), shop.settings, backup_id=old.backup_id)
    assert restore(vault, shop.settings, plan, now=shop.now, force=True).answers_equal
    assert [one.plan.keep.get(old.backup_id) for one in kept] == [("somebody reads it",)]
    assert clean().plan.remove == (old.backup_id,)
    assert list(shop.vault().store.list(f"{shop.namespace}/holds/")) == []
    with pytest.raises(BackupNotFound):
        restore(shop.vault(), shop.settings, plan, now=shop.now, force=True)


def test_who_begins_to_read_while_a_manifest_goes_still_reads_all_of_it(shop: BackupShop) -> None:
    """The hold came after the plan: the backup goes, its objects wait for the next prune."""
    real, shop.minute = shop.minute, shop.minute - 40 * 24 * 60
    shop.give("tuesday", {"9": ["Kit"]})
    old = shop.back_up().manifest
    shop.minute = real
    shop.give("wednesday", {"9": ["Kit", "Lamp"]})
    shop.publish()
    shop.back_up()
    reader = shop.vault()

    def begin(_: object) -> None:
        reader.hold(old.backup_id, "reader", "A test")

    zero = dt.timedelta(0)
    vault = shop.vault(Fault("delete_object", before=begin))
    done = prune(vault, TIGHT, grace=zero, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert done.plan.remove == (old.backup_id,)
    for entry in old.entries:
        reader.fetch(entry, shop.folder / "read")
    reader.release(old.backup_id, "reader")
    assert prune(vault, TIGHT, grace=zero, now=dt.datetime.now(dt.UTC), dry_run=False).objects > 0


@pytest.mark.slow
def test_a_reader_that_was_killed_holds_nothing_up(shop: BackupShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mark counts for an hour by the store's clock; then a prune takes it away."""
    vault, made = shop.vault(), shop.back_up().manifest
    vault.hold(made.backup_id, "killed", "A restore")
    assert vault.held() == {made.backup_id}
    monkeypatch.setattr("reco.backup.vault.HOLD_SECONDS", 0)
    assert vault.held() == frozenset()
    prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert list(vault.store.list(f"{shop.namespace}/holds/")) == []


@pytest.mark.slow
def test_who_may_only_read_restores_without_a_mark(shop: BackupShop) -> None:
    """Credentials that may not write bring a backup back all the same, and the log says what is missing."""
    made = shop.back_up().manifest
    vault = shop.vault(Fault("put_object", times=-1, before=says(403, "AccessDenied")))
    with capture_logs() as logs:
        restore(vault, shop.settings, make_plan(vault, shop.settings), now=shop.now, force=True)
    assert [one["backup_id"] for one in logs if one["event"] == "backup_not_held"] == [made.backup_id]


def test_what_is_said_of_a_backup_goes_with_it(shop: BackupShop) -> None:
    """Its checks, its pin and its date; drills stay for a year, and the last one that passed for ever."""
    vault, real = shop.vault(), shop.minute
    shop.minute -= 900 * 24 * 60
    old = shop.back_up().manifest
    for kind, passed in (("drill", False), ("verify", True), ("drill", True)):
        vault.mark_checked(Checked(old.backup_id, kind, shop.now, passed=passed))  # type: ignore[arg-type]
    vault.mark_dated(old.backup_id, old.created_at, now=shop.now)
    shop.minute = real
    proven = shop.back_up().manifest
    vault.mark_checked(Checked(proven.backup_id, "drill", shop.now - 400 * 24 * HOUR, passed=False))
    vault.mark_checked(Checked(proven.backup_id, "verify", shop.now, passed=True))
    last = shop.back_up().manifest
    vault.mark_checked(Checked(last.backup_id, "verify", shop.now, passed=True))
    done = prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert done.plan.remove == (old.backup_id,)
    left = [(one.backup_id, one.kind, one.passed) for one in vault.checks()]
    assert left[0] == (old.backup_id, "drill", True), "the last drill that passed"
    assert {one[0] for one in left[1:]} == {proven.backup_id, last.backup_id}, "of a backup that is there all stay"
    assert vault.dates() == {}
    vault.mark_checked(Checked(last.backup_id, "drill", shop.now, passed=True))
    prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert old.backup_id not in {one.backup_id for one in vault.checks()}


def test_damage_is_known_for_as_long_as_a_backup_names_it(shop: BackupShop) -> None:
    """Also when the backup that was checked is gone; once it reads right in another one the finding goes too."""
    vault, home, real = shop.vault(), shop.settings.home, shop.minute
    shop.minute -= 40 * 24 * 60
    checked = shop.back_up().manifest
    shop.minute = real
    shop.give("tuesday", {"9": ["Kit"]})
    neighbour = shop.back_up().manifest
    shared = next(one for one in checked.entries if one in neighbour.entries and one.name.startswith("lake/"))
    key = vault.object_key(shared.object)
    whole = vault.store.get_bytes(key)
    vault.store.put_bytes(b"other", key)
    alone = checked.entry("sql.jsonl").object
    assert alone not in {one.object for one in neighbour.entries}
    vault.store.put_bytes(b"other", vault.object_key(alone))
    assert not verify(vault, checked, home, part=(1, 1), now=shop.now).passed
    later = shop.back_up().manifest

    def bad() -> frozenset[str]:
        return vault.standing(vault.list()).backups

    assert bad() == {checked.backup_id, neighbour.backup_id}
    assert prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False).plan.remove == (
        checked.backup_id,
    )
    assert vault.standing(vault.list()).objects == {shared.object}, "what no backup names is said of nobody"
    shop.back_up()
    prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert bad() == {neighbour.backup_id}
    assert later.backup_id not in bad()
    vault.store.put_bytes(whole, key)
    assert verify(vault, neighbour, home, part=(1, 1), now=shop.now).passed
    prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), dry_run=False)
    assert [one.backup_id for one in vault.checks()] == [neighbour.backup_id]


def test_the_removal_of_the_newest_one_stops_no_later_one(shop: BackupShop) -> None:
    """A newest backup that a drill found bad goes like others; that it was removed on purpose stays known."""
    vault, zero = shop.vault(), dt.timedelta(0)
    shop.minute -= 40 * 24 * 60
    good, newest = shop.back_up().manifest, shop.back_up().manifest
    vault.mark_checked(Checked(newest.backup_id, "drill", shop.now, passed=False))
    gone = [
        prune(vault, TIGHT, grace=HOUR, now=dt.datetime.now(dt.UTC), keep_versions=zero, dry_run=False).plan.remove
        for _ in range(4)
    ]
    assert gone == [(newest.backup_id,), (), (), ()]
    assert vault.ids() == [good.backup_id]
