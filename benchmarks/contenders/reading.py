"""Ways of reading an order file: ours into ledger and lake, and plain reads by the readers people reach for.

Belongs here: one function a way, as its documentation shows it. Does not belong here: work that a way does not do by
itself: the plain reads keep no account, check no rule and store nothing.
"""

import datetime as dt
import json
import sys
from pathlib import Path


def reco(csv: Path) -> int:
    """Registers the file and reads it: every line accepted or quarantined, checked by pandera, stored as Parquet."""
    from reco.orders.home import open_home  # noqa: PLC0415 - each way imports its own
    from reco.orders.ingest import ingest  # noqa: PLC0415 - see above
    from reco.orders.profiles import load_profile  # noqa: PLC0415 - see above
    from reco.settings import load_settings  # noqa: PLC0415 - see above

    now = dt.datetime.now(dt.UTC)
    home = open_home(load_settings())
    given = home.ledger.register([(csv, load_profile("auto"))], now=now)
    (read,) = ingest(home.ledger, [one.drop.key for one in given if one.drop], now=now, run_id=None)
    if read.error is not None:
        raise read.error
    return read.counts.lines_read


def duckdb(csv: Path) -> int:
    """`read_csv` with types into a table in memory; lines that do not fit are left out."""
    import duckdb  # noqa: PLC0415 - see above

    con = duckdb.connect()
    con.execute("CREATE TABLE lines AS SELECT * FROM read_csv(?, store_rejects = true)", [str(csv)])
    found = con.sql("SELECT count(*) FROM lines").fetchall()
    return int(found[0][0])


def polars(csv: Path) -> int:
    """`read_csv` with types."""
    import polars as pl  # noqa: PLC0415 - see above

    return pl.read_csv(csv, try_parse_dates=True, infer_schema_length=10_000).height


def pyarrow(csv: Path) -> int:
    """`read_csv` with types."""
    from pyarrow import csv as reader  # noqa: PLC0415 - see above

    return int(reader.read_csv(csv).num_rows)


def pandas(csv: Path) -> int:
    """`read_csv` with types, its default engine."""
    import pandas as pd  # noqa: PLC0415 - see above

    return len(pd.read_csv(csv, parse_dates=["ordered_at"]))


WAYS = {way.__name__: way for way in (reco, duckdb, polars, pyarrow, pandas)}


def main(way: str, csv: Path) -> int:
    """Reads and says how much."""
    print(json.dumps({"lines_read": WAYS[way](csv)}))
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "reco":
        from reco.lean import run_process

        run_process(lambda: main("reco", Path(sys.argv[2])))  # as every command of ours
    main(sys.argv[1], Path(sys.argv[2]))
