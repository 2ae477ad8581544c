"""Order files of any length for the benchmark of reading: clean ones, and ones with a fault in 0.5 % of the lines.

Belongs here: writing them, the same bytes each time. Does not belong here: who reads them.
"""

from pathlib import Path

import duckdb

FAULTY_EVERY = 200
"""0.5 % of the lines, of five kinds in turn."""

_LINE = """
    'RO-' || CAST(100000000 + i // 3 AS VARCHAR) || ',SKU-' || CAST(hash(i) % 25000 AS VARCHAR) || ','
    || CAST(1 + hash(i + 1) % 4 AS VARCHAR) || ','
    || CAST(CAST(hash(i + 2) % 90000 AS DECIMAL(18,2)) / 100 AS DECIMAL(9,2))
    || ',' || strftime(TIMESTAMP '2024-01-01' + to_seconds(i // 3 * 7 % 30000000), '%Y-%m-%d %H:%M:%S')
"""
_FAULTS = (
    "',SKU-1,1,9.99,2024-01-01 00:00:00'",  # no order id
    "'RO-1,,1,9.99,2024-01-01 00:00:00'",  # no item
    "'RO-1,SKU-1,two,9.99,2024-01-01 00:00:00'",  # a quantity that is none
    "'RO-1,SKU-1,1'",  # too few fields
    "'RO-1,SKU-1,1,9.99,yesterday'",  # a time that is none
)


def write_orders(path: Path, lines: int, *, faulty: bool = False) -> None:
    """Writes a CSV file of this many order lines below its header: order_id,item_id,quantity,unit_price,ordered_at."""
    line = _LINE
    if faulty:
        kinds = " ".join(f"WHEN {kind} THEN {text}" for kind, text in enumerate(_FAULTS))
        faults = f"CASE i // {FAULTY_EVERY} % {len(_FAULTS)} {kinds} END"
        line = f"CASE WHEN i % {FAULTY_EVERY} = 0 THEN {faults} ELSE {_LINE} END"
    with duckdb.connect() as con:
        con.execute(
            f'COPY (SELECT {line} AS "order_id,item_id,quantity,unit_price,ordered_at" FROM range({lines:d}) t(i)) '  # noqa: S608 - numbers and texts of ours
            f"TO '{path}' (FORMAT csv, QUOTE '', ESCAPE '', DELIMITER '\x01', HEADER true)"
        )
