"""The pandera schema of accepted order lines, made from the rule table.

Belongs here: turning the table into a schema, and checking a bounded DataFrame with it. Does not belong here: rules.
"""

import datetime as dt
from functools import lru_cache
from typing import Any

import polars as pl
import pyarrow as pa

from reco.errors import LedgerBroken
from reco.lean import without
from reco.orders.rules import COLUMNS, EARLIEST, SIGNED, ColumnRule, latest

with without("pandas", "hypothesis"):  # with which it takes 0.6 s to import, and 0.1 s alone
    import pandera.polars as pandera
    from pandera.errors import SchemaErrors

    # The first validation looks for more to import, so it is made here.
    pandera.DataFrameSchema({"n": pandera.Column(pl.Int64(), pandera.Check.ge(0))}).validate(pl.DataFrame({"n": [0]}))

MAX_CHECKED_ROWS = 500_000
"""Rows that are checked at once at most, which bounds the memory."""


@lru_cache(maxsize=8)
def order_lines_schema(now: dt.datetime, *, takes_back: bool = False) -> pandera.DataFrameSchema:
    """The schema of accepted order lines, `line` and `source` included; signed where lines may take units back."""
    columns = {
        rule.name: pandera.Column(
            rule.dtype,
            [pandera.Check.ne(0)] if takes_back and rule.name == "quantity" else _checks(rule, now, signed=takes_back),
            nullable=not rule.required,
        )
        for rule in COLUMNS
    }
    own = {"line": pandera.Column(pl.Int64(), pandera.Check.ge(1)), "source": pandera.Column(pl.String())}
    return pandera.DataFrameSchema(own | columns, strict=True)


def _checks(rule: ColumnRule, now: dt.datetime, *, signed: bool) -> list[pandera.Check]:
    checks: list[pandera.Check] = []
    for check in rule.checks:
        low: Any = EARLIEST if check.minimum == "earliest" else check.minimum
        if low is not None and not (signed and rule.name in SIGNED):
            checks.append(pandera.Check.ge(low))
        if check.maximum == "latest":
            checks.append(pandera.Check.le(latest(now)))
    if rule.required and rule.dtype == pl.String:
        checks.append(pandera.Check.str_length(min_value=1))
    return checks


def require_valid(accepted: pa.Table, now: dt.datetime, drop: str, *, takes_back: bool = False) -> None:
    """Checks accepted lines, eagerly: a LazyFrame would have its types checked and nothing else.

    Raises:
        LedgerBroken: the SQL that accepts lines and the schema disagree.
    """
    for start in range(0, accepted.num_rows, MAX_CHECKED_ROWS):
        part = _frame(accepted.slice(start, MAX_CHECKED_ROWS))
        try:
            order_lines_schema(now, takes_back=takes_back).validate(part, lazy=True)
        except SchemaErrors as error:
            # Not the values: an error is stored, and one of them may name a customer.
            broken = error.failure_cases.select("column", "check").unique().sort("column", "check").head(5).rows()
            rules = ", ".join(f"{column}: {check}" for column, check in broken)
            raise LedgerBroken(
                f"{error.failure_cases.height} accepted values of {drop} break the order line schema ({rules}).",
                hint="This is a defect of ours: please report it with the file's header and one such line.",
                drop=drop,
            ) from error


def _frame(lines: pa.Table) -> pl.DataFrame:
    """The lines for a check: each text column as the texts themselves, looked up in its dictionary."""
    columns = {}
    for name in lines.column_names:
        chunks = [_texts(one) if isinstance(one, pa.DictionaryArray) else pl.Series(one) for one in lines[name].chunks]
        columns[name] = pl.concat(chunks) if len(chunks) > 1 else chunks[0]
    return pl.DataFrame(columns)


def _texts(column: Any) -> pl.Series:
    return pl.Series(column.dictionary, dtype=pl.String).gather(pl.Series(column.indices))
