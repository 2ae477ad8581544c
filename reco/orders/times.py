"""Times as shops write them.

Belongs here: which forms are known, and the SQL that reads them. Does not belong here: which times are plausible, which
the rule table says. A form that two calendars fit is never guessed: it takes the whole column, or the profile, to know.
"""

from dataclasses import dataclass
from typing import Literal

from reco.errors import DropUnmapped
from reco.storage.engine import literal

Style = Literal["plain", "day_first", "month_first"]
"""How `1/2/2010` is to be read; `plain` where no value has that shape."""

_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_WORDS = ("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y")
_SHAPE = r"^([0-9]{1,2})[/.-]([0-9]{1,2})[/.-]([0-9]{4}|[0-9]{2})([ T]|$)"
_ISO_SHAPE = "^[0-9]{4}[-/]"
_OFFSET = r"^(.*:[0-9.]+) ?([+-][0-9]{2}):?([0-9]{2})$"


@dataclass(frozen=True)
class Shapes:
    """How many values of a column have the shape of `1/2/2010`, and under which reading they are dates."""

    shaped: int
    day_first: int
    month_first: int
    either: int
    same: int

    def style(self, column: str, file: str) -> Style:
        """The only reading under which every date of the column is one.

        Raises:
            DropUnmapped: both readings fit, or neither fits all.
        """
        if not self.shaped or self.same == self.either:
            return "day_first" if self.shaped else "plain"
        fits = [self.day_first == self.either, self.month_first == self.either]
        if fits.count(True) == 1:
            return "day_first" if fits[0] else "month_first"
        both = "day/month and month/day both fit" if all(fits) else "neither day/month nor month/day fits all"
        raise DropUnmapped(
            f"The dates in column {column!r} of {file} cannot be read without knowing their format: {both}.",
            hint=f'Say it in a source profile: ordered_at = {{ column = "{column}", format = "%d/%m/%Y %H:%M" }}, '
            "or %m/%d/%Y.",
            name=file,
            column=column,
        )


def shapes(text: str) -> str:
    """The aggregates that fill `Shapes`, in the order of its fields."""
    shaped = f"regexp_matches({text}, {literal(_SHAPE)})"
    day, month = (_calendar(text, style) for style in ("day_first", "month_first"))
    tests = (
        "TRUE",
        f"{day} IS NOT NULL",
        f"{month} IS NOT NULL",
        f"coalesce({day}, {month}) IS NOT NULL",
        f"{day} = {month}",
    )
    return ", ".join(f"count(*) FILTER (WHERE {shaped} AND {test})" for test in tests)


def not_iso(text: str) -> str:
    """The predicate of a value that does not start like an ISO date; quick, and false for null."""
    return f"NOT regexp_matches({text}, {literal(_ISO_SHAPE)})"


def local_time(text: str, style: str, zone: str) -> str:
    """The expression that gives the UTC TIMESTAMP of a text: ISO forms, dates with month names, and `style`.

    An offset in the text counts; a time without one is in the zone.
    """
    # The cheap test: a time that ends in digits and has no sign where an offset would be.
    naive = (
        f"length({text}) <= 19 AND {text}[-1] BETWEEN '0' AND '9' AND strpos({text}, '+') = 0 "
        f"AND (length({text}) <= 10 OR {text}[-3] <> '-')"
    )
    joined = f"regexp_replace({text}, {literal(_OFFSET)}, {literal(chr(92) + '1' + chr(92) + '2:' + chr(92) + '3')})"
    offset = f"regexp_matches({text}, ':.*(Z|z| ?UTC|[+-][0-9]{{2}}(:?[0-9]{{2}})?)$')"
    with_zone = f"timezone('UTC', TRY_CAST({joined} AS TIMESTAMPTZ))"
    iso = f"TRY_CAST({text} AS TIMESTAMP)"
    words = f"try_strptime({text}, {_formats(_WORDS)})"
    calendar = _calendar(text, style) if style != "plain" else "NULL"
    if style == "plain":
        other = f"CASE WHEN {not_iso(text)} THEN {words} ELSE {iso} END"
    else:
        other = f"CASE WHEN {not_iso(text)} THEN coalesce({calendar}, {words}) ELSE {iso} END"
    naive_or_other = f"CASE WHEN {naive} AND NOT {not_iso(text)} THEN {iso} ELSE {other} END"
    return f"CASE WHEN NOT ({naive}) AND {offset} THEN {with_zone} ELSE {_to_utc(naive_or_other, zone)} END"


def with_format(text: str, form: str, zone: str) -> str:
    """The expression that gives the UTC TIMESTAMP of a text in a format of strptime; `%z` in it counts."""
    parsed = f"try_strptime({text}, {literal(form)})"
    return f"timezone('UTC', {parsed})" if "%z" in form or "%Z" in form else _to_utc(parsed, zone)


def _to_utc(naive: str, zone: str) -> str:
    return naive if zone == "UTC" else f"timezone('UTC', timezone({literal(zone)}, {naive}))"


def _calendar(text: str, style: str) -> str:
    slashed = f"regexp_replace({text}, {literal(_SHAPE)}, {literal(chr(92) + '1/' + chr(92) + '2/' + chr(92) + '3 ')})"
    days = "%d/%m" if style == "day_first" else "%m/%d"
    return f"try_strptime(rtrim({slashed}), {_formats((days + '/%y', days + '/%Y'))})"


def _formats(dates: tuple[str, ...]) -> str:
    return "[" + ", ".join(literal(date + clock) for date in dates for clock in _CLOCKS) + "]"
