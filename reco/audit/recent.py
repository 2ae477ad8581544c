"""The newest batch of drops beside the drops that came shortly before it: contradictions, outliers and drift.

Belongs here: one bounded look at the stored lines of both. Does not belong here: the formulas (`reco.audit.robust`),
the limits, or the verdict on a single drop (`reco.audit.verdict`). Nothing that is returned names a customer or an
order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from reco.audit.robust import MAD_TO_SIGMA, Drift, drift
from reco.storage.engine import Limits, fetch_row, literal, open_engine, parquet, require_files

LOOKED_AT = 1_000_000
"""Lines looked at on each side. Of more, whole orders are drawn by the hash of their id: always the same ones."""
LEAST_LINES = 10
"""Lines of an item without which nothing is usual for it."""
LEAST_ORDERS = 30
"""Orders on each side without which shares say nothing."""
TOP = 20
"""The items, and the categories, that have a share of their own; all others have one together."""
SHOWN = 20
PRICE_FLOOR, QUANTITY_FLOOR = 0.25, 0.5
"""Least spreads, on a logarithmic scale: an item that always cost the same may still change its price a little."""
BASKETS = ((1, "1 line"), (2, "2"), (3, "3"), (5, "4-5"), (10, "6-10"), (20, "11-20"))
"""Bins of the lines of an order: their greatest size and name; more is `21 and more`."""

Row = dict[str, Any]


class Contradictions(NamedTuple):
    """Of `total` items or orders, those with two values where there should be one."""

    total: int
    first: int
    second: int
    worst: tuple[Row, ...]

    @property
    def rate(self) -> float:
        """The share of them with any contradiction, at most; 0 without any."""
        return max(self.first, self.second) / self.total if self.total else 0.0


class Outliers(NamedTuple):
    """Of the values of the newest lines whose item has enough to compare with, those far from what is usual for it."""

    compared: int
    beyond: int
    worst: tuple[Row, ...]

    @property
    def rate(self) -> float:
        """Their share; 0 where nothing could be compared."""
        return self.beyond / self.compared if self.compared else 0.0


class Shift(NamedTuple):
    """The drift of one characteristic, with the shares of its bins that moved most."""

    drift: Drift
    worst: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class RecentComparison:
    """What one look found. Counts are those of the lines looked at.

    items: first = with two names, second = with two categories, over both sides; orders: first = with two customers,
    second = with times a day or more apart, of the newest; shifts: by characteristic (items, categories, prices,
    baskets), none where either side has too few orders or no such values.
    """

    lines: int
    lines_before: int
    orders_newest: int
    orders_before: int
    items: Contradictions
    orders: Contradictions
    prices: Outliers
    quantities: Outliers
    shifts: Mapping[str, Shift]


def compare_recent(
    newest: Mapping[str, Path],
    before: Mapping[str, Path],
    lines: tuple[int, int],
    *,
    outlier_z: float,
    looked_at: int = LOOKED_AT,
    limits: Limits | None = None,
) -> RecentComparison:
    """Compares the newest drops with those before them; without any before, prices and quantities with each other.

    Args:
        newest: parts of `order_lines` by the name of their drop, one at least.
        before: the same of the drops before, none is fine.
        lines: how many lines the two hold.
        outlier_z: spreads from the median beyond which a value is an outlier.
        looked_at: lines looked at on each side, about.
        limits: memory and threads.

    Raises:
        LakeError: a part is missing or damaged.
    """
    paths = [*newest.values(), *before.values()]
    require_files("recent_lines", paths)
    with open_engine("recent_lines", paths[0].with_name(f"{paths[0].name}.recent"), limits) as con:
        con.execute(f"CREATE TEMP TABLE looked AS {_drawn(newest, lines[0], looked_at, newest=True)}")
        if before:
            con.execute(f"INSERT INTO looked {_drawn(before, lines[1], looked_at, newest=False)}")
        con.execute(
            "CREATE TEMP TABLE baskets AS SELECT newest, count(*) AS size, any_value(part) AS part, min(line) AS line, "
            "min(customer_id) <> max(customer_id) AS customers, "
            "max(ordered_at) - min(ordered_at) >= INTERVAL 1 DAY AS days "
            "FROM looked GROUP BY newest, source, order_id, CASE WHEN newest THEN '' ELSE part END"
        )
        counted = fetch_row(con, "SELECT count(*) FILTER (newest), count(*) FILTER (NOT newest) FROM looked")
        orders = fetch_row(con, "SELECT count(*) FILTER (newest), count(*) FILTER (NOT newest) FROM baskets")
        names = {str(path): name for name, path in {**newest, **before}.items()}
        return RecentComparison(
            counted[0],
            counted[1],
            orders[0],
            orders[1],
            items=_items(con),
            orders=_orders(con, orders[0], names),
            prices=_outliers(con, "unit_price", PRICE_FLOOR, outlier_z),
            quantities=_outliers(con, "quantity", QUANTITY_FLOOR, outlier_z),
            shifts=_shifts(con, (orders[0], orders[1])) if min(orders) >= LEAST_ORDERS else {},
        )


def together(compared: Mapping[str, RecentComparison]) -> RecentComparison:
    """The comparisons of several sources as one: counts added up, a shift of each source under its own name.

    Args:
        compared: by source, one at least.
    """
    if len(compared) == 1:
        return next(iter(compared.values()))
    every = list(compared.values())
    return RecentComparison(
        sum(one.lines for one in every),
        sum(one.lines_before for one in every),
        sum(one.orders_newest for one in every),
        sum(one.orders_before for one in every),
        items=_contradictions([one.items for one in every]),
        orders=_contradictions([one.orders for one in every]),
        prices=_all_outliers([one.prices for one in every]),
        quantities=_all_outliers([one.quantities for one in every]),
        shifts={
            f"{what} of {source}": Shift(shift.drift, tuple(row | {"of": f"{what} of {source}"} for row in shift.worst))
            for source, one in compared.items()
            for what, shift in one.shifts.items()
        },
    )


def _contradictions(parts: Sequence[Contradictions]) -> Contradictions:
    counts = sum(one.total for one in parts), sum(one.first for one in parts), sum(one.second for one in parts)
    return Contradictions(*counts, tuple(row for one in parts for row in one.worst)[:SHOWN])


def _all_outliers(parts: Sequence[Outliers]) -> Outliers:
    worst = sorted((row for one in parts for row in one.worst), key=lambda row: -row["robust_z"])
    return Outliers(sum(one.compared for one in parts), sum(one.beyond for one in parts), tuple(worst[:SHOWN]))


def _drawn(parts: Mapping[str, Path], lines: int, looked_at: int, *, newest: bool) -> str:
    every = -(-lines // looked_at)
    drawn = f"WHERE hash(order_id) % {every} = 0" if every > 1 else ""
    return (
        f"SELECT {newest} AS newest, filename AS part, line, source, order_id, item_id, item_name, category, "
        f"customer_id, ordered_at, CAST(unit_price AS DOUBLE) AS unit_price, CAST(quantity AS DOUBLE) AS quantity "
        f"FROM {parquet(*parts.values(), filename=True)} {drawn}"
    )


def _items(con: duckdb.DuckDBPyConnection) -> Contradictions:
    con.execute(
        "CREATE TEMP TABLE items AS SELECT item_id, min(item_name) <> max(item_name) AS names, "
        "min(category) <> max(category) AS categories, count(*) AS lines FROM looked GROUP BY item_id"
    )
    counts = fetch_row(con, "SELECT count(*), count(*) FILTER (names), count(*) FILTER (categories) FROM items")
    rows = []
    if counts[1] or counts[2]:
        rows = con.sql(
            f"""WITH worst AS (SELECT item_id, lines FROM items WHERE names OR categories
                               ORDER BY lines DESC, item_id LIMIT {SHOWN})
            SELECT item_id, any_value(worst.lines), list_sort(list(DISTINCT item_name)),
                   list_sort(list(DISTINCT category))
            FROM looked JOIN worst USING (item_id) GROUP BY item_id ORDER BY 2 DESC, 1"""
        ).fetchall()
    worst = ({"item_id": r[0], "lines": r[1], "names": _said(r[2]), "categories": _said(r[3])} for r in rows)
    return Contradictions(counts[0], counts[1], counts[2], tuple(worst))


def _said(values: Sequence[str | None]) -> str:
    found = [value for value in values if value is not None]
    return " | ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def _orders(con: duckdb.DuckDBPyConnection, total: int, names: Mapping[str, str]) -> Contradictions:
    counts = fetch_row(
        con, "SELECT count(*) FILTER (customers), count(*) FILTER (days) FROM baskets WHERE newest AND size > 1"
    )
    rows = []
    if counts[0] or counts[1]:
        rows = con.sql(
            f"""SELECT part, line, coalesce(customers, false), coalesce(days, false) FROM baskets
            WHERE newest AND (customers OR days) ORDER BY part, line LIMIT {SHOWN}"""
        ).fetchall()
    worst = ({"drop": names[r[0]], "line": r[1], "two_customers": r[2], "two_days": r[3]} for r in rows)
    return Contradictions(total, counts[0], counts[1], tuple(worst))


def _outliers(con: duckdb.DuckDBPyConnection, column: str, floor: float, limit: float) -> Outliers:
    """Values above 0, compared on a logarithmic scale: twice the usual is as far as half of it."""
    compared_with = "NOT newest" if fetch_row(con, "SELECT count(*) FROM looked WHERE NOT newest")[0] else "true"
    con.execute(
        f"""CREATE OR REPLACE TEMP TABLE beyond AS WITH usual AS (
            SELECT item_id, median(ln({column})) AS centre,
                   greatest({MAD_TO_SIGMA} * mad(ln({column})), {floor}) AS spread
            FROM looked WHERE {column} > 0 AND {compared_with} GROUP BY item_id HAVING count(*) >= {LEAST_LINES})
        SELECT item_id, {column} AS value, exp(centre) AS usual, (ln({column}) - centre) / spread AS z
        FROM looked JOIN usual USING (item_id) WHERE newest AND {column} > 0"""
    )
    counts = fetch_row(con, f"SELECT count(*), count(*) FILTER (abs(z) > {limit}) FROM beyond")
    rows = con.sql(
        f"""SELECT item_id, count(*), arg_max(value, abs(z)), any_value(usual), max(abs(z)) FROM beyond
        WHERE abs(z) > {limit} GROUP BY item_id ORDER BY max(abs(z)) DESC, item_id LIMIT {SHOWN}"""
    ).fetchall()
    worst = (
        {"item_id": r[0], "lines": r[1], "farthest": r[2], "usual": round(r[3], 4), "robust_z": round(r[4], 1)}
        for r in rows
    )
    return Outliers(counts[0], counts[1], tuple(worst))


def _shifts(con: duckdb.DuckDBPyConnection, orders: tuple[int, int]) -> dict[str, Shift]:
    binned = {
        "items": _shares(con, "item_id"),
        "categories": _shares(con, "category"),
        "prices": _prices(con),
        "baskets": _baskets(con),
    }
    found = {}
    for what, rows in binned.items():
        now, before = [row[1] for row in rows], [row[2] for row in rows]
        if len(rows) < 2 or not sum(now) or not sum(before):
            continue
        moved = drift(now, before, orders)
        worst = tuple(
            {
                "of": what,
                "value": rows[place][0],
                "share_before": round(before[place] / sum(before), 4),
                "share_now": round(now[place] / sum(now), 4),
            }
            for place in moved.worst[:5]
        )
        found[what] = Shift(moved, worst)
    return found


def _shares(con: duckdb.DuckDBPyConnection, column: str) -> list[tuple[Any, ...]]:
    """Lines by value: those most frequent before, and all others together."""
    return con.sql(
        f"""WITH top AS (SELECT {column} AS value FROM looked WHERE NOT newest AND {column} IS NOT NULL
                         GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT {TOP})
        SELECT coalesce(value, 'all others'), count(*) FILTER (newest), count(*) FILTER (NOT newest)
        FROM looked LEFT JOIN top ON value = {column} WHERE {column} IS NOT NULL
        GROUP BY value ORDER BY value NULLS LAST"""
    ).fetchall()


def _prices(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Lines by the tenths of the prices before."""
    (tenths,) = fetch_row(
        con,
        "SELECT quantile_disc(unit_price, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]) "
        "FROM looked WHERE NOT newest AND unit_price IS NOT NULL",
    )
    edges = [(edge, f"up to {edge:g}") for edge in sorted(set(tenths or ()))]
    return _bins(con, "looked", "unit_price", edges, f"above {edges[-1][0]:g}" if edges else "")


def _baskets(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Orders by their lines."""
    return _bins(con, "baskets", "size", BASKETS, "21 and more")


def _bins(
    con: duckdb.DuckDBPyConnection, table: str, column: str, edges: Sequence[tuple[float, str]], rest: str
) -> list[tuple[Any, ...]]:
    if not edges:
        return []
    cases = " ".join(f"WHEN {column} <= {edge!r} THEN {place}" for place, (edge, _) in enumerate(edges))
    labels = [*(name for _, name in edges), rest]
    chosen = f"list_value({', '.join(map(literal, labels))})"
    return con.sql(
        f"""SELECT {chosen}[place + 1], count(*) FILTER (newest), count(*) FILTER (NOT newest)
        FROM (SELECT newest, CASE {cases} ELSE {len(edges)} END AS place FROM {table} WHERE {column} IS NOT NULL)
        GROUP BY place ORDER BY place"""
    ).fetchall()
