"""Holds: a backup that somebody reads is not removed under him.

Belongs here: putting, renewing and taking away the mark of a reader. Does not belong here: heeding it
(`reco.backup.prune`).

A reader puts its mark first and then looks whether the backup is still there; a prune removes manifests first, and then
looks for marks once more before it removes an object. Whoever is first, no reader loses an object. A mark counts for
`TTL_SECONDS` by the store's clock, so a killed reader holds nothing up for long. Whoever may only read the bucket
reads without a mark, and is told.
"""

import os
import secrets
import socket
import time
from typing import Self

import structlog

from reco.backup.vault import HOLD_SECONDS, Vault
from reco.errors import ObjectStoreRefused, RecoError

log = structlog.get_logger(__name__)


class Hold:
    """A backup that this process reads. Use as a context manager."""

    def __init__(self, vault: Vault, backup_id: str, what: str) -> None:
        self._vault = vault
        self._backup_id = backup_id
        self._what = what
        self._reader = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._put_at: float | None = None

    def __enter__(self) -> Self:
        """Puts the mark, then looks whether there is anything to hold.

        Raises:
            BackupNotFound: the backup was removed meanwhile.
            BackupDamaged: its manifest is not ours.
        """
        self._put()
        self._vault.read(self._backup_id)
        return self

    def __exit__(self, *_: object) -> None:
        """Takes the mark away; where the store is gone it ends by itself."""
        if self._put_at is not None:
            try:
                self._vault.release(self._backup_id, self._reader)
            except RecoError as error:
                log.info("backup_hold_left", backup_id=self._backup_id, reason=error.message)

    def keep(self) -> None:
        """Renews the mark when a tenth of its time has passed. To be called often."""
        if self._put_at is not None and time.monotonic() - self._put_at >= HOLD_SECONDS / 10:
            self._put()

    def _put(self) -> None:
        started = time.monotonic()
        try:
            self._vault.hold(self._backup_id, self._reader, self._what)
            self._put_at = started
        except ObjectStoreRefused as error:
            self._put_at = None
            log.warning("backup_not_held", backup_id=self._backup_id, reason=error.message)
