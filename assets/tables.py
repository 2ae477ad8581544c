"""How a table of the lake is shown in the Dagster UI: its columns, where they come from, and its first rows.

Belongs here: that translation. Does not belong here: what a column means (`reco.model.columns`). A preview shows no
customer, no order and no raw line: the UI has no login, and its event log is kept for months.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

from reco.model.columns import TABLES
from reco.storage.lake import RAW

PREVIEW_ROWS = 10
NEVER_SHOWN = frozenset({"customer_id", "order_id", "raw", "value"})
_MARKUP = {"|": "\\|", "<": "&lt;", "`": "\\`", "\n": " ", "\r": " "}


def definition_metadata(table: str) -> dict[str, dg.TableSchema]:
    """What is known of a table before it is made: its columns."""
    columns = [
        dg.TableColumn(
            one.name,
            type=one.sql_type,
            description=one.meaning,
            constraints=dg.TableColumnConstraints(nullable=one.nullable),
        )
        for one in TABLES[table]
    ]
    return {"dagster/column_schema": dg.TableSchema(columns)}


def column_lineage(
    table: str, mapping: Mapping[str, str | list[str]] | None = None
) -> dict[str, dg.TableColumnLineage]:
    """Which columns each column is made from; `mapping` gives those of the drop by the names of its header."""
    lineage = {one.name: [dg.TableColumnDep(t, column) for t, column in one.sources] for one in TABLES[table]}
    for name, given in (mapping or {}).items():
        if name in lineage:
            headers = [given] if isinstance(given, str) else given
            lineage[name] = [dg.TableColumnDep(RAW, header) for header in headers]
    known = {name: deps for name, deps in lineage.items() if deps}
    return {"dagster/column_lineage": dg.TableColumnLineage(known)} if known else {}


def preview(table: str, path: Path, leave_out: Sequence[str] = ()) -> dict[str, dg.MetadataValue]:
    """The first rows of a table's file as a Markdown table, without the columns that are empty in all of them."""
    import pyarrow.parquet as pq

    names = [one.name for one in TABLES[table] if one.name not in {*NEVER_SHOWN, *leave_out}]
    with pq.ParquetFile(path) as file:
        first = next(file.iter_batches(PREVIEW_ROWS, columns=names, use_threads=False), None)
    rows = first.to_pylist() if first is not None else []
    filled = [name for name in names if not rows or any(row[name] is not None for row in rows)]
    return {"preview": markdown_table(filled, [[row[name] for name in filled] for row in rows])}


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.MetadataValue:
    """Rows as Markdown; ids stay the text they are, and no value of a shop can become markup."""
    from tabulate import tabulate

    cells = [[_cell(value) for value in row] for row in rows]
    return dg.MetadataValue.md(tabulate(cells, list(columns), tablefmt="pipe", disable_numparse=True))


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    for mark, harmless in _MARKUP.items():
        text = text.replace(mark, harmless)
    return text
