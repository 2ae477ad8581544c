"""One home, opened: its settings with the lake and the ledger they lead to.

Belongs here: opening these three together. Does not belong here: Redis, which is needed for less and can be away.
"""

from dataclasses import dataclass

from reco.orders.ledger import DropLedger
from reco.orders.pseudonyms import Pseudonyms
from reco.settings import Settings
from reco.storage.homelock import require_whole
from reco.storage.lake import Lake
from reco.storage.sql import shared_database


@dataclass(frozen=True)
class Home:
    """The state of one shop on disk and in SQL."""

    settings: Settings
    lake: Lake
    ledger: DropLedger


def open_home(settings: Settings) -> Home:
    """The home these settings name, its database up to date.

    Raises:
        DatabaseUnavailable, ConfigError: see `reco.storage.sql.open_database`.
        BackupError: a restore of the home was cut short.
    """
    require_whole(settings.home)
    lake = Lake(settings.home / "lake")
    return Home(settings, lake, DropLedger(shared_database(settings.sql_url), lake, Pseudonyms.of_home(settings)))
