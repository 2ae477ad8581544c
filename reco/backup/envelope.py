"""The envelope of everything in a backup: zstd, then age. In and out as a stream.

Belongs here: sealing and opening one file, with the digests of both sides. Does not belong here: which files, or keys.

Nothing of a plain file is used before the whole sealed one was compared with its digest, each chunk authenticated by
age, and the plain one compared with its own digest and size.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyrage
import zstandard

from reco.errors import BackupDamaged, BackupError, BackupKeyWrong

LEVEL = 3
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Sealed:
    """What sealing a file gave: sha256 and bytes of the plain and of the sealed side."""

    sha256: str
    size_bytes: int
    object: str
    object_bytes: int


class _Measured:
    """A stream that hashes and counts what passes, and tells each step."""

    def __init__(self, file: BinaryIO, tell: Callable[[int], None] | None = None, limit: int | None = None) -> None:
        self._file, self._tell, self._limit = file, tell, limit
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def read(self, count: int = -1) -> bytes:
        """Reads on."""
        data = self._file.read(count)
        self._pass(data)
        return data

    def write(self, data: Any) -> int:
        """Writes on."""
        block = bytes(data)
        self._pass(block)
        if self._limit is not None and self.size_bytes > self._limit:
            raise ValueError("there is more in it than its backup says")
        return self._file.write(block)

    def flush(self) -> None:
        """As a file."""
        self._file.flush()

    def _pass(self, data: bytes) -> None:
        self.digest.update(data)
        self.size_bytes += len(data)
        if self._tell:
            self._tell(len(data))


def seal(
    plain: Path,
    sealed: Path,
    recipients: list[pyrage.x25519.Recipient],
    tell: Callable[[int], None] | None = None,
) -> Sealed:
    """Compresses and encrypts a file; `tell` hears how many plain bytes each step took.

    Raises:
        BackupError: the sealed file cannot be written.
    """
    try:
        with plain.open("rb") as source, sealed.open("wb") as target:
            inner, outer = _Measured(source, tell), _Measured(target)
            reader = zstandard.ZstdCompressor(level=LEVEL).stream_reader(
                cast("BinaryIO", inner), size=plain.stat().st_size
            )
            pyrage.encrypt_io(reader, outer, recipients)
            target.flush()
            os.fsync(target.fileno())
    except (OSError, zstandard.ZstdError, pyrage.EncryptError) as error:
        raise BackupError(
            f"{plain.name} could not be sealed: {error}.",
            hint="Free some room on the disk of the home, then back up again: nothing was published.",
        ) from error
    return Sealed(inner.digest.hexdigest(), inner.size_bytes, outer.digest.hexdigest(), outer.size_bytes)


def unseal(sealed: Path, plain: Path, identities: list[pyrage.x25519.Identity], expected: Sealed, name: str) -> None:
    """Decrypts and expands a sealed file, and compares both sides with what is expected of them.

    Raises:
        BackupKeyWrong: it was encrypted for others.
        BackupDamaged: it is not what was sealed; nothing of it is left in `plain`.
        BackupError: the disk is full or fails.
    """
    try:
        check_object(sealed, expected, name)
        with sealed.open("rb") as source, plain.open("wb") as target:
            outer = _Measured(target, limit=expected.size_bytes)
            expander = zstandard.ZstdDecompressor().stream_writer(cast("BinaryIO", outer), closefd=False)
            pyrage.decrypt_io(source, expander, identities)
            expander.flush()  # type: ignore[no-untyped-call]
            target.flush()
            os.fsync(target.fileno())
        if (outer.digest.hexdigest(), outer.size_bytes) != (expected.sha256, expected.size_bytes):
            raise damaged(name, expected.object, "its plain bytes are not those that were backed up")
    except pyrage.DecryptError as error:
        plain.unlink(missing_ok=True)
        if "matching keys" not in str(error):
            raise damaged(name, expected.object, str(error)) from error
        raise BackupKeyWrong(
            f"The identity does not open {name}: the backup was encrypted for other keys.",
            hint="Give the identity of one of the recipients of that time in RECO_BACKUP_IDENTITY_FILE.",
            settings=["RECO_BACKUP_IDENTITY"],
        ) from error
    except (OSError, ValueError, zstandard.ZstdError) as error:
        plain.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:  # of the system; pyrage's own say what is damaged
            raise disk_failed(name, error) from error
        raise damaged(name, expected.object, str(error)) from error
    except BackupDamaged:
        plain.unlink(missing_ok=True)
        raise


def check_object(sealed: Path, expected: Sealed, name: str) -> None:
    """Compares a sealed file with its digest, which is its name in the bucket.

    Raises:
        BackupDamaged: it is another one.
    """
    digest, size = hashlib.sha256(), 0
    with sealed.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    if (digest.hexdigest(), size) != (expected.object, expected.object_bytes):
        reason = (
            f"it has {size:,} of {expected.object_bytes:,} bytes" if size != expected.object_bytes else "other bytes"
        )
        raise damaged(name, expected.object, reason)


def disk_failed(name: str, error: OSError) -> BackupError:
    """The error for a file of a backup that could not be written here, which says nothing against the backup."""
    return BackupError(
        f"{name} of the backup could not be written: {error}.",
        hint="Free some room on the disk of the home, or mend it, then try again: nothing was replaced.",
        entry=name,
    )


def damaged(name: str, key: str, reason: str) -> BackupDamaged:
    """The error for an object that is not what its backup says."""
    return BackupDamaged(
        f"Object {key[:16]}... of the backup ({name}) is damaged: {reason}.",
        hint="Take another backup (`reco backup list`), or the replica (`--replica`); then see docs/runbook.md.",
        object=key,
        entry=name,
        reason=reason,
    )
