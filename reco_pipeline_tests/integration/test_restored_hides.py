"""Promises of a restore about what is hidden: a rule of today stays, since a recalled item must not come back."""

import datetime as dt
from typing import Any

import pytest
import redis

from reco.api.hidebook import HideBook
from reco.audit.chain import verify_chain
from reco.audit.trail import Event, events
from reco.backup import switch
from reco.backup.restore import Restored, make_plan, restore
from reco.settings import Settings
from reco.storage.sql import close_database, shared_database
from reco_pipeline_tests.backup_shop import NOON, BackupShop
from reco_pipeline_tests.servers import port_of

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]
LATER = NOON + dt.timedelta(days=1)


def book(settings: Settings) -> HideBook:
    return HideBook(shared_database(settings.sql_url), settings.namespace)


def hide(shop: BackupShop, value: str, **options: Any) -> int:
    """Hides an item; the number of its rule."""
    return book(shop.settings).add("item", value, author="anna", reason="recall", now=shop.now, **options).rule_id


def show(shop: BackupShop, rule_id: int) -> None:
    book(shop.settings).remove(rule_id, author="anna", now=shop.now)


def hidden(settings: Settings) -> list[str]:
    return sorted(one.value for one in book(settings).active(LATER))


def bring_back(shop: BackupShop, settings: Settings | None = None, **wanted: Any) -> Restored:
    vault, chosen = shop.vault(), settings or shop.settings
    done = restore(vault, chosen, make_plan(vault, chosen, **wanted), now=LATER, force=True)
    close_database(chosen.sql_url)
    return done


def test_what_was_hidden_since_the_backup_stays_hidden(shop: BackupShop) -> None:
    """Over the home it was hidden in; what was shown again stays shown, what has ended is over; the trail tells all."""
    shown, stays = hide(shop, "Lamp"), hide(shop, "Hose")
    at, backup = shop.now, shop.back_up().manifest
    hide(shop, "PID")
    hide(shop, "Kit", expires_at=NOON + dt.timedelta(hours=9))
    show(shop, shown)
    shop.give("tuesday", {"9": ["Kit"]})
    shop.back_up()
    hide(shop, "Reel")  # stands in no backup
    for wanted in ({"backup_id": backup.backup_id}, {"at": at}):
        done = bring_back(shop, **wanted)
        assert done.hides is not None
        assert (done.hides.kept, done.hides.ended, done.hides.unread) == (("PID", "Reel"), ("Lamp",), ())
        assert hidden(shop.settings) == ["Hose", "PID", "Reel"]
        assert stays in {one.rule_id for one in book(shop.settings).rows(now=LATER)}
        engine = shared_database(shop.settings.sql_url)
        assert verify_chain(engine).whole
        (mark,) = events(engine, event=Event.HOME_RESTORED, limit=1)
        assert (mark.details["hides_kept"], mark.details["hides_ended"]) == (["PID", "Reel"], ["Lamp"])
        for event, values in ((Event.ITEM_HIDDEN, ["PID", "Reel"]), (Event.ITEM_SHOWN, ["Lamp"])):
            told = [one.details for one in events(engine, event=event) if one.details["actor"] == "restore"]
            assert sorted(one["value"] for one in told) == values


def test_a_lost_machine_takes_the_rules_of_the_newest_backup(shop: BackupShop, other: redis.Redis) -> None:
    """Also where an older one is restored; a database that was made meanwhile and knows nothing ends nothing."""
    hide(shop, "Hose")
    old = shop.back_up().manifest
    hide(shop, "PID")
    shop.back_up()
    url = f"redis://127.0.0.1:{port_of(other)}/0"
    settings = Settings(home=shop.folder / "elsewhere", redis_url=url, namespace=shop.namespace)
    shared_database(settings.sql_url)
    done = bring_back(shop, settings, backup_id=old.backup_id)
    assert done.hides is not None
    assert done.hides.kept == ("PID",)
    assert hidden(settings) == ["Hose", "PID"]


@pytest.mark.slow
def test_rules_that_cannot_be_read_are_named(shop: BackupShop) -> None:
    """The database in use is broken and the newest backup too: what only they hide is not known, and that is said."""
    old = shop.back_up().manifest
    hide(shop, "PID")
    new = shop.back_up().manifest
    vault = shop.vault()
    vault.store.put_bytes(b"other", vault.object_key(new.entry("sql.jsonl").object))
    close_database(shop.settings.sql_url)
    for path in shop.settings.home.glob("reco.sqlite*"):
        path.unlink()
    (shop.settings.home / "reco.sqlite").write_bytes(b"no database")
    done = bring_back(shop, backup_id=old.backup_id)
    assert done.hides is not None
    assert hidden(shop.settings) == []
    assert [new.backup_id in one or str(shop.settings.home) in one for one in done.hides.unread] == [True, True]


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_a_restore_that_was_cut_short_still_knows_what_was_hidden(
    shop: BackupShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database in use is replaced by then: the journal has the rules of before."""
    old = shop.back_up().manifest
    hide(shop, "PID")

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(switch, "_load_others", die)
        with pytest.raises(Killed):
            bring_back(shop, backup_id=old.backup_id)
    close_database(shop.settings.sql_url)
    for path in shop.settings.home.glob("reco.sqlite*"):  # the worst line: moved aside, and nothing in its place
        path.rename(shop.folder / path.name)
    done = bring_back(shop, backup_id=old.backup_id)
    assert done.hides is not None
    assert done.hides.kept == ("PID",)
    assert hidden(shop.settings) == ["PID"]


@pytest.mark.slow
def test_a_number_that_is_taken_goes_to_nobody_else(shop: BackupShop) -> None:
    """Two homes went on from one backup and gave one number to two rules: both hold, under numbers of their own."""
    backup = shop.back_up().manifest
    first = hide(shop, "PID")
    shop.back_up()
    bring_back(shop, backup_id=backup.backup_id)
    assert hidden(shop.settings) == ["PID"]
    engine = shared_database(shop.settings.sql_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE item_rules SET value = 'Hose', created_at = '2026-03-04 11:00:00.000000'")
    bring_back(shop)
    found = {one.value: one.rule_id for one in book(shop.settings).rows(now=LATER)}
    assert set(found) == {"PID", "Hose"}
    assert found["PID"] == first != found["Hose"]
