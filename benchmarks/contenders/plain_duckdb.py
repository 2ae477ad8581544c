"""Plain DuckDB: read_csv, a self join in SQL, the best 100 neighbours of each item as one Parquet file.

Belongs here: what a person would write with DuckDB alone, with our score. Does not belong here: any audit, or the
integer codes our own computation works with.
"""

import json
import sys

import duckdb

TOP = 100


def main(csv: str, out: str) -> None:
    """Counts pairs and ranks them by cosine."""
    con = duckdb.connect()
    con.execute("CREATE TABLE lines AS SELECT order_id, item_name FROM read_csv(?, all_varchar = true)", [csv])
    con.execute("CREATE TABLE entries AS SELECT DISTINCT order_id, item_name AS item FROM lines")
    con.execute("CREATE TABLE items AS SELECT item, count(*) AS orders FROM entries GROUP BY item")
    con.execute(
        """
        CREATE TABLE pairs AS
        SELECT a.item, b.item AS other, count(*) AS pair_orders
        FROM entries a JOIN entries b ON a.order_id = b.order_id AND a.item <> b.item
        GROUP BY ALL
        """
    )
    con.execute(
        f"""
        CREATE TABLE similar_items AS
        SELECT p.item, p.other, pair_orders, pair_orders / sqrt(i.orders * j.orders) AS score
        FROM pairs p JOIN items i ON i.item = p.item JOIN items j ON j.item = p.other
        QUALIFY row_number() OVER (PARTITION BY p.item ORDER BY score DESC, pair_orders DESC, p.other) <= {TOP:d}
        """  # noqa: S608 - a number of ours
    )
    con.table("similar_items").write_parquet(out)
    found = con.sql(
        "SELECT (SELECT count(*) FROM lines), (SELECT count(*) FROM pairs) // 2, "
        "(SELECT count(DISTINCT item) FROM similar_items)"
    ).fetchall()
    print(json.dumps(dict(zip(("lines_read", "pairs", "items_with_neighbour"), found[0], strict=True))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
