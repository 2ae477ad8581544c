"""What is of today and survives a restore: who may ask, and what is hidden.

Belongs here: finding it before anything is replaced, and entering it into the restored database with its mark in the
trail. Does not belong here: what follows for each book (`api_keys`, `hides`).
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from reco.audit.trail import Event, append, recording
from reco.backup.api_keys import KeysSettled, KnownKeys, settle_keys
from reco.backup.books import Book, newest_dump, present_book, rows_in
from reco.backup.hides import HidesSettled, settle_hides
from reco.backup.journal import Journal, read_journal
from reco.backup.manifest import Manifest
from reco.backup.moments import Moment
from reco.backup.vault import Vault
from reco.settings import Settings
from reco.storage.sql import api_keys, item_rules, open_database


@dataclass(frozen=True)
class Today:
    """What is known of today beside the backup that is restored; None: it could not be read."""

    keys: KnownKeys
    hides: Book | None
    newest_hides: Book
    unread: tuple[str, ...]


def make_journal(settings: Settings, command: str, backup_id: str, now: dt.datetime) -> Journal:
    """What the next attempt needs, if this one is cut short: first of all what there was before the first one."""
    before = read_journal(settings.home)
    keys = before.api_keys if before is not None else present_book(settings, api_keys)
    hides = before.hides if before is not None else present_book(settings, item_rules)
    return Journal(command, backup_id, now.isoformat(), keys, hides)


def find_today(vault: Vault, settings: Settings, chosen: Manifest, journal: Journal, folder: Path) -> Today:
    """The books of the database in use, as the journal has them, and of the newest backup.

    Raises:
        BackupKeyWrong: the identity is missing or another one.
        ObjectStoreUnavailable: the store does not answer.
    """
    dump, damaged = newest_dump(vault, chosen, folder)

    def unread(what: str, present: Book | None) -> tuple[str, ...]:
        here = [f"the {what} of {settings.home} now"] if present is None else []
        return (*here, *(f"the {what} of backup {one}" for one in damaged))

    return Today(
        KnownKeys(journal.api_keys, rows_in(dump, api_keys), unread("keys", journal.api_keys)),
        journal.hides,
        rows_in(dump, item_rules),
        unread("rules on what is hidden", journal.hides),
    )


def enter_today(
    database: Path, today: Today, chosen: Manifest, moment: Moment | None, now: dt.datetime
) -> tuple[KeysSettled, HidesSettled]:
    """Settles keys and rules of a restored database and says in its trail what was done, before it is the trail."""
    engine = open_database(f"sqlite:///{database}")
    try:
        with recording(engine) as connection:
            keys = settle_keys(connection, today.keys, now)
            newest, unread = today.newest_hides, today.unread
            hides = settle_hides(connection, present=today.hides, newest=newest, unread=unread, now=now)
            append(
                connection,
                Event.HOME_RESTORED,
                at=now,
                backup_id=chosen.backup_id,
                as_of=(moment.at if moment else chosen.created_at).isoformat(),
                upto=moment.event_id if moment else None,
                keys_going_on=list(keys.going_on),
                keys_ended=list(keys.ended),
                keys_suspended=list(keys.suspended),
                hides_kept=list(hides.kept),
                hides_ended=list(hides.ended),
                unread=[*keys.unread, *hides.unread],
            )
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
    finally:
        engine.dispose()
    return keys, hides
