"""The keys of backups: whom they are encrypted for, who can open them, and how a manifest is known to be ours.

Belongs here: finding, making and using these keys. Does not belong here: the format of what is encrypted (`envelope`).

A backup is encrypted for age *recipients* (public keys) and opened by one of their *identities* (secret keys). Making
backups needs the recipients alone. They authenticate manifests too: each manifest bears, for every recipient, an HMAC
under a key derived from that recipient, which is known to the machine that makes backups and to whoever has the
identity, and cannot be learnt from the bucket: age writes no recipient into what it encrypts. So recipients are to be
kept like secrets, although they open nothing.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyrage
from pydantic import SecretStr

from reco.alerts.tell import Alert, tell
from reco.errors import BackupKeyWrong
from reco.settings import Settings
from reco.storage.lake import fsync_folder

IDENTITY_FILE = "backup.identity"
_PURPOSE = b"reco backup manifest 1"
_SECRET = "AGE-SECRET-KEY-"  # noqa: S105 - what age puts before a secret key
NAMES = ["RECO_BACKUP_RECIPIENTS", "RECO_BACKUP_IDENTITY"]


@dataclass(frozen=True)
class Keyring:
    """Recipients and identities, as age writes them.

    made: the file of an identity that was made just now; former: recipients that nothing is encrypted for any more,
    whose manifests are still believed.
    """

    recipients: tuple[str, ...]
    identities: tuple[str, ...]
    made: Path | None = None
    former: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: Settings, *, make: bool = False) -> "Keyring":
        """The keys these settings name. With profile local and none named: those of the home, made if `make`.

        Raises:
            BackupKeyWrong: a key does not parse, or there is none.
        """
        identities = _identities(settings.backup_identity.get_secret_value() if settings.backup_identity else "")
        recipients, former = _listed(settings.backup_recipients), _listed(settings.backup_former_recipients)
        file, made = settings.home / "keys" / IDENTITY_FILE, None
        if not identities and settings.profile == "local":
            if not file.exists() and make and not recipients:
                _make(file, settings)
                made = file
            if file.exists():
                identities = _identities(file.read_text(encoding="ascii"))
        ring = cls(recipients or tuple(_public(one) for one in identities), identities, made, former)
        for one in (*ring.recipients, *former):
            _recipient(one)
        return ring

    @staticmethod
    def in_home(settings: Settings) -> Path | None:
        """The file of the identity where the home alone has it, as far as the settings tell; None elsewhere."""
        file = settings.home / "keys" / IDENTITY_FILE
        named = settings.backup_identity or settings.backup_recipients or settings.profile != "local"
        return None if named or not file.exists() else file

    def require_recipients(self) -> list[pyrage.x25519.Recipient]:
        """Whom to encrypt for.

        Raises:
            BackupKeyWrong: nobody.
        """
        if not self.recipients:
            raise BackupKeyWrong(
                "There is no key to encrypt a backup for.",
                hint="Set RECO_BACKUP_RECIPIENTS to the public keys (age1...) of those who may restore.",
                settings=NAMES[:1],
            )
        return [_recipient(one) for one in self.recipients]

    def require_identities(self) -> list[pyrage.x25519.Identity]:
        """Who opens.

        Raises:
            BackupKeyWrong: nobody.
        """
        if not self.identities:
            raise BackupKeyWrong(
                "The identity that opens backups is not here.",
                hint="Set RECO_BACKUP_IDENTITY_FILE to the file with the line AGE-SECRET-KEY-...",
                settings=NAMES[1:],
            )
        return [pyrage.x25519.Identity.from_str(one) for one in self.identities]

    @cached_property
    def fingerprint(self) -> str:
        """Names the set of recipients without telling them: what was encrypted for another set is not used again."""
        return hashlib.sha256("\n".join(sorted(self.recipients)).encode()).hexdigest()[:16]

    def tags(self, body: bytes) -> list[str]:
        """The authentication of a manifest's body: an HMAC a recipient, in no telling order."""
        return sorted(_tag(recipient, body) for recipient in self.recipients)

    def knows(self, body: bytes, tags: Sequence[str]) -> bool:
        """Whether a body bears an HMAC of a recipient that is known here."""
        known = {*self.recipients, *self.former, *(_public(one) for one in self.identities)}
        given = [tag.encode() for tag in tags]
        return any(hmac.compare_digest(_tag(one, body).encode(), tag) for one in known for tag in given)


def _listed(given: SecretStr | None) -> tuple[str, ...]:
    text = given.get_secret_value() if given else ""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if text.strip() and not found:
        raise BackupKeyWrong(
            "RECO_BACKUP_RECIPIENTS or RECO_BACKUP_FORMER_RECIPIENTS is set and names no key.",
            hint="Give X25519 keys (age1...), separated by commas, or unset it.",
            settings=[NAMES[0], "RECO_BACKUP_FORMER_RECIPIENTS"],
        )
    return found


def _tag(recipient: str, body: bytes) -> str:
    key = hmac.digest(_PURPOSE, recipient.encode(), "sha256")
    return hmac.digest(key, body, "sha256").hex()


def _identities(text: str) -> tuple[str, ...]:
    """The secret keys of an identity file; its other lines are comments."""
    found = tuple(line.strip() for line in text.splitlines() if line.strip().startswith(_SECRET))
    if text.strip() and not found:
        raise BackupKeyWrong(
            "RECO_BACKUP_IDENTITY holds no line AGE-SECRET-KEY-...",
            hint="Give the whole identity file that was kept when backups began.",
            settings=NAMES[1:],
        )
    for one in found:
        _public(one)
    return found


def _public(identity: str) -> str:
    try:
        return str(pyrage.x25519.Identity.from_str(identity).to_public())
    except pyrage.IdentityError:
        raise BackupKeyWrong(
            "The identity of backups does not parse: a character is missing or wrong.",
            hint="Copy the line AGE-SECRET-KEY-... again, whole.",
            settings=NAMES[1:],
        ) from None


def _recipient(text: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        raise BackupKeyWrong(
            f"RECO_BACKUP_RECIPIENTS or RECO_BACKUP_FORMER_RECIPIENTS holds a key that does not parse: {error}.",
            hint="Give X25519 keys (age1...), separated by commas.",
            settings=[NAMES[0], "RECO_BACKUP_FORMER_RECIPIENTS"],
        ) from None


def _made(file: Path) -> Alert:
    """Told where it is made: whatever becomes of the first backup, the next one finds the key and says nothing."""
    return Alert(
        "backup_identity_made",
        str(file),
        "Backups are encrypted for a key that was made now and lies in this home alone.",
        f"Keep a copy of {file} elsewhere: without it the backups of a lost home open nowhere.",
    )


def _make(file: Path, settings: Settings) -> None:
    """Makes an identity, and tells it. Two processes may come here at once: the first one's stands, whole."""
    identity = pyrage.x25519.Identity.generate()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, f"# public key: {identity.to_public()}\n{identity}\n".encode("ascii"))
        os.fsync(handle)
        os.link(temporary, file)
        fsync_folder(file.parent)
        tell(_made(file), settings)
    except FileExistsError:
        pass
    finally:
        os.close(handle)
        temporary.unlink()
