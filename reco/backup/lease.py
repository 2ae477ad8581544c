"""The lease of backups: at most one process writes to or removes from the backups of a namespace.

Belongs here: taking, renewing and giving back, by conditional writes. Does not belong here: what is done under it.

The lease is one object. Whoever makes it, or replaces the version it has seen, holds it. How old it is, is told by the
store's clock alone, so that no clock of ours can end another's lease. Each taking raises the generation; every renewal
replaces the version that was seen last, so a holder that slept through its time learns that it lost. Therefore the
lease of a process of this machine that is no more can be taken at once: were that a mistake, its holder would stop.
"""

import json
import os
import secrets
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from reco.errors import Busy, ObjectExists, ObjectNotFound, RecoError
from reco.storage.objects import ObjectStore

TTL_SECONDS = 900.0
"""Longer than the pause between two renewals, which one object of many gigabytes on a slow line can make long."""

_NOTHING: dict[str, Any] = {"owner": "", "what": "Another process", "generation": 0, "newest": ""}


@dataclass
class BackupLease:
    """A lease held by this process. Use as a context manager.

    newest: the newest backup that a holder said it made: kept in the lease, so that a list without it is known to lack
    something.
    """

    store: ObjectStore
    namespace: str
    what: str
    ttl_seconds: float = TTL_SECONDS
    generation: int = 0
    newest: str = ""

    def __post_init__(self) -> None:
        self._key = f"{self.namespace}/lease.json"
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._etag = ""
        self._renewed_at = 0.0

    def __enter__(self) -> Self:
        """Takes the lease.

        Raises:
            Busy: another process holds it.
        """
        try:
            seen = self.store.head(self._key)
            held = self._held()
        except ObjectNotFound:
            seen, held = None, _NOTHING
        age = (seen.now - seen.modified_at).total_seconds() if seen else 0.0
        if seen and held["owner"] and age < self.ttl_seconds and not _is_dead(held["owner"]):
            raise Busy(
                f"{held['what']} is at work on these backups ({held['owner']}, {age:.0f} s ago).",
                hint=f"Wait for it; the lease of a killed one ends {self.ttl_seconds:.0f} s after its last sign.",
                owner=held["owner"],
            )
        self.generation = held["generation"] + 1
        self.newest = held["newest"]
        try:
            self._write(self._owner, seen.etag if seen else None)
        except ObjectExists as error:
            raise self._lost() from error
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the lease back, if it is still ours and the store still there; else it ends by itself."""
        with suppress(RecoError):
            self._write("", self._etag)

    def keep(self) -> None:
        """Renews the lease when a tenth of its time has passed. To be called often.

        Raises:
            Busy: another process has taken over.
        """
        if time.monotonic() - self._renewed_at >= self.ttl_seconds / 10:
            self.renew()

    def renew(self) -> None:
        """Renews the lease now. Raises Busy when another process has taken over."""
        try:
            self._write(self._owner, self._etag)
        except ObjectExists as error:
            raise self._lost() from error

    def _write(self, owner: str, over: str | None) -> None:
        started = time.monotonic()
        values = {"owner": owner, "what": self.what, "generation": self.generation, "beat": secrets.token_hex(4)}
        values |= {"newest": self.newest}
        self._etag = self.store.put_bytes(json.dumps(values).encode(), self._key, only_new=over is None, only_over=over)
        self._renewed_at = started

    def _held(self) -> dict[str, Any]:
        try:
            found = json.loads(self.store.get_bytes(self._key))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):  # whatever wrote it, its time counts and its generation is lost
            return _NOTHING | {"owner": "unknown"}
        generation = found.get("generation")
        texts = {name: str(found.get(name) or _NOTHING[name]) for name in ("owner", "what", "newest")}
        return {"generation": generation if isinstance(generation, int) else 0, **texts}

    def _lost(self) -> Busy:
        return Busy(
            f"{self.what} lost its lease on the backups of {self.namespace} to another process; it stopped.",
            hint="Wait for the other one to end, then look at `reco backup list`.",
        )


def _is_dead(owner: str) -> bool:
    """Whether the owner was a process of this machine that has ended."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return False
