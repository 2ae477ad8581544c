"""Any CSV file as a table of text: every record with its line, whether or not it holds orders.

Belongs here: reading all columns the way drops are read. Does not belong here: what a column means.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path

import duckdb
import numpy as np

from reco.errors import LedgerBroken
from reco.orders import scan
from reco.orders.drops import DropFile
from reco.orders.headers import Mapping
from reco.orders.lines import Ints
from reco.orders.opened import OpenedDrop, open_drop
from reco.orders.records import Faults
from reco.storage.engine import open_engine

_ROWS = 20_000


@dataclass(frozen=True)
class Table:
    """One file, read. `opened.faults` are its records with a structural fault; the rows of the others are in `raw`."""

    con: duckdb.DuckDBPyConnection
    opened: OpenedDrop

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self.opened.layout.header

    @property
    def faults(self) -> Faults:
        """The records with a structural fault, by line."""
        return self.opened.faults

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """The first line and the fields of each whole record, in the order of the file; an empty field is ""."""
        opened = self.opened
        plain = self._rows(opened.first_row, opened.plain_rows)
        extra = self._rows(opened.first_extra_row, len(opened.extra_lines))
        lines = (int(line) for start in range(0, opened.plain_rows, _ROWS) for line in self._lines(start))
        yield from merge(
            zip(lines, plain, strict=True),
            zip(opened.extra_lines.tolist(), extra, strict=True),
            key=lambda one: one[0],
        )

    def _lines(self, start: int) -> Ints:
        return self.opened.lines_of(np.arange(start, min(start + _ROWS, self.opened.plain_rows), dtype=np.int64))

    def _rows(self, first: int, count: int) -> Iterator[list[str]]:
        fields = ", ".join(f"c{i}" for i in range(len(self.header)))
        for start in range(first, first + count, _ROWS):
            stop = min(start + _ROWS, first + count)
            rows = self.con.execute(
                f"SELECT {fields} FROM raw WHERE rowid >= {start} AND rowid < {stop} ORDER BY rowid"
            )
            for row in rows.fetchall():
                yield ["" if value is None else value for value in row]


@contextmanager
def open_table(drop: DropFile, folder: Path, *, all_columns: bool = True) -> Iterator[Table]:
    """Reads a file as a table; memory stays bounded, and what does not fit is spilled into the folder.

    Args:
        drop: the file; its profile's dialect counts, its columns need not be there.
        folder: a folder that does not exist yet, for what has to be written on the way.
        all_columns: every column is kept; without, only those the profile maps, and `records` cannot be asked for.

    Raises:
        DropMissing, DropEmpty, DropUnreadable: the file cannot be read at all.
    """
    opened = open_drop(drop, folder, orders=False)
    with open_engine("the table of a file", folder / "table") as con:
        if _doubted(con, _kept(opened, all_columns=all_columns), folder / "links"):
            opened = open_drop(drop, folder / "again", orders=False, record_by_record=True)
            if _doubted(con, _kept(opened, all_columns=all_columns), folder / "links-again"):
                raise LedgerBroken(
                    f"The lines of {drop.name} do not add up in either way of reading.",
                    hint="This is a defect of ours: please report it with the file.",
                    drop=drop.key,
                )
        yield Table(con, opened)


def _kept(opened: OpenedDrop, *, all_columns: bool) -> OpenedDrop:
    """The drop with the columns to keep named in its mapping."""
    layout = opened.layout
    if all_columns:
        every = Mapping({}, {str(i): i for i in range(len(layout.header))})
        opened.layout = replace(layout, mapping=every)
    elif not layout.mapping.positions():
        opened.layout = replace(layout, mapping=Mapping({}, {"": 0}))
    return opened


def _doubted(con: duckdb.DuckDBPyConnection, opened: OpenedDrop, links: Path) -> bool:
    return bool(scan.load(con, [opened], links))
