"""Promises of an inbox in an object store, on a real S3 server."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from reco.errors import ObjectStoreRefused, ObjectStoreUnavailable
from reco.orders.home import open_home
from reco.orders.inbox import open_inbox
from reco.settings import load_settings
from reco.storage.objects import ObjectStore, shared_store
from reco_pipeline_tests.integration.test_automation import MANY, ORDERS, Shop
from reco_pipeline_tests.object_store import S3Server, running_s3

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests of this file."""
    with running_s3(tmp_path_factory.mktemp("s3")) as found:
        yield found


def put(server: S3Server, folder: Path, key: str, text: str) -> None:
    """Makes an object."""
    path = folder / "object"
    path.write_text(text)
    ObjectStore(server.bucket, server.url).put(path, key)


def test_objects_become_drops_once(server: S3Server, tmp_path: Path) -> None:
    """Objects under the prefix are taken in at first sight, by profile folder; an overwritten one is a new drop."""
    overrides = {
        "home": str(tmp_path / "home"),
        "inbox": f"s3://{server.bucket}/orders/",
        "s3_endpoint_url": server.url,
    }
    uci = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    put(server, tmp_path, "orders/monday.csv", MANY)
    put(server, tmp_path, "orders/uci-online-retail/uci.csv", uci + "1,A,HOLDER,6,2010-12-01 08:26:00,2.55,1.0,UK\n")
    put(server, tmp_path, "orders/.hidden.csv", ORDERS)
    put(server, tmp_path, "elsewhere/other.csv", ORDERS)
    with dg.DagsterInstance.ephemeral() as instance:
        shop = Shop(open_home(load_settings(**overrides)), instance, overrides)
        run = shop.look().run
        assert run is not None
        assert {drop.name: drop.source for drop in shop.home.ledger.drops()} == {
            "monday.csv": "auto",
            "uci.csv": "uci-online-retail",
        }
        assert shop.execute(run).success
        assert set(shop.states().values()) == {"ingested"}
        put(server, tmp_path, "orders/same-again.csv", MANY)
        assert shop.look().run is None
        put(server, tmp_path, "orders/monday.csv", ORDERS)
        again = shop.look().run
        assert again is not None
        assert [drop.name for drop in shop.home.ledger.drops()] == ["monday.csv", "uci.csv", "monday.csv"]


def test_files_can_be_put_into_a_bucket(server: S3Server, tmp_path: Path) -> None:
    """`reco drop` on an inbox in a bucket makes an object; a name that is taken gets a number."""
    settings = load_settings(home=tmp_path, inbox=f"s3://{server.bucket}/put", s3_endpoint_url=server.url)
    file = tmp_path / "export.csv"
    file.write_text(ORDERS)
    inbox = open_inbox(settings)
    assert [inbox.put(file, source) for source in (None, None, "shopify")] == [
        f"s3://{server.bucket}/put/export.csv",
        f"s3://{server.bucket}/put/export-2.csv",
        f"s3://{server.bucket}/put/shopify/export.csv",
    ]
    assert [found.place for found in inbox.list()] == ["export-2.csv", "export.csv", "shopify/export.csv"]


def test_a_store_that_says_no_is_told_from_one_that_is_away(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bucket or no right is a matter of settings; no answer is a matter of waiting. Neither shows the secret."""
    with pytest.raises(ObjectStoreRefused, match="no-such-bucket"):
        list(ObjectStore("no-such-bucket", server.url).list(""))
    with pytest.raises(ObjectStoreUnavailable, match="RECO_S3_ENDPOINT_URL"):
        list(shared_store(server.bucket, "http://127.0.0.1:1").list(""))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    with pytest.raises(ObjectStoreRefused, match="credentials") as caught:
        list(ObjectStore(server.bucket, server.url).list(""))
    assert "planted-secret" not in str(caught.value)
