"""The lease of publishing: at most one process of a namespace changes snapshots at a time.

Belongs here: taking, renewing, fencing and giving back. Does not belong here: what is done under it.

A lease ends by itself (TTL), so a killed holder blocks nobody for long. A holder that was paused past its end may still
believe in it; therefore each taking raises a *generation*, and every step that deletes or switches checks, inside the
server and in one step with the change, that lease and generation are still its own.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Self

import redis

from reco.errors import Busy
from reco.snapshot.keys import Keys
from reco.snapshot.wire import batches, call

# Each script may be sent twice when an answer was lost: the second time finds its own token and agrees.
_ACQUIRE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return tonumber(redis.call('GET', KEYS[2]))
end
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return redis.call('INCR', KEYS[2])
end
return 0
"""
# An expired lease may be taken up again as long as nobody else had it in between.
_RENEW = """
local holder = redis.call('GET', KEYS[1])
if redis.call('GET', KEYS[2]) ~= ARGV[2] or (holder and holder ~= ARGV[1]) then return 0 end
if holder then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
end
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
_UNLINK = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end
local n = 0
for i = 3, #KEYS do n = n + redis.call('UNLINK', KEYS[i]) end
return n
"""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """How long a lease lasts without renewal, and how long and how often one waits for another's.

    The wait is longer than the TTL, so that a publish killed just before does not fail the next one.
    """

    ttl_seconds: float = 30.0
    wait_seconds: float = 45.0
    poll_seconds: float = 0.2
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)


class Lease:
    """A lease held by this process. Use as a context manager."""

    def __init__(self, client: redis.Redis, keys: Keys, policy: LeasePolicy | None = None) -> None:
        self._client = client
        self._keys = keys
        self._policy = policy or LeasePolicy()
        self._renewed_at = 0.0
        self.token = secrets.token_hex(16).encode()
        self.generation = 0

    def __enter__(self) -> Self:
        """Takes the lease, waiting for another holder.

        Raises:
            Busy: another holder kept it for the whole wait.
        """
        deadline = time.monotonic() + self._policy.wait_seconds
        while not self._acquire():
            if time.monotonic() >= deadline:
                raise Busy(
                    f"Another publish of {self._keys.namespace} is at work and did not end within "
                    f"{self._policy.wait_seconds:g} s.",
                    hint="Try again when it has ended; the lease of a killed publish ends by itself.",
                    namespace=self._keys.namespace,
                )
            self._policy.sleep(self._policy.poll_seconds)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the lease back, if it is still ours and the server still there; else it ends by its TTL."""
        try:
            self._script(_RELEASE, [self._keys.lease], self.token)
        except redis.RedisError:
            return

    def keep(self) -> None:
        """Renews the lease when a third of its time has passed. To be called often.

        Raises:
            Busy: another publish has taken over.
        """
        if time.monotonic() - self._renewed_at < self._policy.ttl_seconds / 3:
            return
        self.renew()

    def renew(self) -> None:
        """Renews the lease now. Raises Busy when another publish has taken over."""
        started = time.monotonic()
        if not self._script(_RENEW, self._pair(), self.token, self.generation, self._ttl()):
            raise lost(self._keys)
        self._renewed_at = started

    def unlink(self, keys: Iterable[bytes]) -> int:
        """Deletes keys, as long as the lease is ours; returns how many were there.

        Raises:
            Busy: another publish has taken over; the rest is left to it.
        """
        removed = 0
        for batch in batches(keys):
            self.keep()
            count = self._unlink(batch)
            if count < 0:  # ended by its TTL: renewing tells whether somebody else has had it since
                self.renew()
                count = self._unlink(batch)
            if count < 0:
                raise lost(self._keys)
            removed += count
        return removed

    def _acquire(self) -> bool:
        started = time.monotonic()
        self.generation = self._script(_ACQUIRE, self._pair(), self.token, self._ttl())
        self._renewed_at = started
        return self.generation > 0

    def _unlink(self, batch: list[bytes]) -> int:
        return self._script(_UNLINK, [*self._pair(), *batch], self.token, self.generation)

    def _pair(self) -> list[bytes]:
        return [self._keys.lease, self._keys.generation]

    def _ttl(self) -> int:
        return int(self._policy.ttl_seconds * 1000)

    def _script(self, script: str, keys: list[bytes], *arguments: bytes | int) -> int:
        return int(call(self._client, "EVAL", script, len(keys), *keys, *arguments))


def lost(keys: Keys) -> Busy:
    """The error of a holder that was too slow."""
    return Busy(
        f"This publish of {keys.namespace} lost its lease to another one; nothing was switched.",
        hint="Wait for the other publish, then run again if its data is not the newest.",
        namespace=keys.namespace,
    )
