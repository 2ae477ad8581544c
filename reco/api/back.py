"""What stands behind the answers: the rules that hide items, the orders, and the records of snapshots.

Belongs here: opening these for a service. Does not belong here: what each of them does.
"""

from dataclasses import dataclass

from reco.api.hides import HideFollower
from reco.api.metrics import Metrics
from reco.api.provenance import Records
from reco.settings import Settings
from reco.storage.lake import Lake
from reco.storage.redis_service import ServiceRedis


@dataclass(frozen=True, slots=True)
class Back:
    """What routes need beside the snapshot in memory."""

    hides: HideFollower
    lake: Lake
    records: Records


def open_back(settings: Settings, redis: ServiceRedis, metrics: Metrics) -> Back:
    """Of the home these settings name; what is hidden is read once.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    from reco.api.hidebook import HideBook  # noqa: PLC0415 - SQLAlchemy, when the service starts and not on import
    from reco.storage.sql import shared_database  # noqa: PLC0415 - see above

    engine = shared_database(settings.sql_url)
    hides = HideFollower(HideBook(engine, settings.namespace), redis, settings.namespace, metrics)
    hides.load()
    return Back(hides, Lake(settings.home / "lake"), Records(engine, redis, settings.namespace))
