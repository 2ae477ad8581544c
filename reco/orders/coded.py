"""Texts of records as codes: each distinct text once, and one small number a record.

Belongs here: what stands at one place of the header, or at several taken together, in some records. Does not belong
here: reading files (`reco.orders.scan`), and what a text means.

Order files repeat themselves: what is found out about a text once holds for every record that has it.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reco.storage.columns import NULL, Arrow, Ints, as_used, flags, index_array, least, number_column, text_column

CODED = pa.dictionary(pa.int32(), pa.string())
"""How a text column of some records is kept."""

Codes = NDArray[np.int32]
_SAMPLE = 64
_FIRST_VISIBLE, _LAST_VISIBLE = ord("!"), ord("~")


@dataclass(frozen=True, slots=True)
class Cells:
    """What stands at one place of some records.

    table: one row a text, or combination of texts where the place has several columns, in columns `c{i}`; hardly any
    comes twice; codes: the row of each record.
    """

    table: pa.Table
    codes: Codes

    @property
    def texts(self) -> Arrow:
        """The texts of a place of one column."""
        return self.table.column(0).chunk(0)

    def times(self) -> Ints:
        """How many records have each row."""
        return np.bincount(self.codes, minlength=self.table.num_rows)


def text_codes(found: Arrow, codes: Codes) -> Arrow:
    """A text column in a dictionary, from what was found for each distinct text and the records' codes."""
    encoded = found.dictionary_encode()
    return text_column(encoded.dictionary, index_array(encoded.indices)[codes])


def replaced(column: Arrow, other: Arrow, where: NDArray[np.bool_]) -> Arrow:
    """A text column with the texts of another one in some records."""
    mine, theirs = (least(pa.chunked_array(one) if isinstance(one, pa.Array) else one) for one in (column, other))
    both = pa.concat_arrays([mine.dictionary, theirs.dictionary]).dictionary_encode()
    places = np.append(index_array(both.indices), np.int32(NULL))  # the last place is that of no text
    own, codes = index_array(mine.indices), index_array(theirs.indices)
    codes = np.where(codes == NULL, NULL, codes + len(mine.dictionary))
    return text_column(both.dictionary, places[np.where(where, codes, own)])


def column_cells(table: pa.Table, position: int) -> tuple[Arrow, Codes]:
    """The texts of a column of some records, each chunk's distinct ones, and the place of each record's."""
    chunks: list[Arrow] = [as_used(chunk) for chunk in table[f"c{position}"].chunks]
    if not chunks:
        return pa.nulls(0, pa.string()), np.empty(0, np.int32)
    if len(chunks) > 1 and _repeat(chunks[0].dictionary, chunks[1].dictionary):
        whole = least(table[f"c{position}"])
        return whole.dictionary, index_array(whole.indices)
    starts = np.cumsum([0, *(len(chunk.dictionary) for chunk in chunks[:-1])])
    codes = [index_array(chunk.indices) + np.int32(start) for chunk, start in zip(chunks, starts, strict=True)]
    return pa.concat_arrays([chunk.dictionary for chunk in chunks]), np.concatenate(codes)


def _repeat(first: Arrow, second: Arrow) -> bool:
    """Whether many texts come again in the next chunk, as prices do and times do not: then it pays to find them all."""
    sample = second.slice(0, _SAMPLE)
    return bool(2 * np.count_nonzero(flags(pc.is_in(sample, value_set=first))) > len(sample))


def texts_at(column: Arrow, rows: Ints) -> Arrow:
    """The texts themselves of some records, whose numbers ascend, of a column in dictionaries."""
    ends = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
    places = np.searchsorted(rows, ends)
    found: list[Arrow] = []
    for i in np.flatnonzero(places[1:] > places[:-1]).tolist():
        mine = number_column(rows[places[i] : places[i + 1]] - ends[i])
        chunk = column.chunk(i)
        found.append(chunk.dictionary.take(chunk.indices.take(mine)))
    return pa.concat_arrays(found)


def cells(table: pa.Table, place: tuple[int, ...]) -> Cells:
    """What stands at a place of the header in these records, whose columns are `c{i}` and coded."""
    columns = [column_cells(table, position) for position in place]
    if len(columns) == 1:
        values, codes = columns[0]
        return Cells(pa.table({f"c{place[0]}": values}), codes)
    key = np.zeros(table.num_rows, np.int64)
    for values, codes in columns:
        # Renumbered at each step, so that the product of the sizes cannot leave 64 bits.
        key = np.unique(key * len(values) + codes, return_inverse=True)[1]
    first = np.unique(key, return_index=True)[1]
    texts = {
        f"c{i}": values.take(number_column(codes[first], pa.int32()))
        for i, (values, codes) in zip(place, columns, strict=True)
    }
    return Cells(pa.table(texts), key.astype(np.int32))


def is_trimmed(column: Arrow) -> bool:
    """Whether every text of a column in dictionaries begins and ends with visible ASCII: then trimming changes nothing.

    It is quick to see, and false for a column without any text.
    """
    return bool(column.num_chunks) and all(_is_trimmed(chunk.dictionary) for chunk in column.chunks)


def _is_trimmed(values: Arrow) -> bool:
    if not len(values):
        return False
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    if (ends[1:] == ends[:-1]).any():
        return False
    text = np.frombuffer(data, np.uint8)
    first, last = text[ends[:-1]], text[ends[1:] - 1]
    borders = (first.min(), first.max(), last.min(), last.max())
    return all(_FIRST_VISIBLE <= border <= _LAST_VISIBLE for border in borders)
