"""How much was ordered on each day, beside the same weekday of the weeks before.

Belongs here: counting the days of the `orders` table and judging those that the newest drops brought. Does not belong
here: lines before they are united to orders.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reco.audit.robust import robust_z, usual
from reco.storage.engine import Limits, literal, open_engine, parquet, require_files

LEAST_WEEKS = 4
"""The same weekday so many times before, without which nothing is usual for it."""
DAYS_JUDGED = 28
"""Only so many days at the end of the newest drops are judged, so that a first load of years costs no more."""
FLOOR = 0.1
"""Least spread, as a share of the median."""


@dataclass(frozen=True, slots=True)
class DayVolume:
    """Orders and their lines (an item of an order is one line) of one day, UTC."""

    orders: int = 0
    lines: int = 0


@dataclass(frozen=True, slots=True)
class JudgedDay:
    """One day of the newest drops: what it holds, what is usual for its weekday, and the robust z-scores of both."""

    day: dt.date
    volume: DayVolume
    usual_orders: float
    usual_lines: float
    orders_z: float
    lines_z: float

    @property
    def farthest(self) -> float:
        """The greater distance of the two."""
        return max(abs(self.orders_z), abs(self.lines_z))


@dataclass(frozen=True, slots=True)
class Volumes:
    """Days from the first that is needed to the last of the newest drops; first and last: the days to judge."""

    days: Mapping[dt.date, DayVolume]
    first: dt.date | None = None
    last: dt.date | None = None


def day_volumes(orders: Path, newest: Sequence[str], weeks: int, *, limits: Limits | None = None) -> Volumes:
    """Counts the days of the `orders` table that judging those of these drops needs.

    Raises:
        LakeError: the table is missing or damaged.
    """
    require_files("day_volumes", [orders])
    keys = ", ".join(map(literal, newest)) or "''"
    with open_engine("day_volumes", orders.with_name("orders.volumes"), limits) as con:
        rows = con.sql(
            f"""WITH dated AS (SELECT CAST(ordered_at AS DATE) AS day, drop_key IN ({keys}) AS newest,
                                      hash(source, order_id) AS identity
                               FROM {parquet(orders)} WHERE ordered_at IS NOT NULL),
            judged AS (SELECT greatest(min(day), max(day) - {DAYS_JUDGED - 1}) AS first, max(day) AS last
                       FROM dated WHERE newest)
            SELECT day, count(DISTINCT identity), count(*), any_value(first), any_value(last)
            FROM dated, judged WHERE day BETWEEN first - {7 * weeks} AND last GROUP BY day"""
        ).fetchall()
    days = {row[0]: DayVolume(row[1], row[2]) for row in rows}
    return Volumes(days, rows[0][3], rows[0][4]) if rows else Volumes({})


def judge_days(volumes: Volumes, weeks: int, received_on: dt.date) -> list[JudgedDay]:
    """The days of the newest drops that were over when these came, each with enough of its weekday before it.

    A day between them without any order has a volume of 0, and so has one of the past that lies after the first day
    known. The spread is at least a tenth of the median and the root of it, which is what chance alone gives a count.
    """
    if volumes.first is None or volumes.last is None:
        return []
    known_since, judged = min(volumes.days), []
    for number in range((volumes.last - volumes.first).days + 1):
        day = volumes.first + dt.timedelta(days=number)
        past = [day - dt.timedelta(weeks=back) for back in range(1, weeks + 1)]
        before = [volumes.days.get(one, DayVolume()) for one in past if one >= known_since]
        if len(before) < LEAST_WEEKS or day >= received_on:
            continue
        volume = volumes.days.get(day, DayVolume())
        orders, orders_z = _distance(volume.orders, [one.orders for one in before])
        lines, lines_z = _distance(volume.lines, [one.lines for one in before])
        judged.append(JudgedDay(day, volume, orders, lines, orders_z, lines_z))
    return judged


def _distance(value: int, before: Sequence[int]) -> tuple[float, float]:
    centre, spread = usual(before)
    return centre, robust_z(value, centre, max(spread, FLOOR * centre, centre**0.5, 1.0))
