"""The pandera schema of accepted order lines, made from the rule table.

Belongs here: turning the table into a schema, and checking a bounded DataFrame with it. Does not belong here: rules.
"""

import datetime as dt
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from reco.errors import LedgerBroken
from reco.lean import without
from reco.orders.rules import COLUMNS, EARLIEST, SIGNED, ColumnRule, latest
from reco.storage.columns import NULL, index_array

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


@lru_cache(maxsize=16)
def _schema_of(columns: tuple[str, ...], now: dt.datetime, *, takes_back: bool) -> pandera.DataFrameSchema:
    whole = order_lines_schema(now, takes_back=takes_back)
    return pandera.DataFrameSchema({name: whole.columns[name] for name in columns}, strict=True)


def require_valid(accepted: pa.Table, now: dt.datetime, drop: str, *, takes_back: bool = False) -> None:
    """Checks accepted lines, eagerly: a LazyFrame would have its types checked and nothing else.

    The schema says nothing of two columns together, so each text of a column is checked once.

    Raises:
        LedgerBroken: the SQL that accepts lines and the schema disagree.
    """
    for start in range(0, accepted.num_rows, MAX_CHECKED_ROWS):
        for part in _frames(accepted.slice(start, MAX_CHECKED_ROWS)):
            try:
                _schema_of(tuple(part.columns), now, takes_back=takes_back).validate(part, lazy=True)
            except SchemaErrors as error:
                # Not the values: an error is stored, and one of them may name a customer.
                broken = error.failure_cases.select("column", "check").unique().sort("column", "check").head(5).rows()
                rules = ", ".join(f"{column}: {check}" for column, check in broken)
                raise LedgerBroken(
                    f"{error.failure_cases.height} accepted values of {drop} break the order line schema ({rules}).",
                    hint="This is a defect of ours: please report it with the file's header and one such line.",
                    drop=drop,
                ) from error


def _frames(lines: pa.Table) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The numbers of some lines, and the texts they have: each column's, and the first again where others have more."""
    texts = {name: _used(lines[name]) for name in lines.column_names if pa.types.is_dictionary(lines[name].type)}
    most = max(len(one) for one in texts.values())
    rest = [name for name in lines.column_names if name not in texts]
    return (
        pl.DataFrame({name: pl.Series(lines[name]) for name in rest}),
        pl.DataFrame({name: one.extend_constant(one[0], most - len(one)) for name, one in texts.items()}),
    )


def _used(column: Any) -> pl.Series:
    """The texts of a column in dictionaries that its lines have, and null where one has none."""
    found = []
    for chunk in column.chunks:
        codes = index_array(chunk.indices)
        used = np.zeros(len(chunk.dictionary) + 1, bool)
        used[codes] = True  # the last place is that of null
        found.append(pl.Series(chunk.dictionary, dtype=pl.String).filter(pl.Series(used[:-1])))
        if used[NULL]:
            found.append(pl.Series([None], dtype=pl.String))
    return pl.concat(found)
