"""The decimal sign of a drop's amounts.

Belongs here: telling it from what the values can mean. Does not belong here: the SQL that reads an amount
(`reco.orders.sql`). Where `1,234` may be a thousand or a little more than one, it is never guessed.
"""

from dataclasses import dataclass
from typing import Any, Literal

POINT: Literal["."] = "."
COMMA: Literal[","] = ","


@dataclass(frozen=True)
class Amounts:
    """How many values of the columns of money can be read with which decimal sign.

    `either` can be read with at least one, `same` with both and mean the same; `doubtful` is one with two meanings.
    """

    point: int
    comma: int
    either: int
    same: int
    doubtful: str | None

    def decimal(self, columns: str, file: str) -> str | dict[str, Any]:
        """The decimal sign that the values prove, or the question that has to be answered.

        Where each value has one meaning, the sign of most of them is taken, and the others are errors of their lines.
        """
        fits = [self.point == self.either, self.comma == self.either]
        if self.doubtful is None or fits.count(True) == 1:
            return COMMA if self.comma > self.point else POINT
        both = "a decimal point and a decimal comma both fit" if all(fits) else "no decimal sign fits all"
        return {
            "column": columns,
            "about": "decimals",
            "message": f"The amounts in column {columns!r} of {file} cannot be read without knowing their decimal "
            f"sign: {both}, as in {self.doubtful!r}.",
            "answers": ['decimal = "."', 'decimal = ","'],
        }
