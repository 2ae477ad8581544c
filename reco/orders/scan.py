"""Many drops of one shape in one DuckDB scan, as the table `raw`.

Belongs here: what is known about DuckDB's CSV reader, and proving that it took each line it was given. Does not belong
here: what the text of a field means (`reco.orders.sql`).

The reader sees plain lines only. It tells rejected lines by number, and the rows of a file come in the file's order, so
a row's number within its file leads to its physical line. A file for which that does not add up is not believed.
"""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np

from reco.errors import LedgerBroken
from reco.orders.lines import Ints
from reco.orders.opened import OpenedDrop
from reco.orders.profiles import MAX_LINE_BYTES
from reco.storage.engine import fetch_row, literal

_DEFAULT_LINE_SIZE = 2_097_152


def load(con: duckdb.DuckDBPyConnection, drops: Sequence[OpenedDrop], links: Path) -> list[OpenedDrop]:
    """Reads drops of one profile, dialect and header into the table `raw`; returns those not to be believed.

    `raw` has `file_no` (position in `drops`), `whole` (a hash of the record) and `c{i}` for each column in use.
    Rows of plain lines come first, drop by drop, then those of suspicious records, drop by drop.

    Raises:
        LedgerBroken: rows that our own record reader wrote do not come back.
    """
    links.mkdir()
    layout = drops[0].layout
    used = ", ".join(f"c{i}" for i in layout.mapping.positions())
    whole = ", ".join(f"c{i}" for i in range(len(layout.header)))
    fields = f"CAST(parse_filename(filename, true) AS INTEGER) AS file_no, hash({whole}) AS whole, {used}"
    nothing = ", ".join(f"NULL::VARCHAR AS c{i}" for i in range(len(layout.header)))
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE raw AS SELECT {fields} FROM (SELECT {nothing}, '0' AS filename) WHERE false"
    )
    con.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    plain = {i: drop.plain for i, drop in enumerate(drops) if drop.plain is not None}
    doubted: set[int] = set()
    if plain:
        names = _link(plain, links, "csv")
        try:
            con.execute(f"INSERT INTO raw SELECT {fields} FROM {_plain_reader(names, drops[0])}")
        except (duckdb.InvalidInputException, duckdb.ConversionException, duckdb.IOException):
            return list(drops)  # such as a mixture that only shows in the reader: each line is then read by itself
        doubted = _reconcile(con, drops)
    _load_extra(con, drops, fields, links)
    return [drops[i] for i in sorted(doubted)]


def _link(files: dict[int, Path], links: Path, suffix: str) -> str:
    """The files under names that are their positions in the batch, as an SQL list."""
    names = []
    for i, path in files.items():
        name = links / f"{i:06d}.{suffix}"
        name.symlink_to(path)
        names.append(literal(str(name)))
    return "[" + ", ".join(names) + "]"


def _columns(drop: OpenedDrop) -> str:
    return "{" + ", ".join(f"'c{i}': 'VARCHAR'" for i in range(len(drop.layout.header))) + "}"


def _plain_reader(names: str, drop: OpenedDrop) -> str:
    dialect = drop.layout.dialect
    longest = max(_DEFAULT_LINE_SIZE, min(drop.drop.profile.rules.max_line_bytes, MAX_LINE_BYTES) + 2)
    quote = literal(dialect.quote)
    return (
        f"read_csv({names}, columns = {_columns(drop)}, auto_detect = false, header = {str(dialect.header).lower()}, "
        f"delim = {literal(dialect.delimiter)}, quote = {quote}, escape = {quote}, strict_mode = true, "
        f"max_line_size = {longest}, store_rejects = true, filename = true, hive_partitioning = false)"
    )


def _reconcile(con: duckdb.DuckDBPyConnection, drops: Sequence[OpenedDrop]) -> set[int]:
    """Enters each drop's first row and rejected lines; returns the positions of those that do not add up."""
    counts = con.sql("SELECT file_no, min(rowid), max(rowid), count(*) FROM raw GROUP BY file_no").fetchall()
    rows = {file_no: (first, last, count) for file_no, first, last, count in counts}
    rejected = con.sql(
        "SELECT DISTINCT CAST(parse_filename(s.file_path, true) AS INTEGER) AS file_no, CAST(e.line AS BIGINT) AS line "
        "FROM reject_errors e JOIN reject_scans s USING (scan_id, file_id) ORDER BY file_no, line"
    ).fetchnumpy()
    files, firsts = np.unique(rejected["file_no"], return_index=True)
    rejects = dict(zip(files.tolist(), np.split(rejected["line"].astype(np.int64), firsts[1:]), strict=False))
    doubted = set()
    for i, drop in enumerate(drops):
        if drop.plain is None:
            continue
        first, last, count = rows.get(i, (0, -1, 0))
        lines = rejects.get(i, np.empty(0, np.int64))
        whole = last - first + 1 == count and count + len(lines) == drop.plain_rows
        drop.first_row = first
        if not whole or (len(lines) and not drop.reject(_physical(drop, lines))):
            doubted.add(i)
    return doubted


def _physical(drop: OpenedDrop, lines: Ints) -> Ints:
    """The physical lines of lines of the plain file, counted from 1 with its header."""
    rows = lines - 1 - (1 if drop.layout.dialect.header else 0)
    return drop.lines_of(rows[(rows >= 0) & (rows < drop.plain_rows)])


def _load_extra(con: duckdb.DuckDBPyConnection, drops: Sequence[OpenedDrop], fields: str, links: Path) -> None:
    extra = {i: drop.extra for i, drop in enumerate(drops) if drop.extra is not None}
    if not extra:
        return
    (before,) = fetch_row(con, "SELECT count(*) FROM raw")
    # Quoting every field and doubling quotes makes a record longer than it came, twice as long at most and the borders.
    longest = max(_DEFAULT_LINE_SIZE, 2 * drops[0].drop.profile.rules.max_line_bytes + 4 * len(drops[0].layout.header))
    reader = (
        f"read_csv({_link(extra, links, 'extra')}, columns = {_columns(drops[0])}, auto_detect = false, "
        f"header = false, delim = ',', quote = '\"', escape = '\"', new_line = '\\n', parallel = false, "
        f"max_line_size = {longest}, filename = true, hive_partitioning = false)"
    )
    con.execute(f"INSERT INTO raw SELECT {fields} FROM {reader}")
    for i in extra:
        drops[i].first_extra_row = before
        before += len(drops[i].extra_lines)
    (after,) = fetch_row(con, "SELECT count(*) FROM raw")
    if after != before:
        raise LedgerBroken(
            f"{before} records were written for the scan and {after} came back.",
            hint="This is a defect of ours: please report it with the files of this batch.",
            drops=[drop.drop.name for drop in drops],
        )
