"""The Redis part of a backup: every key of a namespace as a stream of plain commands.

Belongs here: writing that stream, reading it back, loading it, and the digest that tells whether two Redis hold the
same. Does not belong here: what the keys mean, or when a pointer may be moved (`reco.backup.switch`).

The stream is RESP, the language of Redis itself, in the commands of Redis 7.0: any Redis or Valkey takes it, also
without us (`redis-cli --pipe`). RDB files are not: those of Valkey 9 do not load into Redis 7.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import redis

from reco.errors import BackupDamaged, BackupError
from reco.snapshot.keys import Keys
from reco.snapshot.wire import batches, run_all, scan

PARTS = 1000  # members a command
_WRITES = {b"SET": "string", b"HSET": "hash", b"RPUSH": "list", b"SADD": "set", b"ZADD": "zset"}
_ADDS = {kind: command for command, kind in _WRITES.items()}
_EXPIRE = b"PEXPIREAT"
_PAIRS = ("hash", "zset")

Command = list[bytes]


@dataclass
class RedisFacts:
    """What a namespace of Redis holds: keys, by type, how many with a TTL, and the digest over all of them.

    The digest is the sum of a sha256 a key over name, type, members in a fixed order and whether it ends by itself: the
    order of keys and members does not count. of_snapshots: versioned keys by the id of their snapshot, of a dump alone.
    """

    keys: int = 0
    types: Counter[str] = field(default_factory=Counter)
    with_ttl: int = 0
    total: int = 0
    of_snapshots: Counter[str] = field(default_factory=Counter)

    def add(self, key: "Key") -> None:
        """Counts a key in."""
        self.keys += 1
        self.types[key.kind] += 1
        self.with_ttl += key.expires_ms is not None
        self.total = (self.total + int.from_bytes(key.digest())) % (1 << 256)

    def as_dict(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {
            "keys": self.keys,
            "types": dict(sorted(self.types.items())),
            "with_ttl": self.with_ttl,
            "digest": f"{self.total:064x}",
        }


@dataclass(frozen=True)
class Key:
    """A key with its value: `parts` are the members as their commands give them; for pairs, one after the other."""

    name: bytes
    kind: str
    parts: list[bytes]
    expires_ms: int | None

    def digest(self) -> bytes:
        """One for the same content, whatever the order in which a server keeps it."""
        members: list[tuple[bytes, ...]] = [(part,) for part in self.parts]
        if self.kind in _PAIRS:
            members = sorted(zip(self.parts[::2], self.parts[1::2], strict=True))
        elif self.kind == "set":
            members.sort()
        digest = hashlib.sha256()
        for part in (self.name, self.kind.encode(), b"ends" if self.expires_ms is not None else b"", *sum(members, ())):
            digest.update(len(part).to_bytes(8))
            digest.update(part)
        return digest.digest()

    def over(self, now_ms: int) -> bool:
        """Whether its time has passed."""
        return self.expires_ms is not None and self.expires_ms <= now_ms

    def commands(self) -> Iterator[Command]:
        """What makes the key in a Redis that does not have it."""
        step = PARTS * 2 if self.kind in _PAIRS else PARTS
        for at in range(0, len(self.parts), step):
            yield [_ADDS[self.kind], self.name, *self.parts[at : at + step]]
        if self.expires_ms is not None:
            yield [_EXPIRE, self.name, b"%d" % self.expires_ms]


ABOUT_NOW = (b"limits:", b"rules:")
"""Begin the names of the counts of callers (`reco.api.limits`) and of the copy of the rules on what is hidden
(`reco.snapshot.hiding`), behind the namespace."""


def owned_names(client: redis.Redis, keys: Keys) -> list[bytes]:
    """The names of all keys of the namespace, sorted, but those that are about now, not about content.

    That is the lease of publishing, the counts of the API's callers, which come and go within a minute, and the rules
    on what is hidden, which every process of the API writes anew from the database.
    """
    prefix = f"{keys.namespace}:".encode()
    about_now = (keys.lease, keys.generation)
    found = sorted(
        name
        for name in scan(client, prefix + b"*")
        if name.startswith(prefix) and name not in about_now and not _is_about_now(name, prefix)
    )
    # A scan gives a name twice at times. A set of all of them would be the most memory that a backup takes.
    return [name for name, _ in groupby(found)]


def _is_about_now(name: bytes, prefix: bytes) -> bool:
    return name.startswith(tuple(prefix + one for one in ABOUT_NOW))


def read_keys(client: redis.Redis, names: Iterable[bytes]) -> Iterator[Key]:
    """The keys of these names, in their order. One that ended meanwhile is left out.

    Raises:
        BackupError: a key is of a type that a backup does not hold.
    """
    for batch in batches(names):
        heads = run_all(client, [command for name in batch for command in (("TYPE", name), ("PEXPIRETIME", name))])
        kinds = [_text(kind) for kind in heads[::2]]
        for name, kind in zip(batch, kinds, strict=True):
            if kind not in _ADDS and kind != "none":
                raise BackupError(
                    f"{name.decode('utf-8', 'replace')} is a {kind}, which a backup does not hold.",
                    hint="Remove the key, or keep it under another prefix than that of the namespace.",
                )
        found = run_all(client, [_ask(name, kind) for name, kind in zip(batch, kinds, strict=True)])
        for name, kind, ends, value in zip(batch, kinds, heads[1::2], found, strict=True):
            parts = _parts(kind, value)
            if kind != "none" and parts:
                yield Key(name, kind, parts, int(ends) if int(ends) >= 0 else None)


def dump(client: redis.Redis, keys: Keys, path: Path, tell: Callable[[int, int], None] | None = None) -> RedisFacts:
    """Writes every key of the namespace to a file; keys of drafts that were never published are left out."""
    from reco.snapshot.garbage import published_sids  # noqa: PLC0415 - only the dump asks for it

    published = set(published_sids(client, keys))
    names = [name for name in owned_names(client, keys) if (keys.sid_of(name) or None) in {None, *published}]
    facts = RedisFacts()
    with path.open("wb") as file:
        for number, key in enumerate(read_keys(client, names), 1):
            for command in key.commands():
                _write(file, command)
            facts.add(key)
            if (sid := keys.sid_of(key.name)) is not None:
                facts.of_snapshots[sid] += 1
            if tell and number % PARTS == 0:
                tell(number, len(names))
    return facts


def read_dump(path: Path, namespace: str) -> Iterator[Key]:
    """The keys of a dump.

    Raises:
        BackupDamaged: it is not what `dump` writes, or holds a key of another namespace.
    """
    prefix = f"{namespace}:".encode()
    with path.open("rb") as file:
        for name, commands in groupby(_commands(file), key=lambda command: command[1]):
            kind, parts, expires = "", list[bytes](), None
            for command in commands:
                if command[0] == _EXPIRE and kind:
                    expires = int(command[2])
                elif command[0] in _WRITES and kind in ("", _WRITES[command[0]]):
                    kind = _WRITES[command[0]]
                    parts += command[2:]
                else:
                    raise _unreadable(path)
            if not name.startswith(prefix):
                raise _unreadable(path)
            yield Key(name, kind, parts, expires)


def read_content(path: Path, namespace: str) -> Iterator[Key]:
    """The keys of a dump that are restored: earlier versions also dumped some that are about now (`owned_names`)."""
    prefix = f"{namespace}:".encode()
    return (key for key in read_dump(path, namespace) if not _is_about_now(key.name, prefix))


def dump_facts(path: Path, namespace: str) -> RedisFacts:
    """The facts of a dump, counted from the file."""
    facts = RedisFacts()
    for key in read_dump(path, namespace):
        facts.add(key)
    return facts


def live_facts(client: redis.Redis, keys: Keys) -> RedisFacts:
    """The facts of what a Redis holds now."""
    facts = RedisFacts()
    for key in read_keys(client, owned_names(client, keys)):
        facts.add(key)
    return facts


def load(client: redis.Redis, found: Iterable[Key], now_ms: int) -> int:
    """Writes keys anew, a hundred at once or none of them; returns how many were left out as their time is over."""
    over = 0
    for batch in batches(found, 100):
        with client.pipeline(transaction=True) as pipe:
            for key in batch:
                if key.over(now_ms):
                    over += 1
                    continue
                for command in ([b"DEL", key.name], *key.commands()):
                    pipe.execute_command(*command)  # type: ignore[no-untyped-call]
            pipe.execute()
    return over


def _ask(name: bytes, kind: str) -> tuple[bytes | str | int, ...]:
    return {
        "string": ("GET", name),
        "hash": ("HGETALL", name),
        "list": ("LRANGE", name, 0, -1),
        "set": ("SMEMBERS", name),
        "zset": ("ZRANGE", name, 0, -1, "WITHSCORES"),
    }.get(kind, ("GET", name))


def _parts(kind: str, value: Any) -> list[bytes]:
    """What the client made of an answer, as the arguments of the command that writes it."""
    if value is None:
        return []
    if kind == "string":
        return [value]
    if kind == "hash":
        return [part for pair in sorted(value.items()) for part in pair]
    if kind == "zset":
        return [part for member, score in _scored(value) for part in (repr(float(score)).encode(), member)]
    return sorted(value) if kind == "set" else list(value)


def _scored(value: Any) -> list[tuple[bytes, float]]:
    pairs = value if value and isinstance(value[0], list | tuple) else list(zip(value[::2], value[1::2], strict=True))
    return [(member, float(score)) for member, score in pairs]


def _text(kind: Any) -> str:
    return kind.decode() if isinstance(kind, bytes) else str(kind)


def _write(file: BinaryIO, command: Command) -> None:
    file.write(b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in command))


def _commands(file: BinaryIO) -> Iterator[Command]:
    while header := file.readline():
        command = []
        for _ in range(_number(file, header, b"*")):
            size = _number(file, file.readline(), b"$")
            part = file.read(size + 2)
            if len(part) != size + 2 or not part.endswith(b"\r\n"):
                raise _unreadable(Path(file.name))
            command.append(part[:-2])
        if len(command) < 3:
            raise _unreadable(Path(file.name))
        yield command


def _number(file: BinaryIO, line: bytes, sign: bytes) -> int:
    if not line.startswith(sign) or not line[1:-2].isdigit() or not line.endswith(b"\r\n"):
        raise _unreadable(Path(file.name))
    return int(line[1:-2])


def _unreadable(path: Path) -> BackupDamaged:
    return BackupDamaged(
        f"{path.name} is not a dump of this namespace.",
        hint="Take another backup (`reco backup list`).",
        entry=path.name,
        reason="it does not parse",
    )
