"""A small shop with everything a backup holds, made through the library: for tests of backups.

Belongs here: builders with defaults. Does not belong here: any claim.
"""

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
import redis

from reco.backup.create import Created, create
from reco.backup.keys import Keyring
from reco.backup.rebuild import rebuild
from reco.backup.vault import Vault
from reco.orders.home import Home, open_home
from reco.orders.ingest import ingest
from reco.orders.profiles import load_profile
from reco.settings import Settings
from reco.snapshot.publish import PublishResult
from reco.snapshot.release import release
from reco.storage.objects import ObjectStore, s3_client
from reco_pipeline_tests.faulty_store import QUICK, Fault, FaultyClient
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.servers import port_of

NOON = dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC)
IDENTITY = pyrage.x25519.Identity.generate()
OTHER = pyrage.x25519.Identity.generate()
KEYS = Keyring((str(IDENTITY.to_public()),), (str(IDENTITY),))
BASKETS = {"1": ["PID", "Kit"], "2": ["PID", "Kit", "Hose"], "3": ["Hose", "Kit"], "4": ["Lamp", "PID"]}


@dataclass
class BackupShop:
    """One home, its Redis and its backups; `minute` is the clock of everything that is done to it."""

    folder: Path
    client: redis.Redis
    server: S3Server
    minute: int = 0

    @property
    def settings(self) -> Settings:
        """The settings of the home."""
        url = f"redis://127.0.0.1:{port_of(self.client)}/0"
        return Settings(home=self.folder / "home", redis_url=url, namespace=self.namespace)

    @property
    def namespace(self) -> str:
        """One of its own, since shops share servers."""
        return f"shop-{hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]}"

    @property
    def home(self) -> Home:
        """The opened home."""
        return open_home(self.settings)

    @property
    def now(self) -> dt.datetime:
        """A minute later than before."""
        self.minute += 1
        return NOON + dt.timedelta(minutes=self.minute)

    def vault(self, *faults: Fault, keys: Keyring = KEYS) -> Vault:
        """The backups, through a client with these faults."""
        client = FaultyClient(s3_client(self.server.url), list(faults))
        store = ObjectStore(self.server.bucket, self.server.url, client=client, patience=QUICK)
        return Vault(store, self.settings.namespace, keys)

    def give(self, name: str = "monday", baskets: Mapping[str, Sequence[str]] = BASKETS, profile: str = "auto") -> str:
        """Takes a file of orders in and reads it; returns the key of its drop."""
        path = self.folder / f"{name}.csv"
        lines = [f"{order},{item}" for order, items in baskets.items() for item in items]
        path.write_text("\n".join(["order_id,item_name", *lines]) + "\n")
        home = self.home
        (given,) = home.ledger.register([(path, load_profile(profile))], now=self.now)
        assert given.drop is not None
        ingest(home.ledger, [given.drop.key], now=self.now, run_id=None)
        return given.drop.key

    def publish(self) -> PublishResult:
        """Makes the tables anew and publishes them."""
        home = self.home
        rebuild(home, now=self.now)
        return release(home, self.client, run_id=None, now=self.now, force=True)

    def back_up(self, *faults: Fault, keys: Keyring = KEYS, **options: Any) -> Created:
        """Makes a backup."""
        return create(self.home, self.client, self.vault(*faults, keys=keys), now=self.now, **options)
