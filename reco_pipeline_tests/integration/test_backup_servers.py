"""Promises of backups on the servers of others: made and restored by the users that a server of one's own has."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import redis

from reco.backup.create import create
from reco.backup.restore import make_plan, restore
from reco.snapshot.store import SnapshotStore
from reco_pipeline_tests.backup_shop import BackupShop
from reco_pipeline_tests.object_store import S3Server
from reco_pipeline_tests.own_redis import OwnRedis, own_redis, server_of
from reco_pipeline_tests.servers import port_of
from reco_pipeline_tests.snapshot_lake import SHOP

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]


@pytest.fixture(params=["valkey", "redis"])
def own(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnRedis]:
    """A server of each kind, with its users; Redis 7 where the machine has it."""
    with own_redis(tmp_path / "own", server_of(request.param)) as found:
        found.start().close()
        yield found


class OwnShop(BackupShop):
    """A shop in the namespace that these users may use."""

    @property
    def namespace(self) -> str:
        """That of the users."""
        return SHOP


@pytest.mark.slow
def test_every_server_gives_and_takes(tmp_path: Path, client: redis.Redis, server: S3Server, own: OwnRedis) -> None:
    """Published by the loader, backed up by the user `backup`, restored there, and into a server of another make."""
    with own.client("loader") as loader:
        shop = OwnShop(tmp_path / "shop", loader, server)
        shop.folder.mkdir()
        shop.give()
        published = shop.publish().snapshot_id
        with own.client("backup") as copier:
            made = create(shop.home, copier, shop.vault(), now=shop.now).manifest
        assert made.good
        for name in loader.scan_iter(match=f"{SHOP}:*"):
            loader.delete(name)
        url = f"redis://loader:{quote('loader password/&' + chr(92), safe='')}@127.0.0.1:{own.port}/0"
        for target, into in ((loader, url), (client, f"redis://127.0.0.1:{port_of(client)}/0")):
            plan = make_plan(shop.vault(), shop.settings, backup_id=made.backup_id, into=into)
            assert restore(shop.vault(), shop.settings, plan, now=shop.now, force=True).answers_equal
            assert SnapshotStore(target, SHOP).current_id() == published
