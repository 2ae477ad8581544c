"""Columns of Parquet files as numbers: texts as codes in the order of their bytes, money as scaled integers.

Belongs here: reading and writing such columns, for computations that sort and count. Does not belong here: what a
column means, and queries (`reco.storage.engine`).

A code is the place of a text among the distinct texts in ascending order, so comparing codes compares texts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from reco.errors import LakeError

Ints = NDArray[np.int64]
Arrow = Any
"""An array of pyarrow, plain, chunked or dictionary; its stubs know too little of them."""

ROW_GROUP = 122_880
PORTION = 2**20
"""Rows computed at once where a whole column beside the result would be too much."""
TEXT: pa.DataType = pa.string()
COUNT: pa.DataType = pa.int64()
REAL: pa.DataType = pa.float64()
TIME: pa.DataType = pa.timestamp("us")
MONEY: pa.DataType = pa.decimal128(18, 4)
MONEY_SUM: pa.DataType = pa.decimal128(38, 4)
"""Of amounts of money added up, which have no size that is known before."""
_LOW_BITS = 32
_LOW = 2**_LOW_BITS - 1
CODED: pa.DataType = pa.dictionary(pa.int32(), pa.string())
NULL = -1
"""The code of a text that is null."""


@dataclass(frozen=True)
class Texts:
    """A text column. values: its distinct texts, ascending by bytes; codes: their places, one a row, -1 for null."""

    values: Arrow
    codes: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.values)


def read_metadata(path: Path, names: Sequence[str]) -> pq.FileMetaData:
    """The metadata of a Parquet file that has these columns.

    Raises:
        LakeError: it lacks one.
    """
    meta = pq.read_metadata(path)
    held = meta.schema.to_arrow_schema().names
    missing = [name for name in names if name not in held]
    if missing:
        raise LakeError(
            f"{path} has no column {missing[0]!r}.",
            hint=f"Materialize {path.parent.name} again: it is of another version.",
            path=str(path),
        )
    return meta


def read_columns(path: Path, schema: pa.Schema, *, coded: Sequence[str] = ()) -> pa.Table:
    """The columns of a schema from one Parquet file, whoever wrote it; those in `coded` come as dictionaries.

    All at once: what may be long is read by `reco.storage.reading`.

    Raises:
        LakeError: the file has no such column. Use within `lake_errors` for what else can be wrong.
    """
    meta = read_metadata(path, schema.names)
    with pq.ParquetFile(path, metadata=meta, read_dictionary=list(coded)) as file:
        table = file.read(columns=schema.names, use_threads=False).select(schema.names)
    kinds = [(name, CODED if name in coded else schema.field(name).type) for name in schema.names]
    return table.cast(pa.schema(kinds))


def texts(column: Arrow) -> Texts:
    """The codes of a column of texts, in whatever chunks it comes."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    if not encoded.num_chunks:
        return Texts(pa.nulls(0, pa.string()), np.empty(0, np.int32))
    whole = encoded.unify_dictionaries().combine_chunks()
    return distinct_texts(whole.dictionary, index_array(whole.indices))


def distinct_texts(values: Arrow, codes: NDArray[np.int32]) -> Texts:
    """The column of these codes of these texts, no two of which are equal."""
    if ascends(values):  # as ids of files often do
        return Texts(values, codes)
    order = pc.sort_indices(values)
    places = np.empty(len(order) + 1, np.int32)
    places[_values(order, np.uint64)] = np.arange(len(order), dtype=np.int32)
    places[NULL] = NULL  # the last place, which is that of index -1
    return Texts(values.take(order), places[codes])


def pair_codes(one: Texts, other: Texts) -> Ints:
    """A code a row for what two columns say together, neither of them null; codes compare as `one` and then `other`."""
    found = other.codes.astype(np.int64)
    if len(one) > 1:
        for start in range(0, len(found), PORTION):
            found[start : start + PORTION] += one.codes[start : start + PORTION].astype(np.int64) * len(other)
    return found


def split_codes(codes: Ints, count: int) -> tuple[Ints, Ints]:
    """What `pair_codes` put together, where the second column has `count` codes."""
    if codes.max(initial=0) < count:  # of one kind alone, as the orders of a shop are of one source
        return np.broadcast_to(np.int64(0), len(codes)), codes
    first: Ints = codes // max(1, count)
    return first, codes - first * count


def is_one_value(values: NDArray[Any]) -> bool:
    """Whether an array is one value told for all its places, as `reco.storage.reading` gives a column that has one."""
    return len(values) > 1 and values.strides == (0,)


def repeated(values: NDArray[Any], times: Sequence[int]) -> NDArray[Any]:
    """Each value so many times; one value takes no memory."""
    if len(values) == 1:
        return np.broadcast_to(values[0], times[0])
    return np.repeat(values, times)


def sum_runs(values: Ints, places: Ints, starts: Ints) -> Ints:
    """The sums of the values at some places, in runs that begin at `starts` among them; there is at least one."""
    if is_one_value(values):
        found: Ints = np.diff(starts, append=len(places)) * values[0]
    else:
        found = np.add.reduceat(values[places], starts)
    return found


def places_by_code(codes: NDArray[np.integer[Any]], count: int) -> Ints:
    """The places of the rows, sorted by their code (which is below `count`, and none null); equals stay in order."""
    # Sixteen bits are sorted by radix, in a fifth of the time.
    found: Ints = np.argsort(codes.astype(np.uint16) if count <= 2**16 else codes, kind="stable")
    return found


def ascends(values: Arrow) -> bool:
    """Whether each text comes before the next, by bytes."""
    return len(values) < 2 or bool(flags(pc.less(values.slice(0, len(values) - 1), values.slice(1))).all())


def numbers(column: Arrow, *, null: int = 0) -> Ints:
    """A column of 64-bit integers or times as integers (times in their unit), `null` where it has no value."""
    found: Ints = _values(column.combine_chunks(), np.int64, null)
    return found


def reals(column: Arrow) -> NDArray[np.float64]:
    """A column of doubles, NaN where it has no value."""
    found: NDArray[np.float64] = _values(column.cast(REAL).combine_chunks(), np.float64, np.nan)
    return found


def flags(column: Arrow) -> NDArray[np.bool_]:
    """A column of booleans without nulls."""
    found: NDArray[np.bool_] = _values(column.cast(pa.uint8()), np.uint8).astype(bool)
    return found


def money(column: Arrow) -> tuple[Ints, NDArray[np.bool_]]:
    """A DECIMAL(18,4) column in ten-thousandths, 0 where it has no value, and which rows have one."""
    whole = column.combine_chunks().cast(MONEY)
    if whole.null_count == len(whole):
        return np.zeros(len(whole), np.int64), np.zeros(len(whole), bool)
    # Little-endian 128-bit integers; eighteen digits fit into the lower half.
    halves = np.frombuffer(whole.buffers()[1], np.int64)
    known = flags(whole.is_valid())
    return np.where(known, halves[2 * whole.offset : 2 * (whole.offset + len(whole)) : 2], 0), known


def index_array(indices: Arrow) -> NDArray[np.int32]:
    """The indices of a dictionary column, -1 where it has no value."""
    found: NDArray[np.int32] = _values(indices, np.int32, NULL)
    return found


def _values(column: Arrow, dtype: Any, null: float = 0) -> Any:
    # Not `to_numpy`, which imports pandas to see whether it is asked for.
    if column.null_count == len(column):
        return np.full(len(column), null, dtype)
    values = np.frombuffer(column.buffers()[1], dtype)[column.offset : column.offset + len(column)]
    return np.where(flags(column.is_valid()), values, dtype(null)) if column.null_count else values


def _buffer(values: Any) -> pa.Buffer:
    return pa.py_buffer(values)


def number_column(values: NDArray[Any], kind: pa.DataType = COUNT, *, known: NDArray[np.bool_] | None = None) -> Arrow:
    """A column of these numbers, whose size in bytes is that of `kind`; null where not known."""
    # Not `pa.array`, which imports pandas to see whether it is given one of its objects.
    if known is not None and not known.any():
        return nothing(len(values), kind)
    valid = None if known is None else _buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(kind, len(values), [valid, _buffer(np.ascontiguousarray(values))])


def flag_column(values: NDArray[np.bool_]) -> Arrow:
    """A column of booleans."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _buffer(np.packbits(values, bitorder="little"))])


def sum_money(amounts: Ints, starts: Ints) -> Ints:
    """The sums of runs of amounts (in ten-thousandths) that begin at `starts`; there is at least one.

    Returns:
        The sums as little-endian 128-bit integers, two halves a row: no number of lines is too many for them.
    """
    low = np.add.reduceat(amounts & _LOW, starts)  # of 32 bits each, so that neither sum can leave its 64
    high = np.add.reduceat(amounts >> _LOW_BITS, starts) + (low >> _LOW_BITS)
    return np.stack([(high << _LOW_BITS) | (low & _LOW), high >> _LOW_BITS], axis=1)


def sums(column: Arrow) -> tuple[Ints, NDArray[np.bool_]]:
    """A DECIMAL(38,4) column as little-endian 128-bit integers, two halves a row, 0 where null; and which are known."""
    whole = column.combine_chunks().cast(MONEY_SUM)
    known = flags(whole.is_valid())
    halves = np.frombuffer(whole.buffers()[1], np.int64)[2 * whole.offset : 2 * (whole.offset + len(whole))]
    return np.where(known[:, None], halves.reshape(-1, 2), 0), known


def sum_sums(halves: Ints, starts: Ints) -> Ints:
    """The sums of runs of 128-bit integers, as `sums` gives them, that begin at `starts`; there is at least one."""
    lower, upper = halves[:, 0], halves[:, 1]
    low = np.add.reduceat(lower & _LOW, starts)
    middle = np.add.reduceat((lower >> _LOW_BITS) & _LOW, starts) + (low >> _LOW_BITS)
    high = np.add.reduceat(upper, starts) + (middle >> _LOW_BITS)
    return np.stack([(middle << _LOW_BITS) | (low & _LOW), high], axis=1)


def sum_column(sums: Ints, known: NDArray[np.bool_]) -> Arrow:
    """A DECIMAL(38,4) column of what `sum_money` gave; null where not known."""
    return _decimal_column(MONEY_SUM, sums, known)


def money_column(amounts: Ints, known: NDArray[np.bool_]) -> Arrow:
    """A DECIMAL(18,4) column of ten-thousandths; null where not known."""
    if not known.any():
        return nothing(len(amounts), MONEY)
    return _decimal_column(MONEY, np.stack([amounts, amounts >> 63], axis=1), known)


def _decimal_column(kind: pa.DataType, halves: Ints, known: NDArray[np.bool_]) -> Arrow:
    valid = _buffer(np.packbits(known, bitorder="little"))
    return pa.Array.from_buffers(kind, len(halves), [valid, _buffer(np.ascontiguousarray(halves))])


def nothing(count: int, kind: Any) -> Arrow:
    """A column without a value."""
    if not (pa.types.is_primitive(kind) or pa.types.is_decimal(kind)) or kind.bit_width % 8:
        return pa.nulls(count, kind)
    # Not `pa.nulls`, which writes into memory that nobody is going to read.
    valid, values = np.zeros((count + 7) // 8, np.uint8), np.zeros(count * kind.bit_width // 8, np.uint8)
    return pa.Array.from_buffers(kind, count, [_buffer(valid), _buffer(values)], count)


def text_array(values: Sequence[str]) -> Arrow:
    """These texts as a column."""
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)]).astype(np.int32)
    return pa.Array.from_buffers(TEXT, len(encoded), [None, _buffer(ends), _buffer(b"".join(encoded))])


def text_column(values: Arrow, codes: NDArray[np.integer[Any]]) -> Arrow:
    """A column of these codes of these texts; null for code -1. Writing it needs no look at the texts."""
    places = number_column(codes.astype(np.int32), pa.int32(), known=codes != NULL)
    return pa.DictionaryArray.from_arrays(places, values)


def least(column: Arrow) -> Arrow:
    """A text column in dictionaries as one array with the texts in use alone, by first use, whatever its chunks."""
    chunks: list[Arrow] = [as_used(chunk) for chunk in column.chunks]
    if len(chunks) == 1:
        return chunks[0]
    whole: Arrow = pa.chunked_array(chunks, cast("Any", CODED))
    return whole.unify_dictionaries().combine_chunks()


def _compact(table: pa.Table) -> pa.Table:
    """Each column as one array; a column of texts that stands there twice is looked through once."""
    texts: dict[tuple[Any, ...], Arrow] = {}
    found: list[Arrow] = []
    for column in table.columns:
        if not pa.types.is_dictionary(column.type):
            found.append(column.combine_chunks())
            continue
        place = tuple(_place(chunk) for chunk in column.chunks)
        if place not in texts:
            texts[place] = least(column)
        found.append(texts[place])
    return pa.Table.from_arrays(found, names=table.column_names)


def _place(chunk: Arrow) -> tuple[int, ...]:
    """Where an array in dictionary form lies in memory: equal for two that are one and the same."""
    arrays = (chunk.indices, chunk.dictionary)
    buffers = [buffer.address if buffer else 0 for array in arrays for buffer in array.buffers()]
    return (*buffers, *(number for array in arrays for number in (array.offset, len(array))))


def as_used(chunk: Arrow) -> Arrow:
    """One array in dictionary form with the texts in use alone, by first use."""
    codes = index_array(chunk.indices)
    known = codes[codes != NULL]
    lowest = int(known.min()) if len(known) else 0  # of a table sorted by a text, a portion uses a small range of all
    span = int(known.max()) + 1 - lowest if len(known) else 0
    codes = np.where(codes == NULL, NULL, codes - lowest)
    first = np.full(span + 1, len(codes), np.int32)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1, dtype=np.int32)  # of several, the last stays: the first use
    first[NULL] = len(codes)  # the last place is that of null
    used = np.flatnonzero(first < len(codes))
    ascending = first[used]
    if len(used) == len(chunk.dictionary) and (ascending[1:] > ascending[:-1]).all():
        return chunk
    used = used[np.argsort(ascending)]
    places = np.full(len(first), NULL, np.int32)
    places[used] = np.arange(len(used))
    return text_column(chunk.dictionary.take(number_column(used + lowest)), places[codes])


class TableWriter:
    """Writes a Parquet file portion by portion; equal rows in equal order give equal bytes, whatever the portions.

    sought: text columns by which rows are looked for, so that their bounds are kept too; rows_per_group: how many rows
    are read to find one.
    """

    def __init__(
        self, path: Path, schema: pa.Schema, *, sought: Sequence[str] = (), rows_per_group: int = ROW_GROUP
    ) -> None:
        self._path = path
        self._schema = schema
        self._sought = sought
        self._group = rows_per_group
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._notes: dict[str, str] = {}
        self._writer: pq.ParquetWriter | None = None

    def write(self, *columns: Any) -> None:
        """Adds rows: one array a column, in the order of the schema; texts may be dictionaries."""
        self._waiting.append(pa.Table.from_arrays(list(columns), names=self._schema.names))
        self._rows += len(columns[0])
        if self._rows >= 2 * self._group:
            self._flush(self._rows - self._rows % self._group)

    def note(self, name: str, text: str) -> None:
        """Says something about the whole table in the file's metadata."""
        self._notes[name] = text

    def _flush(self, rows: int) -> None:
        table = pa.concat_tables(self._waiting)
        for start in range(0, rows, self._group):
            group = _compact(table.slice(start, min(self._group, rows - start)))
            if self._writer is None:
                self._writer = self._open(group.schema)
            self._writer.write_table(group, row_group_size=self._group)
        self._waiting, self._rows = [table.slice(rows)], self._rows - rows

    def _open(self, schema: pa.Schema) -> pq.ParquetWriter:
        whole = [name for name in schema.names if schema.field(name).type in (COUNT, MONEY, TIME)]
        return pq.ParquetWriter(
            self._path,
            schema,
            compression="zstd",
            store_schema=False,  # a dictionary is how the texts came, and no part of the table
            store_decimal_as_integer=True,
            use_dictionary=cast("Any", [name for name in schema.names if name not in whole]),
            write_statistics=cast("Any", [*whole, *self._sought]),  # of texts they take longer than all the rest
            column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
        )

    def close(self) -> None:
        """Writes what is left and ends the file."""
        if self._rows:
            self._flush(self._rows)
        if self._writer is None:
            self._writer = self._open(self._schema)
        if self._notes:
            self._writer.add_key_value_metadata(self._notes)
        self._writer.close()


@contextmanager
def write_table(
    path: Path, schema: pa.Schema, *, sought: Sequence[str] = (), rows_per_group: int = ROW_GROUP
) -> Iterator[TableWriter]:
    """Yields a writer; the file is whole when the block ends without an error."""
    writer = TableWriter(path, schema, sought=sought, rows_per_group=rows_per_group)
    yield writer
    writer.close()


@contextmanager
def lake_errors(what: str) -> Iterator[None]:
    """Turns the errors of reading, computing and writing `what` into a `LakeError`."""
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise LakeError(
            f"{what} could not be computed: {str(error).splitlines()[0].rstrip('.')}.",
            hint="If the message names an input file, materialize that file's asset again: it is missing, damaged or "
            "of another version. Nothing was replaced.",
            what=what,
        ) from error
    except MemoryError as error:
        raise LakeError(
            f"{what} could not be computed: there is not enough memory.",
            hint="Free memory, then run again: nothing was replaced.",
            what=what,
        ) from error
