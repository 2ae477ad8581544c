"""Whether the secrets of a home are those of then: its key of pseudonyms and its peppers, which settings may give.

Belongs here: keyed fingerprints of them in a manifest, and comparing. Does not belong here: the secrets in a backup
(`reco.backup.contents`), or using them.

A fingerprint is an HMAC under a key derived from each recipient, as of manifests: who can list the bucket learns
nothing from it, and cannot try guesses.
"""

import hashlib
from typing import Any

from pydantic import SecretStr

from reco.backup.contents import HOME_KEYS
from reco.backup.keys import Keyring
from reco.backup.manifest import KEYS, Manifest
from reco.orders.pseudonyms import Pseudonyms
from reco.settings import Settings

PRIVACY, PEPPERS = "privacy_key", "api_peppers"
_LOST = {
    PRIVACY: "customers of then would count as others beside those of new orders",
    PEPPERS: "no API key made under them is right",
}


def secret_marks(settings: Settings, keys: Keyring) -> dict[str, dict[str, Any]]:
    """For the manifest: of each secret there is, whether a setting gives it, and its fingerprints."""
    found = {}
    for name, file in zip((PRIVACY, PEPPERS), HOME_KEYS, strict=True):
        given = getattr(settings, name) is not None
        if given or (settings.home / KEYS / file).is_file():
            found[name] = {"setting": given, "marks": [keys.tags(one) for one in _values(settings, name)]}
    return found


def secret_notes(manifest: Manifest, settings: Settings, keys: Keyring) -> list[str]:
    """What is wrong with the secrets that the settings give now, in sentences."""
    notes = []
    for name in (PRIVACY, PEPPERS):
        then = manifest.facts.get("secrets", {}).get(name)
        if then is None:
            continue
        setting = f"RECO_{name.upper()}"
        given: SecretStr | None = getattr(settings, name)
        if given is None and then["setting"]:
            notes.append(f"{setting} was set when this was backed up and is not now: {_LOST[name]}. Set it as it was.")
        elif given is not None:
            values = _values(settings, name)
            known = [any(keys.knows(value, mark) for value in values) for mark in then["marks"]]
            if not all(known):
                notes.append(f"{setting} is not that of the backup: {_LOST[name]}. Set it as it was, or unset it.")
    return notes


def _values(settings: Settings, name: str) -> list[bytes]:
    """What stands for a secret, without being it; of peppers one for each."""
    if name == PRIVACY:
        return [f"{name} {Pseudonyms.of_home(settings).proof('backup', name)}".encode()]
    given = settings.api_peppers
    text = given.get_secret_value() if given is not None else (settings.home / KEYS / HOME_KEYS[1]).read_text("utf-8")
    peppers = sorted({one.strip() for line in text.splitlines() for one in line.split(",") if one.strip()})
    return [f"{name} {hashlib.sha256(one.encode()).hexdigest()}".encode() for one in peppers]
