"""Whether the lines of every drop add up: as they were read first, and after what was replayed of them.

Belongs here: comparing the ledger with the rows in the lake. Does not belong here: the counts themselves, which the
reader and the replay enter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reco.orders.drops import ORDER_LINES, QUARANTINED_LINES
from reco.orders.replays import Replay
from reco.storage.lake import Lake

if TYPE_CHECKING:
    from reco.orders.ledger import Drop

QUARANTINED = "quarantined"


@dataclass(frozen=True)
class Imbalance:
    """A drop whose lines do not add up, with the three counts taken from three places."""

    key: str
    name: str
    lines_read: int
    accepted_rows: int
    other_rows: int
    message: str


def imbalances(lake: Lake, drops: "Sequence[Drop]") -> list[Imbalance]:
    """The drops whose stored lines do not add up.

    First reading: the reader's count of physical records in the ledger is the rows of `order_lines` and
    `quarantined_lines`. Replays: the lines quarantined at first are those that replays accepted or excluded and those
    still open, counted in the parts; and each replay's parts have the rows its record tells.

    Raises:
        LakeError: a part is damaged.
    """
    return [wrong for drop in drops if (wrong := _first_reading(lake, drop) or _replays(lake, drop)) is not None]


def _first_reading(lake: Lake, drop: "Drop") -> Imbalance | None:
    accepted, others = _rows(lake, ORDER_LINES, drop.key), _rows(lake, QUARANTINED_LINES, drop.key)
    if drop.lines_read == accepted + others and min(accepted, others) >= 0:
        return None
    message = (
        f"{drop.name}: {drop.lines_read} lines read, {_words(accepted)} accepted and "
        f"{_words(others)} excluded or quarantined in the lake"
    )
    return Imbalance(drop.key, drop.name, drop.lines_read or 0, accepted, others, message)


def _replays(lake: Lake, drop: "Drop") -> Imbalance | None:
    if not drop.replays:
        return None
    problems = [problem for replay in drop.replays if (problem := _parts(lake, replay))]
    accepted = others = 0
    if not problems:
        left: list[int] = []
        for replay in drop.replays:
            taken = lines_of(lake, ORDER_LINES, replay.key)
            ruled_out = lines_of(lake, QUARANTINED_LINES, replay.key, "excluded")
            left += taken + ruled_out
            accepted, others = accepted + len(taken), others + len(ruled_out)
        settled = set(left)
        still = sum(line not in settled for line in lines_of(lake, QUARANTINED_LINES, drop.key, QUARANTINED))
        if drop.lines_quarantined != accepted + others + still:
            problems.append(
                f"{drop.lines_quarantined} lines quarantined, of which {accepted} were accepted and {others} excluded "
                f"by replays and {still} are open"
            )
    if not problems:
        return None
    return Imbalance(drop.key, drop.name, drop.lines_read or 0, accepted, others, f"{drop.name}: {problems[0]}")


def _parts(lake: Lake, replay: Replay) -> str | None:
    """What is wrong with the parts of one replay by themselves."""
    accepted, others = _rows(lake, ORDER_LINES, replay.key), _rows(lake, QUARANTINED_LINES, replay.key)
    if (accepted, others) == (replay.lines_accepted, replay.lines_given - replay.lines_accepted):
        return None
    return (
        f"replay {replay.key} read {replay.lines_given} lines and accepted {replay.lines_accepted}; "
        f"{_words(accepted)} accepted and {_words(others)} others in the lake"
    )


def lines_of(lake: Lake, table: str, part: str, disposition: str | None = None) -> list[int]:
    """The lines of a part, of one disposition where it is given, in the part's order.

    Raises:
        LakeError: the part is missing or damaged.
    """
    from reco.storage.engine import open_engine, parquet  # noqa: PLC0415 - commands that only list drops need no DuckDB

    path = lake.existing(table, part)
    where = "" if disposition is None else f" WHERE disposition = '{disposition}'"
    with open_engine(table, path) as con:
        return [line for (line,) in con.sql(f"SELECT line FROM {parquet(path)}{where}").fetchall()]


def _rows(lake: Lake, table: str, part: str) -> int:
    """Rows of a part, from its Parquet footer; -1 where the file is not there."""
    from reco.storage.engine import row_count  # noqa: PLC0415 - commands that only list drops need no DuckDB

    path = lake.path(table, part)
    return row_count(path) if path.is_file() else -1


def _words(count: int) -> str:
    return "no file" if count < 0 else str(count)
