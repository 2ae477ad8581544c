"""Promises of the runbook: every command in it works, in its order, on a shop to which that happened."""

import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from click.testing import Result
from typer.testing import CliRunner

from reco.backup.replicate import replicate
from reco.backup.vault import Vault
from reco.storage.objects import ObjectStore
from reco_pipeline.cli.app import app
from reco_pipeline_tests.backup_shop import IDENTITY, KEYS, NOON, BackupShop
from reco_pipeline_tests.object_store import S3Server, running_s3
from reco_pipeline_tests.servers import port_of, running_valkey
from reco_pipeline_tests.shop import ROOT

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning"),
    pytest.mark.timeout(600),  # on a busy machine a restore takes a minute
]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
PAGES = {
    page.splitlines()[0]: re.findall(r"^    reco (.+)$", page, flags=re.MULTILINE)
    for page in RUNBOOK.split("\n## ")[1:]
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One S3 server for all tests of this file."""
    with running_s3(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[redis.Redis, redis.Redis]]:
    """The Redis of all shops of this file, and another one."""
    with running_valkey(tmp_path_factory.mktemp("valkey")) as one, running_valkey(tmp_path_factory.mktemp("b")) as two:
        yield one, two


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_works(
    page: str,
    tmp_path: Path,
    server: S3Server,
    servers: tuple[redis.Redis, redis.Redis],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Typed in their order, each ends with 0; placeholders stand for what the shop has."""
    shop = BackupShop(tmp_path, servers[0], server)
    shop.minute = int((dt.datetime.now(dt.UTC) - NOON).total_seconds() // 60) - 30
    shop.give()
    shop.publish()
    then = shop.now
    first = shop.back_up().manifest
    environment = {
        "RECO_HOME": str(shop.settings.home),
        "RECO_NAMESPACE": shop.settings.namespace,
        "RECO_REDIS_URL": f"redis://127.0.0.1:{port_of(servers[0])}/0",
        "RECO_S3_BUCKET": server.bucket,
        "RECO_S3_ENDPOINT_URL": server.url,
        "RECO_BACKUP_IDENTITY": str(IDENTITY),
    }
    if "second bucket" in page or "--replica" in "".join(PAGES[page]):
        second = Vault(ObjectStore("replica", server.url), shop.settings.namespace, KEYS)
        second.store.make_bucket()
        replicate(shop.vault(), second, shop.settings.home, now=shop.now)
        environment |= {"RECO_S3_REPLICA_BUCKET": "replica", "RECO_S3_REPLICA_ENDPOINT_URL": server.url}
    if page == "The machine is gone":
        environment |= {
            "RECO_HOME": str(tmp_path / "new"),
            "RECO_REDIS_URL": f"redis://127.0.0.1:{port_of(servers[1])}/0",
        }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    values = {"ID": first.backup_id, "TIME": then.isoformat(), "URL": f"redis://127.0.0.1:{port_of(servers[1])}/0"}
    assert PAGES[page] or "no other way" in RUNBOOK
    for command in PAGES[page]:
        words = [values.get(word, word) for word in command.split()]
        done = CliRunner().invoke(app, [*words, "--json"])
        assert done.exit_code == 0, (command, done.output, done.exception)
        assert isinstance(_json(done), dict)


def _json(done: Result) -> object:
    return json.loads(done.stdout.strip().splitlines()[-1])
