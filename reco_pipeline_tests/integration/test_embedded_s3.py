"""The embedded S3 server: one for a home, shared while it is used, gone when it is not, and what it was given stays."""

import datetime as dt
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pyrage
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from pydantic import SecretStr

from reco.backup.manifest import REDIS, SETTINGS, SQL, Entry, Manifest, make_backup_id, write_manifest
from reco.backup.place import open_vault
from reco.backup.prune import prune
from reco.backup.retention import Policy
from reco.errors import ConfigError, ObjectStoreUnavailable
from reco.local import conf, s3conf, s3wire
from reco.local.endpoint import S3Endpoint
from reco.local.seaweed import EmbeddedS3
from reco.settings import Settings, load_settings
from reco.storage.buckets import lease_bucket
from reco_pipeline_tests.embedded import User, clean_home, eventually, kill_server, server_runs


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home nobody uses yet."""
    with clean_home(tmp_path / "a home") as path:
        yield path


def client_of(endpoint: S3Endpoint, access: str = "", secret: str = "") -> Any:
    """A client that tries everything once."""
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint.url,
        region_name="us-east-1",
        aws_access_key_id=access or endpoint.access_key,
        aws_secret_access_key=secret or endpoint.secret_key,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, proxies={}),
    )


def test_a_lease_gives_a_bucket_that_keeps_and_locks_and_asks_for_credentials(home: Path) -> None:
    """The bucket has versioning and object lock; a conditional put that comes second and a stranger are refused."""
    with EmbeddedS3(home).lease() as endpoint:
        client, bucket = client_of(endpoint), endpoint.bucket
        assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
        lock = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
        assert lock == {"ObjectLockEnabled": "Enabled"}  # and no retention until somebody asks for it
        client.put_object(Bucket=bucket, Key="once", Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            client.put_object(Bucket=bucket, Key="once", Body=b"second", IfNoneMatch="*")
        assert client.get_object(Bucket=bucket, Key="once")["Body"].read() == b"first"
        for stranger in (client_of(endpoint, secret="wrong"), client_of(endpoint, access="nobody")):
            with pytest.raises(ClientError, match=r"SignatureDoesNotMatch|InvalidAccessKeyId"):
                stranger.list_buckets()
        shell = s3conf.shell(s3conf.read_ports(home / "s3" / "ports.json") or {})
        said = subprocess.run(shell, input="fs.configure\n", capture_output=True, text=True, check=True, cwd=home)
        assert '"fsync":  true' in said.stdout
    assert not server_runs(home, "s3")


def test_the_secret_is_in_one_private_file_and_only_the_loopback_listens(home: Path) -> None:
    """Neither logs, records nor the command line hold the secret; every port is the loopback's and below 32768."""
    with EmbeddedS3(home).lease() as endpoint:
        folder = home / "s3"
        assert endpoint.secret_key not in repr(endpoint)
        holders = {path.name for path in folder.iterdir() if path.is_file() and endpoint.secret_key in path.read_text()}
        assert holders == {"s3.json"}
        assert stat.S_IMODE((folder / "s3.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        facts = json.loads((folder / "endpoint.json").read_text())
        assert facts == {"host": "127.0.0.1", "port": endpoint.port, "pid": endpoint.pid}
        ports = s3conf.read_ports(folder / "ports.json")
        assert ports is not None
        assert set(ports.values()) <= set(conf.PORTS)
        # The filer knows nothing of credentials or object locks, so it serves nothing.
        connection = http.client.HTTPConnection("127.0.0.1", ports["filer.port"], timeout=60)
        connection.request("DELETE", f"/buckets/{endpoint.bucket}?recursive=true")
        assert connection.getresponse().status == 404
        connection.close()
        assert s3wire.has_bucket(endpoint)
        if shutil.which("ss"):
            seen = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout.splitlines()
            ours = {line.split()[3] for line in seen if f"pid={endpoint.pid}," in line}
            assert f"127.0.0.1:{endpoint.port}" in ours
            assert ours <= {f"127.0.0.1:{port}" for port in ports.values()}


def test_processes_share_one_server_and_a_dead_owner_is_taken_over(home: Path) -> None:
    """A second process finds the server; it outlives kill -9 of its starter and ends with the last user."""
    with User(home, server="s3") as owner:
        pid = owner.hear()["pid"]
        with EmbeddedS3(home).lease() as endpoint:
            assert endpoint.pid == pid
            assert owner.kill() == -signal.SIGKILL
            client_of(endpoint).put_object(Bucket=endpoint.bucket, Key="kept", Body=b"yes")
    assert not server_runs(home, "s3")


def test_what_was_acknowledged_survives_a_killed_server(home: Path) -> None:
    """After kill -9 of the server the next user starts it on the same ports and credentials with every object."""
    with EmbeddedS3(home).lease() as endpoint:
        client = client_of(endpoint)
        for number in range(50):
            client.put_object(Bucket=endpoint.bucket, Key=f"key/{number:02}", Body=os.urandom(2_000) + b"%d" % number)
        kill_server(home, "s3")
        with EmbeddedS3(home).lease() as again:
            assert (again.port, again.access_key) == (endpoint.port, endpoint.access_key)
            assert again.pid != endpoint.pid
            for number in range(50):
                body = client.get_object(Bucket=again.bucket, Key=f"key/{number:02}")["Body"].read()
                assert body[2_000:] == b"%d" % number


def test_a_taken_port_is_replaced_and_a_half_made_home_is_finished(home: Path) -> None:
    """With one of its ports taken the server moves to free ones; a start that died before the bucket is made good."""
    server = EmbeddedS3(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3wire, "make_bucket", _fail)
        with pytest.raises(ObjectStoreUnavailable, match="cannot use"):
            server.lease().__enter__()
    assert not server_runs(home, "s3")
    before = s3conf.read_ports(home / "s3" / "ports.json")
    assert before is not None
    with socket.create_server(("127.0.0.1", before["filer.port.grpc"])), server.lease() as endpoint:
        after = s3conf.read_ports(home / "s3" / "ports.json")
        assert after is not None
        assert not set(before.values()) & set(after.values()) & {before["filer.port.grpc"]}
        assert s3wire.has_bucket(endpoint)


def _fail(_: S3Endpoint) -> None:
    raise ConnectionError("cut")


def test_a_home_removed_under_its_users_leaves_no_server(home: Path) -> None:
    """When the home is gone, the last user of its server still ends it."""
    with EmbeddedS3(home).lease() as endpoint:
        home.rename(home.with_name("elsewhere"))  # it still writes: removing file by file would race with it
    assert eventually(lambda: s3wire.probe(endpoint).state == "absent")


def test_no_free_port_is_said(home: Path) -> None:
    """Without free ports the error says so and names the setting that does without them."""
    with pytest.raises(ObjectStoreUnavailable, match="No free port") as caught:
        EmbeddedS3(home, choose_ports=lambda _: None).lease().__enter__()
    assert "RECO_S3_BUCKET" in caught.value.hint


def test_a_server_that_does_not_start_is_said_with_its_words(home: Path) -> None:
    """Damage that keeps the server from starting is an error with the server's own words; nothing is left running."""
    (home / "s3" / "data").mkdir(parents=True)
    (home / "s3" / "data" / "filerldb2").write_text("not a folder")
    with pytest.raises(ObjectStoreUnavailable, match="did not start") as caught:
        EmbeddedS3(home, start_seconds=20).lease().__enter__()
    assert "filer" in caught.value.message
    assert not server_runs(home, "s3")


def test_the_bucket_of_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RECO_S3_BUCKET names a bucket that is not asked for; production has no embedded one."""
    monkeypatch.chdir(home.parent)
    named = load_settings(home=home, s3_bucket="shop-backups", s3_endpoint_url="http://store:9000")
    with lease_bucket(named) as bucket:
        assert (bucket.name, bucket.endpoint_url, bucket.access_key) == ("shop-backups", "http://store:9000", None)
        assert not bucket.embedded
    production = Settings(home=home, profile="production")
    with pytest.raises(ConfigError, match="RECO_S3_BUCKET"), lease_bucket(production):
        pytest.fail("production on an embedded server")
    assert not (home / "s3").exists()
    with lease_bucket(load_settings(home=home)) as bucket:
        assert bucket.embedded
        assert bucket.access_key
        assert bucket.secret_key
        assert bucket.secret_key not in repr(bucket)


def test_a_server_that_answers_but_keeps_nothing_yet_is_waited_for(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds after its start puts or reads may fail: a lease is given when an object came back."""
    asked = s3wire.ask
    failing = [("GET", 500), ("PUT", 503), ("GET", 404), ("GET", 0), ("DELETE", 500)]

    def not_yet(endpoint: S3Endpoint, method: str, path: str, *rest: Any, **more: Any) -> s3wire.Answer:
        if path.startswith(f"/{endpoint.bucket}/{s3wire.PROBE}") and failing and failing[0][0] == method:
            status = failing.pop(0)[1]
            if not status:
                raise TimeoutError
            return s3wire.Answer(status, b"", {})
        return asked(endpoint, method, path, *rest, **more)

    monkeypatch.setattr(s3wire, "ask", not_yet)
    with EmbeddedS3(home).lease():
        assert failing == []
    with EmbeddedS3(home).lease() as endpoint:
        listed = client_of(endpoint).list_object_versions(Bucket=endpoint.bucket)
        assert len(listed.get("Versions", [])) == 2  # those of the two attempts that were not let remove theirs
        failing += [("PUT", 503)] * 100_000
        with (
            pytest.raises(ObjectStoreUnavailable, match="does not keep what it is given"),
            EmbeddedS3(home, start_seconds=0.2).lease(),
        ):
            pass
    assert not server_runs(home, "s3")


def test_room_of_freed_versions_goes_back_to_the_disk(home: Path) -> None:
    """Removed objects take their room until their versions are freed; then the files of the server are smaller."""
    settings = Settings(home=home, backup_identity=SecretStr(str(pyrage.x25519.Identity.generate())))
    now, zero = dt.datetime.now(dt.UTC), dt.timedelta(0)
    with open_vault(settings) as vault:
        entries = tuple(Entry(name, "0" * 64, 1, "f" * 64, 1) for name in (REDIS, SQL, SETTINGS))
        listed = Manifest(
            make_backup_id(1, now, "0" * 8),
            1,
            vault.namespace,
            now,
            "",
            1,
            "1",
            "r",
            predecessors=(),
            entries=entries,
            facts={},
        )  # without any backup nobody knows what is stray
        vault.store.put_bytes(write_manifest(listed, vault.keys), vault.manifest_key(listed.backup_id))
        for number in range(8):
            vault.store.put_bytes(os.urandom(1 << 20), vault.object_key(f"{number:064x}"))
        full = size_of(home / "s3" / "data")
        done = prune(vault, Policy(), grace=zero, now=now, keep_versions=dt.timedelta(days=1), dry_run=False)
        assert (done.objects, done.size_bytes, done.versions) == (8, 8 << 20, 0)
        assert size_of(home / "s3" / "data") >= full
        done = prune(vault, Policy(), grace=zero, now=now, keep_versions=zero, dry_run=False)
        assert done.version_bytes >= 8 << 20
        assert full - size_of(home / "s3" / "data") > 7 << 20


def size_of(folder: Path) -> int:
    """The bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*.dat"))
