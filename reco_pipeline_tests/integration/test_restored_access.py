"""Promises of a restore about who may ask: it closes doors, and opens none."""

import datetime as dt
import json

import pytest
import redis
import sqlalchemy as sa

from reco.api.keybook import open_book
from reco.api.keyring import Caller, KeyRing, Refusal
from reco.api.metrics import Metrics
from reco.api.serve import require_closed
from reco.audit.chain import verify_chain
from reco.audit.trail import Event, events
from reco.backup import switch
from reco.backup.manifest import SQL
from reco.backup.restore import Restored, make_plan, restore
from reco.errors import BackupError, ConfigError, KeyNotFound, UsageError
from reco.orders.home import open_home
from reco.settings import Settings
from reco.storage.homelock import RESTORING
from reco.storage.sql import api_keys, close_database, shared_database
from reco_pipeline_tests.backup_shop import NOON, BackupShop
from reco_pipeline_tests.servers import port_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]
LATER = NOON + dt.timedelta(days=1)


def made(shop: BackupShop, name: str = "storefront", **values: dt.datetime) -> tuple[str, str]:
    """The id and the text of a new key."""
    key = open_book(shop.settings).create(name, ["read"], now=shop.now, actor="anna", **values)
    return key.key_id, key.text


def ring_of(settings: Settings) -> KeyRing:
    """The keys as a service has them that starts a day after the restore."""
    ring = KeyRing(open_book(settings), Metrics(), may_be_open=True, now=lambda: LATER + dt.timedelta(days=1))
    ring.load()
    return ring


def bring_back(
    shop: BackupShop, settings: Settings | None = None, *, backup_id: str | None = None, at: dt.datetime | None = None
) -> Restored:
    vault, chosen = shop.vault(), settings or shop.settings
    done = restore(vault, chosen, make_plan(vault, chosen, backup_id=backup_id, at=at), now=LATER, force=True)
    close_database(chosen.sql_url)
    return done


def elsewhere(shop: BackupShop, other: redis.Redis, home: str = "elsewhere") -> Settings:
    """An empty machine for the same namespace."""
    url = f"redis://127.0.0.1:{port_of(other)}/0"
    return Settings(home=shop.folder / home, redis_url=url, namespace=shop.settings.namespace)


def test_a_revoked_key_does_not_come_back_to_life(shop: BackupShop) -> None:
    """Over the home it was revoked in: revoked stays revoked, the others go on, and so do those made since."""
    gone, gone_text = made(shop)
    kept, kept_text = made(shop)
    backup = shop.back_up().manifest
    open_book(shop.settings).revoke(gone, now=shop.now, actor="anna")
    new, new_text = made(shop)
    done = bring_back(shop, backup_id=backup.backup_id)
    assert done.api_keys is not None
    assert (done.api_keys.ended, done.api_keys.suspended) == ((gone,), ())
    assert done.api_keys.going_on == tuple(sorted([kept, new]))
    ring = ring_of(shop.settings)
    assert ring.whose(gone_text) is Refusal.REVOKED
    assert isinstance(ring.whose(kept_text), Caller)
    assert isinstance(ring.whose(new_text), Caller)
    engine = shared_database(shop.settings.sql_url)
    (mark,) = events(engine, event=Event.HOME_RESTORED)
    assert mark.details["keys_ended"] == [gone]
    assert verify_chain(engine).whole


def test_the_end_of_a_replaced_key_stays(shop: BackupShop) -> None:
    """A key that was given an end since has it after the restore, although it had none in the backup."""
    old, old_text = made(shop)
    backup = shop.back_up().manifest
    new = open_book(shop.settings).replace(old, now=shop.now, actor="anna", overlap=dt.timedelta(hours=1))
    bring_back(shop, backup_id=backup.backup_id)
    ring = ring_of(shop.settings)
    assert ring.whose(old_text) is Refusal.EXPIRED
    assert isinstance(ring.whose(new.text), Caller)


def test_an_older_pepper_does_not_come_back(shop: BackupShop) -> None:
    """Keys that were shut out by taking their pepper away stay out, and those moved to the new one stay right."""
    _, idle_text = made(shop)
    _, used_text = made(shop)
    peppers = shop.settings.home / "keys" / "api.peppers"
    backup = shop.back_up().manifest
    peppers.write_text(f"new:{'b' * 32}\n{peppers.read_text()}")
    ring = ring_of(shop.settings)
    assert isinstance(ring.whose(used_text), Caller)
    ring.load()  # notes the use, and with it the new pepper
    peppers.write_text(f"new:{'b' * 32}\n")
    bring_back(shop, backup_id=backup.backup_id)
    ring = ring_of(shop.settings)
    assert ring.whose(idle_text) is Refusal.INVALID
    assert isinstance(ring.whose(used_text), Caller)


def test_on_an_empty_machine_keys_wait_to_be_confirmed(shop: BackupShop, other: redis.Redis) -> None:
    """What happened since the backup is not known there: no key holds until a person says so, and the API is closed."""
    first, first_text = made(shop)
    second, second_text = made(shop)
    ended, ended_text = made(shop)
    open_book(shop.settings).revoke(ended, now=shop.now, actor="anna")
    shop.back_up()
    settings = elsewhere(shop, other)
    done = bring_back(shop, settings)
    assert done.api_keys is not None
    assert done.api_keys.suspended == tuple(sorted([first, second]))
    ring = ring_of(settings)
    assert (ring.open, ring.usable, ring.suspended) == (False, 0, 2)
    assert ring.whose(first_text) is ring.whose(second_text) is Refusal.SUSPENDED
    assert ring.whose(ended_text) is Refusal.REVOKED
    with pytest.raises(ConfigError) as refused:
        require_closed(settings.model_copy(update={"profile": "production"}), ring)
    assert "reco keys confirm" in refused.value.hint
    book = open_book(settings)
    with pytest.raises(UsageError, match=ended):
        book.confirm([first, ended], now=LATER, actor="eve")
    with pytest.raises(KeyNotFound):
        book.confirm(["nothing"], now=LATER, actor="eve")
    assert book.confirm([first], now=LATER, actor="eve") == (first,)
    assert book.confirm([first], now=LATER, actor="eve") == ()
    ring.load()
    assert isinstance(ring.whose(first_text), Caller)
    assert ring.whose(second_text) is Refusal.SUSPENDED
    assert book.confirm(None, now=LATER, actor="eve") == (second,)
    told = events(shared_database(settings.sql_url), event=Event.KEY_CONFIRMED)
    assert [one.details["key_id"] for one in reversed(told)] == [first, second]


def test_the_newest_backup_tells_what_was_revoked_after_an_older_one(shop: BackupShop, other: redis.Redis) -> None:
    """On an empty machine too: revoked by the time of the newest backup is revoked, also in the state of a moment."""
    gone, gone_text = made(shop)
    older = shop.back_up().manifest
    moment = shop.now
    shop.give("tuesday", {"9": ["Kit", "Lamp"]})
    shop.publish()
    open_book(shop.settings).revoke(gone, now=shop.now, actor="anna")
    _, new_text = made(shop)
    shop.back_up()
    for number, wanted in enumerate(({"backup_id": older.backup_id}, {"at": moment})):
        settings = elsewhere(shop, other, home=f"elsewhere-{number}")
        done = bring_back(shop, settings, **wanted)  # type: ignore[arg-type] # one of two options
        assert done.api_keys is not None
        assert gone not in done.api_keys.suspended, wanted
        ring = ring_of(settings)
        assert ring.whose(gone_text) is Refusal.REVOKED, wanted
        assert ring.whose(new_text) is Refusal.SUSPENDED, wanted


def test_a_newest_backup_that_is_damaged_keeps_no_older_one_from_coming_back(
    shop: BackupShop, other: redis.Redis
) -> None:
    """Its keys are not known, which is told; all keys wait to be confirmed."""
    key, text = made(shop)
    older = shop.back_up().manifest
    made(shop)
    newest = shop.back_up().manifest
    vault = shop.vault()
    vault.store.put_bytes(b"damage", vault.object_key(newest.entry(SQL).object))
    settings = elsewhere(shop, other)
    done = bring_back(shop, settings, backup_id=older.backup_id)
    assert done.api_keys is not None
    assert [newest.backup_id in one for one in done.api_keys.unread] == [True]
    assert done.api_keys.suspended == (key,)
    assert ring_of(settings).whose(text) is Refusal.SUSPENDED


def test_a_backup_of_before_the_first_key_does_not_open_the_api(shop: BackupShop) -> None:
    """The key goes on where its database is there; where that is gone too, the home remembers that there was one."""
    before = shop.back_up().manifest
    assert ring_of(shop.settings).open is True
    _, text = made(shop)
    bring_back(shop, backup_id=before.backup_id)
    ring = ring_of(shop.settings)
    assert ring.open is False
    assert isinstance(ring.whose(text), Caller)
    close_database(shop.settings.sql_url)
    for path in shop.settings.home.glob("reco.sqlite*"):
        path.unlink()
    bring_back(shop, backup_id=before.backup_id)
    ring = ring_of(shop.settings)
    assert (ring.open, ring.usable, ring.whose(None)) == (False, 0, Refusal.MISSING)


def test_keys_of_a_home_that_cannot_be_read_are_not_trusted(shop: BackupShop) -> None:
    """A database that is damaged tells nothing: the keys of the backup wait, and that it could not be read is told."""
    key, text = made(shop)
    shop.back_up()
    close_database(shop.settings.sql_url)
    for path in shop.settings.home.glob("reco.sqlite-*"):
        path.unlink()
    (shop.settings.home / "reco.sqlite").write_bytes(b"not a database at all" * 100)
    done = bring_back(shop)
    assert done.api_keys is not None
    assert done.api_keys.suspended == (key,)
    assert str(shop.settings.home) in done.api_keys.unread[0]
    assert ring_of(shop.settings).whose(text) is Refusal.SUSPENDED


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("stage", ["close_database", "_put", "_load_others"])
def test_a_restore_that_was_cut_short_still_knows_the_keys_of_before(
    shop: BackupShop, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    """Whatever was replaced already: the next attempt goes by the keys there were before the first one."""
    gone, gone_text = made(shop)
    backup = shop.back_up().manifest
    open_book(shop.settings).revoke(gone, now=shop.now, actor="anna")
    _, new_text = made(shop)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(switch, stage, die)
        with pytest.raises(Killed):
            bring_back(shop, backup_id=backup.backup_id)
    journal = shop.settings.home / RESTORING
    assert journal.stat().st_mode & 0o777 == 0o600
    assert json.loads(journal.read_text())["command"] == f"reco backup restore --id {backup.backup_id} --force"
    with pytest.raises(BackupError, match="cut short") as refused:
        open_home(shop.settings)
    assert backup.backup_id in refused.value.hint
    close_database(shop.settings.sql_url)
    for path in shop.settings.home.glob("reco.sqlite*"):  # the worst line: moved aside, and nothing in its place
        path.rename(shop.folder / path.name)
    done = bring_back(shop, backup_id=backup.backup_id)
    assert done.api_keys is not None
    assert done.api_keys.suspended == ()
    ring = ring_of(shop.settings)
    assert ring.whose(gone_text) is Refusal.REVOKED
    assert isinstance(ring.whose(new_text), Caller)
    assert not journal.exists()


def test_a_journal_that_cannot_be_read_vouches_for_no_key(shop: BackupShop) -> None:
    """One of an older version, or cut off: every key waits, and the restore ends whole."""
    key, text = made(shop)
    shop.back_up()
    (shop.settings.home / RESTORING).write_text("{}")
    done = bring_back(shop)
    assert done.api_keys is not None
    assert done.api_keys.suspended == (key,)
    with shared_database(shop.settings.sql_url).connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).where(api_keys.c.suspended_at.is_not(None))) == 1
    assert ring_of(shop.settings).whose(text) is Refusal.SUSPENDED
