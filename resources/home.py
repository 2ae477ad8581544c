"""One home of the pipeline as Dagster resources.

Settings are read when a run starts, never when the code is loaded, and never stand in run config: the Dagster UI shows
config to everyone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field, PrivateAttr

from reco.settings import Settings, load_settings
from reco.storage.lake import Lake

if TYPE_CHECKING:
    import datetime as dt

    import redis

    from reco.backup.manifest import Manifest
    from reco.backup.vault import Vault
    from reco.model.scores import ScoreSettings
    from reco.orders.home import Home
    from reco.orders.ledger import DropLedger


PATIENCE_SECONDS = 600
DAGSTER = "Dagster"


class SettingsResource(dg.ConfigurableResource):
    """The effective settings; `overrides` is for tests and special runs and must hold no secret."""

    overrides: dict[str, str] = Field(default_factory=dict)
    _loaded: Settings | None = PrivateAttr(None)

    def load(self) -> Settings:
        """The settings from overrides, environment, secret files and `reco.toml`, read once a run."""
        if self._loaded is None:
            self._loaded = load_settings(**self.overrides)
        return self._loaded


class LakeResource(dg.ConfigurableResource):
    """The Parquet lake of the home: explicit reads and atomic replacements, no pickles."""

    settings: dg.ResourceDependency[SettingsResource]

    def open(self) -> Lake:
        """The lake; its folders are made when something is written."""
        return Lake(self.settings.load().home / "lake")

    def scores(self) -> "ScoreSettings":
        """How the pairs of this home are scored: as configured, or as was chosen last."""
        from reco.model.choice import scores_in_force

        return scores_in_force(self.open(), self.settings.load())


class DatabaseResource(dg.ConfigurableResource):
    """The SQL database with the ledger of drops, the audit trail and the published snapshots."""

    settings: dg.ResourceDependency[SettingsResource]

    def home(self) -> "Home":
        """The opened home: settings, lake and ledger, on up-to-date tables.

        Raises:
            DatabaseUnavailable: it does not answer.
            Busy: a restore of the home is at work.
            BackupError: a restore of the home was cut short.
        """
        from reco.orders.home import open_home
        from reco.storage.homelock import stay_in_use

        # Dagster's processes start and end as it likes: for as long as one lives, no restore replaces its home.
        stay_in_use(self.settings.load().home, DAGSTER)
        return open_home(self.settings.load())

    @contextmanager
    def locked(self) -> "Iterator[Home]":
        """The opened home, with its run lock held: nothing comes or goes while a step reads the ledger and acts on it.

        Raises:
            Busy: another run had the lock for ten minutes.
        """
        from reco.storage.homelock import home_lock

        with home_lock(self.settings.load().home, wait_seconds=PATIENCE_SECONDS):
            yield self.home()

    def ledger(self) -> "DropLedger":
        """The ledger of drops."""
        return self.home().ledger


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

        with open_redis(self.settings.load(), "loader") as client:
            yield client


class VaultResource(dg.ConfigurableResource):
    """The backups: those in the bucket of `RECO_S3_BUCKET`, else on the embedded server of the home."""

    settings: dg.ResourceDependency[SettingsResource]

    @contextmanager
    def open(self, *, make_key: bool = False, replica: bool = False) -> "Iterator[Vault]":
        """The backups for the length of the block, or those of the second bucket.

        Raises:
            BackupKeyWrong: a key does not parse.
            ObjectStoreUnavailable: the embedded server does not start.
        """
        from reco.backup.place import open_vault

        with open_vault(self.settings.load(), make_key=make_key, replica=replica) as vault:
            yield vault

    def replicate(self, vault: "Vault", home: "Home", now: "dt.datetime") -> float | None:
        """Copies what the second bucket lacks; returns how long the oldest of it had waited, None without a second one.

        Raises:
            BackupDamaged, ObjectStoreUnavailable: see `reco.backup.replicate`.
        """
        from reco.backup.place import open_vault
        from reco.backup.replicate import replicate

        if home.settings.s3_replica_bucket is None:
            return None
        with open_vault(home.settings, replica=True) as second:
            return replicate(vault, second, home.settings.home, now=now).lag_seconds

    def choose(self, vault: "Vault", backup_id: str, *, by_chance: bool) -> "Manifest":
        """The backup of this id, a good one by chance, or the newest good one.

        Raises:
            BackupNotFound: there is none.
        """
        if backup_id:
            return vault.read(backup_id)
        return vault.any_good() if by_chance else vault.newest_good()
