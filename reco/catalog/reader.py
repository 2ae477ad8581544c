"""From a catalogue drop to its parts in the lake, every line accounted for.

Belongs here: the way from bytes to accepted and quarantined lines of items. Does not belong here: the rules
(`reco.catalog.rules`), and telling records apart, which is the order reader's (`reco.orders.opened`).

A catalogue is read record by record: it is small beside its orders, and this way needs no second one.
"""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reco.catalog.columns import FirstLook, look_at_header, map_columns
from reco.catalog.rules import CATALOGUE_REASONS, COLUMNS, IN_STOCK, OUT_OF_STOCK, VALUE_REASONS
from reco.errors import LedgerBroken
from reco.orders import sql
from reco.orders.decimals import POINT, Amounts
from reco.orders.drops import DropFile, DropResult, LineCounts
from reco.orders.opened import OpenedDrop, open_drop
from reco.orders.parts import QUARANTINED_SCHEMA
from reco.orders.profiles import Columns, SourceProfile
from reco.orders.rules import MAX_VALUE_CHARS
from reco.orders.styles import ambiguous
from reco.storage.engine import fetch_row, literal, open_engine, write_parquet
from reco.storage.lake import Lake

CATALOGUE_LINES = "catalogue_lines"
QUARANTINED_CATALOGUE_LINES = "quarantined_catalogue_lines"


def read_catalogue(drop: DropFile, lake: Lake, scratch: Path) -> DropResult:
    """Reads a catalogue and writes its parts `catalogue_lines` and `quarantined_catalogue_lines`.

    Both have one row a record: the accepted ones with line, item_id, item_name, category, price, in_stock, url and
    source, in file order, each item once; the others as `quarantined_lines` has them.

    Args:
        drop: the catalogue, with a profile whose `[items]` names its columns, or without one.
        lake: where the parts go.
        scratch: a folder that does not exist yet, for what has to be unpacked.

    Raises:
        DropError: the file cannot be used; `DropAmbiguous`: its prices fit a decimal point and a decimal comma.
        LedgerBroken: lines do not add up, which is a defect of ours.
        LakeError: the lake cannot be written.
    """
    first = look_at_header(drop.path, drop.profile, drop.name)
    opened = open_drop(_as_opened(drop, first), scratch, record_by_record=True)
    mapping = map_columns(opened.layout.header, drop.profile, drop.name)
    with open_engine(CATALOGUE_LINES, scratch / "table") as con:
        decimal = _judge(con, opened, mapping, drop)
        with lake.replace(CATALOGUE_LINES, drop.key) as path:
            columns = ", ".join(COLUMNS)
            source = literal(drop.profile.name)
            accepted = f"SELECT line, {columns}, {source} AS source FROM judged WHERE len(reasons) = 0 ORDER BY line"
            write_parquet(con, accepted, path)
        others = _others(con, opened)
        with lake.replace(QUARANTINED_CATALOGUE_LINES, drop.key) as path:
            pq.write_table(pa.Table.from_pylist(others, schema=QUARANTINED_SCHEMA), path, compression="zstd")
        (good,) = fetch_row(con, "SELECT count(*) FROM judged WHERE len(reasons) = 0")
        (repeats,) = fetch_row(con, "SELECT count(*) - count(DISTINCT whole) FROM judged")
    if opened.lines_read != good + len(others):
        raise LedgerBroken(
            f"{drop.name} has {opened.lines_read} lines, and {good} were accepted and {len(others)} quarantined.",
            hint="This is a defect of ours: please report it with the file.",
            drop=drop.key,
        )
    dialect = opened.layout.dialect
    return DropResult(
        drop.key,
        "ingested",
        encoding=opened.text.encoding,
        dialect=dialect.to_json() | {"decimal": decimal},
        header=list(opened.layout.header),
        mapping=dict(mapping),
        counts=LineCounts(
            lines_read=opened.lines_read,
            lines_accepted=good,
            lines_quarantined=len(others),
            lines_header=opened.lines_header,
            lines_blank=opened.lines_blank,
            lines_duplicate=repeats,
        ),
        reasons=dict(sorted(Counter(one["reason"] for one in others).items())),
    )


def _as_opened(drop: DropFile, first: FirstLook) -> DropFile:
    """The drop for the reader of records, which wants to know an order id: here every item is its own."""
    item = first.item_column
    dialect = drop.profile.dialect.model_copy(update={"delimiter": first.delimiter})
    profile = SourceProfile(
        name=drop.profile.name,
        columns=Columns(order_id=(item,), item_id=item),
        dialect=dialect,
        rules=drop.profile.rules.model_copy(
            update={"cancelled": None, "excluded_status": None, "exclude_items": (), "strip_decimal": ()}
        ),
    )
    return DropFile(drop.key, drop.path, drop.name, profile)


def _judge(con: duckdb.DuckDBPyConnection, opened: OpenedDrop, mapping: Mapping[str, str], drop: DropFile) -> str:
    """The table `judged`: the records with their line, their typed columns and texts, and why they are none.

    Returns the decimal sign of the prices.
    """
    width = len(opened.layout.header)
    fields = "{" + ", ".join(f"'c{i}': 'VARCHAR'" for i in range(width)) + "}"
    if opened.extra is None:
        con.execute(f"CREATE TEMP TABLE raw ({', '.join(f'c{i} VARCHAR' for i in range(width))})")
    else:
        longest = 2 * opened.drop.profile.rules.max_line_bytes + 4 * width
        con.execute(
            f"CREATE TEMP TABLE raw AS SELECT * FROM read_csv({literal(str(opened.extra))}, columns = {fields}, "
            "auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"', new_line = '\\n', "
            f"parallel = false, max_line_size = {longest})"
        )
    (rows,) = fetch_row(con, "SELECT count(*) FROM raw")
    if rows != len(opened.extra_lines):
        raise LedgerBroken(
            f"{len(opened.extra_lines)} records of {opened.drop.name} were written for the checks, {rows} came back.",
            hint="This is a defect of ours: please report it with the file.",
            drop=opened.drop.key,
        )
    con.register("lines", pa.table({"rid": pa.array(range(rows)), "line": pa.array(opened.extra_lines)}))
    places = {column: opened.layout.header.index(name) for column, name in mapping.items()}
    texts = ", ".join(
        f"{sql.trimmed(f'c{places[column]}') if column in places else 'NULL::VARCHAR'} AS t_{column}"
        for column in COLUMNS
    )
    whole = ", ".join(f"c{i}" for i in range(width))
    columns = f"line, hash({whole}) AS whole, {texts}"
    con.execute(f"CREATE TEMP TABLE texts AS SELECT {columns} FROM raw JOIN lines ON raw.rowid = rid")
    con.unregister("lines")
    decimal = drop.profile.dialect.decimal or _decimal(con, opened, mapping.get("price"), drop.name)
    con.execute(
        f"""CREATE TEMP TABLE judged AS
        WITH typed AS (SELECT *, t_item_id AS item_id, t_item_name AS item_name, t_category AS category, t_url AS url,
                  {sql.amount("t_price", decimal)} AS price, {_stock("t_in_stock", decimal)} AS in_stock
                  FROM texts),
        faults AS (SELECT *, list_filter([
            CASE WHEN item_id IS NULL THEN 'missing_item' END,
            CASE WHEN price IS NULL AND t_price IS NOT NULL THEN 'invalid_price' END,
            CASE WHEN price < 0 THEN 'negative_price' END,
            CASE WHEN in_stock IS NULL AND t_in_stock IS NOT NULL THEN 'invalid_stock' END
        ], lambda one: one IS NOT NULL) AS faults FROM typed),
        repeated AS (SELECT *, len(faults) = 0 AND
            row_number() OVER (PARTITION BY item_id, len(faults) = 0 ORDER BY line DESC) > 1 AS again FROM faults)
        SELECT *, CASE WHEN again THEN ['duplicate_item'] ELSE faults END AS reasons FROM repeated"""
    )
    return decimal


def _decimal(con: duckdb.DuckDBPyConnection, opened: OpenedDrop, column: str | None, file: str) -> str:
    """The decimal sign that the prices prove.

    Raises:
        DropAmbiguous: two fit.
    """
    (has_comma,) = fetch_row(con, "SELECT coalesce(bool_or(contains(t_price, ',')), false) FROM texts")
    if column is None or not (has_comma or opened.layout.dialect.delimiter == ";"):
        return POINT
    query = sql.decimal_readings("t_price", "(SELECT 0 AS i, t_price, 1 AS n FROM texts)")
    counts = [tuple(row[1:]) for row in con.sql(query).fetchall()] or [(0, 0, 0, 0, None)]  # none: no line at all
    found = Amounts(*counts[0]).decimal(column, file)
    if isinstance(found, str):
        return found
    raise ambiguous([found], file)


def _stock(text: str, decimal: str) -> str:
    yes, no = (", ".join(map(literal, words)) for words in (IN_STOCK, OUT_OF_STOCK))
    return (
        f"CASE WHEN lower({text}) IN ({yes}) THEN true WHEN lower({text}) IN ({no}) THEN false "
        f"WHEN regexp_matches({text}, '^-?[0-9]{{1,9}}([{decimal}]0*)?$') "
        f"THEN CAST(replace({text}, {literal(decimal)}, '.') AS DOUBLE) > 0 END"
    )


def _others(con: duckdb.DuckDBPyConnection, opened: OpenedDrop) -> list[dict[str, Any]]:
    """The lines that were not accepted, in order, with their bytes as they came."""
    texts = ", ".join(f"t_{column}" for column in COLUMNS)
    rows = con.sql(f"SELECT line, reasons, {texts} FROM judged WHERE len(reasons) > 0 ORDER BY line").fetchall()
    starts, ends = opened.spans(np.array([row[0] for row in rows], np.int64))
    spans = zip(starts.tolist(), ends.tolist(), strict=True)
    found = [
        (row[0], span, row[1], dict(zip(COLUMNS, row[2:], strict=True))) for row, span in zip(rows, spans, strict=True)
    ]
    found += [(one.line, (one.start, one.end), [str(one.reason)], {}) for one in opened.faults]
    found.sort(key=lambda one: one[0])
    places = np.array([place for _, span, _, _ in found for place in span], np.int64)
    offsets = opened.text.original_offsets(places).reshape(-1, 2).tolist()
    return [
        _other(line, start, opened.text.raw(start, end), reasons, texts_of)
        for (line, _, reasons, texts_of), (start, end) in zip(found, offsets, strict=True)
    ]


def _other(line: int, offset: int, raw: bytes, reasons: list[str], texts: Mapping[str, str | None]) -> dict[str, Any]:
    reason = reasons[0]
    column = VALUE_REASONS[reason][0] if reason in VALUE_REASONS else None
    value = texts.get(column) if column else None
    return {
        "line": line,
        "byte_offset": offset,
        "raw": raw,
        "disposition": "quarantined",
        "reason": reason,
        "column": column,
        "value": value[:MAX_VALUE_CHARS] if value else None,
        "message": CATALOGUE_REASONS[reason],
        "also": reasons[1:],
    }
