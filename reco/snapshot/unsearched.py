"""Items that the search index could not take: kept until they are in it, tried again with growing pauses.

Belongs here: their rows, and when the next attempt is due. Does not belong here: indexing (`reco.snapshot.index`).

An attempt is a publish: it indexes every item anew. So a row tells what is missing from the search of now, and when
automation asks for a publish although no order has changed.
"""

import datetime as dt
from collections.abc import Mapping

import sqlalchemy as sa
import structlog

from reco.storage.sql import search_failures as table

LONGEST_PAUSE = dt.timedelta(days=1)

log = structlog.get_logger(__name__)


def pause_after(attempts: int) -> dt.timedelta:
    """How long to wait after so many failures: 1, 2, 4... minutes, up to a day."""
    minutes: int = 2 ** min(attempts - 1, 20)
    return min(dt.timedelta(minutes=minutes), LONGEST_PAUSE)


def record_attempt(engine: sa.Engine, namespace: str, failures: Mapping[str, str], *, now: dt.datetime) -> None:
    """Enters what the indexing of a publish could not take, and removes whatever it could, or is no item any more.

    Args:
        engine: the database.
        namespace: of the shop.
        failures: why, by the id of the item.
        now: of the attempt, zone-aware.

    Raises:
        DatabaseUnavailable: it does not answer.
    """
    ours = table.c.namespace == namespace
    with engine.begin() as connection:
        known = {row.item_id: row for row in connection.execute(sa.select(table).where(ours))}
        for item_id in known.keys() - failures.keys():
            connection.execute(sa.delete(table).where(ours, table.c.item_id == item_id))
            log.info("item_indexed_after_all", item_id=item_id, attempts=known[item_id].attempts)
        for item_id, reason in failures.items():
            before = known.get(item_id)
            attempts = 1 if before is None else before.attempts + 1
            values = {"reason": reason, "attempts": attempts, "last_failed_at": now}
            values["next_attempt_at"] = now + pause_after(attempts)
            log.warning("item_not_indexed", item_id=item_id, reason=reason, attempts=attempts)
            if before is None:
                row = {"namespace": namespace, "item_id": item_id, "first_failed_at": now, **values}
                connection.execute(sa.insert(table).values(row))
            else:
                connection.execute(sa.update(table).where(ours, table.c.item_id == item_id).values(values))


def attempt_is_due(engine: sa.Engine, namespace: str, *, now: dt.datetime) -> bool:
    """Whether the time of an item has come.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    query = sa.select(table.c.item_id).where(table.c.namespace == namespace, table.c.next_attempt_at <= now).limit(1)
    with engine.connect() as connection:
        return connection.scalar(query) is not None
