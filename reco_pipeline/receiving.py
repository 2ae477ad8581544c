"""The step that takes waiting files in as a run of its own.

Belongs here: that one step, for what is too much for a sensor's tick. Does not belong here: reading lines, which starts
when the next look of the sensor finds the drops in the ledger.
"""

import datetime as dt
import time

import dagster as dg

from reco.orders.inbox import open_inbox
from reco.orders.intake import look, unknown_files
from reco_pipeline.pending import receive, register_partitions, split_pending, waiting_drops
from resources.home import DatabaseResource

LOCK_SECONDS = 60.0


class ReceiveConfig(dg.Config):
    """How long a file of a folder must hold still to count as complete."""

    settle_seconds: float = 3.0


@dg.op
def receive_waiting_files(context: dg.OpExecutionContext, config: ReceiveConfig, database: DatabaseResource) -> None:
    """Looks at the inbox twice and takes in, as one batch, every new file that held still between the two looks."""
    home = database.home()
    inbox = open_inbox(home.settings)
    first = look(unknown_files(home, inbox), {}, whole=inbox.whole)
    if not inbox.whole:
        time.sleep(config.settle_seconds)
    second = look(unknown_files(home, inbox), first.seen, whole=inbox.whole)
    now = dt.datetime.now(dt.UTC)
    taken = receive(home, inbox, second.still, now=now, wait_seconds=LOCK_SECONDS)
    # Making partitions of hundreds of drops takes seconds too: done here, the sensor finds it done.
    register_partitions(context.instance, *split_pending(home.ledger, waiting_drops(home.ledger), now))
    context.add_output_metadata(
        {"files": taken.files, "files_refused": taken.refused, "files_left": len(second.seen) - len(second.still)}
    )
