"""TLS to Redis, Postgres and S3 with an authority of one's own: what is right is used, and nothing else is."""

import asyncio
import tempfile
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from reco.errors import DatabaseUnavailable, ObjectStoreUnavailable, RedisUnavailable
from reco.settings import load_settings
from reco.storage.objects import ObjectStore
from reco.storage.redis import open_redis
from reco.storage.redis_service import ServiceRedis
from reco.storage.sql import open_database
from reco.storage.steady import Patience
from reco_pipeline_tests.object_store import running_s3
from reco_pipeline_tests.postgres import running_postgres
from reco_pipeline_tests.servers import port_of, running_valkey
from reco_pipeline_tests.tls import make_certificates, tls_in_front_of


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return make_certificates(tmp_path_factory.mktemp("other")).authority


@pytest.fixture(scope="module")
def redis_port(certificates):
    with (
        tempfile.TemporaryDirectory() as folder,
        running_valkey(Path(folder)) as plain,
        tls_in_front_of(port_of(plain), certificates) as port,
    ):
        yield port


def settings_for(port, authority, tmp_path, host="localhost"):
    url = f"rediss://{host}:{port}/0" + (f"?ssl_ca_certs={quote(str(authority))}" if authority else "")
    return load_settings(home=tmp_path, redis_url=url)


def test_redis_by_tls(redis_port, certificates, tmp_path):
    """With `rediss://` and the file of the authority, commands and the service are connected."""

    async def asked(connected):
        await connected.client.set("seen", b"yes")
        answer = await connected.client.get("seen")
        await connected.close()
        return answer

    settings = settings_for(redis_port, certificates.authority, tmp_path)
    with open_redis(settings) as client:
        assert client.ping()
    with ServiceRedis(settings) as connected:
        assert asyncio.run(asked(connected)) == b"yes"


def test_redis_with_another_certificate_is_not_trusted(redis_port, certificates, stranger, tmp_path):
    """Neither one of another authority, nor one nobody vouches for, nor one of another name."""
    for authority, host in ((stranger, "localhost"), (None, "localhost"), (certificates.authority, "127.0.0.1")):
        settings = settings_for(redis_port, authority, tmp_path, host)
        with pytest.raises(RedisUnavailable, match="certificate"), open_redis(settings):
            pass


def test_postgres_by_tls(certificates, stranger):
    """`sslmode=verify-full` and `sslrootcert` in the URL: the right authority and name, or no connection at all."""
    with running_postgres() as url:
        place = sa.make_url(url)
        assert place.port is not None

        def told(authority, host, port):
            asked = {"sslmode": "verify-full", "sslrootcert": str(authority)}
            return place.set(host=host, port=port).update_query_dict(asked).render_as_string(hide_password=False)

        with tls_in_front_of(place.port, certificates, postgres=True) as port:
            engine = open_database(told(certificates.authority, "localhost", port))
            with engine.connect() as connection:
                assert connection.execute(sa.text("select 1")).scalar() == 1
            engine.dispose()
            for authority, host, at in (
                (stranger, "localhost", port),
                (certificates.authority, "127.0.0.1", port),
                (certificates.authority, "localhost", place.port),  # which speaks no TLS
            ):
                with pytest.raises(DatabaseUnavailable):
                    open_database(told(authority, host, at))


def test_s3_by_tls(certificates, stranger, tmp_path, monkeypatch):
    """`https://` and `AWS_CA_BUNDLE`: objects go to a store of the right authority, and to no other."""
    with running_s3(tmp_path) as server:
        target = int(server.url.rpartition(":")[2])
        with tls_in_front_of(target, certificates) as port:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(certificates.authority))
            store = ObjectStore(server.bucket, f"https://localhost:{port}")
            store.put_bytes(b"seen", "by-tls")
            assert store.get_bytes("by-tls") == b"seen"
            monkeypatch.setenv("AWS_CA_BUNDLE", str(stranger))
            quick = Patience(attempts=1, seconds=60, wait_seconds=0.01)
            with pytest.raises(ObjectStoreUnavailable):
                ObjectStore(server.bucket, f"https://localhost:{port}", patience=quick).get_bytes("by-tls")
