"""Names of all keys of a namespace in Redis.

Belongs here: how a key is spelt and recognised. Does not belong here: what a value holds (`reco.snapshot.codec`).

Versioned keys are written relative to their snapshot, as a *suffix*: `item:PID:stats` stands for
`reco:20260102T030405Z-0123abcd:item:PID:stats`. Keys are bytes, so that no client's text encoding matters.
"""

import datetime as dt
import re
import zlib
from functools import lru_cache

POPULAR_ALL = "popular:all"
TRENDING = "trending:all"
CATEGORIES = "categories"
BLOCK = 128  # ranks in one lookup hash: the most that Redis 7 keeps in its compact form by default

_UNSAFE = re.compile(r"[:%\s\x00-\x1f\x7f-\x9f]")
_TIME = "%Y%m%dT%H%M%SZ"
_SID = r"\d{8}T\d{6}Z-[0-9a-f]{8}"


def encode_part(text: str) -> str:
    """Percent-encodes `:`, `%`, blanks (all of Unicode's) and control characters, as UTF-8 bytes.

    `urllib.parse.unquote` undoes it.
    """
    return _UNSAFE.sub(_percent, text)


def _percent(found: re.Match[str]) -> str:
    return _percent_character(found[0])


@lru_cache(maxsize=64)
def _percent_character(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def stats_suffix(item_id: str) -> str:
    """Where the figures of an item stand."""
    return f"item:{encode_part(item_id)}:stats"


def similar_suffix(item_id: str) -> str:
    """Where the neighbours of an item stand."""
    return f"item:{encode_part(item_id)}:similar"


def popular_suffix(category: str | None = None) -> str:
    """Where the popular items of a category, or of the whole shop, stand."""
    if category is None:
        return POPULAR_ALL
    # A category may really be called "all"; its key must not be the one of the whole shop.
    return "popular:%61ll" if category == "all" else f"popular:{encode_part(category)}"


def rank_suffix(rank: int) -> str:
    """The lookup hash that holds a rank; its field is the rank itself."""
    return f"ranks:{(rank - 1) // BLOCK}"


def name_suffix(name: str, blocks: int) -> str:
    """The lookup hash that holds a name; its field is the name itself. `blocks` is in the manifest."""
    return f"names:{zlib.crc32(name.encode('utf-8', 'surrogatepass')) % blocks}"


def search_suffix(part: int) -> str:
    """A part of the search index; how many there are is in the manifest."""
    return f"search:{part}"


def make_sid(at: dt.datetime, digest: str, taken: list[str]) -> str:
    """The id of a new snapshot: `{utc}-{digest[:8]}`.

    The order of ids is the order of publishing. When `at` is not later than the newest id in `taken` (two publishes in
    one second, or a clock that went back), the id takes the second after that one.
    """
    second = at.astimezone(dt.UTC).replace(microsecond=0)
    if taken:
        newest = dt.datetime.strptime(max(taken).partition("-")[0], _TIME).replace(tzinfo=dt.UTC)
        second = max(second, newest + dt.timedelta(seconds=1))
    return f"{second.strftime(_TIME)}-{digest[:8]}"


def is_sid(text: str) -> bool:
    """Whether a text has the form of a snapshot id."""
    return re.fullmatch(_SID, text, re.ASCII) is not None


class Keys:
    """The keys of one namespace."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.current = f"{namespace}:snapshot:current".encode()
        self.lease = f"{namespace}:snapshot:lease".encode()
        self.generation = f"{namespace}:snapshot:generation".encode()
        self.versioned_pattern = _literal(f"{namespace}:") + b"[0-9]*"
        self.manifest_pattern = _literal(f"{namespace}:snapshot:") + b"*" + b":manifest"
        self._versioned = re.compile(rf"{re.escape(namespace)}:({_SID}):".encode(), re.ASCII)
        self._manifest = re.compile(rf"{re.escape(namespace)}:snapshot:({_SID}):manifest".encode(), re.ASCII)

    def manifest(self, sid: str) -> bytes:
        """The key whose being there makes a snapshot published."""
        return f"{self.namespace}:snapshot:{sid}:manifest".encode("utf-8", "surrogatepass")

    def prefix(self, sid: str) -> bytes:
        """What all versioned keys of a snapshot begin with."""
        return f"{self.namespace}:{sid}:".encode()

    def key(self, sid: str, suffix: str) -> bytes:
        """A versioned key."""
        # A text from outside may hold lone surrogates: such a key cannot exist, but asking for it must not fail.
        return self.prefix(sid) + suffix.encode("utf-8", "surrogatepass")

    def sid_of(self, key: bytes) -> str | None:
        """The snapshot a versioned key belongs to; None for any other key."""
        found = self._versioned.match(key)
        return found[1].decode() if found else None

    def sid_of_manifest(self, key: bytes) -> str | None:
        """The snapshot a manifest key belongs to; None for any other key."""
        found = self._manifest.fullmatch(key)
        return found[1].decode() if found else None


def _literal(text: str) -> bytes:
    """A text as a pattern of SCAN that matches only itself."""
    return re.sub(r"([*?\[\]\\^])", r"\\\1", text).encode()
