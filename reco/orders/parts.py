"""The Parquet parts of one drop: its accepted lines and the others.

Belongs here: their columns, and writing them so that equal input gives equal bytes. Does not belong here: deciding
which line goes where.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.rules import COLUMNS
from reco.storage.columns import TableWriter, write_table
from reco.storage.lake import Lake

_ARROW: dict[str, Any] = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DECIMAL(18,4)": pa.decimal128(18, 4),
    "TIMESTAMP": pa.timestamp("us"),
}
_FIELDS: list[Any] = [("line", pa.int64()), *((r.name, _ARROW[r.sql_type]) for r in COLUMNS), ("source", pa.string())]
ORDER_LINES_SCHEMA = pa.schema(_FIELDS)
_OTHER_FIELDS: list[Any] = [
    ("line", pa.int64()),
    ("byte_offset", pa.int64()),
    ("raw", pa.binary()),
    ("disposition", pa.string()),
    ("reason", pa.string()),
    ("column", pa.string()),
    ("value", pa.string()),
    ("message", pa.string()),
    ("also", pa.list_(pa.string())),
]
QUARANTINED_SCHEMA = pa.schema(_OTHER_FIELDS)
_SHORT = [name for name in QUARANTINED_SCHEMA.names if name not in ("raw", "also")]
# A dictionary and the least and greatest value of the raw bytes would each be copies of lines of any length.
_LEAN: dict[str, Any] = {"use_dictionary": _SHORT, "write_statistics": _SHORT}


@dataclass(frozen=True, slots=True)
class OtherLine:
    """One line that was not accepted, as it stands in `quarantined_lines`."""

    line: int
    byte_offset: int
    raw: bytes
    disposition: str
    reason: str
    column: str | None
    value: str | None
    message: str
    also: list[str]


class PartWriter:
    """Takes the lines of one drop in ascending order, a bounded run at a time, and keeps count."""

    def __init__(self, accepted: TableWriter, others: pq.ParquetWriter) -> None:
        self._accepted = accepted
        self._others = others
        self.accepted = 0
        self.reasons: Counter[str] = Counter()
        self.dispositions: Counter[str] = Counter()

    def write(self, accepted: pa.Table, others: Sequence[OtherLine]) -> None:
        """Writes one run: accepted lines with the columns of the schema (texts may be dictionaries), and the others."""
        if accepted.num_rows:
            self._accepted.write(*(accepted[name] for name in ORDER_LINES_SCHEMA.names))
        if others:
            columns = {name: [getattr(one, name) for one in others] for name in QUARANTINED_SCHEMA.names}
            self._others.write_table(pa.table(columns, schema=QUARANTINED_SCHEMA))
        self.accepted += accepted.num_rows
        self.reasons.update(one.reason for one in others)
        self.dispositions.update(one.disposition for one in others)


@contextmanager
def write_parts(lake: Lake, key: str) -> Iterator[PartWriter]:
    """Yields a writer; both parts of the drop are replaced when the block ends without an error."""
    with ExitStack() as stack:
        accepted = stack.enter_context(lake.replace(ORDER_LINES, key))
        others = stack.enter_context(lake.replace(QUARANTINED_LINES, key))
        first = stack.enter_context(write_table(accepted, ORDER_LINES_SCHEMA))
        second = stack.enter_context(pq.ParquetWriter(others, QUARANTINED_SCHEMA, compression="zstd", **_LEAN))
        yield PartWriter(first, second)
