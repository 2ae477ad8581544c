"""Pseudonyms of customers: the same person, the same name, and no way back without the key.

Belongs here: the key of a home, and what is made with it. Does not belong here: putting a pseudonym in the place of an
id (`reco.orders.privacy`), or forgetting a customer (`reco.orders.forget`).

A pseudonym is the HMAC-SHA-256 of the id under the key, cut to 128 bits: 10 million customers collide with a chance of
about 1 in 10^25. The key stays in the home (or in RECO_PRIVACY_KEY) and is never logged: whoever has it can tell
whether a pseudonym is that of an id they already know.
"""

import hmac
import os
import re
from functools import cached_property
from pathlib import Path

from reco.errors import ConfigError
from reco.settings import Settings
from reco.storage.secret_file import make_once

PREFIX = "p_"
KEY_BYTES = 32
_CUT = 16
_OF_A_FILE = re.compile(r"[0-9a-f]{64}", re.ASCII)


class Pseudonyms:
    """Gives the pseudonyms of one home. Its key is read, or made, when the first one is asked for."""

    @classmethod
    def of_home(cls, settings: Settings) -> "Pseudonyms":
        """Those of the home these settings name. No key is read or made yet."""
        given = settings.privacy_key
        return cls(settings.home / "keys" / "privacy.key", given.get_secret_value() if given is not None else None)

    def __init__(self, file: Path, given: str | None = None) -> None:
        self._file = file
        self._given = given

    def of(self, customer_id: str) -> str:
        """The pseudonym of a customer id: `p_` and 32 hex digits.

        Raises:
            ConfigError: the key cannot be read or made.
        """
        return PREFIX + self.proof("customer", customer_id)

    def proof(self, purpose: str, text: str) -> str:
        """32 hex digits that only who has the key can make again; those of two purposes have nothing in common."""
        message = f"{purpose}\0{text}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, "sha256")[:_CUT].hex()

    @cached_property
    def _key(self) -> bytes:
        if self._given is not None:
            # As the file of a home holds it, so that a setting can take the place of that file.
            return bytes.fromhex(self._given) if _OF_A_FILE.fullmatch(self._given) else self._given.encode()
        try:
            make_once(self._file, os.urandom(KEY_BYTES).hex())
            return bytes.fromhex(self._file.read_text(encoding="ascii").strip())
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"The key of pseudonyms {self._file} cannot be used: {getattr(error, 'strerror', None) or error}.",
                hint="Restore it from a backup of the home: with another key, known customers would count twice.",
                settings=["RECO_PRIVACY_KEY"],
            ) from error
