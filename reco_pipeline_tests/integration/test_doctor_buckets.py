"""Promises of `reco doctor` on buckets: whether they answer, keep versions, and hold anything fast."""

from pathlib import Path

import pytest

from reco.settings import Settings
from reco.storage.objects import ObjectStore, s3_client
from reco_pipeline.doctor import _buckets
from reco_pipeline_tests.backup_shop import IDENTITY
from reco_pipeline_tests.faulty_store import QUICK, Fault, FaultyClient, says
from reco_pipeline_tests.object_store import S3Server

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")


def found_of(home: Path, server: S3Server, bucket: str, replica: str | None = None) -> list[tuple[str, bool, str]]:
    """What the doctor says of these buckets."""
    settings = Settings(
        home=home,
        s3_bucket=bucket,
        s3_endpoint_url=server.url,
        s3_replica_bucket=replica,
        s3_replica_endpoint_url=server.url,
        backup_identity=str(IDENTITY),
    )
    return [(one.what, one.ok, one.found) for one in _buckets(settings)]


def test_an_object_lock_without_a_retention_locks_nothing_and_is_told(tmp_path: Path, server: S3Server) -> None:
    """With one, for how long; a bucket without a lock is no fault, one that is not there is."""
    client = s3_client(server.url)
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    told = found_of(tmp_path, server, server.bucket, "locked")
    assert told == [
        ("bucket", True, f"s3://{server.bucket}, keeps versions"),
        ("second bucket", True, "s3://locked, keeps versions"),
        ("second bucket", True, "warning: object lock is on, without a retention"),
    ]
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    client.put_object_lock_configuration(Bucket="locked", ObjectLockConfiguration=configuration)
    assert found_of(tmp_path, server, "locked") == [
        ("bucket", True, "s3://locked, keeps versions, locks objects for 1 days (GOVERNANCE)")
    ]
    ((what, good, words),) = found_of(tmp_path, server, "nowhere")
    assert (what, good) == ("bucket", False)
    assert "nowhere" in words
    assert _buckets(Settings(home=tmp_path)) == []


def test_a_store_that_does_not_say_is_asked_for_nothing_more(server: S3Server) -> None:
    """Without the rights, or on a store that has no such thing, nothing is known; the bucket is there all the same."""
    no = says(403, "AccessDenied")
    faults = [Fault(one, times=-1, before=no) for one in ("get_bucket_versioning", "get_object_lock_configuration")]
    store = ObjectStore(server.bucket, server.url, client=FaultyClient(s3_client(server.url), faults), patience=QUICK)
    found = store.guards()
    assert (found.versions, found.lock, found.retention) == (None, None, "")
