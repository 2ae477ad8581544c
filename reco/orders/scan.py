"""The records of a drop, scanned once and kept as coded columns.

Belongs here: what is known about the CSV reader, and proving that it took each line it was given. Does not belong here:
what the text of a field means (`reco.orders.typed`).

The reader sees plain lines only, and the rows of a file come in the file's order, so a row's number within its file
leads to its physical line. A file for which that does not add up is not believed. What a long file gave is kept in the
scratch folder and mapped into memory, so that memory does not grow with it.
"""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from reco.errors import LedgerBroken
from reco.orders.coded import CODED
from reco.orders.lines import Ints
from reco.orders.opened import OpenedDrop
from reco.storage.columns import index_array, number_column

BLOCK = 2**23
"""Bytes of text that become one batch of records."""
KEPT_BYTES = 2**27
"""A file of more text is kept in the scratch folder instead of in memory."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Rows:
    """Some records of a drop.

    rows: their numbers in the drop; lines: their first physical lines, ascending; table: their columns in use.
    """

    rows: Ints
    lines: Ints
    table: pa.Table


@dataclass(frozen=True)
class Scanned:
    """The records of one drop that are whole: those of plain lines first, then those of the record reader.

    plain, extra: their columns in use, `c{i}` by position in the header, coded; whole: a hash of each record's texts;
    mapped: the files that hold the columns of a long file.
    """

    opened: OpenedDrop
    plain: pa.Table
    extra: pa.Table
    whole: Hashes
    mapped: Sequence[mmap.mmap] = ()

    def release(self) -> None:
        """Gives the memory of what was read back to the system; all of it can be read again."""
        for one in self.mapped:
            one.madvise(mmap.MADV_DONTNEED)
        self.opened.text.release_all()

    def lines_of(self, rows: Ints) -> Ints:
        """The first physical lines of records, whose numbers ascend."""
        plain = int(np.searchsorted(rows, self.opened.plain_rows))
        others = self.opened.extra_lines[rows[plain:] - self.opened.plain_rows]
        return np.concatenate([self.opened.lines_of(rows[:plain]), others])

    def batches(self) -> Iterator[pa.Table]:
        """All records in the order of their numbers, some at once."""
        for table in (self.plain, self.extra):
            for batch in table.to_batches():
                yield pa.Table.from_batches([batch])
                self.release()

    def run(self, start: int, stop: int) -> Rows:
        """The records that begin at a run of physical lines, in their order."""
        opened = self.opened
        low, high = opened.rows_before(start), opened.rows_before(stop)
        first, last = np.searchsorted(opened.extra_lines, [start, stop]).tolist()
        rows = np.concatenate([np.arange(low, high), np.arange(first, last) + opened.plain_rows])
        table = pa.concat_tables([self.plain.slice(low, high - low), self.extra.slice(first, last - first)])
        lines = self.lines_of(rows)
        if first == last or low == high:
            return Rows(rows, lines, table)
        order = np.argsort(lines)
        return Rows(rows[order], lines[order], table.unify_dictionaries().take(number_column(order)))


def load(drops: Sequence[OpenedDrop], folder: Path) -> list[Scanned | None]:
    """Scans drops; None for one whose records do not add up, which is not to be believed.

    Raises:
        LedgerBroken: rows that our own record reader wrote do not come back.
        OSError: the folder cannot be written.
    """
    folder.mkdir()
    return [_scanned(drop, folder / str(i)) for i, drop in enumerate(drops)]


def _scanned(drop: OpenedDrop, kept: Path) -> Scanned | None:
    # Not `empty_table`, which imports pandas to see whether it is given one of its objects.
    nothing = pa.Table.from_batches([], pa.schema([(f"c{i}", CODED) for i in drop.layout.mapping.positions()]))
    plain, extra, whole = nothing, nothing, [np.empty(0, np.uint64)]
    mapped: list[mmap.mmap] = []
    if drop.plain is not None:
        try:
            plain, hashes = _read(_plain_reader(drop, drop.plain), drop, kept.with_suffix(".plain"), mapped)
        except pa.ArrowInvalid:
            return None  # such as a mixture that only shows in the reader: each line is then read by itself
        if plain.num_rows != drop.plain_rows:
            return None
        whole += hashes
    if drop.extra is not None:
        extra, hashes = _read(_extra_reader(drop, drop.extra), drop, kept.with_suffix(".extra"), mapped)
        if extra.num_rows != len(drop.extra_lines):
            raise LedgerBroken(
                f"{len(drop.extra_lines)} records were written for the scan and {extra.num_rows} came back.",
                hint="This is a defect of ours: please report it with the files of this batch.",
                drop=drop.drop.name,
            )
        whole += hashes
    return Scanned(drop, plain, extra, np.concatenate(whole), mapped)


def _plain_reader(drop: OpenedDrop, path: Path) -> Any:
    dialect = drop.layout.dialect
    parsing = csv.ParseOptions(
        delimiter=dialect.delimiter,
        quote_char=dialect.quote or False,
        double_quote=bool(dialect.quote),
        newlines_in_values=False,
    )
    longest = drop.drop.profile.rules.max_line_bytes + 2
    return _reader(drop, path, parsing, longest, header=dialect.header)


def _extra_reader(drop: OpenedDrop, path: Path) -> Any:
    # Quoting every field and doubling quotes makes a record longer than it came, twice as long at most and the borders.
    longest = 2 * drop.drop.profile.rules.max_line_bytes + 4 * len(drop.layout.header)
    return _reader(drop, path, csv.ParseOptions(newlines_in_values=True), longest, header=False)


def _reader(drop: OpenedDrop, path: Path, parsing: csv.ParseOptions, longest: int, *, header: bool) -> Any:
    used = set(drop.layout.mapping.positions())
    kinds = {f"c{i}": CODED if i in used else pa.string() for i in range(len(drop.layout.header))}
    block = min(max(BLOCK, 2 * longest), path.stat().st_size + 1)  # a block holds the longest record, cut anywhere
    return csv.open_csv(
        path,
        read_options=csv.ReadOptions(
            column_names=list(kinds), skip_rows=int(header), block_size=block, use_threads=False
        ),
        parse_options=parsing,
        convert_options=csv.ConvertOptions(column_types=kinds, strings_can_be_null=False),
    )


def _read(reader: Any, drop: OpenedDrop, kept: Path, mapped: list[mmap.mmap]) -> tuple[pa.Table, list[Hashes]]:
    """The columns in use and the hashes of all records; on disk, and mapped from there, where the text is long."""
    used = [f"c{i}" for i in drop.layout.mapping.positions()]
    schema = pa.schema([(name, CODED) for name in used])
    hashes: list[Hashes] = []

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in reader:
            hashes.append(_hashes(batch))
            yield batch.select(used)

    if drop.text.size <= KEPT_BYTES:
        return pa.Table.from_batches(batches(), schema), hashes
    with pa.OSFile(str(kept), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for batch in batches():
            writer.write_batch(batch)
    with kept.open("rb") as handle:  # not `pa.memory_map`, whose memory cannot be given back
        mapped.append(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))
    return pa.ipc.open_stream(pa.BufferReader(pa.py_buffer(mapped[-1]))).read_all(), hashes


def _hashes(batch: pa.RecordBatch) -> Hashes:
    """A number for each record; equal for equal texts, and hardly ever otherwise."""
    whole = np.zeros(batch.num_rows, np.uint64)
    for column in batch.columns:
        whole *= _MIX
        if isinstance(column, pa.DictionaryArray):
            whole += text_hashes(column.dictionary)[index_array(column.indices)]
        else:
            whole += text_hashes(column)
    return whole


def text_hashes(values: Any) -> Hashes:
    """A number for each text; equal for equal texts, within this process."""
    return pl.Series(values).hash().to_numpy()
