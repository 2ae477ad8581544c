"""Who may do what in Redis: three users with the least rights that their work needs.

Belongs here: the rules, in words that Redis 7.0 and Valkey know alike. Does not belong here: passwords, and which code
connects as which user.

No rule holds CONFIG: reading it shows the password of the administrator. `@dangerous` holds what removes or reveals
everything at once (FLUSHALL, KEYS, MONITOR, DEBUG, REPLICAOF, SHUTDOWN, ACL, ...); INFO is in it too and harmless.
"""

import hashlib
from collections.abc import Mapping
from typing import Literal

User = Literal["loader", "reader", "backup"]

# `%R~` limits a user to reading the keys; `~` also lets it write them.
_RULES: dict[User, str] = {
    # publishes and removes snapshots: reads and writes keys, runs the scripts of the lease and the pointer
    "loader": "~{namespace}:* -@all +@read +@write +@connection +@transaction +eval +evalsha +script|load -@dangerous "
    "+info",
    # serves: reads keys; by scripts counts callers in keys that end within a minute, and keeps a copy of what is hidden
    "reader": "%R~{namespace}:* ~{namespace}:limits:* ~{namespace}:rules:* -@all +@read +@connection +eval +evalsha "
    "+script|load +lpush +ltrim +expire -@dangerous +info (~{namespace}:rules:* +set)",
    # copies: reads keys, holds the lease of publishing meanwhile, and lets the server save itself
    "backup": "%R~{namespace}:* ~{namespace}:snapshot:lease ~{namespace}:snapshot:generation -@all +@read +@connection "
    "+eval +evalsha +script|load +set +del +incr +pexpire -@dangerous +info +bgsave +lastsave",
}
USERS: tuple[User, ...] = ("loader", "reader", "backup")


def rules(user: User, namespace: str) -> list[str]:
    """What follows `user NAME` in a configuration, or `ACL SETUSER NAME`, without the password."""
    return ["on", "resetchannels", *_RULES[user].format(namespace=namespace).split()]


def hashed(password: str) -> str:
    """A password as Redis keeps it: `#` and its sha256."""
    return "#" + hashlib.sha256(password.encode()).hexdigest()


def lines(passwords: Mapping[User, str], namespace: str) -> list[str]:
    """The `user` lines of redis.conf; they hold hashes of the passwords."""
    return [" ".join(["user", user, hashed(password), *rules(user, namespace)]) for user, password in passwords.items()]
