"""Promises of sealed files: whatever is cut or changed in one, nothing of it comes out."""

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest

from reco.backup.envelope import Sealed, seal, unseal
from reco.errors import BackupDamaged

IDENTITY = pyrage.x25519.Identity.generate()
CHUNK = 65_536 + 16  # of age: plain bytes and their tag


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[Path, Sealed]:
    """A sealed file of several chunks, which do not shrink."""
    plain = tmp_path / "plain"
    plain.write_bytes(random.Random(5).randbytes(250_000))
    return tmp_path / "sealed", seal(plain, tmp_path / "sealed", [IDENTITY.to_public()])


def named_anew(path: Path, expected: Sealed) -> Sealed:
    """As if the object's name were that of the bytes there now: only the encryption itself can tell."""
    data = path.read_bytes()
    return replace(expected, object=hashlib.sha256(data).hexdigest(), object_bytes=len(data))


@pytest.mark.parametrize("chunks", [0, 1, 2, 3])
def test_a_file_cut_at_the_border_of_a_chunk_is_refused(
    sealed: tuple[Path, Sealed], chunks: int, tmp_path: Path
) -> None:
    """Every chunk before the cut is right, and still none of it is left: the last one bears a mark."""
    path, expected = sealed
    header = expected.object_bytes - (expected.object_bytes // CHUNK) * CHUNK
    data = path.read_bytes()
    start = data.index(b"\n---") + 1
    start = data.index(b"\n", start) + 1 + 16  # behind the line of the MAC, and the nonce of the payload
    assert 0 < start < header + CHUNK
    path.write_bytes(data[: start + chunks * CHUNK])
    with pytest.raises(BackupDamaged):
        unseal(path, tmp_path / "out", [IDENTITY], named_anew(path, expected), "sql.jsonl")
    assert not (tmp_path / "out").exists()


def test_chunks_in_another_order_are_refused(sealed: tuple[Path, Sealed], tmp_path: Path) -> None:
    """Two chunks that have changed places are both right, each for its place."""
    path, expected = sealed
    data = path.read_bytes()
    start = data.index(b"\n", data.index(b"\n---") + 1) + 1 + 16
    first, second = data[start : start + CHUNK], data[start + CHUNK : start + 2 * CHUNK]
    path.write_bytes(data[:start] + second + first + data[start + 2 * CHUNK :])
    with pytest.raises(BackupDamaged):
        unseal(path, tmp_path / "out", [IDENTITY], named_anew(path, expected), "sql.jsonl")
    assert not (tmp_path / "out").exists()


def test_what_was_sealed_comes_back(sealed: tuple[Path, Sealed], tmp_path: Path) -> None:
    """Byte for byte; a file that was sealed for another content is refused though it opens."""
    path, expected = sealed
    unseal(path, tmp_path / "out", [IDENTITY], expected, "sql.jsonl")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()
    for wrong in (replace(expected, sha256="0" * 64), replace(expected, size_bytes=expected.size_bytes - 1)):
        with pytest.raises(BackupDamaged):
            unseal(path, tmp_path / "other", [IDENTITY], wrong, "sql.jsonl")
        assert not (tmp_path / "other").exists()
