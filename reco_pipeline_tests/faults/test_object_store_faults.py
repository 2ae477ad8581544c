"""Promises of the object store when the network or the store misbehaves, on a real S3 server."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from reco.errors import ObjectExists, ObjectNotFound, ObjectStoreRefused, ObjectStoreUnavailable
from reco.storage.objects import PART_BYTES, ObjectStore, s3_client
from reco_pipeline_tests.faulty_store import QUICK, Fault, FaultyClient, body, says
from reco_pipeline_tests.object_store import S3Server, running_s3
from reco_pipeline_tests.servers import cutting_proxy, faulty_proxy

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One server for all tests of this file."""
    with running_s3(tmp_path_factory.mktemp("s3")) as found:
        yield found


def store_with(server: S3Server, *faults: Fault) -> tuple[ObjectStore, FaultyClient]:
    client = FaultyClient(s3_client(server.url), list(faults))
    return ObjectStore(server.bucket, server.url, client=client, patience=QUICK), client


def whole(store: ObjectStore, key: str) -> bytes:
    return b"".join(store.read(key))


def test_a_stream_of_several_parts_is_one_object(server: S3Server) -> None:
    """More than one part goes up part by part and comes back byte by byte; a second one under its key is refused."""
    store, client = store_with(server)
    data = b"0123456789abcdef" * (PART_BYTES // 16) + b"tail"
    store.put_stream((data[at : at + 1_000_003] for at in range(0, len(data), 1_000_003)), "large", only_new=True)
    assert client.calls["upload_part"] == 2
    assert hashlib.sha256(whole(store, "large")).digest() == hashlib.sha256(data).digest()
    assert store.head("large").size_bytes == len(data)
    store.put_stream([data], "large", only_new=True)
    with pytest.raises(ObjectExists):
        store.put_stream([data[1:]], "large", only_new=True)
    assert store.head("large").size_bytes == len(data)
    store.put_stream([], "empty")
    assert whole(store, "empty") == b""


@pytest.mark.parametrize("refusal", [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
def test_a_passing_fault_is_tried_again(server: S3Server, refusal: tuple[int, str]) -> None:
    """Three refusals of a busy store are waited out, a fourth is told."""
    store, client = store_with(server, Fault("put_object", times=3, before=says(*refusal)))
    store.put_bytes(b"x", "patience")
    assert client.calls["put_object"] == 4
    store, _ = store_with(server, Fault("put_object", times=4, before=says(*refusal)))
    with pytest.raises(ObjectStoreUnavailable, match=refusal[1]):
        store.put_bytes(b"x", "patience")


def test_a_lasting_no_is_not_tried_again(server: S3Server) -> None:
    """No right is told at the first answer."""
    store, client = store_with(server, Fault("put_object", times=-1, before=says(403, "AccessDenied")))
    with pytest.raises(ObjectStoreRefused):
        store.put_bytes(b"x", "denied")
    assert client.calls["put_object"] == 1


def test_a_lost_answer_is_no_failure(server: S3Server) -> None:
    """An object that was made although the store said otherwise is found to be ours; another's is not."""
    lost = Fault("put_object", after=says(500, "InternalError"))
    store, _ = store_with(server, lost)
    store.put_bytes(b"mine", "lost", only_new=True)
    assert whole(store, "lost") == b"mine"
    with pytest.raises(ObjectExists):
        store.put_bytes(b"yours", "lost", only_new=True)
    etag = store.head("lost").etag
    store.put_bytes(b"next", "lost", only_over=etag)
    with pytest.raises(ObjectExists):
        store.put_bytes(b"late", "lost", only_over=etag)
    assert whole(store, "lost") == b"next"
    store.remove("lost")
    with pytest.raises(ObjectExists):
        store.put_bytes(b"late", "lost", only_over=etag)


@pytest.mark.parametrize("only_new", [True, False])
def test_the_lost_answer_to_the_end_of_an_upload_is_no_failure(server: S3Server, only_new: bool) -> None:
    """The connection ends when the store has put the parts together: the next try finds the object, and compares it."""
    data = hashlib.sha256(b"parts").digest() * (PART_BYTES // 32) + b"tail"
    key = f"finished-{only_new}"
    with cutting_proxy(int(server.url.rpartition(":")[2])) as proxy:
        client = s3_client(f"http://127.0.0.1:{proxy.port}")
        lose = Fault("complete_multipart_upload", before=lambda _: proxy.cut("reply"))
        faulty = FaultyClient(client, [lose])
        store = ObjectStore(server.bucket, server.url, client=faulty, patience=QUICK)
        store.put_stream([data], key, only_new=only_new)
        assert faulty.calls["complete_multipart_upload"] == 2
        assert whole(store, key) == data
        client.close()


def test_an_upload_that_somebody_ended_is_told(server: S3Server) -> None:
    """Parts that are gone before they became an object are no success, and another's object is not taken for ours."""

    def end(arguments: dict[str, Any]) -> None:
        names = ("Bucket", "Key", "UploadId")
        s3_client(server.url).abort_multipart_upload(**{name: arguments[name] for name in names})

    for before in (None, b"of somebody else"):
        store, _ = store_with(server, Fault("complete_multipart_upload", before=end))
        if before is not None:
            store.put_bytes(before, "ended")
        with pytest.raises(ObjectExists, match="ended by someone else"):
            store.put_stream([bytes(PART_BYTES), b"tail"], "ended")


def test_a_killed_upload_leaves_nothing_to_see(server: S3Server) -> None:
    """A part that never arrives leaves no object and no upload."""
    store, client = store_with(server, Fault("upload_part", first=1, times=-1, before=says(503, "SlowDown")))
    with pytest.raises(ObjectStoreUnavailable):
        store.put_stream([bytes(PART_BYTES), b"tail"], "unfinished")
    with pytest.raises(ObjectNotFound):
        store.head("unfinished")
    assert not client.inner.list_multipart_uploads(Bucket=server.bucket).get("Uploads")


def test_a_store_that_is_away_is_not_asked_again_and_again(server: S3Server) -> None:
    """After three calls that failed for good, the next fail at once, without a call."""
    away = Fault("head_object", times=-1, before=says(503, "SlowDown"))
    store, client = store_with(server, away)
    for _ in range(3):
        with pytest.raises(ObjectStoreUnavailable, match="SlowDown"):
            store.head("any")
    asked = client.calls["head_object"]
    with pytest.raises(ObjectStoreUnavailable, match="a moment ago"):
        store.head("any")
    assert client.calls["head_object"] == asked


def test_a_missing_object_does_not_make_a_store_away(server: S3Server) -> None:
    """Answers that say no are answers."""
    store, _ = store_with(server)
    for _ in range(5):
        assert not store.exists("nothing")


def test_a_timeout_is_a_passing_fault(server: S3Server) -> None:
    """A connection that could not be made in time is tried again."""

    def late(_: object) -> None:
        raise ConnectTimeoutError(endpoint_url=server.url)

    store, client = store_with(server, Fault("get_object", before=late))
    store.put_bytes(b"x", "timeout")
    assert whole(store, "timeout") == b"x"
    assert client.calls["get_object"] == 2


@pytest.mark.parametrize("fault", ["reset", "cut"])
def test_a_broken_download_goes_on_where_it_broke(server: S3Server, fault: str, tmp_path: Path) -> None:
    """The connection breaks in the middle of an object: the rest is asked for, and the bytes are those put."""
    data = hashlib.sha256(b"seed").digest() * 131_072
    ObjectStore(server.bucket, server.url).put_bytes(data, "broken")
    with faulty_proxy(int(server.url.rpartition(":")[2])) as proxy:
        store = ObjectStore(server.bucket, f"http://127.0.0.1:{proxy.port}", patience=QUICK)
        proxy.set(fault, times=1, after=2_500_000)
        store.get("broken", tmp_path / "back")
        assert proxy.met == 1
    assert (tmp_path / "back").read_bytes() == data


@pytest.mark.parametrize("fault", ["refuse", "reset", "cut"])
def test_a_network_that_fails_for_a_while_is_waited_out(server: S3Server, fault: str) -> None:
    """Two broken connections and then a good one: the object is made."""
    with faulty_proxy(int(server.url.rpartition(":")[2])) as proxy:
        store = ObjectStore(server.bucket, f"http://127.0.0.1:{proxy.port}", patience=QUICK)
        proxy.set(fault, times=2)
        store.put_bytes(fault.encode(), f"network-{fault}", only_new=True)
        assert proxy.met == 2
        assert whole(store, f"network-{fault}") == fault.encode()


def test_an_upload_that_is_reset_in_the_midst_of_a_part_is_made_whole(server: S3Server) -> None:
    """The part is sent again, and the object has the bytes that were given."""
    data = hashlib.sha256(b"seed").digest() * (PART_BYTES // 32) + b"tail"
    with faulty_proxy(int(server.url.rpartition(":")[2])) as proxy:
        store = ObjectStore(server.bucket, f"http://127.0.0.1:{proxy.port}", patience=QUICK)
        proxy.set("interrupt", times=1, after=PART_BYTES // 2)
        store.put_stream([data], "interrupted", only_new=True)
        assert proxy.met == 1
        assert whole(store, "interrupted") == data


def test_a_black_hole_is_told(server: S3Server) -> None:
    """A store that never answers is unavailable after a bounded time; a slow one is only slow."""
    with faulty_proxy(int(server.url.rpartition(":")[2])) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        client = s3_client(url, answer_seconds=0.2)
        store = ObjectStore(server.bucket, url, client=client, patience=QUICK)
        proxy.set("hole")
        with pytest.raises(ObjectStoreUnavailable, match=url):
            store.head("any")
        assert proxy.met == 4
    with faulty_proxy(int(server.url.rpartition(":")[2])) as proxy:
        proxy.set("latency", seconds=0.05)
        store = ObjectStore(server.bucket, f"http://127.0.0.1:{proxy.port}", patience=QUICK)
        store.put_bytes(b"slow", "slow")
        assert whole(store, "slow") == b"slow"


def test_bytes_changed_on_their_way_are_noticed(server: S3Server) -> None:
    """A flipped byte fails the checksum that the store keeps; one cut off is asked for again."""
    with faulty_proxy(int(server.url.rpartition(":")[2])):
        store, client = store_with(server, Fault("get_object", after=body(lambda data: data[:-1])))
        store.put_bytes(b"0123456789", "cut")
        assert whole(store, "cut") == b"012345678"  # its length says so: only the digest of who reads can tell
        assert client.calls["get_object"] == 1
