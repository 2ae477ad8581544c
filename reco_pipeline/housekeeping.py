"""The step that removes what may not be kept any longer.

Belongs here: that one step, for the daily schedule. Does not belong here: what is removed (`reco.orders.retention`).
"""

import datetime as dt

import dagster as dg

from reco.orders.retention import expire
from resources.home import DatabaseResource


@dg.op
def remove_expired_text(context: dg.OpExecutionContext, database: DatabaseResource) -> None:
    """Removes the text of lines that were not accepted once their time is over (RECO_QUARANTINE_RAW_DAYS)."""
    with database.locked() as home:
        gone = expire(home, now=dt.datetime.now(dt.UTC))
    context.add_output_metadata({"drops": len(gone), "lines": sum(one.lines for one in gone)})
