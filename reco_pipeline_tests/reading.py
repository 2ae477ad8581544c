"""Reading bytes as a drop, for the tests of ingestion: a test names only what it is about."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from reco.orders.drops import DropFile, DropResult
from reco.orders.profiles import SourceProfile, load_profile
from reco.orders.reader import read_batch
from reco.storage.lake import Lake, file_digest

NOW = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)


@dataclass(frozen=True)
class ReadDrop:
    """The result of one drop, its parts, and the digests of their files (empty and None for a failed drop)."""

    result: DropResult
    accepted: pl.DataFrame
    others: pl.DataFrame
    digests: tuple[str, ...]

    @property
    def faults(self) -> dict[int, str]:
        """The reason of each line that was not accepted, by line."""
        return dict(zip(self.others["line"].to_list(), self.others["reason"].to_list(), strict=True))

    def column(self, name: str) -> list[Any]:
        """The accepted values of a column."""
        return self.accepted[name].to_list()


def read_files(
    files: Sequence[tuple[str, Path]],
    folder: Path,
    profile: SourceProfile | str = "auto",
    *,
    beside: Sequence[tuple[str, Path]] = (),
    **options: Any,
) -> dict[str, ReadDrop]:
    """Reads files, given by key, as one batch into a fresh lake below the folder, beside others of the batch."""
    taken = load_profile(profile) if isinstance(profile, str) else profile
    place = folder / f"read-{len(list(folder.glob('read-*')))}"
    (place / "scratch").mkdir(parents=True)
    lake = Lake(place / "lake")
    drops, others = ([DropFile(key, path, path.name, taken) for key, path in some] for some in (files, beside))
    results = list(read_batch(drops, lake, now=NOW, scratch=place / "scratch", beside=others, **options))
    assert not list((place / "scratch").iterdir()), "the reader leaves nothing in the scratch folder"
    return {result.key: _read_drop(result, lake) for result in results}


def read_bytes(
    content: bytes, folder: Path, profile: SourceProfile | str = "auto", *, name: str = "orders.csv", **options: Any
) -> ReadDrop:
    """Reads bytes as the only drop of a batch."""
    path = folder / name
    path.write_bytes(content)
    return read_files([("drop", path)], folder, profile, **options)["drop"]


def _read_drop(result: DropResult, lake: Lake) -> ReadDrop:
    if result.error is not None:
        return ReadDrop(result, pl.DataFrame(), pl.DataFrame(), ())
    paths = [lake.path(table, result.key) for table in ("order_lines", "quarantined_lines")]
    accepted, others = (pl.read_parquet(path) for path in paths)
    counts = result.counts
    assert accepted.height == counts.lines_accepted
    assert others.height == counts.lines_excluded + counts.lines_quarantined
    assert counts.lines_read == accepted.height + others.height
    return ReadDrop(result, accepted, others, tuple(file_digest(path) for path in paths))
