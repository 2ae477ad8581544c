"""The SQL engine of one computation: an in-memory DuckDB that reads Parquet files and writes one.

Belongs here: opening it within bounds, quoting, reading and writing Parquet the same way everywhere, and turning the
engine's errors into ours. Does not belong here: any query that knows what a column means.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from reco.errors import LakeError
from reco.storage.makers import maker

MEMORY_CEILING = 4 * 2**30
"""Bytes an engine takes at most unless told otherwise; what does not fit is spilled to disk."""

SPILL_SUFFIX = ".spill"
"""Ends the name of a spill folder, `.{file}.{maker}.{random}.spill`; only a killed process leaves one behind."""

INTERRUPTED = "Query interrupted"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one computation may take. Results never depend on it.

    memory_bytes: working memory before spilling to disk; None: 4 GiB or half of the machine, whichever is less.
    threads: None: one a core.
    """

    memory_bytes: int | None = None
    threads: int | None = None

    def memory(self) -> int:
        """The working memory in effect, in bytes."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        return min(MEMORY_CEILING, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)


@contextmanager
def open_engine(what: str, scratch: Path, limits: Limits | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yields a private in-memory DuckDB connection and closes it; what exceeds the memory is spilled beside `scratch`.

    Args:
        what: the table or check that is computed, for messages.
        scratch: a file whose folder takes the spills; the file itself need not exist.
        limits: memory and threads.

    Raises:
        LakeError: an input is missing, damaged or has other columns, the disk is full, or memory does not do.
    """
    limits = limits or Limits()
    name = f".{scratch.name.lstrip('.')}.{maker()}.{os.urandom(4).hex()}{SPILL_SUFFIX}"
    spill = scratch.with_name(name)
    try:
        with duckdb.connect(":memory:") as con:
            con.execute(f"SET temp_directory = {literal(str(spill))}")
            con.execute(f"SET memory_limit = '{limits.memory() // 2**20}MiB'")
            con.execute("SET TimeZone = 'UTC'")
            con.execute("SET enable_progress_bar = false")  # it would go to stdout, which is for results
            if limits.threads is not None:
                con.execute(f"SET threads = {limits.threads:d}")
            yield con
    except RuntimeError as error:
        if str(error) == INTERRUPTED:  # how the engine reports Ctrl-C: not a failure of ours
            raise KeyboardInterrupt from error
        raise
    except duckdb.OutOfMemoryException as error:
        raise LakeError(
            f"{what} could not be computed within {limits.memory() // 2**20} MiB of memory: {_first_line(error)}.",
            hint="Free memory or disk space beside the lake, then run again: nothing was replaced.",
            what=what,
        ) from error
    except duckdb.Error as error:
        raise LakeError(
            f"{what} could not be computed: {_first_line(error)}.",
            hint="If the message names an input file, materialize that file's asset again: it is missing, damaged or "
            "of another version. Nothing was replaced.",
            what=what,
        ) from error
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


def literal(text: str) -> str:
    """The SQL literal of a text."""
    return "'" + text.replace("'", "''") + "'"


def parquet(*paths: Path, filename: bool = False) -> str:
    """The SQL table expression that reads these Parquet files, whatever characters their names hold.

    With `filename` each row has a column `filename`: the path as given.
    """
    names = ", ".join(literal(_unglobbed(str(path))) for path in paths)
    return f"read_parquet([{names}], filename = {str(filename).lower()})"


def _unglobbed(path: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in path)


def write_parquet(con: duckdb.DuckDBPyConnection, query: str, out: Path) -> None:
    """Writes the rows of an ordered query to a Parquet file; equal rows in equal order give equal bytes."""
    con.execute(f"COPY ({query}) TO {literal(str(out))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 122880)")


def fetch_row(con: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The only row of a query."""
    (row,) = con.sql(query).fetchall()
    return tuple(row)


def require_files(what: str, paths: Sequence[Path]) -> None:
    """Checks that the inputs are there before work starts.

    Raises:
        LakeError: one is not; the message names the first.
    """
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise LakeError(
            f"{what} cannot be computed: {missing[0]} does not exist ({len(missing)} of {len(paths)} inputs missing).",
            hint=f"Materialize {missing[0].parent.name} first.",
            what=what,
            missing=[str(path) for path in missing[:20]],
        )


def row_count(path: Path) -> int:
    """The rows of a Parquet file, from its footer.

    Raises:
        LakeError: it is not a Parquet file.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise LakeError(
            f"{path} is damaged or missing: {error}.", hint="Materialize the asset that makes it again.", path=str(path)
        ) from error
