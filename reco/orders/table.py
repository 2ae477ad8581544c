"""Any CSV file as a table of text: every record with its line, whether or not it holds orders.

Belongs here: reading all columns the way drops are read. Does not belong here: what a column means.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reco.errors import LedgerBroken
from reco.orders import scan
from reco.orders.drops import DropFile
from reco.orders.headers import Mapping
from reco.orders.opened import OpenedDrop, open_drop
from reco.orders.records import Faults
from reco.orders.scan import Scanned
from reco.storage.columns import lake_errors

_LINES = 20_000


@dataclass(frozen=True)
class Table:
    """One file, read. `opened.faults` are its records with a structural fault, `scanned` the others."""

    scanned: Scanned

    @property
    def opened(self) -> OpenedDrop:
        """The file made ready."""
        return self.scanned.opened

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
        end = self.opened.scan.lines + 1
        for start in range(1, end, _LINES):
            some = self.scanned.run(start, min(start + _LINES, end))
            columns = [some.table[f"c{i}"].to_pylist() for i in range(len(self.header))]
            yield from zip(some.lines.tolist(), map(list, zip(*columns, strict=True)), strict=True)


@contextmanager
def open_table(drop: DropFile, folder: Path, *, all_columns: bool = True) -> Iterator[Table]:
    """Reads a file as a table; memory stays bounded, and what does not fit is kept in the folder.

    Args:
        drop: the file; its profile's dialect counts, its columns need not be there.
        folder: a folder that does not exist yet, for what has to be written on the way.
        all_columns: every column is kept; without, only those the profile maps, and `records` cannot be asked for.

    Raises:
        DropMissing, DropEmpty, DropUnreadable: the file cannot be read at all.
        LakeError: the folder cannot be written.
    """
    with lake_errors("the table of a file"):
        opened = open_drop(drop, folder, orders=False)
        (scanned,) = scan.load([_kept(opened, all_columns=all_columns)], folder / "scanned")
        if scanned is None:
            opened = open_drop(drop, folder / "again", orders=False, record_by_record=True)
            (scanned,) = scan.load([_kept(opened, all_columns=all_columns)], folder / "scanned-again")
        if scanned is None:
            raise LedgerBroken(
                f"The lines of {drop.name} do not add up in either way of reading.",
                hint="This is a defect of ours: please report it with the file.",
                drop=drop.key,
            )
        yield Table(scanned)


def _kept(opened: OpenedDrop, *, all_columns: bool) -> OpenedDrop:
    """The drop with the columns to keep named in its mapping."""
    layout = opened.layout
    if all_columns:
        every = Mapping({}, {str(i): i for i in range(len(layout.header))})
        opened.layout = replace(layout, mapping=every)
    elif not layout.mapping.positions():
        opened.layout = replace(layout, mapping=Mapping({}, {"": 0}))
    return opened
