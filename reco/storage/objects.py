"""One bucket of an S3 object store.

Belongs here: listing, reading, writing and removing objects in bounded memory. Does not belong here: what an object
holds or which one is wanted, and when a call is tried again (`reco.storage.steady`).
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.exceptions import ConnectionError as BotoConnectionError
from urllib3.exceptions import HTTPError

from reco.errors import ObjectExists, ObjectNotFound, ObjectStoreRefused, RecoError
from reco.storage.steady import Patience, Steady

CONNECT_SECONDS = 5
ANSWER_SECONDS = 30
PART_BYTES = 8 << 20  # S3 takes 10,000 parts: objects up to 80 GB
CHUNK_BYTES = 1 << 20
_BROKEN = (BotoCoreError, BotoConnectionError, HTTPError, OSError)


@dataclass(frozen=True)
class ObjectInfo:
    """One object: `etag` is another one when its content is; `modified_at` and `now` are by the store's own clock."""

    key: str
    size_bytes: int
    etag: str
    modified_at: dt.datetime
    now: dt.datetime


@dataclass(frozen=True)
class ObjectVersion:
    """What a versioned bucket keeps under a key: an object's bytes, or the mark that it was removed.

    superseded_at: when a newer version, or such a mark, took its place; None: it is the newest. Times are by the
    store's own clock.
    """

    key: str
    version_id: str
    size_bytes: int
    is_mark: bool
    modified_at: dt.datetime
    superseded_at: dt.datetime | None
    now: dt.datetime


@dataclass(frozen=True)
class Guards:
    """What a bucket does against losing objects; None: the store does not have it, or does not let us ask.

    versions: it keeps what is removed or replaced; lock: it can hold objects fast; retention: for how long it does so
    with each new one, in words ("" for not at all).
    """

    versions: bool | None
    lock: bool | None
    retention: str = ""


@dataclass(frozen=True)
class Credentials:
    """A pair of keys for a store that has its own."""

    access_key_id: str
    secret_access_key: str


@cache
def shared_store(bucket: str, endpoint_url: str | None) -> "ObjectStore":
    """The store of these settings, made once a process: making its client takes a tenth of a second.

    It gives up early: a sensor's tick, which asks it, has a minute in all, and there is a next one.
    """
    return ObjectStore(bucket, endpoint_url, patience=Patience(attempts=4, seconds=20))


def s3_client(
    endpoint_url: str | None, credentials: Credentials | None = None, *, answer_seconds: float = ANSWER_SECONDS
) -> Any:
    """A boto3 client that tries nothing twice by itself: trying again is decided in one place.

    Credentials come from where the AWS tools look for them, unless they are given.
    """
    # A session of its own: the shared one is not made for threads, and keeps the first credentials it found.
    session = boto3.session.Session(
        aws_access_key_id=credentials.access_key_id if credentials else None,
        aws_secret_access_key=credentials.secret_access_key if credentials else None,
    )
    return session.client(
        "s3",
        endpoint_url=endpoint_url,
        config=Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=answer_seconds,
            retries={"total_max_attempts": 1},
            # A store of one's own seldom has a DNS name for each bucket.
            s3={"addressing_style": "path" if endpoint_url else "auto"},
        ),
    )


class ObjectStore:
    """A bucket. Every method raises ObjectStoreUnavailable when it does not answer, ObjectStoreRefused on a no."""

    def __init__(
        self,
        bucket: str,
        endpoint_url: str | None = None,
        *,
        client: Any = None,
        patience: Patience | None = None,
    ) -> None:
        self.bucket = bucket
        self._client = client if client is not None else s3_client(endpoint_url)
        self._steady = Steady(bucket, endpoint_url or "AWS", patience or Patience())

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects under a prefix, in the order of their keys."""
        token: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", prefix, Prefix=prefix, **token)
            for one in page.get("Contents", ()):
                yield ObjectInfo(one["Key"], one["Size"], one["ETag"].strip('"'), one["LastModified"], _now(page))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def head(self, key: str) -> ObjectInfo:
        """What there is to know of an object without reading it.

        Raises:
            ObjectNotFound: there is no such object.
        """
        found = self._call("head_object", key, Key=key)
        return ObjectInfo(key, found["ContentLength"], found["ETag"].strip('"'), found["LastModified"], _now(found))

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        try:
            self.head(key)
        except ObjectNotFound:
            return False
        return True

    def versions(self, prefix: str) -> Iterator[ObjectVersion]:
        """Every version under a prefix, key by key, newest first; without versioning each object has one."""
        markers: dict[str, str] = {}
        key, newer = "", None
        while True:
            page = self._call("list_object_versions", prefix, Prefix=prefix, **markers)
            both = [(False, one) for one in page.get("Versions", ())]
            both += [(True, one) for one in page.get("DeleteMarkers", ())]
            for is_mark, one in sorted(both, key=_newest_first):
                if one["Key"] != key:
                    key, newer = one["Key"], None
                at, size = one["LastModified"], one.get("Size", 0)
                yield ObjectVersion(key, one["VersionId"], size, is_mark, at, newer, _now(page))
                newer = at
            if not page.get("IsTruncated"):
                return
            markers = {"KeyMarker": page["NextKeyMarker"]}
            if page.get("NextVersionIdMarker"):
                markers["VersionIdMarker"] = page["NextVersionIdMarker"]

    def read(self, key: str) -> Iterator[bytes]:
        """An object's bytes, a mebibyte at a time. A broken connection goes on where it broke, in the same object.

        Raises:
            ObjectNotFound: there is no such object, or it was replaced in the middle.
        """
        done, etag = 0, ""
        fruitless = 0  # tries in a row that brought nothing
        while True:
            reply = self._continued(key, done, etag)
            whole = done + reply["ContentLength"]
            etag, before = reply["ETag"], done
            with closing(reply["Body"]) as body:
                try:
                    for chunk in body.iter_chunks(CHUNK_BYTES):
                        done += len(chunk)
                        yield chunk
                except _BROKEN as error:
                    broken: Exception = error
                else:
                    if done >= whole:
                        return
                    broken = EOFError(f"it ended after {done} of {whole} bytes")
            fruitless = 0 if done > before else fruitless + 1
            # At the end it is a wrong checksum, which no other try would mend.
            if done >= whole or fruitless >= self._steady.patience.attempts:
                raise self._steady.broken(key, broken) from broken

    def _continued(self, key: str, done: int, etag: str) -> Any:
        if not done:
            return self._call("get_object", key, Key=key)
        try:
            return self._call("get_object", key, Key=key, Range=f"bytes={done}-", IfMatch=etag)
        except ObjectExists as error:
            raise ObjectNotFound(f"{self.place(key)} was replaced while it was read.", hint="Read it anew.") from error

    def get(self, key: str, path: Path) -> None:
        """Writes an object's bytes to a file.

        Raises:
            ObjectNotFound: there is no such object.
        """
        with path.open("wb") as file:
            for chunk in self.read(key):
                file.write(chunk)

    def get_bytes(self, key: str, limit: int = 64 << 20) -> bytes:
        """A small object as a whole.

        Raises:
            ObjectNotFound: there is no such object.
            RecoError: it has more than `limit` bytes.
        """
        found = bytearray()
        for chunk in self.read(key):
            found += chunk
            if len(found) > limit:
                raise RecoError(f"{self.place(key)} is larger than {limit:,} bytes.", hint="It is not one of ours.")
        return bytes(found)

    def put(self, path: Path, key: str, *, only_new: bool = False) -> None:
        """Makes an object of a file; readers see all of it or none.

        Raises:
            ObjectExists: `only_new`, and there is one of other content already.
        """
        with path.open("rb") as file:
            self.put_stream(iter(lambda: file.read(CHUNK_BYTES), b""), key, only_new=only_new)

    def put_stream(self, chunks: Iterable[bytes], key: str, *, only_new: bool = False) -> None:
        """Makes an object of a stream in memory of two parts (16 MiB).

        An answer that was lost may leave the object made: the next try then finds it (`only_new`), or its upload of
        several parts gone. It is read back, and where the bytes are the same that is content.

        Raises:
            ObjectExists: `only_new`, and there is one of other content already; or somebody ended the upload.
        """
        digest = hashlib.sha256()
        parts = _parts(chunks, digest)
        first = next(parts, b"")
        second = next(parts, None)
        once = {"IfNoneMatch": "*"} if only_new else {}
        try:
            if second is None:
                self._call("put_object", key, Key=key, Body=first, **once)
            else:
                self._multipart(key, _chain(first, second, parts), once)
        except ObjectExists:
            for _ in parts:  # so that the digest is that of the whole stream
                pass
            if not self._holds(key, digest.hexdigest()):
                raise

    def put_bytes(self, data: bytes, key: str, *, only_new: bool = False, only_over: str | None = None) -> str:
        """Makes a small object; returns its etag. `only_over`: only if the one there has that etag.

        Raises:
            ObjectExists: the condition does not hold, and what is there has other content.
        """
        once = {"IfNoneMatch": "*"} if only_new else {}
        once |= {"IfMatch": only_over} if only_over else {}
        try:
            return str(self._call("put_object", key, Key=key, Body=data, **once)["ETag"]).strip('"')
        except (ObjectExists, ObjectNotFound) as error:
            with suppress(ObjectNotFound):
                if self.get_bytes(key) == data:  # ours: the answer to an earlier try was lost
                    return self.head(key).etag
            if isinstance(error, ObjectNotFound):
                raise ObjectExists(f"{self.place(key)} was removed by someone else.", hint="Look again.") from error
            raise

    def remove(self, key: str) -> None:
        """Removes an object; it is no error where there is none."""
        self._call("delete_object", key, Key=key)

    def remove_version(self, version: ObjectVersion) -> None:
        """Removes one version for good; it is no error where there is none."""
        self._call("delete_object", version.key, Key=version.key, VersionId=version.version_id)

    def make_bucket(self, *, versioned: bool = True) -> None:
        """Makes the bucket where it is not there yet, with versioning where the store has it."""
        try:
            self._call("head_bucket", "")
        except ObjectNotFound:
            self._call("create_bucket", "")
            if versioned:
                self._call("put_bucket_versioning", "", VersioningConfiguration={"Status": "Enabled"})

    def guards(self) -> Guards:
        """What the bucket does against losing objects. Raises ObjectNotFound where there is no bucket."""
        self._call("head_bucket", "")
        versions: bool | None = None
        with suppress(ObjectStoreRefused):
            versions = self._call("get_bucket_versioning", "").get("Status") == "Enabled"
        try:
            found = self._call("get_object_lock_configuration", "")["ObjectLockConfiguration"]
        except (ObjectNotFound, ObjectStoreRefused):
            return Guards(versions, lock=None)
        rule = found.get("Rule", {}).get("DefaultRetention", {})
        length = f"{rule['Days']} days" if "Days" in rule else f"{rule['Years']} years" if "Years" in rule else ""
        retention = f"{length} ({rule['Mode']})" if length else ""
        return Guards(versions, found.get("ObjectLockEnabled") == "Enabled", retention)

    def place(self, key: str) -> str:
        """How an object is called in messages."""
        return f"s3://{self.bucket}/{key}"

    def _multipart(self, key: str, parts: Iterable[bytes], once: dict[str, str]) -> None:
        upload = self._call("create_multipart_upload", key, Key=key)["UploadId"]
        try:
            made = []
            for number, part in enumerate(parts, 1):
                reply = self._call("upload_part", key, Key=key, UploadId=upload, PartNumber=number, Body=part)
                made.append({"PartNumber": number, "ETag": reply["ETag"]})
            finish = {"UploadId": upload, "MultipartUpload": {"Parts": made}}
            try:
                self._call("complete_multipart_upload", key, Key=key, **finish, **once)
            except ObjectNotFound as error:
                raise ObjectExists(
                    f"The upload of {self.place(key)} was ended by someone else.", hint="Look at it, then try again."
                ) from error
        except BaseException:  # also Ctrl-C: parts without an object would be paid for unseen; raised again
            with suppress(RecoError):
                self._call("abort_multipart_upload", key, Key=key, UploadId=upload)
            raise

    def _holds(self, key: str, sha256: str) -> bool:
        digest = hashlib.sha256()
        try:
            for chunk in self.read(key):
                digest.update(chunk)
        except ObjectNotFound:
            return False
        return digest.hexdigest() == sha256

    def _call(self, operation: str, key: str, **arguments: Any) -> Any:
        return self._steady.call(key, getattr(self._client, operation), Bucket=self.bucket, **arguments)


def _parts(chunks: Iterable[bytes], digest: Any) -> Iterator[bytes]:
    """The stream in parts of PART_BYTES, the last one shorter; `digest` follows."""
    held = bytearray()
    for chunk in chunks:
        digest.update(chunk)
        held += chunk
        while len(held) >= PART_BYTES:
            yield bytes(held[:PART_BYTES])
            del held[:PART_BYTES]
    if held:
        yield bytes(held)


def _chain(first: bytes, second: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from rest


def _newest_first(one: tuple[bool, Any]) -> tuple[str, bool, float]:
    """Key by key, the version that counts first (S3's times are to the second), the others by their time."""
    return one[1]["Key"], not one[1]["IsLatest"], -one[1]["LastModified"].timestamp()


def _now(reply: Any) -> dt.datetime:
    """The store's own time of an answer; ours where it does not tell."""
    told = reply.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(told) if told else dt.datetime.now(dt.UTC)
