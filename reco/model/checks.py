"""Checks of what must hold for the model's tables, as numbers and offenders.

Belongs here: counting breaches of an invariant and naming the first ones. Does not belong here: deciding what a breach
stops, or how it is shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from reco.model.cooccurrence import find_kept
from reco.model.scores import ScoreSettings
from reco.storage.engine import Limits, fetch_row, open_engine, parquet, require_files

OFFENDERS_SHOWN = 20
LINE_KEYS = ("source", "line", "order_id", "item_id", "quantity")

Offender = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PairCheck:
    """What `check_symmetry` found.

    pairs: distinct unordered pairs that were counted, None where the file does not say (it was written by something
    else, which is a breach too); kept: those of the table; asymmetric: those that do not stand
    once in each direction with equal counts, where one direction may be missing if the list it belongs to is full;
    over_bound: rows whose pair_orders is below 1 or above the orders of either item (an item without stats has
    none); self_pairs: rows of an item with itself; offenders: the first 20 as item_id, other_id, pair_orders, problem.
    """

    pairs: int | None
    kept: int
    asymmetric: int
    over_bound: int
    self_pairs: int
    offenders: tuple[Offender, ...]

    @property
    def passed(self) -> bool:
        """Whether the table is free of breaches."""
        return self.pairs is not None and not (self.asymmetric or self.over_bound or self.self_pairs)


@dataclass(frozen=True, slots=True)
class KeyNullCheck:
    """What `check_key_nulls` found.

    lines: rows read; nulls: rows without a value, for each key column; offenders: the first 20 rows with any, by file
    name and line.
    """

    lines: int
    nulls: dict[str, int]
    offenders: tuple[Offender, ...]

    @property
    def passed(self) -> bool:
        """Whether every key has a value."""
        return not any(self.nulls.values())


@dataclass(frozen=True, slots=True)
class SimilarCheck:
    """What `check_similar_bounds` found.

    rows; items: distinct item_id; out_of_bounds: rows whose score or confidence is outside (0, 1], lift is not a
    positive finite number, or pair_orders is below 1; self_pairs; repeated: rows that name a neighbour again;
    misranked: rows whose rank is not their place by score, pair_orders, other_id; offenders: the first 20.
    """

    rows: int
    items: int
    out_of_bounds: int
    self_pairs: int
    repeated: int
    misranked: int
    offenders: tuple[Offender, ...]

    @property
    def passed(self) -> bool:
        """Whether the table is free of breaches."""
        return not (self.out_of_bounds or self.self_pairs or self.repeated or self.misranked)


def check_symmetry(cooccurrence: Path, item_stats: Path, *, limits: Limits | None = None) -> PairCheck:
    """Checks that the pairs kept are symmetric, join two items, and are in no more orders than either item.

    Args:
        cooccurrence: the `item_cooccurrence` table.
        item_stats: the `item_stats` table of the same orders.
        limits: memory and threads.

    Raises:
        LakeError: a table is missing or damaged.
    """
    require_files("check_symmetry", [cooccurrence, item_stats])
    said = find_kept(cooccurrence)
    top, pairs = (said.settings.keeping.top, said.report.pairs) if said else (ScoreSettings().top, None)
    with open_engine("check_symmetry", cooccurrence.with_name(f"{cooccurrence.name}.check"), limits) as con:
        _define_pairs(con, parquet(cooccurrence), parquet(item_stats), top)
        kept, asymmetric = fetch_row(con, "SELECT count(*), count(*) FILTER (NOT even) FROM unordered")
        over_bound, self_pairs = fetch_row(
            con,
            """
            SELECT (SELECT count(*) FROM over_bound),
                   (SELECT count(*) FROM pairs WHERE item IS NOT DISTINCT FROM other)
            """,
        )
        offenders = _offenders(
            con.sql(
                f"""
                SELECT item::VARCHAR AS item_id, other::VARCHAR AS other_id, pair_orders, problem FROM (
                    SELECT item, other, pair_orders, 'asymmetric' AS problem FROM unordered WHERE NOT even
                    UNION ALL SELECT item, other, pair_orders, 'over_bound' FROM over_bound
                    UNION ALL SELECT item, other, pair_orders, 'self_pair' FROM pairs
                    WHERE item IS NOT DISTINCT FROM other
                ) ORDER BY problem, item_id, other_id, pair_orders LIMIT {OFFENDERS_SHOWN}
                """
            )
        )
        return PairCheck(pairs, kept, asymmetric, over_bound, self_pairs, offenders)


def _define_pairs(con: duckdb.DuckDBPyConnection, pairs_file: str, stats_file: str, top: int) -> None:
    """The tables `pairs` (coded rows), `unordered` (one row a pair, with a verdict) and `over_bound` (offenders)."""
    # The codes cover items of both tables: one that has no stats must be reported, not stop the check.
    con.execute(
        f"""
        CREATE TYPE item AS ENUM (
            SELECT * FROM (
                SELECT item_id FROM {stats_file} UNION SELECT item_id FROM {pairs_file}
                UNION SELECT other_id FROM {pairs_file}
            ) WHERE item_id IS NOT NULL ORDER BY item_id
        )
        """
    )
    con.execute(f"CREATE TEMP TABLE counts AS SELECT item_id::item AS item, orders FROM {stats_file}")
    con.execute(
        f"""
        CREATE TEMP TABLE pairs AS
        SELECT item_id::item AS item, other_id::item AS other, pair_orders FROM {pairs_file}
        """
    )
    con.execute(
        f"""
        CREATE TEMP TABLE unordered AS
        WITH full_lists AS (SELECT item FROM pairs GROUP BY item HAVING count(*) = {top:d}),
        met AS (
            SELECT least(item, other) AS item, greatest(item, other) AS other, max(pair_orders) AS pair_orders,
                   count(*) AS rows, count(pair_orders) AS counts, min(pair_orders) AS least_orders,
                   count(*) FILTER (pairs.item < pairs.other) AS forth
            FROM pairs WHERE item <> other GROUP BY 1, 2
        )
        SELECT item, other, pair_orders,
               counts = rows AND least_orders = pair_orders
               AND (forth = 1 OR forth = 0 AND item IN (FROM full_lists))
               AND (rows - forth = 1 OR rows - forth = 0 AND other IN (FROM full_lists)) AS even
        FROM met
        """
    )
    con.execute(
        """
        CREATE TEMP TABLE over_bound AS
        SELECT p.* FROM pairs p LEFT JOIN counts i ON i.item = p.item LEFT JOIN counts j ON j.item = p.other
        WHERE NOT coalesce(p.pair_orders BETWEEN 1 AND least(coalesce(i.orders, 0), coalesce(j.orders, 0)), false)
        """
    )


def check_key_nulls(
    parts: Sequence[Path], columns: Sequence[str] = LINE_KEYS, *, limits: Limits | None = None
) -> KeyNullCheck:
    """Checks that the key columns have a value in every row: neither null nor empty text.

    Args:
        parts: Parquet files shaped as `order_lines`; none is fine.
        columns: the key columns.
        limits: memory and threads.

    Raises:
        LakeError: a part is missing or damaged.
    """
    if not parts:
        return KeyNullCheck(0, dict.fromkeys(columns, 0), ())
    require_files("check_key_nulls", parts)
    table = parquet(*parts, filename=True)
    absent = [f"nullif(\"{column}\"::VARCHAR, '') IS NULL" for column in columns]
    with open_engine("check_key_nulls", parts[0].with_name(f"{parts[0].name}.check"), limits) as con:
        lines, *nulls = fetch_row(
            con, f"SELECT count(*), {', '.join(f'count(*) FILTER ({test})' for test in absent)} FROM {table}"
        )
        offenders: tuple[Offender, ...] = ()
        if any(nulls):
            shown = ", ".join(f'"{column}"' for column in columns)
            offenders = _offenders(
                con.sql(
                    f"SELECT parse_filename(filename) AS file, {shown} FROM {table} WHERE {' OR '.join(absent)} "
                    f"ORDER BY ALL LIMIT {OFFENDERS_SHOWN}"
                )
            )
        return KeyNullCheck(lines, dict(zip(columns, nulls, strict=True)), offenders)


def check_similar_bounds(similar: Path, *, limits: Limits | None = None) -> SimilarCheck:
    """Checks that scores are within their bounds and neighbours are distinct, other items in the promised order.

    Args:
        similar: the `similar_items` table.
        limits: memory and threads.

    Raises:
        LakeError: the table is missing or damaged.
    """
    require_files("check_similar_bounds", [similar])
    with open_engine("check_similar_bounds", similar.with_name(f"{similar.name}.check"), limits) as con:
        # A file's own statistics leave NaN out, and the engine trusts them for `<=`: hence isfinite for every figure.
        con.execute(
            f"""
            CREATE TEMP TABLE judged AS
            SELECT item_id, other_id, rank, score, pair_orders, confidence, lift,
                   NOT coalesce(score > 0 AND score <= 1 AND confidence > 0 AND confidence <= 1 AND lift > 0
                                AND isfinite(score + confidence + lift) AND pair_orders >= 1, false) AS out_of_bounds,
                   item_id IS NOT DISTINCT FROM other_id AS self_pair,
                   row_number() OVER (PARTITION BY item_id, other_id ORDER BY rank) > 1 AS repeated,
                   rank IS DISTINCT FROM row_number() OVER (
                       PARTITION BY item_id ORDER BY score DESC, pair_orders DESC, other_id, rank) AS misranked
            FROM {parquet(similar)}
            """
        )
        figures = fetch_row(
            con,
            """
            SELECT count(*), count(DISTINCT item_id), count(*) FILTER (out_of_bounds), count(*) FILTER (self_pair),
                   count(*) FILTER (repeated), count(*) FILTER (misranked)
            FROM judged
            """,
        )
        offenders = _offenders(
            con.sql(
                f"""
                SELECT * FROM judged WHERE out_of_bounds OR self_pair OR repeated OR misranked
                ORDER BY item_id, rank, other_id LIMIT {OFFENDERS_SHOWN}
                """
            )
        )
        rows, items, out_of_bounds, self_pairs, repeated, misranked = figures
        return SimilarCheck(rows, items, out_of_bounds, self_pairs, repeated, misranked, offenders)


def _offenders(relation: duckdb.DuckDBPyRelation) -> tuple[Offender, ...]:
    return tuple(dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall())
