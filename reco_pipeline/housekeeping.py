"""The step that removes what may not be kept any longer.

Belongs here: that one step, for the daily schedule. Does not belong here: what is removed (`reco_pipeline.cleanup`).
"""

import datetime as dt

import dagster as dg

from assets.tables import markdown_table
from reco_pipeline.cleanup import clean
from resources.home import DatabaseResource, RedisResource


@dg.op
def remove_expired(context: dg.OpExecutionContext, database: DatabaseResource, redis: RedisResource) -> None:
    """Removes everything whose time is over, but for backups, which have a job of their own; reports what went."""
    done = clean(database.home(), context.instance, redis.client, now=dt.datetime.now(dt.UTC), dry_run=False)
    rows = [(one.kind, one.rows, one.files, one.size_bytes, one.problem or one.rule) for one in done]
    context.add_output_metadata(
        {
            "rows": sum(one.rows for one in done),
            "files": sum(one.files for one in done),
            "size_bytes": sum(one.size_bytes for one in done),
            "removed": markdown_table(("kind", "rows", "files", "bytes", "kept"), rows),
        }
    )
    if failed := [f"{one.kind}: {one.problem}" for one in done if one.problem]:
        raise dg.Failure(f"Not all could be cleaned up. {' '.join(failed)}", allow_retries=False)
