"""How much was ordered on each day, beside the same weekday of the weeks before.

Belongs here: counting the days of the `orders` table and judging those that the newest drops brought or completed.
Does not belong here: lines before they are united to orders.

Each source is judged by itself: two tills that export by turns would else look like days that lost half their orders.
A day is judged when the first drops of its source came after it was over, in UTC, so that a shop that exports a day on
that very day has it judged with the next export, when nothing of it can be missing any more.
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
    """One day of a source: what it holds, what is usual for its weekday, and the robust z-scores of both."""

    source: str
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
class Receipts:
    """When the drops of a source came: the day (UTC) of the newest batch, and of the one before it if there is one."""

    newest: dt.date
    before: dt.date | None = None


@dataclass(frozen=True, slots=True)
class Volumes:
    """The days of one source, as far back as judging needs them.

    spans: first and last of the days to judge: those of the newest drops, and those that the drops before had brought
    before they were over.
    """

    days: Mapping[dt.date, DayVolume]
    spans: Sequence[tuple[dt.date, dt.date]] = ()


def day_volumes(
    orders: Path, newest: Sequence[str], receipts: Mapping[str, Receipts], weeks: int, *, limits: Limits | None = None
) -> dict[str, Volumes]:
    """Counts the days of the `orders` table that judging those of the newest drops needs, by source.

    Args:
        orders: the table.
        newest: keys of the newest drops.
        receipts: by source of the newest drops, when its drops came.
        weeks: how many weeks a day is compared with.
        limits: memory and threads.

    Raises:
        LakeError: the table is missing or damaged.
    """
    require_files("day_volumes", [orders])
    keys, sources = (", ".join(map(literal, some)) or "''" for some in (newest, receipts))
    found: dict[str, Volumes] = {}
    with open_engine("day_volumes", orders.with_name("orders.volumes"), limits) as con:
        con.execute(
            f"""CREATE TEMP VIEW dated AS
            SELECT source, CAST(ordered_at AS DATE) AS day, drop_key IN ({keys}) AS newest,
                   hash(source, order_id) AS identity
            FROM {parquet(orders)} WHERE ordered_at IS NOT NULL AND source IN ({sources})"""
        )
        edges = con.sql(
            "SELECT source, min(day) FILTER (newest), max(day) FILTER (newest), max(day) FILTER (NOT newest) "
            "FROM dated GROUP BY source HAVING bool_or(newest)"
        ).fetchall()
        for source, first, last, last_before in edges:
            spans = [(max(first, last - dt.timedelta(days=DAYS_JUDGED - 1)), last)]
            unfinished = receipts[source].before
            if unfinished is not None and last_before is not None and unfinished <= last_before:
                spans.append((max(unfinished, last_before - dt.timedelta(days=DAYS_JUDGED - 1)), last_before))
            since = min(start for start, _ in spans) - dt.timedelta(weeks=weeks)
            until = max(end for _, end in spans)
            rows = con.execute(
                "SELECT day, count(DISTINCT identity), count(*) FROM dated "
                "WHERE source = ? AND day BETWEEN ? AND ? GROUP BY day",
                [source, since, until],
            ).fetchall()
            found[source] = Volumes({row[0]: DayVolume(row[1], row[2]) for row in rows}, tuple(spans))
    return found


def judge_days(source: str, volumes: Volumes, weeks: int, received_on: dt.date) -> list[JudgedDay]:
    """The days to judge that were over when the newest drops came, each with enough of its weekday before it.

    A day within a span without any order has a volume of 0, and so has one of the past that lies after the first day
    known. The spread is at least a tenth of the median and the root of it, which is what chance alone gives a count.
    """
    days = {start + dt.timedelta(days=n) for start, end in volumes.spans for n in range((end - start).days + 1)}
    judged = []
    for day in sorted(one for one in days if one < received_on)[-DAYS_JUDGED:]:
        past = [day - dt.timedelta(weeks=back) for back in range(1, weeks + 1)]
        before = [volumes.days.get(one, DayVolume()) for one in past if one >= min(volumes.days)]
        if len(before) < LEAST_WEEKS:
            continue
        volume = volumes.days.get(day, DayVolume())
        orders, orders_z = _distance(volume.orders, [one.orders for one in before])
        lines, lines_z = _distance(volume.lines, [one.lines for one in before])
        judged.append(JudgedDay(source, day, volume, orders, lines, orders_z, lines_z))
    return judged


def _distance(value: int, before: Sequence[int]) -> tuple[float, float]:
    centre, spread = usual(before)
    return centre, robust_z(value, centre, max(spread, FLOOR * centre, centre**0.5, 1.0))
