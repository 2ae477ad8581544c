"""Promises of the SQL engine: bounded, quoted, and never a foreign exception."""

import os
import signal
import threading
from pathlib import Path

import pytest

from reco.errors import LakeError
from reco.storage.engine import INTERRUPTED, MEMORY_CEILING, Limits, fetch_row, literal, open_engine, write_parquet

LONG = "CREATE TABLE t AS SELECT hash(range) % 1000 AS h, count(*) FROM range(2000000000) GROUP BY h"


def test_memory_is_bounded_by_default() -> None:
    """No computation takes more than 4 GiB or half of the machine unless told to."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    assert Limits().memory() == min(MEMORY_CEILING, half)
    assert Limits(memory_bytes=7).memory() == 7


def test_limits_reach_the_engine(tmp_path: Path) -> None:
    """Threads and memory are what was asked for, and spills go beside the file, not into the working folder."""
    with open_engine("it", tmp_path / "out.parquet", Limits(memory_bytes=64 * 2**20, threads=3)) as con:
        threads, memory, spill = fetch_row(
            con,
            "SELECT current_setting('threads'), current_setting('memory_limit'), current_setting('temp_directory')",
        )
    assert (threads, memory) == (3, "64.0 MiB")
    assert Path(spill).parent == tmp_path
    assert Path(spill).name.startswith(".out.parquet.")


def test_too_little_memory_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    """What cannot be done within the limit is an error with the limit in it; spilled files are gone."""
    with (
        pytest.raises(LakeError, match=r"pairs could not be computed within 8 MiB of memory") as caught,
        open_engine("pairs", tmp_path / "out", Limits(memory_bytes=8 * 2**20, threads=1)) as con,
    ):
        con.sql("SELECT list(range) FROM range(50000000)").fetchall()
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_stops_a_query(tmp_path: Path) -> None:
    """An interrupt during a query is an interrupt for the program, not a failure of the table."""
    # A shell starts what runs in its background with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt) as caught, open_engine("it", tmp_path / "out", Limits(threads=1)) as con:
        con.execute(LONG)
    timer.join()
    signal.signal(signal.SIGINT, before)
    assert str(caught.value.__cause__) == INTERRUPTED


def test_other_errors_of_the_program_pass(tmp_path: Path) -> None:
    """Only the engine's errors become errors of the lake."""
    with pytest.raises(RuntimeError, match="mine"), open_engine("it", tmp_path / "out"):
        raise RuntimeError("mine")


def test_a_folder_that_is_not_there_is_an_error_of_the_lake(tmp_path: Path) -> None:
    """A file that cannot be written is reported as such."""
    with pytest.raises(LakeError, match="it could not be computed"), open_engine("it", tmp_path / "x") as con:
        write_parquet(con, "SELECT 1 AS a", tmp_path / "no" / "such" / "file.parquet")


@pytest.mark.parametrize("text", ["", "it's", "''", "a\\'b", 'x"y', "é\n😀"])
def test_a_literal_is_the_text(tmp_path: Path, text: str) -> None:
    """Whatever a name holds, quoting gives it back."""
    with open_engine("it", tmp_path / "out") as con:
        assert fetch_row(con, f"SELECT {literal(text)}") == (text,)
