"""Columns of Parquet files read straight into arrays: one row group after another, one column at a time.

Belongs here: how a column of several files becomes one array. Does not belong here: what a column means, and making
columns (`reco.storage.columns`).

A whole column as Arrow reads it, and what is made of it, are there side by side; of long tables the system's work to
find that memory was more than half of what reading cost. A row group at a time needs the array and little else.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco.storage.columns import (
    CODED,
    COUNT,
    MONEY,
    MONEY_SUM,
    NULL,
    PORTION,
    TEXT,
    TIME,
    Arrow,
    Ints,
    Texts,
    ascends,
    distinct_texts,
    index_array,
    money,
    nothing,
    numbers,
    read_metadata,
    sums,
)

WAITING_BYTES = 2**26
"""From so many of texts that may be equal on, or as many as are known to differ, equal ones become one."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of Parquet files of one shape, whose rows follow each other in the order of the files.

    files: each with its metadata; rows: of each file.
    """

    files: tuple[tuple[Path, pq.FileMetaData], ...]
    rows: tuple[int, ...]

    @classmethod
    def of(cls, paths: Sequence[Path], names: Sequence[str]) -> "Columns":
        """The files, with these columns at least.

        Raises:
            LakeError: a file has no such column. Use within `lake_errors` for what else can be wrong, here and below.
        """
        files = tuple((path, read_metadata(path, names)) for path in paths)
        return cls(files, tuple(meta.num_rows for _, meta in files))

    def __len__(self) -> int:
        return sum(self.rows)

    def texts(self, name: str) -> Texts:
        """The codes of a column of texts. Where all rows have the same one, their array takes no memory."""
        codes = _Filled(len(self), np.int32)
        dictionaries: list[Arrow] = []
        base, last, ascending = 0, None, True
        waiting, done = 0, 0
        for start, stop, column in self._groups(name, CODED):
            held = column.dictionary
            if len(held):
                ascending = ascending and ascends(held) and (last is None or last <= _bytes(held[0]))
                if ascending and last == _bytes(held[0]):
                    base -= 1  # the text that ended the group before
                    dictionaries[-1] = dictionaries[-1].slice(0, len(dictionaries[-1]) - 1)
                last = _bytes(held[-1]) if ascending else None
                dictionaries.append(held)
            if column.null_count == len(column):
                codes.fill(start, stop, NULL)
            elif len(held) == 1 and not column.null_count:
                codes.fill(start, stop, base)
            else:
                mine = index_array(column.indices)
                codes.put(start, stop, np.where(mine == NULL, NULL, mine + base) if column.null_count else mine + base)
            base, waiting = base + len(held), waiting + held.nbytes
            if not ascending and waiting > max(WAITING_BYTES, dictionaries[0].nbytes):
                values, places = _united(dictionaries)
                codes.translate(done, stop, places)  # those before stay: texts are in the order of their first use
                dictionaries, base, waiting, done = [values], len(values), 0, stop
        if ascending:
            return Texts(pa.concat_arrays(dictionaries) if dictionaries else nothing(0, TEXT), codes.values)
        values, places = _united(dictionaries)
        found = distinct_texts(values, places)
        codes.translate(0, len(self), found.codes)
        return Texts(found.values, codes.values)

    def numbers(self, name: str, *, null: int = 0) -> Ints:
        """A column of 64-bit integers, `null` where it has no value."""
        return self._numbers(name, COUNT, null)

    def times(self, name: str, *, null: int) -> Ints:
        """A column of times in microseconds since 1970, `null` where it has no value."""
        return self._numbers(name, TIME, null)

    def _numbers(self, name: str, kind: pa.DataType, null: int) -> Ints:
        found = _Filled(len(self), np.int64)
        for start, stop, column in self._groups(name, kind):
            values = (
                np.array([null]) if column.null_count == len(column) else numbers(pa.chunked_array([column]), null=null)
            )
            if (values == values[0]).all():
                found.fill(start, stop, values[0])
            else:
                found.put(start, stop, values)
        return found.values

    def money(self, name: str) -> tuple[Ints, NDArray[np.bool_]]:
        """A DECIMAL(18,4) column in ten-thousandths, 0 where it has no value, and which rows have one."""
        return self._amounts(name, MONEY, money, np.zeros(len(self), np.int64))

    def sums(self, name: str) -> tuple[Ints, NDArray[np.bool_]]:
        """A DECIMAL(38,4) column as `columns.sums` gives it, and which rows have a value."""
        return self._amounts(name, MONEY_SUM, sums, np.zeros((len(self), 2), np.int64))

    def _amounts(
        self, name: str, kind: pa.DataType, read: Callable[[Arrow], tuple[Ints, NDArray[np.bool_]]], found: Ints
    ) -> tuple[Ints, NDArray[np.bool_]]:
        known = np.zeros(len(self), bool)
        for start, stop, column in self._groups(name, kind):
            if column.null_count < len(column):
                found[start:stop], known[start:stop] = read(pa.chunked_array([column]))
        return found, known

    def has_values(self, name: str) -> bool:
        """Whether a column has a value in any row."""
        return any(column.null_count < len(column) for _, _, column in self._groups(name, None))

    def _groups(self, name: str, kind: pa.DataType | None) -> Iterator[tuple[int, int, Arrow]]:
        """Each row group's rows, from and to, and what they hold, as this type."""
        done = 0
        for path, meta in self.files:
            place = meta.schema.to_arrow_schema().names.index(name)
            with pq.ParquetFile(path, metadata=meta, read_dictionary=[name] if kind is CODED else []) as file:
                for group in range(meta.num_row_groups):
                    rows, told = meta.row_group(group).num_rows, meta.row_group(group).column(place).statistics
                    if told is not None and told.null_count == rows:
                        yield done, done + rows, nothing(rows, kind or COUNT)
                        done += rows
                        continue
                    read: Any = file.read_row_group(group, columns=[name], use_threads=False)
                    column = read[name] if kind is None else read[name].cast(kind)
                    whole = column.combine_chunks()
                    yield done, done + len(whole), whole
                    done += len(whole)


class _Filled:
    """An array filled from its beginning on. While all its values are one, it takes no memory, and cannot be written.

    values: the array, once all of it is filled.
    """

    def __init__(self, count: int, kind: type[np.integer[Any]]) -> None:
        self.values: NDArray[Any] = np.broadcast_to(kind(0), count)
        self._whole = False

    def fill(self, start: int, stop: int, value: int) -> None:
        """Gives a run of places the same value."""
        if not start:
            self.values = np.broadcast_to(self.values.dtype.type(value), len(self.values))
        elif self._whole or self.values[0] != value:
            self.put(start, stop, value)

    def put(self, start: int, stop: int, values: NDArray[Any] | int) -> None:
        """Gives a run of places these values."""
        if not self._whole:
            whole = np.empty(len(self.values), self.values.dtype)
            whole[:start] = self.values[:start]
            self.values, self._whole = whole, True
        self.values[start:stop] = values

    def translate(self, start: int, stop: int, places: NDArray[np.int32]) -> None:
        """Gives codes in a run of places the code that stands at their place; null stays."""
        places = np.append(places, np.int32(NULL))  # the last place, which is that of index -1
        if not self._whole:
            self.values = np.broadcast_to(places[self.values[:1]], len(self.values))
            return
        for low in range(start, stop, PORTION):
            high = min(low + PORTION, stop)
            self.values[low:high] = places[self.values[low:high]]


def _united(dictionaries: list[Arrow]) -> tuple[Arrow, NDArray[np.int32]]:
    """Their distinct texts by first use, and the place there of each text of all of them.

    They are not joined before: together they may hold more bytes than one array can, whose texts are few.
    """
    encoded: Any = pa.chunked_array(dictionaries).dictionary_encode()
    return encoded.chunk(0).dictionary, np.concatenate([index_array(chunk.indices) for chunk in encoded.chunks])


def _bytes(text: Any) -> bytes:
    return bytes(text.as_buffer())
