"""Times as shops write them.

Belongs here: which forms are known, and the SQL that reads them. Does not belong here: which times are plausible, which
the rule table says. A form that two calendars fit is never guessed: it takes the whole column, or the profile, to know.
"""

from dataclasses import dataclass
from typing import Any, Literal

from reco.orders.profiles import DAY_FIRST, EPOCH_MILLISECONDS, EPOCH_SECONDS, EXCEL, MONTH_FIRST, toml_value
from reco.storage.engine import literal

Style = Literal["plain", "day_first", "month_first", "either", "excel", "epoch_seconds", "epoch_milliseconds"]
"""How a column writes times: `plain` has no value like `1/2/2010`; in `either` each such value fits one order only."""

_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_WORDS = ("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")
_SHAPE = r"^([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4}|[0-9]{2})([ T]|$)"
_ISO_SHAPE = "^[0-9]{4}[-/]"
_ISO = r"^[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}([ T][0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]*)?)?)?$"
_ISO_TWELVE_HOURS = ("%Y-%m-%d %I:%M %p", "%Y-%m-%d %I:%M:%S %p", "%Y/%m/%d %I:%M %p", "%Y/%m/%d %I:%M:%S %p")
_OFFSET = r"^(.*:[0-9.]+) ?([+-][0-9]{2}):?([0-9]{2})$"
_ZONE = r"(:[0-9.]+(?: ?[AaPp][Mm])?) ?(Z|z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)$"
# Read the other way round it would be a year before 1232 or no day at all, so that it has one meaning only.
_BASIC = r"^(19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])([ T]|$)"
_NUMBERS: dict[str, tuple[str, str, str]] = {
    # style: the shape that detection takes for it, the shape it can have, and milliseconds since 1970 of a number x
    EXCEL: (r"^[34567][0-9]{4}([.,][0-9]+)?$", r"^[0-9]{1,6}([.,][0-9]+)?$", "(x - 25569) * 86400000"),
    EPOCH_SECONDS: (r"^[0-9]{9,10}([.,][0-9]+)?$", r"^[0-9]{1,11}([.,][0-9]+)?$", "x * 1000"),
    EPOCH_MILLISECONDS: (r"^[0-9]{12,13}([.,]0+)?$", r"^[0-9]{1,14}([.,]0+)?$", "x"),
}


@dataclass(frozen=True)
class Shapes:
    """How many values of a column that are no ISO times have which shape.

    `others` are all of them. `shaped` look like `1/2/2010`; under each reading so many of these are dates, `either`
    under at least one, `same` under both with the same meaning; `doubtful` is one with two meanings. The last three are
    numbers that count days or time.
    """

    others: int
    shaped: int
    day_first: int
    month_first: int
    either: int
    same: int
    doubtful: str | None
    excel: int
    epoch_seconds: int
    epoch_milliseconds: int

    def number(self) -> str | None:
        """The style of a column that is one of numbers, as far as the values that are no ISO times tell."""
        kinds = {EXCEL: self.excel, EPOCH_SECONDS: self.epoch_seconds, EPOCH_MILLISECONDS: self.epoch_milliseconds}
        kind = max(kinds, key=lambda name: kinds[name])
        return kind if kinds[kind] * 2 > self.others and not self.shaped else None

    def style(self, column: str | list[str], file: str) -> Style | dict[str, Any]:
        """The only reading under which every date of the column is one, or the question that has to be answered.

        `either` where no date has two readings, though no single order of day and month fits all of them.
        """
        if not self.shaped or self.same == self.either:
            return "day_first" if self.shaped else "plain"
        fits = [self.day_first == self.either, self.month_first == self.either]
        if fits.count(True) == 1:
            return "day_first" if fits[0] else "month_first"
        if self.day_first + self.month_first - self.either == self.same:
            return "either"
        both = "day/month and month/day both fit" if all(fits) else "neither day/month nor month/day fits all"
        name = column if isinstance(column, str) else " + ".join(column)
        line = "ordered_at = {{ column = {}, format = {} }}"
        return {
            "column": name,
            "about": "dates",
            "message": f"The dates in column {name!r} of {file} cannot be read without knowing their format: {both}, "
            f"as in {self.doubtful!r}.",
            "answers": [line.format(toml_value(column), toml_value(order)) for order in (DAY_FIRST, MONTH_FIRST)],
        }


def shapes(text: str, times: str) -> str:
    """The aggregates that fill `Shapes`, in the order of its fields, from texts and how many times each is there."""
    shaped = f"regexp_matches({text}, {literal(_SHAPE)})"
    day, month = (_calendar(_without_zone(text), style) for style in (DAY_FIRST, MONTH_FIRST))
    tests = (
        "TRUE",
        f"{day} IS NOT NULL",
        f"{month} IS NOT NULL",
        f"coalesce({day}, {month}) IS NOT NULL",
        f"{day} = {month}",
    )
    counts = ["TRUE", *(f"{shaped} AND {test}" for test in tests)]
    numbers = [f"regexp_matches({text}, {literal(_NUMBERS[kind][0])})" for kind in _NUMBERS]
    least = f"min({text}) FILTER (WHERE {shaped} AND {day} <> {month})"
    counted = [f"coalesce(sum({times}) FILTER (WHERE {test}), 0)::BIGINT" for test in (*counts, *numbers)]
    return ", ".join([*counted[: len(counts)], least, *counted[len(counts) :]])


def reads_iso(style: str) -> bool:
    """Whether a column of this style may have ISO times; one of numbers has none."""
    return style not in _NUMBERS


def not_iso(text: str) -> str:
    """The predicate of a value that does not start like an ISO date; quick, and false for null."""
    return f"NOT regexp_matches({text}, {literal(_ISO_SHAPE)})"


def local_time(text: str, style: str, zone: str) -> str:
    """The expression that gives the UTC TIMESTAMP of a text: ISO forms, dates with month names, and `style`.

    An offset in the text counts; a time without one is in the zone.
    """
    if style in _NUMBERS:
        return _number(text, style, zone)
    # The cheap test: a time that ends in digits and has no sign where an offset would be.
    naive = (
        f"length({text}) <= 19 AND {text}[-1] BETWEEN '0' AND '9' AND strpos({text}, '+') = 0 "
        f"AND (length({text}) <= 10 OR {text}[-3] <> '-')"
    )
    joined = f"regexp_replace({text}, {literal(_OFFSET)}, {literal(chr(92) + '1' + chr(92) + '2:' + chr(92) + '3')})"
    offset = f"regexp_matches({text}, ':.*(Z|z| ?UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$')"
    with_zone = f"timezone('UTC', TRY_CAST({joined} AS TIMESTAMPTZ))"
    # The cast alone would leave out what it does not understand: a time zone's name, PM, any word.
    plain_iso = f"regexp_matches({text}, {literal(_ISO)})"
    iso = f"try_strptime({text}, {_listed(_ISO_TWELVE_HOURS)})"
    other = f"CASE WHEN {not_iso(text)} THEN {_not_iso_time(text, style)} ELSE {iso} END"
    naive_or_other = f"CASE WHEN {naive} AND NOT {not_iso(text)} THEN {iso} ELSE {other} END"
    cast = f"TRY_CAST({text} AS TIMESTAMP)"
    bare = f"strftime({_not_iso_time(_without_zone(text), style)}, '%Y-%m-%dT%H:%M:%S.%f')"
    other_with_zone = f"timezone('UTC', TRY_CAST({bare} || {_zone(text)} AS TIMESTAMPTZ))"
    zoned = f"CASE WHEN {not_iso(text)} THEN {other_with_zone} ELSE {with_zone} END"
    return (
        f"CASE WHEN {plain_iso} THEN {_to_utc(cast, zone)} WHEN NOT ({naive}) AND {offset} THEN {zoned} "
        f"ELSE {_to_utc(naive_or_other, zone)} END"
    )


def _not_iso_time(text: str, style: str) -> str:
    """The expression that reads a time in another form than ISO's usual one, as it stands there."""
    days = f"replace({text}, 'T', ' ')"
    basic = f"try_strptime({days}, {_formats(('%Y%m%d',))})"
    words = f"try_strptime({text}, {_formats(_WORDS)})"
    calendar = _calendar(text, style) if style != "plain" else "NULL"
    return f"CASE WHEN regexp_matches({text}, {literal(_BASIC)}) THEN {basic} ELSE coalesce({calendar}, {words}) END"


def _without_zone(text: str) -> str:
    return f"regexp_replace({text}, {literal(_ZONE)}, {literal(chr(92) + '1')})"


def _zone(text: str) -> str:
    """The offset in a text as ISO writes it."""
    digits = f"replace(regexp_extract({text}, {literal(_ZONE)}, 2), ':', '')"
    return (
        f"CASE WHEN length({digits}) = 5 THEN {digits}[1:3] || ':' || {digits}[4:] "
        f"WHEN length({digits}) = 3 AND {digits} <> 'UTC' THEN {digits} ELSE '+00' END"
    )


def with_format(text: str, form: str, zone: str) -> str:
    """The expression that gives the UTC TIMESTAMP of a text in a format of strptime; `%z` in it counts."""
    parsed = f"try_strptime({text}, {literal(form)})"
    return f"timezone('UTC', {parsed})" if "%z" in form or "%Z" in form else _to_utc(parsed, zone)


def _number(text: str, style: str, zone: str) -> str:
    """A count of days or time. Excel knows no time zone, so its days are the shop's; it is exact to a millisecond."""
    _, shape, since_1970 = _NUMBERS[style]
    number = f"CAST(replace({text}, ',', '.') AS DOUBLE)"
    moment = f"epoch_ms(CAST(round({since_1970.replace('x', number)}) AS BIGINT))"
    utc = _to_utc(moment, zone) if style == EXCEL else moment
    return f"CASE WHEN regexp_matches({text}, {literal(shape)}) THEN {utc} END"


def _to_utc(naive: str, zone: str) -> str:
    return naive if zone == "UTC" else f"timezone('UTC', timezone({literal(zone)}, {naive}))"


def _calendar(text: str, style: str) -> str:
    if style == "either":
        return f"coalesce({_calendar(text, DAY_FIRST)}, {_calendar(text, MONTH_FIRST)})"
    slashed = f"regexp_replace({text}, {literal(_SHAPE)}, {literal(chr(92) + '1/' + chr(92) + '2/' + chr(92) + '3 ')})"
    days = "%d/%m" if style == DAY_FIRST else "%m/%d"
    return f"try_strptime(rtrim({slashed}), {_formats((days + '/%y', days + '/%Y'))})"


def _listed(formats: tuple[str, ...]) -> str:
    return "[" + ", ".join(literal(one) for one in formats) + "]"


def _formats(dates: tuple[str, ...]) -> str:
    return "[" + ", ".join(literal(date + clock) for date in dates for clock in _CLOCKS) + "]"
