"""API keys as texts: how one is made, recognised and proved.

Belongs here: the form of a key, and the HMAC that is kept of it. Does not belong here: where keys are kept (`keybook`),
and who may ask (`keyring`).

    reco_<id: 12 of a-z0-9>_<secret: 43 of A-Za-z0-9><checksum: 6 of A-Za-z0-9>

The prefix lets scanners for leaked secrets find keys. The id is public: it names the key in lists and logs, and is what
a key is looked up by. The checksum tells a typing error from a wrong key without asking anybody. The secret has 256
bits, so one fast HMAC is enough: there is nothing to guess that a slow hash would protect.
"""

import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

PREFIX = "reco"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_LETTERS = string.ascii_lowercase + string.digits
_ID, _SECRET, _CHECKSUM = 12, 43, 6
_FORM = re.compile(rf"{PREFIX}_([a-z0-9]{{{_ID}}})_[A-Za-z0-9]{{{_SECRET}}}[A-Za-z0-9]{{{_CHECKSUM}}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Key:
    """A whole key. Its text never shows in a representation, and so in no log or trace."""

    key_id: str
    text: str = field(repr=False)

    def mac(self, pepper: bytes) -> str:
        """What is kept of it: HMAC-SHA-256 of the whole text under a pepper, in hex."""
        return hmac.digest(pepper, self.text.encode("ascii"), "sha256").hex()


def new_key() -> Key:
    """A new key, from the system's source of randomness."""
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID))
    body = f"{PREFIX}_{key_id}_" + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET))
    return Key(key_id, body + _checksum(body))


def read_key(text: str) -> Key | None:
    """The key a text is; None where it is none, or was not copied whole and as it is."""
    found = _FORM.fullmatch(text)
    if found is None or not hmac.compare_digest(_checksum(text[:-_CHECKSUM]), text[-_CHECKSUM:]):
        return None
    return Key(found[1], text)


def _checksum(body: str) -> str:
    rest, digits = zlib.crc32(body.encode("ascii")), ""
    for _ in range(_CHECKSUM):
        rest, digit = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
