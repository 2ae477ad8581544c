"""Which backups know of everyone who was forgotten, by the trails that can be read.

Belongs here: these trails, and what they say of backups. Does not belong here: choosing one (`reco.backup.moments`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from reco.backup.books import present_book
from reco.backup.listed import Listed
from reco.backup.manifest import Manifest
from reco.backup.told import FORGETTING, head_of, trail_of
from reco.backup.vault import Vault
from reco.errors import BackupDamaged, DatabaseUnavailable
from reco.settings import Settings
from reco.storage.sql import audit_events

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Trail:
    """What counts of a trail: its events by hash, and the last one by which somebody was forgotten (0: none)."""

    heads: dict[str, int]
    last: int

    def allows(self, manifest: Manifest) -> bool:
        """Whether a backup knows of all who were forgotten in this trail: its own ends there or later."""
        return not self.last or self.heads.get(head_of(manifest), 0) >= self.last


@dataclass(frozen=True)
class Forgotten:
    """Which backups know of everyone who was forgotten.

    told: those that can be read and know of all of whom the newest one knows, in the order given; outdated: ids of
    those that lack somebody of whom the database in use knows; unread: ids of those whose trail cannot be read, while
    that of the database in use does not go on from theirs: who was forgotten by then is not known.
    """

    told: tuple[Manifest, ...]
    outdated: frozenset[str]
    unread: tuple[str, ...]


def find_forgotten(vault: Vault, settings: Settings, listed: Sequence[Listed], good: Sequence[Manifest]) -> Forgotten:
    """Reads the trail of the newest good backup in which it can be read, and that of the database in use.

    Args:
        vault: the backups.
        settings: the home to restore to, whose database is in use.
        listed: all backups.
        good: the good ones among them, in the order they were made; one at least.

    Raises:
        BackupKeyWrong, BackupDamaged: no trail can be read.
        ObjectStoreUnavailable: the store does not answer.
    """
    newest, trail, heads = _newest_trail(vault, good)
    told = [one for one in good if one.backup_id not in heads and trail.allows(one)]
    # The manifest that would tell where its trail ends cannot be read: then what followed the readable one must do.
    heads |= {one.backup_id: head_of(newest) for one in listed if one.manifest is None}
    present = _present_trail(settings)
    known = present.heads if present is not None else {}
    unread = [one for one, head in heads.items() if one > newest.backup_id and head not in known]
    outdated = {one.backup_id for one in good if present is not None and not present.allows(one)}
    return Forgotten(tuple(told), frozenset(outdated), tuple(sorted(unread)))


def _newest_trail(vault: Vault, good: Sequence[Manifest]) -> tuple[Manifest, _Trail, dict[str, str]]:
    """The newest backup whose trail can be read, and the heads of newer ones, by id: none must hold the others up."""
    unread: dict[str, str] = {}
    for one in reversed(good[1:]):
        try:
            return one, _of_backup(vault, one), unread
        except BackupDamaged as error:
            log.warning("backup_trail_unreadable", backup_id=one.backup_id, reason=error.message)
            unread[one.backup_id] = head_of(one)
    return good[0], _of_backup(vault, good[0]), unread


def _of_backup(vault: Vault, manifest: Manifest) -> _Trail:
    trail = trail_of(vault, manifest)
    last = max((one.id for one in trail if one.event in FORGETTING), default=0)
    return _Trail({one.hash: one.id for one in trail}, last)


def _present_trail(settings: Settings) -> _Trail | None:
    """That of the database in use; None where it cannot be read, as in the home that is to be replaced."""
    try:
        rows = present_book(settings, audit_events)
    except DatabaseUnavailable as error:
        log.warning("trail_in_use_unreadable", reason=error.message)
        rows = None
    if rows is None:
        return None
    names = {one.value for one in FORGETTING}
    last = max((int(row["id"]) for row in rows if row["event"] in names), default=0)
    return _Trail({str(row["hash"]): int(row["id"]) for row in rows}, last)
