"""The rule table as SQL over the raw text of one scan.

Belongs here: expressions and statements made from the rule table, a profile and a mapping. Does not belong here:
running them, and any rule of its own.

The tables they read have `c0, c1, ...`: the text of the header's columns in use, by position.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from reco.orders import order_ids
from reco.orders.headers import Mapping
from reco.orders.profiles import NAMED_FORMATS, SourceProfile
from reco.orders.rules import CHECKS, COLUMNS, EARLIEST, MONEY_SQL, SIGNED, Check, ColumnRule, latest
from reco.orders.times import local_time, with_format
from reco.storage.engine import literal

_BLANKS = " \t\n\r\v\f\u00a0\u2007\u202f\u3000\ufeff"
# Signs, codes, and the abbreviations that shops write where their currency has no sign; those with a dot come first.
_CURRENCY = (
    "(?i:kr|rs|fr|lei|din|\u0440\u0443\u0431|\u0433\u0440\u043d|\u0440)[.]|[A-Z]{1,3}[$]|[$£€¥₹₩₽₺฿₴₪₫₦₱₡₲₸₮₼₾]|[A-Z]{2,3}"
    "|(?i:kr|zł|zl|kč|ft|fr|rs|lei|din|\u043b\u0432|\u0440\u0443\u0431|\u0433\u0440\u043d|\u0434\u0435\u043d)|S/"
    "|(?i:eur|usd|gbp|chf|sek|nok|dkk|pln|czk|huf|ron|brl)"
)


@dataclass(frozen=True)
class Style:
    """How one drop writes its values: its times (`reco.orders.times.Style`) and the decimal sign of its amounts."""

    time: str
    decimal: str


@dataclass(frozen=True)
class Reading:
    """How the text of one scan is to be understood."""

    profile: SourceProfile
    mapping: Mapping
    now: dt.datetime

    def place(self, column: str) -> tuple[int, ...] | None:
        """The positions in the header of a canonical column; None where it is not there. A name alone is the id."""
        if column == "item_id" and column not in self.mapping.columns:
            column = "item_name"
        return self.mapping.columns.get(column)

    def text(self, column: str) -> str:
        """The trimmed text of a canonical column; null where it is blank or not there."""
        place = self.place(column)
        if place is None:
            return "CAST(NULL AS VARCHAR)"
        parts = [self.trimmed(position) for position in place]
        if len(parts) == 1:
            return parts[0]
        if column == "ordered_at":
            return f"nullif(concat_ws(' ', {', '.join(parts)}), '')"
        return order_ids.joined(parts)

    def trimmed(self, position: int) -> str:
        """The trimmed text of the column at a position."""
        # Trimming with a list of characters is slow: only what does not begin and end with visible ASCII is trimmed.
        bordered = f"c{position} < '!' OR c{position} > '~' OR c{position}[-1] < '!' OR c{position}[-1] > '~'"
        text = f"CASE WHEN {bordered} THEN nullif(trim(c{position}, {literal(_BLANKS)}), '') ELSE c{position} END"
        rules = self.profile.rules
        if position in {self.mapping.extra[name] for name in rules.strip_decimal}:
            return f"regexp_replace({text}, '^([0-9]+)[.]0+$', '\\1')"
        return text

    def marks(self) -> dict[str, int]:
        """The positions of the columns that shop rules look at, by mark: the reason, or `cancelled_order`."""
        rules, marks = self.profile.rules, {}
        if rules.cancelled:
            marks["cancelled"] = self.mapping.extra[rules.cancelled.column]
            if rules.cancelled.names_order:
                marks["cancelled_order"] = self.mapping.extra[rules.cancelled.order or rules.cancelled.column]
        if rules.excluded_status and rules.excluded_status.column in self.mapping.extra:
            marks["excluded_status"] = self.mapping.extra[rules.excluded_status.column]
        return marks

    def mark(self, mark: str) -> str:
        """The text of a mark; of `cancelled_order` the order a cancellation cancels lines of."""
        text, cancelled = self.trimmed(self.marks()[mark]), self.profile.rules.cancelled
        if mark != "cancelled_order" or cancelled is None or cancelled.order:
            return text
        return f"nullif(trim(substr({text}, {len(cancelled.prefix) + 1})), '')"

    def marked_column(self, reason: str) -> str | None:
        """The canonical column that a shop rule looks at, where it is one."""
        rules = self.profile.rules
        rule = rules.cancelled if reason == "cancelled" else rules.excluded_status
        place = self.mapping.extra[rule.column] if rule else None
        return next((column for column, at in self.mapping.columns.items() if at == (place,)), None)

    def has(self, column: str) -> bool:
        """Whether the file has a canonical column; an item is always there."""
        return column in self.mapping.columns or column == "item_id"


@dataclass(frozen=True)
class Asked:
    """What is asked of the texts at one place of the header: the canonical columns and the marks that stand there."""

    columns: tuple[ColumnRule, ...]
    marks: tuple[str, ...]


def asked(reading: Reading) -> dict[tuple[int, ...], Asked]:
    """What is asked of which place."""
    columns: dict[tuple[int, ...], list[ColumnRule]] = {}
    marks: dict[tuple[int, ...], list[str]] = {}
    for rule in COLUMNS:
        if (place := reading.place(rule.name)) is not None:
            columns.setdefault(place, []).append(rule)
    for mark, position in reading.marks().items():
        marks.setdefault((position,), []).append(mark)
    return {place: Asked(tuple(columns.get(place, ())), tuple(marks.get(place, ()))) for place in [*columns, *marks]}


def texts(reading: Reading, table: str) -> str:
    """The statement that gives the trimmed texts of canonical columns as `t_{column}`, of marks as `m_{mark}`."""
    columns = [f"{reading.text(rule.name)} AS t_{rule.name}" for rule in COLUMNS]
    return f"SELECT {', '.join([*columns, *_marks(reading, reading.marks())])} FROM {table}"


def meanings(reading: Reading, style: Style, asked: Asked, table: str) -> str:
    """The statement that gives what the texts at one place mean, a row each.

    Its columns: each canonical column, cast (amounts in ten-thousandths, times in microseconds since 1970);
    `is_cancelled` and `m_cancelled_order` where these marks are there; and `flags`: one bit a failed check, of those
    that one place can decide.
    """
    rules = reading.profile.rules
    texts = [f"{reading.text(rule.name)} AS t_{rule.name}" for rule in asked.columns]
    casts = [f"{_cast(rule, reading, style)} AS {rule.name}" for rule in asked.columns]
    values = [_AS_INTEGER.get(rule.sql_type, "{0}").format(rule.name) + f" AS {rule.name}" for rule in asked.columns]
    marks = ["m_cancelled_order"] if "cancelled_order" in asked.marks else []
    if rules.cancelled and "cancelled" in asked.marks:
        marks.append(f"{is_cancelled(reading, 'm_cancelled')} AS is_cancelled")
    flags = " + ".join(_flags(reading, asked)) or "0"
    return (
        f"SELECT {', '.join([*values, *marks, f'CAST({flags} AS INTEGER) AS flags'])} FROM ("
        f"SELECT {', '.join(['*', *casts])} FROM ("
        f"SELECT {', '.join([*texts, *_marks(reading, asked.marks)])} FROM {table}))"
    )


_AS_INTEGER = {MONEY_SQL: "CAST(CAST({0} AS DECIMAL(23,4)) * 10000 AS BIGINT)", "TIMESTAMP": "epoch_us({0})"}


def _marks(reading: Reading, marks: Iterable[str]) -> list[str]:
    return [f"{reading.mark(mark)} AS m_{mark}" for mark in marks]


def _cast(rule: ColumnRule, reading: Reading, style: Style) -> str:
    text = f"t_{rule.name}"
    zone = reading.profile.timezone
    spec = reading.profile.columns.ordered_at
    coded = spec.format if spec and spec.format not in NAMED_FORMATS else None
    return {
        "{text}": lambda: text,
        "{whole_number}": lambda: _whole_number(text, style.decimal),
        "{money}": lambda: _money(text, style.decimal),
        "{time}": lambda: with_format(text, coded, zone) if coded else local_time(text, style.time, zone),
    }[rule.cast]()


def _whole_number(text: str, decimal: str) -> str:
    """A whole number of at most nine digits; `3.0` and `1,000` are, and `2.6`, `1e2` and `1_000` are none."""
    plain = literal(f"^[+-]?[0-9]{{1,9}}([{decimal}]0*)?$")
    grouped = literal(f"^[+-]?[1-9][0-9]{{0,2}}({_group(decimal)}[0-9]{{3}}){{1,2}}([{decimal}]0*)?$")
    digits = text if decimal == "." else f"replace({text}, {literal(decimal)}, '.')"
    return (
        f"CASE WHEN regexp_matches({text}, {plain}) THEN TRY_CAST({digits} AS BIGINT) "
        f"WHEN regexp_matches({text}, {grouped}) THEN TRY_CAST({_without_groups(text, decimal)} AS BIGINT) END"
    )


def _group(decimal: str) -> str:
    """What may stand between thousands."""
    return "[,'\u2019 \u00a0\u202f]" if decimal == "." else "[.'\u2019 \u00a0\u202f]"


def _without_groups(text: str, decimal: str) -> str:
    """The text of a number without what stands between thousands, and with a decimal point."""
    bare = f"regexp_replace({text}, {literal(f'[^0-9+{decimal}-]')}, '', 'g')"
    return bare if decimal == "." else f"replace({bare}, {literal(decimal)}, '.')"


def _money(text: str, decimal: str) -> str:
    """An amount, with a currency sign or code and thousands separators where they are usual."""
    number = f"([1-9][0-9]{{0,2}}({_group(decimal)}[0-9]{{3}})+|[0-9]{{1,14}})([{decimal}][0-9]*)?|[{decimal}][0-9]+"
    blank = "[ \u00a0\u202f]?"
    amount = literal(f"^[-+]?{blank}({_CURRENCY})?{blank}[-+]?({number}){blank}({_CURRENCY})?$")
    bare = _without_groups(f"regexp_replace({text}, {literal(_CURRENCY)}, '', 'g')", decimal)
    plain = literal(r"^-?[0-9]{1,14}([.][0-9]+)?$")
    fast = f"WHEN regexp_matches({text}, {plain}) THEN TRY_CAST({text} AS {MONEY_SQL})" if decimal == "." else ""
    return f"CASE {fast} WHEN regexp_matches({text}, {amount}) THEN TRY_CAST({bare} AS {MONEY_SQL}) END"


def is_excluded_status(reading: Reading) -> str:
    """The expression that tells of a text of the status column whether it excludes its order."""
    status = reading.profile.rules.excluded_status
    values = _list(value.strip().lower() for value in status.values) if status else "()"
    return f"coalesce(lower({reading.mark('excluded_status')}) IN {values}, false)"


def is_cancelled(reading: Reading, text: str | None = None) -> str:
    """The expression that tells of a text of the column of cancellations whether its line is one."""
    cancelled = reading.profile.rules.cancelled
    prefix = literal(cancelled.prefix) if cancelled else "NULL"
    return f"coalesce(starts_with({text or reading.mark('cancelled')}, {prefix}), false)"


def decimal_readings(text: str, table: str, cast: str = "{money}") -> str:
    """A drop's position `i` and what fills `reco.orders.decimals.Amounts`, in the order of its fields.

    The table has texts and `n`, how many times each is there; `cast` says what the texts are.
    """
    read = _whole_number if cast == "{whole_number}" else _money
    return (
        "SELECT i, coalesce(sum(n) FILTER (WHERE point IS NOT NULL), 0)::BIGINT, "
        "coalesce(sum(n) FILTER (WHERE comma IS NOT NULL), 0)::BIGINT, "
        "coalesce(sum(n) FILTER (WHERE coalesce(point, comma) IS NOT NULL), 0)::BIGINT, "
        "coalesce(sum(n) FILTER (WHERE point = comma), 0)::BIGINT, min(t) FILTER (WHERE point <> comma) "
        f"FROM (SELECT i, t, n, {read('t', '.')} AS point, {read('t', ',')} AS comma "
        f"FROM (SELECT i, {text} AS t, n FROM {table})) GROUP BY i"
    )


def numbers(reading: Reading) -> dict[int, str]:
    """The positions of the columns of money and quantities, in which a comma may have two meanings, with their cast."""
    return {
        reading.mapping.columns[rule.name][0]: rule.cast
        for rule in COLUMNS
        if rule.cast in ("{money}", "{whole_number}") and rule.name in reading.mapping.columns
    }


def amount(text: str, decimal: str) -> str:
    """The expression that reads a text as an amount of money, null where it is none; for other tables than lines."""
    return _money(text, decimal)


def trimmed(text: str) -> str:
    """The expression of a text without blanks around it, null where nothing is left."""
    return f"nullif(trim({text}, {literal(_BLANKS)}), '')"


def _flags(reading: Reading, asked: Asked) -> Iterable[str]:
    columns = {rule.name for rule in asked.columns}
    for i, check in enumerate(CHECKS):
        if check.reason in asked.marks or check.column in columns:
            predicate = _predicate(check, reading)
            if predicate is not None:
                yield f"CASE WHEN {predicate} THEN {1 << i} ELSE 0 END"


def _predicate(check: Check, reading: Reading) -> str | None:
    """The SQL of a check; None where it is off, or where more than one place decides (`reco.orders.typed`)."""
    rules = reading.profile.rules
    if check.minimum is not None:
        if rules.takes_back and check.column in SIGNED:
            return None
        low = literal(str(EARLIEST)) if check.minimum == "earliest" else str(check.minimum)
        high = f" OR {check.column} > {literal(str(latest(reading.now)))}" if check.maximum else ""
        return f"{check.column} < {low}{high}"
    if check.when is None:
        return None
    if check.reason == "cancelled" and (rules.cancelled is None or rules.cancelled.names_order):
        return None
    if check.reason == "excluded_item" and not rules.exclude_items:
        return None
    return check.when.format(
        value=check.column,
        text=f"t_{check.column}",
        mark=f"m_{check.reason}",
        prefix=literal(rules.cancelled.prefix) if rules.cancelled else "''",
        items=_list(rules.exclude_items),
        values=_list(value.strip().lower() for value in rules.excluded_status.values)
        if rules.excluded_status
        else "()",
    )


def _list(values: Iterable[str]) -> str:
    return "(" + ", ".join(literal(value) for value in values) + ")"
