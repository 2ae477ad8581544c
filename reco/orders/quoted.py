"""Where an open quote is closed, found in one pass whatever the text.

Belongs here: splitting one record strictly, and the place at which a record of several lines ends. Does not belong
here: whether such a record is to be believed (`reco.orders.records`).

Inside of quotes, two quotes stand for one. So of the runs of quotes behind an open one all those of even length are
text, and the first of odd length closes it. Between two lines that end inside of quotes there is always such a run:
each stretch of a text is looked at once for every column at most, however many quotes are open.
"""

import csv
import re
from dataclasses import dataclass
from typing import NamedTuple

from reco.orders.dialect import Dialect
from reco.orders.lines import next_line
from reco.orders.source import Text

OPEN = "open quote"
"""What `split` tells of a text that ends inside of quotes."""


class Closing(NamedTuple):
    """Where the last quote of a record is closed.

    end: of the record in the text, without its line end; behind_delimiter: the closing quote stands where one could
    as well be opened; first_line_is_whole: but for its quote, the record's first line has a field for every column.
    """

    end: int
    behind_delimiter: bool
    first_line_is_whole: bool


def split(text: str, dialect: Dialect) -> list[str] | str:
    """The fields of one record, strictly; else `unbalanced_quote`, or `OPEN` where it ends inside of quotes."""
    if not dialect.quote:
        return text.split(dialect.delimiter)
    try:
        return next(csv.reader([text], delimiter=dialect.delimiter, quotechar=dialect.quote, strict=True), [""])
    except csv.Error as error:
        return OPEN if "unexpected end of data" in str(error) else "unbalanced_quote"


@dataclass(frozen=True)
class Quoting:
    """Follows the quotes of a text whose header has `columns` names."""

    text: Text
    dialect: Dialect
    columns: int

    def closing(self, start: int, end: int, after: int, most: int) -> Closing | None:
        """Where the quotes of the record at `start` are closed, whose first line ends inside of quotes.

        Args:
            start: where the record begins.
            end: where its first line ends, without its line end.
            after: where the line behind begins.
            most: bytes that a record may have.

        Returns:
            None where nothing closes them within `most` bytes and a field for each column, or text stands behind a
            closing quote.
        """
        first = self._fields(start, end, "", self.dialect.quote)
        if isinstance(first, str):
            return None
        whole = len(first) + first[-1].count(self.dialect.delimiter) == self.columns
        limit = min(start + most, self.text.size)
        for _ in range(self.columns + 1):
            run = next((one for one in self._runs().finditer(self.text.data, after, limit) if len(one[0]) % 2), None)
            if run is None:
                return None
            end, after = next_line(self.text, run.end())
            if end > limit:
                return None
            rest = self._fields(run.end(), end, self.dialect.quote * 2, "")
            if rest != OPEN:
                before = self.text.data[run.start() - 1 : run.start()]
                return None if isinstance(rest, str) else Closing(end, before == self.dialect.delimiter.encode(), whole)
        return None

    def odd(self, start: int, end: int) -> bool:
        """Whether a line has an odd number of quotes."""
        return bool(self.text.data[start:end].count(self.dialect.quote.encode()) % 2)

    def next_odd(self, after: int, limit: int) -> int | None:
        """Where the next line ends that has an odd number of quotes; None where none does before the limit."""
        at = after
        while (run := self._runs().search(self.text.data, at, min(limit, self.text.size))) is not None:
            end, at = next_line(self.text, run.start())
            if end > limit:
                return None
            if self.odd(run.start(), end):
                return end
        return None

    def _runs(self) -> re.Pattern[bytes]:
        return re.compile(re.escape(self.dialect.quote.encode()) + b"+")

    def _fields(self, start: int, end: int, before: str, behind: str) -> list[str] | str:
        """The fields of a part of a line, completed to a text with whole quotes."""
        return split(before + self.text.data[start:end].decode("utf-8", "replace") + behind, self.dialect)
