"""The rule table as SQL over the raw text of one scan.

Belongs here: expressions and statements made from the rule table, a profile and a mapping. Does not belong here:
running them, and any rule of its own.

The table they read is `raw`: one row a record, `c0, c1, ...` the text of the header's columns in use, by position.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

from reco.orders.headers import Mapping
from reco.orders.profiles import NAMED_FORMATS, SourceProfile
from reco.orders.rules import CHECKS, COLUMNS, EARLIEST, MONEY_SQL, SIGNED, Check, ColumnRule, latest
from reco.orders.times import local_time, with_format
from reco.storage.engine import literal

_BLANKS = " \t\n\r\v\f\u00a0\u2007\u202f\u3000\ufeff"
_CURRENCY = "[$£€¥₹₩₽₺฿]|[A-Z]{2,3}[$]?"
ID_JOINER = "|"
"""Stands between the parts of an order id that is made of several columns."""


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

    def text(self, column: str) -> str:
        """The trimmed text of a canonical column; null where it is blank or not there."""
        place = self.mapping.columns.get(column)
        if column == "item_id" and place is None:
            place = self.mapping.columns["item_name"]
        if place is None:
            return "CAST(NULL AS VARCHAR)"
        parts = [self.trimmed(position) for position in place]
        if len(parts) == 1:
            return parts[0]
        if column == "ordered_at":
            return f"nullif(concat_ws(' ', {', '.join(parts)}), '')"
        return f" || '{ID_JOINER}' || ".join(parts)

    def trimmed(self, position: int) -> str:
        """The trimmed text of the column at a position."""
        # Trimming with a list of characters is slow: only what does not begin and end with visible ASCII is trimmed.
        bordered = f"c{position} < '!' OR c{position} > '~' OR c{position}[-1] < '!' OR c{position}[-1] > '~'"
        text = f"CASE WHEN {bordered} THEN nullif(trim(c{position}, {literal(_BLANKS)}), '') ELSE c{position} END"
        rules = self.profile.rules
        if position in {self.mapping.extra[name] for name in rules.strip_decimal}:
            return f"regexp_replace({text}, '^([0-9]+)[.]0+$', '\\1')"
        return text

    def marks(self) -> dict[str, str]:
        """The text of the columns that shop rules look at, by reason."""
        rules, marks = self.profile.rules, {}
        if rules.cancelled:
            marks["cancelled"] = self.trimmed(self.mapping.extra[rules.cancelled.column])
        if rules.excluded_status and rules.excluded_status.column in self.mapping.extra:
            marks["excluded_status"] = self.trimmed(self.mapping.extra[rules.excluded_status.column])
        return marks

    def cancelled_order(self) -> str | None:
        """The text that names the order a cancellation cancels lines of, where the profile says there is one."""
        rule = self.profile.rules.cancelled
        if rule is None or not rule.names_order:
            return None
        if rule.order:
            return self.trimmed(self.mapping.extra[rule.order])
        text = self.trimmed(self.mapping.extra[rule.column])
        return f"nullif(trim(substr({text}, {len(rule.prefix) + 1})), '')"

    def marked_column(self, reason: str) -> str | None:
        """The canonical column that a shop rule looks at, where it is one."""
        rules = self.profile.rules
        rule = rules.cancelled if reason == "cancelled" else rules.excluded_status
        place = self.mapping.extra[rule.column] if rule else None
        return next((column for column, at in self.mapping.columns.items() if at == (place,)), None)

    def has(self, column: str) -> bool:
        """Whether the file has a canonical column; an item is always there."""
        return column in self.mapping.columns or column == "item_id"


def texts(reading: Reading, where: str) -> str:
    """The statement that gives `rid` and the trimmed text of every canonical column, as `t_{column}`."""
    columns = [f"{reading.text(rule.name)} AS t_{rule.name}" for rule in COLUMNS]
    marks = [f"{text} AS m_{reason}" for reason, text in reading.marks().items()]
    if cancelled := reading.cancelled_order():
        marks.append(f"{cancelled} AS t_cancelled_order")
    return f"SELECT rowid AS rid, {', '.join([*columns, *marks])} FROM raw WHERE {where}"


def typed(reading: Reading, style: Style, where: str) -> str:
    """The statement that gives `rid`, every canonical column cast, and `flags`: one bit a failed check."""
    plain = [rule for rule in COLUMNS if rule.name != "line_total"]
    casts = [f"{_cast(rule, reading, style)} AS {rule.name}" for rule in plain]
    total = next(rule for rule in COLUMNS if rule.name == "line_total")
    flags = " + ".join(_flags(reading)) or "0"
    values = _values(reading)
    names = ", ".join(f"{values[rule.name]} AS {rule.name}" if rule.name in values else rule.name for rule in COLUMNS)
    return (
        f"SELECT rid, {names}, CAST({flags} AS INTEGER) AS flags FROM ("
        f"SELECT *, {_cast(total, reading, style)} AS line_total FROM ("
        f"SELECT *, {', '.join(casts)} FROM ({texts(reading, where)})))"
    )


def _cancels(reading: Reading) -> str:
    """The predicate of a cancellation that names its order."""
    rule = reading.profile.rules.cancelled
    if rule is None or not rule.names_order:
        return "false"
    return f"(starts_with(m_cancelled, {literal(rule.prefix)}) AND t_cancelled_order IS NOT NULL)"


def _takes_back(reading: Reading) -> str:
    """The predicate of a line that takes units of its order back."""
    returned = "quantity < 0" if reading.profile.rules.returns == "net" else "false"
    return f"coalesce({_cancels(reading)} OR {returned}, false)"


def _values(reading: Reading) -> dict[str, str]:
    """What stands in the lake instead of the cast values, where lines may take units back: those are below zero."""
    if not reading.profile.rules.takes_back:
        return {}
    back = _takes_back(reading)
    signed = {name: f"CASE WHEN {back} THEN -abs({name}) ELSE {name} END" for name in SIGNED}
    if reading.cancelled_order():
        signed["order_id"] = f"CASE WHEN {_cancels(reading)} THEN t_cancelled_order ELSE order_id END"
    return signed


def _cast(rule: ColumnRule, reading: Reading, style: Style) -> str:
    if not reading.has(rule.name):
        absent = rule.absent
        if absent == "{unit_price_times_quantity}":
            absent = _product() if reading.has("unit_price") else "NULL"
        return f"CAST({absent} AS {rule.sql_type})"
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


def _product() -> str:
    return f"TRY_CAST(CAST(unit_price AS DECIMAL(27,4)) * CAST(quantity AS DECIMAL(10,0)) AS {MONEY_SQL})"


def _whole_number(text: str, decimal: str) -> str:
    """A whole number of at most nine digits; `3.0` is one, and `2.6`, `1e2` and `1_000` are none."""
    point = literal(f"^[+-]?[0-9]{{1,9}}([{decimal}]0*)?$")
    digits = text if decimal == "." else f"replace({text}, {literal(decimal)}, '.')"
    return f"CASE WHEN regexp_matches({text}, {point}) THEN TRY_CAST({digits} AS BIGINT) END"


def _money(text: str, decimal: str) -> str:
    """An amount, with a currency sign or code and thousands separators where they are usual."""
    group = "[,' \u00a0\u202f]" if decimal == "." else "[.' \u00a0\u202f]"
    number = f"([1-9][0-9]{{0,2}}({group}[0-9]{{3}})+|[0-9]{{1,12}})([{decimal}][0-9]*)?|[{decimal}][0-9]+"
    blank = "[ \u00a0]?"
    amount = literal(f"^[-+]?{blank}({_CURRENCY})?{blank}[-+]?({number}){blank}({_CURRENCY})?$")
    bare = f"regexp_replace({text}, {literal(f'[^0-9+{decimal}-]')}, '', 'g')"
    bare = bare if decimal == "." else f"replace({bare}, {literal(decimal)}, '.')"
    plain = literal(r"^-?[0-9]{1,12}([.][0-9]+)?$")
    fast = f"WHEN regexp_matches({text}, {plain}) THEN TRY_CAST({text} AS {MONEY_SQL})" if decimal == "." else ""
    return f"CASE {fast} WHEN regexp_matches({text}, {amount}) THEN TRY_CAST({bare} AS {MONEY_SQL}) END"


def excluded_orders(reading: Reading) -> str | None:
    """The statement that gives the rows of orders left out as a whole for a status of one of their lines."""
    status, mark = reading.profile.rules.excluded_status, reading.marks().get("excluded_status")
    if status is None or not status.whole_order or mark is None:
        return None
    values = _list(value.strip().lower() for value in status.values)
    return (
        f"SELECT rid FROM (SELECT rowid AS rid, file_no, {reading.text('order_id')} AS o, lower({mark}) AS m FROM raw) "
        f"WHERE o IS NOT NULL QUALIFY bool_or(m IN {values}) OVER (PARTITION BY file_no, o)"
    )


def decimal_marks(reading: Reading) -> str:
    """Per drop, whether an amount has a comma; quick."""
    has_comma = " OR ".join(f"contains(c{i}, ',')" for i in _amounts(reading))
    return f"SELECT file_no, bool_or({has_comma}) FROM raw GROUP BY file_no"


def decimal_readings(reading: Reading, file_no: int) -> str:
    """What fills `reco.orders.decimals.Amounts` for a drop, in the order of its fields."""
    texts = " UNION ALL ".join(
        f"SELECT {reading.trimmed(i)} AS t FROM raw WHERE file_no = {file_no:d}" for i in _amounts(reading)
    )
    return (
        "SELECT count(point), count(comma), count(coalesce(point, comma)), count(*) FILTER (WHERE point = comma), "
        "min(t) FILTER (WHERE point <> comma) "
        f"FROM (SELECT t, {_money('t', '.')} AS point, {_money('t', ',')} AS comma FROM ({texts}))"
    )


def _amounts(reading: Reading) -> list[int]:
    """The positions of the columns that hold amounts of money."""
    places = [reading.mapping.columns.get(rule.name) for rule in COLUMNS if rule.cast == "{money}"]
    return [place[0] for place in places if place is not None]


def has_amounts(reading: Reading) -> bool:
    """Whether the file has a column that holds amounts of money."""
    return bool(_amounts(reading))


def amount(text: str, decimal: str) -> str:
    """The expression that reads a text as an amount of money, null where it is none; for other tables than lines."""
    return _money(text, decimal)


def trimmed(text: str) -> str:
    """The expression of a text without blanks around it, null where nothing is left."""
    return f"nullif(trim({text}, {literal(_BLANKS)}), '')"


def _flags(reading: Reading) -> Iterable[str]:
    for i, check in enumerate(CHECKS):
        predicate = _predicate(check, reading)
        if predicate is not None:
            yield f"CASE WHEN {predicate} THEN {1 << i} ELSE 0 END"


def _predicate(check: Check, reading: Reading) -> str | None:
    rules = reading.profile.rules
    switched_on = {
        "cancelled": bool(rules.cancelled),
        "excluded_status": "excluded_status" in reading.marks(),
        "excluded_item": bool(rules.exclude_items),
    }
    if not switched_on.get(check.reason, check.column is not None and reading.has(check.column)):
        if check.reason == "invalid_price" and check.column == "line_total" and reading.has("unit_price"):
            return "line_total IS NULL AND unit_price IS NOT NULL AND quantity IS NOT NULL"
        return None
    if check.minimum is not None:
        low = literal(str(EARLIEST)) if check.minimum == "earliest" else str(check.minimum)
        high = f" OR {check.column} > {literal(str(latest(reading.now)))}" if check.maximum else ""
        predicate = f"{check.column} < {low}{high}"
        if rules.takes_back and check.column in SIGNED:
            return f"{predicate} AND NOT ({_takes_back(reading)} AND {check.column} <> 0)"
        return predicate
    if check.when is None:
        return None
    predicate = check.when.format(
        value=check.column,
        text=f"t_{check.column}",
        mark=f"m_{check.reason}",
        prefix=literal(rules.cancelled.prefix) if rules.cancelled else "''",
        items=_list(rules.exclude_items),
        values=_list(value.strip().lower() for value in rules.excluded_status.values)
        if rules.excluded_status
        else "()",
    )
    return f"{predicate} AND NOT {_cancels(reading)}" if check.reason == "cancelled" else predicate


def _list(values: Iterable[str]) -> str:
    return "(" + ", ".join(literal(value) for value in values) + ")"
