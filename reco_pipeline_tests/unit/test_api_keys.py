"""Promises of API keys without the service: their form, what is kept of them, and who they let in."""

import datetime as dt
import re
from types import SimpleNamespace

import pytest
import sqlalchemy as sa

from reco.api.keybook import KeyBook, open_book
from reco.api.keyring import Caller, KeyRing, Refusal, open_ring
from reco.api.keys import _checksum, new_key, read_key
from reco.api.metrics import Metrics
from reco.api.peppers import load_peppers
from reco.api.serve import require_closed
from reco.audit.trail import Event, events
from reco.errors import ConfigError, KeyNotFound, UsageError
from reco.settings import load_settings
from reco.storage.sql import api_keys, open_database

NOW = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
PEPPER = "one:" + "a" * 32
NEWER = "two:" + "b" * 32


@pytest.fixture
def engine(tmp_path):
    return open_database(f"sqlite:///{tmp_path / 'reco.sqlite'}")


@pytest.fixture
def clock():
    return SimpleNamespace(at=NOW)


def peppers(text, tmp_path):
    return load_peppers(load_settings(home=tmp_path, api_peppers=text))


@pytest.fixture
def book(engine, tmp_path):
    return KeyBook(engine, peppers(PEPPER, tmp_path), tmp_path / "closed")


@pytest.fixture
def ring(book, clock):
    return KeyRing(book, Metrics(), may_be_open=True, now=lambda: clock.at)


def made(book, *scopes, **values):
    return book.create("storefront", scopes or ("read",), now=NOW, actor="anna", **values)


# ---------------------------------------------------------------------------------------------------------------- texts


def test_a_key_reads_back_and_any_slip_of_the_pen_is_no_key():
    """Its form is fixed, and the checksum tells every single changed, lost or doubled character."""
    key = new_key()
    assert re.fullmatch(r"reco_[a-z0-9]{12}_[A-Za-z0-9]{49}", key.text)
    assert read_key(key.text) == key
    for at in range(len(key.text)):
        for wrong in ("x", "X", "é", "", key.text[at] * 2):
            changed = key.text[:at] + wrong + key.text[at + 1 :]
            assert changed == key.text or read_key(changed) is None
    assert read_key(key.text + "\n") is None


def test_no_two_keys_are_equal_and_none_shows_in_its_representation():
    """Ids and secrets are random, and a key that lands in a log by accident is not readable there."""
    keys = [new_key() for _ in range(200)]
    assert len({one.key_id for one in keys}) == len({one.text for one in keys}) == 200
    assert keys[0].text not in repr(keys[0])


# ----------------------------------------------------------------------------------------------------------------- book


def test_only_the_hmac_of_a_key_is_kept(book, engine):
    """Neither the database nor the trail holds the key or its secret; the trail says who made what."""
    key = made(book, "read", "ops")
    with engine.connect() as connection:
        row = connection.execute(sa.select(api_keys)).one()
        dump = str(list(connection.connection.iterdump()))
    assert (row.scopes, row.pepper, row.created_by) == (["ops", "read"], "one", "anna")
    assert key.text.rpartition("_")[2][:43] not in dump
    (event,) = events(engine)
    assert (event.event, event.details["key_id"], event.details["actor"]) == (Event.KEY_CREATED, key.key_id, "anna")


@pytest.mark.parametrize("scopes", [[], ["root"], ["read", "READ"]])
def test_a_key_has_scopes_that_exist(book, scopes):
    """A key for nothing, or for a right that does not exist, is not made."""
    with pytest.raises(UsageError):
        book.create("x", scopes, now=NOW, actor="anna")
    assert book.rows() == []


def test_a_key_is_replaced_with_an_overlap(book, ring, clock):
    """Old and new key are both right until the overlap is over; then only the new one is."""
    old = made(book, "read", "events")
    new = book.replace(old.key_id, now=NOW, actor="anna", overlap=DAY)
    ring.load()
    assert ring.whose(old.text) == Caller(old.key_id, frozenset({"read", "events"}))
    assert ring.whose(new.text) == Caller(new.key_id, frozenset({"read", "events"}))
    assert next(one for one in book.rows() if one.key_id == new.key_id).replaces == old.key_id
    clock.at = NOW + DAY
    assert ring.whose(old.text) is Refusal.EXPIRED
    assert isinstance(ring.whose(new.text), Caller)


def test_replacing_never_prolongs_a_key_and_needs_an_active_one(book):
    """An overlap longer than the rest of a key's time leaves that time; an ended key has nothing to hand on."""
    old = made(book, expires_at=NOW + DAY)
    book.replace(old.key_id, now=NOW, actor="anna", overlap=DAY * 30)
    assert next(one for one in book.rows() if one.key_id == old.key_id).expires_at == NOW + DAY
    with pytest.raises(UsageError, match="expired"):
        book.replace(old.key_id, now=NOW + DAY * 2, actor="anna", overlap=DAY)
    with pytest.raises(KeyNotFound):
        book.replace("nothing", now=NOW, actor="anna", overlap=DAY)
    with pytest.raises(KeyNotFound):
        book.revoke("nothing", now=NOW, actor="anna")


def test_a_revoked_key_stays_in_the_book_and_is_refused(book, ring, engine):
    """Revoking is for good, is told once in the trail, and is noticed with the next reading."""
    key = made(book)
    ring.load()
    assert isinstance(ring.whose(key.text), Caller)
    assert book.revoke(key.key_id, now=NOW, actor="eve") is True
    assert book.revoke(key.key_id, now=NOW + DAY, actor="eve") is False
    ring.load()
    assert ring.whose(key.text) is Refusal.REVOKED
    assert [one.details["actor"] for one in events(engine, event=Event.KEY_REVOKED)] == ["eve"]


# ----------------------------------------------------------------------------------------------------------------- ring


def test_only_the_very_key_is_right(book, ring):
    """A key that was never made, another one's secret under a known id, and no key are refused."""
    key, other = made(book), new_key()
    ring.load()
    assert ring.whose(None) is Refusal.MISSING
    assert ring.whose("") is Refusal.INVALID
    assert ring.whose(other.text) is Refusal.INVALID
    assert ring.whose(other.text.replace(other.key_id, key.key_id)) is Refusal.INVALID
    assert isinstance(ring.whose(key.text), Caller)


def test_the_secret_decides_and_not_the_checksum(book, ring):
    """A well-formed key with a known id and another secret is wrong."""
    key = made(book)
    ring.load()
    body = f"reco_{key.key_id}_" + "x" * 43
    assert read_key(body + _checksum(body)) is not None
    assert ring.whose(body + _checksum(body)) is Refusal.INVALID


def test_a_key_moves_to_the_newest_pepper_when_it_is_used(book, engine, tmp_path, clock):
    """After one use under both peppers, the old pepper can go; without that, the key goes with it."""
    used, idle = made(book), made(book)
    both_book = KeyBook(engine, peppers(f"{NEWER},{PEPPER}", tmp_path), tmp_path / "closed")
    both = KeyRing(both_book, Metrics(), may_be_open=True, now=lambda: clock.at)
    both.load()
    assert isinstance(both.whose(used.text), Caller)
    both.load()
    new_book = KeyBook(engine, peppers(NEWER, tmp_path), tmp_path / "closed")
    alone = KeyRing(new_book, Metrics(), may_be_open=True, now=lambda: clock.at)
    alone.load()
    assert isinstance(alone.whose(used.text), Caller)
    assert alone.whose(idle.text) is Refusal.INVALID
    assert alone.usable == 1


def test_the_last_use_is_kept_to_the_minute(book, ring, clock):
    """It is written with the next reading, and not again within the minute."""
    key = made(book)
    ring.load()
    ring.whose(key.text)
    ring.load()
    assert book.rows()[0].last_used_at == NOW.replace(second=0)
    ring.whose(key.text)
    assert ring._uses == {}
    clock.at = NOW + DAY
    ring.whose(key.text)
    ring.load()
    assert book.rows()[0].last_used_at == (NOW + DAY).replace(second=0)


def test_a_home_that_ever_had_a_key_never_opens_again(book, ring):
    """Open without a key; closed from the first one on, revoked or not."""
    ring.load()
    seen = [ring.open]
    key = made(book)
    ring.load()
    seen.append(ring.open)
    book.revoke(key.key_id, now=NOW, actor="anna")
    ring.load()
    assert [*seen, ring.open] == [True, False, False]


def test_keys_that_cannot_be_read_hold_and_are_said_to_be_stale(book, ring, clock):
    """The last reading goes on; after half a minute it is known to be old."""
    key = made(book)
    ring.load()
    clock.at += dt.timedelta(seconds=31)
    assert isinstance(ring.whose(key.text), Caller)
    assert ring.stale is True
    ring.load()
    assert ring.stale is False


# ------------------------------------------------------------------------------------------------- peppers and start-up


@pytest.mark.parametrize(
    "text", ["", " ", "short:abc", "no-colon-but-long-enough", f"{PEPPER},{PEPPER}", "a b:" + "c" * 20]
)
def test_peppers_that_are_not_right_stop_the_start(tmp_path, text):
    """Their setting is named, and what was written is not repeated."""
    with pytest.raises(ConfigError) as caught:
        peppers(text, tmp_path)
    assert caught.value.details["settings"] == ["RECO_API_PEPPERS"]
    assert "a" * 32 not in str(caught.value)


def test_the_pepper_of_a_home_is_made_once_and_only_its_owner_reads_it(tmp_path):
    """Two readings give one pepper."""
    settings = load_settings(home=tmp_path)
    assert load_peppers(settings) == load_peppers(settings)
    (file,) = (tmp_path / "keys").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


PRODUCTION = {"profile": "production", "redis_url": "redis://127.0.0.1:1/0"}


@pytest.mark.parametrize("values", [{"api_host": "10.0.0.1"}, {"api_host": "shop.example"}, PRODUCTION])
def test_nothing_but_the_loopback_starts_without_a_usable_key(tmp_path, values):
    """Another address, or production, needs a key that is active; the next step is told."""
    settings = load_settings(home=tmp_path, **values)
    book = open_book(settings)
    now = dt.datetime.now(dt.UTC)
    book.revoke(book.create("x", ["read"], now=now, actor="anna").key_id, now=now, actor="anna")
    with pytest.raises(ConfigError) as caught:
        require_closed(settings, open_ring(settings, Metrics()))
    assert "reco keys create" in caught.value.hint
    book.create("x", ["read"], now=now, actor="anna")
    ring = open_ring(settings, Metrics())
    require_closed(settings, ring)
    assert ring.open is False
