"""What all assets share: owners, groups, the partitions and the shape of their reports.

Does not belong here: anything only one asset needs.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

OWNERS = ["team:recommendations"]
INGEST, MODEL, SERVING, BACKUP, HEALTH = "ingest", "model", "serving", "backup", "health"

# Whatever writes what Redis serves, or backups: one run of these at a time (the limit: `reco_pipeline.instance`).
POOL = "redis"

Metadata = dict[str, float | int | str | dg.MetadataValue | dg.TableSchema | dg.TableColumnLineage]

# How old the newest of each may be before Dagster shows it as stale: a day and its delays; a week and a day for drills.
# A day without orders is shown too: nothing was published of it.
DAILY = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(hours=50), warn_window=dt.timedelta(hours=26))
BACKED_UP = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(hours=26), warn_window=dt.timedelta(hours=25))
PROVEN = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(days=8), warn_window=dt.timedelta(days=7, hours=2))

order_drops = dg.DynamicPartitionsDefinition(name="order_drops")


def table_metadata(path: Path, rows: int, **figures: float | str | None) -> Metadata:
    """Metadata of a stored table: its rows, size and place, and the stage's own figures where they have a value."""
    return {
        "dagster/row_count": rows,
        "dagster/uri": path.as_uri(),
        "size_bytes": path.stat().st_size,
        **{name: value for name, value in figures.items() if value is not None},
    }


def offenders(rows: Sequence[Mapping[str, object]]) -> dict[str, dg.MetadataValue]:
    """A table of what failed a check, as its metadata; nothing where nothing failed."""
    if not rows:
        return {}
    records = [
        dg.TableRecord({k: v if isinstance(v, str | int | float | bool) else str(v) for k, v in row.items()})
        for row in rows
    ]
    return {"offenders": dg.MetadataValue.table(records)}
