"""Texts of records as codes: each distinct text once, and one small number a record.

Belongs here: what stands at one place of the header, or at several taken together, in some records. Does not belong
here: reading files (`reco.orders.scan`), and what a text means.

Order files repeat themselves: what is found out about a text once holds for every record that has it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reco.storage.columns import NULL, Arrow, Ints, index_array, number_column

CODED = pa.dictionary(pa.int32(), pa.string())
"""How a text column of some records is kept."""

Codes = NDArray[np.int32]
_FIRST_VISIBLE, _LAST_VISIBLE = ord("!"), ord("~")


@dataclass(frozen=True, slots=True)
class Cells:
    """What stands at one place of some records.

    table: one row a distinct text, or combination of texts where the place has several columns, in columns `c{i}`;
    codes: the row of each record.
    """

    table: pa.Table
    codes: Codes

    def times(self) -> Ints:
        """How many records have each row."""
        return np.bincount(self.codes, minlength=self.table.num_rows)


@dataclass(frozen=True, slots=True)
class Coded:
    """One text a record. values: distinct texts without null; codes: the place of each, -1 where there is none."""

    values: Arrow
    codes: Codes

    def array(self, rows: NDArray[Any]) -> Arrow:
        """The texts of some records as a dictionary column."""
        codes = self.codes[rows]
        return pa.DictionaryArray.from_arrays(number_column(codes, pa.int32(), known=codes != NULL), self.values)

    @classmethod
    def of_cells(cls, found: Arrow, codes: Codes) -> "Coded":
        """From what was found for each distinct text, which may be nothing or repeat, and the records' codes."""
        encoded = found.dictionary_encode()
        return cls(encoded.dictionary, index_array(encoded.indices)[codes])

    def replaced(self, other: "Coded", where: NDArray[np.bool_]) -> "Coded":
        """These texts with those of another column in some records."""
        both = pa.concat_arrays([self.values, other.values]).dictionary_encode()
        places = np.append(index_array(both.indices), np.int32(NULL))  # the last place is that of no text
        mine, theirs = self.codes, np.where(other.codes == NULL, NULL, other.codes + len(self.values))
        return Coded(both.dictionary, places[np.where(where, theirs, mine)])


def column_cells(table: pa.Table, position: int) -> tuple[Arrow, Codes]:
    """The distinct texts of a column of some records, and the place of each record's."""
    name = f"c{position}"
    whole = table[name].unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # no chunk at all
        return pa.nulls(0, pa.string()), np.empty(0, np.int32)
    return whole.dictionary, index_array(whole.indices)


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


def is_trimmed(values: Arrow) -> bool:
    """Whether every text begins and ends with visible ASCII, which is quick to see: then trimming changes nothing."""
    if not len(values):
        return True
    _, offsets, data = values.buffers()
    ends = np.frombuffer(offsets, np.int32)[values.offset : values.offset + len(values) + 1]
    if (ends[1:] == ends[:-1]).any():
        return False
    text = np.frombuffer(data, np.uint8)
    first, last = text[ends[:-1]], text[ends[1:] - 1]
    borders = (first.min(), first.max(), last.min(), last.max())
    return all(_FIRST_VISIBLE <= border <= _LAST_VISIBLE for border in borders)
