"""One home of the pipeline as Dagster resources.

Settings are read when a run starts, never when the code is loaded, and never stand in run config: the Dagster UI shows
config to everyone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from reco.settings import Settings, load_settings
from reco.storage.lake import Lake

if TYPE_CHECKING:
    import redis
    import sqlalchemy as sa

    from reco.orders.ledger import DropLedger


class SettingsResource(dg.ConfigurableResource):
    """The effective settings; `overrides` is for tests and special runs and must hold no secret."""

    overrides: dict[str, str] = {}

    def load(self) -> Settings:
        """The settings from overrides, environment, secret files and `reco.toml`."""
        return load_settings(**self.overrides)


class LakeResource(dg.ConfigurableResource):
    """The Parquet lake of the home: explicit reads and atomic replacements, no pickles."""

    settings: dg.ResourceDependency[SettingsResource]

    def open(self) -> Lake:
        """The lake; its folders are made when something is written."""
        return Lake(self.settings.load().home / "lake")


class DatabaseResource(dg.ConfigurableResource):
    """The SQL database with the ledger of drops, the audit trail and the published snapshots."""

    settings: dg.ResourceDependency[SettingsResource]

    def engine(self) -> "sa.Engine":
        """An engine on up-to-date tables.

        Raises:
            DatabaseUnavailable: it does not answer.
        """
        from reco.storage.sql import shared_database

        return shared_database(self.settings.load().sql_url)

    def ledger(self) -> "DropLedger":
        """The ledger of drops."""
        from reco.orders.ledger import DropLedger

        return DropLedger(self.engine(), Lake(self.settings.load().home / "lake"))


class RedisResource(dg.ConfigurableResource):
    """Redis: the server of `RECO_REDIS_URL`, else the embedded one of the home, started when needed."""

    settings: dg.ResourceDependency[SettingsResource]

    @contextmanager
    def client(self) -> "Iterator[redis.Redis]":
        """A connected client for the length of the block.

        Raises:
            RedisUnavailable: it does not answer or refuses the password.
        """
        from reco.storage.redis import open_redis

        with open_redis(self.settings.load()) as client:
            yield client
