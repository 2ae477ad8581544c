"""Promises of the lake: a reader sees the old file or the new one, never half of one."""

import datetime as dt
import os
import subprocess
from pathlib import Path

import pytest

from reco.errors import LakeError
from reco.storage.lake import Lake
from reco.storage.makers import UNWRITTEN_FOR, maker


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """An error inside the block keeps what was there and leaves no temporary file."""
    lake = Lake(tmp_path)
    with lake.replace("orders") as path:
        path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), lake.replace("orders") as path:
        _write_half_and_fail(path)
    assert lake.existing("orders").read_bytes() == b"old"
    assert [one.name for one in (tmp_path / "orders").iterdir()] == ["orders.parquet"]


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    """A writer that wrote nothing replaces nothing."""
    lake = Lake(tmp_path)
    with pytest.raises(LakeError, match="could not be written"), lake.replace("orders"):
        pass
    assert not lake.path("orders").exists()


def test_a_missing_table_names_the_asset_to_materialize(tmp_path: Path) -> None:
    """Reading what is not there says which asset makes it."""
    with pytest.raises(LakeError, match="Materialize item_stats"):
        Lake(tmp_path).existing("item_stats")


def test_a_stamp_is_void_when_the_file_changed(tmp_path: Path) -> None:
    """The record of what a table was made from does not outlive the table."""
    lake = Lake(tmp_path)
    with lake.replace("orders") as path:
        path.write_bytes(b"one")
    stamp = lake.stamp("orders", {"drops": "abc"})
    assert lake.read_stamp("orders") == stamp
    with lake.replace("orders") as path:
        path.write_bytes(b"two")
    assert lake.read_stamp("orders") is None
    assert lake.read_stamp("item_stats") is None


def test_a_damaged_stamp_counts_as_none(tmp_path: Path) -> None:
    """Half a stamp, or one of another shape, is no stamp."""
    lake = Lake(tmp_path)
    with lake.replace("orders") as path:
        path.write_bytes(b"one")
    for text in ("{", '{"digest": "x"}', "[]"):
        (tmp_path / "orders" / "stamp.json").write_text(text)
        assert lake.read_stamp("orders") is None


def test_sweep_removes_only_what_dead_processes_left(tmp_path: Path) -> None:
    """What a killed writer left goes, files and folders; what a living one writes stays."""
    lake = Lake(tmp_path)
    gone = subprocess.Popen(["true"])
    gone.wait()
    with lake.replace("orders") as path, lake.scratch() as scratch:
        path.write_bytes(b"one")
        dead = [
            path.with_name(f".orders.parquet.{maker(gone.pid)}.12345678.tmp"),
            path.with_name(f".orders.parquet.{maker(gone.pid)}.87654321.spill"),
            tmp_path / f".scratch.{maker(gone.pid)}.abc",
        ]
        dead[0].write_bytes(b"dead")
        dead[1].mkdir()
        dead[2].mkdir()
        (dead[2] / "file").write_bytes(b"dead")
        assert lake.sweep() == 3
        assert not any(one.exists() for one in dead)
        assert scratch.is_dir()
    assert lake.existing("orders").read_bytes() == b"one"


def test_what_another_container_writes_stays_for_a_day(tmp_path: Path) -> None:
    """There a process has an id that nobody or somebody else has here: only the time of the last write tells."""
    lake = Lake(tmp_path)
    (tmp_path / "orders").mkdir()
    folder = tmp_path / ".scratch.99999999-1.abc"
    files = [folder / "part", *(tmp_path / "orders" / f".orders.20.parquet.{by}.ab.tmp" for by in ("99999999-1", "7"))]
    folder.mkdir()
    for file in files:
        file.write_bytes(b"half")
    now = dt.datetime.now(dt.UTC)
    os.utime(folder, (0, 0))  # it is what is in it that was written to
    assert lake.sweep(now) == 0
    assert lake.sweep(now + UNWRITTEN_FOR + dt.timedelta(minutes=1)) == 3
    assert not any(path.exists() for path in (*files, folder))


def test_parts_are_files_of_their_own(tmp_path: Path) -> None:
    """One part can be replaced without touching another."""
    lake = Lake(tmp_path)
    for part in ("a", "b"):
        with lake.replace("order_lines", part) as path:
            path.write_bytes(part.encode())
    with lake.replace("order_lines", "a") as path:
        path.write_bytes(b"new")
    assert lake.existing("order_lines", "a").read_bytes() == b"new"
    assert lake.existing("order_lines", "b").read_bytes() == b"b"


def _write_half_and_fail(path: Path) -> None:
    path.write_bytes(b"half")
    raise ZeroDivisionError
