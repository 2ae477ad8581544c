"""The rule table: what an order line is, and every reason why a line is none.

Belongs here: one row a canonical column with its type, its cast and its checks, and the rules a shop may switch on. The
SQL (`reco.orders.sql`), the pandera schema (`reco.orders.schema`) and the documents are made from it. Does not belong
here: structural faults (`reco.orders.records`), which are found before there are fields.

In the SQL below `{text}` is the trimmed text of a column (null where it is blank), `{value}` what it was cast to.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import polars as pl

from reco.orders.records import MESSAGES

Disposition = Literal["excluded", "quarantined"]
_STRUCTURAL: Disposition = "quarantined"
MONEY = pl.Decimal(18, 4)
MONEY_SQL = "DECIMAL(18,4)"
MAX_VALUE_CHARS = 200
EARLIEST = dt.datetime(1990, 1, 1)  # noqa: DTZ001 - times in the lake are UTC without a zone
LATEST_AHEAD = dt.timedelta(days=2)
"""How far after now an order may lie: clocks and time zones differ, and no shop sells further ahead."""


@dataclass(frozen=True)
class Check:
    """One reason why a line is not accepted.

    Exactly one of these finds it: `when` (SQL), a bound (of the cast value, inclusive), or, where none is given, the
    reader, since it takes the whole drop to know. `minimum` and `maximum` may name a time the caller gives:
    "earliest" and "latest".
    """

    reason: str
    disposition: Disposition
    message: str
    column: str | None = None
    when: str | None = None
    minimum: int | Literal["earliest"] | None = None
    maximum: Literal["latest"] | None = None


@dataclass(frozen=True)
class ColumnRule:
    """One canonical column: its type in the lake, how it is cast from text, and what is wrong with a value.

    A column that is not `required` may be null. Checks are made only where the file has the column.
    """

    name: str
    dtype: pl.DataType
    sql_type: str
    cast: str
    required: bool = False
    absent: str = "NULL"
    checks: tuple[Check, ...] = ()


def _wrong(reason: str, column: str, message: str, when: str) -> Check:
    return Check(reason, "quarantined", message, column, when=when)


def _missing(reason: str, column: str, message: str) -> Check:
    return _wrong(reason, column, message, "{value} IS NULL")


def _miscast(reason: str, column: str, message: str) -> Check:
    return _wrong(reason, column, message, "{value} IS NULL AND {text} IS NOT NULL")


SHOP_CHECKS: tuple[Check, ...] = (
    Check("duplicate_line", "excluded", "the record repeats one before it in the same batch exactly"),
    Check(
        "cancelled",
        "excluded",
        "the line is a cancellation by the profile's rule",
        when="starts_with({mark}, {prefix})",
    ),
    Check("excluded_item", "excluded", "the profile leaves this item out", "item_id", when="item_id IN {items}"),
    Check("excluded_status", "excluded", "the profile leaves this status out", when="lower({mark}) IN {values}"),
    Check("oversized_order", "excluded", "the order has more lines than max_lines_per_order", "order_id"),
)
"""What a shop leaves out on purpose, in the order in which it decides."""

COLUMNS: tuple[ColumnRule, ...] = (
    ColumnRule(
        "order_id",
        pl.String(),
        "VARCHAR",
        "{text}",
        required=True,
        checks=(_missing("missing_order_id", "order_id", "the line has no order id"),),
    ),
    ColumnRule(
        "item_id",
        pl.String(),
        "VARCHAR",
        "{text}",
        required=True,
        checks=(_missing("missing_item", "item_id", "the line has no item"),),
    ),
    ColumnRule("item_name", pl.String(), "VARCHAR", "{text}"),
    ColumnRule(
        "quantity",
        pl.Int64(),
        "BIGINT",
        "{whole_number}",
        required=True,
        absent="1",
        checks=(
            _missing("invalid_quantity", "quantity", "the quantity is not a whole number of at most nine digits"),
            Check("nonpositive_quantity", "quarantined", "the quantity is zero or less", "quantity", minimum=1),
        ),
    ),
    ColumnRule(
        "unit_price",
        MONEY,
        MONEY_SQL,
        "{money}",
        checks=(
            _miscast("invalid_price", "unit_price", "the price is not an amount of money"),
            Check("negative_price", "quarantined", "the price is below zero", "unit_price", minimum=0),
        ),
    ),
    ColumnRule(
        "line_total",
        MONEY,
        MONEY_SQL,
        "{money}",
        absent="{unit_price_times_quantity}",
        checks=(
            _miscast("invalid_price", "line_total", "the line's total is not an amount of money"),
            Check("negative_price", "quarantined", "the line's total is below zero", "line_total", minimum=0),
        ),
    ),
    ColumnRule("customer_id", pl.String(), "VARCHAR", "{text}"),
    ColumnRule("category", pl.String(), "VARCHAR", "{text}"),
    ColumnRule(
        "ordered_at",
        pl.Datetime("us"),
        "TIMESTAMP",
        "{time}",
        checks=(
            _miscast("invalid_timestamp", "ordered_at", "the time is not in the column's format"),
            Check(
                "timestamp_out_of_range",
                "quarantined",
                "the time is before 1990 or more than two days ahead",
                "ordered_at",
                minimum="earliest",
                maximum="latest",
            ),
        ),
    ),
)
"""The canonical columns in the order of the lake's table."""

SIGNED = ("quantity", "line_total")
"""What is below zero in a line that takes units back, where the profile lets lines do so."""

CHECKS: tuple[Check, ...] = (*SHOP_CHECKS, *(check for rule in COLUMNS for check in rule.checks))
"""Every check in the order in which it decides; a line's flags have one bit for each, by position."""

REASONS: dict[str, Disposition] = dict.fromkeys(MESSAGES, _STRUCTURAL) | {c.reason: c.disposition for c in CHECKS}
"""The closed list of reason codes: structural ones first, then excluded by rule, then values."""


def latest(now: dt.datetime) -> dt.datetime:
    """The latest time an order may have, in UTC without a zone; a `now` without a zone is UTC."""
    utc = now if now.tzinfo is None else now.astimezone(dt.UTC).replace(tzinfo=None)
    return utc + LATEST_AHEAD
