"""Peppers: the secrets under which the HMACs of keys are made. They stand apart from the database that holds the HMACs.

Belongs here: reading them, and making the first one of a home. Does not belong here: the HMAC itself (`keys`).

Written `NAME:SECRET`, separated by commas or lines, newest first. The first one is for new keys, the others are for
keys that were made under them. A key that is used moves to the first one by itself, so that an old pepper can go.
"""

import os
import re
from collections.abc import Mapping

from reco.errors import ConfigError
from reco.settings import Settings
from reco.storage.secret_file import make_once

SETTING = "RECO_API_PEPPERS"
BYTES = 32
_FORM = re.compile(r"([A-Za-z0-9-]{1,32}):(\S{16,})", re.ASCII)


def load_peppers(settings: Settings) -> Mapping[str, bytes]:
    """The peppers by name, newest first; the first one of a home is made when it is needed.

    Raises:
        ConfigError: they are not written as they should be, or the file of the home cannot be read or made.
    """
    if settings.api_peppers is not None:
        return parse_peppers(settings.api_peppers.get_secret_value())
    file = settings.home / "keys" / "api.peppers"
    try:
        make_once(file, f"1:{os.urandom(BYTES).hex()}\n")
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"The peppers of API keys {file} cannot be used: {error.strerror}.",
            hint="Restore the file from a backup of the home: under other peppers, no key made before is right.",
            settings=[SETTING],
        ) from error
    return parse_peppers(text, str(file))


def parse_peppers(text: str, where: str = SETTING) -> dict[str, bytes]:
    """The peppers that a text lists; `where` is what an error names.

    Raises:
        ConfigError: it is no such list.
    """
    found = [_FORM.fullmatch(part.strip()) for part in re.split(r"[,\n]", text) if part.strip()]
    peppers = {one[1]: one[2].encode() for one in found if one is not None}
    if not found or None in found or len(peppers) < len(found):
        raise ConfigError(
            f"{where} is not a list of peppers.",
            hint="Write NAME:SECRET, newest first, separated by commas; a secret has 16 characters or more.",
            settings=[SETTING],
        )
    return peppers
