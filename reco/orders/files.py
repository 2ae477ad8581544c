"""Order files by name: which files hold orders, and what a drop of one is called.

Belongs here: names and suffixes. Does not belong here: opening a file.
"""

import re
import unicodedata
from pathlib import Path

from reco.errors import UsageError

SUFFIXES = (".csv", ".tsv", ".txt", ".psv")
PACKED = (".gz", ".zst", ".zstd", ".zip")
ARCHIVE = ".zip"
"""An archive's name need not tell what it holds."""
_STEM_LENGTH = 60


def partition_key(name: str, sha256: str) -> str:
    """The name of a drop's partition: its stem in plain characters and the start of its sha256.

    >>> partition_key("Bestellungen März 2024.CSV.gz", "ab" * 32)
    'bestellungen-marz-2024-abababababab'
    """
    stem = Path(name).name.lower()
    for suffix in (*PACKED, *SUFFIXES):
        stem = stem.removesuffix(suffix)
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_STEM_LENGTH].strip("-")
    return f"{plain or 'drop'}-{sha256[:12]}"


def find_files(path: Path) -> list[Path]:
    """The order files under a path, sorted: the path itself, or every CSV-like file below a folder but hidden ones.

    Raises:
        UsageError: a folder holds no such file.
    """
    if not path.is_dir():
        return [path]
    found = sorted(
        p
        for p in path.rglob("*")
        if p.is_file() and is_order_file(p) and not any(part.startswith(".") for part in p.relative_to(path).parts)
    )
    if not found:
        raise UsageError(
            f"{path} holds no order file.",
            hint=f"Expected names ending in {', '.join(SUFFIXES)}, also with {', '.join(PACKED)}.",
        )
    return found


def is_order_file(path: Path) -> bool:
    """Whether a file's name says that it holds orders."""
    name = path.name.lower()
    if name.endswith(ARCHIVE):
        return True
    for suffix in PACKED:
        name = name.removesuffix(suffix)
    return name.endswith(SUFFIXES)
